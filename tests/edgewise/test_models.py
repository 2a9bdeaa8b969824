"""`edgewise models`: every version that a coordinator made, and the way back to an older one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgewise.cli import cli
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.catalog import Catalog
from edgewise_coordinator.server import Coordinator, directory_lock
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, InputError, UnavailableError
from edgewise_wire.messages import Assignment
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.weights import flatten
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SETTINGS = Settings("test", 3, RoundSettings(goal=2, over_selection=1.0), TrainingSettings(learning_rate=0.5))


def made(folder: Path, fixture_dir: Path, **options: Any) -> MemoryFleet:
    texts = {f"pi-{n}": (SENTENCES * 4)[n : n + 10] for n in range(2)}
    found = MemoryFleet(folder, fixture_dir / "tiny.tflite", SETTINGS, texts, options=options)
    found.run()
    found.coordinator.store.close()
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, fixture_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("fleet"), fixture_dir).folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def said(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["models", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def weights(run: Path, version: int) -> bytes:
    return (run / "versions" / f"{version:06}.weights").read_bytes()


def test_the_list_has_every_version_with_parent_round_and_metrics(run: Path) -> None:
    rows = json.loads(said("list", "--dir", run, "--json"))["versions"]
    assert [(r["version"], r["parent"]) for r in rows] == [(0, None), (1, 0), (2, 1), (3, 2)]
    assert rows[0]["round_id"] is None
    assert [r["round"] for r in rows] == [None, 1, 2, 3]  # training rounds, as everywhere people look
    assert rows[3]["round_id"] > 3  # evaluations count among the ids
    assert all(set(r["metrics"]) == {"loss", "top1", "top3"} for r in rows)
    table = said("list", "--dir", run).splitlines()
    assert table[0].split() == ["version", "parent", "round", "made", "loss", "top1", "top3"]
    assert len(table) == 5
    assert table[-1].endswith("newest")


def test_one_version_is_shown_with_what_made_it(run: Path) -> None:
    found = json.loads(said("show", 2, "--dir", run, "--json"))
    one, two = (np.frombuffer(weights(run, v), "<f4").astype("f8") for v in (1, 2))
    assert found["change_norm"] == pytest.approx(np.linalg.norm(two - one))
    assert found["made_by"]["reported"] == 2
    assert not found["newest"]
    text = said("show", 3, "--dir", run)
    assert "version 3, the newest: made from version 2 by round" in text
    assert "2 reports of 2 devices" in text
    assert "the first one" in said("show", 0, "--dir", run)


def test_an_exported_version_is_a_model_file_that_runs(run: Path, tmp_path: Path, fixture_dir: Path) -> None:
    out = tmp_path / "two.tflite"
    assert "Version 2 is in" in said("export", 2, "--out", out, "--dir", run)
    trainer = Trainer(out)
    assert flatten(trainer.get_weights(), trainer.manifest.weights).tobytes() == weights(run, 2)
    said("export", 0, "--out", out, "--dir", run)
    assert out.read_bytes() == (fixture_dir / "tiny.tflite").read_bytes()


def test_a_rollback_makes_the_older_version_the_newest_and_rounds_go_on_from_it(
    run: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    assert "Version 4 is version 1 again" in said("rollback", 1, "--dir", run)
    rows = json.loads(said("list", "--dir", run, "--json"))["versions"]
    assert [(r["version"], r["parent"], r["round_id"]) for r in rows][-1] == (4, 1, None)
    assert weights(run, 4) == weights(run, 1) != weights(run, 3)
    texts = {f"pi-{n}": (SENTENCES * 4)[n : n + 10] for n in range(2)}
    (tmp_path / "again").mkdir()
    shutil.copytree(run, tmp_path / "again" / "run")
    again = MemoryFleet(tmp_path / "again", fixture_dir / "tiny.tflite", replace(SETTINGS, rounds=5), texts)
    assert again.coordinator.weights.tobytes() == weights(run, 1)
    again.run()
    assert [(r.version, r.parent) for r in again.coordinator.store.versions()][-1] == (5, 4)


def test_a_round_under_way_is_abandoned_by_a_rollback(run: Path, fixture_dir: Path) -> None:
    def start(rounds: int) -> Coordinator:
        artifact = Artifact.load(fixture_dir / "tiny.tflite")
        return Coordinator(artifact, MemoryBroker().connect("c"), run, replace(SETTINGS, rounds=rounds))

    coordinator = start(9)
    coordinator.step(0.0)
    assert coordinator.round is not None
    begun = coordinator.round.round_id
    coordinator.store.close()
    said("rollback", 0, "--dir", run)
    again = start(9)
    assert again.round is None
    assert again.version == 4
    assert again.store.summary(begun)["reason"] == "rolled back to version 0"
    again.store.close()


def test_control_variates_begin_at_zero_after_a_rollback(tmp_path: Path, fixture_dir: Path) -> None:
    found = made(tmp_path, fixture_dir, algorithm=scaffold(2))
    said("rollback", 2, "--dir", tmp_path / "run")
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    again = Coordinator(
        artifact, MemoryBroker().connect("c"), tmp_path / "run", replace(SETTINGS, rounds=9), algorithm=scaffold(2)
    )
    assert found.coordinator.model.state["control"].any()
    assert not again.model.state["control"].any()
    assert again.model.controls.add_to(Assignment(), "pi-0").control_round == 0
    again.store.close()


def test_no_rollback_behind_the_back_of_a_coordinator_that_runs_there(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise_coordinator.requests.ask_roll_back.__defaults__", (0.3,))
    with directory_lock(run), pytest.raises(UnavailableError, match="did not answer"):
        said("rollback", 1, "--dir", run)
    assert Catalog(run).rows()[-1].version == 3


def test_reading_is_possible_while_one_runs(run: Path) -> None:
    with directory_lock(run):
        assert len(json.loads(said("list", "--dir", run, "--json"))["versions"]) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["show", "9"], InputError, "version 9"),
        (["rollback", "9"], InputError, "has the versions 0 to 3"),
        (["rollback", "3"], InputError, "is the newest already"),
        (["export", "9", "--out", "x.tflite"], InputError, "version 9"),
        (["export", "1", "--out", "no/such/folder/x.tflite"], ConfigError, "expected a file in a folder that is there"),
    ],
)
def test_what_cannot_be_done_is_named(run: Path, arguments: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        said(*arguments, "--dir", run)


@pytest.mark.parametrize("command", ["list", "show 0", "rollback 0", "export 0 --out x.tflite"])
def test_a_directory_without_a_coordinator_is_named(tmp_path: Path, command: str) -> None:
    with pytest.raises(InputError, match="no coordinator ran here"):
        said(*command.split(), "--dir", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_coordinator_keeps_the_first_model_file_it_was_given(run: Path, fixture_dir: Path) -> None:
    assert (run / "artifact.tflite").read_bytes() == (fixture_dir / "tiny.tflite").read_bytes()
