"""The proof notices a model that trains a little differently, in whatever place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.trainer import Batch
from edgewise_models.fixtures import TINY
from edgewise_models.next_word_reference import LEARNING_RATE, NextWordReference, proof_batches
from edgewise_models.proof import prove
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import Weights


@pytest.fixture
def data(fixture_dir: Path) -> bytes:
    return (fixture_dir / "tiny.tflite").read_bytes()


def test_a_right_model_is_proved_with_the_differences_met(data: bytes) -> None:
    proof = prove(data, NextWordReference(TINY), [*proof_batches(TINY)], learning_rate=LEARNING_RATE)
    assert proof.steps == 5
    assert 0 < proof.weight < 1e-6
    assert 0 <= proof.change < 1e-4


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

    def train_step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        self.steps += 1
        loss, weight_sum = super().train_step(batch, learning_rate * (1.01 if self.change == "rate" else 1))
        if self.change == "kernel" and self.steps == 5:
            start = NextWordReference(TINY).weights()["lstm_kernel"]
            self.variables["lstm_kernel"].assign(start + 0.998 * (self.variables["lstm_kernel"].numpy() - start))
        return loss + (2e-4 * loss if self.change == "loss" else 0), weight_sum + (self.change == "sum")

    def evaluate_step(self, batch: Batch) -> dict[str, object]:
        found = dict(super().evaluate_step(batch))
        if self.change == "top3":
            found["top3"] = found["top3"][1] + 0.6
        if self.change == "metrics":
            found["top5"] = 1.0
        return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("start", "weight 'projection' after 0 steps"),
        ("rate", "a step's loss is"),
        ("loss", "a step's loss is"),
        ("kernel", "the change of weight 'lstm_kernel' differs"),
        ("sum", "the sum of a batch's weights"),
        ("still", "weight 'output_bias'"),
        ("top3", "the sum 'top3'"),
        ("metrics", "'evaluate' returns"),
    ],
)
def test_a_difference_is_found_and_named(data: bytes, change: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        prove(data, Different(change), [*proof_batches(TINY)], learning_rate=LEARNING_RATE)


def test_suggestions_are_compared(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = NextWordReference(TINY)
    logits: Callable[..., object] = reference.logits
    monkeypatch.setattr(reference, "logits", lambda tokens: logits(tokens) * (2.0 if len(tokens) == 1 else 1.0))
    with pytest.raises(ModelError, match="suggestion 0"):
        prove(data, reference, [*proof_batches(TINY)], learning_rate=LEARNING_RATE)
