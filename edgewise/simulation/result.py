"""What a simulation yields: its history as a table, the trained weights, and pictures of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.kept_files import read_arrays
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import DataError
from edgewise_wire.weights import Array, unflatten

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DeviceTable:
    """One entry a device, in the order of `names`; sums are of its held-out examples, NaN where it has none.

    `before` and `after` are metrics (`loss`, and those of the model) of the first measured version and of the last.
    """

    names: Sequence[str]
    examples: NDArray[np.int64]
    took_part: NDArray[np.int64]
    before: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    after: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def gains(self, metric: str) -> NDArray[np.float64]:
        """Return what each device gained, float64[devices]: positive is better, also for the loss.

        Raises:
            DataError: if it was not measured.
        """
        if metric not in self.after or metric not in self.before:
            raise DataError(f"metric {metric!r}: not measured; there is {', '.join(sorted(self.after)) or 'nothing'}")
        change: NDArray[np.float64] = self.after[metric] - self.before[metric]
        return -change if metric == "loss" else change

    def save(self, path: Path) -> None:
        """Write it as one `.npz`."""
        metrics: dict[str, Any] = {
            f"{w}/{n}": v for w, of in (("before", self.before), ("after", self.after)) for n, v in of.items()
        }
        facts: dict[str, Any] = {"names": np.array(list(self.names)), "examples": self.examples}
        np.savez_compressed(path, **facts, took_part=self.took_part, **metrics)

    @classmethod
    def load(cls, path: Path) -> DeviceTable:
        """Read what `save` wrote. Raises DataError if it is something else."""
        found = read_arrays(path)
        of = {
            which: {n.partition("/")[2]: array for n, array in found.items() if n.startswith(f"{which}/")}
            for which in ("before", "after")
        }
        try:
            return cls(found["names"].tolist(), found["examples"], found["took_part"], of["before"], of["after"])
        except KeyError as error:
            raise DataError(f"{path}: expected a table of devices; {error} is missing") from error


@dataclass(frozen=True, repr=False)
class Result:
    """A simulation that has ended, or was stopped.

    Attributes:
        history: one row a round, as `rounds.jsonl` has them; round 0 is before training.
        weights: of the newest version, by name.
        model: the trained `.tflite`, in bytes.
        devices: what became of each device.
        directory: where the run's files are; they are gone if none was named.
        complete: whether every round asked for was committed.
        algorithm: its name.
    """

    history: list[Row]
    weights: Mapping[str, Array]
    model: bytes = field(repr=False)
    devices: DeviceTable = field(repr=False)
    directory: Path
    complete: bool
    algorithm: str

    def __repr__(self) -> str:
        last = self.measured[-1] if self.measured else {}
        found = "".join(f", {name} {last[name]:.4g}" for name in metric_names([last]))
        rounds = committed_rounds(self.history)
        return f"Result({self.algorithm}, rounds {rounds}{found}, complete {self.complete}, {self.directory})"

    @property
    def measured(self) -> list[Row]:
        """The rows whose version was measured."""
        return [row for row in self.history if row.get("evaluated")]

    @property
    def metrics(self) -> list[str]:
        """The names of what was measured, `loss` first."""
        return metric_names(self.history)

    @property
    def hours(self) -> float:
        """Virtual hours at the end."""
        return float(self.history[-1]["hours"]) if self.history else 0.0

    def final(self, metric: str) -> float:
        """Return a metric of the last measured version; NaN where none was measured.

        Raises:
            DataError: if others were.
        """
        if self.measured and metric not in self.metrics:
            raise DataError(f"metric {metric!r}: not measured; there is {', '.join(self.metrics)}")
        return float(self.measured[-1][metric]) if self.measured else float("nan")

    def hours_until(self, metric: str, target: float) -> float | None:
        """Return the virtual hours after which a metric reached a target (a loss: fell to it); `None` if it did not.

        Example:
            >>> result.hours_until("top1", 0.15)                                             # doctest: +SKIP
            7.4
        """
        found = reached(self.history, metric, target)
        return None if found is None else float(found["hours"])

    def rounds_until(self, metric: str, target: float) -> int | None:
        """Return the round after which a metric reached a target; `None` if it did not."""
        found = reached(self.history, metric, target)
        return None if found is None else int(found["round"])

    def columns(self) -> dict[str, list[Any]]:
        """Return the history by column, `None` where a row has nothing: what `pandas.DataFrame` takes."""
        names = list(dict.fromkeys(name for row in self.history for name in row))
        return {name: [row.get(name) for row in self.history] for name in names}

    def plot(self, path: Path | str, metric: str | None = None, *, over: str = "round") -> Path:
        """Draw a metric over rounds, virtual `hours` or `bytes`, as PNG, SVG or PDF by the file's name."""
        from edgewise.simulation.plots import draw_curves

        return draw_curves({self.algorithm: self.history}, Path(path), metric, over=over)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.history)


def committed_rounds(history: Sequence[Row]) -> int:
    """Return how many training rounds of a history made a version; round 0 is before training."""
    return sum(bool(row["round"]) and row["phase"] == "committed" for row in history)


def metric_names(history: Sequence[Row]) -> list[str]:
    """Return the names of the metrics in a history, `loss` first."""
    skipped = {
        "round", "round_id", "phase", "version", "started", "seconds", "selected", "reported", "failed", "examples",
        "train_loss", "bytes_up", "bytes_down", "reason", "evaluated", "hours", "wall_seconds", "evaluation_id",
        "privacy",
    }  # fmt: skip
    found = dict.fromkeys(name for row in history if row.get("evaluated") for name in row if name not in skipped)
    return sorted(found, key=lambda name: (name != "loss", name))


def reached(history: Sequence[Row], metric: str, target: float) -> Row | None:
    """Return the first row whose metric reached a target (a loss: fell to it)."""
    for row in history:
        if metric in row and (row[metric] <= target if metric == "loss" else row[metric] >= target):
            return row
    return None


def weights_of(artifact: Artifact, flat: NDArray[np.float32]) -> dict[str, Array]:
    """Return weights by name."""
    return unflatten(flat, artifact.manifest.weights)
