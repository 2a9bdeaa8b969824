"""The operator's whole way with real processes: make a fleet, let devices in, run rounds, look, shut one out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from edgewise.brokers.mosquitto import find_mosquitto
from edgewise.brokers.process import free_port
from edgewise_coordinator.state import StateStore
from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from edgewise_wire.errors import UnavailableError
from process_fleet import edgewise

pytest.importorskip("cryptography")
pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.integration

PATIENCE = 120.0
SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]


def call(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgewise", *arguments], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_metric(url: str, line: str) -> None:
    """Wait until the coordinator tells it: two devices can finish rounds before the third has come."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=20) as answer:
            if line in answer.read().decode():
                return
        time.sleep(0.2)
    raise AssertionError(f"{line!r} was never told at {url}")


def wait_for(path: Path, words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists() and words in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{words!r} never stood in {path}: {path.read_text() if path.exists() else ''}")


def test_a_secured_fleet_runs_rounds_and_a_revoked_device_is_out(tmp_path: Path, fixture_dir: Path) -> None:
    try:
        find_mosquitto()
    except UnavailableError as error:
        pytest.skip(str(error))
    port, web = str(free_port()), free_port()
    call("fleet", "init", "home", "--port", port, "--bind", "127.0.0.1", cwd=tmp_path)
    processes = []
    try:
        with (tmp_path / "broker.log").open("w") as log:
            processes.append(edgewise("broker", "--fleet-dir", "fleet", cwd=tmp_path, stdout=log, stderr=log))
        wait_for(tmp_path / "broker.log", "mqtts://")
        assert "has read its access list anew" in call("fleet", "aggregators", "4", cwd=tmp_path)
        for name in ("pi-1", "pi-2", "pi-3"):
            call("fleet", "enroll", name, cwd=tmp_path)
            with ExampleStore(Home(tmp_path / name).examples) as store:
                store.add_many(SENTENCES * 3)
            call("device", "join", f"{name}.bundle", "--home", name, cwd=tmp_path)
            with (tmp_path / f"{name}.log").open("w") as log:
                arguments = ("device", "run", "--home", name, "--no-conditions")
                processes.append(edgewise(*arguments, cwd=tmp_path, stdout=log, stderr=log))
        for name in ("pi-1", "pi-2", "pi-3"):
            wait_for(tmp_path / f"{name}.log", "connected")
        with (tmp_path / "coordinator.log").open("w") as log:
            arguments = ["--fleet-dir", "fleet", "--model", str(fixture_dir / "tiny.tflite"), "--rounds", "1000"]
            arguments += ["--cohort", "2", "--over-selection", "1.0", "--evaluate-every", "0", "--dir", "run"]
            arguments += ["--metrics", f"127.0.0.1:{web}", "--log", "json", "--aggregators", "4"]
            coordinator = edgewise("coordinate", *arguments, cwd=tmp_path, stdout=log, stderr=log)
            processes.append(coordinator)
        wait_for(tmp_path / "coordinator.log", '"round 2 committed"')
        wait_for_metric(f"http://127.0.0.1:{web}/metrics", "edgewise_devices_online 3.0")
        assert json.loads(call("status", "--url", f"http://127.0.0.1:{web}", "--json", cwd=tmp_path))["fleet"] == "home"

        assert "session is ended" in call("fleet", "revoke", "pi-3", cwd=tmp_path)
        wait_for(tmp_path / "coordinator.log", "pi-3: revoked")
        wait_for(tmp_path / "fleet/broker/refusals.log", "certificate not accepted")
        seen = json.loads(call("status", "--dir", "run", "--json", cwd=tmp_path))
        wait_for(tmp_path / "coordinator.log", f'"round {seen["version"] + 2} committed"')
        seen = json.loads(call("status", "--dir", "run", "--json", cwd=tmp_path))
        assert {d["device"] for d in seen["fleet_devices"]} == {"pi-1", "pi-2"}
        assert seen["broker_refused"]["certificate not accepted"] >= 1
        assert "revoked" in call("fleet", "list", cwd=tmp_path)
        lines = (tmp_path / "coordinator.log").read_text().splitlines()
        assert all(json.loads(line)["level"] for line in lines)
        store = StateStore(tmp_path / "run" / "state.sqlite")
        files = [report.file for version in store.versions()[1:] for report in store.reports(version.round_id or 0)]
        store.close()
        # Every update went past the coordinator, to the aggregator that its device belongs to: CRC-32, modulo 4.
        assert {file.partition("/")[0] for file in files} == {"a0", "a2"}
        refused = (tmp_path / "fleet/broker/refusals.log").read_text()
        assert "another's topic" not in refused
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(30)
