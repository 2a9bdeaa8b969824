"""What `edgewise doctor` looks at: each check is a function that says what it found and, if need be, what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from edgewise_wire.errors import EdgewiseError
from edgewise_wire.transport.address import TlsFiles
from edgewise_wire.version import __version__

PYTHONS = ((3, 10), (3, 13))  # the first and the last one that are tested
DISK_LEAST = 500_000_000  # bytes: a few versions of a large model, its updates, a log
MEMORY_LEAST = 300_000_000  # bytes that training the 1.42 M-parameter model takes beside an interpreter
EPOCH_LEAST = 1_735_689_600  # 2025-01-01: a clock before it has never been set
SECURED_PORT = 8883
PORTS = {1883: "edgewise broker", SECURED_PORT: "edgewise broker --fleet-dir", 8750: "the dashboard", 9464: "--metrics"}
CONNECT_SECONDS = 10.0
JOBS = {
    "train on a device": ("device", ("cryptography",)),
    "coordinate a fleet": ("coordinator", ("rich", "amqtt", "cryptography", "prometheus_client", "uvicorn")),
    "export a model": ("models", ("tensorflow",)),
    "demo and simulation": ("simulate", ("tensorflow", "matplotlib", "rich", "amqtt")),
}  # fmt: skip


class State(str, Enum):
    """How a thing stands: fine, worth knowing, or to be mended."""

    OK = "ok"
    NOTE = "note"
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found and, where something can be done, what."""

    name: str
    state: State
    says: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as plain values."""
        return {**asdict(self), "state": self.state.value}


def examine(
    directory: Path, broker: str | None, papers: TlsFiles, secured_port: int = SECURED_PORT
) -> Iterator[Finding]:
    """Yield every finding; a check that cannot be done says so instead of failing.

    Args:
        directory: where runs go, for the disk.
        broker: the address of a broker to reach, or nothing.
        papers: with `mqtts://`, the authority that signed its certificate, and our own if it asks for one.
        secured_port: where this fleet's own broker listens.
    """
    yield versions()
    yield runtime()
    yield from jobs()
    yield disk(directory)
    yield memory()
    yield clock()
    yield from ports(secured_port)
    yield programs()
    if broker is not None:
        yield reach(broker, papers)


def versions() -> Finding:
    """Look at Python's version and edgewise's own."""
    says = f"edgewise {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("versions", State.OK, says)
    oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
    return Finding("versions", State.MEND, says, f"use Python {oldest} to {newest}")


def runtime() -> Finding:
    """Load the TFLite runtime that a device would train with."""
    from edgewise_edge import runtime as runtimes

    try:
        found = runtimes.find()
    except EdgewiseError as error:
        return Finding("runtime", State.MEND, str(error), "pip install 'edgewise[device]'")
    others = [name for name in runtimes.installed() if name != found.name]
    return Finding("runtime", State.OK, f"{found}" + (f" ({', '.join(others)} is there too)" if others else ""))


def jobs() -> Iterator[Finding]:
    """Look at which jobs the installed packages are enough for; not every machine has to do all of them."""
    for job, (extra, packages) in JOBS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            do = f"pip install 'edgewise[{extra}]', if you want to"
            yield Finding(job, State.NOTE, f"needs {', '.join(missing)}", do)
        else:
            yield Finding(job, State.OK, ", ".join(f"{name} {_version(name)}" for name in packages))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "(no version)"


def disk(directory: Path) -> Finding:
    """Look at whether runs can be written, and how much there is room for."""
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB free in {there}"
    if not os.access(there, os.W_OK):
        return Finding("disk", State.MEND, f"{there} cannot be written", "choose another --dir")
    if free < DISK_LEAST:
        return Finding("disk", State.MEND, says, f"free some: a run wants {DISK_LEAST / 1e9:.1f} GB")
    return Finding("disk", State.OK, says)


def memory() -> Finding:
    """Look at how much memory is available (Linux tells)."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        available = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return Finding("memory", State.NOTE, "this system does not say how much is available")
    says = f"{available / 1e9:.1f} GB available"
    if available < MEMORY_LEAST:
        return Finding("memory", State.MEND, says, "close something: training takes up to 0.3 GB")
    return Finding("memory", State.OK, says)


def clock() -> Finding:
    """Look at whether the clock was ever set and is kept: certificates and schedules depend on it."""
    if time.time() < EPOCH_LEAST:
        date = time.strftime("%Y-%m-%d")
        return Finding("clock", State.MEND, f"it says {date}", "set it: certificates and hours depend on it (NTP)")
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    try:
        told = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return Finding("clock", State.OK, f"{now} (nobody here says whether it is kept by NTP)")
    if told == "yes":
        return Finding("clock", State.OK, f"{now}, kept by NTP")
    return Finding("clock", State.NOTE, f"{now}, not kept by NTP", "timedatectl set-ntp true")


def ports(secured_port: int = SECURED_PORT) -> Iterator[Finding]:
    """Look at whether the usual ports are free; one in use is no fault, it may well be our own broker."""
    for usual, use in PORTS.items():
        port = secured_port if usual == SECURED_PORT else usual
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield Finding(f"port {port}", State.NOTE, f"in use; {use} wants it unless it is told another")
                continue
        yield Finding(f"port {port}", State.OK, f"free, for {use}")


def programs() -> Finding:
    """Look for Mosquitto, which fleets with certificates want."""
    from edgewise.brokers.mosquitto import find_mosquitto

    try:
        return Finding("Mosquitto", State.OK, find_mosquitto())
    except EdgewiseError:
        says = "not here; the embedded broker does for trials"
        return Finding("Mosquitto", State.NOTE, says, "apt install mosquitto, for a fleet with TLS")


def reach(broker: str, papers: TlsFiles) -> Finding:
    """Connect to a broker, subscribe, publish to ourselves, and time the way there and back."""
    from edgewise_wire.transport.base import Message
    from edgewise_wire.transport.mqtt import MqttTransport

    name = f"edgewise-doctor-{os.getpid()}"
    topic = f"ew/1/doctor/{name}"
    began = time.monotonic()
    try:
        with contextlib.closing(MqttTransport(broker, name, ca=papers.ca, cert=papers.cert, key=papers.key)) as link:
            link.connect()
            connected = time.monotonic()
            link.subscribe(topic)
            link.publish(topic, b"edgewise doctor")
            while time.monotonic() - connected < CONNECT_SECONDS:
                event = link.poll(0.5)
                if isinstance(event, Message) and event.topic == topic:
                    there, back = 1000 * (connected - began), 1000 * (time.monotonic() - connected)
                    says = f"{broker}: connected in {there:.0f} ms, a message there and back in {back:.0f} ms"
                    return Finding("broker", State.OK, says)
    except (EdgewiseError, OSError) as error:
        return Finding("broker", State.MEND, f"{error}", _what_now(broker, papers))
    return Finding(
        "broker", State.NOTE, f"{broker}: connected; what we publish to ourselves does not come back",
        "nothing, if it is a fleet's: its access list lets everyone publish under their own topics alone",
    )  # fmt: skip


def _what_now(broker: str, papers: TlsFiles) -> str:
    if broker.startswith("mqtts") and papers.cert is not None:
        return "let the operator look: `edgewise fleet list` tells who is revoked, `enroll` and `renew` make new papers"
    if broker.startswith("mqtts"):
        return "a fleet's broker wants the fleet's papers: --home of a device that joined, or --fleet-dir"
    return "start one with `edgewise broker`, or check the address and the firewall"
