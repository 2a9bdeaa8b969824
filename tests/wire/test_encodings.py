"""What a device knows of an encoding without NumPy is what the codec itself says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise_wire.encodings import SIZES, parse
from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.registry import MADE

NAMES = (
    "", "float32", "float16", "rotated-1", "rotated-8", "eden-1", "eden-4", "lloyd-3", "topk-0.01", "topk-0.5",
    "clip-0.5", "clip-2+eden-2", "clip-1+float16",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(parameters=st.integers(1, 20_000))
def test_the_size_is_the_number_of_bytes_that_the_codec_makes(name, parameters):
    update = np.linspace(-1, 1, parameters).astype(np.float32)
    assert len(get(name).encode(update, Key(1, 2, "pi-7"), None).data) == parse(name).size(parameters)


@pytest.mark.parametrize("name", NAMES)
def test_the_codec_bears_the_name_that_was_parsed(name):
    assert get(name).name == parse(name).name == (name or "float32")


def test_every_kind_that_can_be_made_has_a_size():
    assert set(SIZES) == set(MADE)


@given(st.one_of(st.text(max_size=20), st.from_regex(r"(clip-[0-9.e+-]{1,4}\+?)?[a-z0-9]{4,7}(-[0-9.e-]{1,5})?")))
def test_any_text_at_all_is_an_encoding_of_that_name_or_a_config_error(text):
    try:
        name = parse(text).name
    except ConfigError:
        return
    assert name == (text or "float32")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zip", "encoding 'zip': not known; expected one of float32"),
        ("eden-01", "write 'eden-1' instead"),
        ("topk-1e-2", "write 'topk-0.01' instead"),
        ("float32+eden-1", "only clip-NORM can"),
        ("rotated-9", "expected 1 to 8 bits, got 9"),
        ("topk-0.6", "at most 0.5, got 0.6"),
        ("topk-nan", "got nan"),
        ("clip-0", "expected a positive number, got 0"),
        ("clip-1+clip-2", "one clipping norm is enough"),
        ("clip-1+topk-0.1", "does not compose with topk-0.1"),
        ("clip-1+float32", "write 'clip-1' instead"),
        ("eden-" + "1" * 80, "at most 64"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(name, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse(name)
