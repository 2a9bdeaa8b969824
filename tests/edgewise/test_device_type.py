"""The keyboard in a real terminal: a pty, keys as they are pressed, and what is left afterwards."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

import pytest

from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


class Terminal:
    """One run of `edgewise device type` in a terminal of its own."""

    def __init__(self, home, model, *options):
        self.main, side = pty.openpty()
        self.before = termios.tcgetattr(self.main)
        command = [sys.executable, "-m", "edgewise", "device", "type", "--home", str(home), "--model", str(model)]
        self.process = subprocess.Popen([*command, *options], stdin=side, stdout=side, stderr=side)
        os.close(side)
        self.shown = ""

    def press(self, keys):
        os.write(self.main, keys.encode())

    def wait_for(self, words):
        until = time.monotonic() + 60
        while words not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self.main], [], [], 1.0)[0]:
                try:
                    self.shown += os.read(self.main, 4096).decode("utf-8", "replace")
                except OSError:  # the other side is closed
                    assert words in self.shown, self.shown
        before, _, self.shown = self.shown.partition(words)
        return before

    def end(self):
        status = self.process.wait(120)
        after = termios.tcgetattr(self.main)
        os.close(self.main)
        return status, after == self.before


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def texts(home):
    with ExampleStore(home.examples) as store:
        return store.texts()


def test_suggestions_are_taken_and_sentences_become_examples_if_one_agrees(home, fixture_dir):
    terminal = Terminal(home.path, fixture_dir / "tiny.tflite")
    terminal.wait_for("[y/N]")
    terminal.press("y\n")
    terminal.wait_for("\x1b8")
    terminal.press("see yo")
    terminal.wait_for("see yo\x1b7  \x1b[2myou")
    terminal.press("\t")
    terminal.wait_for("see you \x1b7")
    terminal.press("zz\x7f\x7f\r")
    terminal.wait_for("\x1b[Ksee you \r\n")
    terminal.press("grüße\x1b[A")
    terminal.press("\r")
    terminal.wait_for("grüße\r\n")
    terminal.press("\x04")
    terminal.wait_for("2 sentences, kept as examples.")
    assert terminal.end() == (0, True)
    assert texts(home) == ["see you", "grüße"]


def test_without_agreement_nothing_is_kept_and_ctrl_c_leaves_the_terminal_as_it_was(home, fixture_dir):
    terminal = Terminal(home.path, fixture_dir / "tiny.tflite", "--no-keep")
    terminal.wait_for("\x1b8")
    terminal.press("see you\rat")
    terminal.wait_for("at\x1b7")
    terminal.press("\x03")
    terminal.wait_for("1 sentence, none kept.")
    assert terminal.end() == (0, True)
    assert texts(home) == []


def test_a_paused_store_is_said_and_typing_goes_on(home, fixture_dir):
    with ExampleStore(home.examples) as store:
        store.paused = True
    terminal = Terminal(home.path, fixture_dir / "tiny.tflite", "--keep")
    terminal.wait_for("\x1b8")
    terminal.press("see you\r")
    terminal.wait_for("(not kept: ")
    terminal.press("\x04")
    terminal.wait_for("0 sentences")
    assert terminal.end() == (0, True)


def test_without_a_terminal_it_says_what_works(tmp_path, fixture_dir):
    command = [sys.executable, "-m", "edgewise", "device", "type", "--home", str(tmp_path), "--keep"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "edgewise device predict works without one" in done.stderr
