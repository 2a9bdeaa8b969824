"""The guide: it builds with every link whole, what it says to type works, what it says of its figures is so."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewise_wire import messages
from pages import PAGES, ROOT, blocks, commands, problem, run

RUNNABLE = [page for page in PAGES if any(block.how == "run" for block in blocks(page))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_guide_builds_and_no_link_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    text = (tmp_path / "site" / "reference" / "cli" / "index.html").read_text("utf-8")
    assert all(words in text for words in ("edgewise coordinate", "edgewise device run", "--dashboard"))
    python = (tmp_path / "site" / "reference" / "python" / "index.html").read_text("utf-8")
    assert "edgewise_edge.trainer.Trainer" in python
    averaging = (tmp_path / "site" / "guide" / "averaging" / "index.html").read_text("utf-8")
    assert "local_sgd" in averaging  # the example itself, taken in whole
    assert "{{" not in (tmp_path / "site" / "reference" / "metrics" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name)
def test_no_link_out_of_the_guide_is_broken(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text("utf-8")):
        path = next(filter(None, target))
        assert path.startswith("https://") or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    for block in blocks(page):
        checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, block.text + checked.stderr
        for words in commands(block.text):
            assert problem(words) == ""


def test_a_wrong_command_would_be_found() -> None:
    assert "no such command" in problem(["device", "dance"])
    assert "has no --cohorts" in problem(["coordinate", "--cohorts", "3"])
    assert list(commands("for p in a; do edgewise device run --home $p & done; x=$(edgewise status)")) == [
        ["device", "run", "--home", "$p"], ["status"],
    ]  # fmt: skip


@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_what_a_page_says_to_type_works(page: Path, tmp_path: Path) -> None:
    done = run(page, tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_pages_with_commands_to_run() -> None:
    assert len(RUNNABLE) >= 3
    assert any(block.how == "run slow" for page in PAGES for block in blocks(page))


def test_the_recorded_round_is_of_the_protocol_that_we_speak() -> None:
    rows = (ROOT / "docs/guide/_round.md").read_text("utf-8").splitlines()[2:]
    kinds = [re.search(r"`(\w+)`", row)[1] for row in rows]  # type: ignore[index]
    assert all(hasattr(messages, kind) for kind in kinds)
    order = ["CheckIn", "Assignment", "Accept", "UploadRequest", "UploadGrant", "UploadChunk", "ReportAck"]
    assert sorted(order, key=kinds.index) == order


def test_the_arithmetic_of_ten_million_devices_is_what_its_command_prints() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/scaling.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/scaling.md").read_text("utf-8")
    (told,) = re.findall(r"^```\n(online at once.*?)^```", page, re.M | re.S)
    measured = "coordinator: GB of registry"  # the one line that depends on the interpreter
    rows = [row for row in told.splitlines() if not row.startswith(measured)]
    assert rows == [row for row in printed.partition("\n\n")[2].splitlines() if not row.startswith(measured)]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts/draw-figures"))


def test_federated_averaging_comes_to_what_pooled_data_give(figures: dict[str, Any]) -> None:
    found = figures["fedavg_numbers"]()
    assert max(found["alone"]) < 0.76
    assert abs(found["together"][-1] - found["pooled"]) < 0.02


def test_over_selection_leaves_slow_devices_out(figures: dict[str, Any]) -> None:
    found = figures["selection_numbers"](rounds=120)
    fast, slow, seconds = zip(*found.values(), strict=True)
    assert abs(fast[0] - slow[0]) < 0.03  # with none, nobody is left out
    assert list(slow) == sorted(slow, reverse=True)
    assert list(seconds) == sorted(seconds, reverse=True)
    assert slow[-1] < fast[-1] / 20


def test_scaffold_removes_the_drift_that_fedavg_has(figures: dict[str, Any]) -> None:
    found = figures["heterogeneity_numbers"](rounds=60)
    one, many = ({name.split(",")[0]: values[-1] for name, values in found[passes].items()} for passes in (1, 20))
    assert one["SCAFFOLD"] == pytest.approx(one["FedAvg"], rel=0.01)
    assert many["SCAFFOLD"] < 1e-4 < many["FedProx"] < many["FedAvg"]
