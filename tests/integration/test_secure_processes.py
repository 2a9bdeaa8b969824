"""Secure rounds of real processes over real brokers: drop-outs by SIGKILL, certificates.

A coordinator that is killed before the masks come off is in `test_private_processes`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise.brokers.mosquitto import find_mosquitto
from edgewise.brokers.process import free_port
from edgewise_coordinator.state import StateStore
from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from edgewise_wire.codec import decode
from edgewise_wire.errors import UnavailableError
from edgewise_wire.messages import Body, SecureConsent, SecureShares, UploadRequest
from process_fleet import ProcessFleet, edgewise, process_fleet
from secure_sum import check_sum

pytest.importorskip("cryptography")
pytestmark = pytest.mark.integration

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
PATIENCE = 120.0
SECURE = ("--secure-aggregation", "--evaluate-every", "0", "--over-selection", "1.0", "--secure-timeout", "10")


def watch(fleet: ProcessFleet, victim: str, at: type[Body]) -> dict[str, np.ndarray]:
    """Read what each device adds to the sum from its folder as it uploads, and kill one after it has said a word.

    It ends with the first signed consent: all updates are in by then. (One without a signature only asks who survived,
    and may come before a slow device's update.)
    """
    words: dict[str, np.ndarray] = {}

    def seen(device: str, body: Body) -> bool:
        if isinstance(body, UploadRequest):
            words[device] = np.fromfile(fleet.folder / device / "session/update", "<u4")
        if device == victim and isinstance(body, at) and fleet.devices[victim].poll() is None:
            fleet.kill(victim)
        return isinstance(body, SecureConsent) and bool(body.signature)

    fleet.until(seen)
    return words


@pytest.mark.parametrize("at", [SecureShares, UploadRequest])
def test_a_killed_device_leaves_the_exact_average_of_the_others(
    at: type[Body], tmp_path: Path, fixture_dir: Path
) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(5):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n))
        fleet.start_coordinator("--rounds", "1", "--cohort", "5", "--min-reports", "3", *SECURE)
        words = watch(fleet, "pi-3", at)
        end = fleet.finish()
        assert end["version"] == 1
        (row,) = fleet.rows()
        assert row["phase"] == "committed"
        assert row["reported"] in (4, 5)
        _, weight = check_sum(fleet, words, 5)
        (row,) = fleet.rows()
        assert row["examples"] == weight
        told = [decode(m.payload).body for m in fleet.payloads if m.payload and m.topic.endswith("/up")]
        requests = [body for body in told if isinstance(body, UploadRequest)]
        assert all((r.examples, r.loss, r.steps) == (1, 0.0, 0) for r in requests)


def call(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "edgewise", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(path: Path, words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists() and words in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{words!r} never stood in {path}: {path.read_text() if path.exists() else ''}")


def test_enrolled_devices_sum_without_the_authority_on_the_coordinators_machine(
    tmp_path: Path, fixture_dir: Path
) -> None:
    try:
        find_mosquitto()
    except UnavailableError as error:
        pytest.skip(str(error))
    call("fleet", "init", "home", "--port", str(free_port()), "--bind", "127.0.0.1", cwd=tmp_path)
    processes = []
    try:
        with (tmp_path / "broker.log").open("w") as log:
            processes.append(edgewise("broker", "--fleet-dir", "fleet", cwd=tmp_path, stdout=log, stderr=log))
        wait_for(tmp_path / "broker.log", "mqtts://")
        for name in ("pi-1", "pi-2", "pi-3"):
            call("fleet", "enroll", name, cwd=tmp_path)
            with ExampleStore(Home(tmp_path / name).examples) as store:
                store.add_many(SENTENCES * 3)
            call("device", "join", f"{name}.bundle", "--home", name, cwd=tmp_path)
            call("device", "policy", "set", "require_secure_aggregation", "true", "--home", name, cwd=tmp_path)
        (tmp_path / "fleet/authority/ca.key").rename(tmp_path / "ca.key.elsewhere")
        for name in ("pi-1", "pi-2", "pi-3"):
            with (tmp_path / f"{name}.log").open("w") as log:
                arguments = ("device", "run", "--home", name, "--no-conditions")
                processes.append(edgewise(*arguments, cwd=tmp_path, stdout=log, stderr=log))
        arguments = ["--fleet-dir", "fleet", "--model", str(fixture_dir / "tiny.tflite"), "--rounds", "1"]
        arguments += ["--cohort", "3", "--dir", "run", *SECURE]
        done = subprocess.run(
            [sys.executable, "-m", "edgewise", "coordinate", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "not to lie" not in done.stderr
        store = StateStore(tmp_path / "run/state.sqlite")
        assert [version.version for version in store.versions()] == [0, 1]
        assert {report.device for report in store.reports(1)} == {"pi-1", "pi-2", "pi-3"}
        store.close()
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(30)
