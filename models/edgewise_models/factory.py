"""`module:factory`: an author's own code, asked for what to export."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from edgewise_wire.errors import ConfigError, ModelError
from edgewise_wire.user_code import load_named, user_code

VOCABULARY = "vocabulary"
Words: TypeAlias = Callable[[], Sequence[str]]
"""Where the words of a vocabulary come from, once they are asked for."""


def call_factory(name: str, words: Words | None = None) -> dict[str, Any]:
    """Import `module:factory` (the current folder included), call it, and return the arguments of `export_trainable`.

    The factory returns a Keras model, or a mapping with `model`, `loss` and whatever else `export_trainable` takes. One
    that has an argument `vocabulary` is given the words.

    Raises:
        ConfigError: if the name is not of that form, or there is no such module or function.
        ModelError: if the factory returns something else.
        UserCodeError: if the module or the factory raises.
    """
    factory = find_factory(name)
    takes = words is not None and VOCABULARY in inspect.signature(factory).parameters
    given = {VOCABULARY: words()} if words is not None and takes else {}
    with user_code(f"factory {name!r}"):
        made = factory(**given)
    if isinstance(made, Mapping):
        if "model" not in made:
            raise ModelError(f"{name!r}: expected a mapping with 'model', got the keys {', '.join(sorted(made))}")
        return dict(made)
    return {"model": made}


def find_factory(name: str) -> Callable[..., Any]:
    """Return the function that `module:factory` names. Raises as `call_factory` does."""
    factory: Callable[..., Any] = load_named("factory", name)
    if not callable(factory):
        raise ConfigError(f"factory {name!r}: expected a function, got {type(factory).__name__}")
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
