"""How fast each device of a virtual fleet computes and sends, and how often it drops out."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.availability import Always, Availability, Diurnal, read_trace
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.manifest import Manifest

BITS = 8e-6  # megabits a byte


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """One kind of device.

    Attributes:
        name: of the kind.
        share: of the fleet, relative to the other kinds'.
        gflops: 10⁹ floating-point operations a second that a training step reaches; not the chip's peak.
        seconds_per_step: measured on such a device for this very model; goes before `gflops` where it is above 0.
        spread: σ of the log-normal factor between two devices of the kind (0: all alike).
        down_mbps, up_mbps: of its link, in megabits a second.
        latency: seconds between the coordinator's word and the device's beginning.
    """

    name: str
    share: float = 1.0
    gflops: float = 10.0
    seconds_per_step: float = 0.0
    spread: float = 0.0
    down_mbps: float = 100.0
    up_mbps: float = 20.0
    latency: float = 0.1

    def __post_init__(self) -> None:
        for name in ("share", "gflops", "down_mbps", "up_mbps"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"device class {self.name!r}: {name}: expected above 0, got {getattr(self, name)}")
        for name in ("seconds_per_step", "spread", "latency"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"device class {self.name!r}: {name}: expected 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class FleetModel:
    """A virtual fleet: its kinds of devices, when they are there, and how often they fail.

    Attributes:
        classes: kinds of devices.
        drop_out: least and largest probability that a device which was asked does not report; each device has its own.
        peak, swing, stay, peak_hour: of `availability.Diurnal`; a peak of 0 means that everyone is always there.
        trace: a file for `availability.read_trace`, in the place of these.
    """

    classes: tuple[DeviceClass, ...] = (DeviceClass("device"),)
    drop_out: tuple[float, float] = (0.0, 0.0)
    peak: float = 0.0
    swing: float = 4.0
    stay: float = 3600.0
    peak_hour: float = 2.0
    trace: str = ""

    def __post_init__(self) -> None:
        low, high = self.drop_out
        if not 0 <= low <= high < 1:
            raise ConfigError(
                f"drop-out: expected two shares, 0 to 1 (not included), the lower first, got {low}, {high}"
            )
        if not self.classes:
            raise ConfigError("fleet: expected at least one class of devices, got none")

    def availability(self, devices: list[str], seed: int) -> Availability:
        """Return who is there when. Raises DataError if there is a trace that cannot be read."""
        if self.trace:
            return read_trace(Path(self.trace), devices)
        if not self.peak:
            return Always(len(devices))
        return Diurnal(
            len(devices), peak=self.peak, swing=self.swing, stay=self.stay, peak_hour=self.peak_hour, seed=seed
        )


@dataclass(frozen=True)
class Population:
    """The devices of a virtual fleet, one number each, float64[devices]."""

    seconds_per_step: NDArray[np.float64] = field(repr=False)
    down: NDArray[np.float64] = field(repr=False)
    up: NDArray[np.float64] = field(repr=False)
    latency: NDArray[np.float64] = field(repr=False)
    drop_out: NDArray[np.float64] = field(repr=False)
    kind: NDArray[np.int64] = field(repr=False)

    def seconds(
        self, devices: NDArray[np.int64], steps: NDArray[np.int64], bytes_down: int, bytes_up: int
    ) -> NDArray[np.float64]:
        """Return how long each of these devices takes from its assignment to its report."""
        moved = bytes_down * BITS / self.down[devices] + bytes_up * BITS / self.up[devices]
        found: NDArray[np.float64] = self.latency[devices] + moved + steps * self.seconds_per_step[devices]
        return found


def draw(model: FleetModel, devices: int, manifest: Manifest, seed: int) -> Population:
    """Return a fleet of `devices` devices, drawn from `seed`."""
    rng = np.random.default_rng([seed, 0xF1])
    shares = np.array([one.share for one in model.classes])
    kind = rng.choice(len(shares), size=devices, p=shares / shares.sum())
    step = np.array([one.seconds_per_step or manifest.flops / (one.gflops * 1e9) for one in model.classes])
    spread = np.array([one.spread for one in model.classes])[kind]
    slow = np.exp(spread * rng.standard_normal(devices))
    link = np.exp(spread * rng.standard_normal(devices))
    low, high = model.drop_out
    return Population(
        seconds_per_step=step[kind] * slow,
        down=np.array([one.down_mbps for one in model.classes])[kind] / link,
        up=np.array([one.up_mbps for one in model.classes])[kind] / link,
        latency=np.array([one.latency for one in model.classes])[kind],
        drop_out=low + (high - low) * rng.random(devices),
        kind=kind.astype(np.int64),
    )


PRESETS: dict[str, FleetModel] = {
    # What is sent and computed takes no time to speak of: rounds are counted, not hours.
    "ideal": FleetModel((DeviceClass("ideal", gflops=1e6, down_mbps=1e6, up_mbps=1e6, latency=0.0),)),
    # Effective training speeds are assumptions (about a third of a single-core SGEMM at the boards' clocks); measure
    # yours with `edgewise device tune` and set seconds_per_step.
    "pi-fleet": FleetModel(
        (
            DeviceClass("pi-5", share=0.3, gflops=12.0, spread=0.1, down_mbps=50, up_mbps=20, latency=0.2),
            DeviceClass("pi-4", share=0.5, gflops=4.0, spread=0.1, down_mbps=50, up_mbps=20, latency=0.2),
            DeviceClass("pi-3", share=0.2, gflops=1.2, spread=0.15, down_mbps=20, up_mbps=10, latency=0.4),
        ),
        drop_out=(0.01, 0.03),
    ),
    # Bonawitz et al. 2019, "Towards Federated Learning at Scale", §9: drop-out of 6 to 10 %, four times as many devices
    # at night as by day. Speeds and links are assumptions: mid-range phones on home Wi-Fi.
    "phones": FleetModel(
        (
            DeviceClass("high-end", share=0.2, gflops=20.0, spread=0.3, down_mbps=60, up_mbps=15, latency=1.0),
            DeviceClass("mid-range", share=0.5, gflops=8.0, spread=0.4, down_mbps=30, up_mbps=8, latency=1.0),
            DeviceClass("low-end", share=0.3, gflops=2.5, spread=0.4, down_mbps=15, up_mbps=4, latency=2.0),
        ),
        drop_out=(0.06, 0.10),
        peak=0.2,
        swing=4.0,
    ),
    # A few organisations with servers: always there, alike, hardly ever lost.
    "silo": FleetModel(
        (DeviceClass("server", gflops=50.0, spread=0.1, down_mbps=1000, up_mbps=1000, latency=0.05),),
        drop_out=(0.0, 0.001),
    ),
}


def fleet_model(name: str, **changes: Any) -> FleetModel:
    """Return a preset, or what a JSON file describes, with `changes` to its fields.

    A file has the fields of `FleetModel`; its `classes` are objects with those of `DeviceClass`.

    Raises:
        ConfigError: if there is no such preset, or a field is not known or out of its range.
        DataError: if the file cannot be read.

    Example:
        >>> fleet_model("phones", swing=2.0).drop_out
        (0.06, 0.1)
    """
    given = {key: value for key, value in changes.items() if value is not None}
    if name in PRESETS:
        return replace(PRESETS[name], **given)
    path = Path(name)
    if path.suffix != ".json":
        raise ConfigError(f"fleet model {name!r}: expected one of {', '.join(PRESETS)}, or a .json file")
    return replace(_read(path), **given)


def _read(path: Path) -> FleetModel:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    _known(path, found, FleetModel)
    classes = found.pop("classes", None) or [{"name": "device"}]
    for one in classes:
        _known(path, one, DeviceClass)
    try:
        drop_out = found.pop("drop_out", 0.0)
        pair = (drop_out, drop_out) if isinstance(drop_out, (int, float)) else tuple(drop_out)
        made = FleetModel(tuple(DeviceClass(**one) for one in classes), drop_out=pair, **found)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    if made.trace and not Path(made.trace).is_absolute():
        made = replace(made, trace=str(path.parent / made.trace))
    return made


def _known(path: Path, given: object, kind: type) -> None:
    names = [one.name for one in fields(kind)]
    if not isinstance(given, dict):
        raise DataError(f"{path}: expected an object with {', '.join(names)}, got {type(given).__name__}")
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise DataError(f"{path}: {unknown[0]!r} is not known, expected {', '.join(names)}")


def hours(seconds: float) -> float:
    """Return seconds as hours, infinity as it is."""
    return seconds / 3600 if math.isfinite(seconds) else seconds
