"""A device's own control variates: on disk between rounds, in force only once their round has counted."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise_edge.control import Controls, forget_controls
from edgewise_wire.errors import UnavailableError
from edgewise_wire.messages import Decline, ReportAck, UploadRequest
from edgewise_wire.weights import to_bytes

SIZE = 410


def asked(world, control_round=0, c=None, **changes):
    c = np.full(SIZE, 0.1, "f4") if c is None else c
    return world.assignment(
        correction="scaffold", control=world.offer(to_bytes(c)), control_round=control_round, **changes
    )


def report(world, assignment, folder):
    """Let the device do a round; return Δw and Δc as they came in."""
    world.say(assignment)
    found = []
    assert world.run(until=lambda: found.extend(world.bodies(UploadRequest)) or found)
    update = world.receive(found[0], folder)
    return np.split(update, 2)


@pytest.fixture
def working(world):
    world.start()
    world.run(steps=5)
    return world


def controls(world, assignment):
    return Controls(world.home, assignment.graph.hash)


def test_the_update_is_both_changes_and_the_variate_stays_here(working, tmp_path):
    assignment = asked(working)
    delta_y, delta_c = report(working, assignment, tmp_path)
    assert len(delta_y) == len(delta_c) == SIZE
    assert np.abs(delta_y).max() > 1e-3
    kept = controls(working, assignment).load(1, SIZE)
    np.testing.assert_array_equal(kept, delta_c)  # from zero


def test_the_next_round_steps_from_the_variate_that_counted(working, tmp_path):
    first = asked(working)
    _, one = report(working, first, tmp_path / "1")
    working.say(ReportAck(1, accepted=True))
    working.run(steps=5)
    working.round = 2
    second = asked(working, control_round=1)
    _, two = report(working, second, tmp_path / "2")
    np.testing.assert_allclose(controls(working, second).load(2, SIZE), one + two, atol=1e-6)


def test_a_report_that_never_counted_leaves_the_variate_as_it_was(working, tmp_path):
    _, lost = report(working, asked(working), tmp_path / "1")
    working.say(ReportAck(1, accepted=True))  # accepted, and then the round was abandoned
    working.run(steps=5)
    working.round = 2
    again = asked(working, control_round=0)
    _, anew = report(working, again, tmp_path / "2")
    np.testing.assert_array_equal(controls(working, again).load(2, SIZE), anew)
    assert controls(working, again).load(1, SIZE) is None
    assert np.abs(lost).max() > 0


def test_a_kill_while_the_report_waits_changes_nothing(working, tmp_path):
    assignment = asked(working)
    working.say(assignment)
    found = []
    assert working.run(until=lambda: found.extend(working.bodies(UploadRequest)) or found)
    before = controls(working, assignment).load(1, SIZE).copy()
    steps = working.trainer.steps
    working.kill()
    working.start()
    again = []
    assert working.run(until=lambda: again.extend(working.bodies(UploadRequest)) or again)
    assert again[0].update == found[0].update
    np.testing.assert_array_equal(controls(working, assignment).load(1, SIZE), before)
    assert working.trainer.steps == steps  # not trained a second time


@pytest.mark.parametrize("data", [to_bytes(np.zeros(SIZE - 1, "f4")), to_bytes(np.full(SIZE, np.nan, "f4"))])
def test_a_variate_that_cannot_be_one_is_declined(working, data):
    working.say(working.assignment(correction="scaffold", control=working.offer(data)))
    found = []
    assert working.run(until=lambda: found.extend(working.bodies(Decline)) or found)
    assert "control variates" in found[0].reason


def test_only_the_one_in_force_and_the_newest_are_kept(world):
    kept = Controls(world.home, b"g" * 32)
    for round_number, in_force in ((3, 0), (5, 3), (6, 3), (9, 6)):
        kept.save(round_number, np.full(SIZE, round_number, "f4"), in_force)
    assert kept.load(9, SIZE)[0] == 9
    assert kept.load(6, SIZE)[0] == 6
    assert kept.load(5, SIZE) is kept.load(3, SIZE) is kept.load(0, SIZE) is None


def test_what_is_torn_or_foreign_counts_as_none(world):
    kept = Controls(world.home, b"g" * 32)
    kept.save(3, np.zeros(SIZE, "f4"), 0)
    assert kept.load(3, SIZE) is not None
    assert kept.load(3, SIZE - 1) is None
    assert Controls(world.home, b"h" * 32).load(3, SIZE) is None
    kept.save(4, np.full(SIZE, np.inf, "f4"), 3)
    assert kept.load(4, SIZE) is None


def test_the_owner_can_have_them_forgotten(world):
    kept = Controls(world.home, b"g" * 32)
    kept.save(3, np.zeros(SIZE, "f4"), 0)
    forget_controls(world.home)
    assert kept.load(3, SIZE) is None
    forget_controls(world.home)


def test_a_folder_that_cannot_be_made_is_named(world):
    (world.home.path / "controls").write_text("in the way")
    with pytest.raises(UnavailableError, match="controls"):
        Controls(world.home, b"g" * 32).save(1, np.zeros(SIZE, "f4"), 0)
