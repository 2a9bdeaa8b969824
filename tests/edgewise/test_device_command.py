"""`edgewise device`: plain sentences, honest exit statuses, JSON for scripts, no import that is not needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgewise.cli import main
from edgewise.commands.device.examples import import_
from edgewise_edge.conditions import Machine
from edgewise_edge.home import Home
from edgewise_edge.own import Own
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.policy import WORDS
from edgewise_edge.store import ExampleStore
from edgewise_wire.messages import Assignment, BlobRef


def quiet_machine(own, root):
    """A machine that has nothing against training, whatever the one that runs the tests is doing."""
    return Machine(
        own.home.path, own.policy, own.clock.date, root=root, run=lambda command: None, free=lambda at: 10**9
    )


@pytest.fixture
def device(tmp_path, capsys, monkeypatch):
    """Run a subcommand on a home of its own: returns (exit status, standard output, standard error)."""
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Own, "machine", lambda own: quiet_machine(own, tmp_path / "machine"))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["device", *arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    run.home = tmp_path / "home"
    return run


def ignore_the_machine(device):
    """Set the rules so that they hold whatever the machine that runs the tests is doing."""
    rules = {"max_load": 0, "on_battery": True, "min_battery": 0, "max_temperature": 0, "when_throttled": True}
    rules |= {"min_free_memory": 0, "min_free_disk": 0, "metered_megabytes": 1e6}
    Home(device.home).policy.write_text(json.dumps(rules))


def test_adding_listing_and_forgetting(device):
    assert device("add", "see you at seven", "running late") == (0, "Added 2 examples; 2 in all.\n", "")
    status, out, _ = device("list", "--json")
    listed = json.loads(out)
    assert (status, listed["count"], [one["text"] for one in listed["examples"]]) == (
        0,
        2,
        ["see you at seven", "running late"],
    )
    assert "running late" in device("list")[1]
    assert device("forget", "--id", "1")[1] == "Forgot 1 example; 1 left.\n"
    assert device("forget", "--id", "1")[0] == 2
    assert device("forget", "--before", "1d")[1] == "Forgot 0 examples; 1 left.\n"
    assert device("forget", "--before", "2999-01-31")[1] == "Forgot 1 example; 0 left.\n"
    device("add", "again")
    assert device("forget", "--all")[1] == "Forgot 1 example; 0 left.\n"
    assert "No examples yet" in device("list")[1]


def test_adding_from_standard_input(device, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("one line\n\nanother line\n"))
    assert device("add", "-")[1] == "Added 2 examples; 2 in all.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add"], "nothing to add"),
        (["add", "  "], "text"),
        (["forget"], "exactly one of --id, --before and --all"),
        (["forget", "--all", "--id", "3"], "exactly one of"),
        (["forget", "--before", "someday"], "expected a day such as 2026-01-31 or an age such as 30d or 12h"),
        (["import", "nowhere.txt"], "nowhere.txt"),
        (["predict", "see you"], "no model yet"),
        (["predict", "see you", "--model", "nowhere.tflite"], "nowhere.tflite"),
        (["run", "--broker", "mqtt://127.0.0.1:9", "--device", "pi-7"], "nobody listens there"),
        (["run", "--broker", "127.0.0.1", "--device", "pi-7"], "expected something like mqtt://127.0.0.1:1883"),
        (["run", "--broker", "mqtt://127.0.0.1:9", "--device", "a/b"], "device name 'a/b'"),
        (["run", "--device", "pi-7"], "--broker"),
        (["list", "--limit", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_status_2(device, arguments, words):
    status, out, err = device(*arguments)
    assert (status, out) == (2, "")
    assert words in err
    if not err.startswith("Usage"):
        assert err.count("\n") == 1


def test_importing_one_persons_messages(device, tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "anna.txt").write_text("see you\nat seven\n")
    (folder / "ben.txt").write_text("no\n")
    status, _, err = device("import", str(folder))
    assert status == 2
    assert "messages of 2 people; choose one with --person: anna, ben" in err
    assert device("import", str(folder), "--person", "carl")[0] == 2
    assert device("import", str(folder), "--person", "anna")[1] == (
        "Read 2 messages of anna; 2 examples in all (0 before).\n"
    )
    assert device("import", str(folder / "ben.txt"))[1] == "Read 1 message of ben; 3 examples in all (2 before).\n"


def test_status_says_what_there_is_and_what_stands_in_the_way(device):
    ignore_the_machine(device)
    status, out, _ = device("status")
    assert status == 0
    assert "Agent:     never run" in out
    assert "Can train: no: 0 examples to train on, the owner asks for at least 1" in out
    device("add", "see you")
    report = json.loads(device("status", "--json")[1])
    assert (report["running"], report["train_examples"], report["obstacle"], report["model"]) == (False, 1, None, None)


def test_pausing_stops_collecting_and_training_until_resume(device):
    ignore_the_machine(device)
    device("add", "see you")
    assert device("pause")[0] == 0
    assert json.loads(device("status", "--json")[1])["obstacle"] == "paused by its owner"
    status, _, err = device("add", "more")
    assert status != 0
    assert "paused" in err
    device("resume")
    assert device("add", "more")[0] == 0
    assert json.loads(device("status", "--json")[1])["paused"] is False


def test_history_tells_what_was_asked_and_sent(device):
    assert device("history")[1] == "This device has not been asked for anything yet.\n"
    log = ParticipationLog(Home(device.home).participation)
    asked = Assignment(1, weights=BlobRef(b"w" * 32), epochs=2, learning_rate=0.5)
    log.begin(b"1", 7, asked, 1000.0, Outcome.WORKING)
    log.note(b"1", {"examples": 12, "steps": 3, "loss": 2.5, "norm": 0.75, "seconds": 1.5})
    log.add_traffic(b"1", 2_000_000, 1_000_000)
    log.end(b"1", 1010.0, Outcome.REPORTED)
    log.begin(b"2", 8, asked, 2000.0, Outcome.DECLINED, "paused by its owner")
    log.close()
    lines = device("history")[1].splitlines()
    assert lines[0].endswith("round 8, train: declined (paused by its owner)")
    assert lines[1].endswith(
        "round 7, train: reported - 12 examples, 3 steps, loss 2.500, norm of the update 0.750; "
        "2.00 MB down, 1.00 MB up"
    )
    [first, second] = json.loads(device("history", "--json")[1])["participations"]
    assert (first["outcome"], second["norm"], second["asked_epochs"]) == ("declined", 0.75, 2)


def test_a_home_that_cannot_be_made_or_a_spoiled_policy_is_one_line(device, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = device("add", "see you", "--home", str(tmp_path / "file" / "home"))
    assert (status, "cannot be made" in err) == (2, True)
    Home(device.home).policy.write_text('{"min_examples": "many"}')
    assert device("status")[0] == 2
    Home(device.home).policy.write_text("{")
    assert "not JSON" in device("status")[2]
    Home(device.home).policy.write_text('{"most": 1}')
    assert "expected an object with some of min_examples" in device("status")[2]


def test_every_subcommand_has_an_example_in_its_help(device):
    for name in (
        "run",
        "add",
        "import",
        "predict",
        "status",
        "list",
        "pause",
        "resume",
        "forget",
        "history",
        "policy",
        "type",
        "install",
        "uninstall",
    ):
        status, out, _ = device(name, "--help")
        assert status == 0
        assert f"edgewise device {name}" in out


def test_predicting_with_a_model_file(device, fixture_dir):
    status, out, _ = device("predict", "see me", "--json", "--model", str(fixture_dir / "tiny.tflite"), "-k", "2")
    found = json.loads(out)
    assert (status, found["text"], len(found["suggestions"])) == (0, "see me", 2)
    assert "%" in device("predict", "see me", "--model", str(fixture_dir / "tiny.tflite"))[1]


IMPORTS = """
import sys
{code}
heavy = ("tensorflow", "rich", "amqtt", "matplotlib", "ai_edge_litert", "tflite_runtime", "edgewise_coordinator",
         "edgewise_models")
print("loaded:", *[name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    "code",
    [
        "import edgewise_edge.agent, edgewise_edge.host, edgewise_edge.predict",
        "from edgewise.cli import main\ntry: main(['device', 'status'])\nexcept SystemExit as end: assert not end.code",
        "from edgewise.cli import main\ntry: main(['device', 'run', '--help'])\nexcept SystemExit: pass",
        "import edgewise.commands.device.run, edgewise_wire.transport.mqtt",
    ],
)
def test_the_device_loads_neither_tensorflow_nor_the_coordinator_nor_the_runtime_before_it_trains(tmp_path, code):
    environment = os.environ | {"EDGEWISE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(code=code)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_waiting_agent_cleanly(tmp_path, number):
    command = [
        sys.executable, "-m", "edgewise", "device", "run", "--home", str(tmp_path),
        "--broker", "mqtt://127.0.0.1:9", "--device", "pi-7", "--wait",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: Home(tmp_path).in_use())
        wait_for(lambda: Home(tmp_path).participation.exists())
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (second.returncode, "another agent runs there" in second.stderr) == (2, True)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.splitlines()[-1].endswith("stopped")
    assert not Home(tmp_path).in_use()


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_store_is_shared_with_a_running_agent(tmp_path):
    home = Home(tmp_path)
    with ExampleStore(home.examples) as running, ExampleStore(home.examples) as adding:
        adding.add("see you")
        assert running.count() == 1
    assert Path(home.examples).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["Alice Smith", "alice smith", "Alice-Smith"])
def test_a_person_may_be_named_as_in_the_file(name: str, tmp_path: Path) -> None:
    chat = tmp_path / "chat.txt"
    lines = [f"31/12/2023, 22:{n:02} - {who}: message {n}" for n, who in enumerate(["Alice Smith", "Bob"] * 5)]
    chat.write_text("\n".join(lines))
    for _ in range(2):
        found = CliRunner().invoke(import_, [str(chat), "--person", name, "--home", str(tmp_path / "home")])
        assert found.exit_code == 0, found.output
    assert "5 of them already here; 5 examples in all" in found.output


def test_status_explains_each_condition_and_what_the_day_took(device):
    ignore_the_machine(device)
    device("add", "see you")
    device("policy", "set", "min_free_disk", "999999999")
    report = json.loads(device("status", "--json")[1])
    named = {one["name"]: one for one in report["conditions"]}
    assert list(named) == ["power", "temperature", "throttling", "load", "network", "disk", "memory", "hours"]
    assert (named["disk"]["rule"], named["disk"]["holds"]) == ("at least 1e+09 MB free", False)
    assert report["obstacle"].startswith("disk: ")
    assert report["day"] == {"epochs": 0, "seconds": 0.0, "traffic": 0, "metered": 0}
    lines = device("status")[1].splitlines()
    assert sum(line.startswith(("  holds  ", "  FAILS  ")) for line in lines) == 8
    assert "Last day:  0 epochs, 0.0 minutes, 0.0 MB" in lines


@pytest.mark.parametrize("looks", [("status",), ("history",), ("predict", "see you"), ("policy", "show")])
def test_a_folder_that_is_mistyped_is_told_and_not_made(device, tmp_path, looks):
    status, out, err = device(*looks, "--home", str(tmp_path / "typo"))
    assert (status, out) == (2, "")
    assert "typo: there is no such folder" in err
    assert not (tmp_path / "typo").exists()


def test_status_names_the_rule_that_changes_each_condition(device):
    ignore_the_machine(device)
    out = device("status")[1]
    conditions = out.partition("Conditions")[2].splitlines()[1:]
    named = [line.rpartition("; ")[2].rstrip(")").split(", ") for line in conditions]
    assert len(named) == 8
    assert all(rule in WORDS for rules in named for rule in rules)
    assert "did you mean max_load or " in device("policy", "set", "max_loads", "1")[2]


def test_the_owner_sets_rules_in_words(device):
    assert device("policy", "set", "on_battery", "yes")[1] == "on_battery is yes: take part on battery too.\n"
    assert device("policy", "set", "hours", "22-6")[0] == 0
    assert json.loads(device("policy", "show", "--json")[1])["hours"] == "22-6"
    shown = device("policy")[1]
    assert "on_battery                 yes           take part on battery too" in shown
    assert shown.count("\n") == len(json.loads(device("policy", "show", "--json")[1]))
    assert device("policy", "set", "hours", "default")[1].startswith("hours is not set: only in these hours")
    assert json.loads(Home(device.home).policy.read_text()) == {"on_battery": True}
    for arguments, words in (
        (("set", "hours", "late"), "expected hours of the day"),
        (("set", "volume", "11"), "there is no such rule"),
        (("set", "volume", "default"), "there is no such rule"),
        (("set", "max_epochs", "two"), "expected a whole number of at least 0, got 'two'"),
    ):
        status, _, err = device("policy", *arguments)
        assert (status, words in err, err.count("\n")) == (2, True, 1)


def test_a_clock_behind_the_last_date_seen_is_said_and_holds_what_needs_the_date(device):
    ignore_the_machine(device)
    Home(device.home).clock.write_text('{"seen": 4000000000.0}')
    device("add", "see you")
    device("policy", "set", "hours", "0-24")
    report = json.loads(device("status", "--json")[1])
    assert report["clock_believed"] is False
    assert report["obstacle"] == "hours: the clock is behind the last date seen; its owner's rule: 0-24"
    assert json.loads(device("list", "--json")[1])["examples"][0]["at"] == pytest.approx(4e9, abs=60)


def test_importing_from_standard_input(device, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "see you"}\n{"text": "at seven"}\n')))
    assert device("import", "-")[1] == "Read 2 messages of standard-input; 2 examples in all (0 before).\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(range(256)) * 20)))
    status, _, err = device("import", "-")
    assert (status, "standard input: found no text" in err, err.count("\n")) == (2, True, 1)
