"""Whole rounds in memory: the coordinator against devices that follow a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.machine import Phase
from edgewise_coordinator.server import EVENTS_A_STEP
from edgewise_coordinator.settings import UploadSettings
from edgewise_wire.blobs import make_ref
from edgewise_wire.errors import InputError
from edgewise_wire.messages import Abort, Decline, ReportAck, UploadChunk, UploadRequest
from edgewise_wire.weights import flatten

Make = Callable[..., Scene]


def reports(scene: Scene, name: str) -> list[ReportAck]:
    return [m for m in scene.devices[name].heard if isinstance(m, ReportAck)]


def first_weights(scene: Scene) -> np.ndarray:
    return flatten(scene.artifact.weights(), SPECS)


def test_a_round_is_the_weighted_average_of_the_devices_weights(scene: Make) -> None:
    s = scene(goal=3, rounds=1)
    s.join("d1", "d2", "d3")
    s.run()
    w0 = first_weights(s)
    local = [w0 + device_update(n)(w0, None) for n in ("d1", "d2", "d3")]
    expected = np.average(np.stack(local).astype("f8"), axis=0, weights=[6, 7, 8])
    np.testing.assert_allclose(s.coordinator.weights, expected, atol=1e-6)
    assert [r.phase for r in s.rounds] == ["committed"]
    assert (s.rounds[0].selected, s.rounds[0].reported, s.rounds[0].examples) == (3, 3, 21)


def test_a_selection_says_first_that_it_waits_for_devices(scene: Make) -> None:
    s = scene(goal=3, rounds=1)
    s.join("d1", "d2")
    s.settle()
    assert s.coordinator.lacking() == (3, 2)
    assert s.coordinator.describe() == "training: waits for 3 devices, has 2 (2 online in 'test')"
    s.join("d3")
    s.run()
    assert s.coordinator.lacking() is None


def test_an_evaluation_that_waits_for_a_cohort_says_so_too(scene: Make) -> None:
    s = scene(goal=3, rounds=1, evaluate_every=1)
    s.join("d1", "d2")
    s.settle()
    assert s.coordinator.describe() == "evaluating: waits for 3 devices, has 2 (2 online in 'test')"


def test_one_device_gets_its_own_weights_back(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d4")
    s.run()
    w0 = first_weights(s)
    np.testing.assert_allclose(s.coordinator.weights, w0 + device_update("d4")(w0, None), atol=1e-7)


def test_rounds_build_on_one_another_and_every_version_is_kept(scene: Make) -> None:
    s = scene(goal=2, rounds=4)
    s.join("d1", "d2")
    s.run()
    rows = s.coordinator.store.versions()
    assert [(r.version, r.parent) for r in rows] == [(0, None), (1, 0), (2, 1), (3, 2), (4, 3)]
    assert s.coordinator.complete
    weights, _ = s.coordinator.model.versions.load(4)
    np.testing.assert_array_equal(weights, s.coordinator.weights)


def test_evaluation_pools_the_devices_sums(scene: Make) -> None:
    s = scene(goal=2, rounds=1, evaluate_every=1)
    s.join("d1", "d2", "d3")
    s.devices["d2"].measures = {"loss_sum": 0.0, "weight_sum": 6.0, "top1": 5.0, "top3": 6.0}
    s.run()
    assert [r.kind for r in s.rounds] == ["evaluate", "train", "evaluate"]
    assert s.rounds[0].metrics == pytest.approx({"loss": 12 / 10, "top1": 7 / 10, "top3": 1.0})
    assert s.coordinator.store.versions()[1].metrics == s.rounds[2].metrics


def test_an_evaluation_may_be_limited_to_so_many_devices(scene: Make) -> None:
    s = scene(goal=2, rounds=1, evaluate_every=1)
    s.settings = replace(s.settings, evaluation_devices=3)
    s.start()
    s.join(*(f"d{n}" for n in range(1, 9)))
    s.run()
    assert [(r.kind, r.selected, r.reported) for r in s.rounds if r.kind == "evaluate"] == [("evaluate", 3, 3)] * 2


def test_an_abandoned_round_says_why_and_changes_nothing(scene: Make) -> None:
    s = scene(goal=2, rounds=1, min_reports=2)
    s.join("d1", "d2")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.advance(31)
    assert s.rounds[0].phase == "abandoned"
    assert "1 of at least 2 reports" in s.rounds[0].reason
    assert "no answer" in s.rounds[0].reason
    np.testing.assert_array_equal(s.coordinator.weights, first_weights(s))


def test_a_decline_lets_the_round_go_on_without(scene: Make) -> None:
    s = scene(goal=2, rounds=1, min_reports=1, over_selection=1.0)
    s.join("d1", "d2")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.devices["d1"].say(Decline(1, "battery is low"), round_id=1)
    s.settle()
    assert s.rounds[0].phase == "committed"
    assert s.rounds[0].failed == {"declined: battery is low": 1}


def test_a_device_that_vanishes_is_done_without(scene: Make) -> None:
    s = scene(goal=3, rounds=1, min_reports=2)
    s.join("d1", "d2", "d3")
    s.devices["d2"].answer_assignments = False
    s.settle()
    s.broker.cut("d2")
    s.devices.pop("d2")
    s.settle()
    assert not s.rounds
    s.advance(21)
    assert s.rounds[0].reported == 2
    assert s.rounds[0].failed == {"offline for 20 s": 1}


def test_a_lost_assignment_is_sent_again_at_the_next_check_in(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.devices["d1"].answer_assignments = True
    s.devices["d1"].check_in()
    s.run()
    assert s.rounds[0].phase == "committed"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: np.full_like(d, np.nan), "finite"),
        (lambda d: np.where(np.arange(len(d)) == 3, np.inf, d), "finite"),
        (lambda d: d * 1e9, "L2 norm"),
        (lambda d: d[:-1], "expected 481228 bytes"),
    ],
)
def test_a_bad_update_is_refused_with_a_reason_and_the_round_goes_on(
    scene: Make, spoil: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    s = scene(goal=2, rounds=1, min_reports=1)
    s.join("d1", "d2")
    good = s.devices["d1"].train
    s.devices["d1"].train = lambda w, a: spoil(good(w, a))
    s.settle()
    (ack,) = reports(s, "d1")
    assert not ack.accepted
    assert words in ack.reason
    assert s.rounds[0].phase == "committed"
    np.testing.assert_allclose(
        s.coordinator.weights, first_weights(s) + device_update("d2")(first_weights(s), None), atol=1e-7
    )
    assert sum(s.coordinator.link.refused.values()) == 1


@pytest.mark.parametrize("claimed", [0, 2**63])
def test_an_impossible_number_of_examples_is_refused(scene: Make, claimed: int) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.devices["d1"].examples = claimed if claimed < 2**32 else 5
    s.devices["d1"].answer_assignments = True
    if claimed >= 2**32:
        original = s.devices["d1"].request

        def request() -> None:
            s.devices["d1"].examples = claimed
            original()
            s.devices["d1"].examples = 5

        s.devices["d1"].request = request  # type: ignore[method-assign]
    s.settle()
    assert "examples" in reports(s, "d1")[0].reason


def test_a_chunk_that_is_not_the_promised_one_is_refused(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.devices["d1"].send_chunks = False
    s.settle()
    s.devices["d1"].say(UploadChunk(1, 0, b"x" * 1000))
    s.settle()
    assert not reports(s, "d1")[0].accepted


def test_a_late_report_is_refused(scene: Make) -> None:
    s = scene(goal=1, rounds=1, over_selection=2.0)
    s.join("d1", "d2")
    s.devices["d2"].send_chunks = False
    s.settle()
    assert s.rounds[0].phase == "committed"
    late = s.devices["d2"]
    assert any(isinstance(m, Abort) for m in late.heard)
    late.say(UploadRequest(1, make_ref(late.update), 5, 1.0), round_id=1)
    s.settle()
    assert reports(s, "d2")[-1].reason == "that round is over"
    assert s.coordinator.link.refused["too late for its round"] == 1


def test_a_report_sent_twice_is_acknowledged_twice_and_counted_once(scene: Make) -> None:
    s = scene(goal=2, rounds=1)
    s.join("d1", "d2")
    s.devices["d2"].send_chunks = False
    s.settle()
    first = s.devices["d1"]
    first.say(UploadRequest(1, make_ref(first.update), 6, 1.0), round_id=1)
    s.settle()
    assert [r.accepted for r in reports(s, "d1")] == [True, True]
    assert s.coordinator.round is not None
    assert s.coordinator.round.collection.terms == 1


def test_uploads_wait_for_a_slot(scene: Make) -> None:
    s = scene(goal=12, rounds=1, uploads=UploadSettings(slots=8, window=1))
    names = [f"d{i}" for i in range(1, 13)]
    s.join(*names)
    for name in names:
        s.devices[name].send_chunks = False
    s.settle()
    assert s.coordinator.round is not None
    assert s.coordinator.round.desk.granted == 8
    for name in names:
        s.devices[name].send_chunks = True
        s.devices[name].request()
    s.run()
    assert s.rounds[0].reported == 12


def test_small_updates_share_a_slot_and_are_recorded_together(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene(goal=12, rounds=1)  # updates of 4 chunks, 8 slots of 8 chunks each
    together: list[int] = []
    add = s.coordinator.store.add_reports
    monkeypatch.setattr(s.coordinator.store, "add_reports", lambda rows: together.append(len(rows)) or add(rows))
    names = [f"d{i}" for i in range(1, 13)]
    s.join(*names)
    s.run()
    assert s.rounds[0].reported == 12
    assert max(together) > s.settings.uploads.slots


@pytest.mark.parametrize(("slots", "window", "granted"), [(1, 1, 1), (3, 2, 3), (2, 6, 3), (1, 11, 2), (1, 100, 12)])
def test_no_more_chunks_are_in_flight_than_slots_have_room_for(
    scene: Make, slots: int, window: int, granted: int
) -> None:
    s = scene(goal=12, rounds=1, uploads=UploadSettings(slots=slots, window=window))
    names = [f"d{i}" for i in range(1, 13)]
    s.join(*names)
    for name in names:
        s.devices[name].send_chunks = False
    s.settle()
    assert s.coordinator.round is not None
    assert s.coordinator.round.desk.granted == granted  # of 4 chunks each


def test_a_slot_is_taken_back_from_a_silent_device(scene: Make) -> None:
    s = scene(goal=10, rounds=1, min_reports=2, uploads=UploadSettings(slots=8, window=1))
    names = [f"d{i}" for i in range(1, 11)]
    s.join(*names)
    for name in names[:8]:
        s.devices[name].send_chunks = False
    s.settle()
    waiting = [n for n in names if not any(type(m).__name__ == "UploadGrant" for m in s.devices[n].heard)]
    for name in waiting:
        s.devices[name].send_chunks = True
    s.advance(31)
    assert all(reports(s, n) for n in waiting)


def test_missing_chunks_of_a_blob_are_published_again(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.broker.stop()
    s.broker.start(keep_retained=False)
    s.join("d1")
    s.settle()
    for topic in s.broker.retained():
        assert "/blob/" not in topic or s.broker.retained()[topic]
    s.run()
    assert s.rounds[0].phase == "committed"


def test_old_blobs_leave_the_broker(scene: Make) -> None:
    s = scene(goal=1, rounds=3)
    s.join("d1")
    s.run()
    hashes = {t.split("/")[4] for t in s.broker.retained() if "/blob/" in t}
    assert len(hashes) == 2  # the graph and the weights of the last round


def test_garbage_from_a_peer_is_counted_and_dropped(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    link = s.broker.connect("stranger")
    for payload in (b"", b"\0" * 9, b"EWM1" * 40):
        link.publish("ew/1/test/device/d9/up", payload)
        link.publish("ew/1/test/device/bad name/up", payload)
    s.settle()
    assert s.coordinator.link.refused["not a valid message"] == 2
    s.join("d1")
    s.run()
    assert s.coordinator.complete


def test_a_false_evaluation_is_refused(scene: Make) -> None:
    s = scene(goal=1, rounds=1, evaluate_every=1)
    s.join("d1", "d2")
    s.devices["d1"].measures = {"loss_sum": 1.0, "weight_sum": 2.0, "top1": 9.0, "top3": 2.0}
    s.settle()
    assert not reports(s, "d1")[0].accepted
    assert s.rounds[0].reported == 1


def test_a_directory_of_another_fleet_is_refused(scene: Make) -> None:
    s = scene()
    s.coordinator.store.close()
    s.settings = replace(s.settings, fleet="other")
    with pytest.raises(InputError, match="belongs to fleet 'test'"):
        s.start()


class TestRestart:
    """The coordinator is dropped at some point and a new one is started over its directory."""

    @pytest.mark.parametrize("steps", range(1, 40, 3))
    def test_a_restart_anywhere_ends_in_the_same_bits(self, scene: Make, tmp_path: Path, steps: int) -> None:
        s = scene(goal=3, rounds=2, over_selection=1.0)
        s.join("d1", "d2", "d3")
        for _ in range(steps):
            s.coordinator.step(0.0)
            for d in s.devices.values():
                d.step()
        s.broker.cut("coordinator")  # as if killed: nothing is closed, nothing is said
        s.start()
        s.run()
        undisturbed = Scene(tmp_path / "undisturbed", s.settings)
        undisturbed.join("d1", "d2", "d3")
        undisturbed.run()
        assert s.coordinator.weights.tobytes() == undisturbed.coordinator.weights.tobytes()
        ids = [r.round_id for r in s.coordinator.store.versions() if r.round_id]
        assert ids == [1, 2]

    def test_what_was_acknowledged_is_in_the_sum(self, scene: Make) -> None:
        s = scene(goal=2, rounds=1)
        s.join("d1", "d2")
        s.devices["d2"].send_chunks = False
        s.settle()
        assert reports(s, "d1")[0].accepted
        s.broker.cut("coordinator")
        s.start()
        assert s.coordinator.round is not None
        assert s.coordinator.round.machine.phase is Phase.CONFIGURATION
        assert s.coordinator.round.collection.terms == 1
        assert s.devices["d1"].trained == 1


def test_a_flood_of_messages_loses_none(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.settle()
    flood = s.broker.connect("flood")
    for n in range(3 * EVENTS_A_STEP + 5):
        flood.publish(f"ew/1/test/device/f{n}/up", b"x")
    for _ in range(5):
        s.coordinator.step(0.0)
    assert s.coordinator.link.refused["not a valid message"] == 3 * EVENTS_A_STEP + 5
