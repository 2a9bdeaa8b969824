"""What a device says while it is at work: how far it is, but in a secure round no more than that it is at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_edge.link import Identity, Link
from edgewise_edge.progress import Step
from edgewise_edge.session import Work
from edgewise_edge.status import Status
from edgewise_wire.clock import ManualClock
from edgewise_wire.codec import decode
from edgewise_wire.messages import Assignment, DeviceState, Progress, SecureTerms
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.memory import MemoryBroker


@pytest.mark.parametrize(
    ("secure", "told"), [(SecureTerms(), (5, 20, 2.5)), (SecureTerms(8, 4, 16, 1.0, 10), (0, 0, 0.0))]
)
def test_steps_and_loss_are_told_but_in_a_secure_round(
    secure: SecureTerms, told: tuple[int, int, float], tmp_path: Path
) -> None:
    broker, clock = MemoryBroker(), ManualClock(0.0, 1.8e9)
    spy = broker.connect("spy")
    spy.subscribe("#")
    link = Link(broker.connect("pi-1"), Identity("home", "pi-1", 1))
    status, work = Status(tmp_path / "status.json", link, clock), Work("home", 3, 1, Assignment(1, secure=secure), 0.0)
    link.up = True
    status.enter(DeviceState.TRAINING, work)
    clock.advance(60.0)
    status.progress(work, Step(5, 20, 2.5))
    heard = []
    while (event := spy.poll(0.0)) is not None:
        if isinstance(event, Message) and isinstance(body := decode(event.payload).body, Progress):
            heard.append((body.done, body.total, body.loss))
    assert heard == [(0, 0, 0.0), told]
