"""`edgewise inspect`: what is inside a model file, without any runtime."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edgewise_wire.artifact import Artifact
from edgewise_wire.tflite_cost import costs
from edgewise_wire.tflite_file import Tensor
from edgewise_wire.weights import parameters


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def command(model: Path, as_json: bool) -> None:
    """Show the signatures, weights, operators, sizes and hashes of a model file.

    \b
    Example:
      edgewise inspect model.tflite
    """
    found = describe(Artifact.load(model))
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(str(model), found)))


def describe(artifact: Artifact) -> dict[str, Any]:
    """Return everything that `inspect` shows, as JSON knows it."""
    manifest = artifact.manifest
    custom = sorted({code.name for code in artifact.file.codes if code.custom})
    return {
        "task": manifest.task,
        "name": manifest.name,
        "batch": manifest.batch,
        "steps": manifest.steps,
        "parameters": parameters(manifest.weights),
        "file_bytes": len(artifact.data),
        "weight_bytes": 4 * parameters(manifest.weights),
        "graph_hash": artifact.graph_hash.hex(),
        "weights_hash": artifact.weights_hash.hex(),
        "vocabulary": len(manifest.vocabulary),
        "vocabulary_hash": manifest.vocabulary_hash,
        "tokenizer": manifest.tokenizer,
        "metrics": list(manifest.metrics),
        "random": manifest.seed,
        "min_runtime": manifest.min_runtime,
        "flops": manifest.flops,
        "peak_memory": manifest.peak_memory,
        "flex": any(code.flex for code in artifact.file.codes),
        "custom": custom,
        "signatures": {
            name: {"inputs": _tensors(signature.inputs), "outputs": _tensors(signature.outputs)}
            for name, signature in sorted(artifact.signatures.items())
        },
        "weights": [
            {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype, "role": spec.role, "size": spec.size}
            for spec in manifest.weights
        ],
        "operators": [
            {"name": cost.name, "count": cost.count, "flops": cost.flops, "bytes": cost.bytes}
            for cost in costs(artifact.file, artifact.signatures["train"].subgraph)
        ],
    }


def _tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: str(tensor) for name, tensor in sorted(tensors.items())}


def _lines(path: str, found: Mapping[str, Any]) -> Iterable[str]:
    mega = f"{found['flops'] / 1e6:,.1f} MFLOP in products a step"
    yield f"{path}: {found['name']}, task {found['task']}, batch {found['batch']}, {found['steps']} time steps"
    yield f"  {found['parameters']:,} parameters, {found['file_bytes']:,} bytes ({found['weight_bytes']:,} of weights)"
    yield f"  {mega}, about {found['peak_memory'] / 2**20:,.0f} MB of memory, runtime {found['min_runtime']} or newer"
    if found["random"]:
        yield "  training steps draw at random (dropout), from a seed that each device derives anew in each step"
    if found["vocabulary"]:
        yield f"  {found['vocabulary']:,} words, tokenizer {found['tokenizer']}, SHA-256 {found['vocabulary_hash']}"
    yield f"  graph   {found['graph_hash']}"
    yield f"  weights {found['weights_hash']}"
    yield from ("", "Signatures")
    yield from _table(
        [(name, _joined(each["inputs"]), _joined(each["outputs"])) for name, each in found["signatures"].items()],
        ("signature", "in", "out"),
    )
    yield from ("", "Weights, in the order in which they travel")
    yield from _table(
        [(w["name"], f"{w['dtype']}{w['shape']}", w["role"], f"{w['size']:,}") for w in found["weights"]],
        ("weight", "type", "role", "numbers"),
    )
    kind = f"not built in: {', '.join(found['custom'])}" if found["custom"] else "all built in, none is Flex"
    yield from ("", f"Operators of 'train' ({kind})")
    yield from _table(
        [(o["name"], str(o["count"]), f"{o['flops'] / 1e6:,.1f}", f"{o['bytes']:,}") for o in found["operators"]],
        ("operator", "calls", "MFLOP", "bytes out"),
    )


def _joined(tensors: Mapping[str, str]) -> str:
    """Return `name type` of each tensor, or their number where there are many."""
    text = ", ".join(f"{name} {kind}" for name, kind in tensors.items())
    return text if len(text) <= 90 else f"{len(tensors)} tensors: {', '.join(tensors)}"


def _table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
