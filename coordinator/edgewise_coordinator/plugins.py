"""Finding a strategy, an algorithm or an aggregator by name: ours, an installed package's, or `module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from edgewise_wire.errors import ConfigError


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return what `name` stands for.

    Args:
        kind: what is looked for, `selection` or `algorithm` or `aggregator`; packages offer theirs under the
            entry-point group `edgewise.{kind}`.
        name: one of `known`, of an entry point, or `module:attribute`.
        known: ours, by name.

    Raises:
        ConfigError: if there is none, or it cannot be imported.

    Example:
        >>> find("selection", "math:pi", {})
        3.141592653589793
    """
    if name in known:
        return known[name]
    offered = {point.name: point for point in entry_points(group=f"edgewise.{kind}")}
    try:
        if name in offered:
            return offered[name].load()
        module, colon, attribute = name.partition(":")
        if colon:
            return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{kind} {name!r}: cannot be loaded ({error})") from error
    names = ", ".join([*known, *offered])
    raise ConfigError(f"{kind} {name!r}: not known; expected one of {names}, or module:function")
