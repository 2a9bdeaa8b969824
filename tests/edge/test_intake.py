"""Sentences from a watched folder and from a socket: each once, none lost, none that was forgotten comes back."""

from __future__ import annotations

import json
import logging
import socket
import stat
import time
from pathlib import Path

import pytest

from edgewise_edge.intake import ExampleSocket, Intake, WatchedFolder
from edgewise_edge.store import TEXT_CHARACTERS, ExampleStore
from edgewise_wire.errors import ConfigError, UnavailableError


@pytest.fixture
def store(tmp_path):
    with ExampleStore(tmp_path / "examples.sqlite") as made:
        yield made


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "texts"
    made.mkdir()
    return made


def watching(folder, store, person=None):
    return WatchedFolder(folder, store, folder.parent / "watched.json", person)


# The folder ------------------------------------------------------------------------------------------------------


def test_a_file_is_read_once_it_has_stopped_growing_and_then_what_it_gains(folder, store):
    watched = watching(folder, store)
    (folder / "me.txt").write_text("see you\n")
    assert watched.look() == 0
    (folder / "me.txt").write_text("see you\nat seven\n")
    assert [watched.look(), watched.look(), watched.look()] == [0, 2, 0]
    with (folder / "me.txt").open("a") as file:
        file.write("running late\n")
    assert [watched.look(), watched.look()] == [0, 1]
    assert store.texts() == ["see you", "at seven", "running late"]


def test_what_was_forgotten_does_not_come_back_with_a_longer_file_or_another_process(folder, store):
    (folder / "me.txt").write_text("a secret\n")
    watched = watching(folder, store)
    assert [watched.look(), watched.look()] == [0, 1]
    store.forget(everything=True)
    again = watching(folder, store)
    assert [again.look(), again.look()] == [0, 0]
    (folder / "me.txt").write_text("a secret\nsee you\n")
    assert [again.look(), again.look()] == [0, 1]
    assert store.texts() == ["see you"]
    assert "secret" not in (folder.parent / "watched.json").read_text()


def test_a_rewritten_file_adds_what_the_store_does_not_hold(folder, store):
    (folder / "me.txt").write_text("one\ntwo\n")
    watched = watching(folder, store)
    assert [watched.look(), watched.look()] == [0, 2]
    (folder / "me.txt").write_text("zero\none\ntwo\n")
    assert [watched.look(), watched.look()] == [0, 1]
    assert store.texts() == ["one", "two", "zero"]


def test_what_cannot_be_read_is_told_once_and_hinders_nothing(folder, store, caplog):
    (folder / "a.txt").write_bytes(bytes(range(256)) * 10)
    (folder / "b.txt").write_text("see you\n")
    (folder / "notes.pdf").write_text("%PDF")
    (folder / ".hidden.txt").write_text("no\n")
    watched = watching(folder, store)
    with caplog.at_level(logging.WARNING):
        assert [watched.look(), watched.look(), watched.look()] == [0, 1, 0]
    assert [record.message.startswith("not read: ") for record in caplog.records] == [True]


def test_several_peoples_files_need_a_name(folder, store):
    lines = [{"users": ["anna", "ben"], "num_samples": [1, 1]}]
    lines[0]["user_data"] = {name: {"x": [f"from {name}"], "y": [0]} for name in ("anna", "ben")}
    (folder / "all.json").write_text(json.dumps(lines[0]))
    watched = watching(folder, store)
    assert [watched.look(), watched.look()] == [0, 0]
    assert [watching(folder, store, "ben").look()] == [0]
    (folder.parent / "watched.json").unlink()
    named = watching(folder, store, "ben")
    assert [named.look(), named.look()] == [0, 1]
    assert store.texts() == ["from ben"]


def test_a_pause_holds_the_folder_too(folder, store):
    (folder / "me.txt").write_text("see you\n")
    watched = watching(folder, store)
    store.paused = True
    assert [watched.look(), watched.look(), watched.look()] == [0, 0, 0]
    store.paused = False
    assert [watched.look(), watched.look()] == [0, 1]


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path, store):
    with pytest.raises(ConfigError, match="there is no such folder"):
        watching(tmp_path / "nowhere", store)


# The socket ------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "examples.sock"


def say(path, data, *, end=True):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(30)
        link.connect(str(path))
        link.sendall(data)
        if end:
            link.shutdown(socket.SHUT_WR)
        answers = b""
        while piece := link.recv(4096):
            answers += piece
    return answers.decode().splitlines()


def test_programs_hand_in_sentences_and_hear_when_each_is_safe(path, store):
    with Intake(ExampleSocket(path, store), None):
        assert say(path, "see you\ngrüß dich\nlast one".encode()) == ["ok 1", "ok 2", "ok 3"]
        assert store.texts() == ["see you", "grüß dich", "last one"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_what_cannot_be_taken_is_answered_and_the_next_line_is_taken(path, store):
    with Intake(ExampleSocket(path, store), None):
        answers = say(path, b"\n" + b"x" * (TEXT_CHARACTERS + 1) + b"\nfine\n")
        assert [answer.split()[0] for answer in answers] == ["no", "no", "ok"]
        store.paused = True
        assert "paused" in say(path, b"more\n")[0]


def test_a_line_without_an_end_is_not_kept_in_memory(path, store):
    with Intake(ExampleSocket(path, store), None):
        try:
            answers = say(path, b"x" * (5 * TEXT_CHARACTERS))
        except (BrokenPipeError, ConnectionResetError):  # it was let go of before all was sent
            answers = ["no a line is too long"]
        assert answers == ["no a line is too long"]
        assert say(path, b"fine\n") == ["ok 1"]


def test_programs_that_are_silent_or_gone_keep_nobody_from_being_heard(path, store):
    with Intake(ExampleSocket(path, store), None):
        silent = [socket.socket(socket.AF_UNIX) for _ in range(6)]
        for link in silent:
            link.connect(str(path))
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(path))
            rude.sendall(b"half a sen")
        [answer] = say(path, b"heard\n")
        assert answer.startswith("ok ")
        assert "heard" in store.texts()
        for link in silent:
            link.close()


def test_an_agent_that_was_killed_leaves_a_socket_that_the_next_one_replaces(path, store):
    killed = ExampleSocket(path, store)
    with Intake(ExampleSocket(path, store), None):
        assert say(path, b"fine\n") == ["ok 1"]
    killed.close()
    with pytest.raises(UnavailableError, match="nobody can listen there"):
        ExampleSocket(Path("/" + "long/" * 40 + "examples.sock"), store)


def test_the_thread_looks_at_the_folder_by_itself(path, store, folder, monkeypatch):
    monkeypatch.setattr("edgewise_edge.intake.LOOK_SECONDS", 0.01)
    (folder / "me.txt").write_text("see you\n")
    with Intake(None, watching(folder, store)):
        until = time.monotonic() + 60
        while store.count() == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert store.texts() == ["see you"]
