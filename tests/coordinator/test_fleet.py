"""The registry of devices: two that use one name are told of, a restart is not."""

from __future__ import annotations

import logging

import pytest

from edgewise_coordinator.fleet import Fleet
from edgewise_wire.clock import ManualClock
from edgewise_wire.messages import CheckIn


@pytest.fixture
def fleet(caplog: pytest.LogCaptureFixture) -> Fleet:
    caplog.set_level(logging.WARNING, "edgewise.coordinator")
    return Fleet(ManualClock())


def come(fleet: Fleet, session: int) -> None:
    """What the coordinator hears when a broker gives a name's link to this process."""
    record = fleet.get("pi")
    if record is not None and record.session and record.session != session:
        fleet.presence("pi", False, record.session)  # the last will of the one that was thrown off
    fleet.presence("pi", True, session)
    fleet.check_in("pi", CheckIn(session=session))


def test_two_devices_of_one_name_are_told_of(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    for session in (11, 22, 11, 22):
        come(fleet, session)
    assert fleet.doubled == 1
    assert [r.getMessage() for r in caplog.records] == [
        "pi: two devices use this name and throw each other off the broker (2 times so far); give one of them"
        " another name"
    ]


def test_they_are_told_of_ever_less_often(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        come(fleet, 11)
        come(fleet, 22)
    assert len(caplog.records) == 6  # at 2, 4, 8, 16, 32 and 64 of 98 returns
    assert fleet.doubled == 1


def test_a_device_that_restarts_often_is_one_device(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    for session in range(1, 50):
        come(fleet, session)
        come(fleet, session)  # and its link broke once
    assert fleet.doubled == 0
    assert not caplog.records


def test_an_old_message_that_a_broker_repeats_proves_nothing(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    come(fleet, 11)
    come(fleet, 22)
    fleet.presence("pi", True, 11)
    fleet.presence("pi", False, 11)
    fleet.presence("pi", True, 33)
    assert fleet.doubled == 0
    assert not caplog.records
