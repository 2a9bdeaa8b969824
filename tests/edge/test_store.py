"""The example store keeps what it acknowledged, holds out every fifth, stays in its limits and forgets for real."""

import itertools
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise_edge import store_file
from edgewise_edge.store import TEXT_CHARACTERS, ExampleStore, Limits
from edgewise_wire.errors import ConfigError, DataError, RefusedError, UnavailableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "examples.db"


@pytest.fixture
def store(path: Path) -> Iterator[ExampleStore]:
    with ExampleStore(path, clock=itertools.count(1000).__next__) as store:
        yield store


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_what_is_added_is_there_after_reopening(path: Path, store: ExampleStore) -> None:
    assert store.add("  see you ") == 1
    assert store.add_many(["at seven", "ok"]) == [2, 3]
    store.close()
    with ExampleStore(path) as again:
        assert again.texts() == ["see you", "at seven", "ok"]


def test_every_fifth_is_held_out_by_number_unless_said_otherwise(store: ExampleStore) -> None:
    store.add_many(f"text {n}" for n in range(1, 12))
    assert store.texts(held_out=True) == ["text 5", "text 10"]
    assert store.count(held_out=False) == 9
    store.add_many(["a", "b"], held_out=True)
    store.add_many(["c", "d"], held_out=False)  # numbers 14 and 15
    assert store.texts(held_out=True, limit=2) == ["a", "b"]
    assert store.count() == 15


def test_forgetting_does_not_move_examples_between_training_and_measuring(store: ExampleStore) -> None:
    store.add_many(f"text {n}" for n in range(1, 11))
    store.forget(everything=True)
    assert store.add("again") == 11
    assert store.count(held_out=True) == 0


def test_limit_gives_the_newest_in_order_and_list_tells_all(store: ExampleStore) -> None:
    store.add("old", at=5)
    store.add("new", at=6, held_out=True)
    assert store.texts(limit=1) == ["new"]
    first, second = store.list()
    assert (first.id, first.text, first.held_out, first.at) == (1, "old", False, 5.0)
    assert (second.held_out, second.at) == (True, 6.0)


def test_the_injected_clock_dates_examples(store: ExampleStore) -> None:
    store.add_many(["a", "b"])
    store.add("c")
    assert [example.at for example in store.list()] == [1000, 1000, 1001]


def test_forget_one_by_age_or_all(store: ExampleStore) -> None:
    for at in range(1, 8):
        store.add(f"text {at}", at=at)
    assert store.forget(one=2) == 1
    assert store.forget(one=2) == 0
    assert store.forget(before=4) == 2
    assert store.texts() == ["text 4", "text 5", "text 6", "text 7"]
    assert store.forget(everything=True) == 4
    assert store.count() == 0


@pytest.mark.parametrize("asked", [{}, {"one": 1, "everything": True}, {"before": 1.0, "one": 1}])
def test_forget_wants_exactly_one_wish(store: ExampleStore, asked: dict) -> None:
    store.add("kept")
    with pytest.raises(ConfigError, match="exactly one"):
        store.forget(**asked)
    assert store.count() == 1


@pytest.mark.parametrize("how", [{"everything": True}, {"before": 500.0}, {"one": 137}])
def test_forgotten_bytes_are_gone_from_every_file_and_the_file_shrinks(path: Path, how: dict) -> None:
    with ExampleStore(path) as store:
        for n in range(1, 400):
            store.add(f"filler {n} " + "x" * 200, at=n)
            if n == 136:
                store.add("plum-coloured zeppelin over harbour", at=3.0)
        store.add("kept " * 40, at=1000.0)
        assert b"plum-coloured zeppelin" in bytes_on_disk(path)
        before = len(bytes_on_disk(path))
        assert store.forget(**how) >= 1
        assert b"zeppelin" not in bytes_on_disk(path)
        assert b"kept kept" in bytes_on_disk(path) or "everything" in how
        assert len(bytes_on_disk(path)) < before
    assert b"zeppelin" not in bytes_on_disk(path)


def test_forgotten_bytes_are_gone_while_another_process_has_the_store_open(path: Path) -> None:
    with ExampleStore(path) as agent, ExampleStore(path) as command:
        agent.add_many(["zeppelin " * 50] * 50)
        assert agent.count() == command.count() == 50
        assert command.forget(everything=True) == 50
        assert b"zeppelin" not in bytes_on_disk(path)
        assert agent.count() == 0


def test_a_reader_that_never_lets_go_is_reported_not_hidden(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "BUSY_SECONDS", 0.05)
    with ExampleStore(path) as store:
        store.add("zeppelin")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM example").fetchall()
        with pytest.raises(UnavailableError, match="another process"):
            store.forget(everything=True)
        reader.close()
        assert store.count() == 0
        store.forget(everything=True)
        assert b"zeppelin" not in bytes_on_disk(path)


def test_the_oldest_go_when_there_are_too_many(path: Path) -> None:
    with ExampleStore(path, limits=Limits(count=3)) as store:
        store.add_many(["c", "d"], at=30)
        store.add("a", at=10)
        store.add("b", at=20)
        assert store.texts() == ["c", "d", "b"]
        assert b"a" not in {example.text.encode() for example in store.list()}


def test_the_oldest_go_when_there_are_too_many_bytes(path: Path) -> None:
    with ExampleStore(path, limits=Limits(bytes=10)) as store:
        store.add_many(["aaaa", "bbbb"], at=1)
        store.add("\u00e9\u00e9", at=2)  # four bytes
        assert store.texts() == ["bbbb", "\u00e9\u00e9"]
        assert store.text_bytes == 8


def test_the_totals_stay_true_whatever_comes_and_goes(path: Path) -> None:
    with ExampleStore(path, limits=Limits(count=8, bytes=60)) as store:
        for n in range(30):
            store.add("x" * (1 + n * 7 % 19), at=n * 5 % 11)
            if n % 7 == 0:
                store.forget(before=2)
            texts = store.texts()
            assert store.text_bytes == sum(map(len, texts)) <= 60
            assert store.count() == len(texts) <= 8
        store.forget(everything=True)
        assert (store.text_bytes, store.count()) == (0, 0)


def test_examples_age_out_by_the_clock_and_their_bytes_go_too(path: Path) -> None:
    now = 0.0
    with ExampleStore(path, limits=Limits(age=100.0), clock=lambda: now) as store:
        store.add("zeppelin " * 20)
        now = 90.0
        store.add("balloon")
        now = 150.0
        assert store.enforce() == 1
        assert store.texts() == ["balloon"]
        assert b"zeppelin" not in bytes_on_disk(path)
        now = 500.0
        store.add("kite")
        assert store.texts() == ["kite"]


@pytest.mark.parametrize("limit", [{"age": 0.0}, {"count": -1}, {"bytes": 0}])
def test_a_limit_out_of_range_is_an_error(limit: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(limit))):
        Limits(**limit)


def test_a_paused_store_refuses_new_text_in_every_process_and_keeps_the_old(path: Path, store: ExampleStore) -> None:
    store.add("before")
    assert not store.paused
    store.paused = True
    with ExampleStore(path) as other:
        assert other.paused
        with pytest.raises(RefusedError, match="paused"):
            other.add("no")
        other.paused = False
    store.add("after")
    assert store.texts() == ["before", "after"]


@pytest.mark.parametrize("text", ["", " \n", "x" * (TEXT_CHARACTERS + 1)])
def test_a_text_that_is_none_or_a_document_is_refused_and_nothing_of_its_batch_is_kept(
    store: ExampleStore, text: str
) -> None:
    with pytest.raises(DataError, match="example"):
        store.add_many(["fine", text])
    assert store.count() == 0


def test_broken_surrogates_and_zeros_are_stored_as_something_readable(store: ExampleStore) -> None:
    store.add("a\ud800b\0c")
    assert store.texts() == ["a?b c"]


def test_the_file_is_the_owners_alone(path: Path, store: ExampleStore) -> None:
    store.add("secret")
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_threads_share_a_store(store: ExampleStore) -> None:
    def work(name: int) -> None:
        for n in range(25):
            store.add(f"{name} {n}")
            store.count()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 100
    assert store.count(held_out=True) == 20


WRITER = """
import sys
from edgewise_edge.store import ExampleStore
with ExampleStore(sys.argv[1]) as store:
    for n in range(40):
        store.add(f"{sys.argv[2]} {n}")
"""


def test_processes_share_a_store_from_its_very_creation(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with ExampleStore(path) as store:
        assert store.count() == 80
        assert [example.id for example in store.list()] == list(range(1, 81))
        assert store.count(held_out=True) == 16


KILLED = """
import os, sys
from edgewise_edge.store import ExampleStore
store = ExampleStore(sys.argv[1])
for n in range(1000):
    print(store.add(f"text {n}"), flush=True)
    if n == 20:
        os.kill(os.getpid(), 9)
"""


def test_an_acknowledged_example_survives_a_kill(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False)
    acknowledged = done.stdout.split()
    assert len(acknowledged) == 21
    with ExampleStore(path) as store:
        assert store.count() == len(acknowledged)


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    ExampleStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {store_file.SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="update edgewise"):
        ExampleStore(path)
    assert path.read_bytes() == before


def test_an_older_store_is_migrated_with_its_examples(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExampleStore(path) as store:
        store.add("kept")
    scripts = (
        *store_file.MIGRATIONS,
        "ALTER TABLE example ADD COLUMN source TEXT;\nINSERT INTO setting VALUES ('x', '1');",
    )
    monkeypatch.setattr(store_file, "MIGRATIONS", scripts)
    monkeypatch.setattr(store_file, "SCHEMA_VERSION", len(scripts))
    with ExampleStore(path) as store:
        assert store.texts() == ["kept"]
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT source FROM example").fetchall() == [(None,)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(scripts),)
    db.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExampleStore(path) as store:
        store.add("kept")
    with monkeypatch.context() as patch:
        patch.setattr(store_file, "MIGRATIONS", (*store_file.MIGRATIONS, "DELETE FROM example;\nSELECT nonsense;"))
        patch.setattr(store_file, "SCHEMA_VERSION", len(store_file.MIGRATIONS))
        with pytest.raises(UnavailableError, match="nonsense"):
            ExampleStore(path)
    with ExampleStore(path) as store:
        assert store.texts() == ["kept"]


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program"):
        ExampleStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("just a text file, quite long enough to be read as a header" * 20)
    with pytest.raises(DataError, match="not a store"):
        ExampleStore(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        ExampleStore(tmp_path / "nowhere" / "examples.db")


def test_a_closed_store_says_so(store: ExampleStore) -> None:
    store.close()
    store.close()
    with pytest.raises(UnavailableError, match="closed"):
        store.count()


def test_a_full_disk_loses_nothing(path: Path, store: ExampleStore) -> None:
    store.add("kept")
    [pages] = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way of saying that the disk is full
    with pytest.raises(UnavailableError, match="disk is full"):
        store.add_many(["x" * 4000] * 20)
    assert store.texts() == ["kept"]


def test_reading_a_file_again_adds_nothing_and_a_longer_one_only_what_is_new(tmp_path: Path) -> None:
    with ExampleStore(tmp_path / "examples.sqlite") as store:
        assert len(store.add_missing(["ok", "see you", "ok"])) == 3
        before = store.list()
        assert len(store.add_missing(["ok", "see you", "ok"])) == 0
        assert store.list() == before
        assert len(store.add_missing(["ok", "see you", "ok", "ok", "bye"])) == 2
        assert sorted(store.texts()) == ["bye", "ok", "ok", "ok", "see you"]
