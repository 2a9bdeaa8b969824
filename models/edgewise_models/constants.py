"""What a model file may hold besides its weights and its graph: next to nothing. No TensorFlow here.

A loss without a run-time weight folds a `[B·T, V]` block into the file, a mask a `[T, T]` one; each would travel with
every graph. The file's bytes must be weights (frozen ones included), graph and manifest; all other constants together
may be 5 % of that, and each 64 KiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgewise_wire.errors import ModelError
from edgewise_wire.tflite_file import Tensor, TfliteFile

STRAY_BYTES = 64 << 10
STRAY_SHARE = 0.05  # of the file without them


def refuse_stray(file: TfliteFile, owned: Iterable[int], size: int) -> int:
    """Check the constants of a file of `size` bytes that stand in no buffer of `owned`; return their bytes.

    Raises:
        ModelError: naming the largest one, if it is over 64 KiB or all are over 5 % of weights and graph.
    """
    found = _others(file, frozenset(owned))
    total = sum(file.buffers[number].size for number in found)
    if not total:
        return 0
    number = max(found, key=lambda each: file.buffers[each].size)
    largest, tensor = file.buffers[number].size, found[number]
    if largest > STRAY_BYTES:
        raise ModelError(
            f"the constant {tensor.name!r} ({tensor}, {largest} bytes) would travel with the model though it is no"
            " weight; make it depend on an input, or compute it in the graph"
        )
    if total > STRAY_SHARE * (size - total):
        raise ModelError(
            f"constants that are no weights take {total:,} of {size:,} bytes, expected at most {STRAY_SHARE:.0%} of"
            f" weights and graph; the largest is {tensor.name!r} ({tensor}, {largest:,} bytes): compute it in the graph"
        )
    return total


def _others(file: TfliteFile, owned: frozenset[int]) -> Mapping[int, Tensor]:
    """Return a tensor of each constant that is not owned, by its buffer."""
    tensors = (tensor for subgraph in file.subgraphs for tensor in subgraph.tensors)
    return {t.buffer: t for t in tensors if t.buffer not in owned and file.buffers[t.buffer].size}
