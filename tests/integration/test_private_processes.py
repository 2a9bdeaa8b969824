"""A private coordinator is killed between a release's record and its version: nothing is drawn or paid twice."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.faults import VARIABLE, FaultPoint
from edgewise_coordinator.privacy.ledger import Ledger, Release
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.release import GRID, add_noise, grid_sensitivity, make_noise
from edgewise_coordinator.state import StateStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.messages import UploadRequest
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.noise import rounded_norm
from edgewise_wire.weights import Flat, flatten
from process_fleet import ProcessFleet, process_fleet

pytest.importorskip("dp_accounting")
pytestmark = pytest.mark.integration

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
CLIP, Z = 0.05, 1.5
WORDS: dict[int, np.ndarray] = {}
OPTIONS = (
    "--rounds", "1", "--cohort", "2", "--min-reports", "2", "--over-selection", "1.0", "--evaluate-every", "0",
    "--privacy", "dp-fedavg", "--clip-norm", str(CLIP), "--noise-multiplier", str(Z), "--delta", "1e-3",
)  # fmt: skip


def killed_at(fleet: ProcessFleet, point: FaultPoint, monkeypatch: pytest.MonkeyPatch, *options: str) -> Release:
    """Run a coordinator until it dies there; return what its ledger then has."""
    monkeypatch.setenv(VARIABLE, point.value)
    fleet.start_coordinator(*OPTIONS, *options)
    monkeypatch.delenv(VARIABLE)
    assert fleet.coordinator is not None
    for n in range(2):  # what each adds to a secure sum is gone from its folder once it has reported
        device = fleet.until(lambda _, body: isinstance(body, UploadRequest))
        WORDS[n] = np.fromfile(fleet.folder / device / "session/update", "<u4")
    assert fleet.coordinator.wait(120) == -signal.SIGKILL
    (release,) = releases(fleet)
    assert not (fleet.folder / "run/rounds.jsonl").exists()
    return release


def releases(fleet: ProcessFleet) -> list[Release]:
    ledger = Ledger(fleet.folder / "run/privacy.sqlite")
    try:
        return ledger.releases()
    finally:
        ledger.close()


def versions(fleet: ProcessFleet) -> tuple[Flat, Flat, list[bytes]]:
    """Return the weights before and after the round, and the updates that were kept."""
    artifact, store = Artifact.load(fleet.model), StateStore(fleet.folder / "run/state.sqlite")
    before = flatten(artifact.weights(), artifact.manifest.weights)
    after = np.frombuffer((fleet.folder / "run/versions" / store.versions()[1].weights).read_bytes(), "<f4")
    spool = fleet.folder / "run/spool" / f"{store.versions()[1].round_id:06}"
    kept = [(spool / report.file).read_bytes() for report in store.reports(1)]
    store.close()
    return before, after, kept


def test_a_killed_coordinator_makes_the_noise_of_the_key_that_was_recorded(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(2):
            fleet.start_device(f"pi-{n}", SENTENCES * 2)
        release = killed_at(fleet, FaultPoint.AFTER_AGGREGATE, monkeypatch)
        assert release.key is not None
        fleet.start_coordinator(*OPTIONS)
        end = fleet.finish()
        before, after, kept = versions(fleet)
        total = ExactSum(len(before))
        for update in (np.frombuffer(data, "<f4") for data in kept):
            assert np.linalg.norm(update) <= CLIP * 1.000001
            total.add(update, 1.0)
        noise = make_noise(gaussian().step(1), release.key, len(before) + 1, tmp_path)[:-1]
        deviation = Z * grid_sensitivity(CLIP, len(before))
        mean = (add_noise(total.units(), noise, deviation) * (GRID / 2)).astype(np.float32)
        assert np.array_equal(after, fedavg().step(before, {}, Aggregate(mean, 2, 2))[0])
        assert [(r.step, r.round_id, r.key) for r in releases(fleet)] == [(1, 1, None)]
        assert end["privacy"]["releases"] == 1
        assert end["privacy"]["epsilon"] == fleet.rows()[0]["privacy"]["epsilon"]


def test_a_coordinator_killed_before_the_masks_come_off_has_paid_once_for_the_noise_of_its_devices(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure = ("--secure-aggregation", "--secure-timeout", "10")
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(2):
            fleet.start_device(f"pi-{n}", SENTENCES * 2)
        release = killed_at(fleet, FaultPoint.SECURE_SPENT, monkeypatch, *secure)
        fleet.start_coordinator(*OPTIONS, *secure)
        end = fleet.finish()
        before, after, _ = versions(fleet)
        form = FixedPoint(
            2, 16, CLIP, noise=(Z * rounded_norm(CLIP / FixedPoint(2, 16, CLIP).step, len(before))) ** 2 / 2
        )
        total = (WORDS[0] + WORDS[1]) & np.uint32((1 << form.modulus_bits) - 1)
        mean = form.decode(total, 2).mean
        assert np.array_equal(after, fedavg().step(before, {}, Aggregate(mean, 2, 2))[0])
        assert releases(fleet) == [release]
        (row,) = fleet.rows()
        assert (row["privacy"]["mechanism"], row["privacy"]["releases"], row["train_loss"]) == ("skellam", 1, None)
        assert end["privacy"] == row["privacy"]
