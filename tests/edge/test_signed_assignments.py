"""A device with the coordinator's key does what the coordinator signed for it, and nothing else."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from edgewise_wire import topics
from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import Accept, Decline, DeviceState, Envelope

signing = pytest.importorskip("edgewise_wire.crypto.signing", reason="needs the package cryptography")

KEY = signing.SigningKey.generate()


@pytest.fixture
def signed(world):
    """A waiting device that knows the coordinator's key; what it said so far has been read."""
    world.start(vouches=KEY.public.vouches_for)
    assert world.run(lambda: world.agent.state is DeviceState.CHECKED_IN)
    world.hear()
    return world


def deliver(world, payload: bytes) -> None:
    world.coordinator.publish(topics.device_down("home", "pi-7"), payload)
    world.run(steps=1)


def sealed(world, round_number: int = 1, message_id: int = 77, device: str = "pi-7", key=KEY) -> bytes:
    return key.seal(device, Envelope("home", round_number, message_id, world.assignment()))


def test_an_assignment_that_the_coordinator_signed_is_taken(signed):
    deliver(signed, sealed(signed))
    assert signed.bodies(Accept)


def forgeries(world) -> dict[str, bytes]:
    honest = decode(sealed(world))
    return {
        "unsigned": encode(replace(honest, body=replace(honest.body, signature=b""))),
        "by another key": sealed(world, key=signing.SigningKey.generate()),
        "for another device": sealed(world, device="pi-8"),
        "of another round": encode(replace(honest, round=2)),
        "with another learning rate": encode(replace(honest, body=replace(honest.body, learning_rate=9.0))),
    }


@pytest.mark.parametrize("kind", ["unsigned", "by another key", "for another device", "of another round"])
def test_a_forged_assignment_is_dropped_counted_and_told_to_the_operator(signed, kind, caplog):
    with caplog.at_level(logging.WARNING):
        deliver(signed, forgeries(signed)[kind])
    assert signed.agent.state is DeviceState.CHECKED_IN
    assert signed.agent.link.dropped["forged"] == 1
    assert "did not sign" in caplog.text
    ((number, body),) = signed.hear()
    assert (number, body) == (0, Decline(0, "refused 1 assignments that the coordinator did not sign"))


def test_forgeries_do_not_stop_an_honest_assignment_whatever_they_name(signed):
    deliver(signed, sealed(signed))
    signed.bodies()
    for payload in forgeries(signed).values():
        deliver(signed, payload)
    assert signed.agent.state in (DeviceState.DOWNLOADING, DeviceState.TRAINING)
    assert [(n, b) for n, b in signed.hear() if isinstance(b, Decline) and n] == []


def test_a_flood_of_forgeries_is_answered_a_few_times(signed):
    for _ in range(100):
        deliver(signed, forgeries(signed)["unsigned"])
    assert signed.agent.link.dropped["forged"] == 100
    assert len(signed.bodies(Decline)) == 7


def test_a_recorded_assignment_is_worth_nothing_however_much_later(signed):
    payload = sealed(signed)
    deliver(signed, payload)
    signed.wait(601)  # it gives up at the deadline
    signed.wait(7200)
    signed.hear()
    deliver(signed, payload)
    assert not signed.bodies(Accept)
    assert signed.agent.state is not DeviceState.DOWNLOADING


def test_without_a_key_any_assignment_is_taken(world):
    world.start()
    assert world.run(lambda: world.agent.state is DeviceState.CHECKED_IN)
    deliver(world, forgeries(world)["by another key"])
    assert world.bodies(Accept)
