"""What a round leaves in the spool is deleted beside the next one, and after a kill by whoever starts next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from coordinator_scene import Scene
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.sweeper import Sweeper

Make = Callable[..., Scene]


class Killed(BaseException):
    """In the place of SIGKILL."""


def killed_after_commit(s: Scene) -> None:
    def fault(point: FaultPoint) -> None:
        if point is FaultPoint.AFTER_COMMIT:
            raise Killed

    s.fault = fault
    s.join("d1", "d2", "d3")
    try:
        s.run()
    except Killed:
        s.fault = lambda point: None
    s.coordinator.store.close()


def folders(s: Scene) -> list[str]:
    return sorted(path.name for path in (s.directory / "spool").iterdir())


def test_the_spool_of_a_round_is_gone_when_the_coordinator_is(scene: Make) -> None:
    s = scene(goal=3, rounds=2)
    s.settings = replace(s.settings, keep_updates=False)
    s.coordinator.close()
    s.start()
    s.join("d1", "d2", "d3")
    s.run()
    s.coordinator.close()
    assert len(s.rounds) == 2
    assert folders(s) == []


def test_what_a_killed_coordinator_did_not_delete_is_deleted_at_the_next_start(scene: Make) -> None:
    s = scene(goal=3, rounds=2)
    s.settings = replace(s.settings, keep_updates=False)
    s.coordinator.close()
    s.start()
    killed_after_commit(s)
    half_done = s.directory / "spool" / "000000.done"
    half_done.mkdir()
    (half_done / "d1-1.update").write_bytes(b"x")
    assert folders(s) == ["000000.done", "000001"]
    s.start()
    s.coordinator.close()
    assert folders(s) == []


def test_updates_that_were_to_be_kept_are_kept_by_a_process_that_does_not(scene: Make) -> None:
    s = scene(goal=3, rounds=2)
    killed_after_commit(s)
    s.settings = replace(s.settings, keep_updates=False)
    s.start()
    s.coordinator.close()
    assert folders(s) == ["000001"]
    assert len(list((s.directory / "spool" / "000001").iterdir())) == 3


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    sweeper = Sweeper(tmp_path)
    sweeper.sweep(tmp_path / "000001")
    sweeper.close()
