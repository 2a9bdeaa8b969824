"""The options that say how a fleet learns: what goes together, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edgewise.cli import cli
from edgewise.recipes import Plan, plan, recipe_options
from edgewise_coordinator.pace import NoPace, PaceSteering
from edgewise_coordinator.settings import BufferSettings
from edgewise_coordinator.update_transforms import Arrival
from edgewise_wire.errors import ConfigError


def planned(line: str, **further: Any) -> Plan:
    found: list[Plan] = []

    @click.command()
    @recipe_options
    def command(**options: Any) -> None:
        found.append(plan(options | further))

    command.main(line.split(), standalone_mode=False)
    return found[0]


def test_without_options_it_is_plain_fedavg() -> None:
    p = planned("")
    assert (p.algorithm.name, p.aggregator.name, p.selection.name) == ("fedavg", "mean", "uniform")
    assert p.buffer is None
    assert isinstance(p.pace, PaceSteering)
    assert not p.algorithm.client.uniform


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("--algorithm fedavgm --momentum 0.5", "fedavgm"),
        ("--algorithm fedadam --server-learning-rate 0.1 --adaptivity 0.01", "fedadam"),
        ("--algorithm fedyogi", "fedyogi"),
        ("--algorithm fedadam --server-halving 200 --server-weight-decay 0.002", "fedadam"),
        ("--algorithm fedyogi --server-annealing 200", "fedyogi"),
        ("--algorithm fedadagrad --momentum 0.9", "fedadagrad"),
        ("--algorithm fedprox --mu 0.5", "fedprox"),
        ("--algorithm scaffold --fleet-size 9", "scaffold"),
        ("--algorithm edgewise_coordinator.algorithms.fedavg:fedavg", "fedavg"),
    ],
)
def test_every_algorithm_has_its_name_and_settings(line: str, name: str) -> None:
    assert planned(line).algorithm.name == name


@pytest.mark.parametrize(
    ("line", "name"),
    [("trimmed-mean --trim 0.3", "trimmed-mean"), ("median", "median"), ("krum --attackers 2 --keep 3", "krum")],
)
def test_every_aggregator_has_its_name_and_settings(line: str, name: str) -> None:
    assert planned(f"--aggregator {line}").aggregator.name == name


def test_the_rest_comes_as_asked_for() -> None:
    p = planned("--selection fair --separation 4 --buffer 10 --max-staleness 3 --check-ins-per-second 0 --norm-bound 2")
    assert p.selection.name == "fair, at most once in 4 rounds"
    assert p.buffer == BufferSettings(concurrency=20, max_staleness=3)
    assert isinstance(p.pace, NoPace)
    assert p.transform(Arrival(norm=4.0)) == 0.5
    assert planned("--weighting uniform").algorithm.client.uniform


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--algorithm scaffold", "must be told --fleet-size"),
        ("--algorithm scaffold --fleet-size 5 --aggregator median", "scaffold with median: its control variate must"),
        ("--algorithm scaffold --fleet-size 5 --aggregator krum", "only the aggregator 'mean' gives"),
        ("--algorithm scaffold --fleet-size 5 --norm-bound 1", "a shrunk update would no longer match"),
        ("--algorithm scaffold --fleet-size 5 --buffer 3", "scaffold with --buffer"),
        ("--algorithm scaffold --fleet-size 5 --weighting examples", "its means are over devices"),
        ("--algorithm scaffold --fleet-size 0", "fleet size: expected at least 1"),
        ("--algorithm fedavg --mu 0.1", "algorithm fedavg has no setting --mu; it has: --server-learning-rate"),
        ("--algorithm fedprox --momentum 0.1", "has no setting --momentum"),
        ("--aggregator median --trim 0.1", "aggregator median has no setting --trim; it has: none"),
        ("--aggregator median --weighting uniform", "every report has one voice"),
        ("--concurrency 4", "--concurrency belongs to --buffer"),
        ("--max-staleness 4", "--max-staleness belongs to --buffer"),
        ("--buffer 0", "--buffer: expected at least 1"),
        ("--buffer 2 --concurrency 0", "concurrency: expected at least 1"),
        ("--norm-bound 0", "norm bound"),
        ("--algorithm nobody", "algorithm 'nobody': not known; expected one of fedavg, fedavgm"),
        ("--aggregator nobody", "aggregator 'nobody': not known; expected one of mean"),
        ("--selection nobody", "selection 'nobody': not known; expected one of uniform"),
        ("--separation 0", "minimum separation"),
        ("--check-ins-per-second -1", "check-ins per second"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(line: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(line)
    assert words in str(caught.value)


def test_a_rate_falls_in_one_way() -> None:
    with pytest.raises(ConfigError, match="--server-halving with --server-annealing"):
        planned("--algorithm fedavg --server-halving 10 --server-annealing 50")


def test_a_control_variate_is_never_compressed() -> None:
    with pytest.raises(ConfigError, match="scaffold with --compress eden-2"):
        planned("--algorithm scaffold --fleet-size 5", compress="eden-2")
    planned("--algorithm fedprox", compress="eden-2")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--buffer 3 --cohort 9", "--cohort with --buffer"),
        (
            "--aggregator krum --attackers 4",
            "krum needs at least 11 reports, but a round of this cohort may close with 7",
        ),
    ],
)
def test_the_command_refuses_before_it_connects(fixture_dir: Path, tmp_path: Path, line: str, words: str) -> None:
    arguments = ["coordinate", "--model", str(fixture_dir / "tiny.tflite"), "--dir", str(tmp_path), *line.split()]
    result = CliRunner().invoke(cli, [*arguments, "--broker", "mqtt://127.0.0.1:1"])
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)
