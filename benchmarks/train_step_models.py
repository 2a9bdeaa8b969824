"""The graphs that `train_step.py` measures: ours, what TensorFlow's autodiff makes of the same model, bare products."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgewise_edge.tokenizer import START
from edgewise_models.next_word import MARKS, NextWord, NextWordModule
from edgewise_models.next_word_reference import prove_next_word
from edgewise_models.tensorflow import tf
from edgewise_models.writer import write_artifact


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
            kept = tf.unstack(tf.cast(tf.not_equal(tokens, START), tf.float32), axis=1)
            for seen, keep in zip(tf.unstack(tf.gather(embedding, tokens), axis=1), kept, strict=True):
                hidden, cell = hidden * tf.reshape(keep, [-1, 1]), cell * tf.reshape(keep, [-1, 1])
                f, g, o = tf.split(tf.matmul(tf.concat([seen, hidden], 1), kernel) + lstm_bias, 3, 1)
                forget = tf.sigmoid(f)
                cell = forget * cell + (1.0 - forget) * tf.tanh(g)
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


class Products(NextWordModule):
    """The step's matrix products alone, each with its right side as it should lie; the numbers mean nothing.

    What no layout of the step can fall below on this runtime: the 2.7 GFLOP at the speed of its best kernel.
    """

    def _train(self, rows: int | None = None) -> Any:
        del rows
        config = self.config
        batch, steps, width, units = config.batch, config.steps, config.embedding, config.units

        def product(a: Any, b: Any) -> Any:
            return tf.raw_ops.BatchMatMulV2(x=a, y=b)

        def train(tokens: Any, labels: Any, weight: Any, learning_rate: Any) -> dict[str, Any]:
            embedding, _, kernel, _, projection = (entry.variable.read_value() for entry in self.weights)
            hidden = tf.gather(embedding, tf.reshape(tokens, [-1]))
            logits = product(hidden, tf.reshape(embedding, [width, -1]))
            inputs, recurrent = kernel[:width], kernel[width:]
            z = product(hidden, inputs)
            activations = z[:, :units]
            made = [
                product(logits, embedding),
                product(tf.reshape(hidden, [width, -1]), logits),
                product(z, tf.reshape(inputs, [-1, width])),
                product(tf.reshape(tf.concat([hidden, hidden], 1), [2 * width, -1]), z),
                product(tf.reshape(activations, [units, -1]), hidden),
            ]
            for step in range(steps):
                part = slice(step * batch, (step + 1) * batch)
                made.append(product(activations[part], projection))
                made.append(product(hidden[part], tf.reshape(projection, [width, -1])))
                if step:
                    made.append(product(hidden[part], recurrent))
                    made.append(product(z[part], tf.reshape(recurrent, [-1, width])))
            used = tf.reduce_sum(weight) + learning_rate + tf.cast(labels[0, 0], tf.float32)
            loss = tf.add_n([each[0, 0] for each in made]) + 1e-30 * used
            return {"loss": loss, "weight_sum": tf.reduce_sum(weight)}

        return tf.function(train)


GRAPHS = {
    "autodiff": (Autodiff, NextWord(batch=16, corrected=False)),
    "products": (Products, NextWord(batch=16, corrected=False)),
    "edgewise": (NextWordModule, NextWord(batch=16)),
    "low-memory": (NextWordModule, NextWord(batch=16, low_memory=True, corrected=False)),
    "buckets": (NextWordModule, NextWord(batch=16, buckets=True)),
}
UNPROVED = ("products",)


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
            prove=(lambda data: None) if graph in UNPROVED else partial(prove_next_word, config=config),
            offsets=module.offsets,
        )
