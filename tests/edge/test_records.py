"""Records: rows of numbers as examples, in and out of the store's texts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.host import DeviceHost
from edgewise_edge.records import from_arrays, is_record, one_input, parse_record, read_records, record_examples
from edgewise_wire.errors import DataError
from edgewise_wire.manifest import TensorSpec
from edgewise_wire.messages import Kind

from .conftest import MANIFEST

MODEL = dataclasses.replace(
    MANIFEST,
    task="keras",
    inputs=(TensorSpec("features", (2, 3), "float32"), TensorSpec("kind", (2,), "int32")),
    labels=TensorSpec("labels", (2,), "int32"),
    weight=TensorSpec("weight", (2,), "float32"),
    batch=2,
    packs=False,
)


def record(**change: object) -> str:
    return json.dumps({"features": [0.5, 1, -2], "kind": 3, "labels": 1} | change)


def test_rows_come_back_as_they_were() -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "features": (rng.normal(size=(9, 3)) * 10.0 ** rng.integers(-30, 30, (9, 3))).astype(np.float32),
        "kind": rng.integers(-(2**31), 2**31, 9).astype(np.int32),
        "labels": np.arange(9, dtype=np.int64),
        "weight": np.linspace(0, 2, 9, dtype=np.float32),
    }
    found = record_examples(MODEL, list(from_arrays(arrays)))
    batches = list(found.batches(np.arange(9)))
    for name, array in arrays.items():
        got = np.concatenate([batch[name] for batch in batches])
        assert got.dtype == (np.int32 if name in ("kind", "labels") else np.float32)
        np.testing.assert_array_equal(got[:9], array)
    assert batches[-1]["weight"][1] == 0  # what fills the last batch up


def test_an_archive_is_read_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, features=np.ones((2, 3), np.float32), labels=np.array([0, 1]))
    assert [json.loads(text)["labels"] for text in read_records(path)] == [0, 1]
    np.savez(path, features=np.ones((2, 3)), labels=np.array([0]))
    with pytest.raises(DataError, match="as many rows each, got"):
        read_records(path)
    np.savez(path, labels=np.array(["a"]))
    with pytest.raises(DataError, match="array 'labels': expected numbers"):
        read_records(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"rows\.npz: cannot be read"):
        read_records(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"features": [0.5, 1]}, r"'features': expected float32\[3\] of finite numbers, got float64\[2\]"),
        ({"features": [[0.5], [1, 2]]}, "something else"),
        ({"features": "secret words"}, "something else"),
        ({"features": [0.5, 1, float("nan")]}, "finite"),
        ({"kind": 0.5}, r"'kind': expected int32\[\]"),
        ({"kind": 2**31}, "'kind'"),
        ({"labels": True, "kind": None}, "'kind'"),
    ],
)
def test_a_record_that_does_not_fit_is_passed_over_and_its_values_are_not_told(wrong: dict, said: str) -> None:
    assert len(record_examples(MODEL, [record(**wrong), record()])) == 1
    with pytest.raises(DataError, match=said) as told:
        record_examples(MODEL, ["see you", record(**wrong)])
    assert "secret" not in str(told.value)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(DataError, match="a value for the model's 'kind'"):
        record_examples(MODEL, ['{"features": [1, 2, 3], "labels": 1}'])
    with pytest.raises(DataError, match="expected a JSON object"):
        parse_record("see you")
    with pytest.raises(DataError, match="'keras' takes rows of numbers, and this device has none"):
        record_examples(MODEL, ["see you"])


def test_what_is_inferred_needs_no_labels() -> None:
    found = one_input({"features": [1, 2, 3], "kind": 4}, MODEL.inputs)
    assert {name: array.shape for name, array in found.items()} == {"features": (1, 3), "kind": (1,)}


def test_sentences_and_records_keep_out_of_each_others_way(world) -> None:
    world.store.forget(everything=True)
    world.store.add_many(["see you at seven", record()], held_out=False)
    host = DeviceHost(world.home, world.store)
    assert host.texts() == ["see you at seven"]
    assert len(host.examples(MODEL, Kind.TRAIN)) == 1
    assert len(host.examples(MANIFEST, Kind.TRAIN)) == 1
    assert is_record(record())
    assert not is_record('{"')
