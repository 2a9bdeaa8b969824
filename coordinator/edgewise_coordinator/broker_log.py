"""What a fleet's broker refused: Mosquitto's lines read as they come, the refusals kept and counted.

Mosquitto tells of a denied message only at its level `debug`, among a line for every message; and it grants every
subscription and then delivers nothing. So its lines are read here, and a filter that a device has no business with is
told as the refusal that it is.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from edgewise_coordinator.mosquitto_files import AGGREGATOR, COORDINATOR
from edgewise_wire.topics import ROOT

LOG_BYTES_MAX = 8 * 1024 * 1024  # then it is moved to `refusals.log.1`, and what stood there is gone

_CONNECTION = re.compile(r"New connection from (\S+?)(:\d+)? on port")
_TLS = re.compile(r"(?:OpenSSL Error\[\d+\]|Client connection from \S+ failed): (?:error:[^:]*:[^:]*:+)?(.*)")
_DENIED = re.compile(r"Denied PUBLISH from (\S+) \(.*?'(.*)'")
_TAKEN_OVER = re.compile(r"Client (\S+) already connected, closing old connection")
_BROKEN = re.compile(r"Client (?!<unknown>)(\S+) disconnected(?: due to |: )(.*?)\.?$")
_SUBSCRIBES = re.compile(r"Received SUBSCRIBE from (\S+)")
_FILTER = re.compile(r"\t(.*) \(QoS [012]\)$")
_STAMP = re.compile(r"^\S+: ")
_LINE = re.compile(r"^(\S+) ([^:]+): ")  # as `RefusalWriter` writes it


class Refusal(NamedTuple):
    """What was refused, and to whom or what about it."""

    kind: str
    about: str


class BrokerWatch:
    """Reads Mosquitto's lines one after the other.

    Example:
        >>> watch = BrokerWatch("home")
        >>> watch.read("1: Denied PUBLISH from pi-1 (d0, q1, r0, m3, 'ew/1/home/device/pi-2/up', ... (5 bytes))")
        Refusal(kind="published on another's topic", about='pi-1 on ew/1/home/device/pi-2/up')
    """

    def __init__(self, fleet: str) -> None:
        self._fleet = fleet
        self._subscriber = ""
        self._address = "someone"

    def read(self, line: str) -> Refusal | None:
        """Return the refusal that a line tells of, or `None`."""
        line = _STAMP.sub("", line.rstrip("\r\n"), count=1)
        if self._subscriber and (found := _FILTER.match(line)):
            return self._subscription(found[1])
        self._subscriber = ""
        if found := _SUBSCRIBES.match(line):
            self._subscriber = found[1]
        elif found := _CONNECTION.match(line):
            self._address = found[1]
        elif found := _TLS.match(line):
            return _handshake(found[1], self._address)
        else:
            return _refusal(line)
        return None

    def _subscription(self, wanted: str) -> Refusal | None:
        who = self._subscriber
        own, blobs = f"{ROOT}/{self._fleet}/device/{who}/down", f"{ROOT}/{self._fleet}/blob/"
        updates = f"{ROOT}/{self._fleet}/device/+/up/{who.removeprefix(AGGREGATOR)}"
        of_an_aggregator = who.startswith(AGGREGATOR) and wanted == updates
        if wanted == own or wanted.startswith(blobs) or who == COORDINATOR or of_an_aggregator:
            return None
        return Refusal("asked for another's topic", f"{who} for {_plain(wanted)}; it is given nothing from there")


def _handshake(error: str, address: str) -> Refusal | None:
    """Return what a failed handshake was; Mosquitto tells the error and not whose, so it is the last who knocked."""
    if "unexpected eof" in error:  # it went away by itself, as a probe does
        return None
    if "did not return a certificate" in error:
        return Refusal("no certificate", address)
    if "certificate" in error or "unknown ca" in error:
        return Refusal("certificate not accepted", f"{address}: revoked, expired, or of another authority")
    return Refusal("no TLS handshake", f"{address}: {_plain(error)}")


def _refusal(line: str) -> Refusal | None:
    if found := _DENIED.match(line):
        return Refusal("published on another's topic", f"{found[1]} on {_plain(found[2])}")
    if found := _TAKEN_OVER.match(line):
        return Refusal("session taken over", f"{found[1]} connected a second time")
    if found := _BROKEN.match(line):
        return Refusal("broken protocol", f"{found[1]} {_plain(found[2])}")
    return None


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]


class RefusalWriter:
    """Appends refusals to a log that is moved aside when it has grown large."""

    def __init__(self, path: Path, most: int = LOG_BYTES_MAX) -> None:
        self._path = path
        self._most = most

    def write(self, stamp: str, refusal: Refusal) -> None:
        """Write one line."""
        if self._path.exists() and self._path.stat().st_size > self._most:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {refusal.kind}: {refusal.about}\n")


class RefusalCounts:
    """Counts the lines of that log by kind; `read` looks only at what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._inode = 0
        self._counts: Counter[str] = Counter()

    def read(self) -> Counter[str]:
        """Return the counts so far; of a log that is not there, none."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._at:
                self._inode, self._at = found.st_ino, 0
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                if kind := _LINE.match(line.decode("utf-8", "replace")):
                    self._counts[kind[2]] += 1
        return self._counts
