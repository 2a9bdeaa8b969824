"""`module:factory`: an author's own code, asked for what to export."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from edgewise_wire.errors import ConfigError, ModelError

VOCABULARY = "vocabulary"
Words: TypeAlias = Callable[[], Sequence[str]]
"""Where the words of a vocabulary come from, once they are asked for."""


def call_factory(name: str, words: Words | None = None) -> dict[str, Any]:
    """Import `module:factory` (the current folder included), call it, and return the arguments of `export_trainable`.

    The factory returns a Keras model, or a mapping with `model`, `loss` and whatever else `export_trainable` takes. One
    that has an argument `vocabulary` is given the words.

    Raises:
        ConfigError: if the name is not of that form.
        ModelError: if the module or the factory is not there, or returns something else.
    """
    factory = find_factory(name)
    takes = words is not None and VOCABULARY in inspect.signature(factory).parameters
    made = factory(**{VOCABULARY: words()}) if words is not None and takes else factory()
    if isinstance(made, Mapping):
        if "model" not in made:
            raise ModelError(f"{name!r}: expected a mapping with 'model', got the keys {', '.join(sorted(made))}")
        return dict(made)
    return {"model": made}


def find_factory(name: str) -> Callable[..., Any]:
    """Return the function that `module:factory` names. Raises as `call_factory` does."""
    module_name, _, factory_name = name.partition(":")
    if not module_name or not factory_name:
        raise ConfigError(f"{name!r}: expected module:factory, such as mymodel:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(f"{name!r}: the module cannot be imported ({error})") from error
    factory: Callable[..., Any] | None = getattr(module, factory_name, None)
    if factory is None or not callable(factory):
        raise ModelError(f"{name!r}: {module_name} has no function {factory_name!r}")
    return factory


def export_factory(factory: str, out: Path, *, words: Words | None = None, **options: Any) -> Any:
    """Export what `module:factory` makes; `options` that are not None go before the factory's own.

    `words` goes to a factory that has an argument `vocabulary`.

    Returns:
        The `keras_export.Trainable`.

    Raises:
        ConfigError: if neither says the loss.
        EdgewiseError: as `export_trainable` does.
    """
    import edgewise_models.tensorflow  # noqa: F401  first and quietly: keras alone lets it chatter
    from edgewise_models.keras_export import export_trainable

    arguments = call_factory(factory, words) | {key: value for key, value in options.items() if value is not None}
    if "loss" not in arguments:
        raise ConfigError(f"{factory!r} names no loss: pass --loss, or return {{'model': ..., 'loss': ...}}")
    model, loss = arguments.pop("model"), arguments.pop("loss")
    arguments.setdefault("batch", 16)
    return export_trainable(model, loss, path=out, **arguments)
