"""What it saves that short messages share rows: places filled, training time and recall, on real messages.

    .venv/bin/python benchmarks/packing.py --data ../shared/data/nus_sms_en.xml.zip [--rounds 30] [--json]

The same federated averaging three times over the same people: 16 messages a batch in rows of their own, and messages
that share the 16 or the 8 rows of a batch. Time is the processor's, in training steps alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_edge.local_training import (
    ArrayExamples,
    Examples,
    device_generator,
    evaluate_locally,
    run_to_end,
    train_locally,
)
from edgewise_edge.next_word import PackedExamples, rows
from edgewise_edge.readers.people import read_people
from edgewise_edge.tokenizer import WordTokenizer, words_of
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import Flat, flatten

STEPS, VOCABULARY, COHORT, HELD_OUT = 20, 2500, 8, 5
WAYS = (("a row each", 16), ("shared", 16), ("shared", 8))


def main() -> None:
    """Measure and print."""
    options = _options()
    people = {name: texts for name, texts in read_people(options.data).items() if 60 <= len(texts) <= 800}
    chosen = dict(sorted(people.items(), key=lambda pair: (len(pair[1]), pair[0]))[:: max(1, len(people) // 30)][:30])
    counted = Counter(word for texts in people.values() for text in texts for word in words_of(text))
    words = [word for word, _ in counted.most_common(VOCABULARY - 4)]
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(way, _export(Path(folder), batch, words), chosen, words, options) for way, batch in WAYS]
    print(
        json.dumps({"people": len(chosen), "rounds": options.rounds, "rows": found}) if options.json else table(found)
    )


def measure(
    way: str, model: Path, people: Mapping[str, Sequence[str]], words: Sequence[str], options: Any
) -> dict[str, Any]:
    """Run the rounds with batches made one way."""
    trainer, tokenizer = Trainer(model), WordTokenizer(words)
    training = {name: _examples(way, trainer, tokenizer, texts, False) for name, texts in people.items()}
    held_out = {name: _examples(way, trainer, tokenizer, texts, True) for name, texts in people.items()}
    weights = flatten(trainer.get_weights(), trainer.manifest.weights)
    rng, clock = np.random.default_rng(0), _Clock(trainer)
    for number in range(options.rounds):
        weights = _round(trainer, weights, training, rng.permutation(sorted(people))[:COHORT], number, options)
    sums: Counter[str] = Counter()
    for examples in held_out.values():
        sums.update(run_to_end(evaluate_locally(trainer, weights, examples)).sums)
    return {
        "rows": f"{trainer.manifest.batch}, {way}",
        "steps": clock.steps,
        "filled": round(clock.labelled / (clock.steps * trainer.manifest.weight.size), 3),
        "cpu_s": round(clock.seconds, 1),
        "words_a_ms": round(clock.labelled / clock.seconds / 1000, 1),
        **{name: round(sums[name] / sums["weight_sum"], 4) for name in ("top1", "top3")},
        "loss": round(sums["loss_sum"] / sums["weight_sum"], 3),
    }


class _Clock:
    """Counts a trainer's steps, the words in them and the processor's time."""

    def __init__(self, trainer: Trainer) -> None:
        self.steps, self.labelled, self.seconds = 0, 0, 0.0
        self._step = trainer.train_step
        trainer.train_step = self._timed  # type: ignore[method-assign]

    def _timed(self, batch: Any, learning_rate: float, **further: Any) -> Any:
        start = time.process_time()
        found = self._step(batch, learning_rate, **further)
        self.seconds += time.process_time() - start
        self.steps += 1
        self.labelled += int((batch["weight"] > 0).sum())
        return found


def _round(
    trainer: Trainer, weights: Flat, training: Mapping[str, Examples], cohort: Any, number: int, options: Any
) -> Flat:
    total, examples = np.zeros(len(weights)), 0
    for name in cohort:
        work = train_locally(
            trainer,
            weights,
            training[name],
            epochs=1,
            learning_rate=options.learning_rate,
            max_examples=0,
            rng=device_generator(0, number, name),
        )
        update = run_to_end(work)
        total += update.examples * update.update.astype(np.float64)
        examples += update.examples
    return (weights + total / examples).astype(np.float32)


def _examples(way: str, trainer: Trainer, tokenizer: WordTokenizer, texts: Sequence[str], held_out: bool) -> Examples:
    part = [text for number, text in enumerate(texts, start=1) if (number % HELD_OUT == 0) is held_out]
    found = rows(part, tokenizer, steps=STEPS, for_evaluation=held_out)
    batch = trainer.manifest.batch
    return PackedExamples(found, batch) if way == "shared" else ArrayExamples(found._asdict(), batch)


def _export(folder: Path, batch: int, words: Sequence[str]) -> Path:
    from edgewise_models.export import export_next_word
    from edgewise_models.next_word import NextWord

    path = folder / f"{batch}.tflite"
    if not path.exists():
        config = NextWord(VOCABULARY, embedding=48, units=128, steps=STEPS, batch=batch, clip_norm=1.0)
        export_next_word(path, words, config)
    return path


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    names = list(found[0])
    lines = [f"| {' | '.join(names)} |", "| --- " * len(names) + "|"]
    return "\n".join(lines + [f"| {' | '.join(str(row[name]) for name in names)} |" for row in found])


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="messages of several people, as `make demo DATA=` takes"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
