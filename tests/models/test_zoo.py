"""Every model of the zoo exports at a small size and trains as TensorFlow does."""

from __future__ import annotations

import keras
import pytest

from edgewise_models import zoo
from edgewise_models.keras_export import export_trainable

SMALL = {
    "mlp": {"features": 5, "hidden": (6,), "classes": 3},
    "cnn": {"size": 8, "filters": (3, 4), "classes": 3},
    "mobile": {"size": 8, "widths": (4, 6), "classes": 3},
    "gru": {"vocabulary": 13, "width": 5, "units": 6, "steps": 3},
    "transformer": {"vocabulary": 13, "width": 8, "heads": 2, "depth": 1, "steps": 4},
}


def test_nothing_of_the_zoo_is_left_out() -> None:
    assert sorted(SMALL) == zoo.__all__


@pytest.mark.parametrize("name", zoo.__all__)
def test_a_model_of_the_zoo_exports_and_trains(tmp_path, name) -> None:
    keras.utils.set_random_seed(1)
    arguments = getattr(zoo, name)(**SMALL[name]) | {"batch": 2, "corrected": False}
    model, loss = arguments.pop("model"), arguments.pop("loss")
    made = export_trainable(model, loss, path=tmp_path / "model.tflite", **arguments)
    assert made.proofs[0].change < 2e-3
    per_position = name in ("gru", "transformer")
    assert made.artifact.manifest.steps == (SMALL[name]["steps"] if per_position else 0)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("transformer", 1.3e6, 2.5e6), ("mlp", 1e3, 1e4), ("cnn", 1e5, 1e6)]
)
def test_the_default_sizes_are_useful_ones(name, least, most) -> None:
    assert least < getattr(zoo, name)()["model"].count_params() < most
