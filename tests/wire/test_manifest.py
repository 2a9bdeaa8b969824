"""The manifest comes back exactly, skips what it does not know, and names what is wrong."""

import json
from dataclasses import replace
from typing import Any

import pytest

from edgewise_wire import manifest as m
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import WeightSpec

WORDS = ("see", "you", "s'il")
GIVEN = m.Manifest(
    task="next-word",
    name="tiny",
    weights=(WeightSpec("kernel", (3, 2)), WeightSpec("moment", (3, 2), role="slot"), WeightSpec("bias", ())),
    buffers=(7, 9, 8),
    batch=2,
    steps=3,
    inputs=(m.TensorSpec("tokens", (2, 3), "int32"),),
    labels=m.TensorSpec("labels", (2, 3), "int32"),
    weight=m.TensorSpec("weight", (2, 3), "float32"),
    metrics=("top1",),
    operators=("ADD", "MUL"),
    min_runtime="2.6.0",
    flops=120,
    peak_memory=50 << 20,
    seed=True,
    tokenizer="words-1",
    vocabulary=WORDS,
    vocabulary_hash=m.vocabulary_hash(WORDS),
    variants=(m.Variant("train_2", 2, 4),),
    packs=True,
)


def changed(**changes: Any) -> bytes:
    plain = json.loads(GIVEN.to_json())
    for key, value in changes.items():
        if value is None:
            del plain[key]
        else:
            plain[key] = value
    return json.dumps(plain).encode()


def test_a_manifest_comes_back_exactly_and_its_bytes_are_canonical() -> None:
    again = m.Manifest.from_json(GIVEN.to_json())
    assert again == GIVEN
    assert again.to_json() == GIVEN.to_json()
    assert [spec.name for spec in again.averaged] == ["kernel", "bias"]


def test_keys_that_are_not_known_are_skipped() -> None:
    assert m.Manifest.from_json(changed(invented_later={"a": [1]})) == GIVEN


def test_keys_that_may_be_absent_have_defaults() -> None:
    data = changed(seed=None, tokenizer=None, vocabulary=None, vocabulary_hash=None, variants=None, packs=None)
    expected = replace(GIVEN, seed=False, tokenizer="", vocabulary=(), vocabulary_hash="", variants=(), packs=False)
    assert m.Manifest.from_json(data) == expected


@pytest.mark.parametrize(
    "key", ["format", "task", "weights", "batch", "inputs", "labels", "flops", "operators", "checksum"]
)
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(ModelError, match=f"'{key}' is missing"):
        m.Manifest.from_json(changed(**{key: None}))


WEIGHT = {"name": "a", "shape": [1], "dtype": "float32", "role": "trainable", "buffer": 1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format 2 is newer"),
        ({"batch": 0}, "'batch' must be 1 to"),
        ({"batch": True}, "'batch' must be int"),
        ({"batch": "4"}, "'batch' must be int, got '4'"),
        ({"weights": []}, "one weight or more"),
        ({"weights": [WEIGHT, WEIGHT]}, "different names"),
        ({"weights": [WEIGHT | {"role": "boss"}]}, r"weights\[0\]: 'role' must be one of .* got 'boss'"),
        ({"weights": [WEIGHT | {"shape": [-1]}]}, "length of an axis, got -1"),
        ({"weights": [WEIGHT | {"shape": [2**31]}]}, "length of an axis"),
        ({"weights": [WEIGHT | {"buffer": -1}]}, "'buffer' must be 0 to"),
        ({"weights": ["kernel"]}, r"weights\[0\]: expected an object"),
        ({"vocabulary": ["see", 5]}, r"vocabulary\[1\]: expected a string, got 5"),
        ({"vocabulary": ["other", "words"]}, "the vocabulary of 2 words does not have the hash"),
        ({"inputs": {}}, "'inputs' must be list"),
        ({"variants": [{"signature": "t", "steps": 0, "rows": 1}]}, r"variants\[0\]: 'steps' must be 1 to"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        m.Manifest.from_json(changed(**changes))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"[]", b"null", b'"text"'])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="manifest: "):
        m.Manifest.from_json(data)


def test_a_manifest_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, "MANIFEST_BYTES_MAX", 100)
    with pytest.raises(ModelError, match="expected at most 100"):
        m.Manifest.from_json(GIVEN.to_json())


def test_the_vocabulary_hash_is_that_of_its_text_file() -> None:
    from edgewise_edge.tokenizer import WordTokenizer

    assert m.vocabulary_hash(WORDS) == WordTokenizer(WORDS).hash
