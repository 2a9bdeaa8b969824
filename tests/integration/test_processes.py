"""The main job with real processes over real brokers: killed agents, a killed broker, and no text on the wire."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise_coordinator.state import StateStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.codec import decode
from edgewise_wire.messages import Accept, UploadRequest
from edgewise_wire.weights import flatten
from process_fleet import process_fleet

pytestmark = pytest.mark.integration

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SECRETS = ["zanzibarquux knows", "the passphrase is wibblefrotz", "meet me at Ünterwölfchen"]
BROKERS = [
    "embedded",
    pytest.param(
        "mosquitto",
        marks=pytest.mark.skipif(
            not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()),
            reason="no Mosquitto on this machine: apt install mosquitto",
        ),
    ),
]


@pytest.mark.parametrize("kind", BROKERS)
def test_rounds_over_a_real_broker_are_fedavg_and_say_no_text(kind: str, tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker(kind, tmp_path / "broker")) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n) + [SECRETS[n]] * 5)
        fleet.start_coordinator("--rounds", "2", "--cohort", "3", "--over-selection", "1.0")
        end = fleet.finish()
        assert end["rounds"] == end["version"] == 2
        assert [row["phase"] for row in fleet.rows()] == ["committed"] * 3
        check_fedavg(tmp_path / "run", fixture_dir / "tiny.tflite")
        kinds = {type(decode(m.payload).body).__name__ for m in fleet.payloads if m.payload}
        assert {"Presence", "CheckIn", "Assignment", "BlobChunk", "UploadChunk", "EvaluationReport"} <= kinds
        words = {word for text in SECRETS for word in text.split() if len(word) > 6} | set(SENTENCES[:3])
        for message in fleet.payloads:
            for word in words:
                assert word.encode() not in message.payload
                assert word.lower().encode() not in message.payload


def check_fedavg(run: Path, model: Path) -> None:
    """The average of each round, computed anew from the updates that the coordinator kept."""
    store = StateStore(run / "state.sqlite")
    artifact = Artifact.load(model)
    weights = flatten(artifact.weights(), artifact.manifest.weights).astype("f8")
    for version in store.versions()[1:]:
        assert version.round_id is not None
        reports = store.reports(version.round_id)
        total = sum(r.examples for r in reports)
        folder = run / "spool" / f"{version.round_id:06}"
        weights = sum(
            r.examples / total * (weights + np.frombuffer((folder / r.file).read_bytes(), "<f4")) for r in reports
        )
        after = np.frombuffer((run / "versions" / version.weights).read_bytes(), "<f4")
        np.testing.assert_allclose(after, weights, atol=1e-6)
    store.close()


def test_a_round_commits_though_an_agent_is_killed_in_it(tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(4):
            fleet.start_device(f"pi-{n}", SENTENCES * 100)
        arguments = ["--rounds", "1", "--cohort", "4", "--min-reports", "3", "--over-selection", "1.0"]
        fleet.start_coordinator(*arguments, "--epochs", "20", "--evaluate-every", "0")
        victim = fleet.until(lambda device, body: isinstance(body, Accept))
        fleet.kill(victim)
        fleet.finish()
        (row,) = fleet.rows()
        assert (row["phase"], row["selected"], row["reported"]) == ("committed", 4, 3)
        assert row["failed"] == {"offline for 2 s": 1}


@pytest.mark.parametrize("kind", BROKERS)
def test_everyone_comes_back_when_the_broker_does(kind: str, tmp_path: Path, fixture_dir: Path) -> None:
    broker = make_broker(kind, tmp_path / "broker")
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", broker) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * 60)
        arguments = ["--rounds", "3", "--cohort", "3", "--over-selection", "1.0", "--epochs", "10"]
        fleet.start_coordinator(*arguments, "--offline-grace", "60")
        fleet.until(lambda device, body: isinstance(body, UploadRequest))
        broker.kill()
        time.sleep(10)
        broker.start()
        end = fleet.finish()
        assert end["version"] == 3
        rows = fleet.rows()
        assert [r["reported"] for r in rows[1:] if r["phase"] == "committed"] == [3, 3, 3]


def test_a_coordinator_that_is_killed_goes_on_with_its_round(tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * 60)
        arguments = ["--rounds", "2", "--cohort", "3", "--over-selection", "1.0", "--epochs", "10"]
        fleet.start_coordinator(*arguments)
        fleet.until(lambda device, body: isinstance(body, UploadRequest))
        assert fleet.coordinator is not None
        fleet.coordinator.kill()
        fleet.coordinator.communicate()
        fleet.start_coordinator(*arguments)
        assert fleet.finish()["version"] == 2
        check_fedavg(tmp_path / "run", fixture_dir / "tiny.tflite")
