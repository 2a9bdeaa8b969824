"""The graphs that `train_step.py` measures: ours, and the one that TensorFlow's autodiff makes of the same model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgewise_models.next_word import MARKS, NextWord, NextWordModule
from edgewise_models.next_word_reference import prove_next_word
from edgewise_models.tensorflow import tf
from edgewise_models.writer import write_artifact
from edgewise_wire.manifest import Variant


class Plain(NextWord):
    """The model with one `train` signature."""

    @property
    def train_variants(self) -> tuple[Variant, ...]:
        """None."""
        return ()


class Autodiff(NextWordModule):
    """The same model with its training step as a developer writes it: `GradientTape` over plain TensorFlow.

    `one_hot` stands for the sparse cross-entropy, whose gradient TFLite does not have.
    """

    def _train(self, rows: int | None = None) -> Any:
        del rows
        config = self.config

        def logits(tokens: Any) -> Any:
            embedding, bias, kernel, lstm_bias, projection = (weight.variable for weight in self.weights)
            hidden = tf.zeros((config.batch, config.embedding))
            cell = tf.zeros((config.batch, config.units))
            outputs = []
            for seen in tf.unstack(tf.gather(embedding, tokens), axis=1):
                f, g, o = tf.split(tf.matmul(tf.concat([seen, hidden], 1), kernel) + lstm_bias, 3, 1)
                keep = tf.sigmoid(f)
                cell = keep * cell + (1.0 - keep) * tf.tanh(g)
                hidden = tf.matmul(tf.sigmoid(o) * tf.tanh(cell), projection)
                outputs.append(hidden)
            hidden = tf.reshape(tf.stack(outputs, 1), [config.batch * config.steps, config.embedding])
            return tf.matmul(hidden, embedding, transpose_b=True) + bias

        def train(tokens: Any, labels: Any, weight: Any, learning_rate: Any) -> dict[str, Any]:
            variables = [entry.variable for entry in self.weights]
            weight_sum = tf.reduce_sum(weight)
            with tf.GradientTape() as tape:
                chosen = tf.one_hot(tf.reshape(labels, [-1]), config.vocabulary)
                loss = -tf.reduce_sum(tf.nn.log_softmax(logits(tokens)) * chosen, 1) * tf.reshape(weight, [-1])
                mean = tf.reduce_sum(loss) / tf.maximum(weight_sum, 1e-37)
            for variable, gradient in zip(variables, tape.gradient(mean, variables), strict=True):
                variable.assign(variable - learning_rate * tf.convert_to_tensor(gradient))
            return {"loss": mean, "weight_sum": weight_sum}

        return tf.function(train)


GRAPHS = {
    "autodiff": (Autodiff, Plain(corrected=False)),
    "edgewise": (NextWordModule, NextWord()),
    "low-memory": (NextWordModule, NextWord(low_memory=True, corrected=False)),
    "buckets": (NextWordModule, NextWord(buckets=True)),
}


def export(folder: Path, graphs: Sequence[str]) -> None:
    """Write each graph at its full size to `folder`, all proved alike."""
    for graph in graphs:
        kind, config = GRAPHS[graph]
        module = kind(config)
        words = tuple(f"w{number}" for number in range(config.vocabulary - MARKS))
        write_artifact(
            folder / f"{graph}.tflite",
            module.functions(),
            module.weights,
            module.facts(graph, words),
            prove=partial(prove_next_word, config=config),
            offsets=module.offsets,
        )
