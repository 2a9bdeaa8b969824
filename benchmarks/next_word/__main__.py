"""Next-word recall on real text: frequent words, a Kneser-Ney trigram, and the CIFG trained centrally, by a fleet, and
by a fleet and then each device for itself.

    .venv/bin/python benchmarks/next_word                                       # the results saved in the project
    .venv/bin/python benchmarks/next_word --data nus_sms_en.xml.zip --fresh     # makes all of them anew; hours
    .venv/bin/python benchmarks/next_word --data nus_sms_en.xml.zip --fresh --only frequent,trigram    # some seconds

Without --fresh, --data makes only what is not saved: a sentence on stderr says what was read from where. Results in the
project are recalls, curves and costs, no text, and name the text that they are of by its SHA-256: --data with another
one is refused without --fresh. What is made is kept in --dir with its checkpoints: the same command goes on where it
was stopped. Every setting has results of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from central import Central
from federated import Federated
from results import Entry, Results
from rows import Personal, Rows
from split import STEPS, WORDS, text_of
from table import as_json, by_amount, draw, groups, printed

from edgewise_edge.readers import read_people
from edgewise_wire.errors import DataError, EdgewiseError

SAVED = Path(__file__).parent / "results/nus-sms.json"
ROWS = (
    "frequent",
    "trigram",
    "own_trigram",
    "central",
    "federated",
    "personalised",
    "central_trigram",
    "federated_own",
)
SHOWING = ("data", "dir", "fresh", "figure", "json")  # options that mean something without --data
ONCE = ("frequent", "trigram", "own_trigram")  # nothing in them is random
Settings = TypeVar("Settings", Central, Federated, Personal)


def arguments() -> argparse.Namespace:
    """Return the command line; ends with status 2 where it asks for what would not be done."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--data FILE] [--fresh] [--dir DIR] [option …]", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--data", type=Path, help="the NUS SMS corpus, XML, zipped or not; without it all saved results are shown")
    add("--dir", type=Path, default=Path("runs/next-word"), help="where new results and checkpoints stay")
    add("--fresh", action="store_true", help="leave the results saved in the project aside, those in --dir count")
    add("--seeds", type=int, default=3, help="runs of what is random")
    add("--only", type=row_names, default=ROWS, metavar="ROW,ROW", help=f"of {', '.join(ROWS)}")
    add("--words", type=int, default=WORDS, help="the vocabulary")
    add("--steps", type=int, default=STEPS, help="words of a message that count")
    add("--embedding", type=int, default=96)
    add("--units", type=int, default=670)
    add("--word-dropout", type=float, default=0.25, help="words that a training step reads as the unknown word")
    for name, settings in (("central", Central), ("federated", Federated), ("personal", Personal)):
        group = parser.add_argument_group(name)
        for field in fields(settings):
            option = f"--{name}-{field.name.removeprefix(f'{name}_')}".replace("_", "-")
            group.add_argument(option, type=type(field.default), default=field.default, help="[%(default)s]")
    add(
        "--amounts",
        type=shares,
        default=(),
        metavar="SHARE,SHARE",
        help="also a curve over the amount of text: shares such as 0.25,0.5,1",
    )
    add("--amounts-epochs", type=int, help="for that curve, at the whole text [as --central-epochs]")
    add("--workers", type=int, help="processes of the simulator, 1 for this one alone [one a core]")
    add("--figure", type=Path, help="draw recall by round there, as SVG")
    add("--json", action="store_true", help="end with one JSON line")
    given = parser.parse_args()
    changed = [name for name, value in vars(given).items() if value != parser.get_default(name)]
    if not given.data and (idle := [f"--{name.replace('_', '-')}" for name in changed if name not in SHOWING]):
        parser.error(f"{', '.join(idle)}: expected --data as well; without it all saved results are shown as they are")
    return given


def row_names(told: str) -> tuple[str, ...]:
    """Return the rows that --only names."""
    names = told.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {', '.join(ROWS)}")
    return tuple(name for name in ROWS if name in names)


def shares(told: str) -> tuple[float, ...]:
    """Return the shares of the text that --amounts names."""
    found = tuple(float(one) for one in told.split(","))
    if not all(0 < one <= 1 for one in found):
        raise argparse.ArgumentTypeError(f"{told!r}: expected shares above 0 and up to 1")
    return found


def settings_of(given: argparse.Namespace, name: str, kind: type[Settings]) -> Settings:
    """Return the settings that were given under `--NAME-...`."""
    return kind(**{f.name: getattr(given, f"{name}_{f.name.removeprefix(f'{name}_')}") for f in fields(kind)})


def main() -> None:
    """Make what is asked for and not there, and print the table."""
    given = arguments()
    try:
        tell(given)
    except EdgewiseError as error:
        print(f"next_word: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def tell(given: argparse.Namespace) -> None:
    """Print the table of what is asked for, made now where it is not there."""
    results = Results(*([] if given.fresh else [SAVED]), given.dir / "results.json")
    entries = made(given, results) if given.data else results.all()
    if not entries or not results.text:
        raise DataError(f"{given.dir / 'results.json'}: no results; expected some there, or --data to make them from")
    if told := results.not_made_now():
        print(f"next_word: {told}", file=sys.stderr)
    found, amounts = groups(entries, ROWS), by_amount(entries)
    print(printed(found, amounts, results.text))
    if given.figure:
        draw(found, given.figure)
    if given.json:
        print(json.dumps(as_json(found, amounts, results.text)))


def made(given: argparse.Namespace, results: Results) -> list[Entry]:
    """Return the results that the options ask for."""
    people = read_people(given.data)
    text = text_of(people)
    results.use(text, given.data)
    rows = Rows(
        results, people, text, given.dir, given.words, given.steps, given.embedding, given.units,
        given.word_dropout, given.workers, lambda text: print(text, flush=True),
    )  # fmt: skip
    central, fleet = settings_of(given, "central", Central), settings_of(given, "federated", Federated)
    personal = settings_of(given, "personal", Personal)
    makers: dict[str, Callable[[int], Entry]] = {
        "frequent": lambda seed: rows.frequent(),
        "trigram": lambda seed: rows.trigram(),
        "own_trigram": lambda seed: rows.own_trigram(),
        "central": lambda seed: rows.central(central, seed),
        "federated": lambda seed: rows.federated(fleet, seed),
        "personalised": lambda seed: rows.personalised(fleet, personal, seed),
        "central_trigram": lambda seed: rows.central_trigram(central, seed),
        "federated_own": lambda seed: rows.federated_own(fleet, seed),
    }
    only: tuple[str, ...] = given.only
    once = [makers[name](0) for name in only if name in ONCE]
    found = [makers[name](seed) for seed in range(given.seeds) for name in only if name not in ONCE]
    for share in given.amounts:
        # A model that has less text takes as many steps: the epochs grow as the share falls.
        how = replace(central, epochs=round((given.amounts_epochs or central.epochs) / share))
        found += [rows.trigram(share)] if "trigram" in only else []
        found += [rows.central(how, 0, share)] if "central" in only else []
    return list({id(entry): entry for entry in once + found}.values())  # the whole text is a share, too


if __name__ == "__main__":
    main()
