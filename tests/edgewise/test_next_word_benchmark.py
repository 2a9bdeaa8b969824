"""The comparison on real text, on made-up text and with the tests' tiny model."""

from __future__ import annotations

import hashlib
import importlib
import json
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgewise_edge.readers import read_people
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import flatten, parameters

ROOT = Path(__file__).parents[2]
BENCHMARK = ROOT / "benchmarks/next_word"
PEOPLE = 4
SIZES = "--words 26 --steps 5 --embedding 6 --units 10 --word-dropout 0 --seeds 1 --workers 1"
LEARNING = (
    "--central-epochs 30 --central-learning-rate 0.05 --central-weight-decay 0 "
    "--federated-rounds 8 --federated-cohort 3 --federated-server-learning-rate 0.1 --federated-server-annealing 20 "
    "--personal-rate 1"
)
Run = Callable[..., dict[str, Any]]
Command = Callable[..., "Done"]


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def chains(words: Sequence[str]) -> list[str]:
    """Return messages that go through five words each, some of them not to the end: how often a word comes falls from
    one to the next, so that `words` are this text's vocabulary in their order. After its first word a message is known.
    """
    found = []
    for first in range(0, len(words), 5):
        often = len(words) - first
        found += [" ".join(words[first : first + 5])] * often
        found += [" ".join(words[first : first + length]) for length in range(1, min(5, len(words) - first))]
    return found


@pytest.fixture(scope="module")
def corpus(fixture_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "nus.xml"
    told = chains(Artifact.load(fixture_dir / "tiny.tflite").manifest.vocabulary)
    people = [told[person::PEOPLE] for person in range(PEOPLE)]
    messages = "".join(
        f"<message><text>{text}</text><source><userProfile><userID>{person}</userID></userProfile></source></message>"
        for person, train in enumerate(people)
        for text in [*train, *told[: len(train) // 4 + 1]]
    )
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<smsCorpus version="1.2">{messages}</smsCorpus>')
    return path


@pytest.fixture(scope="module")
def modules() -> Iterator[Callable[[str], Any]]:
    """Import modules of the benchmark; they are gone afterwards, for they have everyday names."""
    sys.path.insert(0, str(BENCHMARK))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARK))
    for name in [name for name, one in sys.modules.items() if str(BENCHMARK) in str(getattr(one, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def split(modules: Any, corpus: Path) -> Any:
    return modules("split").split_of(read_people(corpus), 26, 5)


@pytest.fixture
def model(modules: Any, fixture_dir: Path, corpus: Path, split: Any, tmp_path: Path) -> Path:
    """The model where a run in `tmp_path` looks for it: exporting one would take most of the time."""
    assert tuple(split.tokenizer.vocabulary) == Artifact.load(fixture_dir / "tiny.tflite").manifest.vocabulary
    people = read_people(corpus)
    text = modules("split").text_of(people)
    rows = modules("rows").Rows(None, people, text, tmp_path, 26, 5, 6, 10, 0.0, 0, print)
    return shutil.copy(fixture_dir / "tiny.tflite", rows._model_path(0))


@pytest.fixture
def command(modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*options: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["next_word", *map(str, options)])
        status = 0
        try:
            runpy.run_path(str(BENCHMARK / "__main__.py"), run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return command


@pytest.fixture
def run(command: Command) -> Run:
    def run(*options: object) -> dict[str, Any]:
        done = command(*(f"{SIZES} {LEARNING}".split() if "--data" in options else []), *options, "--json")
        assert done.status == 0, done.err
        return {"printed": done.out, "told": done.err, **json.loads(done.out.splitlines()[-1])}

    return run


def test_each_row_is_made_once_and_then_told_from_its_results_without_the_text(
    run: Run, split: Any, corpus: Path, model: Path, tmp_path: Path
) -> None:
    made = run("--fresh", "--data", corpus, "--dir", tmp_path, "--amounts", "0.5,1")
    assert [*tmp_path.glob("*.tflite")] == [model]
    recalls = made["recall"]
    assert list(recalls) == [
        "most frequent words", "Kneser-Ney trigram", "each owner's own trigram", "CIFG, trained centrally, 30 epochs",
        "CIFG, federated, 8 rounds",
        "CIFG, federated, then personalised, 8 rounds", "CIFG, trained centrally, and the trigram, 30 epochs",
        "CIFG, federated, and one's own trigram, 8 rounds",
    ]  # fmt: skip
    assert [len(runs) for runs in recalls.values()] == [1] * 8
    frequent, trigram, _, central, federated, personalised, *_ = (runs[0][0] for runs in recalls.values())
    # A message is known from its first word on, which may be any of four: 11 of 15 words can be told for sure.
    assert min(trigram, central) >= 11 / 15 > frequent
    assert personalised >= federated
    size = 4 * parameters(Artifact.load(model).manifest.weights)
    assert made["costs"] == [{"rounds": 8, "updates": 24, "bytes_down": 24 * size, "bytes_up": 24 * size}]
    assert [line["share"] for line in made["amounts"]] == [0.5, 1.0]

    text = (tmp_path / "results.json").read_text()
    assert not any(f'"{word}"' in text for word in split.tokenizer.vocabulary)
    (tmp_path / "again").mkdir()
    (tmp_path / "again/results.json").write_text(text)
    again = run("--fresh", "--dir", tmp_path / "again", "--figure", tmp_path / "figure.svg")
    same = ("text", "recall", "costs", "amounts", "goals", "standard_errors")
    assert {key: again[key] for key in same} == {key: made[key] for key in same}
    assert made["told"] == ""
    assert again["told"].startswith("next_word: 10 saved results were read from ")
    assert again["told"].count("\n") == 1
    assert "--data FILE --fresh with an empty --dir makes them anew" in again["told"]
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")


def test_the_guide_and_the_readme_have_what_the_results_in_the_project_make(command: Command, tmp_path: Path) -> None:
    done = command("--dir", tmp_path, "--json")
    *lines, last = [line for line in done.out.splitlines() if line]
    told = (ROOT / "docs/next-word.md").read_text("utf-8")
    page = told.partition("<!-- results")[2].partition("<!-- /results -->")[0]
    assert [line for line in page.splitlines()[1:] if line and line != "```"] == lines
    assert "saved results were read from benchmarks/next_word/results/nus-sms.json" in done.err.replace(f"{ROOT}/", "")

    recalls = {name.split(", 12 ep")[0]: runs for name, runs in json.loads(last)["recall"].items()}
    rows = ("Kneser-Ney trigram", "CIFG, trained centrally", "CIFG, federated, 8000 rounds")
    top1 = [recalls[name] for name in (*rows, "CIFG, federated, then personalised, 8000 rounds")]
    means = "; ".join(f"{100 * np.mean([run[0] for run in runs]):.1f} %" for runs in top1)
    (row,) = [
        one
        for one in (ROOT / "README.md").read_text("utf-8").splitlines()
        if "benchmarks/next_word`" in one and one[0] == "|"
    ]
    assert means in row


def test_results_are_of_one_text_and_another_is_refused_by_its_digest(
    command: Command, modules: Any, corpus: Path, tmp_path: Path
) -> None:
    text = modules("split").text_of(read_people(corpus))
    saved = json.loads((BENCHMARK / "results/nus-sms.json").read_text("utf-8"))["text"]
    done = command("--data", corpus, "--dir", tmp_path, "--only", "frequent")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert all(said in done.err for said in (str(corpus), saved["sha256"], text.sha256, "--fresh"))
    assert not list(tmp_path.iterdir())

    assert command("--data", corpus, "--dir", tmp_path, "--fresh", "--only", "frequent").status == 0
    kept = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert kept["text"]["sha256"] == text.sha256
    assert command("--dir", tmp_path).status == 2  # beside the project's results, which are of another text

    other = tmp_path / "other.txt"
    other.write_text("another text\n")
    done = command("--data", other, "--dir", tmp_path, "--fresh", "--only", "frequent")
    assert (done.status, text.sha256 in done.err) == (2, True)
    (tmp_path / "results.json").write_text("{}")
    done = command("--dir", tmp_path, "--fresh")
    assert (done.status, done.err.count("\n")) == (2, 1)


def test_a_text_s_digest_is_that_of_its_people_and_messages_in_their_order(modules: Any, corpus: Path) -> None:
    people, text_of = {"a": ["x", "y"], "b": ["z"] * 10}, modules("split").text_of
    text = text_of(people)
    assert (text.people, text.messages, text.of_three, text.tested) == (2, 12, 12, 1)
    lines = b'["a", ["x", "y"]]\n["b", [' + b", ".join([b'"z"'] * 10) + b"]]\n"
    assert text.sha256 == hashlib.sha256(lines).hexdigest()
    others = [{"a": ["y", "x"], "b": people["b"]}, dict(reversed(people.items())), {"c": ["x", "y"], "b": people["b"]}]
    assert len({text.sha256, *(text_of(other).sha256 for other in others)}) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "no-such-file.xml"], "no-such-file.xml: there is no such file or folder"),
        (["--data", "no-such-file.xml", "--fresh"], "no-such-file.xml: there is no such file or folder"),
        (["--fresh"], "results.json: no results; expected some there, or --data to make them from"),
        (["--data", "no-such-file.xml", "--only", "federatd"], "'federatd': expected some of frequent, trigram"),
        (["--data", "no-such-file.xml", "--amounts", "0.5,2"], "'0.5,2': expected shares above 0 and up to 1"),
        (["--only", "frequent", "--seeds", "1"], "--seeds, --only: expected --data as well"),
    ],
)
def test_what_would_not_be_done_is_refused_in_a_sentence(
    command: Command, tmp_path: Path, options: list[str], said: str
) -> None:
    done = command(*options, "--dir", tmp_path)
    assert (done.status, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]


def test_spreads_errors_and_goals_are_those_of_numbers_worked_out_by_hand(modules: Any) -> None:
    table = modules("table")

    def group(name: str, *hits: tuple[int, int]) -> list[dict[str, Any]]:
        return [
            {"name": name, "settings": {"seed": seed}, "test": [10_000, one, three]}
            for seed, (one, three) in enumerate(hits)
        ]

    found = [
        group("trigram", (1000, 2000)), group("central", (1000, 2100), (1100, 2100)),
        group("federated", (1018, 2030), (1020, 2030)),
    ]  # fmt: skip
    lines = table.printed(found, [], modules("split").Text("00", 3, 42, 42, 2)).splitlines()
    assert lines[2:5] == [
        "| Kneser-Ney trigram | 1 | 10.00 | – | 20.00 | – |",
        "| CIFG, trained centrally | 2 | 10.50 | 1.00 | 21.00 | 0.00 |",
        "| CIFG, federated | 2 | 10.19 | 0.02 | 20.30 | 0.00 |",
    ]
    # The binomial's: 100 · √(0.11 · 0.89 / 10,000) = 0.313 points, and 0.407 for 21 %.
    assert table.standard_errors(found)[10_000] == pytest.approx([0.3129, 0.4073], abs=1e-4)
    assert table.goals(found) == {
        "federated within 3 % of central training": [True, False],  # 0.9705 and 0.9667
        "central above the trigram": [True, True],
        "federated above the trigram": [True, True],
    }
    assert "federated / central, seed by seed: 0.927 to 1.018 (top-1), 0.967 to 0.967 (top-3)" in lines


def test_a_stopped_central_run_goes_on_to_the_same_weights(
    modules: Any, split: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    central = modules("central")
    rows = split.rows(split.train, for_evaluation=False)
    how = central.Central(epochs=3, learning_rate=0.05)
    undisturbed, history = central.train(model, rows, split, how, 0, tmp_path / "one", print)

    monkeypatch.setattr(central, "SAVED_STEPS", 1)
    stopped = central.Run(model, rows, how, 0, tmp_path / "two")
    steps = iter(range(3))
    step = stopped._step
    stopped._step = lambda *given: (next(steps), step(*given))[1]
    with pytest.raises((StopIteration, RuntimeError)):
        stopped.train(split, print)
    resumed, again = central.train(model, rows, split, how, 0, tmp_path / "two", print)
    np.testing.assert_array_equal(resumed, undisturbed)
    assert [one["top1"] for one in again] == [one["top1"] for one in history]


def test_the_gradient_told_by_a_step_is_that_of_any_other_rate(
    modules: Any, split: Any, model: Path, tmp_path: Path
) -> None:
    central = modules("central")
    found = central.Run(model, split.rows(split.train, for_evaluation=False), central.Central(), 0, tmp_path / "one")
    trainer, specs = Trainer(model), found.trainer.manifest.weights
    before, batch = found.weights.copy(), found._batches()[0][0]
    trainer.train_step(batch, 0.5)
    found.trainer.train_step(batch, central.PROBE)
    shaped = central.unflatten(before, specs)
    gradient = central.told_gradient(before, found.trainer.get_weights(), shaped)
    np.testing.assert_allclose(before - 0.5 * gradient, flatten(trainer.get_weights(), specs), rtol=0, atol=1e-6)


def test_the_model_alone_in_numpy_is_the_artifact_and_the_ngram_alone_the_ngram(
    modules: Any, split: Any, model: Path
) -> None:
    rows, trainer = split.rows(split.test, for_evaluation=True), Trainer(model)
    weights = trainer.get_weights()
    ngram = modules("trigram").Trigram(split.rows(split.train, for_evaluation=False), split.tokenizer.size)
    mixed = modules("mixed").mixed(weights, [modules("mixed").Group(ngram, rows)], [0.0, 1.0])
    flat = flatten(weights, trainer.manifest.weights)
    assert mixed[0.0] == modules("model").recall(trainer, flat, rows)
    assert mixed[1.0] == ngram.recall(rows)
    assert mixed[0.0].top1_hits < mixed[1.0].top1_hits


def test_adamw_is_its_paper_s_algorithm(modules: Any) -> None:
    adamw, rng = modules("adamw"), np.random.default_rng(0)
    gradients = rng.normal(size=(5, 70_000)).astype(np.float32)  # more than two blocks
    weights = rng.normal(size=70_000).astype(np.float32)
    optimizer, expected = adamw.AdamW.fresh(70_000, decay=0.1), weights.astype(np.float64)
    m = v = np.zeros(70_000)
    for step, gradient in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * np.square(gradient, dtype=np.float64)
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.99**step)
        expected = expected - 0.02 * (m_hat / (np.sqrt(v_hat) + adamw.EPSILON) + 0.1 * expected)
        optimizer.step(weights, gradient.copy(), rate=0.02)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)
