"""Private rounds in a simulation: the coordinator's clipping, noise and accounting, from the run's seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise_coordinator.privacy.clipping import flat
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_wire.errors import ConfigError
from simulated import bits, simulated

PRIVATE: dict[str, Any] = {"privacy": "dp-fedavg", "clip_norm": 0.3, "noise_multiplier": 1.0, "evaluate_every": 0}


def flat_of(result: Any) -> np.ndarray:
    return np.frombuffer(bits(result), np.float32)


def test_without_noise_and_with_a_wide_norm_it_is_the_mean_over_devices(fixture_dir: Path) -> None:
    private = simulated(fixture_dir, **{**PRIVATE, "clip_norm": 1000.0, "noise_multiplier": 0.0})
    plain = simulated(fixture_dir, weighting="uniform", evaluate_every=0)
    np.testing.assert_allclose(flat_of(private), flat_of(plain), atol=1e-6)


def test_the_noise_has_the_deviation_that_was_promised_and_comes_from_the_seed(fixture_dir: Path) -> None:
    once = {**PRIVATE, "rounds": 1, "cohort": 4}
    found, bare = (flat_of(simulated(fixture_dir, **{**once, "noise_multiplier": z})) for z in (1.0, 0.0))
    deviation = float((found - bare).std())
    assert deviation == pytest.approx(0.3 / 4, rel=5 / np.sqrt(len(found)))
    np.testing.assert_array_equal(found, flat_of(simulated(fixture_dir, **once)))
    assert not np.array_equal(found, flat_of(simulated(fixture_dir, **once, seed=1)))


def test_rounds_tell_what_was_spent_and_end_before_the_budget_is_passed(fixture_dir: Path) -> None:
    promise = PrivacySettings(gaussian(), flat(0.3), 1.0, delta=1e-4)
    budget = promise.cost([3] * 4).epsilon + 0.01
    found = simulated(fixture_dir, **PRIVATE, rounds=50, epsilon=budget, delta=1e-4)
    assert found.complete
    assert len(found.history) == 4
    told = [row["privacy"]["epsilon"] for row in found.history]
    assert told == pytest.approx([promise.cost([3] * rounds).epsilon for rounds in (1, 2, 3, 4)])
    assert found.history[-1]["privacy"]["releases"] == 4


@pytest.mark.parametrize(
    "more",
    [
        {"privacy": "dp-ftrl", "separation": 1},
        {"privacy": "dp-mf", "separation": 2, "cohort": 2},
        {"clip_quantile": 0.5, "cohort": 5},
    ],
    ids=["tree", "matrix", "adaptive"],
)
def test_a_private_run_that_was_stopped_ends_in_the_same_bits(
    more: dict[str, Any], fixture_dir: Path, tmp_path: Path
) -> None:
    options = {**PRIVATE, "rounds": 5, "noise_multiplier": 0.5, "cohort": 4, **more}
    whole = simulated(fixture_dir, **options)
    seen: list[Any] = []
    simulated(fixture_dir, **options, directory=tmp_path, on_round=seen.append, stop=lambda: len(seen) == 3)
    found = simulated(fixture_dir, **options, directory=tmp_path, resume=True)
    assert bits(found) == bits(whole)
    assert [row["privacy"] for row in found.history] == [row["privacy"] for row in whole.history]
    if "clip_quantile" in more:
        assert len({row["privacy"]["clip_norm"] for row in found.history}) > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clip_norm": 0.3}, "--clip-norm belongs to --privacy"),
        ({**PRIVATE, "algorithm": "scaffold"}, "control variate would leave unclipped"),
        ({**PRIVATE, "weighting": "examples"}, "use uniform"),
        ({**PRIVATE, "wire": True}, "noise is secret"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], words: str, fixture_dir: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        simulated(fixture_dir, **options)
