"""`edgewise export`: write a trainable model file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgewise.guessing import GuessingGroup
from edgewise.patience import working

if TYPE_CHECKING:
    from edgewise_models.inference import Precision
    from edgewise_models.next_word import NextWord

EXPORTING = "Exporting and proving against TensorFlow"


class _Models(GuessingGroup):
    """The models by name, and anyone's own as `module:factory`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a model; a name with a colon is the author's own."""
        return _own(cmd_name) if ":" in cmd_name else super().get_command(ctx, cmd_name)

    def hint(self, ctx: click.Context, name: str) -> str:
        """Return the guess, or how a model of the author's own is named."""
        return super().hint(ctx, name) or f" A model of your own is MODULE:FACTORY, such as {name}:build."


@click.group(cls=_Models)
def command() -> None:
    """Export a trainable model as one .tflite file, proved against TensorFlow before it is written.

    Any Keras model of your own: edgewise export MODULE:FACTORY --loss LOSS --out FILE. The factory returns the model,
    or a dictionary with `model`, `loss` and what else `edgewise_models.export_trainable` takes.

    \b
    Example:
      edgewise export next-word --out model.tflite
      edgewise export mymodel:build --loss sparse_categorical_crossentropy --out model.tflite
    """


def _own(factory: str) -> click.Command:
    @click.command(factory)
    @click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
    @click.option("--loss", help="A Keras loss by name.")
    @click.option("--optimizer", help="A Keras optimizer by name.  [default: sgd]")
    @click.option("--batch", type=click.IntRange(1), help="Examples of a training batch.  [default: 16]")
    @click.option("--metric", "metrics", multiple=True, help="A Keras metric by name; may be given again.")
    @click.option("--vocabulary", type=click.Path(path_type=Path), help="Words, one a line, for a factory(vocabulary).")
    @click.option("--vocabulary-size", type=int, help="Ids in all: four marks and the first words of the list.")
    @click.option("--name", help="What the manifest calls the model.")
    @click.option("--allow-flex", is_flag=True, default=None, help="Let Flex run what has no built-in operator.")
    def own(
        out: Path,
        metrics: tuple[str, ...],
        vocabulary: Path | None,
        vocabulary_size: int | None,
        allow_flex: bool | None,
        **options: str | int | None,
    ) -> None:
        """Export the Keras model that MODULE:FACTORY makes.

        A factory that has an argument `vocabulary` is given words, the shipped corpus's without --vocabulary.
        """
        from edgewise_models.factory import export_factory

        words = partial(_words, vocabulary, vocabulary_size)
        with working(EXPORTING):
            made = export_factory(factory, out, words=words, metrics=metrics or None, allow_flex=allow_flex, **options)
        click.echo(f"Wrote {out}: {len(made.artifact.manifest.weights)} weights, {len(made.artifact.data):,} bytes.")
        if made.flex:
            click.echo(f"{made.price}.")
        for proof in made.proofs:
            click.echo(
                f"Proved over {proof.steps} steps with {proof.runtime} against TensorFlow: losses within"
                f" {proof.loss:.0e}, weights within {proof.weight:.0e}, built-in operators only."
            )

    return own


@command.command("next-word")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--vocabulary", type=click.Path(path_type=Path), help="Words, one a line; default: the shipped corpus's.")
@click.option("--vocabulary-size", type=int, help="Ids in all: four marks and the first words of the list.")
@click.option("--spare", default=0, help="Ids kept free behind the words; no suggestion ever is one.  [default: 0]")
@click.option("--embedding", default=96, show_default=True, help="Width of the embedding and of the projection.")
@click.option("--units", default=670, show_default=True, help="LSTM cells.")
@click.option("--steps", default=20, show_default=True, help="Words of a row, and the most of a sentence.")
@click.option("--batch", default=8, show_default=True, help="Rows of a training batch; short sentences share a row.")
@click.option("--seed", default=0, show_default=True, help="Draws the initial weights.")
@click.option(
    "--clip-norm", type=float, help="Bound the gradient's L2 norm in each step; 1 allows rates of 4.  [default: off]"
)
@click.option(
    "--word-dropout",
    default=0.0,
    help="Share of the words a training step reads as unknown; 0.25 for text passed over often.  [default: 0]",
)
@click.option("--buckets", is_flag=True, help="Add faster steps for devices with little text; each takes 25 MB more.")
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
    word_dropout: float,
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
        vocabulary=len(words) + MARKS + spare, embedding=embedding, units=units, steps=steps, batch=batch, seed=seed,
        clip_norm=clip_norm, buckets=buckets, low_memory=low_memory, corrected=corrected, word_dropout=word_dropout,
        spare=spare,
    )  # fmt: skip
    _export(out, words, config, name)
    click.echo(f"Took {time.monotonic() - start:.1f} s. Look inside: edgewise inspect {out}")


@command.command("inference")
@click.argument("trained", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--model", "factory", metavar="MODULE:FACTORY", help="What it was exported from; not for next-word.")
@click.option("--precision", type=click.Choice(["float32", "float16", "int8"]), default="float32", show_default=True)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Inputs to prove with, from which int8 takes its ranges: .npz by input name, or messages, one a line.",
)
def inference(
    trained: Path,
    out: Path,
    factory: str | None,
    precision: Precision,
    samples: Path | None,
) -> None:
    """Write a plain file that only predicts, from a trained one.

    \b
    Example:
      edgewise models export 20 --out trained.tflite
      edgewise export inference trained.tflite --precision float16 --out plain.tflite
    """
    from edgewise_models.trained import export_trained

    made = export_trained(trained, out, factory=factory, precision=precision, samples=samples)
    click.echo(
        f"Wrote {out}: {len(made.data):,} bytes, {precision}. Proved with {made.runtime} against TensorFlow: outputs"
        f" within {made.difference:.0e} of the largest."
    )


def _words(vocabulary: Path | None, size: int | None) -> tuple[str, ...]:
    from edgewise_models.vocabulary import first_words, read_words

    if vocabulary is not None:
        return first_words(read_words(vocabulary), size, str(vocabulary))

    from edgewise.corpus import words

    return first_words(tuple(words()), size, "the shipped corpus")


def _export(out: Path, words: Sequence[str], config: NextWord, name: str) -> None:
    from edgewise_models.export import export_next_word
    from edgewise_wire.weights import parameters

    with working(EXPORTING):
        artifact, proofs = export_next_word(out, words, config, name=name)
    count = parameters(artifact.manifest.weights)
    click.echo(f"Wrote {out}: {count:,} parameters, {len(words):,} words, {len(artifact.data):,} bytes.")
    for proof in proofs:
        click.echo(
            f"Proved over {proof.steps} steps with {proof.runtime} against TensorFlow: losses within {proof.loss:.0e},"
            f" weights within {proof.weight:.0e}, built-in operators only."
        )
