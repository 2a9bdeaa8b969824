import math

import numpy as np
import pytest

from edgewise_coordinator.privacy.clipping import adaptive, flat
from edgewise_wire.errors import ConfigError


def test_a_flat_norm_stays_and_costs_nothing() -> None:
    clipping = flat(0.25)
    assert (clipping.first, clipping.following(0.25, 0.0), clipping.update_noise(1.3)) == (0.25, 0.25, 1.3)
    assert not clipping.asks


def test_an_adaptive_norm_goes_to_the_quantile_of_the_updates_norms() -> None:
    # Andrew et al. 2021, figure 1: whatever it starts from.
    norms = np.random.default_rng(0).lognormal(size=2_000)
    for quantile in (0.2, 0.5, 0.9):
        norm, clipping = 100.0, adaptive(100.0, quantile=quantile, cohort=2_000)
        for _ in range(300):
            norm = clipping.following(norm, float(np.mean(norms <= norm)))
        assert np.mean(norms <= norm) == pytest.approx(quantile, abs=0.02)


def test_updates_and_bits_together_cost_what_the_noise_multiplier_says() -> None:
    clipping = adaptive(1.0, cohort=10_000, noise_multiplier=2.0)
    both = clipping.update_noise(2.0) ** -2 + (2 * clipping.bit_noise) ** -2
    assert both == pytest.approx(2.0**-2)


def test_a_wild_draw_of_noise_moves_the_norm_by_one_step_at_most() -> None:
    assert adaptive(1.0, cohort=4).following(1.0, -1e9) == pytest.approx(math.e, rel=1e-5)


@pytest.mark.parametrize("norm", [0.0, -1.0, math.inf, math.nan])
def test_a_norm_that_is_none_is_refused(norm: float) -> None:
    with pytest.raises(ConfigError, match="clipping norm"):
        flat(norm)
