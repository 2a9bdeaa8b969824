"""Next-word recall on real text: frequent words, a Kneser-Ney trigram, and the CIFG trained centrally, by a fleet, and
by a fleet and then each device for itself.

    python benchmarks/next_word --data nus_sms_en.xml.zip                # hours; stop it and start it again as you like
    python benchmarks/next_word --data nus_sms_en.xml.zip --only frequent,trigram

What is done stays in --dir: the same command goes on where it was stopped, and one with more seeds or more epochs adds
them. The table is made of what is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from central import Central, some_rows
from central import train as train_centrally
from federated import Federated, personalised
from federated import train as train_federated
from model import export, recall
from split import STEPS, WORDS, Split, read_split
from trigram import Trigram

from edgewise.baselines import Recall, frequent_words
from edgewise.baselines import recall_of as recall_of_ids
from edgewise_edge.trainer import Trainer

ROWS = ("frequent", "trigram", "central", "federated", "personalised")
NAMES = {
    "frequent": "most frequent words",
    "trigram": "Kneser-Ney trigram",
    "central": "CIFG, trained centrally",
    "federated": "CIFG, federated",
    "personalised": "CIFG, federated, then personalised",
}


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the NUS SMS corpus, XML, zipped or not")
    add("--dir", type=Path, default=Path("runs/next-word"), help="where results and checkpoints stay")
    add("--seeds", type=int, default=3, help="runs of what is random")
    add("--only", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    add("--words", type=int, default=WORDS, help="the vocabulary")
    add("--embedding", type=int, default=96)
    add("--units", type=int, default=670)
    add("--central-epochs", type=int, default=Central().epochs)
    add("--central-rate", type=float, default=Central().learning_rate)
    for name, default in (("rounds", 200), ("cohort", 40), ("epochs", 1), ("max-examples", 400)):
        add(f"--{name}", type=int, default=default, help="of the fleet")
    add("--learning-rate", type=float, default=Federated().learning_rate, help="of the devices")
    add("--algorithm", default=Federated().algorithm, help="of the server")
    add("--server-learning-rate", type=float)
    add("--personal-epochs", type=int, default=2)
    add("--personal-rate", type=float, default=0.5)
    add("--amounts", default="", help="also a curve over the amount of text: shares such as 0.125,0.25,0.5,1")
    add("--workers", type=int, help="processes of the simulator")
    add("--json", action="store_true", help="end with one JSON line")
    return parser.parse_args()


class Results:
    """Recalls by name and seed, in a file: what is there is not done again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "results.json"
        self.found: dict[str, Any] = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}

    def get(self, name: str, key: dict[str, Any], make: Callable[[], tuple[Recall, dict[str, Any]]]) -> Recall:
        """Return the result of exactly these settings, made now if it is not there."""
        label = f"{name} {json.dumps(key, sort_keys=True)}"
        if label not in self.found:
            got, more = make()
            self.found[label] = {"name": name, "recall": [got.words, got.top1_hits, got.top3_hits], **key, **more}
            self._path.write_text(json.dumps(self.found, indent=1), "utf-8")
        return Recall(*self.found[label]["recall"])

    def entry(self, name: str, key: dict[str, Any]) -> dict[str, Any]:
        """Return all that is kept of a result."""
        kept: dict[str, Any] = self.found[f"{name} {json.dumps(key, sort_keys=True)}"]
        return kept


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def main() -> None:
    """Do what is asked for and print the table."""
    given = arguments()
    only = [name for name in ROWS if name in given.only.split(",")]
    split = read_split(given.data, given.words)
    results, test = Results(given.dir), split.rows(split.test, for_evaluation=True)
    train = split.rows(split.train, for_evaluation=False)
    say(
        f"{len(split.train)} people, {len(train.tokens):,} messages to train on, "
        f"{int(np.count_nonzero(test.weight)):,} word positions of {len(split.test)} people to test on"
    )
    table: dict[str, list[Recall]] = {}
    costs: list[dict[str, Any]] = []
    if "frequent" in only:
        table["frequent"] = [results.get("frequent", {"words": given.words}, lambda: (_frequent(split), {}))]
    if "trigram" in only:
        table["trigram"] = [_trigram(results, split, given.words, 1.0, 0)]
    for seed in range(given.seeds if {"central", "federated", "personalised"} & {*only} else 0):
        sizes = {"words": given.words, "embedding": given.embedding, "units": given.units, "seed": seed}
        name = "-".join(f"{key}{value}" for key, value in sizes.items())
        model = export(split, given.dir / f"{name}.tflite", seed=seed, embedding=given.embedding, units=given.units)
        if "central" in only:
            table.setdefault("central", []).append(_central(results, given, split, model, sizes, 1.0))
        if {"federated", "personalised"} & {*only}:
            got, tuned, cost = _federated(results, given, split, model, sizes, "personalised" in only)
            costs.append(cost)
            table.setdefault("federated", []).append(got)
            if tuned is not None:
                table.setdefault("personalised", []).append(tuned)
    amounts = _amounts(results, given, split, only) if given.amounts else []
    _print(table, costs, amounts)
    if given.json:
        found = {key: [[r.top1, r.top3] for r in many] for key, many in table.items()}
        print(json.dumps({"recall": found, "costs": costs, "amounts": amounts}))


def _frequent(split: Split) -> Recall:
    texts = (text for person in split.train.values() for text in person)
    ids = frequent_words(texts, split.tokenizer, steps=STEPS)
    return recall_of_ids(ids, (t for person in split.test.values() for t in person), split.tokenizer, steps=STEPS)


def _trigram(results: Results, split: Split, words: int, share: float, seed: int) -> Recall:
    rows = some_rows(split.rows(split.train, for_evaluation=False), share, seed)
    test = split.rows(split.test, for_evaluation=True)
    make: Callable[[], tuple[Recall, dict[str, Any]]] = lambda: (  # noqa: E731
        Trigram(rows, split.tokenizer.size).recall(test), {"messages": len(rows.tokens)}
    )  # fmt: skip
    return results.get("trigram", {"words": words, "share": share, "split_seed": seed}, make)


def _central(
    results: Results, given: argparse.Namespace, split: Split, model: Path, sizes: dict[str, Any], share: float
) -> Recall:
    how = Central(given.central_epochs, given.central_rate)
    key = {**sizes, "epochs": how.epochs, "learning_rate": how.learning_rate, "share": share}

    def make() -> tuple[Recall, dict[str, Any]]:
        rows = some_rows(split.rows(split.train, for_evaluation=False), share, sizes["seed"])
        folder = given.dir / ("central-" + "-".join(f"{k}{v}" for k, v in key.items()))
        weights = train_centrally(model, rows, split, how, sizes["seed"], folder, say)
        return recall(Trainer(model), weights, split.rows(split.test, for_evaluation=True)), {}

    return results.get("central", key, make)


def _federated(
    results: Results, given: argparse.Namespace, split: Split, model: Path, sizes: dict[str, Any], personal: bool
) -> tuple[Recall, Recall | None, dict[str, Any]]:
    how = Federated(
        given.rounds, given.cohort, given.epochs, given.learning_rate, given.max_examples, given.algorithm,
        given.server_learning_rate,
    )  # fmt: skip
    key = {**sizes, **{name: getattr(how, name) for name in how.__slots__}}
    folder = given.dir / ("federated-" + "-".join(f"{k}{v}" for k, v in key.items()))

    def outcome() -> Any:
        return train_federated(model, split, replace(how), sizes["seed"], folder, given.workers, say)

    def make() -> tuple[Recall, dict[str, Any]]:
        got = outcome()
        found = recall(Trainer(model), got.weights, split.rows(split.test, for_evaluation=True))
        costs = {"updates": got.updates, "bytes_down": got.bytes_down, "bytes_up": got.bytes_up}
        return found, costs | {"committed": got.rounds}

    found = results.get("federated", key, make)
    entry = results.entry("federated", key)
    cost = {name: entry[name] for name in ("committed", "updates", "bytes_down", "bytes_up")}
    if not personal:
        return found, None, cost
    more = key | {"personal_epochs": given.personal_epochs, "personal_rate": given.personal_rate}

    def tune() -> tuple[Recall, dict[str, Any]]:
        say(f"seed {sizes['seed']}: fine-tuning for {len(split.test)} people")
        return (
            personalised(
                model, split, outcome().weights, epochs=given.personal_epochs, learning_rate=given.personal_rate,
                seed=sizes["seed"],
            ),
            {},
        )  # fmt: skip

    return found, results.get("personalised", more, tune), cost


def _amounts(results: Results, given: argparse.Namespace, split: Split, only: list[str]) -> list[dict[str, Any]]:
    """Return recall by share of the training text: whether more of it would turn the comparison."""
    found = []
    for share in (float(one) for one in given.amounts.split(",")):
        line: dict[str, Any] = {"share": share}
        if "trigram" in only:
            line["trigram"] = _trigram(results, split, given.words, share, 0).top1
        if "central" in only:
            sizes = {"words": given.words, "embedding": given.embedding, "units": given.units, "seed": 0}
            name = "-".join(f"{key}{value}" for key, value in sizes.items())
            model = export(split, given.dir / f"{name}.tflite", seed=0, embedding=given.embedding, units=given.units)
            line["central"] = _central(results, given, split, model, sizes, share).top1
        found.append(line)
    return found


def _print(table: dict[str, list[Recall]], costs: list[dict[str, Any]], amounts: list[dict[str, Any]]) -> None:
    print(f"\n| {'model':35} | seeds | top-1 % | spread | top-3 % | spread |")
    print(f"| {'-' * 35} | ----- | ------- | ------ | ------- | ------ |")
    for name, many in table.items():
        cells = []
        for values in ([100 * one.top1 for one in many], [100 * one.top3 for one in many]):
            cells += [f"{np.mean(values):7.2f}", f"{np.ptp(values):6.2f}"]
        print(f"| {NAMES[name]:35} | {len(many):5} | {' | '.join(cells)} |")
    if "central" in table and "federated" in table:
        both = [
            [np.mean([getattr(r, k) for r in table[n]]) for n in ("federated", "central")] for k in ("top1", "top3")
        ]
        ratio = [federated / central for federated, central in both]
        print(f"\nfederated / central: {ratio[0]:.3f} (top-1), {ratio[1]:.3f} (top-3)")
    for cost in costs:
        down, up = cost["bytes_down"] / 1e9, cost["bytes_up"] / 1e9
        print(f"{cost['committed']} rounds, {cost['updates']:,} device updates, {down:.1f} GB down, {up:.1f} GB up")
    for line in amounts:
        known = {k: v for k, v in line.items() if k != "share"}
        print(f"{line['share']:6.3f} of the text: " + ", ".join(f"{k} {100 * v:.2f} %" for k, v in known.items()))


if __name__ == "__main__":
    main()
