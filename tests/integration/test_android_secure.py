"""A secure round of Python devices and JVM devices: the sum is exact, and the coordinator sees no single update."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise_wire.codec import decode
from edgewise_wire.messages import Body, SecureReveal, SecureShares, UploadRequest
from process_fleet import ProcessFleet, process_fleet
from secure_sum import check_sum
from tests.support.jvm_devices import desktop_jar, start_jvm_device

pytest.importorskip("cryptography")
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SECURE = ("--secure-aggregation", "--evaluate-every", "0", "--over-selection", "1.0", "--secure-timeout", "10")


@pytest.fixture(scope="module")
def jar() -> Path:
    return desktop_jar()


def watch(fleet: ProcessFleet, until: int, victim: str = "") -> dict[str, np.ndarray]:
    """Read what so many devices add to the sum from their folders as they upload; kill one that has shared secrets."""
    words: dict[str, np.ndarray] = {}

    def seen(device: str, body: Body) -> bool:
        if isinstance(body, UploadRequest):
            words[device] = np.fromfile(fleet.folder / device / "session/update", "<u4")
        if device == victim and isinstance(body, SecureShares) and fleet.devices[victim].poll() is None:
            fleet.kill(victim)
        return len(words) == until

    fleet.until(seen)
    return words


def test_a_mixed_cohorts_sum_is_exact_though_a_jvm_device_falls_silent(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(2):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n))
            start_jvm_device(fleet, jar, f"jvm-{n}", SENTENCES * (3 + n))
        fleet.start_coordinator("--rounds", "1", "--cohort", "4", "--min-reports", "3", *SECURE)
        words = watch(fleet, 3, victim="jvm-1")
        assert fleet.finish()["version"] == 1
        assert check_sum(fleet, words, 4)[0] == {"pi-0", "pi-1", "jvm-0"}
        told = [decode(m.payload).body for m in fleet.payloads if m.payload and m.topic.endswith("/up")]
        requests = [body for body in told if isinstance(body, UploadRequest)]
        assert all((r.examples, r.loss, r.steps) == (1, 0.0, 0) for r in requests)  # of itself a device says nothing
        assert sum(isinstance(body, SecureReveal) for body in told) >= 3
        sent = b"".join(m.payload for m in fleet.payloads if m.topic.endswith("/up"))
        assert not any(row.astype("<u4")[:64].tobytes() in sent for row in words.values())
