"""Every encoding by its name on the wire: `float32`, `rotated-4`, `eden-1`, `topk-0.01`, `clip-0.5+eden-1`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms.base import Codec
from edgewise_wire.transforms.chain import chain
from edgewise_wire.transforms.clip import clip
from edgewise_wire.transforms.eden import eden, lloyd
from edgewise_wire.transforms.float16 import float16
from edgewise_wire.transforms.float32 import float32
from edgewise_wire.transforms.rotated import rotated
from edgewise_wire.transforms.top_k import top_k

NAME_BYTES = 64  # what a message's `encoding` holds

PLAIN: dict[str, Callable[[], Codec]] = {"": float32, "float32": float32, "float16": float16}
WITH_BITS: dict[str, Callable[[int], Codec]] = {"rotated": rotated, "eden": eden, "lloyd": lloyd}
WITH_NUMBER: dict[str, Callable[[float], Any]] = {"topk": top_k, "clip": clip}

EXAMPLES = (
    "float32",
    "float16",
    "rotated-1 … rotated-8",
    "eden-1 … eden-4",
    "lloyd-1 … lloyd-4",
    "topk-0.01",
    "clip-1+eden-2",
)
"""What `get` knows, for a person to read."""


def get(name: str) -> Codec:
    """Return the codec of this name; the empty one means float32.

    Raises:
        ConfigError: if there is none, a number in it is out of its range, or its parts do not compose.

    Example:
        >>> get("eden-2").size(1_422_250), get("float32").size(1_422_250)
        (357756, 5689000)
    """
    if len(name.encode()) > NAME_BYTES:
        raise ConfigError(f"encoding of {len(name.encode())} bytes: expected a name of at most {NAME_BYTES}")
    first, plus, rest = name.partition("+")
    if first.startswith("clip-"):
        codec = chain(_made(first, name), get(rest) if plus else float32())
        if codec.name != name:
            raise ConfigError(f"encoding {name!r}: write {codec.name!r} instead")
        return codec
    if plus:
        raise ConfigError(f"encoding {name!r}: {first!r} cannot come before another; only clip-NORM can")
    plain: Codec = _made(first, name)
    return plain


def _made(part: str, name: str) -> Any:
    kind, dash, argument = part.partition("-")
    try:
        if part in PLAIN:
            return PLAIN[part]()
        if dash and kind in WITH_BITS:
            made = WITH_BITS[kind](int(argument))
        elif dash and kind in WITH_NUMBER:
            made = WITH_NUMBER[kind](float(argument))
        else:
            raise ValueError(kind)
    except ValueError:
        raise ConfigError(f"encoding {name!r}: not known; expected one of {', '.join(EXAMPLES)}") from None
    if made.name != part:  # one name an encoding: `eden-01` and `topk-1e-2` would be strangers to the other side
        raise ConfigError(f"encoding {name!r}: write {made.name!r} instead of {part!r}")
    return made
