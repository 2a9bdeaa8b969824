"""What shrinks an update: bounds and discounts."""

import math

import pytest

from edgewise_coordinator.update_transforms import Arrival, chain, norm_bound, staleness_discount, unchanged
from edgewise_wire.errors import ConfigError


def test_a_bound_leaves_small_updates_alone_and_shrinks_large_ones_to_it() -> None:
    bound = norm_bound(3.0)
    assert [bound(Arrival(n)) for n in (0.0, 2.9, 3.0)] == [1.0, 1.0, 1.0]
    assert bound(Arrival(12.0)) * 12.0 == pytest.approx(3.0)


@pytest.mark.parametrize("staleness", [0, 1, 3, 8, 99])
def test_the_discount_is_that_of_fedbuff(staleness: int) -> None:
    assert staleness_discount(Arrival(1.0, staleness)) == 1 / math.sqrt(1 + staleness)


def test_a_chain_multiplies() -> None:
    assert chain(norm_bound(1.0), staleness_discount, unchanged)(Arrival(4.0, 3)) == 0.125


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_bound_must_be_a_positive_number(limit: float) -> None:
    with pytest.raises(ConfigError, match="norm bound"):
        norm_bound(limit)
