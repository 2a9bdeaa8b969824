"""A coordinator as a service: its configuration file, its log, the files in deploy/."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgewise.cli import main
from edgewise.commands.coordinate import command as coordinate
from edgewise.operating import JsonLines, _toml, configuration, read_configuration
from edgewise_coordinator import snapshot
from edgewise_wire.errors import ConfigError

DEPLOY = Path(__file__).parents[2] / "deploy"


@click.command("probe")
@click.option("--rounds", default=3, help="How many.")
@click.option("--over-selection", default=1.3)
@click.option("--dir", "directory", type=Path, required=True)
@click.option("--config", type=Path, is_eager=True, expose_value=False, callback=read_configuration)
def probe(rounds: int, over_selection: float, directory: Path) -> None:
    click.echo(json.dumps([rounds, over_selection, str(directory)]))


def run(tmp_path: Path, text: str, *arguments: str) -> object:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    result = CliRunner().invoke(probe, ["--config", str(file), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_a_file_gives_the_defaults_and_flags_override(tmp_path: Path) -> None:
    text = 'rounds = 7\n[fleet]\ndir = "here"\n'
    assert run(tmp_path, text) == [7, 1.3, "here"]
    assert run(tmp_path, text, "--rounds", "9", "--over-selection", "2") == [9, 2.0, "here"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("runds = 7", "'runds' is no setting"),
        ("config = 'x'", "'config' is no setting"),
        ("rounds = ", "TOML"),
        ("rounds = 1\n[a]\nrounds = 2", "expected one value"),
        ("[a.b]\nrounds = 2", "expected one value"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(tmp_path, text)


def test_a_value_of_the_wrong_kind_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('rounds = "many"\ndir = "x"')
    result = CliRunner().invoke(probe, ["--config", str(file)])
    assert result.exit_code == 2
    assert "'many' is not a valid integer" in result.output


def test_print_config_has_every_setting_and_is_a_configuration() -> None:
    text = configuration(coordinate)
    settings = "\n".join(line[2:] for line in text.splitlines() if " = " in line and " = …" not in line)
    values = _toml().loads(settings)
    options = {o.lstrip("-"): p for p in coordinate.params for o in p.opts}
    for name, value in values.items():
        default = False if options[name].is_flag else options[name].default
        assert options[name].type(value, None, None) == options[name].type(default, None, None)
    missing = set(options) - {line[2:].split(" = ")[0] for line in text.splitlines() if " = " in line}
    assert missing == {"config", "print-config"}


def test_the_example_in_deploy_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DEPLOY / "edgewise.toml").read_text()
    assert all("#" in line for line in text.splitlines() if " = " in line and "max-examples" not in line)
    file = tmp_path / "edgewise.toml"
    file.write_text(text.replace("/var/lib/edgewise", str(tmp_path)))
    with pytest.raises(SystemExit) as ended:
        main(["coordinate", "--config", str(file)])
    assert ended.value.code == 2
    assert f"{tmp_path}/fleet: no fleet there" in capsys.readouterr().err  # every key was understood


@pytest.mark.parametrize("name", ["edgewise-coordinator.service", "edgewise-broker.service"])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    for unit in DEPLOY.glob("*.service"):
        text = unit.read_text().replace("/opt/edgewise/bin/edgewise", sys.executable)
        (tmp_path / unit.name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_the_log_is_one_object_a_line() -> None:
    record = logging.LogRecord("edgewise.coordinator", logging.INFO, "", 1, "round %s\nended", (3,), None)
    record.event = {"round": {"round": 3, "phase": "committed"}}
    line = JsonLines().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["message"], found["round"]["phase"]) == ("info", "round 3\nended", "committed")


SNAPSHOT = {
    "time": 0.0, "pid": 1, "fleet": "home", "doing": "training: selection", "connected": True, "paused": "",
    "version": 2, "rounds_wanted": 9, "rounds": {"committed": 2, "abandoned": 1}, "round": None,
    "devices": {"known": 3, "online": 2, "available": 1},
    "fleet_devices": [{"device": "pi-1", "state": "available", "round": 2}],
    "bytes": {"up": 1000, "down": 2000}, "unsent": 0, "refused": {"not a valid message": 4},
    "broker_refused": {"no certificate": 5}, "last_rounds": [],
}  # fmt: skip


def test_status_prints_the_fleet_and_the_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot.write(tmp_path, SNAPSHOT | {"time": time.time()})
    with pytest.raises(SystemExit) as ended:
        main(["status", "--dir", str(tmp_path)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for words in ("home", "version 2 of 9", "3 known, 2 online", "refused 4 ×", "by the broker 5 ×", "pi-1"):
        assert words in out
    with pytest.raises(SystemExit) as ended:
        main(["status", "--dir", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["version"] == 2


def test_status_of_a_dead_or_missing_coordinator_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot.write(tmp_path, SNAPSHOT)
    for arguments, code, words in (
        (["--dir", str(tmp_path)], 1, "not said anything for"),
        (["--dir", str(tmp_path / "nowhere")], 2, "no coordinator has run there"),
        (["--url", "http://127.0.0.1:9"], 2, "no coordinator answers"),
        (["--url", "ftp://x"], 2, "expected http://"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["status", *arguments])
        assert ended.value.code == code
        captured = capsys.readouterr()
        assert words in captured.out + captured.err
