"""Matrix products, kept out of FULLY_CONNECTED, which the x86 builds of the runtimes run without AVX.

A right-hand side that is needed transposed is transposed once and shared. The gradient of a weight that many products
used (a recurrent weight) is one product over all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.backprop import dense, structured
from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, composed, forward
from edgewise_models.lowering.rules._cotangents import (
    Product,
    RowSum,
    SoftmaxGap,
    batch_matmul,
    transposed,
)
from edgewise_models.lowering.rules._sums import unbroadcast
from edgewise_models.lowering.values import Value, shape_of


@forward("MatMul")
def matmul(call: Call) -> Value:
    """a·b with b transposed beforehand where it must be."""
    a, b = call.inputs
    if call.attrs.get("transpose_b"):
        b = transposed(call.player, b)
    return batch_matmul(a, b, adj_x=bool(call.attrs.get("transpose_a")))


@backward("MatMul")
@structured
def matmul_gradient(call: Call, d: Any) -> list[Any]:
    """da = d·bᵀ and db = aᵀ·d, transposed as the inputs were."""
    a, b = call.inputs
    ta, tb = bool(call.attrs.get("transpose_a")), bool(call.attrs.get("transpose_b"))
    if isinstance(d, SoftmaxGap) and not ta:
        left = d.times_transposed(b, tb) if call.needs[0] else None
        return [left, d.of_weight(a, tb) if call.needs[1] else None]
    d = dense(d)
    da: Any = None
    db: Any = None
    if call.needs[0]:
        right = b if tb else transposed(call.player, b)
        da = batch_matmul(d, right)
        if ta:
            da = transposed(call.player, da)
    if call.needs[1]:
        if ta:
            db = batch_matmul(a, d) if not tb else transposed(call.player, batch_matmul(a, d))
        elif tb:
            db = transposed(call.player, batch_matmul(transposed(call.player, a), d))
        else:
            db = Product(call.player, [a], [d])
    return [da, db]


@composed("BatchMatMulV2", "BatchMatMulV3", "BatchMatMul")
def batch_matmul_as_rows(call: Call) -> Any:
    """A batch against one matrix is a plain product of all its rows."""
    if len(call.shape(1)) != 2 or call.attrs.get("adj_x"):
        return None
    lead, inner = call.shape()[:-1], call.shape()[-1]
    player = call.player
    rows = call.x
    if len(lead) > 1:
        rows = player.emit("Reshape", [rows, np.array([int(np.prod(lead)), inner], np.int32)], call.name)[0]
    made = player.emit(
        "MatMul", [rows, call.inputs[1]], call.name, transpose_a=False, transpose_b=bool(call.attrs.get("adj_y"))
    )[0]
    if len(lead) == 1:
        return made
    return player.emit("Reshape", [made, np.array([*lead, shape_of(made)[-1]], np.int32)], call.name)[0]


@forward("BatchMatMulV2", "BatchMatMulV3", "BatchMatMul")
def batch_matmul_forward(call: Call) -> Value:
    """BATCH_MATMUL; ranks above 4 become one batch axis."""
    a, b = call.inputs
    return batch_matmul(a, b, bool(call.attrs.get("adj_x")), bool(call.attrs.get("adj_y")))


@backward("BatchMatMulV2", "BatchMatMulV3", "BatchMatMul")
def batch_matmul_gradient(call: Call, d: Value) -> list[Value]:
    """As of a product, per matrix; summed over batch axes that were broadcast."""
    a, b = call.inputs
    ta, tb = bool(call.attrs.get("adj_x")), bool(call.attrs.get("adj_y"))
    da = db = None
    if call.needs[0]:
        made = batch_matmul(b, d, adj_x=tb, adj_y=True) if ta else batch_matmul(d, b, adj_y=not tb)
        da = unbroadcast(made, call.shape(0))
    if call.needs[1]:
        made = batch_matmul(d, a, adj_x=True, adj_y=ta) if tb else batch_matmul(a, d, adj_x=not ta)
        db = unbroadcast(made, call.shape(1))
    return [da, db]


@forward("BiasAdd")
def bias_add(call: Call) -> Value:
    """An ADD along the last axis."""
    if call.attrs.get("data_format") == b"NCHW":
        raise call.refuse("channels first", "use data_format='channels_last'")
    return call.inputs[0] + call.inputs[1]


@backward("BiasAdd", "Add", "AddV2")
@structured
def add_gradient(call: Call, d: Any) -> list[Any]:
    """To each summand as it is, summed where that was broadcast; a bias's sum waits for all its uses."""
    return [_addend(call, i, d) if call.needs[i] else None for i in range(2)]


def _addend(call: Call, index: int, d: Any) -> Any:
    shape, whole = call.shape(index), shape_of(call.y)
    if shape == whole:
        return d
    if shape == whole[-1:] and isinstance(d, SoftmaxGap):
        return d.row_sum()
    d = dense(d)
    if shape == whole[-1:] and len(whole) == 2:
        return RowSum(call.player, [d])
    return unbroadcast(d, shape)


@composed("Einsum")
def einsum(call: Call) -> Any:
    """Transposes, reshapes and one product: EINSUM is not built in."""
    equation = call.attrs["equation"]
    equation = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    terms, out = equation.split("->")
    terms = terms.split(",")
    if len(terms) != 2 or "." in equation or any(len(set(t)) != len(t) for t in [*terms, out]):
        if len(terms) == 1 and "." not in equation and len(set(terms[0])) == len(terms[0]):
            return _einsum_of_one(call, terms[0], out)
        raise call.refuse(f"the equation {equation!r}", "write it as products of two operands with distinct letters")
    return _Einsum(call, terms[0], terms[1], out).write()


def _einsum_of_one(call: Call, term: str, out: str) -> Value:
    emit = call.player.emit
    value = call.x
    gone = [i for i, letter in enumerate(term) if letter not in out]
    if gone:
        value = emit("Sum", [value, np.array(gone, np.int32)], call.name, keep_dims=False)[0]
    kept = [letter for letter in term if letter in out]
    order = [kept.index(letter) for letter in out]
    return value if order == sorted(order) else emit("Transpose", [value, np.array(order, np.int32)], call.name)[0]


class _Einsum:
    """`abc,cd->abd` as [batch, left, inner] × [batch, inner, right]."""

    def __init__(self, call: Call, left: str, right: str, out: str) -> None:
        self.call, self.left, self.right, self.out = call, left, right, out
        self.size = dict(zip(left + right, (*call.shape(0), *call.shape(1)), strict=True))
        both = [c for c in left if c in right]
        self.batch = [c for c in out if c in both]
        self.inner = [c for c in both if c not in out]
        self.rows = [c for c in out if c in left and c not in right]
        self.columns = [c for c in out if c in right and c not in left]

    def write(self) -> Value:
        a = self._arranged(0, self.left, self.batch + self.rows + self.inner)
        b = self._arranged(1, self.right, self.batch + self.inner + self.columns)
        a = self._grouped(a, self.rows, self.inner)
        b = self._grouped(b, self.inner, self.columns)
        emit, name = self.call.player.emit, self.call.name
        if self.batch:
            made = emit("BatchMatMulV2", [a, b], name, adj_x=False, adj_y=False)[0]
        else:
            made = emit("MatMul", [a, b], name, transpose_a=False, transpose_b=False)[0]
        letters = self.batch + self.rows + self.columns
        made = self._reshaped(made, [self.size[c] for c in letters])
        return self._permuted(made, letters, list(self.out))

    def _arranged(self, index: int, have: str, want: list[str]) -> Value:
        value = self.call.inputs[index]
        summed = [i for i, c in enumerate(have) if c not in want]
        if summed:
            axes = np.array(summed, np.int32)
            value = self.call.player.emit("Sum", [value, axes], self.call.name, keep_dims=False)[0]
        return self._permuted(value, [c for c in have if c in want], want)

    def _permuted(self, value: Value, have: list[str], want: list[str]) -> Value:
        order = [have.index(c) for c in want]
        if order == list(range(len(order))):
            return value
        return self.call.player.emit("Transpose", [value, np.array(order, np.int32)], self.call.name)[0]

    def _grouped(self, value: Value, first: list[str], second: list[str]) -> Value:
        groups = [self._count(self.batch)] if self.batch else []
        return self._reshaped(value, [*groups, self._count(first), self._count(second)])

    def _count(self, letters: list[str]) -> int:
        return int(np.prod([self.size[c] for c in letters])) if letters else 1

    def _reshaped(self, value: Value, shape: list[int]) -> Value:
        return self.call.player.emit("Reshape", [value, np.array(shape, np.int32)], self.call.name)[0]
