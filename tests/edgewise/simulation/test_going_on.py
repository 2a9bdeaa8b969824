"""A run that was stopped, interrupted or killed goes on and ends in the bits of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.simulation.compare import compare
from edgewise.simulation.engines import Inline
from edgewise_wire.errors import ConfigError, DataError, InputError
from simulated import bits, people, simulated

PRIVACY_OPTIONS = (
    "privacy", "clip_norm", "clip_quantile", "noise_multiplier", "epsilon", "delta", "population", "participations",
    "bands", "restart_every",
)  # fmt: skip


def told(rows: list[Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "wall_seconds"} for row in rows]


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "fedadam"},
        {"algorithm": "fedavgm", "server_halving": 2.0},
        {"algorithm": "scaffold"},
        {"compress": "topk-0.1"},
        {"buffer": 2, "concurrency": 4, "fleet": "pi-fleet"},
        {"fleet": "phones", "over_selection": 1.3, "cohort": 2},
        {"compress_down": "lloyd-4", "selection": "fair"},
    ],
    ids=str,
)
def test_stopped_and_resumed_it_ends_in_the_same_bits(
    options: dict[str, Any], tmp_path: Path, fixture_dir: Path
) -> None:
    whole = simulated(fixture_dir, **{**options, "rounds": 5, "directory": tmp_path / "whole"})
    seen: list[Any] = []
    complete = False
    while not complete:
        before = len(seen)
        last = simulated(
            fixture_dir, **{**options, "rounds": 5}, directory=tmp_path / "parts", resume=bool(before),
            on_round=seen.append, stop=lambda before=before: len(seen) >= before + 2,
        )  # fmt: skip
        complete = last.complete
    assert len(seen) > 4
    assert bits(last) == bits(whole)
    assert told(last.history) == told(whole.history) == told(seen)
    lines = (tmp_path / "parts" / "rounds.jsonl").read_text().splitlines()
    assert told([json.loads(line) for line in lines]) == told(whole.history)
    assert (last.devices.took_part == whole.devices.took_part).all()
    assert last.devices.gains("loss").tolist() == whole.devices.gains("loss").tolist()


def test_an_interrupted_round_is_begun_anew(tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulated(fixture_dir, rounds=4, algorithm="scaffold")
    train, calls = Inline.train, [0]

    def interrupted(self: Inline, jobs: Any) -> Any:
        done = train(self, jobs)
        calls[0] += 1
        if calls[0] == 3:  # the round is computed, its devices' states are written, and nothing of it may count
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Inline, "train", interrupted)
    options = {"rounds": 4, "algorithm": "scaffold", "directory": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        simulated(fixture_dir, **options)
    last = simulated(fixture_dir, **options, resume=True)
    assert [row["round"] for row in last.history] == [0, 1, 2, 3, 4]
    assert bits(last) == bits(whole)


@pytest.mark.integration
def test_a_killed_command_resumes_from_its_checkpoint_with_none_of_its_options(
    tmp_path: Path, fixture_dir: Path
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for name, sentences in people().items():
        (texts / f"{name}.txt").write_text("\n".join(sentences))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "edgewise", "simulate", "--dir", str(run)]
    options = ["--model", str(fixture_dir / "tiny.tflite"), "--data", str(texts), "--cohort", "3", "--rounds", "100000"]
    process = subprocess.Popen([*command, *options, "--workers", "2"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "round 30 of" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    state = (run / "rounds.jsonl").read_text().splitlines()
    count = len(state) + 20
    again = subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE, text=True)
    assert again.stderr is not None
    assert again.stderr.readline()
    time.sleep(0.5)
    os.kill(again.pid, signal.SIGKILL)
    again.wait()
    done = subprocess.run([*command, "--resume", "--rounds", str(count)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole = simulated(fixture_dir, rounds=count, cohort=3, epochs=1, workers=1, engine="inline", data=str(texts))
    assert (run / "model.tflite").read_bytes() == whole.model


def test_a_run_of_before_there_were_promises_of_privacy_goes_on(tmp_path: Path, fixture_dir: Path) -> None:
    simulated(fixture_dir, directory=tmp_path, rounds=1)
    kept = json.loads((tmp_path / "simulation.json").read_text())
    kept["options"] = {n: v for n, v in kept["options"].items() if n not in PRIVACY_OPTIONS}
    (tmp_path / "simulation.json").write_text(json.dumps(kept))
    with np.load(tmp_path / "checkpoint.npz") as found:
        arrays = dict(found)
    facts = json.loads(arrays["facts"].tobytes())
    del facts["spent"]
    np.savez(tmp_path / "checkpoint.npz", **{**arrays, "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)})
    longer = simulated(fixture_dir, directory=tmp_path, resume=True, rounds=2)
    assert bits(longer) == bits(simulated(fixture_dir, rounds=2))
    with pytest.raises(ConfigError, match="begun with privacy 'none', not 'dp-fedavg'"):
        simulated(
            fixture_dir, directory=tmp_path, resume=True, rounds=2,
            privacy="dp-fedavg", clip_norm=1.0, noise_multiplier=1.0,
        )  # fmt: skip


def test_a_directory_is_not_written_over(tmp_path: Path, fixture_dir: Path) -> None:
    simulated(fixture_dir, directory=tmp_path, rounds=1)
    with pytest.raises(InputError, match="holds a simulation"):
        simulated(fixture_dir, directory=tmp_path, rounds=1)
    with pytest.raises(InputError, match="no simulation to resume"):
        simulated(fixture_dir, directory=tmp_path / "other", resume=True)


def test_only_rounds_and_workers_may_change(tmp_path: Path, fixture_dir: Path) -> None:
    simulated(fixture_dir, directory=tmp_path, rounds=1)
    with pytest.raises(ConfigError, match=r"begun with learning_rate 0.5, not 0.25"):
        simulated(fixture_dir, directory=tmp_path, resume=True, learning_rate=0.25)
    with pytest.raises(DataError, match="devices was 5, now it is 4"):
        simulated(fixture_dir, directory=tmp_path, resume=True, data=people(4))
    longer = simulated(fixture_dir, directory=tmp_path, resume=True, rounds=2)
    assert bits(longer) == bits(simulated(fixture_dir, rounds=2))


def test_a_comparison_that_is_asked_for_again_goes_on_and_begins_what_is_missing(
    fixture_dir: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    both = {"model": fixture_dir / "tiny.tflite", "data": people(), "algorithms": "fedavg,fedprox:mu=0.1"}
    asked: dict[str, Any] = {**both, "directory": tmp_path, "rounds": 1, "engine": "inline", "resume": True}
    first = compare(**asked)
    shutil.rmtree(tmp_path / "fedprox-mu-0.1")
    again = compare(**asked, on_round=lambda label, row: seen.append(label))
    assert set(seen) == {"fedprox:mu=0.1"}
    assert [result.final("loss") for result in again.values()] == [result.final("loss") for result in first.values()]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("checkpoint.npz", b"PK", "checkpoint.npz: is no .npz file"),
        ("rounds.jsonl", b'{"round": 0}\n{"rou\n{}', "rounds.jsonl, line 2: damaged; expected JSON"),
        ("rounds.jsonl", b"", "rounds.jsonl: expected 3 lines, got 0"),
        ("rounds.jsonl", b"[]\n{}\n{}\n", r"rounds.jsonl, line 1: expected a JSON object, got \[\]"),
        ("simulation.json", b"{", "simulation.json: damaged; expected JSON"),
        ("simulation.json", b"[]", "simulation.json: expected a JSON object"),
        ("simulation.json", b"{}", "simulation.json: expected what a simulation was begun with, got nothing"),
    ],
)
def test_a_damaged_file_is_named_and_stays_as_it_is(
    file: str, content: bytes, why: str, tmp_path: Path, fixture_dir: Path
) -> None:
    simulated(fixture_dir, directory=tmp_path, rounds=2)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=why):
        simulated(fixture_dir, directory=tmp_path, rounds=3, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {**kept, file: content}


def test_half_a_line_of_a_round_that_was_not_kept_is_no_damage(tmp_path: Path, fixture_dir: Path) -> None:
    simulated(fixture_dir, directory=tmp_path, rounds=2)
    with (tmp_path / "rounds.jsonl").open("a") as file:
        file.write('{"round": 3, "pha')
    assert simulated(fixture_dir, directory=tmp_path, rounds=3, resume=True).complete


def test_a_run_that_failed_before_its_first_row_can_be_begun_otherwise(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> Any:
        raise DataError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Inline, "measure", refuses)
        with pytest.raises(DataError):
            simulated(fixture_dir, directory=tmp_path, aggregator="median")
    assert [path.name for path in tmp_path.iterdir()] == ["simulation.lock"]
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "mine.txt").write_text("of another program")
    with monkeypatch.context() as patched:
        patched.setattr(Inline, "measure", refuses)
        with pytest.raises(DataError):
            simulated(fixture_dir, directory=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["simulation.lock", "states"]
    assert (tmp_path / "states" / "mine.txt").exists()
    assert simulated(fixture_dir, directory=tmp_path).complete
