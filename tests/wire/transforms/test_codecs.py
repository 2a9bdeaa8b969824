"""What holds for every codec: lengths, determinism, what it refuses, and what hostile bytes can do (nothing)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_wire.errors import ConfigError, InputError, ProtocolError
from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.header import HEADER_BYTES

NAMES = [
    "float32", "float16", "topk-0.01", "topk-0.5", "clip-0.5", "clip-0.5+eden-2", "clip-2+float16", "clip-2+rotated-8",
    *(f"rotated-{bits}" for bits in range(1, 9)),
    *(f"{kind}-{bits}" for kind in ("eden", "lloyd") for bits in range(1, 5)),
]  # fmt: skip
LENGTHS = [1, 2, 3, 7, 8, 9, 63, 64, 65, 410, 4095, 4096, 4097, 262_143, 262_144, 262_145]
KEY = Key(3, 14, "pi-7")


def gaussian(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_length_is_the_one_announced_and_the_result_is_of_the_right_length(name: str) -> None:
    codec = get(name)
    for count in LENGTHS:
        data = codec.encode(gaussian(count), KEY, None).data
        assert len(data) == codec.size(count)
        decoded = codec.decode(data, count, KEY)
        assert decoded.shape == (count,)
        assert decoded.dtype == np.float32
        assert np.isfinite(decoded).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_finds_its_codec(name: str) -> None:
    assert get(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_the_same_key_gives_the_same_bytes_and_another_key_is_noticed(name: str) -> None:
    codec, x = get(name), gaussian(5000)
    one = codec.encode(x, KEY, None).data
    assert one == codec.encode(x.copy(), Key(3, 14, "pi-7"), None).data
    if name in ("float32", "clip-0.5"):
        return
    for other in (Key(4, 14, "pi-7"), Key(3, 15, "pi-7"), Key(3, 14, "pi-8")):
        with pytest.raises(ProtocolError, match="key"):
            codec.decode(one, len(x), other)


@pytest.mark.parametrize("name", NAMES)
def test_zeros_stay_zeros(name: str) -> None:
    codec = get(name)
    for count in (1, 100, 5000):
        data = codec.encode(np.zeros(count, np.float32), KEY, None).data
        assert not codec.decode(data, count, KEY).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("largest", [1e-45, 1e-38, 1e-20, 1.0, 1e20, 2.0**99])
def test_values_of_any_size_come_through(name: str, largest: float) -> None:
    codec, x = get(name), gaussian(300) / np.float32(5)
    x = (x * np.float32(largest)).astype(np.float32)
    decoded = codec.decode(codec.encode(x, KEY, None).data, 300, KEY)
    assert np.isfinite(decoded).all()
    if largest >= 1e-20 and name.startswith(("float", "rotated-8", "eden-4")):
        assert np.linalg.norm(decoded.astype("f8") - x) < 0.2 * np.linalg.norm(x.astype("f8"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**101])
def test_what_is_not_finite_is_not_encoded(name: str, bad: float) -> None:
    if name.startswith("clip") and abs(bad) == 2.0**101:
        return  # clipped to a number like any other
    x = gaussian(10)
    x[3] = bad
    with pytest.raises(InputError, match="finite"):
        get(name).encode(x, KEY, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_length_is_refused_before_anything_is_made_of_it(name: str) -> None:
    codec = get(name)
    data = codec.encode(gaussian(100), KEY, None).data
    for wrong in (b"", data[:-1], data + b"\0", data[:HEADER_BYTES]):
        with pytest.raises(ProtocolError, match="bytes"):
            codec.decode(wrong, 100, KEY)
    with pytest.raises(ProtocolError):
        codec.decode(data, 99 if name != "float32" else 98, KEY)
    with pytest.raises(ProtocolError, match="bytes"):
        codec.decode(b"\0" * 100, 2**40, KEY)


@pytest.mark.parametrize("name", NAMES)
def test_another_codecs_bytes_are_refused(name: str) -> None:
    codec = get(name)
    data = bytearray(codec.encode(gaussian(100), KEY, None).data)
    if name in ("float32", "clip-0.5"):
        return
    for place in (0, 1, 2, 4, 8):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(ProtocolError):
            codec.decode(bytes(changed), 100, KEY)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), count=st.integers(1, 300), data=st.data())
def test_any_bytes_give_finite_numbers_or_an_error(name: str, count: int, data: st.DataObject) -> None:
    codec = get(name)
    size = codec.size(count)
    kind = data.draw(st.sampled_from(["random", "headed", "flipped"]))
    if kind == "random":
        raw = data.draw(st.binary(max_size=2 * size))
    else:
        raw = bytearray(codec.encode(gaussian(count), KEY, None).data)
        start = 0 if name.startswith(("float32", "clip-0.5")) and "+" not in name else HEADER_BYTES
        if kind == "headed":
            raw[start:] = data.draw(st.binary(min_size=size - start, max_size=size - start))
        else:
            for place in data.draw(st.lists(st.integers(start, size - 1), max_size=8)):
                raw[place] = data.draw(st.integers(0, 255))
        raw = bytes(raw)
    try:
        decoded = codec.decode(raw, count, KEY)
    except ProtocolError:
        return
    assert decoded.shape == (count,)
    assert np.isfinite(decoded).all()


@pytest.mark.parametrize("name", NAMES)
def test_extreme_bytes_do_not_warn_or_overflow(name: str) -> None:
    codec, count = get(name), 5000
    head = codec.encode(gaussian(count), KEY, None).data[:HEADER_BYTES]
    for fill in (b"\xff", b"\x7f", b"\x7e\x71", b"\x00\x00\x80\x7f", b"\x55", b"\x00\x00\x00\x71"):
        body = (fill * codec.size(count))[: codec.size(count) - HEADER_BYTES]
        with np.errstate(all="raise"):
            try:
                decoded = codec.decode(head + body, count, KEY)
            except ProtocolError:
                continue
        assert np.isfinite(decoded).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("float64", "not known"), ("eden-0", "1 to 4"), ("eden-5", "1 to 4"), ("rotated-9", "1 to 8"),
        ("rotated-", "not known"), ("eden-01", "'eden-1' instead"), ("eden-1+eden-1", "cannot come before"),
        ("topk-0", "fraction"), ("topk-nan", "fraction"), ("topk-0.6", "fraction"),
        ("topk-1e-2", "'topk-0.01' instead"),
        ("clip-0", "positive"), ("clip-inf", "positive"), ("clip-1+clip-2", "one clipping norm"),
        ("clip-1+topk-0.01", "error feedback"), ("x" * 65, "at most 64"), ("eden-²", "not known"),
        ("clip-1+", "'clip-1' instead"),
        ("clip-1+float32", "'clip-1' instead"),
    ],
)  # fmt: skip
def test_what_is_no_encoding_is_refused_with_a_sentence(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        get(name)


def test_only_what_is_linear_says_so() -> None:
    assert [name for name in NAMES if get(name).linear] == ["float32", "clip-0.5"]
    x, y = np.array([0.25, -1], "f4"), np.array([0.5, 2], "f4")
    codec = get("float32")
    total = sum(np.frombuffer(codec.encode(v, KEY, None).data, "<f4") for v in (x, y))
    np.testing.assert_array_equal(codec.decode(total.tobytes(), 2, KEY), x + y)
