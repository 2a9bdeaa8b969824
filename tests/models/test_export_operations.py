"""Exported activations, operations and attention train as TensorFlow's do, with SGD, on every runtime at hand."""

from __future__ import annotations

import pytest

from exporting import CROSS_ENTROPY, export, prove_on_the_other_runtime
from together import combined, groups


@pytest.mark.parametrize(
    ("name", "cases"),
    groups("activation", "operation", "model"),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_row_trains_as_tensorflow_does(proved, name, cases):
    made = export(proved, name, combined(cases), CROSS_ENTROPY)
    assert made.proofs[0].change < 1e-3
    assert not any(code.custom for code in made.artifact.file.codes)


def test_every_file_trains_as_tensorflow_does_on_the_other_runtime_too(proved):
    prove_on_the_other_runtime(proved)
