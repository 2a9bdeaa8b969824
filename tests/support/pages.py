"""The pages of the guide and what they say to type: found, checked, run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from edgewise.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(
    r"(?:^<!-- (?P<how>run|run slow|not run)(?:: (?P<why>[^>]*))? -->\n)?^```sh\n(?P<text>.*?)^```", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """Commands on a page. `how`: `run` in the tests, `run slow` by `scripts/test-docs`, else looked at only."""

    page: Path
    how: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return a page's shell blocks in order."""
    return [Block(page, found["how"] or "", found["text"]) for found in BLOCK.finditer(page.read_text("utf-8"))]


def run(page: Path, folder: Path, *how: str) -> subprocess.CompletedProcess[str]:
    """Run a page's blocks one after the other in one shell, in a folder of their own that begins empty.

    `docs` and `.venv` are there as in a checkout; `CHAT` is the example chat. What is left running is ended.
    """
    for name in ("docs", ".venv", "examples"):
        target = Path(sys.prefix) if name == ".venv" else ROOT / name
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    text = "\n".join(block.text for block in blocks(page) if block.how in how)
    script = f"set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{text}"
    programs = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "CHAT": str(ROOT / "docs/example-chat.txt"),
        "XDG_DATA_HOME": str(folder / "data"),
    }
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def commands(text: str) -> Iterator[list[str]]:
    """Yield every `edgewise …` of a shell script as words, as far as they can be read without running it."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||[;|&)]|\$\(|\bdo\b", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            if words and words[0].rsplit("/", 1)[-1] == "edgewise":
                yield words[1:]


def problem(words: list[str]) -> str:
    """Return what is wrong with the words after `edgewise`: a command or an option that there is not."""
    at: click.Command = cli
    context = click.Context(cli, info_name="edgewise")
    for place, word in enumerate(words):
        if not isinstance(at, click.Group) or word.startswith("-"):
            break
        found = at.get_command(context, word)
        if found is None:
            return f"`edgewise {' '.join(words[: place + 1])}`: there is no such command"
        at, context = found, click.Context(found, info_name=word, parent=context)
    known = {"--help", "-h", *(name for p in at.params for name in (*p.opts, *p.secondary_opts))}
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known and name not in ("--debug", "--version"):
            return f"`edgewise {' '.join(words)}`: {context.command_path} has no {name}"
    return ""
