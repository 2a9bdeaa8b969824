"""Messages to bytes and back: FlatBuffers for everyone to read, checked here because its runtimes check nothing.

The laws: `decode(encode(m)) == m`; equal messages give equal bytes, in every language (see `writer`); any bytes at all
give an `Envelope` or a `ProtocolError`, in memory proportional to their number.
"""

from edgewise_wire.codec.reader import decode
from edgewise_wire.codec.writer import encode

__all__ = ["decode", "encode"]
