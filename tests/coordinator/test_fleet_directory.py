"""A fleet's directory without a broker: papers, index, bundles, and what a coordinator makes of it."""

from __future__ import annotations

import json
import ssl
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator_scene import Scene
from edgewise_coordinator.members import LOOK_SECONDS, Enrolled
from edgewise_coordinator.refusals import NOT_A_MEMBER
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_wire.bundle import Bundle
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment
from edgewise_wire.transport.address import TlsFiles

pytest.importorskip("cryptography")
from edgewise_coordinator.fleet_directory import FleetDirectory

NOW = 1.9e9


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetDirectory:
    folder = tmp_path_factory.mktemp("fleet") / "test"
    return FleetDirectory.create(folder, "test", host="broker.example", port=8883, bind="", user="edgewise", now=NOW)


def test_papers_are_what_a_tls_library_takes(fleet: FleetDirectory, tmp_path: Path) -> None:
    bundle = fleet.enroll("pi-1", days=30, now=NOW)
    assert (bundle.broker, bundle.expires) == ("mqtts://broker.example:8883", NOW + 30 * 86400)
    files = bundle.unpack(tmp_path / "papers")
    assert files.context().verify_mode is ssl.CERT_REQUIRED
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "papers").iterdir()} == {0o600}
    fleet.coordinator_tls.context()
    broker = fleet.path / "broker"
    TlsFiles(broker / "ca.pem", broker / "broker.pem", broker / "broker.key").context()


def test_a_bundle_survives_its_file_and_nothing_else_is_one(fleet: FleetDirectory, tmp_path: Path) -> None:
    bundle = fleet.enroll("pi-2", days=30, now=NOW)
    path = tmp_path / "pi-2.bundle"
    bundle.save(path)
    assert Bundle.load(path) == bundle
    assert "PRIVATE" not in repr(bundle)
    good = json.loads(path.read_text())
    for wrong in ("", "[]", "{}", json.dumps(good | {"format": 9}), json.dumps(good | {"broker": "mqtt://plain"})):
        path.write_text(wrong)
        with pytest.raises(ConfigError):
            Bundle.load(path)
    with pytest.raises(ConfigError, match="mqtts"):
        replace(bundle, broker="mqtt://plain")


@pytest.mark.parametrize("name", ["", "_coordinator", "a/b", "a+", "#", "../x", "x" * 65, "ä"])
def test_names_that_mean_something_else_are_refused(fleet: FleetDirectory, name: str) -> None:
    with pytest.raises(ConfigError, match="device name"):
        fleet.enroll(name, days=1, now=NOW)


def test_renewing_keeps_the_authority_and_replaces_keys(fleet: FleetDirectory) -> None:
    before = {p: p.read_bytes() for p in fleet.path.rglob("*.pem")}
    fleet.renew(now=NOW + 86400)
    changed = {p.name for p, old in before.items() if p.read_bytes() != old}
    assert changed == {"key.pem", "cert.pem", "broker.pem"}
    fleet.coordinator_tls.context()


def test_aggregators_have_papers_and_a_place_each_and_keep_them(tmp_path: Path) -> None:
    fleet = FleetDirectory.create(tmp_path, "home", host="h", port=8883, bind="", user="u", now=NOW)
    acl = tmp_path / "broker" / "acl"
    before = acl.read_text()
    assert "/up/" not in before
    fleet.set_aggregators(2, now=NOW)
    first = fleet.aggregator_tls("a1")
    first.context()
    assert "pattern write ew/1/home/device/%u/up/+\n" in acl.read_text()
    assert "user _aggregator-a1\ntopic read ew/1/home/device/+/up/a1\ntopic write" in acl.read_text()
    kept = Path(str(first.cert)).read_bytes()
    fleet.set_aggregators(3, now=NOW)
    assert Path(str(first.cert)).read_bytes() == kept
    fleet.renew(now=NOW)
    assert Path(str(first.cert)).read_bytes() != kept
    with pytest.raises(ConfigError, match=r"has papers for 3 of them; edgewise fleet aggregators NUMBER --dir"):
        fleet.aggregator_tls("a3")
    fleet.set_aggregators(0, now=NOW)
    assert acl.read_text() == before
    with pytest.raises(ConfigError, match="aggregators: expected 0 to 256, got 257"):
        fleet.set_aggregators(257, now=NOW)
    assert fleet.enrolments() == []  # they are no devices


def test_a_second_fleet_does_not_overwrite_the_first(fleet: FleetDirectory, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is a fleet already"):
        FleetDirectory.create(fleet.path, "x", host="h", port=1, bind="", user="u", now=NOW)
    with pytest.raises(ConfigError, match="no fleet there"):
        FleetDirectory(tmp_path)


def test_the_coordinator_notices_who_joins_and_who_is_revoked(fleet: FleetDirectory) -> None:
    clock = ManualClock(100.0, 0.0)
    members = Enrolled(fleet.index, clock)
    assert not members.admits("pi-5")
    fleet.enroll("pi-5", days=1, now=NOW)
    clock.advance(LOOK_SECONDS)
    assert members.admits("pi-5")
    fleet.revoke("pi-5", now=NOW)
    clock.advance(LOOK_SECONDS)
    assert (members.admits("pi-5"), members.leavers(), members.leavers()) == (False, ["pi-5"], [])
    fleet.enroll("pi-5", days=1, now=NOW)
    clock.advance(LOOK_SECONDS)
    assert members.admits("pi-5")
    fleet.revoke("pi-5", now=NOW)
    clock.advance(LOOK_SECONDS)
    assert members.leavers() == ["pi-5"]
    with pytest.raises(ConfigError, match="not a fleet's index"):
        Enrolled(fleet.path / "nothing.json", clock)


def test_a_device_revoked_in_the_middle_of_a_round_is_out_of_it(fleet: FleetDirectory, tmp_path: Path) -> None:
    for name in ("d1", "d2"):
        fleet.enroll(name, days=1, now=NOW)
    settings = Settings(
        "test", 1, RoundSettings(goal=2, min_reports=1), TrainingSettings(learning_rate=0.1), evaluate_every=0
    )
    clock = ManualClock(1000.0, 5000.0)
    options = {"members": Enrolled(fleet.index, clock), "seal": fleet.signing_key().seal}
    s = Scene(tmp_path / "run", settings, clock=clock, options=options)
    s.join("d1", "d2", "d3")
    s.devices["d2"].send_chunks = False
    s.settle()
    assert s.coordinator.link.refused[NOT_A_MEMBER] >= 2  # d3 was never enrolled: its presence, its check-in
    assert len([m for m in s.devices["d1"].heard if isinstance(m, Assignment) and len(m.signature) == 64]) == 1
    fleet.revoke("d2", now=NOW)
    s.advance(LOOK_SECONDS)
    assert [(r.phase, r.reported, r.failed) for r in s.rounds] == [("committed", 1, {"revoked": 1})]
    assert s.coordinator.fleet.online() == ["d1"]
    before, _ = s.coordinator.model.versions.load(0)
    update = np.frombuffer(s.devices["d1"].update, "<f4")
    np.testing.assert_allclose(s.coordinator.weights, before + update, atol=1e-7)
