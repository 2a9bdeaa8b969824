"""What a graph costs, read off the file: floating-point operations of its products, bytes alive at once."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

from edgewise_wire.tflite_file import Operator, Subgraph, TfliteFile
from edgewise_wire.tflite_names import ITEM_BYTES


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """One kind of operator in a subgraph: how many calls, their FLOPs, the bytes of their outputs."""

    name: str
    count: int
    flops: int
    bytes: int


def flops(file: TfliteFile, subgraph: int) -> int:
    """Return the floating-point operations of a subgraph's matrix products and convolutions (2 a multiply-add)."""
    return sum(cost.flops for cost in costs(file, subgraph))


def costs(file: TfliteFile, subgraph: int) -> tuple[OperatorCost, ...]:
    """Return what each kind of operator costs in a subgraph, the dearest first."""
    graph = file.subgraphs[subgraph]
    count: Counter[str] = Counter()
    work: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for operator in graph.operators:
        name = file.codes[operator.code].name
        count[name] += 1
        work[name] += _flops(name, graph, operator)
        size[name] += sum(_bytes(graph, int(index)) for index in operator.outputs)
    found = (OperatorCost(name, count[name], work[name], size[name]) for name in count)
    return tuple(sorted(found, key=lambda cost: (-cost.flops, -cost.bytes, cost.name)))


def peak_bytes(file: TfliteFile, subgraph: int) -> int:
    """Return the most bytes of intermediate tensors that are alive at once when the operators run in order."""
    graph = file.subgraphs[subgraph]
    born = dict.fromkeys(graph.inputs.tolist(), 0)
    last = dict.fromkeys(graph.inputs.tolist(), 0)
    for at, operator in enumerate(graph.operators):
        for index in operator.outputs.tolist():
            born.setdefault(index, at)
        for index in (*operator.inputs.tolist(), *operator.outputs.tolist()):
            last[index] = at
    last.update(dict.fromkeys(graph.outputs.tolist(), len(graph.operators)))
    change: Counter[int] = Counter()
    for index, start in born.items():  # what no operator makes is a constant of the file, not of the arena
        change[start] += _bytes(graph, index)
        change[last[index] + 1] -= _bytes(graph, index)
    return max(accumulate(change[at] for at in sorted(change)), default=0)


def _bytes(graph: Subgraph, index: int) -> int:
    if index < 0:
        return 0
    tensor = graph.tensors[index]
    return tensor.size * ITEM_BYTES.get(tensor.dtype, 0)


def _flops(name: str, graph: Subgraph, operator: Operator) -> int:
    """Return the operations of one call; 0 for what is no product, or whose shapes are not those of one."""
    if operator.inputs.size < 2 or not operator.outputs.size or min(operator.inputs[:2].min(), operator.outputs[0]) < 0:
        return 0
    out, first, second = (graph.tensors[int(i)] for i in (operator.outputs[0], *operator.inputs[:2]))
    if name == "BATCH_MATMUL" and min(len(out.shape), len(first.shape)) >= 2:
        # the inner axis, whichever way round the left side is
        return 2 * out.size * (first.size // max(1, math.prod(first.shape[:-2]) * out.shape[-2]))
    if name == "FULLY_CONNECTED" and len(second.shape) == 2:
        return 2 * out.size * second.shape[1]
    if name in ("CONV_2D", "CONV_3D") and out.shape:
        return 2 * out.size * (second.size // max(1, out.shape[-1]))
    if name == "DEPTHWISE_CONV_2D":
        return 2 * out.size * math.prod(second.shape[1:3])
    if name == "TRANSPOSE_CONV" and operator.inputs.size > 2 and operator.inputs[2] >= 0:
        given = graph.tensors[int(operator.inputs[2])]
        return 2 * given.size * (second.size // max(1, given.shape[-1] if given.shape else 1))
    return 0
