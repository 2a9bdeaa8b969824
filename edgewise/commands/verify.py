"""`edgewise verify`: repeat the proof of a model file as far as it can be repeated without its source."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--runtime", type=click.Choice(["ai_edge_litert", "tflite_runtime"]), help="Default: the best installed.")
def command(model: Path, runtime: str | None) -> None:
    """Train, evaluate and predict with a model file on random data and say what holds. Needs no TensorFlow.

    \b
    Example:
      edgewise verify model.tflite
    """
    from edgewise_models.verification import verify

    for sentence in verify(model, runtime=runtime):
        click.echo(f"  {sentence}")
    click.echo(f"{model}: verified")
