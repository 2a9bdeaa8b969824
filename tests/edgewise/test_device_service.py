"""The service: what the unit says, what systemd makes of it, and that it goes as it came."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.cli import main
from edgewise_edge.service import NAME, quoted, unit


@pytest.fixture
def device(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "my home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["device", *arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    run.unit = tmp_path / "config" / "systemd" / "user" / NAME
    run.bin = tmp_path / "bin"
    run.log = tmp_path / "systemctl.log"
    return run


def systemctl(device, status=0):
    device.bin.mkdir(exist_ok=True)
    program = device.bin / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(device.log))}\nexit {status}\n')
    program.chmod(0o755)


BROKER = ("--broker", "mqtt://broker.example", "--device", "pi-7")


def test_installing_writes_the_unit_and_starts_it_and_uninstalling_removes_it(device):
    systemctl(device)
    status, out, err = device("install", *BROKER, "--threads", "2")
    assert (status, err) == (0, "")
    assert "Started." in out
    text = device.unit.read_text()
    home = os.environ["EDGEWISE_HOME"]
    assert (
        f'ExecStart={quoted(sys.executable)} -m edgewise device run --home "{home}" --wait '
        "--broker mqtt://broker.example --device pi-7 --threads 2\n"
    ) in text
    assert device.log.read_text().splitlines() == ["--user daemon-reload", f"--user enable --now {NAME}"]
    assert device("uninstall")[0] == 0
    assert not device.unit.exists()
    assert Path(home).is_dir()
    assert device.log.read_text().splitlines()[2:] == [f"--user disable --now {NAME}", "--user daemon-reload"]
    status, _, err = device("uninstall")
    assert (status, "there is no" in err, err.count("\n")) == (2, True, 1)


def test_without_a_systemd_it_says_what_to_do_later(device):
    systemctl(device, status=1)
    status, out, _ = device("install", *BROKER)
    assert status == 0
    assert "Start it with: systemctl --user daemon-reload" in out
    assert device("install", *BROKER, "--no-start")[0] == 0


def test_options_that_run_does_not_know_and_passwords_are_refused_before_anything_is_written(device):
    assert device("install", *BROKER, "--bogus")[0] == 2
    assert device("install", *BROKER, "--threads", "none")[0] == 2
    status, _, err = device("install", *BROKER, "--password", "secret")
    assert (status, "no place for a password" in err) == (2, True)
    assert not device.unit.exists()
    status, _, err = device("install")
    assert (status, "join a fleet first" in err, err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("word", ["plain", "with blank", 'a "quote"', "100%", "$HOME", "back\\slash", ""])
def test_a_word_with_anything_in_it_stays_one_word(word):
    [back] = shlex.split(quoted(word).replace("%%", "%").replace("$$", "$"))
    assert back == word


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (apt: systemd)")
@pytest.mark.parametrize("home", ["/home/pi/.local/share/edgewise", "/home/pi/50% of my data"])
def test_systemd_takes_the_unit_and_finds_it_well_fenced(tmp_path, home):
    file = tmp_path / NAME
    file.write_text(unit(["/bin/true", "device", "run", "--home", home], Path(home), cwd=Path(home), memory="300M"))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}

    def analyze(*words):
        done = subprocess.run(["systemd-analyze", *words, str(file)], capture_output=True, text=True, env=environment)
        if "initialize manager" in done.stderr:
            pytest.skip(f"systemd-analyze has no user manager here: {done.stderr.strip()}")
        return done

    verified = analyze("verify", "--user")
    assert (verified.returncode, verified.stderr, verified.stdout) == (0, "", "")
    judged = analyze("security", "--user", "--offline=true", "--threshold=40")
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-analyze has no security --offline")
    assert judged.returncode == 0, judged.stdout.splitlines()[-1]
