"""When devices can be asked: always, by the time of day, or as a trace from a file says."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ConfigError, DataError

DAY = 86400.0
Numbers: TypeAlias = NDArray[np.int64]
"""Devices by their numbers."""
Spans: TypeAlias = "Sequence[tuple[float, float]]"
"""(start, end) of each time that a device is available, in seconds of virtual time."""


class Availability(Protocol):
    """Says which devices are online. Law: a function of time and device alone, whenever and however often asked."""

    def online(self, now: float) -> NDArray[np.bool_]:
        """Return which devices are online at a time, bool[devices]."""

    def until(self, devices: Numbers, now: float) -> NDArray[np.float64]:
        """Return when each of these devices, online now, goes offline; infinity for never."""

    def next_change(self, now: float) -> float:
        """Return a time after `now` before which nobody comes online; infinity if nobody ever will."""


class Always:
    """Every device, at any time."""

    def __init__(self, devices: int) -> None:
        self._online = np.ones(devices, np.bool_)

    def online(self, now: float) -> NDArray[np.bool_]:
        """Return all of them."""
        return self._online

    def until(self, devices: Numbers, now: float) -> NDArray[np.float64]:
        """Return never."""
        return np.full(len(devices), math.inf)

    def next_change(self, now: float) -> float:
        """Return never."""
        return math.inf


class Diurnal:
    """More devices at night than by day (Bonawitz et al. 2019, §9: four times as many at the peak as at the trough).

    Each device's time is cut into stays of `stay` seconds, with an offset of its own; in each it is online with the
    probability of that time of day, p(t) = trough + (peak − trough)·(1 + cos(2π(t − `peak_hour`)/day))/2.

    Args:
        devices: how many.
        peak: share of the fleet that is online at the busiest hour, above 0 to 1.
        swing: how many times more than at the quietest one.
        stay: seconds.
        peak_hour: of virtual time's day; it begins at midnight.
        seed: of the run.

    Raises:
        ConfigError: if one is out of its range.
    """

    def __init__(
        self, devices: int, *, peak: float = 0.2, swing: float = 4.0, stay: float = 3600.0, peak_hour: float = 2.0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        if not (0 < peak <= 1 and swing >= 1 and stay > 0):
            raise ConfigError(
                "availability: expected a peak in (0, 1], a swing from 1 up and a stay above 0 s, got "
                f"{peak}, {swing}, {stay}"
            )
        self._peak, self._trough, self._stay, self._hour = peak, peak / swing, stay, peak_hour
        rng = np.random.default_rng([seed, 0xD1])
        self._offset = rng.random(devices) * stay
        self._keys = rng.integers(0, 1 << 63, devices, dtype=np.uint64)
        self._step = stay / 60

    def share(self, now: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the expected share of the fleet that is online at a time."""
        wave = (1 + np.cos(2 * math.pi * (np.asarray(now) - self._hour * 3600) / DAY)) / 2
        found: NDArray[np.float64] = self._trough + (self._peak - self._trough) * wave
        return found

    def online(self, now: float) -> NDArray[np.bool_]:
        """Return who is in a stay that it spends online."""
        return self._drawn(slice(None), np.floor((now + self._offset) / self._stay))

    def until(self, devices: Numbers, now: float) -> NDArray[np.float64]:
        """Return the end of the stays that each spends online one after the other (at most a day's)."""
        first = np.floor((now + self._offset[devices]) / self._stay) + 1
        following = first[:, None] + np.arange(1 + int(DAY / self._stay), dtype=np.float64)
        on = self._drawn(devices[:, None], following)
        on[:, -1] = False
        found: NDArray[np.float64] = (first + np.argmin(on, axis=1)) * self._stay - self._offset[devices]
        return found

    def next_change(self, now: float) -> float:
        """Return a sixtieth of a stay later: in a fleet somebody comes or goes all the time."""
        return now + self._step

    def _drawn(self, devices: slice | Numbers, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        middle = (numbers + 0.5) * self._stay - self._offset[devices]
        draws = uniform(self._keys[devices] + numbers.astype(np.int64).astype(np.uint64))
        found: NDArray[np.bool_] = draws < self.share(middle)
        return found


class Traced:
    """As a trace says, which is repeated with its period.

    Args:
        spans: (start, end) in seconds, one list a device, sorted and apart.
        period: seconds after which it begins anew; 0 for never.
        names: of the devices, for errors.

    Raises:
        DataError: if a span ends before it begins or overlaps the next.
    """

    def __init__(self, spans: Sequence[Spans], period: float = 0.0, names: Sequence[str] = ()) -> None:
        for device, own in enumerate(spans):
            flat = [moment for span in own for moment in span]
            if any(a > b for a, b in pairwise(flat)) or (period and flat and flat[-1] > period):
                who = repr(names[device]) if names else str(device)
                raise DataError(
                    f"trace of device {who}: expected spans that end after they begin, and apart, got {list(own)[:3]}"
                )
        self._spans = [list(own) for own in spans]
        self._period = period
        pairs = [(s, e, d) for d, own in enumerate(self._spans) for s, e in own]
        self._starts, self._ends = (np.array([p[i] for p in pairs], np.float64) for i in (0, 1))
        self._owners = np.array([p[2] for p in pairs], np.int64)
        self._moments = np.unique(self._starts)

    def online(self, now: float) -> NDArray[np.bool_]:
        """Return who has a span around this time."""
        at = self._within(now)
        found = np.zeros(len(self._spans), np.bool_)
        found[self._owners[(self._starts <= at) & (at < self._ends)]] = True
        return found

    def until(self, devices: Numbers, now: float) -> NDArray[np.float64]:
        """Return the end of each one's span."""
        at = self._within(now)
        ends = [next((e for s, e in self._spans[device] if s <= at < e), at) for device in devices]
        return now + (np.array(ends, np.float64) - at)

    def next_change(self, now: float) -> float:
        """Return when the next span of anybody begins."""
        at = self._within(now)
        later = self._moments[self._moments > at]
        if len(later):
            return now + float(later[0]) - at
        return now + self._period - at + float(self._moments[0]) if self._period and len(self._moments) else math.inf

    def _within(self, now: float) -> float:
        return now % self._period if self._period else now


def read_trace(path: Path, devices: Sequence[str]) -> Traced:
    """Return the availability that a trace file describes.

    A CSV file has the columns `device`, `start`, `end`; a JSON file is an object of device to a list of [start, end].
    Times are seconds of virtual time. The trace is repeated after its last whole day. Names that the fleet has not
    are a fleet's own devices in the order of the file: trace i serves every device i modulo their number.

    Raises:
        DataError: if the file cannot be read as one of these.
    """
    spans = _spans_of(path)
    if not spans:
        raise DataError(f"{path}: expected at least one span of availability, found none")
    period = math.ceil(max(end for own in spans.values() for _, end in own) / DAY) * DAY
    if set(spans) <= set(devices):
        found = {device: sorted(spans.get(device, ())) for device in devices}
    else:
        traces = [sorted(own) for own in spans.values()]
        found = {device: traces[number % len(traces)] for number, device in enumerate(devices)}
    try:
        return Traced(list(found.values()), period, list(found))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _spans_of(path: Path) -> dict[str, list[tuple[float, float]]]:
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() == ".json":
            given = json.loads(text)
            if not isinstance(given, Mapping):
                raise ValueError("expected an object of device to spans")
            found = {str(name): [(float(s), float(e)) for s, e in own] for name, own in given.items() if own}
        else:
            found = {}
            for row in csv.DictReader(text.splitlines()):
                found.setdefault(row["device"], []).append((float(row["start"]), float(row["end"])))
        strange = next((one for own in found.values() for span in own for one in span if not math.isfinite(one)), None)
        if strange is not None:
            raise ValueError(f"a time that is {strange}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path}: no trace ({why}); expected device,start,end as CSV, or JSON spans by device"
        ) from error
    return {name: own for name, own in found.items() if own}


def uniform(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a number in [0, 1) a key (splitmix64's finalizer): a function of the key on every machine."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    found: NDArray[np.float64] = np.multiply(z >> np.uint64(11), 2.0**-53, dtype=np.float64)
    return found
