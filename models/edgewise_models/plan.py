"""The signatures of one artifact, from an author's model, loss, optimizer and metrics.

Model and loss are traced together, the optimizer's update by itself; the signatures play the traces one after another.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from edgewise_models.losses import Loss
from edgewise_models.lowering import LoweringError, Player, gradients, trace
from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.metrics import resolve_metrics
from edgewise_models.optimizers import OptimizerStep
from edgewise_models.source_model import SourceModel
from edgewise_models.tensorflow import tf
from edgewise_models.writer import Weight
from edgewise_wire.errors import ConfigError, ModelError

WeightsPer = Literal["auto", "example", "position"]


@dataclass(frozen=True)
class Settings:
    """What an author chooses besides model, loss and optimizer; see `export_trainable`."""

    batch: int
    weights_per: WeightsPer = "auto"
    corrected: bool = True
    allow_flex: bool = False
    preprocess: Callable[..., Any] | None = None
    preprocess_inputs: Mapping[str, Any] | None = None
    postprocess: Callable[..., Mapping[str, Any]] | None = None
    words: Sequence[str] = ()


class Plan:
    """The signatures of one artifact, ready to be written as concrete functions."""

    def __init__(
        self, source: SourceModel, loss: Loss, optimizer: Any, metrics: Sequence[Any], settings: Settings
    ) -> None:
        self.source, self.loss, self.settings = source, loss, settings
        self.specs = source.specs(settings.batch)
        self.output = _output(source, self.specs)
        self.labels = loss.labels(self.output)
        self.metrics = resolve_metrics(metrics, loss, self.output)
        self.objective = trace(self.objective_call, [*self.specs, self.labels])
        self.scoring = trace(self.scoring_call, [*self.specs, self.labels])
        self.weight = tf.TensorSpec(self._weight_shape(), tf.float32, name="weight")
        self.trainable = dict(source.trainable)
        self.optimizer = OptimizerStep(optimizer, self.trainable, source.optimized)
        self.state, self.random = self._probe()
        self.offsets = (
            {name: tf.Variable(tf.zeros(v.shape), name="offset") for name, v in self.trainable.items()}
            if settings.corrected
            else {}
        )

    # -- what is traced -----------------------------------------------------------------------------------------

    def objective_call(self, *tensors: Any) -> Any:
        """Return the loss's values and the penalty for inputs and labels, by the author's own code."""
        *inputs, labels = tensors
        output, penalty = self.source.call(inputs, True)
        return self.loss.call(labels, output), penalty

    def scoring_call(self, *tensors: Any) -> Any:
        """Return the loss's and the metrics' values for inputs and labels, by the author's own code."""
        *inputs, labels = tensors
        output, _ = self.source.call(inputs, False)
        values = {metric.name: tf.cast(metric.call(labels, output), tf.float32) for metric in self.metrics}
        return self.loss.call(labels, output), values

    def _weight_shape(self) -> tuple[int, ...]:
        shape = tuple(self.objective.outputs[0].shape)
        if not shape or shape[0] != self.settings.batch:
            raise ModelError(
                f"loss {self.loss.name!r}: expected one value an example, [{self.settings.batch}, ...], got shape"
                f" {list(shape)}; use reduction='none'"
            )
        per = self.settings.weights_per
        if per == "position" and len(shape) < 2:
            raise ConfigError("weights_per: 'position' needs a loss with a time axis")
        return shape if per == "position" or (per == "auto" and len(shape) == 2) else shape[:1]

    def _probe(self) -> tuple[dict[str, Any], bool]:
        """Play one step for nothing, to see which state it changes and whether anything is random."""
        players: list[Player] = []

        def step(*tensors: Any) -> Any:
            players.append(self.player(tf.constant(0), self.source.state))
            self.objective.play(players[0], tensors)
            return tf.constant(0)

        with located(self.source.layers):
            tf.function(step, autograph=False).get_concrete_function(*self.specs, self.labels)
        assigned = {id(ref.variable) for ref in players[0].assigned.values()}
        changed = {name: v for name, v in self.source.state.items() if id(v) in assigned}
        return changed, players[0].random_sites > 0

    # -- what is written ----------------------------------------------------------------------------------------

    @property
    def weights(self) -> list[Weight]:
        """Every variable of the artifact in the order in which weights travel."""
        return [
            *(Weight(name, v, "trainable") for name, v in self.trainable.items()),
            *(Weight(name, v, "state") for name, v in self.state.items()),
            *(Weight(name, v, "slot") for name, v in self.optimizer.slots.items()),
        ]

    @property
    def frozen(self) -> list[Any]:
        """The variables that no update changes: constants of the file."""
        return [v for name, v in self.source.state.items() if name not in self.state]

    @property
    def offset_weights(self) -> list[Weight]:
        """The offsets of `train_corrected`, each under the name of its weight."""
        return [Weight(name, v) for name, v in self.offsets.items()]

    def functions(self) -> dict[str, Any]:
        """Return the concrete functions of all signatures but those that read and write weights.

        Raises:
            LoweringError: naming the layer and the operator that built-in operators cannot express.
        """
        with located(self.source.layers):
            return self._functions()

    def _functions(self) -> dict[str, Any]:
        rate = tf.TensorSpec((), tf.float32, name="learning_rate")
        seed = [tf.TensorSpec((), tf.int32, name="seed")] if self.random else []
        train = [*self.specs, self.labels, self.weight, rate, *seed]
        made = {
            "train": _concrete(self._train, train),
            "evaluate": _concrete(self._evaluate, [*self.specs, self.labels, self.weight]),
            "infer": self._infer_function(),
        }
        if self.offsets:
            made["train_corrected"] = _concrete(self._train, [*train, tf.TensorSpec((), tf.float32, name="mu")])
        return made

    def _train(self, **tensors: Any) -> dict[str, Any]:
        player = self.player(tensors.get("seed"))
        values = [player.value_of(v) for v in self.trainable.values()]
        player.watch(values)
        per_value, penalty = self.objective.play(player, self._inputs(tensors))
        loss, total, cotangent = self._weighted(per_value, tensors["weight"])
        seeds = [(per_value, cotangent), (penalty, tf.constant(1.0))]
        found = gradients(player, seeds, values)
        for name, gradient in zip(self.trainable, found, strict=True):
            if gradient is None:
                raise ModelError(f"weight {name!r}: the loss does not depend on it; set trainable = False on its layer")
        if "mu" in tensors:
            offsets = [offset.read_value() for offset in self.offsets.values()]
            found = [g + tensors["mu"] * w + o for g, w, o in zip(found, values, offsets, strict=True)]
        self.optimizer.play(player, found, tensors["learning_rate"])
        for ref in player.assigned.values():
            ref.variable.assign(player.value_of(ref.variable))
        return {"loss": loss + penalty, "weight_sum": total}

    def _evaluate(self, **tensors: Any) -> dict[str, Any]:
        player = self.player(None)
        per_value, metrics = self.scoring.play(player, self._inputs(tensors))
        weight = tensors["weight"]
        sums = {name: _weighted_sum(value, weight) for name, value in metrics.items()}
        return {"loss_sum": _weighted_sum(per_value, weight), "weight_sum": tf.reduce_sum(weight), **sums}

    @property
    def objective_specs(self) -> list[Any]:
        """The inputs and the labels."""
        return [*self.specs, self.labels]

    @property
    def infer_specs(self) -> list[Any]:
        """What `infer` takes: what the pre-processing does, or the model's inputs; a batch of one."""
        if self.settings.preprocess is None or self.settings.preprocess_inputs is None:
            return self.source.specs(1)
        given = self.settings.preprocess_inputs
        return [tf.TensorSpec([1, *s.shape], s.dtype, name=name) for name, s in given.items()]

    def predict(self, **tensors: Any) -> dict[str, Any]:
        """Return what `infer` does, by the author's own code."""
        values: Sequence[Any] = [tensors[spec.name] for spec in self.infer_specs]
        if self.settings.preprocess is not None:
            made = self.settings.preprocess(*values)
            values = tuple(made) if isinstance(made, (list, tuple)) else (made,)
        output = self.source.call(values, False).output
        return shown(self.settings.postprocess, output, dict(zip(self.source.inputs, values, strict=True)))

    def _infer_function(self) -> Any:
        specs = self.infer_specs
        traced = trace(lambda *values: self.predict(**dict(zip((s.name for s in specs), values, strict=True))), specs)

        def infer(**tensors: Any) -> dict[str, Any]:
            found = traced.play(self.player(None), [tensors[spec.name] for spec in specs])
            return {name: tf.identity(value) for name, value in found.items()}

        return _concrete(infer, specs)

    def player(self, seed: Value, state: Mapping[str, Any] | None = None) -> Player:
        """Return a player to which the weights (and this state, the one that updates change if left out) are bound."""
        state = self.state if state is None else state
        player = Player(seed, allow_flex=self.settings.allow_flex)
        for variable in (*self.trainable.values(), *state.values()):
            player.bind(variable, variable.read_value())
        return player

    def _inputs(self, tensors: Mapping[str, Any]) -> list[Any]:
        return [tensors[spec.name] for spec in (*self.specs, self.labels)]

    def _weighted(self, per_value: Value, weight: Value) -> tuple[Any, Any, Any]:
        """Return the weighted mean, the sum of the weights, and the mean's derivative by each value."""
        total = tf.reduce_sum(weight)
        share = weight / tf.where(total > 0.0, total, tf.ones_like(total))
        spread = spread_weight(share, shape_of(per_value))
        return tf.reduce_sum(per_value * spread), total, spread + tf.zeros_like(per_value)


def shown(show: Callable[..., Mapping[str, Any]] | None, output: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the author's post-processing makes of the output; it may ask for the model's inputs too."""
    if show is None:
        return {"output": output}
    return dict(show(output, inputs) if len(inspect.signature(show).parameters) > 1 else show(output))


def _output(source: SourceModel, specs: Sequence[Any]) -> Any:
    """Return the spec of the model's output."""
    output = trace(lambda *inputs: source.call(inputs, False).output, specs).outputs
    if not isinstance(output, tf.Tensor) or output.shape.rank is None or None in output.shape.as_list():
        raise ModelError(f"model {source.name!r}: expected one output of a fixed shape, got {output}")
    return tf.TensorSpec(output.shape, output.dtype)


def _concrete(function: Callable[..., Any], specs: Sequence[Any]) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(**{spec.name: spec for spec in specs})


@contextmanager
def located(layers: Sequence[str]) -> Iterator[None]:
    """Say the layer's name in what cannot be lowered."""
    try:
        yield
    except LoweringError as error:
        raise error.locate(layers) from error.__cause__


def spread_weight(weight: Value, shape: tuple[int, ...]) -> Value:
    """Return the weight of each of the loss's values: an example's is shared out over its values."""
    have = shape_of(weight)
    count = math.prod(shape[len(have) :])
    spread = tf.reshape(weight, [*have, *[1] * (len(shape) - len(have))])
    return spread * (1.0 / count) if count > 1 else spread


def _weighted_sum(value: Value, weight: Value) -> Any:
    shape, have = shape_of(value), shape_of(weight)
    if shape[: len(have)] != have:
        raise ModelError(f"a metric has shape {list(shape)}, the weight {list(have)}: expected one value for each")
    return tf.reduce_sum(value * spread_weight(weight, shape))
