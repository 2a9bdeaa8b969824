"""`edgewise simulate` and `edgewise report`: what they say, what they leave behind, and one line for each mistake."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.cli import main
from edgewise.commands import simulate as commands
from edgewise.simulation import ArrayData
from edgewise.simulation import simulate as run_simulation
from edgewise.simulation.compare import variants
from edgewise.simulation.result import DeviceTable
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError
from simulated import people


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, sentences in people().items():
        (folder / f"{name}.txt").write_text("\n".join(sentences))
    return folder


def ran(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def simulate(fixture_dir: Path, texts: Path, directory: Path, *more: object) -> int:
    given = ("--data", texts, "--cohort", 3, "--rounds", 2, "--engine", "inline", "--dir", directory)
    return ran("simulate", "--model", fixture_dir / "tiny.tflite", *given, *more)


class Links(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object"):
            self.found.append(tag)
        self.found += [
            v or "" for n, v in attributes if n in ("src", "href", "xlink:href") and not (v or "").startswith("#")
        ]


def test_a_run_leaves_its_files_and_tells_a_script(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(fixture_dir, texts, tmp_path, "--json", "--target", "loss=3.36", "--fleet", "pi-fleet") == 0
    told = json.loads(capsys.readouterr().out)["run"]
    assert told["rounds"] == 2
    rows = [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert told["target"]["rounds"] == next(row["round"] for row in rows if row["loss"] <= 3.36)
    assert told["hours"] > 0
    assert told["bytes_up"] == 2 * 3 * 4 * sum(
        s.size for s in Artifact.load(fixture_dir / "tiny.tflite").manifest.averaged
    )
    assert Artifact.load(told["model"]).manifest.name
    table = DeviceTable.load(tmp_path / "devices.npz")
    assert table.took_part.sum() == 6
    assert np.isfinite(table.gains("loss")).all()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_is_one_plot_and_one_report_without_anything_from_elsewhere(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(fixture_dir, texts, tmp_path, "--compare", "fedavg,fedprox:mu=0.1,scaffold", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["fedavg", "fedprox:mu=0.1", "scaffold"]
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    cohorts = [
        [row["examples"] for row in map(json.loads, (tmp_path / name / "rounds.jsonl").read_text().splitlines())]
        for name in ("fedavg", "fedprox-mu-0.1", "scaffold")
    ]
    assert cohorts[0] == cohorts[1] == cohorts[2]
    assert ran("report", tmp_path) == 0
    page = (tmp_path / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert links.found == []
    assert not re.search(r"url\((?!#)", page)
    assert page.count("<svg") >= 4
    for words in ("fedprox-mu-0.1", "Who gains, who loses", "virtual", "MB up", "learning_rate"):
        assert words in page


def test_a_comparison_that_was_stopped_goes_on_as_it_was_begun(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = commands.open_run

    def interrupted(model: Path, data: Any, options: Any, folder: Path, **more: Any) -> Any:
        if folder.name == "scaffold":
            raise KeyboardInterrupt
        return begin(model, data, options, folder, **more)

    with monkeypatch.context() as patched:
        patched.setattr(commands, "open_run", interrupted)
        assert simulate(fixture_dir, texts, tmp_path, "--learning-rate", 0.25, "--compare", "fedavg,scaffold") == 130
    assert f"To go on: edgewise simulate --resume --dir {tmp_path}" in capsys.readouterr().err
    assert simulate(fixture_dir, texts, tmp_path, "--compare", "fedavg,scaffold") == 2
    assert "holds a simulation; go on with --resume" in capsys.readouterr().err
    assert ran("simulate", "--resume", "--dir", tmp_path, "--compare", "fedavg,fedadam") == 2
    assert "compares fedavg,scaffold, not fedavg,fedadam" in capsys.readouterr().err

    assert ran("simulate", "--resume", "--dir", tmp_path, "--engine", "inline") == 0
    kept = [json.loads((tmp_path / name / "simulation.json").read_text()) for name in ("fedavg", "scaffold")]
    assert [one["options"]["learning_rate"] for one in kept] == [0.25, 0.25]
    assert [one["options"]["cohort"] for one in kept] == [3, 3]
    assert kept[0]["devices"] == kept[1]["devices"] == 5
    assert (tmp_path / "comparison.png").exists()
    assert ran("simulate", "--resume", "--dir", tmp_path / "fedavg", "--rounds", 1) == 2
    assert "--rounds 1:" in (err := capsys.readouterr().err)
    assert "has made 2 already" in err


def test_a_label_may_say_how_the_servers_rate_falls() -> None:
    assert variants("fedavg,fedadam:server-halving=5")["fedadam:server-halving=5"]["server_halving"] == 5.0
    with pytest.raises(ConfigError, match=r"NAME=NUMBER of .*server_halving"):
        variants("fedavg,fedadam:halving=5")


def test_what_is_refused_leaves_no_folder(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(fixture_dir, texts, tmp_path / "run", "--cohort", 9) == 2
    assert "at most the 5 devices there are, got 9" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_report_of_a_coordinators_run(tmp_path: Path) -> None:
    row = {
        "round": 0, "round_id": 1, "phase": "committed", "version": 0, "started": 0.0, "seconds": 1.0, "selected": 0,
        "reported": 0, "failed": {}, "examples": 0, "train_loss": None, "bytes_up": 0, "bytes_down": 0, "reason": "",
        "evaluated": 2, "loss": 2.0, "top1": 0.1,
    }  # fmt: skip
    later = {**row, "round": 1, "version": 1, "selected": 2, "reported": 2, "train_loss": 1.0, "loss": 1.5, "top1": 0.2}
    later["privacy"] = {
        "epsilon": 2.125, "delta": 1e-6, "zcdp": 0.1, "mechanism": "skellam", "noise_multiplier": 2.0, "clip_norm": 0.3,
        "releases": 1, "budget": 8.0, "assumes": "a device may take part in every round",
    }  # fmt: skip
    (tmp_path / "rounds.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (row, later)))
    assert ran("report", tmp_path, "--out", tmp_path / "out.html") == 0
    page = (tmp_path / "out.html").read_text()
    assert "20.00" in page
    assert "ε 2.12 of 8 at δ 1e-06, zCDP 0.1, after 1 release (skellam, noise multiplier 2, clipping norm 0.3)" in page
    assert "It rests on this: a device may take part in every round." in page
    assert "<th>ε</th>" in page
    assert 'name="viewport"' in page
    assert "Before training: " in page
    assert "<td>2.125</td>" in page


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--rounds", "0"), "rounds: expected at least 1"),
        (("--cohort", "0"), "at least 1 device"),
        (("--cohort", "6"), "expected at most the 5 devices"),
        (("--workers", "0"), "workers: expected at least 1"),
        (("--fleet", "tablets"), "expected one of ideal, pi-fleet, phones, silo"),
        (("--drop-out", "1.5"), "drop-out"),
        (("--algorithm", "fedsgd"), "algorithm 'fedsgd': not known"),
        (("--mu", "0.1"), "algorithm fedavg has no setting --mu"),
        (("--compare", "fedavg"), "two algorithms or more"),
        (("--compare", "fedavg,fedadam:speed=3"), "'speed=3' is no setting"),
        (("--compare", "fedavg,nope"), "algorithm 'nope': not known"),
        (("--target", "top1"), "expected METRIC=NUMBER"),
        (("--target", "accuracy=0.5"), "--target accuracy=0.5: will not be measured; there is loss, top1, top3"),
        (("--target", "top1=15"), "expected a share from 0 to 1, 0.15 for 15 %"),
        (("--target", "top1=0.1", "--evaluate-every", "0"), "--evaluate-every 0 measures nothing"),
        (("--seed", "-1"), "seed: expected a number from 0 to 2^64 - 1, got -1"),
        (("--trace", "none.csv"), "none.csv: cannot be read"),
        (("--data", "nothing.txt"), "nothing.txt"),
        (("--data", "no.module:data"), "no module 'no' in this folder or among what is installed"),
        (("--data", "none.npz"), "none.npz: is not there"),
        (("--evaluation-devices", "-2"), "evaluation-devices: expected 0 (all) or more, got -2"),
        (("--learning-rate", "1e9"), "learning rate: expected a positive number below 1e+06, got 1e+09"),
        (("--drop-out", "-0.1"), "drop-out: expected a share from 0 to 1 (not included), got -0.1"),
        (("--report-timeout", "-1"), "report-timeout: expected seconds above 0, got -1.0"),
        (("--cohort", "0"), "cohort: expected at least 1 device, got 0"),
        (("--compare", "fedprox:mu=abc"), "'mu=abc' is no setting"),
        (("--devices", "-1"), "devices: expected 0 (all) or more"),
        (("--compress", "zip"), "encoding 'zip'"),
        (("--aggregator", "krum", "--attackers", "2"), "needs at least 7 reports"),
        (("--resume",), "no simulation to resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: tuple[str, ...], why: str, fixture_dir: Path, texts: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert simulate(fixture_dir, texts, tmp_path / "run", *arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1, told
    assert why in told[0]
    assert not (tmp_path / "run" / "simulation.json").exists()  # which would stand in the way of what is said next


OWN = """
import numpy as np

from edgewise.simulation import ArrayData

def build(manifest):
    specs = (*manifest.inputs, manifest.labels)
    rows = {spec.name: np.ones((4, *spec.shape[1:]), spec.dtype) for spec in specs}
    return ArrayData.of_devices({"one": (rows, rows), "two": (rows, {})}, manifest)

def first(candidates, count, rng):
    return [candidate.device for candidate in candidates][:count]

def nothing_held_out(manifest):
    data = build(manifest)
    return ArrayData.of_devices({n: (data.rows(k, held_out=False), {}) for k, n in enumerate(data.devices)}, manifest)

def fails():
    return 1 / 0
"""


def test_a_function_in_the_current_folder_makes_data_and_selections(
    fixture_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_task.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    given = ("--data", "own_task:build", "--cohort", 1, "--rounds", 1, "--workers", 1, "--selection", "own_task:first")
    assert ran("simulate", "--model", fixture_dir / "tiny.tflite", *given, "--dir", tmp_path / "run") == 0
    assert DeviceTable.load(tmp_path / "run" / "devices.npz").names == ["one", "two"]
    given = ("--data", "own_task:nothing_held_out", "--rounds", 1, "--engine", "inline", "--dir", tmp_path / "blind")
    assert "No device holds out" not in capsys.readouterr().err
    assert ran("simulate", "--model", fixture_dir / "tiny.tflite", *given) == 0
    assert "No device holds out an example" in capsys.readouterr().err
    assert ran("simulate", "--resume", "--dir", tmp_path / "blind") == 0
    assert "all its rounds are done and nothing is left to do" in capsys.readouterr().err
    assert ran("simulate", "--model", fixture_dir / "tiny.tflite", "--data", "own_task:fails") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "edgewise: data 'own_task:fails': raised ZeroDivisionError at own_task.py:19 (division by zero)"
    assert "in fails" in told[0]
    assert len(told) <= 4, told  # the user's own frame, and not one of click's


def test_a_chat_of_three_is_a_fleet_without_saying_the_cohort(
    fixture_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = tmp_path / "chat"
    chat.mkdir()
    for name, sentences in list(people().items())[:3]:
        (chat / f"{name}.txt").write_text("\n".join(sentences))
    given = ("--data", chat, "--fleet", "phones", "--rounds", 1, "--engine", "inline", "--dir", tmp_path / "run")
    assert ran("simulate", "--model", fixture_dir / "tiny.tflite", *given) == 0
    told = capsys.readouterr().err
    assert "A round is every device there is, 3 of them; --cohort says how many." in told
    assert "of 3 devices 0.6 are there at the busiest hour, and a round asks 3" in told
    assert json.loads((tmp_path / "run" / "simulation.json").read_text())["options"]["cohort"] == 3


def test_a_target_that_no_run_reached_is_status_1(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(fixture_dir, texts, tmp_path / "run", "--target", "top1=1") == 1
    assert "top1 did not reach 1; it ended at" in capsys.readouterr().err
    given = ("--compare", "fedavg,fedavgm:server_learning_rate=1e-9", "--target", "loss=3.36")
    assert simulate(fixture_dir, texts, tmp_path / "compared", *given) == 0  # one of them did
    assert "server_learning_rate=1e-9: loss did not reach 3.36" in capsys.readouterr().err


def test_a_summary_for_a_file_is_cut_nowhere(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    given = ("--compare", "fedavg,fedprox:mu=0.1,fedavgm:server_learning_rate=0.25", "--fleet", "pi-fleet")
    assert simulate(fixture_dir, texts, tmp_path / "run", *given) == 0
    head = next(line for line in capsys.readouterr().err.splitlines() if "MB down" in line)
    assert " ".join(head.split()) == "rounds loss top-1 % top-3 % virtual MB up MB down reports lost"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is no .npz file"), (bytes(range(256)) * 9, "is no .npz file"), (b"PK\x05\x06" + bytes(18), "'device'")],
    ids=["empty", "noise", "without arrays"],
)
def test_a_file_that_holds_no_arrays_is_named(
    content: bytes, why: str, fixture_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    assert simulate(fixture_dir, tmp_path / "bad.npz", tmp_path / "run") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1, told
    assert "bad.npz: " in told[0]
    assert why in told[0]


def test_arrays_of_python_objects_are_not_read(
    fixture_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "objects.npz", device=np.array([{}, []], object))
    assert simulate(fixture_dir, tmp_path / "objects.npz", tmp_path / "run") == 2
    assert "objects.npz: expected arrays of numbers and text, got one of Python objects" in capsys.readouterr().err


BAD_VALUES = """
import numpy as np

from edgewise.simulation import ArrayData

def build(manifest):
    specs = (*manifest.inputs, manifest.labels)
    rows = {spec.name: np.ones((4, *spec.shape[1:]), spec.dtype) for spec in specs}
    bad = {**rows, "labels": rows["labels"] + 9999}
    return ArrayData.of_devices({"one": (rows, rows), "two": (rows, bad)}, manifest)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_values_that_the_graph_refuses_are_traced_to_their_device_and_leave_no_run(
    workers: int, fixture_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad_values.py").write_text(BAD_VALUES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    given = ("--data", "bad_values:build", "--rounds", 1, "--workers", workers, "--dir", "run")
    assert ran("simulate", "--model", fixture_dir / "tiny.tflite", *given) == 2
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("edgewise:", "Traceback"))]
    assert len(told) == 1, told
    assert "device 'two': signature 'evaluate' failed in" in told[0]
    assert "boundsNode" not in told[0]
    assert not (tmp_path / "run" / "simulation.json").exists()
    assert not list((tmp_path / "run").glob("*.tflite"))


def test_no_model_and_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("simulate", "--dir", tmp_path / "run") == 2
    assert "--model" in capsys.readouterr().err
    assert ran("report", tmp_path) == 2
    assert "expected a run" in capsys.readouterr().err


MISTAKES = """
import numpy as np

class Dice:
    devices = ["one", "two"]

    def counts(self, *, held_out):
        return np.array([4, 4])

    def rows(self, device, *, held_out):
        return {"tokens": np.ones((4, 5), "i4"), "labels": np.ones((4, 5), "i4"), "weight": np.ones((4, 5), "f4")}

class Raises(Dice):
    def rows(self, device, *, held_out):
        return {}["nothing"]

class Negative(Dice):
    def counts(self, *, held_out):
        return np.array([4, -1])

class Nothing(Dice):
    def counts(self, *, held_out):
        return None

class Numbered(Dice):
    devices = [1, 2]

class Halves(Dice):
    def rows(self, device, *, held_out):
        return {**super().rows(device, held_out=held_out), "labels": np.full((4, 5), 0.5)}

class Listed(Dice):
    def rows(self, device, *, held_out):
        return [1, 2, 3]

class Unpicklable(Dice):
    def __init__(self):
        self.open = lambda: None
"""


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("Raises", "device 'one': raised KeyError at mistakes.py:15 ('nothing')"),
        ("Negative", "counts: expected 0 examples or more of each device, got -1"),
        ("Nothing", "counts: expected int64[2], one a device, got object[]"),
        ("Numbered", "devices: expected names, got 1"),
        ("Halves", "device 'one', array 'labels': expected whole numbers, got 0.5"),
        ("Listed", "device 'one': expected arrays by name, got list"),
        ("Unpicklable", "data: cannot be handed to other processes"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_data_of_ones_own_is_one_sentence(
    kind: str, why: str, workers: int, fixture_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "mistakes", raising=False)
    given = ("--data", f"mistakes:{kind}", "--rounds", 1, "--workers", workers, "--dir", "run")
    status = ran("simulate", "--model", fixture_dir / "tiny.tflite", *given)
    told = capfd.readouterr().err
    if kind == "Unpicklable" and workers == 1:
        assert status == 0
        return
    assert status == 2
    assert why in told.strip().splitlines()[-1]
    assert "Traceback" not in told


def test_a_device_that_always_fails_is_named_once(
    fixture_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    rows = {spec.name: np.ones((4, *spec.shape[1:]), spec.dtype) for spec in artifact.manifest.inputs}
    labels = {artifact.manifest.labels.name: np.ones((4, *artifact.manifest.labels.shape[1:]), "i4")}
    good = {**rows, **labels}
    bad = {**rows, **{name: array + 9999 for name, array in labels.items()}}
    data = ArrayData.of_devices({"one": (good, good), "two": (bad, good), "three": (good, good)}, artifact.manifest)
    found = run_simulation(fixture_dir / "tiny.tflite", data, rounds=3, cohort=3, min_reports=1, workers=1)
    assert found.complete
    assert caplog.text.count("device 'two' failed in round") == 1


def test_a_report_is_not_written_over_a_history(
    fixture_dir: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(fixture_dir, texts, tmp_path / "run") == 0
    before = (tmp_path / "run" / "rounds.jsonl").read_bytes()
    assert ran("report", tmp_path / "run", "--out", tmp_path / "run" / "rounds.jsonl") == 2
    assert "expected a name that ends in .html" in capsys.readouterr().err
    assert (tmp_path / "run" / "rounds.jsonl").read_bytes() == before
