"""Weights travel as one flat float32 vector and come back unchanged."""

import numpy as np
import pytest

from edgewise_wire import weights as w
from edgewise_wire.errors import InputError

SPECS = [
    w.WeightSpec("kernel", (3, 2)),
    w.WeightSpec("momentum", (3, 2), role="slot"),
    w.WeightSpec("moving_mean", (2,), role="state"),
    w.WeightSpec("bias", (2,)),
]


def some_weights() -> dict[str, w.Array]:
    rng = np.random.default_rng(5)
    return {s.name: rng.normal(size=s.shape).astype("f4") for s in SPECS}


def test_what_is_packed_comes_back_but_for_slots() -> None:
    given = some_weights()
    back = w.unpack(w.pack(given, SPECS), SPECS)
    assert list(back) == ["kernel", "moving_mean", "bias"]
    for name, array in back.items():
        np.testing.assert_array_equal(array, given[name])


def test_bytes_are_little_endian_float32_in_manifest_order() -> None:
    given = some_weights()
    data = w.pack(given, SPECS)
    assert len(data) == 4 * w.parameters(SPECS) == 4 * 10
    np.testing.assert_array_equal(np.frombuffer(data, "<f4")[6:8], given["moving_mean"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": np.zeros(3, "f4")}, r"'bias': expected float32\[2\], got float32\[3\]"),
        ({"bias": np.zeros(2, "f8")}, r"'bias': expected float32\[2\], got float64\[2\]"),
    ],
)
def test_a_wrong_weight_is_named(change: dict[str, w.Array], words: str) -> None:
    with pytest.raises(InputError, match=words):
        w.pack({**some_weights(), **change}, SPECS)


def test_a_missing_weight_is_named() -> None:
    given = some_weights()
    del given["kernel"]
    with pytest.raises(InputError, match="'kernel'"):
        w.pack(given, SPECS)


def test_a_wrong_number_of_bytes_is_refused() -> None:
    with pytest.raises(InputError, match="expected 40 bytes"):
        w.unpack(b"\0" * 36, SPECS)
