"""Gradients that are not written out yet: they merge with others of their kind, and some never become dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgewise_models.lowering.backprop import Several
from edgewise_models.lowering.player import Player
from edgewise_models.lowering.values import Value, is_known, shape_of
from edgewise_models.tensorflow import tf


def batch_matmul(a: Value, b: Value, adj_x: bool = False, adj_y: bool = False) -> Value:
    """BATCH_MATMUL, whatever the ranks."""
    return tf.raw_ops.BatchMatMulV2(x=a, y=b, adj_x=adj_x, adj_y=adj_y)


def transposed(player: Player, matrix: Value) -> Value:
    """Return the transpose of a rank-2 value, made once.

    Through rank 3 and a reshape: the converter folds a plain TRANSPOSE before BATCH_MATMUL into FULLY_CONNECTED.
    """
    key = ("transposed", id(matrix))
    if key not in player.cache:
        rows, columns = shape_of(matrix)
        if is_known(matrix):
            made = np.ascontiguousarray(matrix.T)
        elif rows == 1 or columns == 1:
            made = tf.reshape(matrix, [columns, rows])
        else:
            turned = tf.transpose(tf.reshape(matrix, [1, rows, columns]), [2, 1, 0])
            made = tf.reshape(turned, [columns, rows])
        player.cache[key] = (matrix, made)  # the matrix too: its id must stay taken
    return player.cache[key][1]


def joined(player: Player, pieces: Sequence[Value]) -> Value:
    """Return the pieces stacked along axis 0, made once for the same pieces."""
    if len(pieces) == 1:
        return pieces[0]
    key = ("joined", tuple(id(piece) for piece in pieces))
    if key not in player.cache:
        player.cache[key] = (tuple(pieces), tf.concat(list(pieces), 0))
    return player.cache[key][1]


@dataclass(slots=True)
class Product:
    """The gradient Σ aᵢᵀ dᵢ of a weight, not multiplied out yet."""

    player: Player
    left: list[Value]
    right: list[Value]

    def dense(self) -> Value:
        """One product of everything stacked."""
        return batch_matmul(joined(self.player, self.left), joined(self.player, self.right), adj_x=True)

    def merge(self, others: Sequence[Any]) -> Product:
        """More rows for the same product."""
        parts = [self, *others]
        return Product(self.player, [x for p in parts for x in p.left], [x for p in parts for x in p.right])


@dataclass(slots=True)
class RowSum:
    """The gradient Σ rows of dᵢ of a bias, not summed yet."""

    player: Player
    rows: list[Value]

    def dense(self) -> Value:
        """One sum over everything stacked."""
        return tf.reduce_sum(joined(self.player, self.rows), 0)

    def merge(self, others: Sequence[Any]) -> RowSum:
        """More rows for the same sum."""
        return RowSum(self.player, [row for part in [self, *others] for row in part.rows])


@dataclass(slots=True)
class Scattered:
    """Rows added at places of a table of zeros: the gradient of an embedding."""

    places: list[Value]
    rows: list[Value]
    shape: tuple[int, ...]

    def dense(self) -> Value:
        """One SCATTER_ND, which adds where places repeat.

        Not UNSORTED_SEGMENT_SUM, which autodiff writes: its output counts as dynamic, and the 2.14 runtime then drops
        XNNPACK for the whole graph.
        """
        return tf.scatter_nd(tf.concat(self.places, 0), tf.concat(self.rows, 0), self.shape)

    def merge(self, others: Sequence[Any]) -> Scattered:
        """More rows for the same table."""
        parts = [self, *others]
        return Scattered([x for p in parts for x in p.places], [x for p in parts for x in p.rows], self.shape)


@dataclass(slots=True)
class SoftmaxGap:
    """The gradient (P − onehot(labels))·w of a cross-entropy with softmax P: rows [N, V], weights w [N, 1].

    Products with it need only P, a gather and a scatter; the weights multiply the small side. The [N, V] difference is
    never formed unless something else than a product or a bias wants it.
    """

    player: Player
    softmax: Value
    labels: Value
    weights: Value
    shape: tuple[int, ...]

    @property
    def _classes(self) -> int:
        return shape_of(self.softmax)[1]

    @property
    def _places(self) -> Value:
        return tf.reshape(self.labels, [-1, 1])

    def dense(self) -> Value:
        """Write it out."""
        return tf.reshape((self.softmax - tf.one_hot(self.labels, self._classes)) * self.weights, self.shape)

    def merge(self, others: Sequence[Any]) -> None:
        """Two of them have no common form."""
        del others

    def reshaped(self, shape: tuple[int, ...]) -> SoftmaxGap | None:
        """Return it in another shape of the same rows, if it is that."""
        return replace(self, shape=tuple(shape)) if shape and shape[-1] == self._classes else None

    def row_sum(self) -> Value:
        """Pᵀw less the weights scattered to their labels: the gradient of a bias."""
        summed = batch_matmul(self.weights, self.softmax, adj_x=True)
        scattered = tf.scatter_nd(self._places, tf.reshape(self.weights, [-1]), [self._classes])
        # [1, V] until the end: from reshapes around a product the converter makes one of rank 1, which it then refuses
        return tf.reshape(summed - tf.reshape(scattered, [1, self._classes]), [self._classes])

    def times_transposed(self, matrix: Value, is_transposed: bool) -> Value:
        """Return gap·matrixᵀ for a matrix [D, V], or gap·matrix for one [V, D]: (P·E − E[labels])·w."""
        table = matrix if is_transposed else transposed(self.player, matrix)
        return (batch_matmul(self.softmax, table) - tf.gather(table, self.labels)) * self.weights

    def of_weight(self, left: Value, is_transposed: bool) -> Any:
        """Return the gradient of the matrix that multiplied `left`: (left·w)ᵀP, less rows scattered to the labels."""
        rows = left * self.weights
        scattered = Scattered([self._places], [-rows], (self._classes, shape_of(left)[1]))
        product = batch_matmul(transposed(self.player, rows), self.softmax)
        if is_transposed:  # an embedding shared with the output: its own scatter joins in
            return Several((transposed(self.player, product), scattered))
        return product + transposed(self.player, scattered.dense())
