"""Any Keras model to one `.tflite` that trains in the plain runtimes: `export_trainable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise_models.losses import resolve_loss
from edgewise_models.lowering.audit import refuse_unlowered
from edgewise_models.plan import Plan, Settings
from edgewise_models.source_model import source_model
from edgewise_models.writer import Facts, build_artifact


def build_trainable(
    model: Any,
    loss: Any,
    *,
    optimizer: Any = "sgd",
    batch: int,
    metrics: Sequence[Any] = (),
    inputs: Mapping[str, Any] | None = None,
    forward: Any = None,
    settings: Settings | None = None,
    name: str | None = None,
    task: str = "keras",
    allow_flex: bool = False,
) -> tuple[bytes, Plan]:
    """Return the bytes of a model file that is complete but not proved, and its plan."""
    source = source_model(model, inputs=inputs, forward=forward)
    plan = Plan(source, resolve_loss(loss), optimizer, metrics, settings or Settings(batch))
    facts = Facts(
        task=task,
        name=name or source.name,
        batch=batch,
        steps=0 if len(plan.weight.shape) < 2 else int(plan.weight.shape[1]),
        inputs=tuple(source.inputs),
        metrics=tuple(metric.name for metric in plan.metrics),
        seed=plan.random,
    )
    functions = plan.functions()
    refuse_unlowered(functions, source.layers, allow_flex=allow_flex)
    return build_artifact(functions, plan.weights, facts, offsets=plan.offset_weights, allow_flex=allow_flex), plan
