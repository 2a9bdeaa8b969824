"""Finding a strategy, an algorithm or an aggregator by name: ours, an installed package's, or `module:function`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewise_wire.errors import ConfigError
from edgewise_wire.user_code import load_named, user_code


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return what `name` stands for.

    Args:
        kind: what is looked for, `selection` or `algorithm` or `aggregator`; packages offer theirs under the
            entry-point group `edgewise.{kind}`.
        name: one of `known`, of an entry point, or `module:attribute`, looked for in the current folder first.
        known: ours, by name.

    Raises:
        ConfigError: if there is none.
        UserCodeError: if it cannot be imported.

    Example:
        >>> find("selection", "math:pi", {})
        3.141592653589793
    """
    if name in known:
        return known[name]
    from importlib.metadata import entry_points  # 20 ms that most processes need not wait

    offered = {point.name: point for point in entry_points(group=f"edgewise.{kind}")}
    if name in offered:
        with user_code(f"{kind} {name!r}"):
            return offered[name].load()
    if ":" in name:
        return load_named(kind, name)
    names = ", ".join([*known, *offered])
    raise ConfigError(f"{kind} {name!r}: not known; expected one of {names}, or module:function")
