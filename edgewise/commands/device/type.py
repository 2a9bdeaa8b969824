"""`edgewise device type`: a keyboard in the terminal, built on termios alone."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from edgewise.commands.device.options import counted, home_option
from edgewise.commands.device.tuning import personal_option, tune_if_needed
from edgewise_edge.home import Home
from edgewise_edge.keyboard import Keyboard
from edgewise_edge.own import Own
from edgewise_edge.predict import open_predictor
from edgewise_wire.errors import ConfigError, EdgewiseError

ESCAPE = "\x1b"
QUIT = ("\x03", "\x04", ESCAPE)
FUNCTION_KEY = re.compile("\x1b([\\[O][0-9;]*[A-Za-z~]?)?")  # arrows and such; they do nothing here
CLEAR_LINE = "\r\x1b[K"
HELP = "Tab takes the first suggestion, Enter ends a sentence, Ctrl-W takes back a word, Ctrl-D ends."


@click.command("type")
@click.option("--keep/--no-keep", default=None, help="Make what you type examples, or do not; asked if left out.")
@click.option("--model", type=click.Path(path_type=Path), help="Use this model file instead of the latest round's.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads to compute with.")
@personal_option
@home_option
def type_(keep: bool | None, model: Path | None, threads: int, personal: bool, home: Path) -> None:
    """Type with suggestions, as on a phone's keyboard.

    \b
    Example:
      edgewise device type --keep
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("device type: needs a terminal; edgewise device predict works without one")
    own = Own(Home(home))
    if personal and model is None:
        tune_if_needed(own, threads)
    predictor = open_predictor(own.home, model=model, threads=threads, personal=personal)
    if keep is None:
        keep = click.confirm("Keep what you type as examples on this device, to learn from?", default=False)
    click.echo(HELP)
    with own.store() as store:
        said: list[str] = []

        def on_sentence(sentence: str) -> None:
            if keep:
                store.add(sentence)
            said.append(sentence)

        _converse(Keyboard(predictor, on_sentence))
    click.echo(f"{counted(len(said), 'sentence')}, {'kept as examples' if keep else 'none kept'}.")


def _converse(keyboard: Keyboard) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with _raw(sys.stdin.fileno()):
        _draw(keyboard)
        while data := os.read(sys.stdin.fileno(), 1024):
            letters = decoder.decode(data)
            for letter in letters if letters == ESCAPE else FUNCTION_KEY.sub("", letters):
                if letter in QUIT:
                    os.write(sys.stdout.fileno(), CLEAR_LINE.encode())
                    return
                _press(keyboard, letter)
            _draw(keyboard)


def _press(keyboard: Keyboard, letter: str) -> None:
    keys: dict[str, Callable[[], None]] = {
        "\t": keyboard.accept, "\x7f": keyboard.erase, "\x08": keyboard.erase,
        "\x17": keyboard.erase_word, "\x15": keyboard.clear,
    }  # fmt: skip
    if letter in "\r\n":
        _enter(keyboard)
    elif letter in keys:
        keys[letter]()
    else:
        keyboard.insert(letter)


def _enter(keyboard: Keyboard) -> None:
    """End the sentence; one that cannot be kept is said and not lost from the screen."""
    sentence = keyboard.text
    try:
        keyboard.enter()
    except EdgewiseError as error:
        sentence = f"{sentence}  (not kept: {error})"
    os.write(sys.stdout.fileno(), f"{CLEAR_LINE}{sentence}\r\n".encode())


def _draw(keyboard: Keyboard) -> None:
    width = shutil.get_terminal_size().columns
    hints = "   ".join(keyboard.suggestions)
    room = max(width - len(hints) - 4, 8)
    text = keyboard.text[-room:]
    # The cursor is saved behind the text, the suggestions stand dim at its right, and the cursor comes back.
    line = f"{CLEAR_LINE}{text}\x1b7  \x1b[2m{hints[: max(width - len(text) - 3, 0)]}\x1b[0m\x1b8"
    os.write(sys.stdout.fileno(), line.encode())


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Read each key as it is pressed, unechoed; whatever happens, the terminal is as it was afterwards."""
    try:
        import termios
        import tty
    except ImportError:
        raise ConfigError("device type: works in a Unix terminal only; edgewise device predict works here") from None
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
