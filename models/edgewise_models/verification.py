"""What can be proved about a model file without its source: no TensorFlow, only the file and a runtime.

Each check is one line that says what holds; the first that does not raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edgewise_edge.trainer import Batch, Trainer
from edgewise_models.constants import refuse_stray
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ModelError
from edgewise_wire.manifest import TensorSpec
from edgewise_wire.weights import Array, Weights

LEARNING_RATE = 0.01
STEPS = 3


def verify(source: str | Path | bytes, *, runtime: str | None = None) -> Iterator[str]:
    """Check a model file; yield a sentence for each thing that holds.

    Raises:
        ModelError: if the file is not what its manifest says, needs Flex, or does not train sanely.
        UnavailableError: if there is no runtime.
    """
    artifact = Artifact.load(source)
    yield f"the manifest agrees with the graph: {len(artifact.manifest.weights)} weights, {_signatures(artifact)}"
    yield _check_built_in(artifact)
    yield _check_size(artifact)
    trainer = Trainer(source, runtime=runtime)
    yield f"{trainer.runtime} loads it"
    checks: list[Callable[[Trainer, Artifact], str]] = [
        _check_initial_weights,
        _check_training,
        _check_padding,
        _check_evaluation,
        _check_prediction,
    ]
    if "train_corrected" in artifact.signatures:
        checks.append(_check_correction)
    for check in checks:
        yield check(trainer, artifact)


def _signatures(artifact: Artifact) -> str:
    return f"signatures {', '.join(sorted(artifact.signatures))}"


def _check_built_in(artifact: Artifact) -> str:
    custom = sorted({code.name for code in artifact.file.codes if code.custom})
    if custom:
        raise ModelError(f"operators that no plain runtime has: {', '.join(custom)}; export it without allow_flex")
    return f"built-in operators only: {len({code.name for code in artifact.file.codes})} kinds"


def _check_size(artifact: Artifact) -> str:
    """Weights that do not train are constants too; the manifest names them."""
    manifest, buffers = artifact.manifest, artifact.file.buffers
    rest = refuse_stray(artifact.file, [*manifest.buffers, *manifest.frozen], len(artifact.data))
    weights = sum(array.nbytes for array in artifact.weights().values())
    frozen = sum(buffers[number].size for number in manifest.frozen if number < len(buffers))
    kept = f", {frozen:,} weights that do not train" if frozen else ""
    return f"{len(artifact.data):,} bytes, {weights:,} of them weights{kept}, {rest:,} other constants"


def _check_initial_weights(trainer: Trainer, artifact: Artifact) -> str:
    _compare("the weights that the runtime starts with", trainer.get_weights(), artifact.weights())
    return "the runtime starts with the weights of the file"


def _check_training(trainer: Trainer, artifact: Artifact) -> str:
    before = artifact.weights()
    first = _steps(trainer, artifact)
    after = trainer.get_weights()
    still = [s.name for s in artifact.manifest.averaged if s.role == "trainable" and _same(after, before, s.name)]
    if still:
        raise ModelError(f"weight {still[0]!r} did not move in {STEPS} steps on random data")
    for name, array in after.items():
        if not np.isfinite(array).all():
            raise ModelError(f"weight {name!r} is not finite after {STEPS} steps on random data")
    trainer.set_weights(before)
    trainer.reset_optimizer()
    if _steps(trainer, artifact) != first:
        raise ModelError("training again from the same weights gave other losses: a weight or a slot is not set back")
    _compare("the weights after training again", trainer.get_weights(), after)
    return f"{STEPS} steps on random data move every weight, and again from the same weights to the same place"


def _steps(trainer: Trainer, artifact: Artifact) -> list[float]:
    losses = [
        trainer.train_step(random_batch(artifact, trainer, number), LEARNING_RATE, seed=number).loss
        for number in range(STEPS)
    ]
    if not np.isfinite(losses).all():
        raise ModelError(f"the loss on random data is not finite: {losses}")
    return losses


def _check_padding(trainer: Trainer, artifact: Artifact) -> str:
    _start(trainer, artifact)
    batch = random_batch(artifact, trainer, 0)
    nothing = {**batch, "weight": np.zeros_like(batch["weight"])}
    found = trainer.train_step(nothing, LEARNING_RATE)
    if found.weight_sum != 0 or not np.isfinite(found.loss):
        raise ModelError(f"a batch of padding alone gives the loss {found.loss} and the weight {found.weight_sum}")
    for name, array in trainer.get_weights().items():
        if not np.isfinite(array).all():
            raise ModelError(f"weight {name!r} is not finite after a batch of padding alone")
    return "a batch of padding alone does no harm"


def _check_evaluation(trainer: Trainer, artifact: Artifact) -> str:
    _start(trainer, artifact)
    batch = random_batch(artifact, trainer, 1)
    sums = trainer.evaluate_step(batch)
    missing = {"loss_sum", "weight_sum", *artifact.manifest.metrics} - set(sums)
    if missing or not np.isfinite(list(sums.values())).all():
        raise ModelError(
            f"'evaluate' returns {sums}, expected finite numbers for {', '.join(artifact.manifest.metrics)}"
        )
    _compare("the weights after 'evaluate'", trainer.get_weights(), artifact.weights())
    return f"evaluate sums {', '.join(sorted(sums))} and changes no weight"


def _check_prediction(trainer: Trainer, artifact: Artifact) -> str:
    inputs = artifact.signatures["infer"].inputs
    rng = np.random.default_rng(2)
    given = {name: _random(rng, TensorSpec(name, t.shape, t.dtype), 2) for name, t in inputs.items()}
    found = trainer.infer(**given)
    outputs = found._asdict() if hasattr(found, "_asdict") else found
    for name, array in outputs.items():
        if not np.isfinite(np.asarray(array, np.float64)).all():
            raise ModelError(f"the output {name!r} of 'infer' is not finite on random data")
    return f"infer returns {', '.join(sorted(outputs))}"


def _check_correction(trainer: Trainer, artifact: Artifact) -> str:
    """With mu = 0 and no offset the corrected step is the plain one."""
    batch = random_batch(artifact, trainer, 0)
    _start(trainer, artifact)
    trainer.train_step(batch, LEARNING_RATE)
    plain = trainer.get_weights()
    _start(trainer, artifact)
    inputs = {**batch, "learning_rate": np.asarray(LEARNING_RATE, np.float32), "mu": np.asarray(0, np.float32)}
    if artifact.manifest.seed:
        inputs["seed"] = np.asarray(0, np.int32)
    trainer._session.call("train_corrected", inputs)
    _compare("the weights after a corrected step with mu = 0", trainer.get_weights(), plain, 1e-5)
    return "train_corrected with mu = 0 and no offset is train"


def _start(trainer: Trainer, artifact: Artifact) -> None:
    trainer.set_weights(artifact.weights())
    trainer.reset_optimizer()


def random_batch(artifact: Artifact, trainer: Trainer, seed: int) -> Batch:
    """Return a batch of random numbers that fits the manifest; class numbers stay below the outputs of the model."""
    manifest, rng = artifact.manifest, np.random.default_rng([seed, 11])
    below = len(manifest.vocabulary) + 4 if manifest.vocabulary else 2
    batch = {spec.name: _random(rng, spec, below) for spec in manifest.inputs}
    batch["labels"] = _random(rng, manifest.labels, below)
    if manifest.labels.dtype == "float32":
        batch["labels"] = np.abs(np.sign(batch["labels"]) + 1) / 2
    batch["weight"] = rng.uniform(0.5, 1.0, manifest.weight.shape).astype(np.float32)
    return {name: array.astype(array.dtype) for name, array in batch.items()}


def _random(rng: np.random.Generator, spec: TensorSpec, below: int) -> Array:
    drawn: Array
    if spec.dtype.startswith("float"):
        drawn = rng.normal(size=spec.shape).astype(spec.dtype)
    else:
        drawn = rng.integers(0, below, spec.shape).astype(spec.dtype)
    return drawn


def _same(one: Weights, other: Weights, name: str) -> bool:
    return bool(np.array_equal(one[name], other[name]))


def _compare(what: str, got: Weights, expected: Weights, tolerance: float = 0.0) -> None:
    for name, array in expected.items():
        worst = float(np.abs(got[name].astype(np.float64) - array).max()) if array.size else 0.0
        if not worst <= tolerance:
            raise ModelError(f"{what}: {name!r} differs by {worst:.3g} (within {tolerance:g})")
