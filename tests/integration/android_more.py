"""More rounds of Python and JVM devices than every test run has time for; `scripts/test-android-rounds` runs them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgewise.brokers.choose import make_broker
from edgewise_coordinator.state import StateStore
from process_fleet import process_fleet
from tests.integration.test_android_round import TOGETHER, Sent, check_average, jar, start_mixed

__all__ = ["jar"]
pytestmark = pytest.mark.timeout(300)

PLAIN = ("--mu", "0.1", "--algorithm", "fedprox")  # its version is the plain average of the updates
OPTIONS = [
    PLAIN,
    ("--algorithm", "scaffold", "--fleet-size", "4"),
    ("--compress", "eden-2"),
    ("--compress", "topk-0.1"),
    ("--compress", "float16", "--compress-down", "float16"),
    ("--compress", "clip-0.1"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_mixed_cohort_finishes_rounds_with(
    options: tuple[str, ...], jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    model = fixture_dir / "tiny.tflite"
    with process_fleet(tmp_path, model, make_broker("embedded", tmp_path / "broker")) as fleet:
        start_mixed(fleet, jar)
        fleet.start_coordinator("--rounds", "3", "--evaluate-every", "0", *options, *TOGETHER)
        assert fleet.finish()["version"] == 3
    store = StateStore(tmp_path / "run" / "state.sqlite")
    assert [len(store.reports(v.round_id)) for v in store.versions()[1:] if v.round_id] == [4, 4, 4]
    store.close()
    if options is PLAIN:
        assert len(check_average(tmp_path, model, Sent(fleet))) == 3
    for name in ("jvm-0", "jvm-1"):
        with sqlite3.connect(tmp_path / name / "participation.sqlite") as log:
            assert log.execute("SELECT DISTINCT outcome FROM participation").fetchall() == [("reported",)]
