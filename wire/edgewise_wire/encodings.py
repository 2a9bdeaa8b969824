"""How updates can be encoded: the names on the wire and the bytes that each takes, without any of the arithmetic.

`float32`, `float16`, `rotated-4`, `eden-1`, `lloyd-4`, `topk-0.01`, `clip-0.5`, `clip-0.5+eden-1`. A device weighs an
assignment by this alone; what encodes and decodes is `transforms`, which needs NumPy and so 20 MB that a device which
waits does without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from edgewise_wire.errors import ConfigError

NAME_BYTES: Final = 64  # what a message's `encoding` holds
HEADER_BYTES: Final = 12  # before every encoding but plain float32; `transforms.header` says what is in it
BLOCK: Final = 4096  # long enough for the central limit theorem; its scale of 4 bytes is 1/128 of a bit a number
EXAMPLES: Final = (
    "float32",
    "float16",
    "rotated-1 … rotated-8",
    "eden-1 … eden-4",
    "lloyd-1 … lloyd-4",
    "topk-0.01",
    "clip-1+eden-2",
)
"""The names that are known, for a person to read."""

Number: TypeAlias = "int | float | None"


@dataclass(frozen=True, slots=True)
class Encoding:
    """One encoding: `kind` and its number (bits, or a fraction), and the clipping norm before it where there is one."""

    kind: str
    number: Number = None
    clip: float | None = None

    @property
    def name(self) -> str:
        """The one name that it has on the wire."""
        own = self.kind if self.number is None else f"{self.kind}-{self.number:g}"
        if self.clip is None:
            return own
        return f"clip-{self.clip:g}" if own == "float32" else f"clip-{self.clip:g}+{own}"

    def size(self, parameters: int) -> int:
        """Return the bytes of an update of so many numbers."""
        return SIZES[self.kind](parameters, self.number)


def parse(name: str) -> Encoding:
    """Return the encoding of this name; the empty one means float32.

    Raises:
        ConfigError: if there is none, a number in it is out of its range, its parts do not compose, or it is written
            otherwise than it must be: one name an encoding, `eden-01` would be a stranger to the other side.

    Example:
        >>> parse("clip-0.5+eden-2").size(1_422_250), parse("").size(1_422_250)
        (357756, 5689000)
    """
    if len(name.encode()) > NAME_BYTES:
        raise ConfigError(f"encoding of {len(name.encode())} bytes: expected a name of at most {NAME_BYTES}")
    first, plus, rest = name.partition("+")
    if first.startswith("clip-"):
        found = _clipped(_number(first, name, float), parse(rest) if plus else Encoding("float32"))
    elif plus:
        raise ConfigError(f"encoding {name!r}: {first!r} cannot come before another; only clip-NORM can")
    else:
        found = _plain(first, name)
    if found.name != (name or "float32"):
        raise ConfigError(f"encoding {name!r}: write {found.name!r} instead")
    return found


def clipping_norm(name: str) -> float:
    """Return the L2 norm that an encoding clips to, 0 for one that does not clip or is not known.

    Example:
        >>> clipping_norm("clip-0.5+eden-2"), clipping_norm("eden-2")
        (0.5, 0.0)
    """
    try:
        return parse(name).clip or 0.0
    except ConfigError:
        return 0.0


def _plain(part: str, name: str) -> Encoding:
    kind = part.partition("-")[0] if "-" in part else part or "float32"
    if kind in ("float32", "float16") and "-" not in part:
        return Encoding(kind)
    if kind in BITS_MAX:
        return quantiser(kind, int(_number(part, name, int)))
    if kind == "topk":
        return largest(_number(part, name, float))
    raise _unknown(name)


def quantiser(kind: str, bits: int) -> Encoding:
    """Return the encoding that quantises to so many bits.

    Raises:
        ConfigError: if it cannot have so many.
    """
    if not 1 <= bits <= BITS_MAX[kind]:
        raise ConfigError(f"{WORDS[kind]}: expected 1 to {BITS_MAX[kind]} bits, got {bits}")
    return Encoding(kind, bits)


def largest(fraction: float) -> Encoding:
    """Return the encoding that sends the largest numbers, this fraction of all.

    Raises:
        ConfigError: if it is not above 0, or above a half.
    """
    if not 0 < fraction <= TOP_K_MAX:
        raise ConfigError(f"top-k: expected a fraction above 0 and at most {TOP_K_MAX}, got {fraction}")
    return Encoding("topk", fraction)


def _clipped(norm: float, inner: Encoding) -> Encoding:
    if not 0 < norm < math.inf:
        raise ConfigError(f"clipping norm: expected a positive number, got {norm}")
    if inner.kind == "topk":
        raise ConfigError(
            f"clip-{norm:g} does not compose with {inner.name}: what error feedback adds from earlier rounds is not "
            f"clipped, so the norm that a round promises would not hold; use a quantiser (eden-2) with clipping"
        )
    if inner.clip is not None:
        raise ConfigError(f"clip-{norm:g}+{inner.name}: one clipping norm is enough; keep the smaller one")
    return Encoding(inner.kind, inner.number, norm)


def _number(part: str, name: str, kind: Callable[[str], float]) -> float:
    try:
        return kind(part.partition("-")[2])
    except ValueError:
        raise _unknown(name) from None


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"encoding {name!r}: not known; expected one of {', '.join(EXAMPLES)}")


BITS_MAX: Final = {"rotated": 8, "eden": 4, "lloyd": 4}
WORDS: Final = {"rotated": "rotated quantisation", "eden": "eden", "lloyd": "lloyd"}
TOP_K_MAX: Final = 0.5  # beyond it float16 of everything is smaller


def block_length(parameters: int) -> int:
    """Return the length of a rotated block: 4096, or the next power of two for a shorter vector."""
    return min(BLOCK, 1 << max(0, parameters - 1).bit_length())


def blocks(parameters: int) -> int:
    """Return how many rotated blocks a vector has."""
    return -(-parameters // block_length(parameters))


def padded(parameters: int) -> int:
    """Return how many numbers all blocks have together."""
    return blocks(parameters) * block_length(parameters)


def _quantised(parameters: int, bits: Number, a_block: int) -> int:
    """Return the bytes of `bits` planes over all blocks, and of what each block says about its scale."""
    return HEADER_BYTES + a_block * blocks(parameters) + int(bits or 0) * plane_bytes(padded(parameters))


def plane_bytes(count: int) -> int:
    """Return how many bytes one plane of `count` bits takes."""
    return -(-count // 8)


def top_k_count(parameters: int, fraction: float) -> int:
    """Return how many numbers top-k sends."""
    return max(1, math.ceil(fraction * parameters))


def low_bits(parameters: int, count: int) -> int:
    """Return how many low bits of each of top-k's places are written as they are (Elias 1974, Fano 1971)."""
    return max(0, (parameters // count).bit_length() - 1)


def unary_bits(parameters: int, count: int) -> int:
    """Return how many bits the places' high parts take, in unary."""
    return count + ((parameters - 1) >> low_bits(parameters, count))


def index_bytes(parameters: int, count: int) -> int:
    """Return the bytes of top-k's places."""
    return low_bits(parameters, count) * plane_bytes(count) + plane_bytes(unary_bits(parameters, count))


def _top_k(parameters: int, fraction: Number) -> int:
    count = top_k_count(parameters, float(fraction or 0.0))
    return HEADER_BYTES + 4 + index_bytes(parameters, count) + 2 * count


SIZES: Final[dict[str, Callable[[int, Number], int]]] = {
    "float32": lambda parameters, _: 4 * parameters,
    "float16": lambda parameters, _: HEADER_BYTES + 4 + 2 * parameters,
    "rotated": lambda parameters, bits: _quantised(parameters, bits, 8),
    "eden": lambda parameters, bits: _quantised(parameters, bits, 4),
    "lloyd": lambda parameters, bits: _quantised(parameters, bits, 4),
    "topk": _top_k,
}
