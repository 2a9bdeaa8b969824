"""One call from sizes and words to a proved next-word model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgewise_models.next_word import NextWord, NextWordModule
from edgewise_models.next_word_reference import prove_next_word
from edgewise_models.proof import Proof
from edgewise_models.writer import check_writable, write_artifact
from edgewise_wire.artifact import Artifact


class Exported(NamedTuple):
    """The file that was written, and what was proved about it, by runtime."""

    artifact: Artifact
    proofs: tuple[Proof, ...]

    @property
    def proof(self) -> Proof:
        """The first proof."""
        return self.proofs[0]


def export_next_word(path: str | Path, words: Sequence[str], config: NextWord, *, name: str = "next-word") -> Exported:
    """Write a next-word model for `words` (ids from 4 on, in their order) to `path`, proved before it is written.

    Raises:
        DataError: if the words do not fill `config.vocabulary`.
        ModelError: if the proof fails; then `path` is as it was.
        UnavailableError: if the file cannot be written or no TFLite runtime is installed.

    Example:
        >>> config = NextWord(vocabulary=4 + 3, embedding=4, units=5, steps=3, batch=2)
        >>> export_next_word("/tmp/tiny.tflite", ["see", "you", "soon"], config).proof.steps     # doctest: +SKIP
        5
    """
    check_writable(Path(path))
    module = NextWordModule(config)
    facts = module.facts(name, words)
    proofs: list[Proof] = []
    artifact = write_artifact(
        path,
        module.functions(),
        module.weights,
        facts,
        prove=lambda data: proofs.extend(prove_next_word(data, config)),
        offsets=module.offsets,
    )
    return Exported(artifact, tuple(proofs))
