"""More rounds of Python and JVM devices than every test run has time for; `scripts/test-android-rounds` runs them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise.brokers.process import free_port
from edgewise_coordinator.state import StateStore
from edgewise_edge.home import Home
from edgewise_edge.policy import Policy, save_policy
from edgewise_edge.store import ExampleStore
from edgewise_wire.codec import decode
from edgewise_wire.messages import Assignment, EvaluationReport, SecureConsent, UploadChunk, UploadRequest
from process_fleet import FLEET, edgewise, process_fleet
from proxy import NetworkFaults
from secure_sum import check_sum
from tests.integration.test_android_round import (
    SENTENCES,
    TOGETHER,
    Sent,
    call,
    check_average,
    disturbed,
    jar,
    spoken,
    start_mixed,
    wait_for,
)
from tests.integration.test_android_secure import SECURE
from tests.support.jvm_devices import java, start_jvm_device

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
    ("--privacy", "dp-fedavg", "--clip-norm", "0.05", "--noise-multiplier", "0.5", "--clip-quantile", "0.5"),
    ("--aggregators", "2"),
    ("--secure-aggregation", "--privacy", "dp-fedavg", "--clip-norm", "0.05", "--noise-multiplier", "0.5"),
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


def test_a_bad_network_and_the_loss_of_every_link_end_in_the_same_bits(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    model = fixture_dir / "tiny.tflite"
    in_peace, _ = disturbed(tmp_path / "peace", model, jar, None, "")
    assert disturbed(tmp_path / "cut", model, jar, "jvm-0", "all")[0] == in_peace
    faults = NetworkFaults(delay=0.02, duplicate=0.2, reorder=0.2)
    assert disturbed(tmp_path / "faults", model, jar, None, "", faults)[0] == in_peace


def log_of(home: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "participation.sqlite") as log:
        return log.execute("SELECT kind, outcome, clip, noise FROM participation ORDER BY began").fetchall()


def test_a_jvm_device_killed_once_its_masked_update_is_safe_is_in_the_sum_all_the_same(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        fleet.start_device("pi-0", SENTENCES * 3)
        for n in range(2):
            start_jvm_device(fleet, jar, f"jvm-{n}", SENTENCES * (4 + n))
        fleet.start_coordinator("--rounds", "1", "--cohort", "3", "--min-reports", "3", *SECURE)
        words: dict[str, np.ndarray] = {}

        def seen(device: str, body: object) -> bool:
            if isinstance(body, UploadRequest):
                words[device] = np.fromfile(tmp_path / device / "session/update", "<u4")
            return device == "jvm-1" and isinstance(body, SecureConsent)

        fleet.until(seen)
        fleet.kill("jvm-1")
        start_jvm_device(fleet, jar, "jvm-1")
        fleet.until(lambda device, body: bool(seen(device, body)) or len(words) == 3)
        assert fleet.finish()["version"] == 1
        assert check_sum(fleet, words, 3)[0] == {"pi-0", "jvm-0", "jvm-1"}
    assert log_of(tmp_path / "jvm-0") == [("train", "reported", 0.0, 0.0)]


def test_enrolled_devices_of_both_kinds_believe_each_other_and_no_stranger(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    """Certificates and signatures of keys cross from Python to Java and back; the owners ask for secure rounds."""
    call("fleet", "init", "home", "--port", str(free_port()), "--bind", "127.0.0.1", cwd=tmp_path)
    processes = []
    names = ("pi-1", "jvm-1", "jvm-2")
    try:
        with (tmp_path / "broker.log").open("w") as log:
            processes.append(edgewise("broker", "--fleet-dir", "fleet", cwd=tmp_path, stdout=log, stderr=log))
        wait_for(tmp_path / "broker.log", "mqtts://")
        for name in names:
            call("fleet", "enroll", name, cwd=tmp_path)
            home = Home(tmp_path / name)
            with ExampleStore(home.examples) as store:
                store.add_many(SENTENCES * 3)
            save_policy(home.policy, Policy(require_secure_aggregation=True, min_cohort=3, min_threshold=3))
        call("device", "join", "pi-1.bundle", "--home", "pi-1", cwd=tmp_path)
        (tmp_path / "fleet/authority/ca.key").rename(tmp_path / "ca.key.elsewhere")
        with (tmp_path / "pi-1.log").open("w") as log:
            arguments = ("device", "run", "--home", "pi-1", "--no-conditions")
            processes.append(edgewise(*arguments, cwd=tmp_path, stdout=log, stderr=log))
        for name in names[1:]:
            with (tmp_path / f"{name}.log").open("w") as log:
                whence = ("--bundle", str(tmp_path / f"{name}.bundle"), "--home", str(tmp_path / name))
                processes.append(java(jar, "run", *whence, stdout=log, stderr=log))
        command = ["coordinate", "--fleet-dir", "fleet", "--model", str(fixture_dir / "tiny.tflite"), "--rounds", "2"]
        command += ["--cohort", "3", "--min-reports", "3", "--dir", "run", *SECURE]
        done = subprocess.run(
            [sys.executable, "-m", "edgewise", *command], cwd=tmp_path, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        state = StateStore(tmp_path / "run/state.sqlite")
        assert [version.version for version in state.versions()] == [0, 1, 2]
        assert {report.device for report in state.reports(1)} == set(names)
        state.close()
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(30)


def test_both_kinds_of_device_vote_for_the_fleets_words(jar: Path, tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for name in ("pi-0", "jvm-0", "jvm-1"):
            save_policy(Home(tmp_path / name).policy, Policy(max_votes=8))
        fleet.start_device("pi-0", ["so it is", "is it so"] * 5)
        for n in range(2):
            start_jvm_device(fleet, jar, f"jvm-{n}", ["so it is", "is it so", f"only{n}"] * 5)
        command = ["vocabulary", "discover", "--broker", fleet.broker.url, "--fleet", FLEET, "--cohort", "3", "--json"]
        command += ["--characters", "2", "--epsilon", "60", "--votes", "4", "--dir", str(tmp_path / "words")]
        out = subprocess.run(
            [sys.executable, "-m", "edgewise", *command, "--out", str(tmp_path / "words.txt")],
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert out.returncode == 0, out.stderr
        assert json.loads(out.stdout.splitlines()[-1])["words"] == 3
        assert sorted((tmp_path / "words.txt").read_text().split()) == ["is", "it", "so"]
        fleet.coordinator = None
        while (event := fleet.spy.poll(0.2)) is not None:
            if hasattr(event, "payload"):
                fleet.payloads.append(event)
    votes = [(device, e.body) for e, device in spoken(fleet) if isinstance(e.body, EvaluationReport)]
    assert {device for device, _ in votes} == {"pi-0", "jvm-0", "jvm-1"}
    assert {row[:2] for row in log_of(tmp_path / "jvm-0")} == {("discover", "reported")}


def test_a_jvm_device_fetches_blobs_over_http_and_uploads_through_an_aggregator(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(2):
            start_jvm_device(fleet, jar, f"jvm-{n}", SENTENCES * (4 + n))
        arguments = ("--rounds", "2", "--cohort", "2", "--over-selection", "1.0", "--evaluate-every", "0")
        fleet.start_coordinator(*arguments, "--http", "127.0.0.1:0", "--aggregators", "2")
        assert fleet.finish()["version"] == 2
    told = [e.body for e, _ in spoken(fleet) if isinstance(e.body, Assignment)]
    assert len(told) >= 4
    assert all(asked.blobs_url.startswith("http://127.0.0.1:") and asked.aggregator for asked in told)
    chunks = [m for m in fleet.payloads if m.payload and isinstance(decode(m.payload).body, UploadChunk)]
    assert chunks
    assert all(message.topic.rsplit("/", 1)[1] in {asked.aggregator for asked in told} for message in chunks)
