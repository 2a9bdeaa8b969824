"""The next-word model once more, as plainly as TensorFlow lets one write it: float64 and `GradientTape`.

It shares no line with `cifg.py`, which it proves; which words a step does not read is drawn as the model draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgewise_edge import runtime as runtimes
from edgewise_edge.tokenizer import START
from edgewise_edge.trainer import Batch
from edgewise_models.next_word import MARKS, NextWord, with_words_dropped
from edgewise_models.proof import Bounds, Corrected, Expected, Proof, Training, prove, prove_elsewhere
from edgewise_models.tensorflow import tf
from edgewise_wire.weights import Array, Weights

MARGIN = 1e-5  # two logits nearer than this may change places in float32
LEARNING_RATE = 0.5
BEGINS = 0.15  # of the positions of a proof's batches begin a sentence


class NextWordReference:
    """The reference model, from the weights that `config` starts with."""

    def __init__(self, config: NextWord) -> None:
        self.config = config
        initial = config.initial_weights()
        self.variables = {name: tf.Variable(array.astype(np.float64)) for name, array in initial.items()}

    def weights(self) -> Weights:
        """Return the weights as they are now, float64."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def logits(self, tokens: Any) -> Any:
        """Return float64[B, T, V] for int tokens [B, T]; a start mark begins another sentence of its row."""
        v = self.variables
        batch, steps = tokens.shape
        hidden = tf.zeros((batch, self.config.embedding), tf.float64)
        cell = tf.zeros((batch, self.config.units), tf.float64)
        outputs = []
        for step in range(steps):
            begins = tf.expand_dims(tokens[:, step] == START, 1)
            hidden, cell = (tf.where(begins, tf.zeros_like(state), state) for state in (hidden, cell))
            seen = tf.concat([tf.nn.embedding_lookup(v["embedding"], tokens[:, step]), hidden], axis=1)
            forget, candidate, output = tf.split(tf.matmul(seen, v["lstm_kernel"]) + v["lstm_bias"], 3, axis=1)
            keep = tf.sigmoid(forget)
            cell = keep * cell + (1 - keep) * tf.tanh(candidate)
            hidden = tf.matmul(tf.sigmoid(output) * tf.tanh(cell), v["projection"])
            outputs.append(hidden)
        return tf.matmul(tf.stack(outputs, axis=1), v["embedding"], transpose_b=True) + v["output_bias"]

    def losses(self, batch: Batch) -> Any:
        """Return the cross-entropy of each position, float64[B, T]."""
        logits = self.logits(batch["tokens"])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["labels"], logits=logits)

    def train_step(
        self, batch: Batch, learning_rate: float, *, mu: float = 0.0, offsets: Weights | None = None
    ) -> tuple[float, float]:
        """Take a step of SGD on the weighted mean loss, along `gradient + mu * weights + offset`."""
        weight = tf.constant(batch["weight"], tf.float64)
        batch = {**batch, "tokens": self._read(batch["tokens"])}
        variables = list(self.variables.values())
        with tf.GradientTape() as tape:
            loss = tf.math.divide_no_nan(tf.reduce_sum(self.losses(batch) * weight), tf.reduce_sum(weight))
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        if self.config.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.config.clip_norm)
        for (name, variable), gradient in zip(self.variables.items(), gradients, strict=True):
            offset = 0.0 if offsets is None else offsets[name].astype(np.float64)
            variable.assign_sub(learning_rate * (gradient + mu * variable + offset))
        return float(loss), float(tf.reduce_sum(weight))

    def _read(self, tokens: Array) -> Array:
        """Return what a step of seed 0 reads of some tokens."""
        read: Array = with_words_dropped(tf.constant(tokens), self.config.word_dropout, tf.constant(0)).numpy()
        return read

    def evaluate_step(self, batch: Batch) -> dict[str, Bounds]:
        """Return the sums; those of the ranks as bounds, since near ties may fall either way in float32."""
        logits = self.logits(batch["tokens"]).numpy()
        labels, weight = batch["labels"], batch["weight"].astype(np.float64)
        own = np.take_along_axis(logits, labels[..., None], axis=-1)
        ranked = logits[..., MARKS:]
        surely = (ranked > own - MARGIN).sum(-1)  # every word that may reach the label's logit, itself included
        perhaps = (ranked > own + MARGIN).sum(-1) + 1
        word = labels >= MARKS
        loss_sum, weight_sum = float((self.losses(batch).numpy() * weight).sum()), float(weight.sum())
        return {
            "loss_sum": Bounds(loss_sum, loss_sum),
            "weight_sum": Bounds(weight_sum, weight_sum),
            **{
                f"top{k}": Bounds(_hits(word & (surely <= k), weight), _hits(word & (perhaps <= k), weight))
                for k in (1, 3)
            },
        }

    def suggestions(self) -> Iterator[tuple[Array, Array]]:
        """Yield tokens, one, several and as many as fit, and the probabilities of all words after them."""
        rng = np.random.default_rng(self.config.seed)
        for length in sorted({1, self.config.steps // 2, self.config.steps}):
            tokens = np.zeros((1, self.config.steps), np.int32)
            tokens[0, :length] = rng.integers(1, self.config.used, length)
            yield tokens, tf.nn.softmax(self.logits(tokens)[0, length - 1]).numpy()


def _hits(hit: Array, weight: Array) -> float:
    return float(weight[hit].sum())


def proof_batches(config: NextWord, *, count: int = 5) -> Iterator[Batch]:
    """Yield random batches: the first full, the others with padded tails, all with repeated tokens.

    Weights are fractions, sentences begin in the middle of rows, and the last row of each padded batch is empty.
    """
    rng = np.random.default_rng([config.seed, 1])
    shape = (config.batch, config.steps)
    for number in range(count):
        tokens, labels = (rng.integers(1, config.used, shape).astype(np.int32) for _ in range(2))
        tokens[:, shape[1] // 2] = labels[:, 1] = 1 + number % (config.used - 1)  # a gradient that must add up
        tokens[rng.random(shape) < BEGINS] = START
        weight = rng.uniform(0.5, 1.0, shape).astype(np.float32)
        if number:
            lengths = rng.integers(1, shape[1] + 1, shape[0])
            lengths[-1] = 0 if shape[0] > 1 else lengths[-1]
            used = np.arange(shape[1]) < lengths[:, None]
            tokens, labels, weight = tokens * used, labels * used, weight * used
        yield {
            "tokens": tokens.astype(np.int32),
            "labels": labels.astype(np.int32),
            "weight": weight.astype(np.float32),
        }


def variant_batch(config: NextWord, steps: int, rows: int) -> Batch:
    """Return a random batch that fills a `train` variant to its last row."""
    rng = np.random.default_rng([config.seed, 2, steps, rows])
    shape = (config.batch, config.steps)
    chosen = rng.permutation(config.batch * steps)[:rows]
    weight = np.zeros(shape, np.float32)
    weight[chosen // steps, chosen % steps] = rng.uniform(0.5, 1.0, rows)
    tokens, labels = (rng.integers(1, config.used, shape).astype(np.int32) for _ in range(2))
    return {"tokens": tokens, "labels": labels, "weight": weight}


def expect(config: NextWord) -> Expected:
    """Return what the reference makes of a model with these sizes, every variant of its step included."""
    reference = NextWordReference(config)
    batches = [*proof_batches(config)]
    batches[0] = _with_hits(reference, batches[0])
    batches += [variant_batch(config, variant.steps, variant.rows) for variant in config.train_variants]
    return record(reference, batches, _corrected(config) if config.corrected else None)


def record(reference: NextWordReference, batches: Sequence[Batch], corrected: Corrected | None = None) -> Expected:
    """Return what a reference makes of some batches."""
    before = reference.weights()
    losses = tuple(reference.train_step(batch, LEARNING_RATE)[0] for batch in batches)
    return Expected(
        before,
        LEARNING_RATE,
        Training(tuple(batches), losses, reference.weights()),
        tuple(reference.evaluate_step(batch) for batch in batches),
        tuple(reference.suggestions()),
        corrected,
    )


def _corrected(config: NextWord) -> Corrected:
    reference, mu = NextWordReference(config), 0.1
    rng = np.random.default_rng([config.seed, 3])
    offsets = {spec.name: rng.normal(0, 1e-3, spec.shape).astype(np.float32) for spec in config.specs}
    first, second = proof_batches(config, count=2)
    losses = [reference.train_step(first, LEARNING_RATE)[0]]
    losses.append(reference.train_step(second, LEARNING_RATE, mu=mu, offsets=offsets)[0])
    return Corrected(Training((first, second), tuple(losses), reference.weights()), offsets, mu)


def prove_next_word(data: bytes, config: NextWord) -> list[Proof]:
    """Prove a next-word model file with every runtime at hand: here, and where `EDGEWISE_OTHER_PYTHON` says.

    Raises:
        ModelError: if one of them does not train as the reference does.
        UnavailableError: if there is no runtime.
    """
    expected = expect(config)
    here = [prove(data, expected, runtime=name) for name in runtimes.installed() or (None,)]
    return here + prove_elsewhere(data, expected)


def _with_hits(reference: NextWordReference, batch: Batch) -> Batch:
    """Return the batch with every second label among the model's own best, so that `evaluate` has hits to count."""
    best = np.argsort(-reference.logits(batch["tokens"]).numpy()[..., MARKS:], axis=-1)[..., :4] + MARKS
    best = best.reshape(-1, best.shape[-1])[::2]
    labels = batch["labels"].reshape(-1).copy()
    labels[::2] = best[np.arange(len(best)), np.arange(len(best)) % best.shape[1]]
    return {**batch, "labels": labels.reshape(batch["labels"].shape)}
