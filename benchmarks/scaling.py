"""What a fleet of ten million devices asks of brokers, aggregators and a coordinator: `python benchmarks/scaling.py`.

Arithmetic, not a measurement: every line is computed from the figures above it, sizes by the very code that makes the
bytes. What one process does in a second is measured by `benchmarks/fleet_load.py` and handed in.

    python benchmarks/scaling.py --devices 1000000 --cohort 2000 --compress float32
"""

from __future__ import annotations

import argparse
import json
import math
import tracemalloc
from dataclasses import asdict, dataclass

from edgewise_coordinator.fleet import Fleet as Registry
from edgewise_coordinator.pace import PaceSteering
from edgewise_wire.blobs import make_ref
from edgewise_wire.clock import ManualClock
from edgewise_wire.codec import encode
from edgewise_wire.messages import (
    CHUNK_BYTES,
    Accept,
    Assignment,
    CheckIn,
    ComeBackLater,
    Envelope,
    ReportAck,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.transforms import get

DAY = 86_400.0
TCP_BYTES = 66  # Ethernet, IP and TCP headers of one small packet, with timestamps
PING_BYTES = 2 * (2 + TCP_BYTES)  # MQTT's PINGREQ and PINGRESP, two bytes each


@dataclass(frozen=True)
class Fleet:
    """What is assumed; everything else follows."""

    devices: int
    eligible: float
    parameters: int
    cohort: int
    over_selection: float
    round_seconds: float
    compress: str
    compress_down: str
    keepalive: float
    check_ins: float
    broker_connections: int
    broker_mbit: float
    aggregator_mb: float
    coordinator_messages: float


def bytes_of(body: object) -> int:
    """Return what a message comes to on the wire, in its envelope."""
    return len(encode(Envelope("fleet", 1_000_000, 1 << 40, body)))  # type: ignore[arg-type]


def record_bytes(count: int = 20_000) -> float:
    """Return what the registry holds of one device that waits, its name included: measured."""
    clock, offer = ManualClock(), CheckIn(1, bytes(32), 100, 25, "ai-edge-litert 2.0", "edgewise 1.0")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    registry = Registry(clock)
    for number in range(count):
        registry.check_in(f"device-{number:08}", offer)
    registry.take_newly_heard()
    found = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return found / count


def figures(f: Fleet) -> dict[str, float]:
    """Return what the fleet asks for."""
    online = f.devices * f.eligible
    up, down = get(f.compress).size(f.parameters), _down_bytes(f)
    asked = math.ceil(f.cohort * f.over_selection)
    weights = make_ref(bytes(4 * f.parameters))
    chunks_up, chunks_down = -(-up // CHUNK_BYTES), -(-down // CHUNK_BYTES)
    windows = PaceSteering(f.check_ins).windows(int(online))
    assignment = bytes_of(Assignment(1, 0, weights, weights, 1000, signature=bytes(64)))
    turned_away = bytes_of(CheckIn(1 << 60, bytes(32), 100, 25, "ai-edge-litert 2.0", "edgewise 1.0"))
    turned_away += bytes_of(ComeBackLater(windows.rejected, "enough devices are waiting"))
    small = sum(
        map(bytes_of, (Accept(1), UploadRequest(1, make_ref(bytes(up)), 100), UploadGrant(1, 8), ReportAck(1, True)))
    )
    round_up = f.cohort * up
    round_down = asked * (down + assignment)
    broker_in = (round_up + f.cohort * small) / f.round_seconds + f.check_ins * turned_away
    broker_out = (round_up + round_down) / f.round_seconds + f.check_ins * turned_away
    pings = online / f.keepalive
    busiest = max(broker_in, broker_out + pings * PING_BYTES / 2)
    # Of a participant: its check-in, its acceptance and one word of progress; of a report: the request and the notice.
    told = 2 * f.devices / DAY + f.check_ins + (3 * asked + 2 * f.cohort) / f.round_seconds
    return {
        "online": online,
        "presences_a_second": 2 * f.devices * 1 / DAY,
        "check_ins_a_second": f.check_ins,
        "window_rejected_hours": windows.rejected / 3600,
        "window_accepted_hours": windows.accepted / 3600,
        "pings_a_second": pings,
        "ping_mbit": pings * PING_BYTES * 8 / 1e6,
        "bytes_up_a_report": up,
        "bytes_down_a_device": down,
        "assignment_bytes": assignment,
        "round_up_gb": round_up / 1e9,
        "round_down_gb": round_down / 1e9,
        "chunks_a_second": (f.cohort * chunks_up + asked * chunks_down) / f.round_seconds,
        "broker_mbit": busiest * 8 / 1e6,
        "brokers_for_connections": math.ceil(online / f.broker_connections),
        "brokers_for_bytes": math.ceil(busiest * 8 / 1e6 / f.broker_mbit),
        "aggregators": math.ceil(4 * f.parameters * f.cohort / f.round_seconds / (f.aggregator_mb * 1e6)),
        "spool_gb_a_round": round_up / 1e9,
        "partial_sum_mb": 8 * f.parameters / 1e6,
        "coordinator_messages_a_second": told,
        "coordinator_share": told / f.coordinator_messages,
        "registry_gb": record_bytes() * f.devices / 1e9,
        "reports_a_day": f.cohort * DAY / f.round_seconds,
        "days_until_each_took_part": f.devices / (f.cohort * DAY / f.round_seconds),
    }


def _down_bytes(f: Fleet) -> int:
    from edgewise_wire.transforms.delta import WHOLE

    if not f.compress_down or f.compress_down == WHOLE:
        return 4 * f.parameters
    return get(f.compress_down).size(f.parameters)


def lines(f: Fleet, r: dict[str, float]) -> list[str]:
    """Return the page."""
    rows = [
        ("online at once", "online", ",.0f", ""),
        ("comings and goings a second", "presences_a_second", ",.0f", "each device comes and goes once a day"),
        ("check-ins a second", "check_ins_a_second", ",.0f", "kept to by pace steering: come back in"),
        ("  hours, when turned away", "window_rejected_hours", ".1f", ""),
        ("  hours, after a report", "window_accepted_hours", ".1f", ""),
        ("keep-alive pings a second", "pings_a_second", ",.0f", ""),
        ("  Mbit/s, with TCP's headers", "ping_mbit", ",.1f", ""),
        ("bytes up a report", "bytes_up_a_report", ",.0f", ""),
        ("bytes down a device and round", "bytes_down_a_device", ",.0f", "and the assignment:"),
        ("  bytes of an assignment", "assignment_bytes", ",.0f", ""),
        ("GB up a round", "round_up_gb", ".2f", "as much is written to the spools, and deleted at its end"),
        ("GB down a round", "round_down_gb", ".2f", ""),
        ("chunks a second", "chunks_a_second", ",.0f", ""),
        ("Mbit/s at the brokers", "broker_mbit", ",.0f", "the busier direction"),
        ("brokers, for connections", "brokers_for_connections", ",.0f", ""),
        ("brokers, for bytes", "brokers_for_bytes", ",.0f", ""),
        ("aggregators", "aggregators", ",.0f", "for float32 values a second, decoded"),
        ("MB of a partial sum", "partial_sum_mb", ".1f", "from each aggregator, once a round"),
        ("coordinator: messages a second", "coordinator_messages_a_second", ",.0f", "of what one process handles:"),
        ("  its share", "coordinator_share", ".0%", ""),
        ("coordinator: GB of registry", "registry_gb", ".1f", "--max-devices; a record is measured here"),
        ("reports a day", "reports_a_day", ",.0f", ""),
        ("days until each took part once", "days_until_each_took_part", ",.1f", ""),
    ]
    return [
        *(f"{name.replace('_', ' '):24} {value:>14,}" if not isinstance(value, str) else f"{name:24} {value:>14}"
          for name, value in asdict(f).items()),
        "",
        *(f"{label:31} {format(r[key], how):>12}   {note}".rstrip() for label, key, how, note in rows),
    ]  # fmt: skip


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000_000)
    parser.add_argument("--eligible", type=float, default=0.05, help="share that is charged, idle and on Wi-Fi at once")
    parser.add_argument("--parameters", type=int, default=1_422_250)
    parser.add_argument("--cohort", type=int, default=2000)
    parser.add_argument("--over-selection", type=float, default=1.3)
    parser.add_argument("--round-seconds", type=float, default=180.0)
    parser.add_argument("--compress", default="eden-2")
    parser.add_argument("--compress-down", default="lloyd-4")
    parser.add_argument("--keepalive", type=float, default=60.0)
    parser.add_argument("--check-ins", type=float, default=50.0, help="wanted a second; pace steering keeps to it")
    parser.add_argument("--broker-connections", type=int, default=100_000)
    parser.add_argument("--broker-mbit", type=float, default=2000.0)
    parser.add_argument("--aggregator-mb", type=float, default=60.0, help="float32 taken in a second by one process")
    parser.add_argument("--coordinator-messages", type=float, default=2000.0, help="handled a second by one process")
    parser.add_argument("--json", action="store_true", help="one JSON line")
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    fleet = Fleet(**given)
    found = figures(fleet)
    print(json.dumps({"assumed": asdict(fleet)} | found) if as_json else "\n".join(lines(fleet, found)))


if __name__ == "__main__":
    main()
