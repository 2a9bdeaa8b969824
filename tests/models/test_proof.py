"""The proof notices a model that trains a little differently, in whatever place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.trainer import Batch
from edgewise_models import proof as p
from edgewise_models.fixtures import TINY
from edgewise_models.next_word_reference import NextWordReference, expect, proof_batches, record
from edgewise_models.proof import Bounds, Expected, prove, prove_elsewhere
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import Array, Weights


@pytest.fixture
def data(fixture_dir: Path) -> bytes:
    return (fixture_dir / "tiny.tflite").read_bytes()


@pytest.fixture(scope="module")
def expected() -> Expected:
    return expect(TINY)


def test_a_right_model_is_proved_with_the_differences_met(data: bytes, expected: Expected) -> None:
    proof = prove(data, expected)
    assert proof.steps == 5
    assert 0 < proof.weight < 1e-6
    assert 0 <= proof.change < 1e-4


def test_what_is_expected_comes_back_exactly(expected: Expected) -> None:
    again = Expected.from_bytes(expected.to_bytes())
    assert again.sums == expected.sums
    assert again.training.losses == expected.training.losses
    assert (again.corrected is not None, len(again.suggestions)) == (True, len(expected.suggestions))
    assert again.to_bytes() == expected.to_bytes()


def test_other_environments_are_asked(data: bytes, expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(p.OTHER_PYTHON, raising=False)
    assert prove_elsewhere(data, expected) == []
    monkeypatch.setenv(p.OTHER_PYTHON, sys.executable)
    [proof] = prove_elsewhere(data, expected)
    assert (proof.steps, proof.weight < 1e-6) == (5, True)
    with pytest.raises(ModelError, match="the proof failed: a step's loss is"):
        prove_elsewhere(data, replace(expected, learning_rate=expected.learning_rate * 1.1))
    monkeypatch.setenv(p.OTHER_PYTHON, "/nowhere/python")
    with pytest.raises(ModelError, match="/nowhere/python cannot be run"):
        prove_elsewhere(data, expected)


class Different(NextWordReference):
    """A reference that differs in one thing."""

    def __init__(self, change: str) -> None:
        super().__init__(TINY)
        self.change = change
        self.steps = 0
        if change == "start":
            self.variables["projection"].assign_add(np.full((10, 6), 2e-4))

    def weights(self) -> Weights:
        found = dict(super().weights())
        if self.change == "still" and self.steps:
            found["output_bias"] = NextWordReference(TINY).weights()["output_bias"]
        return found

    def train_step(self, batch: Batch, learning_rate: float, **correction: object) -> tuple[float, float]:
        self.steps += 1
        loss, weight_sum = super().train_step(batch, learning_rate * (1.01 if self.change == "rate" else 1))
        if self.change == "kernel" and self.steps == 5:
            start = NextWordReference(TINY).weights()["lstm_kernel"]
            self.variables["lstm_kernel"].assign(start + 0.998 * (self.variables["lstm_kernel"].numpy() - start))
        return loss + (2e-4 * loss if self.change == "loss" else 0), weight_sum

    def evaluate_step(self, batch: Batch) -> dict[str, Bounds]:
        found = dict(super().evaluate_step(batch))
        if self.change == "top3":
            found["top3"] = Bounds(found["top3"].most + 0.6, found["top3"].most + 0.6)
        if self.change == "metrics":
            found["top5"] = Bounds(1.0, 1.0)
        return found

    def suggestions(self) -> Iterator[tuple[Array, Array]]:
        for tokens, probabilities in super().suggestions():
            yield tokens, probabilities**2 if self.change == "infer" else probabilities


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("start", "weight 'projection' after 0 steps"),
        ("rate", "a step's loss is"),
        ("loss", "a step's loss is"),
        ("kernel", "the change of weight 'lstm_kernel' differs"),
        ("still", "weight 'output_bias'"),
        ("top3", "the sum 'top3'"),
        ("metrics", "'evaluate' returns"),
        ("infer", "the probability of suggestion 0"),
    ],
)
def test_a_difference_is_found_and_named(data: bytes, change: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        prove(data, record(Different(change), [*proof_batches(TINY)]))


def test_the_corrected_step_is_compared(data: bytes, expected: Expected) -> None:
    assert expected.corrected is not None
    with pytest.raises(ModelError, match=r"after 2 steps|change of weight"):
        prove(data, replace(expected, corrected=replace(expected.corrected, mu=0.11)))
