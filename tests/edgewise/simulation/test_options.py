"""The options of a simulation in Python: of another kind, of a library, or none at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.simulation import simulate
from edgewise_wire.errors import ConfigError
from simulated import people, simulated


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"rounds": "5"}, "rounds: expected a whole number, got '5'"),
        ({"cohort": 2.5}, r"cohort: expected a whole number, got 2\.5"),
        ({"epochs": True}, "epochs: expected a whole number, got True"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number, got 'fast'"),
        ({"fleet": 3}, "fleet: expected a text, got 3"),
    ],
    ids=str,
)
def test_an_option_of_another_kind_is_named(options: dict[str, Any], why: str, fixture_dir: Path) -> None:
    with pytest.raises(ConfigError, match=why):
        simulated(fixture_dir, **options)


def test_numbers_and_paths_of_libraries_are_options_too(fixture_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("device,start,end\n" + "".join(f"{name},0,86400\n" for name in people()))
    options = {"rounds": np.int64(1), "learning_rate": np.float32(0.5), "trace": tmp_path / "trace.csv"}
    directory = tmp_path / "run"
    assert simulated(fixture_dir, directory=directory, **options).complete
    assert simulated(fixture_dir, directory=directory, **{**options, "rounds": 2}, resume=True).complete


def test_a_model_that_is_nothing(fixture_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: expected the path of a \.tflite file, or its bytes, got None"):
        simulate(None, people())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cohort", "buffer"])
def test_more_reports_than_there_are_devices_are_refused(name: str, fixture_dir: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected at most the 5 devices there are, got 6"):
        simulated(fixture_dir, **{name: 6})
