"""The TFLite container, read with every offset checked and nothing executed.

FlatBuffers' own Python runtime verifies nothing, and the interpreter trusts indices inside the graph; so this reader
bounds each vector, checks each offset against the file and each index against what it points into, before anything else
touches the file. It reads what edgewise needs: operators, tensors, signatures, metadata and where the constant buffers
lie. The options inside operators are left to the runtime's own verifier.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ModelError
from edgewise_wire.tflite_names import CUSTOM, ITEM_BYTES, OPERATORS, PLACEHOLDER, TYPES

FILE_BYTES_MAX = 1 << 31  # FlatBuffers' offsets are 32 bits with a sign
TABLES_MAX = 1_000_000  # a hostile file may point at one table from millions of places
RANK_MAX = 8  # TFLite's kernels go no further
IDENTIFIER = b"TFL3"

T = TypeVar("T")
Ints = NDArray[np.int32]
_NONE: Ints = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Span:
    """Where bytes lie in the file: `size` of them from `start` on."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class OperatorCode:
    """An operator that the graph uses: its name (a custom one's own) and version."""

    name: str
    version: int
    custom: bool

    @property
    def flex(self) -> bool:
        """Whether it is a TensorFlow operator, which the plain runtimes do not have."""
        return self.custom and self.name.startswith("Flex")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a subgraph; `dtype` is NumPy's name of its type, `buffer` the number of its constant buffer."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Operator:
    """One call: which operator code, and the tensors it reads and writes (-1: an optional one left out)."""

    code: int
    inputs: Ints
    outputs: Ints


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Tensors and the operators over them in order of execution."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: Ints
    outputs: Ints
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """An entry point: the tensors of its subgraph by the names that callers use."""

    subgraph: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """What a TFLite file holds. Metadata entries map to their buffers."""

    codes: tuple[OperatorCode, ...]
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Span, ...]
    metadata: dict[str, int]
    signatures: dict[str, Signature]


class _Reader:
    """Reads scalars, strings and vectors of tables out of a buffer; counts the tables it visits."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.tables = 0

    def unpack(self, code: str, at: int) -> int:
        size = struct.calcsize(code)
        if at < 0 or at + size > len(self.data):
            raise ModelError(f"an offset at byte {at} points outside of its {len(self.data)} bytes")
        value: int = struct.unpack_from(code, self.data, at)[0]
        return value

    def follow(self, at: int) -> int:
        """Return where the forward offset at `at` leads."""
        return at + self.unpack("<I", at)

    def vector(self, at: int, item_bytes: int) -> Span:
        """Return the items of the vector whose offset stands at `at` (0: absent)."""
        if not at:
            return Span(0, 0)
        start = self.follow(at)
        span = Span(start + 4, self.unpack("<I", start) * item_bytes)
        if span.stop > len(self.data):
            raise ModelError(f"a vector at byte {start} reaches outside of its {len(self.data)} bytes")
        return span

    def text(self, at: int) -> str:
        span = self.vector(at, 1)
        try:
            return str(self.data[span.start : span.stop], "utf-8")
        except UnicodeDecodeError:
            raise ModelError(f"the name at byte {span.start} is not UTF-8") from None

    def ints(self, at: int) -> Ints:
        span = self.vector(at, 4)
        return np.frombuffer(self.data, "<i4", span.size // 4, span.start).astype(np.int32) if span.size else _NONE

    def many(self, at: int, read: Callable[[_Table], T]) -> tuple[T, ...]:
        span = self.vector(at, 4)
        return tuple(read(_Table(self, self.follow(place))) for place in range(span.start, span.stop, 4))


class _Table:
    """One FlatBuffers table; a field is named by its slot and reads as a default where absent."""

    __slots__ = ("at", "reader", "size", "vtable", "vtable_size")

    def __init__(self, reader: _Reader, at: int) -> None:
        reader.tables += 1
        if reader.tables > TABLES_MAX:
            raise ModelError(f"more than {TABLES_MAX} tables")
        self.reader, self.at = reader, at
        self.vtable = at - reader.unpack("<i", at)
        self.vtable_size, self.size = reader.unpack("<H", self.vtable), reader.unpack("<H", self.vtable + 2)
        if self.vtable_size < 4 or self.size < 4 or at + self.size > len(reader.data):
            raise ModelError(f"the table at byte {at} is damaged")

    def place(self, slot: int, size: int = 4) -> int:
        """Return where the field stands, or 0 if it is absent."""
        entry = 4 + 2 * slot
        if entry + 2 > self.vtable_size:
            return 0
        offset = self.reader.unpack("<H", self.vtable + entry)
        if offset and (offset < 4 or offset + size > self.size):
            raise ModelError(f"the table at byte {self.at} has a field outside of itself")
        return self.at + offset if offset else 0

    def number(self, slot: int, code: str, default: int = 0) -> int:
        at = self.place(slot, struct.calcsize(code))
        return self.reader.unpack(code, at) if at else default

    def text(self, slot: int) -> str:
        return self.reader.text(self.place(slot))

    def ints(self, slot: int) -> Ints:
        return self.reader.ints(self.place(slot))

    def many(self, slot: int, read: Callable[[_Table], T]) -> tuple[T, ...]:
        return self.reader.many(self.place(slot), read)


def parse(data: bytes | memoryview) -> TfliteFile:
    """Read the container in `data`.

    Raises:
        ModelError: if it is no TFLite file, is torn, or refers to something that it does not hold.

    Example:
        >>> parse(b"PK not a model")
        Traceback (most recent call last):
        ...
        edgewise_wire.errors.ModelError: not a TFLite file: it does not carry the mark 'TFL3'
    """
    view = memoryview(data).cast("B")
    if len(view) > FILE_BYTES_MAX:
        raise ModelError(f"too large: {len(view)} bytes, at most {FILE_BYTES_MAX}")
    if len(view) < 8 or view[4:8] != IDENTIFIER:
        raise ModelError("not a TFLite file: it does not carry the mark 'TFL3'")
    reader = _Reader(view)
    try:
        return _model(_Table(reader, reader.follow(0)))
    except ModelError as error:
        raise ModelError(f"a damaged TFLite file: {error}") from None


def _model(root: _Table) -> TfliteFile:
    codes = root.many(1, _code)
    buffers = root.many(4, _buffer)
    subgraphs = root.many(2, lambda table: _subgraph(table, len(codes), len(buffers)))
    metadata = dict(root.many(6, lambda table: (table.text(0), _index(table.number(1, "<I"), len(buffers), "buffer"))))
    signatures = dict(root.many(7, lambda table: _signature(table, subgraphs)))
    _check_constants(subgraphs, buffers)
    return TfliteFile(codes, subgraphs, buffers, metadata, signatures)


def _code(table: _Table) -> OperatorCode:
    old, new = table.number(0, "<b"), table.number(3, "<i")
    number = new if old == PLACEHOLDER or new > old else old
    if not 0 <= number < len(OPERATORS):
        raise ModelError(f"operator number {number} is none that TFLite has")
    custom = number == CUSTOM
    return OperatorCode(table.text(1) if custom else OPERATORS[number], table.number(2, "<i", 1), custom)


def _buffer(table: _Table) -> Span:
    if table.number(1, "<Q") > 1 or table.number(2, "<Q") > 1:
        raise ModelError("constants stored behind the container (a model over 2 GB) are not supported")
    return table.reader.vector(table.place(0), 1)


def _tensor(table: _Table, buffers: int) -> Tensor:
    shape = tuple(table.ints(0).tolist())
    if len(shape) > RANK_MAX or any(side < 0 for side in shape) or math.prod(shape) > FILE_BYTES_MAX:
        raise ModelError(f"a tensor has the shape {list(shape[: RANK_MAX + 1])}")
    number = table.number(1, "<b")
    if not 0 <= number < len(TYPES):
        raise ModelError(f"tensor type number {number} is none that TFLite has")
    return Tensor(table.text(3), shape, TYPES[number], _index(table.number(2, "<I"), buffers, "buffer"))


def _operator(table: _Table, codes: int, tensors: int) -> Operator:
    inputs, outputs = table.ints(1), table.ints(2)
    for indices in (inputs, outputs, table.ints(8)):
        if indices.size and (indices.min() < -1 or indices.max() >= tensors):
            raise ModelError("an operator refers to a tensor that its subgraph does not have")
    return Operator(_index(table.number(0, "<I"), codes, "operator code"), inputs, outputs)


def _subgraph(table: _Table, codes: int, buffers: int) -> Subgraph:
    tensors = table.many(0, lambda item: _tensor(item, buffers))
    inputs, outputs = table.ints(1), table.ints(2)
    for indices in (inputs, outputs):
        if indices.size and (indices.min() < 0 or indices.max() >= len(tensors)):
            raise ModelError("a subgraph's inputs or outputs refer to a tensor that it does not have")
    operators = table.many(3, lambda item: _operator(item, codes, len(tensors)))
    return Subgraph(table.text(4), tensors, inputs, outputs, operators)


def _signature(table: _Table, subgraphs: tuple[Subgraph, ...]) -> tuple[str, Signature]:
    number = table.number(4, "<I")
    tensors = subgraphs[_index(number, len(subgraphs), "subgraph")].tensors

    def named(item: _Table) -> tuple[str, Tensor]:
        return item.text(0), tensors[_index(item.number(1, "<I"), len(tensors), "tensor")]

    return table.text(2), Signature(number, dict(table.many(0, named)), dict(table.many(1, named)))


def _check_constants(subgraphs: tuple[Subgraph, ...], buffers: tuple[Span, ...]) -> None:
    """Check that each constant has as many bytes as its tensor needs: kernels read that many."""
    for subgraph in subgraphs:
        for tensor in subgraph.tensors:
            have, item = buffers[tensor.buffer].size, ITEM_BYTES.get(tensor.dtype)
            if have and item and have != item * tensor.size:
                raise ModelError(f"the constant {tensor.name!r}: {tensor} does not have {have} bytes")


def _index(number: int, count: int, what: str) -> int:
    if number >= count:
        raise ModelError(f"{what} {number} is referred to, but there are {count}")
    return number
