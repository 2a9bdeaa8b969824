"""Publish rates and waits between connections, by a clock that only the test moves."""

import math

import numpy as np
import pytest

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.pacing import Backoff, Pacer, PublishRate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def send_times(rate: PublishRate, sizes: list[int]) -> list[float]:
    """When each packet leaves if the sender always waits just as long as it is told."""
    clock = Clock()
    pacer = Pacer(rate, clock)
    times = []
    for size in sizes:
        while (delay := pacer.delay(size)) > 0:
            clock.now += delay
        pacer.spend(size)
        times.append(clock.now)
    return times


def most_in_a_second(times: list[float], amounts: list[int]) -> int:
    return max(sum(a for t, a in zip(times, amounts, strict=True) if start <= t < start + 1) for start in times)


@pytest.mark.parametrize("size", [100, 5_000, 131_072])
def test_no_second_ever_carries_more_than_the_broker_allows(size: int) -> None:
    sizes = [size] * 400
    times = send_times(PublishRate(messages=100, bytes=512 * 1024), sizes)
    assert most_in_a_second(times, [1] * 400) <= 90
    assert most_in_a_second(times, sizes) <= 0.9 * 512 * 1024
    # Nor is it needlessly slow: over half of what is allowed.
    assert max(400 / times[-1] / 100, sum(sizes) / times[-1] / (512 * 1024)) > 0.5


def test_a_pause_earns_no_more_than_the_burst() -> None:
    clock = Clock()
    pacer = Pacer(PublishRate(messages=100), clock)
    clock.now = 3600.0
    passed = 0
    while pacer.delay(10) == 0:
        pacer.spend(10)
        passed += 1
    assert passed == 10


def test_a_packet_larger_than_a_seconds_allowance_still_passes() -> None:
    times = send_times(PublishRate(bytes=10_000), [131_072] * 3)
    assert times[0] == 0.0
    assert times[2] == pytest.approx(2 * 131_072 / 5_000)


def test_no_limit_is_no_wait() -> None:
    assert set(send_times(PublishRate(), [10**9] * 5)) == {0.0}


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_a_rate_is_positive(rate: float) -> None:
    with pytest.raises(ConfigError, match="publish rate"):
        PublishRate(messages=rate)
    with pytest.raises(ConfigError, match="publish rate"):
        PublishRate(bytes=rate)


def test_waits_double_up_to_the_cap_and_start_anew_after_a_reset() -> None:
    backoff = Backoff(np.random.default_rng(7), base=1.0, cap=8.0)
    for full in (1, 2, 4, 8, 8, 8):
        assert full / 2 <= backoff.next() <= full
    backoff.reset()
    assert backoff.next() <= 1


def test_two_generators_do_not_wait_alike_and_one_seed_does() -> None:
    first, second, same = (Backoff(np.random.default_rng(seed)) for seed in (1, 2, 1))
    waits = first.next()
    assert waits == same.next() != second.next()
