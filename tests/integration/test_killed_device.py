"""A device's process is killed in the middle of its upload and started again: the same bits, nothing trained twice."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from edgewise_coordinator.state import StateStore
from edgewise_wire.codec import decode
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import UploadChunk, UploadRequest
from process_fleet import FLEET, ProcessFleet
from proxy import PUBLISH, UP, Cut, MqttProxy, Packet
from tests.support.broker_fixtures import make_mosquitto

pytestmark = pytest.mark.integration
SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
ARGUMENTS = [
    "--rounds",
    "2",
    "--cohort",
    "2",
    "--over-selection",
    "1.0",
    "--offline-grace",
    "60",
    "--evaluate-every",
    "0",
]


class Behind:
    """A broker seen through a proxy."""

    def __init__(self, proxy: MqttProxy) -> None:
        self.url = proxy.url


def run(folder: Path, model: Path, victim: str | None, *more: str) -> tuple[bytes, ProcessFleet]:
    """Run two rounds; `victim` is killed when its first upload chunk passes, which is lost with it, and restarted."""
    folder.mkdir(exist_ok=True)
    with make_mosquitto(folder / "broker") as broker, MqttProxy(broker.url) as proxy:
        fleet = ProcessFleet(folder, model, Behind(proxy))  # type: ignore[arg-type]
        killed = threading.Event()

        def kill(packet: Packet) -> None:
            if killed.is_set() or packet.direction != UP or packet.kind != PUBLISH or victim is None:
                return
            if says(packet, victim, UploadChunk):
                killed.set()
                os.kill(fleet.devices[victim].pid, signal.SIGKILL)
                raise Cut

        proxy.hook = kill
        try:
            for n, name in enumerate(("pi-0", "pi-1")):
                fleet.start_device(name, SENTENCES * (20 + n))
            fleet.start_coordinator(*ARGUMENTS, *more)
            if victim is not None:
                assert killed.wait(60)
                fleet.devices[victim].wait()
                fleet.start_device(victim)
            assert fleet.finish()["version"] == 2
        finally:
            fleet.stop()
    store = StateStore(folder / "run" / "state.sqlite")
    assert [len(store.reports(v.round_id)) for v in store.versions()[1:] if v.round_id] == [2, 2]
    last = store.versions()[-1].weights
    store.close()
    return (folder / "run" / "versions" / last).read_bytes(), fleet


def says(packet: Packet, device: str, what: type) -> bool:
    if not packet.topic.endswith(f"/{device}/up"):
        return False
    try:
        return isinstance(decode(packet.payload).body, what)
    except ProtocolError:
        return False


@pytest.fixture(scope="module")
def in_peace(tmp_path_factory: pytest.TempPathFactory, fixture_dir: Path) -> bytes:
    return run(tmp_path_factory.mktemp("peace"), fixture_dir / "tiny.tflite", None)[0]


def test_a_device_killed_in_its_upload_sends_the_same_update(
    tmp_path: Path, fixture_dir: Path, in_peace: bytes
) -> None:
    weights, fleet = run(tmp_path / "killed", fixture_dir / "tiny.tflite", "pi-1")
    assert weights == in_peace
    up = f"ew/1/{FLEET}/device/pi-1/up"
    said = [decode(m.payload) for m in fleet.payloads if m.topic == up]
    first = {e.body.update.hash for e in said if isinstance(e.body, UploadRequest) and e.round == said_round(said)}
    assert len(first) == 1  # asked for a slot again with the update of before


def said_round(said: list) -> int:  # type: ignore[type-arg]
    return min(e.round for e in said if isinstance(e.body, UploadRequest))


def test_weights_that_come_over_http_end_in_the_same_bits(tmp_path: Path, fixture_dir: Path, in_peace: bytes) -> None:
    weights, _ = run(tmp_path / "http", fixture_dir / "tiny.tflite", None, "--http", "127.0.0.1:0")
    assert weights == in_peace
