"""Every encoding by its name on the wire; `edgewise_wire.encodings` says which there are."""

from __future__ import annotations

from collections.abc import Callable

from edgewise_wire.encodings import EXAMPLES, NAME_BYTES, Number, parse
from edgewise_wire.transforms.base import Codec
from edgewise_wire.transforms.chain import chain
from edgewise_wire.transforms.clip import clip
from edgewise_wire.transforms.eden import eden, lloyd
from edgewise_wire.transforms.float16 import float16
from edgewise_wire.transforms.float32 import float32
from edgewise_wire.transforms.rotated import rotated
from edgewise_wire.transforms.top_k import top_k

__all__ = ["EXAMPLES", "MADE", "NAME_BYTES", "get"]

MADE: dict[str, Callable[[Number], Codec]] = {
    "float32": lambda _: float32(),
    "float16": lambda _: float16(),
    "rotated": lambda bits: rotated(int(bits or 0)),
    "eden": lambda bits: eden(int(bits or 0)),
    "lloyd": lambda bits: lloyd(int(bits or 0)),
    "topk": lambda fraction: top_k(float(fraction or 0.0)),
}
"""How the codec of each kind of encoding is made from its number."""


def get(name: str) -> Codec:
    """Return the codec of this name; the empty one means float32.

    Raises:
        ConfigError: if there is none, a number in it is out of its range, or its parts do not compose.

    Example:
        >>> get("eden-2").size(1_422_250), get("float32").size(1_422_250)
        (357756, 5689000)
    """
    found = parse(name)
    codec = MADE[found.kind](found.number)
    return codec if found.clip is None else chain(clip(found.clip), codec)
