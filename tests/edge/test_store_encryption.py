"""Examples at rest under a key: unreadable without it, the same with it, and switched on for a store that has some."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise_edge import store_cipher
from edgewise_edge.store import ExampleStore
from edgewise_wire.errors import ConfigError, DataError, UnavailableError

pytest.importorskip("cryptography", reason="cryptography is not installed here (extra device)")

from edgewise_wire.crypto.sealing import Sealer, make_key, read_key

TEXTS = [f"a secret number {n} for nobody else" for n in range(30)]
PLAIN = b"secret number"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def store(folder: Path):
    with ExampleStore(folder / "examples.sqlite") as made:
        made.add_many(TEXTS)
        yield made


@pytest.fixture
def key(folder: Path) -> Path:
    return folder / "pi.key"


def on_disk(folder: Path) -> bytes:
    """Return every byte of the store's files."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("examples.sqlite*")))


def test_switching_on_keeps_every_example_and_leaves_no_plain_byte(folder, store, key):
    before = store.list()
    assert PLAIN in on_disk(folder)
    assert store.encrypt(key) == len(TEXTS)
    assert PLAIN not in on_disk(folder)
    assert store.list() == before
    assert (store.key_file, key.stat().st_mode & 0o777, len(key.read_text().strip())) == (key, 0o600, 64)


def test_what_is_added_afterwards_is_never_plain(folder, store, key):
    store.encrypt(key)
    with ExampleStore(folder / "examples.sqlite") as other:
        other.add_many(["another secret number", *TEXTS])
        assert PLAIN not in on_disk(folder)
        assert other.texts(limit=1) == TEXTS[-1:]
    assert PLAIN not in on_disk(folder)
    assert store.add_missing([*TEXTS, *TEXTS, "new"])


def test_a_process_that_has_the_store_open_goes_on_when_another_switches(folder, store, key):
    code = (
        "import sys; from pathlib import Path; from edgewise_edge.store import ExampleStore\n"
        "with ExampleStore(sys.argv[1]) as store: getattr(store, sys.argv[2])(*map(Path, sys.argv[3:]))"
    )
    switch = [sys.executable, "-c", code, str(folder / "examples.sqlite")]
    subprocess.run([*switch, "encrypt", str(key)], check=True)
    store.add("a secret number from before")
    assert store.texts() == [*TEXTS, "a secret number from before"]
    assert PLAIN not in on_disk(folder)
    subprocess.run([*switch, "decrypt"], check=True)
    store.add("in plain again")
    assert store.texts()[-2:] == ["a secret number from before", "in plain again"]
    assert store.key_file is None


def test_the_same_text_is_never_sealed_to_the_same_bytes(folder, store, key):
    store.add_many(["the same"] * 2)
    store.encrypt(key)
    with sqlite3.connect(folder / "examples.sqlite") as db:
        sealed = [row[0] for row in db.execute("SELECT text FROM example ORDER BY id")]
    assert len(set(sealed)) == len(TEXTS) + 2
    assert len(sealed[-1]) == len("the same") + 28


def test_forgetting_removes_the_sealed_bytes_too(folder, store, key):
    store.encrypt(key)
    with sqlite3.connect(folder / "examples.sqlite") as db:
        [sealed] = db.execute("SELECT text FROM example WHERE id = 7").fetchone()
    db.close()
    assert sealed[12:] in on_disk(folder)
    assert store.forget(one=7) == 1
    assert sealed[12:] not in on_disk(folder)
    assert store.texts() == TEXTS[:6] + TEXTS[7:]


def reopened(folder: Path) -> ExampleStore:
    return ExampleStore(folder / "examples.sqlite")


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (lambda key: key.write_text("ab" * 32 + "\n"), DataError, "is not the key that it was encrypted with"),
        (lambda key: key.chmod(0o644), ConfigError, "others may use it (mode 644): chmod 600"),
        (lambda key: key.unlink(), UnavailableError, "cannot be read (No such file or directory)"),
        (lambda key: key.write_text("my password"), ConfigError, "expected 64 hexadecimal digits"),
        (lambda key: key.write_bytes(key.read_bytes()[:20]), ConfigError, "expected 64 hexadecimal digits"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line_and_nothing_is_lost(folder, store, key, spoil, kind, words):
    store.encrypt(key)
    store.close()
    right = key.read_bytes()
    spoil(key)
    with reopened(folder) as found:
        for act in (found.texts, found.list, lambda: found.add("more"), found.check_key, found.decrypt):
            with pytest.raises(kind, match=re.escape(words)) as told:
                act()
            assert "\n" not in str(told.value)
            assert str(key) in str(told.value)
        assert found.count() == len(TEXTS)  # what reads no text needs no key
        assert found.forget(one=1) == 1
        found.paused = True
        found.paused = False
    key.unlink(missing_ok=True)
    key.write_bytes(right)
    key.chmod(0o600)
    with reopened(folder) as found:
        assert found.texts() == TEXTS[1:]


def test_an_example_whose_bytes_changed_is_named(folder, store, key):
    store.encrypt(key)
    with sqlite3.connect(folder / "examples.sqlite") as db:
        db.execute("UPDATE example SET text = zeroblob(40) WHERE id = 3")
    db.close()
    with pytest.raises(DataError, match="example 3 has changed on the disk; forget it: --id 3"):
        store.texts()
    store.forget(one=3)
    assert store.texts() == TEXTS[:2] + TEXTS[3:]


def test_a_process_that_ends_before_the_file_is_shrunk_leaves_it_to_the_next(folder, store, key, monkeypatch):
    def power_cut(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(ExampleStore, "_shrink", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.encrypt(key)
    store.close()
    monkeypatch.undo()
    with reopened(folder) as found:
        assert PLAIN not in on_disk(folder)
        assert found.texts() == TEXTS
        with sqlite3.connect(folder / "examples.sqlite") as db:
            assert not store_cipher.has_traces(db)
        db.close()


def test_a_process_that_ends_in_the_middle_leaves_all_of_it_plain(folder, store, key, monkeypatch):
    seal, sealed = Sealer.seal, []

    def power_cut(self, text):
        sealed.append(text)
        if len(sealed) == 9:
            raise KeyboardInterrupt
        return seal(self, text)

    monkeypatch.setattr(Sealer, "seal", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.encrypt(key)
    monkeypatch.undo()
    assert store.texts() == TEXTS
    assert store.key_file is None
    assert store.encrypt(key) == len(TEXTS)  # with the key that the first attempt made


def test_a_store_is_encrypted_once_and_a_key_that_is_there_is_used(folder, store, key):
    held = make_key(key)
    assert make_key(key) == held == read_key(key)
    store.encrypt(key)
    assert read_key(key) == held
    with pytest.raises(ConfigError, match="encrypted already, with the key"):
        store.encrypt(folder / "other.key")
    assert not (folder / "other.key").exists()
    store.decrypt()
    assert store.texts() == TEXTS
    with pytest.raises(ConfigError, match="are not encrypted"):
        store.decrypt()


def test_texts_of_another_purpose_do_not_open():
    key = bytes(range(32))
    sealed = Sealer(key, b"one").seal("see you")
    for other in (Sealer(key, b"two"), Sealer(bytes(32), b"one")):
        with pytest.raises(DataError, match="another key's, or changed"):
            other.open(sealed)
    for spoiled in (sealed[:-1], sealed[:5], b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(DataError):
            Sealer(key, b"one").open(spoiled)


def test_a_key_cannot_be_made_where_there_is_no_folder(folder, store):
    with pytest.raises(UnavailableError, match="cannot be written"):
        store.encrypt(folder / "stick" / "pi.key")
    assert store.texts() == TEXTS
