"""One step of the CIFG-LSTM with its backward pass laid out by hand, from operators that TFLite has.

Why by hand: what autodiff makes of it takes twice the time in both runtimes. The layout follows measurements
(x86-64, both runtimes; `benchmarks/train_step.py`):

- Products are `BATCH_MATMUL`, never `FULLY_CONNECTED` (slow SSE code in the x86 wheels): each right side that is
  needed transposed is transposed once, through a concat and a slice, which keep the converter from folding it back.
- The softmax's gradient `P - onehot` is never formed. Row weights scale the small [N, D] side; the one-hot part is
  `-E[y]` in the gradient of the hidden states, and a scatter of `-w h` into the embedding's, shared with the inputs'.
- The learning rate is part of the row weights: every gradient comes out already multiplied.
- The recurrent weights' gradients are one product each after the loop, not a sum of one a time step.
- Time-major order is a gather by a constant: an int32 `TRANSPOSE` makes tflite-runtime drop XNNPACK for the graph.
- A row may hold several sentences, one after the other: the state is zero again wherever `first` stands. So hardly any
  padding is computed, whatever the sentences' lengths, with one graph and one arena.

Notation: B rows, T steps, N = B·T, V words, D embedding, H units. Gates stand as forget f, candidate g, output o:

    z_t = x_t Wx + k_t h_{t-1} Wh + b,   c_t = f (k_t c_{t-1} - g) + g,   a_t = o tanh(c_t),   h_t = a_t P

where k_t is 0 in the rows in which a sentence begins at t, else 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from edgewise_models.tensorflow import tf

Tensor = Any
EVALUATION_CHUNKS = 4  # of rows: evaluation is not what takes a device's time, but its memory adds to training's
TINY = 1e-37  # below it a label's probability counts as this: its loss saturates at 85, gradients do not


@dataclass(frozen=True, slots=True)
class Layout:
    """How the [N, V] block is laid out: choices that change time and memory, never the result.

    The block is worked through in `chunks` of rows, one after the other: four save 15 MB of the full model's 112 and
    cost at most half a millisecond of 22. `adjoint` multiplies by the untransposed embedding, which saves its transpose
    (4 MB) and a millisecond on LiteRT, but costs ten on tflite-runtime.
    """

    chunks: int = 4
    adjoint: bool = False


class Parameters(NamedTuple):
    """The weights, or a change of each, in the order in which they travel."""

    embedding: Tensor
    output_bias: Tensor
    kernel: Tensor
    bias: Tensor
    projection: Tensor


class Step(NamedTuple):
    """The weighted mean loss, the sum of the weights, and learning rate × gradient of each weight."""

    loss: Tensor
    weight_sum: Tensor
    changes: Parameters


class _State(NamedTuple):
    """What the backward pass needs of one time step: `keep` [B, 1] is k, `before` is k c_{t-1}; `None` at first."""

    keep: Tensor | None
    forget: Tensor
    candidate: Tensor
    output: Tensor
    before: Tensor
    tanh_cell: Tensor
    activation: Tensor


class _Forward(NamedTuple):
    """All time steps: inputs [N, D], hidden states, those that each step was given, its state; time-major."""

    inputs: Tensor
    hidden: list[Tensor]
    given: list[Tensor]
    states: list[_State]


class _Output(NamedTuple):
    """What the output layer yields: the label's probability, and its share in three gradients."""

    probability: Tensor
    hidden: Tensor
    embedding: Tensor
    bias: Tensor


def train_step(
    w: Parameters,
    tokens: Tensor,
    labels: Tensor,
    weight: Tensor,
    learning_rate: Tensor,
    *,
    layout: Layout,
    first: int,
    rows: int | None = None,
) -> Step:
    """Return loss and changes for `tokens`, `labels` int32[B, T], `weight` float32[B, T].

    The loss is the weighted mean of the cross-entropies (Hard et al. 2018, §3). `first` is the token that begins a
    sentence. With `rows`, only so many positions go through the output layer, those of the largest weights: the others
    must weigh 0.
    """
    steps = tokens.shape[1]
    x, y, row_weight = (_time_major(array) for array in (tokens, labels, weight))
    weight_sum = tf.reduce_sum(row_weight)

    forward = _forward(w, x, steps, first)
    hidden = tf.concat(forward.hidden, 0)
    some = rows is not None and rows < x.shape[0]
    if some:
        chosen = tf.math.top_k(row_weight, rows).indices
        hidden, y, row_weight = (tf.gather(array, chosen) for array in (hidden, y, row_weight))
    mean = tf.reshape(row_weight, [-1, 1]) / tf.maximum(weight_sum, TINY)
    scaled = mean * learning_rate
    output = _output_layer(w, hidden, y, scaled, layout)
    loss = tf.reduce_sum(tf.reshape(_cross_entropy(output.probability), [-1, 1]) * mean)
    d_hidden = output.hidden
    if some:
        d_hidden = tf.scatter_nd(tf.reshape(chosen, [-1, 1]), d_hidden, (x.shape[0], w.embedding.shape[1]))
    kernel, bias, projection, d_inputs = _backward(w, forward, d_hidden)

    at = tf.reshape(tf.concat([x, y], 0), [-1, 1])
    scattered = tf.scatter_nd(at, tf.concat([d_inputs, -(hidden * scaled)], 0), w.embedding.shape)
    labelled = tf.scatter_nd(tf.reshape(y, [-1, 1]), -tf.reshape(scaled, [-1]), w.output_bias.shape)
    changes = Parameters(output.embedding + scattered, output.bias + labelled, kernel, bias, projection)
    return Step(loss, weight_sum, changes)


def evaluate(
    w: Parameters, tokens: Tensor, labels: Tensor, weight: Tensor, *, first: int, first_ranked: int
) -> dict[str, Tensor]:
    """Return `loss_sum`, `weight_sum`, `top1` and `top3`: sums over the batch, weighted.

    Ids below `first_ranked` are not ranked, so such a label is always missed. A label's rank is the number of logits
    that reach its own, itself included: a tie counts against the model, and NaN makes it a miss.
    """
    steps = tokens.shape[1]
    x, y, row_weight = (_time_major(array) for array in (tokens, labels, weight))
    hidden = tf.concat(_forward(w, x, steps, first).hidden, 0)
    logits_of = _logits(w, hidden, Layout())
    losses: list[Tensor] = []
    ranks: list[Tensor] = []
    for part in _parts(x.shape[0], EVALUATION_CHUNKS):
        logits = logits_of(part, ranks[-1][0] if ranks else None)
        at = _positions(y[part])
        losses.append(_cross_entropy(tf.gather_nd(tf.nn.softmax(logits), at)))
        own = tf.reshape(tf.gather_nd(logits, at), [-1, 1])
        ranks.append(_reaching(logits, own) - _reaching(logits[:, :first_ranked], own))
    rank = _joined(ranks)
    counts = row_weight * tf.cast((y >= first_ranked) & (rank >= 1.0), tf.float32)
    return {
        "loss_sum": tf.reduce_sum(_joined(losses) * row_weight),
        "weight_sum": tf.reduce_sum(row_weight),
        "top1": tf.reduce_sum(counts * tf.cast(rank <= 1.0, tf.float32)),
        "top3": tf.reduce_sum(counts * tf.cast(rank <= 3.0, tf.float32)),
    }


def _reaching(logits: Tensor, own: Tensor) -> Tensor:
    """Return how many logits of each row are not below its own."""
    return tf.reduce_sum(tf.cast(logits >= own, tf.float32), 1)


def suggest(w: Parameters, tokens: Tensor, *, count: int, first: int, first_ranked: int) -> dict[str, Tensor]:
    """Return the `ids` and `probabilities` of the likeliest words after the last token of `tokens` int32[1, T]."""
    logits = tf.reshape(scores(w, tokens, first=first), [-1])
    best = tf.math.top_k(tf.nn.softmax(logits)[first_ranked:], count)
    return {"ids": best.indices + first_ranked, "probabilities": best.values}


def scores(w: Parameters, tokens: Tensor, *, first: int) -> Tensor:
    """Return the logits float32[1, V] of what may follow the last token of `tokens` int32[1, T]."""
    steps = tokens.shape[1]
    x = tf.reshape(tokens, [steps])
    hidden = tf.concat(_forward(w, x, steps, first).hidden, 0)
    used = tf.cast(tf.not_equal(x, 0), tf.int32) * tf.constant(np.arange(steps, dtype=np.int32))
    last = tf.gather(hidden, tf.reshape(tf.reduce_max(used), [1]))
    return tf.reshape(tf.reshape(_product(w.embedding, tf.transpose(last)), [-1]) + w.output_bias, [1, -1])


def _cross_entropy(probability: Tensor) -> Tensor:
    """Return -log p. `p - p` is 0, but NaN where p is: a kernel's maximum may swallow it and hide a diverged model."""
    return (probability - probability) - tf.math.log(tf.maximum(probability, TINY))


def _product(a: Tensor, b: Tensor, *, transpose_a: bool = False) -> Tensor:
    return tf.raw_ops.BatchMatMulV2(x=a, y=b, adj_x=transpose_a, adj_y=False)


def _time_major(array: Tensor) -> Tensor:
    """Return [B, T] as [T·B]."""
    batch, steps = array.shape
    order = np.arange(batch * steps, dtype=np.int32).reshape(batch, steps).T.reshape(-1)
    return tf.gather(tf.reshape(array, [batch * steps]), tf.constant(order))


def _positions(y: Tensor) -> Tensor:
    """Return the place of each row's label in a matrix of N rows."""
    return tf.stack([tf.constant(np.arange(y.shape[0], dtype=np.int32)), y], 1)


def _with_ones(hidden: Tensor) -> Tensor:
    """Return [h, 1]: the product with `_output_matrix` then adds the bias."""
    return tf.concat([hidden, tf.ones((hidden.shape[0], 1))], 1)


def _output_matrix(w: Parameters) -> Tensor:
    """Return [Eᵀ; b], float32[D + 1, V]."""
    return tf.concat([tf.transpose(w.embedding), tf.reshape(w.output_bias, [1, -1])], 0)


def _transposed(matrix: Tensor) -> Tensor:
    """Return the transpose by way of a concat and a slice, else the converter folds it into FULLY_CONNECTED."""
    return tf.transpose(tf.concat([matrix, matrix[:1]], 0))[:, : matrix.shape[0]]


def _kept(x: Tensor, steps: int, first: int) -> list[Tensor | None]:
    """Return k_t for each step; the state before the first is zero anyway."""
    kept = tf.cast(tf.not_equal(x, first), tf.float32)
    return [None, *tf.split(tf.reshape(kept, [-1, 1]), steps, 0)[1:]]


def _times(value: Tensor, keep: Tensor | None) -> Tensor:
    return value if keep is None else value * keep


def _forward(w: Parameters, x: Tensor, steps: int, first: int) -> _Forward:
    width = w.embedding.shape[1]
    inputs = tf.gather(w.embedding, x)
    from_inputs = tf.split(_product(inputs, w.kernel[:width]) + w.bias, steps, 0)
    recurrent = w.kernel[width:]
    hidden: list[Tensor] = []
    given: list[Tensor] = []
    states: list[_State] = []
    cell = None
    for z, keep in zip(from_inputs, _kept(x, steps, first), strict=True):
        if hidden:
            given.append(_times(hidden[-1], keep))
            z = z + _product(given[-1], recurrent)
        f, g, o = tf.split(z, 3, 1)
        f, g, o = tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        before = None if cell is None else _times(cell, keep)
        cell = g - f * g if before is None else f * (before - g) + g
        tanh_cell = tf.tanh(cell)
        states.append(_State(keep, f, g, o, before, tanh_cell, o * tanh_cell))
        hidden.append(_product(states[-1].activation, w.projection))
    return _Forward(inputs, hidden, given, states)


def _parts(count: int, chunks: int) -> list[slice]:
    """Return `count` rows as slices of almost equal length."""
    ends = np.linspace(0, count, min(chunks, count) + 1).astype(int).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def _logits(w: Parameters, hidden: Tensor, layout: Layout) -> Callable[[slice, Tensor | None], Tensor]:
    """Return a function that yields the logits of some rows.

    Its second argument is a number of an earlier block: the new block then waits for it and takes over its memory.
    """
    matrix = None if layout.adjoint else _output_matrix(w)
    source = hidden if layout.adjoint else _with_ones(hidden)

    def logits(part: slice, after: Tensor | None) -> Tensor:
        block = source[part] if after is None else source[part] + 1e-30 * after
        if matrix is not None:
            return _product(block, matrix)
        flat = tf.raw_ops.BatchMatMulV2(x=tf.expand_dims(block, 0), y=w.embedding, adj_x=False, adj_y=True)
        return tf.reshape(flat, flat.shape[1:]) + w.output_bias  # rank 3 keeps it from becoming FULLY_CONNECTED

    return logits


def _output_layer(w: Parameters, hidden: Tensor, y: Tensor, scaled: Tensor, layout: Layout) -> _Output:
    """Return the softmax layer's forward and backward pass: one product in, two out of each block."""
    logits_of = _logits(w, hidden, layout)
    weighted = tf.transpose(_with_ones(hidden) * scaled)
    probabilities: list[Tensor] = []
    products: list[Tensor] = []
    d_output: Tensor = None
    for part in _parts(hidden.shape[0], layout.chunks):
        after = None if d_output is None else d_output[0, 0] + probabilities[-1][0]
        softmax = tf.nn.softmax(logits_of(part, after))
        probabilities.append(tf.gather_nd(softmax, _positions(y[part])))
        products.append(_product(softmax, w.embedding))
        change = _product(weighted[:, part], softmax)
        d_output = change if d_output is None else d_output + change
    d_hidden = (_joined(products) - tf.gather(w.embedding, y)) * scaled
    width = hidden.shape[1]
    return _Output(_joined(probabilities), d_hidden, tf.transpose(d_output[:width]), tf.reshape(d_output[width:], [-1]))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def _backward(w: Parameters, forward: _Forward, d_hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Go back through time; return the changes of kernel, bias and projection, and the gradient of the inputs."""
    width = w.embedding.shape[1]
    kernel_t = tf.transpose(w.kernel)
    inputs_t, recurrent_t = kernel_t[:, :width], kernel_t[:, width:]
    projection_t = _transposed(w.projection)
    steps = len(forward.states)
    d_z: list[Tensor] = []
    d_h: list[Tensor] = []
    d_cell = keep = None
    for state, d_step in zip(reversed(forward.states), reversed(tf.split(d_hidden, steps, 0)), strict=True):
        d_h.append(d_step + _times(_product(d_z[-1], recurrent_t), keep) if d_z else d_step)
        keep = state.keep
        gates, d_cell = _gates_backward(state, _product(d_h[-1], projection_t), d_cell)
        d_z.append(gates)
    all_z, all_h = tf.concat(d_z[::-1], 0), tf.concat(d_h[::-1], 0)
    zero = tf.zeros_like(forward.hidden[0])
    seen = tf.concat([forward.inputs, tf.concat([zero, *forward.given], 0)], 1)
    activations = tf.concat([state.activation for state in forward.states], 0)
    return (
        _product(seen, all_z, transpose_a=True),
        tf.reduce_sum(all_z, 0),
        _product(activations, all_h, transpose_a=True),
        _product(all_z, inputs_t),
    )


def _gates_backward(state: _State, d_activation: Tensor, d_cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the gradient of z_t [B, 3H] and that of the cell before, given those of a_t and of c_t from later on."""
    keep, f, g, o, before, tanh_cell, activation = state
    r = d_activation * activation
    through = d_activation * o - r * tanh_cell  # da·o·(1 - tanh²)
    d_cell = through if d_cell is None else d_cell + through
    kept = d_cell * f
    taken = d_cell - kept  # dc·(1 - f)
    d_forget = taken * f * (before - g) if before is not None else -(taken * f * g)
    d_candidate = taken - taken * g * g
    d_output = r - r * o  # da·tanh·o·(1 - o)
    return tf.concat([d_forget, d_candidate, d_output], 1), _times(kept, keep)
