"""Joining: one file is all the set-up, and a wrong one changes nothing and is told in one line."""

from __future__ import annotations

import json
import stat
import time

import pytest

from edgewise.cli import main
from edgewise_edge.home import Home

DAY = 86400.0


@pytest.fixture
def device(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "home"))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    run.home = tmp_path / "home"
    return run


@pytest.fixture
def enroll(tmp_path, device):
    """Make a fleet's bundle for a device; returns its path."""

    def make(fleet, name, days="90"):
        folder, path = tmp_path / fleet, tmp_path / f"{fleet}-{name}.bundle"
        if not folder.exists():
            assert device("fleet", "init", fleet, "--dir", folder, "--broker-host", "broker.example")[0] == 0
        assert device("fleet", "enroll", name, "--dir", folder, "--out", path, "--days", days)[0] == 0
        return path

    return make


def refused(device, *arguments):
    status, out, err = device("device", "join", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    return err


def test_a_bundle_is_all_it_takes_and_a_newer_one_of_the_same_device_replaces_it(device, enroll):
    status, out, err = device("device", "join", enroll("home", "pi-7"))
    assert status == 0
    assert "device 'pi-7' of fleet 'home'" in out
    assert "Delete" in err
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in device.home.glob("papers/*"))
    first = (device.home / "bundle.json").read_bytes()
    assert device("device", "join", enroll("home", "pi-7", "200"))[0] == 0
    assert (device.home / "bundle.json").read_bytes() != first


def test_a_bundle_of_another_fleet_or_name_is_refused_unless_meant(device, enroll):
    device("device", "join", enroll("home", "pi-7"))
    before = (device.home / "bundle.json").read_bytes()
    assert "of fleet 'work', and this is 'pi-7' of 'home'" in refused(device, enroll("work", "pi-7"))
    assert "device 'pi-8'" in refused(device, enroll("home", "pi-8"))
    assert (device.home / "bundle.json").read_bytes() == before
    assert device("device", "join", "--replace", enroll("work", "pi-7"))[0] == 0


def test_a_torn_bundle_and_what_is_none_are_refused(device, enroll, tmp_path):
    path = enroll("home", "pi-7")
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], b"", b"\x00\xff" * 50, b"[]", b'{"format": 9}'):
        path.write_bytes(torn)
        told = refused(device, path)
        assert str(path) in told
        assert "xff" not in told  # none of its bytes: there is a private key among them
    assert "not a bundle" in refused(device, tmp_path / "nowhere.bundle")
    found = json.loads(whole)
    path.write_text(json.dumps(found | {"coordinator_key": "bm8="}))
    assert "key" in refused(device, path)
    assert not (device.home / "bundle.json").exists()


def test_an_expired_bundle_is_refused_by_a_clock_that_knows_the_date(device, enroll):
    path = enroll("home", "pi-7")
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"expires": time.time() - DAY}))
    assert "expired on 2" in refused(device, path)
    assert "edgewise fleet enroll pi-7" in refused(device, path)
    Home(device.home).clock.write_text(json.dumps({"seen": time.time() + 400 * DAY}))
    assert device("device", "join", path)[0] == 0
