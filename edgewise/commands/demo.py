"""`edgewise demo`: watch a model learn on a fleet of devices that never share their text."""

from __future__ import annotations

import contextlib
import datetime
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from edgewise.baselines import most_frequent
from edgewise.brokers.choose import check_broker, open_broker
from edgewise.dashboard.option import LOCAL, dashboard_at
from edgewise.demo.people import Person, choose, settle
from edgewise.demo.processes import Processes, run_to_end
from edgewise.demo.results import Results, draw, prompts_for, read_rows, suggest
from edgewise.invoked import program, same_with
from edgewise.listening import check_address
from edgewise.live import percent
from edgewise.vocabulary import build_vocabulary, write_vocabulary
from edgewise_edge.tokenizer import WordTokenizer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError

FLEET = "demo"
KEEP_SECONDS = 60.0  # what trains stays for the next round: with a tiny model its start is most of a round
MARKS = 4
LEAST = {"devices": 2, "rounds": 1, "cohort": 1}
STOPPED = 130  # what shells give a command that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Sizes:
    """The model of a demo and how it is trained; chosen so that learning shows in a few minutes on two cores."""

    vocabulary: int
    embedding: int
    units: int
    steps: int
    learning_rate: float
    epochs: int
    max_examples: int


SMALL = Sizes(vocabulary=2_000, embedding=64, units=128, steps=12, learning_rate=2.0, epochs=3, max_examples=1_500)
FULL = Sizes(vocabulary=10_000, embedding=96, units=670, steps=20, learning_rate=2.0, epochs=2, max_examples=1_000)
CLIP_NORM = 1.0  # lets SGD take the large steps that a recurrent network's rare large gradients would forbid


@click.command(short_help="Watch a model learn on a fleet of devices that never share their text.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Your own text: a file or folder that `edgewise device import` reads.",
)
@click.option("--devices", default=8, show_default=True, help="Device processes, one person's text each.")
@click.option("--rounds", default=15, show_default=True, help="Training rounds.")
@click.option("--cohort", default=6, show_default=True, help="Reports that close a round.")
@click.option("--full", is_flag=True, help="The 1.42 M-parameter model of Hard et al. 2018 instead of a small one.")
@click.option("--broker", default="embedded", show_default=True, help="embedded, mosquitto, or an mqtt:// address.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where the run goes. [default: runs/<time>]")
@click.option("--seed", default=0, show_default=True, help="Of the corpus, the weights and the selection.")
@click.option(
    "--dashboard",
    callback=check_address,
    default=LOCAL,
    show_default=True,
    metavar="HOST:PORT",
    help="Where the page is served.",
)
@click.option("--no-dashboard", is_flag=True, help="Serve no page.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON line on standard output.")
def command(directory: Path | None, as_json: bool, **options: Any) -> None:
    """Export a model, start a broker, a coordinator and devices, run rounds, and show what was learned.

    \b
    Example:
      edgewise demo
      edgewise demo --data my-chat.txt --rounds 20
    """
    for name, least in LEAST.items():
        if options[name] < least:
            raise ConfigError(f"{name}: expected at least {least}, got {options[name]}")
    check_broker(options["broker"])
    new = directory is not None and not directory.exists()
    run = directory or Path("runs") / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    demo = Demo(run, Console(stderr=True), options)
    # Ended by `kill` or `timeout` it takes its processes with it, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    people = demo.people()  # what is wrong with the text is told before anything is served
    if new:
        click.echo(f"{directory} was not there: a new demo begins in it.", err=True)
    with dashboard_at(run, None if options["no_dashboard"] else options["dashboard"]) as page:
        try:
            results = demo.run(people)
        except KeyboardInterrupt:
            click.echo(f"To go on: {same_with(run)}", err=True)
            raise click.exceptions.Exit(STOPPED) from None
        demo.tell(results)
        if as_json:
            click.echo(results.as_json())
        if page:
            _linger(page, run)


def _linger(page: str, run: Path) -> None:
    """Keep the page up while somebody is there to look at it; a script is not kept waiting."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        click.echo(f"\nThe dashboard stays at {page}\nTry its keyboard; Enter or Ctrl-C ends it.", err=True)
        with contextlib.suppress(KeyboardInterrupt, EOFError):
            sys.stdin.readline()
    click.echo(f"To look at this run again: {program()} dashboard --dir {run}", err=True)


class Demo:
    """One demo in its directory."""

    def __init__(self, directory: Path, console: Console, options: dict[str, Any]) -> None:
        self.directory = directory
        self.console = console
        self.options = options
        self.sizes = FULL if options["full"] else SMALL
        self.spare = 0

    def run(self, people: list[Person]) -> Results:
        """Do everything with these people's text and return what came of it."""
        with Processes(self.directory / "logs") as processes:
            untrained = self._export(processes)
            with open_broker(self.options["broker"], self.directory / "broker") as url:
                self._devices(processes, people, url)
                answer = run_to_end(processes, "coordinator", self._coordinate(untrained, url, len(people)))
        trained = Path(json.loads(answer.splitlines()[-1])["model"])
        return self._results(people, trained)

    def people(self) -> list[Person]:
        """Read the text, write the word list, and give each device its person's messages.

        Raises:
            DataError: if there is no text to be had, or of too few people.
        """
        data: Path | None = self.options["data"]
        if data is None:
            from edgewise.corpus import generate, words

            found = generate(seed=self.options["seed"])
            vocabulary = words()[: self.sizes.vocabulary - MARKS]
            chosen = choose(found, self.options["devices"], "the corpus")
            self.console.print(f"Text: the shipped corpus, {len(found)} made-up people.")
        else:
            from edgewise_edge.readers.people import read_people

            found = read_people(data.expanduser())
            chosen = choose(found, self.options["devices"], str(data))
            vocabulary = build_vocabulary((t for texts in found.values() for t in texts), self.sizes.vocabulary - MARKS)
            self.console.print(
                f"Text: {data}, {len(found)} people. The word list is built once from all of it, "
                "which only a simulation on one machine may do: a real fleet brings a public list."
            )
        self.directory.mkdir(parents=True, exist_ok=True)  # and not before: what is refused leaves nothing behind
        write_vocabulary(self.directory / "words.txt", vocabulary)
        self.spare = self.sizes.vocabulary - MARKS - len(vocabulary) if self.options["full"] else 0
        return settle(chosen, self.directory / "devices")

    def _export(self, processes: Processes) -> Path:
        s, path = self.sizes, self.directory / "untrained.tflite"
        arguments = ["export", "next-word", "--out", path, "--vocabulary", self.directory / "words.txt"]
        arguments += ["--embedding", s.embedding, "--units", s.units, "--steps", s.steps]
        arguments += ["--spare", self.spare, "--clip-norm", CLIP_NORM, "--seed", self.options["seed"]]
        run_to_end(processes, "export", [str(a) for a in arguments])
        return path

    def _devices(self, processes: Processes, people: list[Person], url: str) -> None:
        self.console.print(f"Starting {len(people)} devices on {url}, each a process with one person's text.")
        if len(people) < self.options["devices"]:
            self.console.print(f"(No more people wrote enough for {self.options['devices']} devices.)")
        for person in people:
            arguments = ["device", "run", "--broker", url, "--fleet", FLEET, "--device", person.device]
            arguments += ["--home", str(person.home), "--wait", "--no-conditions", "--keep-trainer", str(KEEP_SECONDS)]
            processes.start(person.device, *arguments)

    def _coordinate(self, model: Path, url: str, people: int) -> list[str]:
        s, o = self.sizes, self.options
        cohort = min(o["cohort"], people)
        arguments = ["coordinate", "--model", model, "--broker", url, "--fleet", FLEET, "--dir", self.directory]
        arguments += ["--rounds", o["rounds"], "--cohort", cohort, "--epochs", s.epochs, "--seed", o["seed"]]
        arguments += ["--learning-rate", s.learning_rate, "--max-examples", s.max_examples]
        arguments += ["--selection-timeout", 60, "--json"]
        return [str(a) for a in arguments]

    def _results(self, people: list[Person], trained: Path) -> Results:
        manifest = Artifact.load(trained).manifest
        train = [t for p in people for t in p.texts(held_out=False)]
        held_out = [t for p in people for t in p.texts(held_out=True)]
        baseline = most_frequent(train, held_out, WordTokenizer(manifest.vocabulary), steps=manifest.steps)
        rows = read_rows(self.directory / "rounds.jsonl")
        plot = self.directory / "recall.png"
        results = Results(rows, len(people), baseline, trained, plot)
        draw(rows, baseline, plot)
        return results

    def tell(self, results: Results) -> None:
        """Show what was learned: recall against the baseline, and suggestions before and after."""
        table = Table(title="Recall on the devices' held-out text", title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("", "top-1 %", "top-3 %"):
            table.add_column(heading, justify="right" if heading else "left")
        table.add_row("most frequent words, always", percent(results.baseline.top1), percent(results.baseline.top3))
        table.add_row("model before", percent(results.before["top1"]), percent(results.before["top3"]))
        table.add_row("model after", percent(results.after["top1"]), percent(results.after["top3"]), style="bold")
        self.console.print(table)
        self.console.print(self._suggestions(results))
        self.console.print(
            f"Trained model: {results.model}\nRounds: {self.directory / 'rounds.jsonl'}\nCurve: {results.plot}"
        )

    def _suggestions(self, results: Results) -> Table:
        prompts = prompts_for(WordTokenizer(Artifact.load(results.model).manifest.vocabulary))
        before = suggest(self.directory / "untrained.tflite", prompts)
        after = suggest(results.model, prompts)
        table = Table(title="Suggestions", title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("typed", "before", "after"):
            table.add_column(heading)
        for prompt in prompts:
            table.add_row(prompt, ", ".join(before[prompt]), ", ".join(after[prompt]))
        return table
