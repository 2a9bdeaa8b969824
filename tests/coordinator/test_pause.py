"""A full disk: the coordinator holds still, says so once, loses nothing, and goes on when there is room."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator_scene import Scene
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.history import History
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_coordinator.state import StateStore
from edgewise_wire.blobs import BlobAssembler
from edgewise_wire.errors import UnavailableError
from edgewise_wire.messages import ReportAck

DEVICES = ("d1", "d2", "d3")
SETTINGS = Settings(
    "test",
    2,
    RoundSettings(goal=3, over_selection=1.0, offline_grace=1e6, report_timeout=1e6),
    TrainingSettings(learning_rate=0.1),
    keep_updates=True,
)
DISK_BYTES = 8 << 20  # two rounds of three updates of 481 KB, three versions, and some room
MOMENTS = [
    (FaultPoint.BEFORE_SELECTION, 1),
    (FaultPoint.AFTER_SELECTION, 2),
    (FaultPoint.AFTER_GRANT, 1),
    (FaultPoint.AFTER_SPOOL_WRITE, 1),
    (FaultPoint.AFTER_SPOOL_WRITE, 7),
    (FaultPoint.BEFORE_SPOOL_SYNC, 2),
    (FaultPoint.AFTER_SPOOL_SYNC, 3),
    (FaultPoint.AFTER_ACKNOWLEDGEMENT, 5),
    (FaultPoint.BEFORE_CLOSING, 2),
    (FaultPoint.BEFORE_AGGREGATE, 2),
    (FaultPoint.AFTER_AGGREGATE, 2),
    (FaultPoint.AFTER_STATE_FILE, 2),
    (FaultPoint.AFTER_VERSION_FILES, 1),
    (FaultPoint.AFTER_COMMIT, 2),
]


@pytest.fixture(scope="module")
def in_peace(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return run_in_peace(tmp_path_factory.mktemp("peace"))


def run_in_peace(folder: Path) -> bytes:
    scene = Scene(folder, SETTINGS)
    scene.join(*DEVICES)
    scene.run()
    return scene.coordinator.weights.tobytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "edgewise-test", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class Ballast:
    """Fills a disk to its last byte at a moment, and gives the room back when told."""

    def __init__(self, place: Path, moment: tuple[FaultPoint, int]) -> None:
        self._file = place / "ballast"
        self._moment = moment
        self._passed: Counter[FaultPoint] = Counter()
        self.full = False

    def __call__(self, point: FaultPoint) -> None:
        self._passed[point] += 1
        if (point, self._passed[point]) == self._moment:
            self.full = True
            for block in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError), self._file.open("ab", buffering=0) as file:
                    while file.write(bytes(block)) == block:
                        pass

    def release(self) -> None:
        self._file.unlink()


def acknowledged(scene: Scene) -> int:
    return sum(isinstance(m, ReportAck) and m.accepted for d in scene.devices.values() for m in d.heard)


def kept_reports(scene: Scene) -> int:
    return sum(len(scene.coordinator.store.reports(r)) for r in (1, 2, 3, 4, 5))


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0].value}-{moment[1]}")
def test_a_disk_that_is_full_for_ten_minutes_costs_only_time(
    small_disk: Path, moment: tuple[FaultPoint, int], in_peace: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(small_disk / "run", SETTINGS)
    ballast = scene.fault = Ballast(small_disk, moment)
    scene.join(*DEVICES)
    with caplog.at_level(logging.WARNING, "edgewise.coordinator"):
        for _ in range(600):
            scene.advance(1.0)
        assert ballast.full
        assert acknowledged(scene) <= kept_reports(scene)
        assert scene.coordinator.pause.active
        assert "paused: " in scene.coordinator.describe()
        assert [r.message.split(":")[0] for r in caplog.records] == ["paused"]
        ballast.release()
        scene.run()
        assert [r.message.split(" ")[0] for r in caplog.records] == ["paused:", "going"]
    assert scene.coordinator.weights.tobytes() == in_peace
    assert [r.round_id for r in scene.coordinator.store.versions()][1:] == [2, 4]
    assert kept_reports(scene) == len(DEVICES) * 5 <= acknowledged(scene)  # one asked again is acknowledged again


def test_a_kill_while_the_disk_is_full_changes_nothing(small_disk: Path, in_peace: bytes) -> None:
    scene = Scene(small_disk / "run", SETTINGS)
    ballast = scene.fault = Ballast(small_disk, (FaultPoint.AFTER_SPOOL_WRITE, 6))
    scene.join(*DEVICES)
    scene.advance(5.0)
    assert scene.coordinator.pause.active
    scene.broker.cut("coordinator")  # as if killed: nothing is closed, nothing is said
    with contextlib.suppress(UnavailableError):  # whether it can start now depends on what it has to write first
        scene.start()
        scene.advance(60.0)
    ballast.release()
    scene.start()
    scene.run()
    assert scene.coordinator.weights.tobytes() == in_peace


@pytest.mark.parametrize("refuser", ["add", "finish", "rows"])
def test_a_disk_that_refuses_one_kind_of_write(
    refuser: str, tmp_path: Path, in_peace: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without root: the write itself says that there is no room."""
    refused = Counter[str]()

    def refuse(name: str, original):  # type: ignore[no-untyped-def]
        def act(*arguments, **options):  # type: ignore[no-untyped-def]
            refused[name] += 1
            if 2 <= refused[name] <= 4:
                raise UnavailableError("No space left on device")
            return original(*arguments, **options)

        return act

    target, method = {
        "add": (BlobAssembler, "add"),
        "finish": (BlobAssembler, "sync"),
        "rows": (StateStore, "add_reports"),
    }[refuser]
    monkeypatch.setattr(target, method, refuse(refuser, getattr(target, method)))
    scene = Scene(tmp_path, SETTINGS)
    scene.join(*DEVICES)
    scene.run()
    assert scene.coordinator.pause.count >= 1
    assert scene.coordinator.weights.tobytes() == in_peace


def test_the_waits_between_attempts_grow(small_disk: Path) -> None:
    scene = Scene(small_disk / "run", SETTINGS)
    ballast = scene.fault = Ballast(small_disk, (FaultPoint.AFTER_GRANT, 1))
    scene.join(*DEVICES)
    scene.settle()
    pause, waits = scene.coordinator.pause, []
    for _ in range(8):
        waits.append(pause.retry_at - scene.clock.now())
        scene.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    ballast.release()
    scene.advance(30)
    assert not pause.active


def test_the_history_catches_up_when_there_is_room(small_disk: Path) -> None:
    scene = Scene(small_disk / "run", SETTINGS)
    history = History(small_disk / "rounds.jsonl", scene.coordinator.store, scene.coordinator.model.is_measured)
    scene.coordinator.on_round = history.add
    ballast = scene.fault = Ballast(small_disk, (FaultPoint.BEFORE_PUBLISH, 3))
    scene.join(*DEVICES)
    scene.advance(5.0)
    ballast.release()
    scene.run()
    history.flush()
    fresh = History(small_disk / "rounds.jsonl", scene.coordinator.store, scene.coordinator.model.is_measured)
    assert [row["round"] for row in fresh.rows] == [row["round"] for row in history.rows] == [0, 1, 2]
