"""The error and the mean of what the quantisers give, against what their papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.eden import LEVELS

FLOOR = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497}  # Max 1960, table I: the mean squared error of 2^b levels
COUNT = 1 << 17


def error(name: str, x: np.ndarray, seed: int = 0) -> float:
    codec, key = get(name), Key(seed, 1, "pi-7")
    decoded = codec.decode(codec.encode(x, key, None).data, len(x), key)
    return float(((decoded - x) ** 2).sum(dtype="f8") / (x**2).sum(dtype="f8"))


def normal(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_levels_are_lloyd_and_max_s(bits: int) -> None:
    """Each level is the mean of what is nearest to it, and the error is Max's."""
    levels = np.array(LEVELS[bits])
    borders = [0.0, *(levels[1:] + levels[:-1]) / 2, math.inf]
    shrunk = 0.0
    for level, low, high in zip(levels, borders, borders[1:], strict=False):
        density = [0.0 if b == math.inf else math.exp(-b * b / 2) / math.sqrt(2 * math.pi) for b in (low, high)]
        mass = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
        assert level == pytest.approx((density[0] - density[1]) / mass, rel=1e-5)
        shrunk += 2 * mass * level**2
    assert 1 - shrunk == pytest.approx(FLOOR[bits], rel=2e-3)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_least_error_is_within_five_percent_of_the_lloyd_max_floor(bits: int) -> None:
    assert error(f"lloyd-{bits}", normal()) == pytest.approx(FLOOR[bits], rel=0.05)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_unbiased_error_is_what_eden_s_theorem_says(bits: int) -> None:
    assert error(f"eden-{bits}", normal()) == pytest.approx(FLOOR[bits] / (1 - FLOOR[bits]), rel=0.05)


def test_one_bit_is_drive() -> None:
    """Vargaftik et al. 2021, theorem 3: π/2 − 1 unbiased, 1 − 2/π with the least error."""
    assert error("eden-1", normal()) == pytest.approx(math.pi / 2 - 1, rel=0.02)
    assert error("lloyd-1", normal()) == pytest.approx(1 - 2 / math.pi, rel=0.02)


@pytest.mark.parametrize(("bits", "expected"), [(1, 12.2), (2, 1.0), (3, 0.18), (4, 0.039), (6, 0.0022), (8, 1.35e-4)])
def test_uniform_levels_err_as_much_as_is_written(bits: int, expected: float) -> None:
    assert error(f"rotated-{bits}", normal()) == pytest.approx(expected, rel=0.1)


def shapes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    count = 1 << 13
    sparse = np.zeros(count, np.float32)
    sparse[rng.choice(count, 80, replace=False)] = rng.standard_normal(80)
    one = np.zeros(count, np.float32)
    one[17] = 3.0
    return {
        "gaussian": rng.standard_normal(count).astype(np.float32),
        "heavy": rng.lognormal(0, 2, count).astype(np.float32),
        "shifted": np.full(count, 0.3, np.float32) + rng.standard_normal(count).astype(np.float32) * np.float32(0.01),
        "sparse": sparse,
        "one": one,
    }


@pytest.mark.parametrize("shape", list(shapes()))
@pytest.mark.parametrize("name", ["rotated-1", "rotated-2", "rotated-4", "eden-1", "eden-2", "eden-3", "eden-4"])
def test_the_mean_over_keys_is_the_vector(name: str, shape: str) -> None:
    """The mean of N independent unbiased estimates has 1/N of one's squared error; a bias would stay."""
    x, keys = shapes()[shape], 100
    codec = get(name)
    assert codec.unbiased
    total, alone = np.zeros(len(x)), 0.0
    for seed in range(keys):
        key = Key(seed, 1, "pi-7")
        decoded = codec.decode(codec.encode(x, key, None).data, len(x), key)
        total += decoded
        alone += float(((decoded - x) ** 2).sum(dtype="f8")) / keys
    left = float(((total / keys - x) ** 2).sum())
    assert left <= 1.25 * alone / keys + 1e-10 * float((x.astype("f8") ** 2).sum())


def test_a_biased_scale_shows_in_that_test() -> None:
    x, keys = shapes()["gaussian"], 100
    codec = get("lloyd-1")
    assert not codec.unbiased
    total = np.zeros(len(x))
    for seed in range(keys):
        key = Key(seed, 1, "pi-7")
        total += codec.decode(codec.encode(x, key, None).data, len(x), key)
    left = float(((total / keys - x) ** 2).sum() / (x.astype("f8") ** 2).sum())
    assert left == pytest.approx((1 - 2 / math.pi) ** 2, rel=0.1)  # what 0.363 of shrinking leaves, squared


@pytest.mark.parametrize("name", ["eden-1", "eden-2", "eden-3", "eden-4"])
def test_the_scale_keeps_the_projection(name: str) -> None:
    """⟨x̂, x⟩ = ‖x‖²: the drift that DRIVE corrects."""
    x, codec, key = normal(1 << 14), get(name), Key(5, 1, "pi-7")
    decoded = codec.decode(codec.encode(x, key, None).data, len(x), key)
    assert np.dot(decoded.astype("f8"), x) == pytest.approx(np.dot(x.astype("f8"), x), rel=1e-5)


@pytest.mark.parametrize("name", ["float16", "eden-1", "eden-4", "rotated-1", "rotated-4", "rotated-8"])
@pytest.mark.parametrize("shape", list(shapes()))
def test_no_honest_update_grows_beyond_what_its_codec_says(name: str, shape: str) -> None:
    x, codec = shapes()[shape], get(name)
    for seed in range(20):
        key = Key(seed, 2, "pi-7")
        decoded = codec.decode(codec.encode(x, key, None).data, len(x), key)
        assert np.linalg.norm(decoded.astype("f8")) <= codec.growth * np.linalg.norm(x.astype("f8"))


def test_float16_rounds_to_half_a_unit_in_the_last_place() -> None:
    x, codec, key = normal() * np.float32(1e-6), get("float16"), Key(0, 0, "")
    decoded = codec.decode(codec.encode(x, key, None).data, len(x), key)
    large = np.abs(x) > 1e-10
    assert (np.abs(decoded - x)[large] / np.abs(x)[large]).max() <= 2.0**-11 * 1.0001
