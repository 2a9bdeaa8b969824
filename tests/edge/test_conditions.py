"""Each condition reads the real files of a made-up machine, and says what it read and what its owner allows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise_edge.conditions import CONDITIONS, Machine, Network, Watched, watch
from edgewise_edge.conditions.base import free_bytes, run_command
from edgewise_edge.conditions.disk import Disk
from edgewise_edge.conditions.load import Load
from edgewise_edge.conditions.memory import Memory
from edgewise_edge.conditions.power import Power
from edgewise_edge.conditions.schedule import Hours
from edgewise_edge.conditions.temperature import Temperature
from edgewise_edge.conditions.throttling import Throttling
from edgewise_edge.policy import Policy
from edgewise_wire.clock import ManualClock

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


class Fake:
    """A machine under a folder; what is not written is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.policy = Policy()
        self.answer: str | None = None
        self.commands: list[tuple[str, ...]] = []
        self.date: float | None = 1_700_000_000.0
        self.free: int | None = 10**9

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{text}\n")

    def supply(self, name: str, **files: str) -> None:
        for file, text in files.items():
            self.write(f"sys/class/power_supply/{name}/{file}", text)

    def allow(self, **rules: object) -> None:
        self.policy = replace(self.policy, **rules)

    def run(self, command):
        self.commands.append(tuple(command))
        return self.answer

    def machine(self) -> Machine:
        return Machine(
            self.root, lambda: self.policy, lambda: self.date, root=self.root, run=self.run,
            free=lambda path: self.free, cores=4,
        )  # fmt: skip

    def check(self, condition):
        found = condition(self.machine()).check()
        return found.reading, found.holds


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def test_a_machine_that_tells_nothing_has_nothing_against_it(fake):
    assert [one.obstacle() for one in watch(fake.machine(), ManualClock())] == [None] * len(CONDITIONS)


def test_a_machine_without_a_battery_runs_on_mains(fake):
    assert fake.check(Power) == ("mains, no battery", True)
    fake.supply("hid-mouse", type="Battery", scope="Device", capacity="3", status="Discharging")
    fake.supply("usb", type="USB", online="0")
    assert fake.check(Power) == ("mains, no battery", True)


@pytest.mark.parametrize(
    ("online", "level", "rules", "reading", "holds"),
    [
        ("1", "12", {}, "mains, battery at 12 %", True),
        ("0", "99", {}, "battery at 99 %", False),
        ("0", "30", {"on_battery": True}, "battery at 30 %", True),
        ("0", "29", {"on_battery": True}, "battery at 29 %", False),
        ("0", "", {"on_battery": True}, "battery at 0 %", False),
    ],
)
def test_a_battery_is_used_only_as_far_as_its_owner_allows(fake, online, level, rules, reading, holds):
    fake.allow(**rules)
    fake.supply("AC", type="Mains", online=online)
    fake.supply("BAT0", type="Battery", capacity=level, status="Discharging" if online == "0" else "Charging")
    assert fake.check(Power) == (reading, holds)


@pytest.mark.parametrize(("status", "holds"), [("Charging", True), ("Full", True), ("Discharging", False)])
def test_a_battery_hat_that_names_no_supply_tells_by_its_status(fake, status, holds):
    fake.supply("ups", type="UPS", capacity="80", status=status)
    assert fake.check(Power)[1] is holds


def test_the_hottest_sensor_that_can_be_believed_counts(fake):
    assert fake.check(Temperature) == ("no sensor", True)
    for number, text in enumerate(("48312", "80000", "-274000", "junk", "255000")):
        fake.write(f"sys/class/thermal/thermal_zone{number}/temp", text)
    assert fake.check(Temperature) == ("80.0 °C", True)
    fake.write("sys/class/thermal/thermal_zone0/temp", "80100")
    assert fake.check(Temperature) == ("80.1 °C", False)
    fake.allow(max_temperature=0)
    assert fake.check(Temperature)[1]


@pytest.mark.parametrize(
    ("flags", "reading", "holds"),
    [
        ("0", "none", True),
        ("50000", "none", True),  # it happened since boot, and is over
        ("50005", "under-voltage, throttled", False),
        ("throttled=0x8", "soft temperature limit", False),
        ("junk", "no flags on this machine", True),
    ],
)
def test_a_pi_that_slows_itself_down_is_left_alone(fake, flags, reading, holds):
    fake.write(FIRMWARE, flags)
    assert fake.check(Throttling) == (reading, holds)
    fake.allow(when_throttled=True)
    assert fake.check(Throttling) == (reading, True)


def test_load_is_a_cores_share(fake):
    fake.write("proc/loadavg", "8.00 2.00 1.00 1/200 4711")
    fake.allow(max_load=2)
    assert fake.check(Load) == ("2.00 a core", True)
    fake.write("proc/loadavg", "8.10 2.00 1.00 1/200 4711")
    assert fake.check(Load) == ("2.02 a core", False)
    fake.write("proc/loadavg", "")
    assert fake.check(Load) == ("not known", True)


@pytest.mark.parametrize(
    ("answer", "metered"),
    [
        (None, False),
        ("u 0\n", False),
        ("u 1\n", True),
        ("u 2\n", False),
        ("u 3\n", True),
        ("u 4\n", False),
        ("?", False),
    ],
)
def test_a_metered_network_is_left_alone_unless_its_owner_allows_megabytes(fake, answer, metered):
    fake.answer = answer
    assert fake.check(Network)[1] is not metered
    assert fake.commands[0][0] == "busctl"
    fake.allow(metered_megabytes=5)
    network = Network(fake.machine())
    assert network.check().holds
    assert network.metered is metered


def test_room_on_the_disk_and_in_memory(fake):
    fake.free = 200_000_000
    assert fake.check(Disk) == ("200 MB free", True)
    fake.free = 199_999_999
    assert fake.check(Disk) == ("199 MB free", False)
    fake.free = None
    assert fake.check(Disk) == ("not known", True)
    fake.write("proc/meminfo", "MemTotal:  512000 kB\nMemAvailable:   62500 kB")
    assert fake.check(Memory) == ("64 MB available", True)
    fake.write("proc/meminfo", "MemAvailable:   62499 kB")
    assert fake.check(Memory) == ("63 MB available", False)


def test_hours_are_the_machines_own_and_need_a_date(fake, monkeypatch):
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        fake.date = 1_700_000_000.0  # 22:13:20 in Greenwich, 17:13 here
        assert fake.check(Hours) == ("17:13", True)
        fake.allow(hours="22:00-06:00")
        assert fake.check(Hours) == ("17:13", False)
        fake.allow(hours="1-5, 17:13-17:14")
        assert fake.check(Hours) == ("17:13", True)
        fake.date = None
        assert fake.check(Hours) == ("the clock is behind the last date seen", False)
        fake.allow(hours="")
        assert fake.check(Hours)[1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_look_is_good_for_its_period_and_says_both_reading_and_rule(fake):
    clock = ManualClock()
    watched = Watched(Temperature(fake.machine()), clock)
    assert watched.obstacle() is None
    fake.write("sys/class/thermal/thermal_zone0/temp", "91000")
    clock.advance(1.9)
    assert watched.obstacle() is None
    clock.advance(0.2)
    assert watched.obstacle() == "temperature: 91.0 °C; its owner's rule: at most 80 °C"


def test_the_real_machine_can_be_asked(tmp_path):
    machine = Machine(tmp_path, Policy, time.time)
    assert [one.finding().name for one in watch(machine, ManualClock())] == [
        "power", "temperature", "throttling", "load", "network", "disk", "memory", "hours",
    ]  # fmt: skip
    assert free_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / "nowhere") is None


def test_a_program_that_is_not_there_fails_or_hangs_has_no_answer(monkeypatch):
    monkeypatch.setattr("edgewise_edge.conditions.base.COMMAND_SECONDS", 0.05)
    assert run_command(["no-such-program"]) is None
    assert run_command(["false"]) is None
    assert run_command(["sleep", "30"]) is None
    monkeypatch.undo()
    assert run_command(["echo", "u 4"]) == "u 4\n"
