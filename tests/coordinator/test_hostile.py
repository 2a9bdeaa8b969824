"""Hostile devices against the real coordinator: each refused for its reason, counted, and the round goes on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator_scene import Scene, device_update
from edgewise_coordinator import flood, refusals
from edgewise_coordinator.refusals import kind_of
from edgewise_wire import topics
from edgewise_wire.blobs import chunk, make_ref
from edgewise_wire.codec import encode
from edgewise_wire.messages import (
    Abort,
    Accept,
    BlobRequest,
    CheckIn,
    Decline,
    Envelope,
    EvaluationReport,
    Measure,
    Range,
    ReportAck,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.weights import WIRE_DTYPE
from scripted_device import ScriptedDevice

Make = Callable[..., Scene]
Attack = Callable[[ScriptedDevice], None]
UINT64 = 2**64 - 1


def asks(**changes: Any) -> Attack:
    """An announcement with something wrong in it."""

    def attack(device: ScriptedDevice) -> None:
        honest = UploadRequest(1, make_ref(device.update), 6, 2.5, 4, 1.0, "float32")
        device.say(replace(honest, **changes))

    return attack


def asks_with_ref(change: Callable[[Any], Any]) -> Attack:
    """An announcement whose reference to the update is wrong."""
    return lambda device: asks(update=change(make_ref(device.update)))(device)


def sends(spoil: Callable[[np.ndarray], np.ndarray]) -> Attack:
    """An update with other numbers in it, sent as the protocol wants it."""

    def attack(device: ScriptedDevice) -> None:
        device.update = spoil(np.frombuffer(device.update, WIRE_DTYPE).copy()).astype(WIRE_DTYPE).tobytes()
        ScriptedDevice.request(device)

    return attack


def chunks(index: int, spoil: Callable[[bytes], bytes], times: int = 1) -> Attack:
    """A good announcement, and then other chunks than it promised."""

    def attack(device: ScriptedDevice) -> None:
        device.send_chunks = False
        ScriptedDevice.request(device)
        data = spoil(bytes(chunk(device.update, make_ref(device.update), 0)))
        for _ in range(times):
            device.say(UploadChunk(1, index, data))

    return attack


def filled(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda update: np.where(np.arange(len(update)) == len(update) - 1, value, update)


ATTACKS: dict[str, tuple[Attack, str]] = {
    "0 examples": (asks(examples=0), "impossible number of examples"),
    "2^63 examples": (asks(examples=2**63), "impossible number of examples"),
    "2^64-1 examples": (asks(examples=UINT64), "impossible number of examples"),
    "a loss of NaN": (asks(loss=float("nan")), "update: loss not finite"),
    "an infinite loss": (asks(loss=float("inf")), "update: loss not finite"),
    "another shape": (asks(update=make_ref(b"x" * 100)), "update: another size than the model's"),
    "a petabyte": (asks_with_ref(lambda r: replace(r, size=10**15)), "update: another size than the model's"),
    "float64 numbers": (
        sends(lambda u: np.frombuffer(u.astype("<f8").tobytes(), "<f4")),
        "update: another size than the model's",
    ),
    "chunks of one byte": (
        asks_with_ref(lambda r: replace(r, chunk_bytes=1)),
        "update: reference that contradicts itself",
    ),
    "chunks of 4 GB": (
        asks_with_ref(lambda r: replace(r, chunk_bytes=2**32 - 1)),
        "update: reference that contradicts itself",
    ),
    "chunks of no bytes": (
        asks_with_ref(lambda r: replace(r, chunk_bytes=0)),
        "update: reference that contradicts itself",
    ),
    "a hash missing": (
        asks_with_ref(lambda r: replace(r, chunk_hashes=r.chunk_hashes[:-32])),
        "update: reference that contradicts itself",
    ),
    "another encoding": (asks(encoding="zip-of-death"), "update: wrong encoding"),
    "a wrong hash of the whole": (
        lambda device: lie_about_the_whole(device),
        "update: whole with another hash",
    ),
    "another chunk than promised": (chunks(0, lambda d: d[:-1] + b"!"), "update: chunk with another hash"),
    "a short chunk": (chunks(0, lambda d: d[:9]), "update: chunk of another shape"),
    "a chunk that does not exist": (chunks(2**32 - 1, lambda d: d), "update: chunk of another shape"),
    "chunks without end": (chunks(0, lambda d: d, times=500), "update: chunks without end"),
    "one NaN": (sends(filled(np.nan)), "update: norm out of bounds or not finite"),
    "one infinity": (sends(filled(-np.inf)), "update: norm out of bounds or not finite"),
    "a norm out of bounds": (sends(lambda u: u * 1e9), "update: norm out of bounds or not finite"),
    "the largest floats": (sends(lambda u: np.full_like(u, 3e38)), "update: norm out of bounds or not finite"),
    "an evaluation instead": (
        lambda device: device.say(EvaluationReport(1, 2, (Measure("top1", 1.0),))),
        "evaluation: in a training round",
    ),
}


def lie_about_the_whole(device: ScriptedDevice) -> None:
    ref = replace(make_ref(device.update), hash=b"l" * 32)
    device.send_chunks = False
    device.say(UploadRequest(1, ref, 6, 2.5, 4, 1.0, "float32"))
    for index in range(4):
        device.say(UploadChunk(1, index, bytes(chunk(device.update, ref, index))))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_update_is_refused_counted_and_the_round_goes_on(
    scene: Make, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attack, kind = ATTACKS[name]
    s = scene(goal=3, rounds=1, min_reports=2)
    s.join("d1", "d2", "d3")
    bad = s.devices["d1"]
    monkeypatch.setattr(bad, "request", lambda: attack(bad))
    s.run()
    ack = next(m for m in bad.heard if isinstance(m, ReportAck))
    assert not ack.accepted
    assert kind_of(ack.reason) == kind
    assert s.coordinator.link.refused[kind] == 1
    assert f"d1: refused in round 1: {ack.reason}" in caplog.text
    assert [(r.phase, r.reported) for r in s.rounds] == [("committed", 2)]
    assert_made_of(s, "d2", "d3")


def assert_made_of(s: Scene, *names: str) -> None:
    """The new version is the average of these devices' updates and of nobody else's."""
    before, _ = s.coordinator.model.versions.load(0)
    updates = [device_update(n)(before, None) for n in names]
    mean = np.average(np.stack(updates).astype("f8"), axis=0, weights=[s.devices[n].examples for n in names])
    np.testing.assert_allclose(s.coordinator.weights, before + mean, atol=1e-6)


def test_a_replayed_report_counts_once_and_for_its_own_device(scene: Make) -> None:
    s = scene(goal=3, rounds=1, min_reports=2)
    s.join("d1", "d2", "d3")
    s.devices["d3"].send_chunks = False
    s.settle()
    first, thief = s.devices["d1"], s.devices["d3"]
    for _ in range(5):
        first.say(UploadRequest(1, make_ref(first.update), 6, 1.0), round_id=1)
        for index in range(4):
            first.say(UploadChunk(1, index, bytes(chunk(first.update, make_ref(first.update), index))), round_id=1)
        s.settle()
    assert s.coordinator.round is not None
    assert s.coordinator.round.collection.terms == 2
    thief.send_chunks = True
    thief.request()
    s.run()
    assert_made_of(s, "d1", "d2", "d3")


@pytest.mark.parametrize(
    ("body", "round_id", "kind"),
    [
        (UploadRequest(1, make_ref(b"x"), 5, 1.0), 99, refusals.TOO_LATE),
        (UploadRequest(7, make_ref(b"x"), 5, 1.0), 1, refusals.TOO_LATE),
        (UploadRequest(1, make_ref(b"x"), 5, 1.0), 2**63, refusals.IMPOSSIBLE_ROUND),
        (EvaluationReport(1, UINT64), UINT64, refusals.IMPOSSIBLE_ROUND),
        (Accept(1), UINT64, refusals.IMPOSSIBLE_ROUND),
        (ReportAck(1, True), 1, refusals.NOT_FOR_US),
        (Decline(0, "forged!"), 0, refusals.FORGED),
    ],
)
def test_words_about_another_round_change_nothing(scene: Make, body: Any, round_id: int, kind: str) -> None:
    s = scene(goal=2, rounds=1)
    s.join("d1", "d2")
    s.devices["d2"].send_chunks = False
    s.settle()
    work = s.devices["d2"].assignment
    s.devices["d2"].say(body, round_id=round_id)
    s.settle()
    assert s.coordinator.link.refused == {kind: 1}
    s.devices["d2"].send_chunks = True
    s.devices["d2"].assignment = work  # a real device heeds no word about other work than its own
    s.devices["d2"].request()
    s.run()
    assert_made_of(s, "d1", "d2")


@pytest.mark.parametrize("resume", [99, 2**63, UINT64])
def test_work_on_a_round_that_never_was_is_stopped(scene: Make, resume: int) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.devices["d1"].say(CheckIn(session=7, resume_round=resume, resume_attempt=2**32 - 1))
    s.run()
    assert any(isinstance(m, Abort) for m in s.devices["d1"].heard)
    assert s.coordinator.complete


@pytest.mark.parametrize(
    ("examples", "measures"),
    [
        (2**63, {}),
        (UINT64, {}),
        (2, {"loss_sum": float("nan")}),
        (2, {"top1": float("inf")}),
        (2, {"top1": -1.0}),
        (2, {"weight_sum": 1e300}),
        (2, {"more": 1.0}),
    ],
)
def test_an_impossible_evaluation_is_refused(scene: Make, examples: int, measures: dict[str, float]) -> None:
    s = scene(goal=1, rounds=1, evaluate_every=1)
    s.join("d1", "d2")
    bad = s.devices["d1"]
    sums = {"loss_sum": 6.0, "weight_sum": 2.0, "top1": 1.0, "top3": 2.0} | measures
    bad._work = lambda a: bad.say(  # type: ignore[method-assign]
        EvaluationReport(a.attempt, examples, tuple(Measure(k, v) for k, v in sums.items()))
    )
    s.settle()
    kind = "impossible number of examples" if examples > 2 else "evaluation: impossible sums"
    assert s.coordinator.link.refused[kind] == 1
    assert s.rounds[0].metrics == pytest.approx({"loss": 3.0, "top1": 0.5, "top3": 1.0})


def test_garbage_and_foreign_words_are_counted_by_kind(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    link = s.broker.connect("stranger")
    up = topics.device_up("test", "d9")
    good = encode(Envelope("test", 0, 1, CheckIn(session=1)))
    for payload in (b"\0" * 9, good[:-5], good[:20] + b"\xff" * 8 + good[28:], b"EWM1" * 30_000):
        link.publish(up, payload)
    link.publish(up, encode(Envelope("work", 0, 1, CheckIn(session=1))))
    link.publish(up, encode(Envelope("test", 0, 1, CheckIn(session=1), protocol=2)))
    s.settle()
    assert s.coordinator.link.refused == {refusals.INVALID: 4, refusals.FOREIGN: 2}
    s.join("d1")
    s.run()


def test_a_flood_costs_its_sender_and_nobody_else(scene: Make) -> None:
    s = scene(goal=1, rounds=1, min_reports=1)
    s.join("d1")
    s.devices["d1"].answer_assignments = False
    flooder = s.broker.connect("d9")
    s.settle()
    tracemalloc.start()
    for number in range(flood.BURST + 1000):
        flooder.publish(topics.device_up("test", "d9"), b"garbage %d" % number)
        if not number % 256:
            s.coordinator.step(0.0)
    s.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert s.coordinator.link.refused == {refusals.INVALID: flood.BURST, refusals.FLOOD: 1000}
    assert peak < 4 << 20
    s.devices["d1"].answer_assignments = True
    s.devices["d1"].check_in()
    s.run()
    assert_made_of(s, "d1")


def test_endless_chunks_hold_no_memory_and_no_disk(scene: Make, tmp_path: Path) -> None:
    s = scene(goal=2, rounds=1, min_reports=1)
    s.join("d1", "d2")
    bad = s.devices["d1"]
    bad.send_chunks = False
    s.devices["d2"].answer_assignments = False
    s.settle()
    assert any(isinstance(m, UploadGrant) for m in bad.heard)
    tracemalloc.start()
    for number in range(1000):
        bad.say(UploadChunk(1, number % 3, bytes(chunk(bad.update, make_ref(bad.update), number % 3))))
        s.coordinator.step(0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert s.coordinator.link.refused["update: chunks without end"] == 1
    assert peak < 4 << 20
    assert sum(p.stat().st_size for p in (tmp_path / "run" / "spool").rglob("*") if p.is_file()) < 1 << 20


def test_a_request_for_every_chunk_many_times_over_is_answered_once(scene: Make) -> None:
    s = scene(goal=2, rounds=1)
    s.join("d1")
    s.settle()
    ref = s.coordinator.model.offers.graph
    s.advance(10)
    before = s.coordinator.publisher.bytes_published
    greedy = BlobRequest(ref.hash, (Range(0, 2**32 - 1),) * 1900)
    for _ in range(20):
        s.devices["d1"].say(greedy)
    s.settle()
    assert s.coordinator.publisher.bytes_published - before < 2 * ref.size


def test_names_without_end_do_not_fill_the_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise_wire.clock import ManualClock

    monkeypatch.setattr(flood, "DEVICES_KEPT", 100)
    gate = flood.FloodGate(ManualClock(0.0, 0.0))
    assert all(gate.passes(f"d{n}") for n in range(1000))
    assert len(gate._levels) <= 100
