"""Bytes that other languages and other versions must read as this one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import to_bytes

ENTRIES = json.loads((Path(__file__).parents[2] / "golden/encodings.json").read_text("utf-8"))["entries"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e['name']}-of-{e['parameters']}")
def test_the_golden_bytes_decode_to_the_golden_bits(entry: dict[str, Any]) -> None:
    codec, key = get(entry["name"]), Key(int(entry["seed"]), int(entry["round"]), entry["device"])
    data = bytes.fromhex(entry["data"])
    assert to_bytes(codec.decode(data, entry["parameters"], key)).hex() == entry["decoded"]
    if not entry["dice"]:
        update = np.frombuffer(bytes.fromhex(entry["update"]), "<f4").astype("f4")
        assert codec.encode(update, key, None).data == data
