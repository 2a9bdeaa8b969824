"""Every loss and every optimizer trains as Keras' own does, on every runtime at hand.

All losses stand side by side in one model, all optimizers in another; each row's weights are compared by themselves.
"""

from __future__ import annotations

import pytest
from keras import ops

from edgewise_models.keras_export import plan_of
from edgewise_models.matrix import BATCH, LOSSES, OPTIMIZERS
from edgewise_models.plan import Settings
from exporting import CROSS_ENTROPY, export, prove_on_the_other_runtime, unnoticed
from together import Together, every_loss, side_by_side

MEASURED = [case for case in LOSSES if case.metrics]

# A weight is compared by its own change only where that is not small beside the others' (`unnoticed`).
TINY_STEPS = [case for case in OPTIMIZERS if case.name == "Adadelta"]
SMALL_STEPS = [
    case for case in OPTIMIZERS if (case.name.startswith("SGD") and "clip" in case.name) or "factor" in case.name
]
OTHERS = [case for case in OPTIMIZERS if case not in TINY_STEPS + SMALL_STEPS]


def test_every_loss_trains_as_tensorflow_does(proved):
    made = export(proved, "losses", side_by_side(LOSSES), every_loss(LOSSES))
    assert made.proofs[0].change < 1e-3
    assert not unnoticed(made.rehearsal)


@pytest.mark.parametrize("cases", [OTHERS, SMALL_STEPS, TINY_STEPS], ids=["most", "small steps", "tiny steps"])
def test_every_optimizer_trains_as_keras_does(proved, cases):
    def squares(labels, found):
        return ops.sum(ops.square(labels - found), axis=-1)

    made = export(proved, f"{len(cases)} optimizers", side_by_side(cases), squares, optimizer=_optimizer(cases))
    assert made.proofs[0].change < 1e-3
    assert not unnoticed(made.rehearsal)


def _optimizer(cases):
    return Together([case.optimizer for case in cases]) if len(cases) > 1 else cases[0].optimizer


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_every_loss_by_itself_says_its_labels_and_metrics(case):
    plan = plan_of(case.build(), case.loss, "sgd", case.metrics, Settings(BATCH, corrected=False))
    classes = case.name.startswith("sparse")
    assert plan.labels.dtype.name == ("int32" if classes else "float32")
    assert len(plan.labels.shape) == len(plan.output.shape) - classes
    names = {"mae": "mean_absolute_error"}
    assert [metric.name for metric in plan.metrics] == [names.get(name, name) for name in case.metrics]


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: case.name)
def test_losses_with_metrics_are_evaluated_as_tensorflow_does(proved, case):
    made = export(proved, f"measured {case.name}", case.build(), case.loss, metrics=case.metrics)
    assert made.proofs[0].change < 1e-4


def test_the_slots_of_adam_are_a_counter_and_two_for_each_weight(proved):
    made = export(proved, "adam", OPTIMIZERS[0].build(), CROSS_ENTROPY, optimizer="adam")
    slots = [spec.name for spec in made.artifact.manifest.weights if spec.role == "slot"]
    assert "slot/step" in slots
    assert len(slots) == 1 + 2 * 4


def test_every_file_trains_as_tensorflow_does_on_the_other_runtime_too(proved):
    prove_on_the_other_runtime(proved)
