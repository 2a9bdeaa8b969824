"""Transforms in a row: the device applies them from left to right, the coordinator undoes them in reverse."""

from __future__ import annotations

import math

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms.base import Bytes, Codec, Encoded, Key, Residual
from edgewise_wire.transforms.clip import Clip
from edgewise_wire.weights import Flat


def chain(first: Clip, codec: Codec) -> Codec:
    """Return the codec that clips and then encodes, and that decodes and then checks.

    Raises:
        ConfigError: if the two do not compose.

    Example:
        >>> from edgewise_wire.transforms.clip import clip
        >>> from edgewise_wire.transforms.eden import eden
        >>> chain(clip(0.5), eden(2)).name
        'clip-0.5+eden-2'
    """
    if codec.stateful:
        raise ConfigError(
            f"{first.name} does not compose with {codec.name}: what error feedback adds from earlier rounds is not "
            f"clipped, so the norm that a round promises would not hold; use a quantiser (eden-2) with clipping"
        )
    if "clip" in codec.name:
        raise ConfigError(f"{first.name}+{codec.name}: one clipping norm is enough; keep the smaller one")

    def encode(update: Flat, key: Key, residual: Residual) -> Encoded:
        return codec.encode(first.device(update), key, residual)

    def decode(data: Bytes, parameters: int, key: Key) -> Flat:
        return first.coordinator(codec.decode(data, parameters, key), codec.growth)

    name = f"{first.name}+{codec.name}" if codec.name != "float32" else first.name
    # Clipping is not linear, but what it hands to a linear codec is: masks still cancel in the sum.
    return codec._replace(name=name, encode=encode, decode=decode, unbiased=False, growth=math.inf)
