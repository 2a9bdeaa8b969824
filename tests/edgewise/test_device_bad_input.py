"""What an owner may get wrong, or a worn-out machine: one line each, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.cli import main
from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from edgewise_wire.artifact import seal
from edgewise_wire.tflite_file import parse


@pytest.fixture
def fails(tmp_path, capsys, monkeypatch):
    """Run a subcommand that must fail: returns its one line."""
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "home"))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["device", *map(str, arguments)])
        told = capsys.readouterr()
        assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1), told
        return told.err

    run.home = Home(tmp_path / "home")
    return run


CALL = 31  # a builtin operator that TFLite names and no runtime has a kernel for


def needing_call(model: bytes) -> bytes:
    """Return the model with its first operator code replaced (schema.fbs: OperatorCode's slots 0 and 3)."""
    spoiled = bytearray(model)
    root = struct.unpack_from("<I", model)[0]

    def field(table: int, slot: int) -> int:
        vtable = table - struct.unpack_from("<i", model, table)[0]
        size = struct.unpack_from("<H", model, vtable)[0]
        at = struct.unpack_from("<H", model, vtable + 4 + 2 * slot)[0] if 4 + 2 * slot < size else 0
        return table + at if at else 0

    codes = field(root, 1)
    codes += struct.unpack_from("<I", model, codes)[0]
    for n in range(struct.unpack_from("<I", model, codes)[0]):
        at = codes + 4 + 4 * n
        code = at + struct.unpack_from("<I", model, at)[0]
        old, new = field(code, 0), field(code, 3)
        if old and new:
            struct.pack_into("<b", spoiled, old, CALL)
            struct.pack_into("<i", spoiled, new, CALL)
            return bytes(spoiled)
    raise AssertionError("no operator code to replace")


def test_a_model_that_needs_operators_which_this_runtime_lacks(fails, fixture_dir, tmp_path):
    path = tmp_path / "newer.tflite"
    path.write_bytes(seal(needing_call((fixture_dir / "tiny.tflite").read_bytes())))
    assert "CALL" in {code.name for code in parse(path.read_bytes()).codes}
    told = fails("predict", "see you", "--model", path)
    assert "refuses the model" in told
    assert "CALL" in told


def test_a_store_from_a_newer_version_stays_as_it_is(fails):
    with ExampleStore(fails.home.examples) as store:
        store.add("see you")
    with sqlite3.connect(fails.home.examples) as db:
        db.execute("PRAGMA user_version = 99")
    before = fails.home.examples.read_bytes()
    for command in (("list",), ("add", "more"), ("status",), ("forget", "--all")):
        assert "of version 99" in fails(*command)
    assert fails.home.examples.read_bytes() == before


def test_a_log_from_a_newer_version(fails):
    with sqlite3.connect(fails.home.participation) as db:
        db.execute("PRAGMA user_version = 99")
    assert "written by a newer edgewise" in fails("history")


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + bytes(500), b"", b"\n \n"])
def test_a_text_file_that_is_no_text(fails, tmp_path, content):
    path = tmp_path / "holiday.txt"
    path.write_bytes(content)
    assert "found no text" in fails("import", path)
    with ExampleStore(fails.home.examples) as store:
        assert store.count() == 0


def test_a_watch_folder_that_is_not_there(fails, tmp_path):
    told = fails("run", "--broker", "mqtt://127.0.0.1:9", "--device", "a", "--wait", "--watch", tmp_path / "nowhere")
    assert "there is no such folder" in told


SMALL_DISK = """
mount -t tmpfs -o size=600k tmpfs "$1" || exit 77
export EDGEWISE_HOME="$1/home"
"$2" -m edgewise device add "the first sentence" || exit 78
head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 60 | "$2" -m edgewise device add -
echo "status $?"
"$2" -m edgewise device list
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed (apt: util-linux)")
def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path):
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        SMALL_DISK,
        "sh",
        tmp_path,
        sys.executable,
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path and Path(path).is_dir())
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "the disk is full; nothing was changed" in done.stderr
    assert "status 2" in done.stdout
    assert "the first sentence" in done.stdout.splitlines()[-2]


def test_a_key_that_others_may_read_and_a_wrong_one(fails, tmp_path):
    with ExampleStore(fails.home.examples) as store:
        store.add_many(["see you at seven", "running late"])
        store.encrypt(fails.home.key)
    fails.home.key.chmod(0o640)
    run = ("run", "--broker", "mqtt://127.0.0.1:9", "--device", "a")
    for command in (("list",), ("add", "more"), run):
        assert "others may use it (mode 640): chmod 600" in fails(*command)
    fails.home.key.chmod(0o600)
    fails.home.key.write_text("cd" * 32)
    for command in (("list",), run):
        assert "is not the key that it was encrypted with" in fails(*command)
    assert "already" in fails("encrypt")
    assert "needs no --key" in fails("encrypt", "--off", "--key", tmp_path / "key")


def test_encrypting_and_going_back(fails, capsys):
    with ExampleStore(fails.home.examples) as store:
        store.add_many(["see you at seven", "running late"])

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["device", *arguments])
        assert ended.value.code == 0

    command("encrypt")
    assert f"2 examples encrypted with the key {fails.home.key}" in capsys.readouterr().out
    command("list")
    assert "running late" in capsys.readouterr().out
    command("status")
    assert f"encrypted with {fails.home.key}" in capsys.readouterr().out
    command("encrypt", "--off")
    assert "2 examples in plain again" in capsys.readouterr().out
