"""The export matrix as it stands in the documentation: what was proved on each runtime, what is refused and why.

`scripts/test-export-matrix --write` makes it; tests hold that the pages agree with `matrix` and `refusals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgewise_models.matrix import CASES, LOSSES, OPTIMIZERS
from edgewise_models.refusals import REFUSALS

PLURALS: Mapping[str, str] = {
    "activation": "activations",
    "operation": "operations",
    "image layer": "layers of images",
    "series layer": "layers of series",
    "model": "models",
    "loss": "losses",
    "optimizer": "optimizers",
}


class Subject(NamedTuple):
    """One row of the matrix: what is exported, with which loss, optimizer and metrics."""

    family: str
    name: str
    build: Any
    loss: Any
    optimizer: Any
    metrics: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a subject: the largest difference of a weight's change by runtime, or why it was not exported."""

    family: str
    name: str
    differences: Mapping[str, float]
    error: str = ""


def subjects() -> Iterator[Subject]:
    """Yield every layer with SGD, every loss and every optimizer."""
    import keras

    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for case in CASES:
        yield Subject(case.family, case.name, case.build, cross_entropy, "sgd", ("accuracy",))
    for loss in LOSSES:
        yield Subject("loss", loss.name, loss.build, loss.loss, "sgd", loss.metrics)
    for other in OPTIMIZERS:
        yield Subject("optimizer", other.name, other.build, other.loss, other.optimizer, ())


def full_table(rows: Sequence[Row]) -> str:
    """Return a table a family; the figure is the largest difference of a weight's change, by runtime."""
    runtimes = list(dict.fromkeys(runtime for row in rows for runtime in row.differences))
    lines: list[str] = []
    for family in dict.fromkeys(row.family for row in rows):
        lines += ["", f"| {family} | {' | '.join(runtimes)} |", f"| --- |{' --- |' * len(runtimes)}"]
        for row in (row for row in rows if row.family == family):
            figures = [f"{row.differences[name]:.0e}" if name in row.differences else "–" for name in runtimes]
            lines.append(f"| {row.name} | {' | '.join([f'refused: {row.error}'] if row.error else figures)} |")
    return "\n".join(lines[1:])


def compact_table(rows: Sequence[Row]) -> str:
    """Return a line a family: how many, the largest difference on each runtime, the names (but those of operations)."""
    runtimes = list(dict.fromkeys(runtime for row in rows for runtime in row.differences))
    lines = [f"| | {' | '.join(runtimes)} | which |", f"| --- |{' --- |' * len(runtimes)} --- |"]
    for family in dict.fromkeys(row.family for row in rows):
        mine = [row for row in rows if row.family == family]
        most = [max(row.differences.get(name, float("nan")) for row in mine) for name in runtimes]
        figures = " | ".join(f"≤ {figure:.0e}" for figure in most)
        which = "listed on the page" if family == "operation" else "; ".join(row.name for row in mine)
        lines.append(f"| {len(mine)} {PLURALS[family]} | {figures} | {which} |")
    return "\n".join(lines)


def refused_table() -> str:
    """Return what is refused, each with the sentence that the exporter says."""
    lines = ["| | refused | what it says |", "| --- | --- | --- |"]
    lines += [f"| {case.group} | {case.name} | `{case.message().replace('|', '/')}` |" for case in REFUSALS]
    return "\n".join(lines)


def names_in(table: str, family: str) -> list[str]:
    """Return the first cells of a family's table, as `full_table` wrote it."""
    block = table.split(f"| {family} |", 1)[1].split("\n\n", 1)[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in block.splitlines()[2:]]


def replaced(page: str, block: str, text: str) -> str:
    """Return a page with what stands between `<!-- BLOCK -->` and `<!-- /BLOCK -->` replaced.

    Raises:
        ValueError: if the page has no such block.
    """
    before, start, rest = page.partition(f"<!-- {block} -->\n")
    _, end, after = rest.partition(f"\n<!-- /{block} -->")
    if not start or not end:
        raise ValueError(f"the page has no block {block!r}")
    return before + start + "\n" + text + "\n" + end + after


def block_of(page: str, block: str) -> str:
    """Return what stands in a block of a page."""
    return page.split(f"<!-- {block} -->\n", 1)[1].split(f"\n<!-- /{block} -->", 1)[0].strip("\n")
