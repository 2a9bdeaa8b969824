"""The agent on a network that drops, doubles and reorders, and under kills at every step: one report, the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.host import next_word_examples
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_wire.blobs import BlobAssembler, chunk
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import (
    BlobRequest,
    CheckIn,
    ChunkAck,
    Decline,
    ReportAck,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.ranges import indices
from edgewise_wire.transport.memory import Faults
from edgewise_wire.weights import to_bytes


class FarEnd:
    """The least of a coordinator that does what the protocol asks: one round for one device, never giving up."""

    def __init__(self, world, folder):
        self.world = world
        self.path = folder / "received"
        self.asked = world.assignment(deadline=1e6)
        self.blobs = {
            self.asked.graph.hash: (self.asked.graph, world.graph_bytes),
            self.asked.weights.hash: (self.asked.weights, to_bytes(world.weights)),
        }
        self.requests = []
        self.assembler = None
        self.declines = []
        self.done = False

    def answer(self, body):
        """React to one message."""
        if isinstance(body, CheckIn) and not body.resume_round and not self.done:
            self.world.say(self.asked)
        elif isinstance(body, CheckIn) and body.resume_round and self.done:
            self.world.say(ReportAck(1, True))
        elif isinstance(body, BlobRequest):
            ref, data = self.blobs[body.hash]
            for index in indices(body.missing):
                self.world.put_chunk(ref, index, chunk(data, ref, index))
        elif isinstance(body, UploadRequest):
            self._request(body)
        elif isinstance(body, UploadChunk):
            self._chunk(body)
        elif isinstance(body, Decline):
            self.declines.append(body.reason)

    def _request(self, body):
        self.requests.append(body)
        if self.done:
            self.world.say(ReportAck(1, True))
            return
        if self.assembler is None:
            self.assembler = BlobAssembler(body.update, self.path)
        self.world.say(UploadGrant(1, 2, self.assembler.have()))

    def _chunk(self, body):
        if self.assembler is None or self.done:
            return
        self.assembler.add(body.index, body.data)
        if self.assembler.complete:
            self.assembler.finish()
            self.done = True
            self.world.say(ReportAck(1, True))
        else:
            self.world.say(ChunkAck(1, self.assembler.have()))


def play(world, far, *, most=60_000, after_step=lambda: None, step=None):
    """Run both ends until the report is in and the device has nothing in work; time passes when nothing happens."""
    step = step or (lambda: world.agent.step())
    for _ in range(most):
        before = world.agent.link.bytes_in
        step()
        after_step()
        said = [body for _, body in world.hear()]
        for body in said:
            try:
                far.answer(body)
            except ProtocolError as error:
                raise AssertionError(f"the device said something wrong: {error}") from error
        if far.done and not any(world.home.session.iterdir()):
            return
        if not said and world.agent.link.bytes_in == before and not world.agent._worker.busy:
            world.clock.advance(1.0)
    raise AssertionError(f"no end; the device is {world.agent.state.name}")


def expected_update(world):
    examples = next_word_examples(world.trainer.manifest, world.store.texts(held_out=False), False)
    rng = device_generator(5, 1, "pi-7")
    work = train_locally(
        world.trainer, world.weights, examples, epochs=2, learning_rate=0.25, max_examples=0, rng=rng
    )  # fmt: skip
    return run_to_end(work).update


def check(world, far):
    """One report came of it, and it is the right one."""
    assert len({(body.update.hash, body.examples, body.steps, body.loss) for body in far.requests}) == 1
    np.testing.assert_array_equal(np.frombuffer(far.path.read_bytes(), "<f4"), expected_update(world))
    log = ParticipationLog(world.home.participation)
    assert [entry.outcome for entry in log.entries()].count(Outcome.REPORTED) == 1
    log.close()


@pytest.fixture
def chunked(world, monkeypatch):
    """The world with updates of many chunks: 1,640 bytes in chunks of 100."""
    from edgewise_edge import computing
    from edgewise_wire.blobs import make_ref

    monkeypatch.setattr(computing, "make_ref", lambda data: make_ref(data, 100))
    return world


@pytest.mark.parametrize("seed", range(12))
def test_a_bad_network_costs_time_and_nothing_else(chunked, tmp_path, seed):
    world = chunked
    far = FarEnd(world, tmp_path)
    world.start()
    world.broker.faults = Faults(drop=0.2, duplicate=0.2, reorder=0.2)
    world.broker._rng = np.random.default_rng(seed)
    play(world, far)
    assert far.declines == []
    check(world, far)
    assert world.trainer.steps == 16  # eight for the device and eight for what is expected


@pytest.mark.parametrize("seed", range(6))
def test_links_that_break_all_the_time_do_not_keep_a_report_from_coming(chunked, tmp_path, seed):
    world = chunked
    far = FarEnd(world, tmp_path)
    world.start()
    rng = np.random.default_rng(seed)

    def shake():
        if rng.random() < 0.03:
            world.broker.cut("pi-7")
            world.agent.step()
            world.clock.advance(float(rng.uniform(0, 20)))
            world.broker.mend("pi-7")

    play(world, far, after_step=shake)
    check(world, far)


@pytest.mark.parametrize("steps", range(35))
def test_a_kill_after_any_step_leads_to_one_and_the_same_report(chunked, tmp_path, steps):
    world, left = chunked, [steps]
    far = FarEnd(world, tmp_path)

    def kill():
        if left[0] == 0:
            world.kill()
            world.start()
        left[0] -= 1

    world.start()
    play(world, far, after_step=kill)
    assert left[0] < 0, "the session is shorter than this test thinks"
    check(world, far)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(16))
def test_a_kill_between_any_two_changes_of_the_disk_leads_to_one_and_the_same_report(
    chunked, tmp_path, monkeypatch, number, after
):
    world, left = chunked, [number]
    far = FarEnd(world, tmp_path)
    armed = [False]

    def fused(act):
        def changing(*arguments, **options):
            if not armed[0]:
                return act(*arguments, **options)
            left[0] -= 1
            if left[0] == -1 and not after:
                raise Killed
            done = act(*arguments, **options)
            if left[0] == -1:
                raise Killed
            return done

        return changing

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, fused(getattr(Path, name)))

    def step():
        armed[0] = left[0] >= 0
        try:
            world.agent.step()
        except Killed:
            armed[0] = False
            world.kill()
            world.start()
        armed[0] = False

    world.start()
    play(world, far, step=step)
    assert left[0] < 0, "the session changes the disk less often than this test thinks"
    check(world, far)
