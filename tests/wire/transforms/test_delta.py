"""Versions as differences: both sides come to the same bits, and what is lost comes later."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_wire.errors import ConfigError, ProtocolError
from edgewise_wire.transforms import get
from edgewise_wire.transforms.delta import base_of, check_downlink, follow, shorten
from edgewise_wire.weights import to_bytes

GOOD = ["float16", "rotated-3", "rotated-8", "eden-1", "eden-4", "lloyd-1", "lloyd-4", "topk-0.05"]


def walk(name: str, rounds: int, count: int = 5000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights, what was published, and what a device that followed every step has."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(count).astype("f4") * np.float32(0.1)
    published = device = weights
    for _ in range(rounds):
        weights = weights + rng.standard_normal(count).astype("f4") * np.float32(0.01)
        base = base_of(name, hashlib.sha256(to_bytes(published)).digest())
        sent = shorten(name, weights, published, base)
        device = follow(name, sent.data, device if base else None, base, count)
        published = sent.weights
        assert device.tobytes() == published.tobytes()
    return weights, published, device


@pytest.mark.parametrize("name", GOOD)
def test_both_sides_have_the_same_bits_after_every_step(name: str) -> None:
    walk(name, 20)


@pytest.mark.parametrize(
    ("name", "most"), [("float16", 0.003), ("lloyd-4", 0.11), ("eden-4", 0.11), ("lloyd-1", 1.1), ("eden-1", 1.3)]
)
def test_what_is_lost_does_not_add_up(name: str, most: float) -> None:
    """With error D of what is encoded, feedback settles at D/(1 − D) of one step, however many steps there were."""
    for rounds in (10, 100):
        weights, published, _ = walk(name, rounds)
        step = 0.01 * np.sqrt(len(weights))
        assert np.linalg.norm((weights - published).astype("f8")) < most * step * 1.05


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("float32", "leave it out"), ("clip-1", "clipping is for updates"), ("clip-1+eden-2", "clipping is"),
        ("rotated-1", "would grow"), ("rotated-2", "would grow"), ("zip", "not known"),
    ],
)  # fmt: skip
def test_what_cannot_send_versions_is_refused(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_downlink(name)


@pytest.mark.parametrize("name", GOOD)
def test_what_can_is_not(name: str) -> None:
    assert check_downlink(name) == name
    assert check_downlink("") == ""


@pytest.mark.parametrize("name", ["lloyd-4", "rotated-8"])
def test_another_base_is_noticed(name: str) -> None:
    x = np.ones(100, np.float32)
    sent = shorten(name, x, np.zeros(100, np.float32), b"a" * 32)
    with pytest.raises(ProtocolError, match="key"):
        follow(name, sent.data, np.zeros(100, np.float32), b"b" * 32, 100)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(GOOD), data=st.binary(max_size=300))
def test_any_bytes_lead_to_finite_numbers_or_nowhere(name: str, data: bytes) -> None:
    size = get(name).size(100)
    for raw in (data, (data * size)[:size]):
        try:
            found = follow(name, raw, np.ones(100, np.float32), b"h" * 32, 100)
        except ProtocolError:
            continue
        assert np.isfinite(found).all()
