"""The next-word model once more, as plainly as TensorFlow lets one write it: float64 and `GradientTape`.

It shares no line with `cifg.py`, which it proves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgewise_edge.trainer import Batch, Prediction, Trainer
from edgewise_models.next_word import MARKS, NextWord
from edgewise_models.proof import Bounds, Proof, close, compare_training, prove
from edgewise_models.tensorflow import tf
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import Array, Weights

MARGIN = 1e-5  # two logits nearer than this may change places in float32
LEARNING_RATE = 0.5


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
        """Return float64[B, T, V] for int tokens [B, T]."""
        v = self.variables
        batch, steps = tokens.shape
        hidden = tf.zeros((batch, self.config.embedding), tf.float64)
        cell = tf.zeros((batch, self.config.units), tf.float64)
        outputs = []
        for step in range(steps):
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

    def evaluate_step(self, batch: Batch) -> dict[str, float | Bounds]:
        """Return the sums; those of the ranks as bounds, since near ties may fall either way in float32."""
        logits = self.logits(batch["tokens"]).numpy()
        labels, weight = batch["labels"], batch["weight"].astype(np.float64)
        own = np.take_along_axis(logits, labels[..., None], axis=-1)
        ranked = logits[..., MARKS:]
        surely = (ranked > own - MARGIN).sum(-1)  # every word that may reach the label's logit, itself included
        perhaps = (ranked > own + MARGIN).sum(-1) + 1
        word = labels >= MARKS
        return {
            "loss_sum": float((self.losses(batch).numpy() * weight).sum()),
            "weight_sum": float(weight.sum()),
            **{
                f"top{k}": Bounds(_hits(word & (surely <= k), weight), _hits(word & (perhaps <= k), weight))
                for k in (1, 3)
            },
        }

    def check_infer(self, trainer: Trainer) -> None:
        """Compare the suggestions after one, several and all tokens with those of the reference."""
        rng = np.random.default_rng(self.config.seed)
        for length in sorted({1, self.config.steps // 2, self.config.steps}):
            tokens = np.zeros((1, self.config.steps), np.int32)
            tokens[0, :length] = rng.integers(1, self.config.vocabulary, length)
            self._compare(trainer.infer(tokens), tf.nn.softmax(self.logits(tokens)[0, length - 1]).numpy())

    def _compare(self, got: Prediction, expected: Array) -> None:
        best = np.sort(expected[MARKS:])[::-1]
        for rank, (token, probability) in enumerate(zip(got.ids.tolist(), got.probabilities.tolist(), strict=True)):
            if token < MARKS:
                raise ModelError(f"the proof failed: 'infer' suggests the mark {token}")
            close(f"the probability of suggestion {rank}", probability, float(expected[token]))
            close(f"suggestion {rank}, id {token}, by probability", float(expected[token]), float(best[rank]), MARGIN)


def _hits(hit: Array, weight: Array) -> float:
    return float(weight[hit].sum())


def proof_batches(config: NextWord, *, count: int = 5) -> Iterator[Batch]:
    """Yield random batches: the first full, the others with padded tails, all with repeated tokens.

    Weights are fractions, and the last row of each padded batch is empty.
    """
    rng = np.random.default_rng([config.seed, 1])
    shape = (config.batch, config.steps)
    for number in range(count):
        tokens, labels = (rng.integers(1, config.vocabulary, shape).astype(np.int32) for _ in range(2))
        tokens[:, shape[1] // 2] = labels[:, 1] = 1 + number % (config.vocabulary - 1)  # a gradient that must add up
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
    tokens, labels = (rng.integers(1, config.vocabulary, shape).astype(np.int32) for _ in range(2))
    return {"tokens": tokens, "labels": labels, "weight": weight}


def prove_next_word(data: bytes, config: NextWord, *, runtime: str | None = None) -> Proof:
    """Prove a next-word model file against the reference, every variant of its step too.

    Raises:
        ModelError: if they differ.
    """
    reference = NextWordReference(config)
    batches = [*proof_batches(config)]
    batches[0] = _with_hits(reference, batches[0])
    batches += [variant_batch(config, variant.steps, variant.rows) for variant in config.train_variants]
    proof = prove(data, reference, batches, learning_rate=LEARNING_RATE, runtime=runtime)
    if config.corrected:
        _prove_corrected(data, config, runtime)
    return proof


def _prove_corrected(data: bytes, config: NextWord, runtime: str | None) -> None:
    """Prove `train_corrected`: a step with the offsets that it begins with, then one with others and FedProx's `mu`."""
    trainer, reference = Trainer(data, runtime=runtime), NextWordReference(config)
    rng = np.random.default_rng([config.seed, 3])
    offsets = {spec.name: rng.normal(0, 1e-3, spec.shape).astype(np.float32) for spec in config.specs}
    before = trainer.get_weights()
    first, second = proof_batches(config, count=2)
    losses = [trainer.train_corrected_step(first, LEARNING_RATE).loss]
    trainer.set_offset(offsets)
    losses.append(trainer.train_corrected_step(second, LEARNING_RATE, mu=0.1).loss)
    expected = [reference.train_step(first, LEARNING_RATE)[0]]
    expected.append(reference.train_step(second, LEARNING_RATE, mu=0.1, offsets=offsets)[0])
    for got, loss in zip(losses, expected, strict=True):
        close("the loss of a corrected step", got, loss)
    compare_training(trainer.get_weights(), before, reference.weights(), 2)


def _with_hits(reference: NextWordReference, batch: Batch) -> Batch:
    """Return the batch with every second label among the model's own best, so that `evaluate` has hits to count."""
    best = np.argsort(-reference.logits(batch["tokens"]).numpy()[..., MARKS:], axis=-1)[..., :4] + MARKS
    best = best.reshape(-1, best.shape[-1])[::2]
    labels = batch["labels"].reshape(-1).copy()
    labels[::2] = best[np.arange(len(best)), np.arange(len(best)) % best.shape[1]]
    return {**batch, "labels": labels.reshape(batch["labels"].shape)}
