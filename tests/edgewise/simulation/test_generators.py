"""Generators that are set to a device are those that a device makes itself."""

import numpy as np
import pytest

from edgewise.simulation.generators import DeviceGenerators
from edgewise_edge.local_training import device_generator

NAMES = ["a", "pi-7", "телефон", "z" * 128, *(f"device-{n}" for n in range(40))]


@pytest.mark.parametrize(("seed", "round_id"), [(0, 1), (1, 2), (2**63 + 5, 2**40 + 3), (2**32, 2**32 - 1)])
def test_the_numbers_are_those_of_the_devices_own_generators(seed: int, round_id: int) -> None:
    generators = DeviceGenerators(seed, NAMES)
    numbers = list(range(len(NAMES)))[::-1]
    for device, state in zip(numbers, generators.states(numbers, round_id), strict=True):
        ours, own = generators.set(state), device_generator(seed, round_id, NAMES[device])
        assert ours.bit_generator.state == own.bit_generator.state
        for _ in range(2):
            np.testing.assert_array_equal(ours.permutation(19), own.permutation(19))
            assert ours.integers(1 << 31) == own.integers(1 << 31)  # leaves half a word behind for the next device


def test_a_generator_that_was_used_begins_anew() -> None:
    generators = DeviceGenerators(3, NAMES)
    (state,) = generators.states([1], 9)
    first = generators.set(state).integers(1 << 31, size=3).tolist()
    assert generators.set(state).integers(1 << 31, size=3).tolist() == first
