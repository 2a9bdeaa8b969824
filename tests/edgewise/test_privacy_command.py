"""`edgewise privacy plan`, and the options that promise something, as a script meets them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgewise.cli import cli
from edgewise.privacy_options import promised
from edgewise_coordinator.privacy.clipping import flat
from edgewise_coordinator.privacy.mechanisms.banded import banded, square_root_bands
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_wire.errors import ConfigError

ASKED = {
    "privacy": "none", "clip_norm": None, "clip_quantile": None, "noise_multiplier": None, "epsilon": None,
    "delta": None, "population": None, "participations": None, "bands": None, "restart_every": None, "rounds": 20,
    "separation": 1, "cohort": 4, "over_selection": 1.0,
}  # fmt: skip
PRIVATE = {**ASKED, "privacy": "dp-ftrl", "clip_norm": 0.5}


def plan(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["privacy", "plan", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.output))


def test_a_plan_finds_the_noise_for_an_epsilon_and_the_epsilon_of_a_noise() -> None:
    run = ("--population", "200", "--cohort", "20", "--rounds", "30", "--delta", "1e-5")
    rows = plan(*run, "--epsilon", "6")["mechanisms"]
    assert isinstance(rows, list)
    assert [(row["privacy"], row["sampled"]) for row in rows] == [
        ("dp-fedavg", True), ("dp-fedavg", False), ("dp-ftrl", False), ("dp-mf", False),
    ]  # fmt: skip
    for row in rows:
        assert 5.9 < row["epsilon"] <= 6.0
        assert row["separation"] == (1 if row["sampled"] else 10)
    noise = str(rows[2]["noise_multiplier"])
    again = plan(*run, "--noise-multiplier", noise)["mechanisms"]
    assert isinstance(again, list)
    assert again[2]["epsilon"] == pytest.approx(rows[2]["epsilon"])


def test_the_budget_sets_the_noise_so_that_the_rounds_just_fit() -> None:
    promise = promised({**PRIVATE, "epsilon": 8.0, "separation": 5}, None)
    assert promise is not None
    assert promise.cost([4] * 20).epsilon <= 8.0 < promise.cost([4] * 40).epsilon
    assert promised(ASKED, None) is None


def test_gboards_figure_is_what_a_run_of_three_participations_promises() -> None:
    """Google's Spanish model by matrix factorisation (see `test_accounting`): our multiplier is 1.411·√5."""
    mechanism, z = banded(square_root_bands(400)), 1.411 * math.sqrt(5)
    limited, free = (
        PrivacySettings(mechanism, flat(0.3), z, delta=1e-10, separation=484, participations=most) for most in (3, 0)
    )
    assert round(limited.cost([6_500] * 2_000).epsilon, 2) == 3.42
    assert round(free.cost([6_500] * 2_000).epsilon, 1) == 4.4
    promise = promised({**PRIVATE, "noise_multiplier": 1.0, "participations": 3}, None)
    assert promise is not None
    assert promise.participations == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({**ASKED, "epsilon": 2.0}, "--epsilon belongs to --privacy"),
        ({**PRIVATE, "clip_norm": None, "epsilon": 1.0}, "--privacy needs --clip-norm"),
        (PRIVATE, "--privacy needs --noise-multiplier, or --epsilon"),
        ({**PRIVATE, "epsilon": 1.0, "population": 50}, "sampling does not amplify"),
        ({**PRIVATE, "privacy": "dp-fedavg", "epsilon": 1.0, "population": 50, "participations": 3}, "no --population"),
        ({**PRIVATE, "epsilon": 1.0, "bands": 3}, "--bands belongs to dp-mf"),
        ({**PRIVATE, "epsilon": 1.0, "delta": 1.0}, "delta: expected a number between 0 and 1"),
        ({**PRIVATE, "privacy": "dp-mf", "bands": 9, "epsilon": 1.0}, "expected at least 9"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        promised(changes, None)


def test_bands_that_were_found_stay_with_the_run(tmp_path: Path) -> None:
    from edgewise_coordinator.privacy.rounds import PrivateRounds

    asked = {**PRIVATE, "privacy": "dp-mf", "separation": 4, "noise_multiplier": 1.0}
    first = promised(asked, tmp_path)
    assert first is not None
    PrivateRounds(first, tmp_path, 10).close()
    longer = promised({**asked, "rounds": 400}, tmp_path)  # would be optimised otherwise
    assert longer is not None
    assert longer.mechanism.parameters == first.mechanism.parameters


@pytest.mark.parametrize("width", [60, 80])
def test_a_plan_fits_the_terminal_and_warns_of_nothing(width: int, recwarn: pytest.WarningsRecorder) -> None:
    run = ("--population", "5000", "--cohort", "100", "--rounds", "200", "--noise-multiplier", "1")
    result = CliRunner().invoke(cli, ["privacy", "plan", *run], env={"COLUMNS": str(width)}, catch_exceptions=False)
    assert all(len(line) <= width for line in result.output.splitlines())
    assert "…" not in result.output
    assert "multiplier" in result.output
    assert [str(one.message) for one in recwarn if issubclass(one.category, RuntimeWarning)] == []
