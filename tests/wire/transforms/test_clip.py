"""Clipping, and its check on the other side."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise_wire.errors import ProtocolError
from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import to_bytes

KEY = Key(3, 14, "pi-7")


def norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype("f8")))


def test_a_short_update_passes_untouched_and_a_long_one_keeps_its_direction() -> None:
    codec = get("clip-2")
    for length in (0.0, 1.0, 1.999, 2.0, 3.0, 1e6):
        x = np.full(10_000, length / 100, np.float32)
        decoded = codec.decode(codec.encode(x, KEY, None).data, len(x), KEY)
        assert norm(decoded) <= 2.0
        np.testing.assert_allclose(decoded, x * min(1.0, 2.0 / max(length, 1e-9)), rtol=1e-5)


@pytest.mark.parametrize("name", ["clip-2", "clip-2+float16", "clip-2+eden-1", "clip-2+rotated-4"])
def test_whatever_was_sent_what_counts_is_within_the_norm(name: str) -> None:
    inner = get(name.partition("+")[2])
    for length in (0.5, 1.9, 2.0, 2.1, 3.0, 10.0, 1000.0):
        x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
        x *= np.float32(length / norm(x))
        try:
            decoded = get(name).decode(inner.encode(x, KEY, None).data, len(x), KEY)
        except ProtocolError as error:
            assert "clipping norm" in str(error)  # noqa: PT017
            assert length > 2.0
        else:
            assert length < 10.0
            assert norm(decoded) <= 2.0


@pytest.mark.parametrize("name", ["clip-2", "clip-2+float16", "clip-2+eden-1", "clip-2+eden-4", "clip-2+rotated-1"])
def test_an_honest_device_is_never_refused(name: str) -> None:
    codec = get(name)
    for seed in range(30):
        x = np.random.default_rng(seed).standard_normal(5000).astype(np.float32) * np.float32(10)
        key = Key(seed, 1, "pi-7")
        assert norm(codec.decode(codec.encode(x, key, None).data, len(x), key)) <= 2.0


def test_a_device_that_did_not_clip_is_refused() -> None:
    with pytest.raises(ProtocolError, match="clipping norm"):
        get("clip-2").decode(to_bytes(np.full(100, 0.21, np.float32)), 100, KEY)
