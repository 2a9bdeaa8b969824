"""`edgewise export`: write a trainable model file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgewise_models.next_word import NextWord


@click.group()
def command() -> None:
    """Export a trainable model as one .tflite file, proved against TensorFlow before it is written.

    \b
    Example:
      edgewise export next-word --out model.tflite
    """


@command.command("next-word")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--vocabulary", type=click.Path(path_type=Path), help="Words, one a line; default: the shipped corpus's.")
@click.option("--vocabulary-size", type=int, help="Ids in all: four marks and the first words of the list.")
@click.option("--spare", default=0, help="Ids kept free behind the words; no suggestion ever is one.  [default: 0]")
@click.option("--embedding", default=96, show_default=True, help="Width of the embedding and of the projection.")
@click.option("--units", default=670, show_default=True, help="LSTM cells.")
@click.option("--steps", default=20, show_default=True, help="Words of a sentence.")
@click.option("--batch", default=16, show_default=True, help="Sentences of a training batch.")
@click.option("--seed", default=0, show_default=True, help="Draws the initial weights.")
@click.option(
    "--clip-norm", type=float, help="Bound the gradient's L2 norm in each step; 1 allows rates of 4.  [default: off]"
)
@click.option("--buckets", is_flag=True, help="Add faster steps for batches of short sentences; takes more memory.")
@click.option("--low-memory", is_flag=True, help="A step that holds less at once; meant for LiteRT.")
@click.option("--corrected/--no-corrected", default=True, help="With the step that FedProx and SCAFFOLD need, or not.")
@click.option("--name", default="next-word", show_default=True, help="What the manifest calls the model.")
def next_word(
    out: Path,
    vocabulary: Path | None,
    vocabulary_size: int | None,
    spare: int,
    embedding: int,
    units: int,
    steps: int,
    batch: int,
    seed: int,
    clip_norm: float | None,
    buckets: bool,
    low_memory: bool,
    corrected: bool,
    name: str,
) -> None:
    """Export Gboard's next-word model (Hard et al. 2018): a CIFG-LSTM whose every size is an option.

    \b
    Example:
      edgewise export next-word --out model.tflite --vocabulary words.txt
    """
    start = time.monotonic()
    words = _words(vocabulary, vocabulary_size)

    from edgewise_models.next_word import MARKS, NextWord

    config = NextWord(
        len(words) + MARKS + spare,
        embedding,
        units,
        steps,
        batch,
        seed,
        clip_norm,
        buckets,
        low_memory,
        corrected,
        spare,
    )
    _export(out, words, config, name)
    click.echo(f"Took {time.monotonic() - start:.1f} s. Look inside: edgewise inspect {out}")


def _words(vocabulary: Path | None, size: int | None) -> tuple[str, ...]:
    from edgewise_models.vocabulary import first_words, read_words

    if vocabulary is not None:
        return first_words(read_words(vocabulary), size, str(vocabulary))

    from edgewise.corpus import words

    return first_words(tuple(words()), size, "the shipped corpus")


def _export(out: Path, words: Sequence[str], config: NextWord, name: str) -> None:
    from edgewise_models.export import export_next_word
    from edgewise_wire.weights import parameters

    artifact, proofs = export_next_word(out, words, config, name=name)
    count = parameters(artifact.manifest.weights)
    click.echo(f"Wrote {out}: {count:,} parameters, {len(words):,} words, {len(artifact.data):,} bytes.")
    for proof in proofs:
        click.echo(
            f"Proved over {proof.steps} steps with {proof.runtime} against TensorFlow: losses within {proof.loss:.0e},"
            f" weights within {proof.weight:.0e}, built-in operators only."
        )
