"""What came of a run: recall before and after against the baseline, suggestions, and the curve as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.baselines import Recall
from edgewise_edge.predict import Predictor
from edgewise_edge.tokenizer import FIRST_WORD, UNKNOWN, WordTokenizer
from edgewise_edge.trainer import Trainer
from edgewise_wire.errors import RunError

PROMPTS = ("see you", "how are", "i want to", "good", "are you", "let me", "on my", "thank")
PROMPTS_SHOWN = 5
PNG_DPI = 120


@dataclass(frozen=True, slots=True)
class Results:
    """A finished run. `rows` are the lines of `rounds.jsonl`."""

    rows: list[dict[str, Any]]
    devices: int
    baseline: Recall
    model: Path
    plot: Path

    @property
    def before(self) -> dict[str, Any]:
        """The first version as it was measured before any round."""
        return self._measured()[0]

    @property
    def after(self) -> dict[str, Any]:
        """The last version."""
        return self._measured()[-1]

    @property
    def committed(self) -> list[dict[str, Any]]:
        """The training rounds that made a version."""
        return [row for row in self.rows if row["round"] and row["phase"] == "committed"]

    def _measured(self) -> list[dict[str, Any]]:
        found = [row for row in self.rows if "top1" in row]
        if len(found) < 2:
            raise RunError("no evaluation came back from the devices; their logs beside the run say why")
        return found

    def as_json(self) -> str:
        """Return the line that scripts read."""
        values = {
            "rounds": len(self.committed),
            "devices": self.devices,
            "top1_before": self.before["top1"],
            "top1_after": self.after["top1"],
            "top3_before": self.before["top3"],
            "top3_after": self.after["top3"],
            "top1_baseline": self.baseline.top1,
            "top3_baseline": self.baseline.top3,
            "loss_before": self.before["loss"],
            "loss_after": self.after["loss"],
            "words": self.baseline.words,
            "bytes_up": sum(row["bytes_up"] for row in self.rows),
            "bytes_down": sum(row["bytes_down"] for row in self.rows),
            "model": str(self.model),
            "plot": str(self.plot),
        }
        return json.dumps(values)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a `rounds.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prompts_for(tokenizer: WordTokenizer) -> list[str]:
    """Return prompts whose words the model knows."""
    known = [prompt for prompt in PROMPTS if UNKNOWN not in tokenizer.encode(prompt)]
    return known[:PROMPTS_SHOWN] or [tokenizer.word(FIRST_WORD + n) for n in range(PROMPTS_SHOWN)]


def suggest(model: Path, prompts: Iterable[str]) -> dict[str, list[str]]:
    """Return the three words that a model suggests after each prompt."""
    predictor = Predictor(Trainer(model))
    return {prompt: [found.word for found in predictor.suggest(prompt)] for prompt in prompts}


def draw(rows: Sequence[dict[str, Any]], baseline: Recall, path: Path) -> None:
    """Draw recall over rounds, with the baseline, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    measured = [row for row in rows if "top1" in row]
    rounds = [row["round"] for row in measured]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, label, color, level in (
        ("top3", "top-3", "#3b6ea8", baseline.top3),
        ("top1", "top-1", "#c2562d", baseline.top1),
    ):
        axes.plot(rounds, [100 * row[name] for row in measured], "o-", color=color, label=f"{label} recall")
        axes.axhline(100 * level, color=color, linestyle=":", label=f"{label}, most frequent words")
    axes.set(xlabel="round", ylabel="recall on the devices' held-out text, %", ylim=(0, None))
    axes.set_title("Next-word recall while the text stays on the devices")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=PNG_DPI)
    plt.close(figure)
