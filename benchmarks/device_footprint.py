"""What a device costs its owner: memory, start, disk, processor time while idle, and the time to a suggestion.

    .venv/bin/python benchmarks/device_footprint.py [--json] [--model model.tflite] [--idle-seconds 60] [--packages]

The real commands run as processes of their own: a broker, `edgewise device run`, a coordinator for one round of 20
steps of the 1.42 M-parameter model, 16 rows of 20 words each. While the device trains, it is two processes: the agent
and the one that trains. Both are looked at every 20 ms (/proc/PID/smaps). Their memory together is what of each is
its own (Anonymous) and every file that either has mapped, once, with the most pages that one of them holds of it: it
is what the machine has to spare for them. "Both summed" counts shared pages twice; the peak of the trainer is its
VmHWM. Beside that stand the parts. Disk is the device's folder after the round, and each package's files. A
suggestion is timed by the clock and by the processor: they differ by what other programs take of the one core it is
pinned to.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgewise_edge.trainer_process import MEMORY

EDGEWISE = [sys.executable, "-m", "edgewise"]
STEPS, BATCH = 20, 16  # twice the rows of the default: the memory goal is set for these
GOALS = {"peak_mb": 125.0, "idle_mb": 45.0, "suggestion_ms": 20.0}
PARTS = {
    "python": "pass",
    "python + numpy": "import numpy",
    "python + numpy + runtime": "from edgewise_edge import runtime; runtime.find()",
    "the agent's imports": "import edgewise_edge.agent, edgewise_edge.own, edgewise_wire.transport.mqtt",
    "the trainer's imports": "import edgewise_edge.computer; from edgewise_edge import runtime; runtime.find()",
}
STAGES = """
import gc, json, sys
from pathlib import Path

import numpy as np

from edgewise_edge import computer, encoding, runtime
from edgewise_edge.host import trim
from edgewise_edge.lean_trainer import LeanTrainer
from edgewise_edge.weights_file import read_weights
from edgewise_wire.weights import unflatten


def own():
    gc.collect()
    trim()
    status = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return 1024e-6 * int(status["RssAnon"].split()[0])


runtime.find()
stands = [own()]
trainer = LeanTrainer(Path(sys.argv[1]), Path(sys.argv[3]) / "scratch")
manifest = trainer.manifest
stands.append(own())
trainer.set_weights(unflatten(read_weights(Path(sys.argv[2]), trainer), manifest.weights))
stands.append(own())
specs = (*manifest.inputs, manifest.labels, manifest.weight)
trainer.train_step({spec.name: np.ones(spec.shape, spec.dtype) for spec in specs}, 0.1)
stands.append(own())
names = ("Python, NumPy, edgewise", "the manifest", "the weights twice, the interpreter, what XNNPACK holds",
         "the arena of a training step")
print(json.dumps(dict(zip(names, [stands[0], *np.diff(stands)]))))
"""
SUGGEST = """
import json, os, statistics, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from pathlib import Path
from edgewise_edge.home import Home
from edgewise_edge.predict import open_predictor
from edgewise_edge.keyboard import Keyboard

began = time.perf_counter()
predictor = open_predictor(Home(sys.argv[1]))
predictor.suggest("see you")
ready = time.perf_counter() - began
words = predictor.words


def timed(act):
    began, busy = time.perf_counter(), time.thread_time()
    act()
    return 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - busy)


def summary(pairs):
    clock, busy = (sorted(column) for column in zip(*pairs))
    at = int(0.95 * len(clock))
    return {"median_ms": statistics.median(clock), "p95_ms": clock[at], "cpu_p95_ms": busy[at], "most_ms": clock[-1]}


texts = [" ".join(words[(7 * n + k) % 500] for k in range(n % 12)) for n in range(300)]
suggestions = summary([timed(lambda: predictor.suggest(text)) for text in texts])
keyboard, typed = Keyboard(predictor, lambda sentence: None), []
for letter in " ".join(words[(5 * n) % 500] for n in range(80)):
    def press():
        keyboard.insert(letter)
        keyboard.suggestions
    typed.append(timed(press))
print(json.dumps({"suggestion": suggestions, "keystroke": summary(typed), "ready_s": ready}))
"""


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.packages:
        packages = _packages()
        print(json.dumps(packages) if options.json else "\n".join(_package_lines(packages)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options)
    print(json.dumps(found) if options.json else "\n".join(_lines(found)))


def measure(folder: Path, options: Any) -> dict[str, Any]:
    """Take one device through its life."""
    model = options.model or _model(folder)
    home, url = folder / "home", f"mqtt://127.0.0.1:{_free_port()}"
    _examples(home)
    with _running("broker", "--port", url.rsplit(":", 1)[1]):
        began = time.monotonic()
        device = ("device", "run", "--broker", url, "--device", "pi", "--home", home, "--wait", "--no-conditions")
        with _running(*device) as agent:
            _until(lambda: _state(home) == "checked-in")
            start = time.monotonic() - began
            time.sleep(2.0)
            idle, before = _memory(agent.pid), _cpu(agent.pid)
            time.sleep(options.idle_seconds)
            cpu = (_cpu(agent.pid) - before) * 60 / options.idle_seconds
            with Watched(agent.pid) as busy:
                _round(url, model, folder)
            time.sleep(options.release_seconds)  # what trained waits for a while and ends
            after = _memory(agent.pid)
    parameters = next(int(line) for line in re.findall(r"([\d,]+) parameters", _inspect(model).replace(",", "")))
    return {
        "parameters": parameters,
        "weights_mb": 4e-6 * parameters,
        "gradient_mb": 4e-6 * parameters,
        "parts_mb": {name: _part(code) for name, code in PARTS.items()},
        "peak_mb": busy.together,
        "peak_summed_mb": busy.summed,
        "peak_of_trainer_mb": busy.trainer,
        "peak_parts_mb": busy.parts,
        "trainer_parts_mb": _stages(home, folder),
        "idle_mb": idle["resident"],
        "idle_anonymous_mb": idle["anonymous"],
        "idle_after_a_round_mb": after["resident"],
        "start_to_checked_in_s": start,
        "idle_cpu_s_a_minute": cpu,
        "home_mb": sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6,
        **json.loads(_python(SUGGEST, str(home))),
        "packages_mb": _packages(),
        "goals": GOALS,
    }


class Watched:
    """Looks at a process and its children until it is left; all figures are the most that was met, in 10^6 bytes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.together = self.summed = self.trainer = 0.0
        self.parts: dict[str, float] = {}

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
            try:
                self._take(_mapped(self._pid), [_mapped(child) for child in children])
                self.trainer = max([self.trainer, *(_memory(child)["peak"] for child in children)])
            except (OSError, KeyError):  # a child that has just ended
                continue

    def _take(self, agent: dict[str, float], children: list[dict[str, float]]) -> None:
        everyone = [agent, *children]
        self.summed = max(self.summed, sum(sum(one.values()) for one in everyone))
        files = {name for one in everyone for name in one if name}
        shared = sum(max(one.get(name, 0.0) for one in everyone) for name in files)
        together = shared + sum(one[""] for one in everyone)
        if together > self.together:
            self.together = together
            self.parts = {
                "the agent's own": agent[""],
                "the trainer's own": sum(child[""] for child in children),
                "pages of files (code, weights), each once": shared,
            }


def _mapped(pid: int | str) -> dict[str, float]:
    """Return the resident megabytes of a process by the file that backs them; the empty name is its own memory."""
    found, name = {"": 0.0}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head, *rest = line.split(None, 5)
        if not head.endswith(":"):
            name = rest[4] if len(rest) == 5 and rest[4].startswith("/") else ""
        elif head == "Rss:":
            found[name] = found.get(name, 0.0) + 1024e-6 * int(rest[0])
        elif head == "Anonymous:" and name:  # a file's page that was written to is the process's own
            own = 1024e-6 * int(rest[0])
            found[name] -= own
            found[""] += own
    return found


def _model(folder: Path) -> Path:
    words, path = folder / "words.txt", folder / "model.tflite"
    words.write_text("\n".join(f"word{n}" for n in range(9_996)))
    _edgewise(
        "export", "next-word", "--out", path, "--vocabulary", words, "--batch", BATCH, "--low-memory", "--no-corrected"
    )
    return path


def _examples(home: Path) -> None:
    """Give the device 200 sentences, 160 of them to train on: 20 batches of 8."""
    rows = (" ".join(f"word{(n * k) % 9_996}" for k in range(1, 20)) for n in range(1, STEPS * BATCH * 5 // 4 + 1))
    subprocess.run([*EDGEWISE, "device", "add", "-", "--home", home], input="\n".join(rows), text=True, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip


def _round(url: str, model: Path, folder: Path) -> None:
    _edgewise("coordinate", "--model", model, "--broker", url, "--rounds", 1, "--cohort", 1, "--epochs", 1,
              "--dir", folder / "run", "--json")  # fmt: skip


def _edgewise(*arguments: object) -> str:
    done = subprocess.run([*EDGEWISE, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"edgewise {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def _inspect(model: Path) -> str:
    return _edgewise("inspect", model)


@contextlib.contextmanager
def _running(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [*EDGEWISE, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise SystemExit("the device never checked in")
        time.sleep(0.02)


def _state(home: Path) -> str:
    try:
        return str(json.loads((home / "status.json").read_text())["state"])
    except (OSError, ValueError):
        return ""


def _memory(pid: int | str) -> dict[str, float]:
    """Return a process's memory in megabytes of 10^6 bytes."""
    status = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    names = {"resident": "VmRSS", "peak": "VmHWM", "anonymous": "RssAnon"}
    return {key: 1024e-6 * int(status[name].split()[0]) for key, name in names.items()}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _part(code: str) -> float:
    tail = "\nprint(open('/proc/self/status').read())"
    return 1024e-6 * int(re.findall(r"VmRSS:\s+(\d+)", _python(code + tail))[0])


def _python(code: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def _stages(home: Path, folder: Path) -> dict[str, float]:
    """Return what the trainer's own memory is made of, from a process that loads and trains step by step."""
    latest = json.loads((home / "model.json").read_text())
    graph, weights = (home / "blobs" / latest[name] for name in ("graph", "weights"))
    command = [sys.executable, "-c", STAGES, str(graph), str(weights), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | MEMORY)
    return dict(json.loads(done.stdout))


def _packages() -> dict[str, float]:
    """Return what each package of the device extra takes on disk; compiled Python files are counted where they are."""
    sizes: dict[str, float] = {}
    waiting = ["edgewise[device]"]
    while waiting:
        name, _, extra = re.match(r"([A-Za-z0-9._-]+)(\[(\w+)\])?", waiting.pop()).groups()  # type: ignore[union-attr]
        if name.lower() in sizes:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        files = [Path(str(found.locate_file(file))) for file in found.files or []]
        sizes[name.lower()] = sum(file.stat().st_size for file in files if file.exists()) / 1e6
        for needed in found.requires or []:
            package, _, marker = needed.partition(";")
            if "extra" not in marker or (extra and f"'{extra}'" in marker.replace('"', "'")):
                waiting.append(package.strip())
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['parameters']:,} parameters, {BATCH} rows of 20 words, {STEPS} batches"
    yield f"peak while training     {found['peak_mb']:6.1f} MB   (goal {GOALS['peak_mb']:g}), both processes together"
    for name, size in found["peak_parts_mb"].items():
        yield f"  {name:<42} {size:6.1f} MB"
        if "trainer" in name:
            for part, own in found["trainer_parts_mb"].items():
                yield f"    {own:6.1f} MB  {part}"
    yield f"  of which weights {found['weights_mb']:.1f} MB, a gradient and the update {found['gradient_mb']:.1f} each"
    yield f"  the trainer's peak {found['peak_of_trainer_mb']:.1f} MB, both summed {found['peak_summed_mb']:.1f} MB"
    for name, size in found["parts_mb"].items():
        yield f"  {name:<25} {size:6.1f} MB"
    yield f"idle, checked in        {found['idle_mb']:6.1f} MB   (goal {GOALS['idle_mb']:g}), "\
          f"{found['idle_anonymous_mb']:.1f} MB of it anonymous"  # fmt: skip
    yield f"idle, after a round     {found['idle_after_a_round_mb']:6.1f} MB"
    yield f"start to checked-in     {found['start_to_checked_in_s']:6.2f} s"
    yield f"processor while idle    {found['idle_cpu_s_a_minute']:6.2f} s a minute"
    for what, took in (("a suggestion", found["suggestion"]), ("a key in `type`", found["keystroke"])):
        yield f"{what:<23} {took['median_ms']:6.1f} ms  median; 95 % under {took['p95_ms']:.1f} ms (goal "\
              f"{GOALS['suggestion_ms']:g}), of the processor under {took['cpu_p95_ms']:.1f} ms"  # fmt: skip
    yield f"the first suggestion    {found['ready_s']:6.2f} s   after the model began to load"
    yield f"the device's folder     {found['home_mb']:6.1f} MB"
    yield from _package_lines(found["packages_mb"])


def _package_lines(sizes: dict[str, float]) -> Iterator[str]:
    yield f"installed packages      {sum(sizes.values()):6.1f} MB"
    for name, size in sizes.items():
        yield f"  {name:<25} {size:6.1f} MB"


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--packages", action="store_true", help="only what is installed, and how large it is")
    parser.add_argument("--model", type=Path, help="a next-word model; the 1.42 M one is exported if left out")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--release-seconds", type=float, default=15.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
