"""`edgewise doctor`: every check finds what is wrong when it is made wrong, and says what to do."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgewise import doctor
from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.fleet_broker import FleetBroker
from edgewise.cli import cli
from edgewise.doctor import State
from edgewise_coordinator.fleet_directory import FleetDirectory
from edgewise_edge import runtime as runtimes
from edgewise_wire.errors import UnavailableError
from edgewise_wire.transport.address import TlsFiles


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


def test_a_good_machine_is_well(tmp_path: Path) -> None:
    result = ask("--dir", str(tmp_path / "not" / "yet"), "--json")
    found = json.loads(result.output)
    assert (result.exit_code, found["well"]) == (0, True), found
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["runtime"]["says"].startswith(("ai_edge_litert", "tflite_runtime"))
    assert {"versions", "disk", "memory", "clock", "port 1883", "Mosquitto", "demo and simulation"} <= checks.keys()


def test_people_get_a_line_a_check_and_a_verdict(tmp_path: Path) -> None:
    lines = ask("--dir", str(tmp_path)).output.splitlines()
    assert lines[0].startswith("✓ versions")
    assert lines[-1] == "All is well."
    assert "\x1b" not in "".join(lines)


def test_without_a_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Any:
        raise UnavailableError("no TFLite runtime is installed")

    monkeypatch.setattr(runtimes, "find", nothing)
    result = ask()
    assert result.exit_code == 2
    assert "✗ runtime" in result.output
    assert "pip install 'edgewise[device]'" in result.output
    assert result.output.endswith("1 to mend.\n")


def test_a_missing_package_is_a_note_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "tensorflow" else object())
    found = {finding.name: finding for finding in doctor.jobs()}
    assert found["export a model"].state is State.NOTE
    assert found["export a model"].do.startswith("pip install 'edgewise[models]'")
    assert found["coordinate a fleet"].state is State.OK


def test_a_full_disk_and_a_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert doctor.disk(tmp_path).state is State.MEND
    monkeypatch.setattr(doctor, "MEMORY_LEAST", 1 << 60)
    assert doctor.memory().state is State.MEND


def test_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = doctor.disk(tmp_path)
    assert (found.state, found.do) == (State.MEND, "choose another --dir")


def test_a_clock_that_was_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert doctor.clock().state is State.MEND


def test_a_port_in_use_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "a test"})
        (found,) = doctor.ports()
    assert (found.state, found.name) == (State.NOTE, f"port {port}")
    (found,) = doctor.ports()
    assert found.state is State.OK
    monkeypatch.setattr(doctor, "PORTS", {doctor.SECURED_PORT: "a test"})
    (found,) = doctor.ports(secured_port=port)  # a fleet's own, wherever its broker listens
    assert found.name == f"port {port}"


def test_a_broker_is_really_spoken_to(tmp_path: Path) -> None:
    with EmbeddedBroker("127.0.0.1", 0, log=tmp_path / "broker.log") as broker:
        found = doctor.reach(broker.url, TlsFiles())
    assert found.state is State.OK
    assert "there and back" in found.says


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:1", "nonsense", "mqtt://no-such-host.invalid:1883"])
def test_a_broker_that_is_not_there_is_to_be_mended(url: str) -> None:
    found = doctor.reach(url, TlsFiles())
    assert found.state is State.MEND
    assert found.do


def test_two_brokers_at_once_are_refused(tmp_path: Path) -> None:
    result = ask("--broker", "mqtt://127.0.0.1", "--home", str(tmp_path))
    assert result.exit_code != 0
    assert "leave two of them out" in str(result.exception)


@pytest.mark.skipif(doctor.programs().state is not State.OK, reason="no Mosquitto on this machine")
def test_a_device_and_a_coordinator_reach_their_fleets_broker(tmp_path: Path) -> None:
    fleet = str(tmp_path / "fleet")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def say(*arguments: str) -> None:
        result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output

    say("fleet", "init", "home", "--dir", fleet, "--broker-host", "127.0.0.1", "--port", port)
    say("fleet", "enroll", "pi", "--dir", fleet, "--out", str(tmp_path / "pi.bundle"))
    say("device", "join", str(tmp_path / "pi.bundle"), "--home", str(tmp_path / "pi"))
    with FleetBroker(FleetDirectory(Path(fleet))):
        for whose in (["--home", str(tmp_path / "pi")], ["--fleet-dir", fleet]):
            found = json.loads(ask(*whose, "--json").output)["checks"][-1]
            assert (found["name"], found["state"]) == ("broker", "note"), found
            assert "connected" in found["says"]
        found = json.loads(ask("--broker", f"mqtts://127.0.0.1:{port}", "--json").output)["checks"][-1]
        assert found["state"] == "mend"
        assert "--home of a device that joined" in found["do"]
