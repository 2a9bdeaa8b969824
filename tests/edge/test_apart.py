"""Training in a process of its own: the same bits, an end whenever the agent wants it, its deaths in plain words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge import trainer_process
from edgewise_edge.agent import Agent
from edgewise_edge.apart import Apart
from edgewise_edge.host import DeviceHost
from edgewise_edge.jobs import Job
from edgewise_edge.lean_trainer import LeanTrainer
from edgewise_edge.link import Identity
from edgewise_edge.mapped import drop_file_pages, let_go
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.phases import Phase
from edgewise_edge.session import Work
from edgewise_edge.trainer import Trainer
from edgewise_edge.weights_file import room_on_disk
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ModelError, RunError
from edgewise_wire.messages import Decline, Delta, EvaluationReport, Kind, ReportAck, UploadRequest
from edgewise_wire.transforms.delta import base_of, shorten
from edgewise_wire.weights import flatten, to_bytes


@pytest.fixture
def real(world, fixture_dir):
    """The world with the tiny model on the broker and an agent that trains apart."""
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    world.artifact = artifact
    world.graph_bytes = artifact.with_weights({name: np.zeros_like(w) for name, w in artifact.weights().items()})
    world.weights = flatten(artifact.weights(), artifact.manifest.weights)
    words = artifact.manifest.vocabulary
    world.store.forget(everything=True)
    world.store.add_many(f"{words[n % 20]} {words[n % 7]} {words[n % 11]}" for n in range(40))
    world.start_apart = lambda session=1: start(world, session, Apart())
    yield world
    if world.agent is not None:
        world.agent._worker.pause()


def start(world, session, computing):
    identity = Identity("home", "pi-7", session)
    link = world.broker.connect("pi-7", will=identity.will)
    host = DeviceHost(world.home, world.store, conditions=world.conditions)
    world.agent = Agent(world.home, link, identity, host, clock=world.clock, computing=computing)
    return world.agent


def until(world, kind, steps=600):
    for _ in range(steps):
        world.agent.step()
        found = world.bodies(kind)
        if found:
            return found[-1]
    raise AssertionError(f"the device never said {kind.__name__}")


def child_of(world):
    return world.agent._worker._phase._computation._process


DRIVEN = """
import sys
from edgewise_edge.apart import Apart
from edgewise_edge.home import Home
from edgewise_edge.jobs import Job
from edgewise_edge.session import SessionFolder
home = Home(sys.argv[1])
work, _ = SessionFolder(home.session, "home").load()
running = Apart(keep_seconds={keep})(Job(home, work, "pi-7", 0))
pid = running._process.pid
while {until}:
    running.advance()
print(pid, flush=True)
sys.stdin.read()
"""
"""An agent's process, whose child trains or has trained."""


def accepted(world):
    """Let the device accept an assignment and fetch what it needs; return the job, which nobody works on."""
    world.say(world.assignment(learning_rate=0.5))
    assert world.run(until=lambda: world.agent._worker.busy)
    job = Job(world.home, world.agent._worker.work, "pi-7", 0)
    world.agent._worker.pause()
    world.agent._worker.work = None
    world.agent._worker._phase = Phase()
    return job


def computing_children():
    """This test's; those of earlier ones in this process may still wait for their time to be up."""
    return [pid for pid in _children() if pid not in EARLIER]


def _children():
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


EARLIER = set()


@pytest.fixture(autouse=True)
def _only_its_own_children():
    EARLIER.clear()
    EARLIER.update(_children())


def to_the_end(running):
    while running.result is None:
        running.advance()
    return running.result


def gone(pid, seconds=20.0):
    """Whether a process is no more, or a zombie of somebody else's."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_process_of_its_own_trains_to_the_same_bits(real, tmp_path):
    asked = real.assignment(learning_rate=0.5, epochs=3)
    start(real, 1, None)
    real.say(asked)
    expected = real.receive(until(real, UploadRequest), tmp_path)
    real.say(ReportAck(1, True))
    real.run(steps=3)
    real.kill()
    real.start_apart(2)
    real.round = 1
    ParticipationLog(real.home.participation)._db.execute("DELETE FROM participation")
    real.say(asked)
    request = until(real, UploadRequest)
    np.testing.assert_array_equal(real.receive(request, tmp_path / "again"), expected)
    assert request.seconds == 0.0  # by the test's clock, which stands still
    [entry] = ParticipationLog(real.home.participation).entries()
    assert (entry.steps, entry.examples) == (request.steps, request.examples)
    assert entry.norm == pytest.approx(float(np.linalg.norm(expected)), rel=1e-6)
    assert not (real.home.session / "model").exists()


def test_an_evaluation_apart_gives_the_same_sums(real):
    asked = real.assignment(kind=Kind.EVALUATE)
    found = []
    for session, computing in ((1, None), (2, Apart())):
        start(real, session, computing)
        real.round = session
        real.say(asked)
        found.append(until(real, EvaluationReport))
        real.kill()
    assert found[0] == found[1]


def test_a_lost_condition_ends_the_process_at_once(real):
    real.start_apart()
    real.say(real.assignment(epochs=20))
    assert real.run(until=lambda: real.agent._worker.busy)
    real.agent.step()
    pid = child_of(real).pid
    assert os.getsid(pid) != os.getsid(0)  # Ctrl-C does not reach it
    real.home.paused.touch()
    real.run(steps=3)
    assert "paused by its owner" in real.bodies(Decline)[-1].reason
    assert gone(pid, 5.0)


def test_a_process_that_is_killed_ends_the_work_and_not_the_agent(real):
    real.start_apart()
    real.say(real.assignment(epochs=20))
    assert real.run(until=lambda: real.agent._worker.busy)
    real.agent.step()
    os.kill(child_of(real).pid, signal.SIGKILL)
    assert "ran out of memory" in until(real, Decline).reason
    [entry] = ParticipationLog(real.home.participation).entries()
    assert entry.outcome is Outcome.FAILED
    assert real.agent._worker.work is None
    assert real.store.count() == 40


def test_a_process_that_crashes_says_of_what(real, monkeypatch):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(trainer_process, "COMMAND", [sys.executable, "-c", code])
    real.start_apart()
    real.say(real.assignment())
    assert until(real, Decline).reason == "the process that trains died of SIGSEGV"


def test_its_own_errors_keep_their_words_and_their_kind(real, monkeypatch):
    code = 'import json; print(json.dumps({"error": "ModelError", "words": "no such operator"}))'
    monkeypatch.setattr(trainer_process, "COMMAND", [sys.executable, "-c", code])
    real.start_apart()
    asked = real.assignment()
    real.say(asked)
    assert until(real, Decline).reason == "no such operator"
    with pytest.raises(ModelError, match="no such operator"):
        to_the_end(Apart()(Job(real.home, Work("home", 1, 1, asked, 0.0), "pi-7", 0)))


def test_a_graph_that_is_no_model_is_declined_in_one_line(real):
    real.graph_bytes = b"not a model" * 50
    real.start_apart()
    real.say(real.assignment())
    reason = until(real, Decline).reason
    assert reason.startswith("HOME/blobs/")
    assert "\n" not in reason


def test_it_dies_with_the_agent(real, tmp_path):
    """An agent's process is killed while its child trains: the child is gone, and its work is taken up anew."""
    code = DRIVEN.format(until="running.advance().done == 0", keep=0)
    asked = real.assignment(epochs=20)
    real.store.add_many([f"see you {n}" for n in range(2000)])
    real.start_apart()
    real.say(asked)
    assert real.run(until=lambda: real.agent._worker.busy)
    real.agent._worker.pause()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(real.home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        pid = int(agent.stdout.readline())
        agent.kill()
    assert gone(pid, 10.0)


def test_a_process_that_waits_takes_the_next_job_and_ends_when_its_time_is_up(real):
    computing = Apart(keep_seconds=10.0, clock=real.clock)
    start(real, 1, computing)
    job = accepted(real)
    first = computing(job)
    process = first._process
    result = to_the_end(first)
    first.stop()  # as the phase does that it belongs to: the process is not its own any more
    assert process.running
    assert real.agent.due <= real.clock.now() + 10.0
    second = computing(job)
    assert second._process is process
    assert to_the_end(second) == result  # the same bytes, of the same hash
    assert len(computing_children()) == 1
    real.clock.advance(9.0)
    real.agent.step()
    assert process.running
    real.clock.advance(1.0)
    real.agent.step()
    assert not process.running
    assert computing_children() == []  # buried, too


def test_one_that_was_stopped_or_died_waiting_is_not_used_again(real):
    computing = Apart(keep_seconds=10.0, clock=real.clock)
    start(real, 1, computing)
    job = accepted(real)
    first = computing(job)
    stopped = first._process
    first.advance()
    first.stop()
    assert not stopped.running
    second = computing(job)
    to_the_end(second)
    [died] = computing_children()
    os.kill(died, signal.SIGKILL)
    third = computing(job)
    to_the_end(third)
    [pid] = computing_children()
    assert pid not in (stopped.pid, died)
    real.agent.close()
    real.agent = None
    assert computing_children() == []
    assert gone(pid)


def test_one_that_failed_is_not_used_again(real):
    computing = Apart(keep_seconds=10.0, clock=real.clock)
    start(real, 1, computing)
    job = accepted(real)
    (real.home.session / "assignment").unlink()
    running = computing(job)
    with pytest.raises(RunError, match="the assignment has gone from the disk"):
        to_the_end(running)
    running.stop()
    assert computing_children() == []


def test_one_that_waits_dies_with_the_agent(real):
    start(real, 1, None)
    accepted(real)
    code = DRIVEN.format(until="running.result is None", keep=60)
    with subprocess.Popen([sys.executable, "-c", code, str(real.home.path)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:  # fmt: skip
        pid = int(agent.stdout.readline())
        assert not gone(pid, 0.0)
        agent.kill()
    assert gone(pid, 10.0)


@pytest.mark.parametrize("honest", [True, False])
def test_differences_are_followed_there_and_wrong_ones_fetch_the_whole(real, honest):
    real.start_apart()
    first = real.assignment()
    real.say(first)
    until(real, UploadRequest)
    real.say(ReportAck(1, True))
    real.run(steps=3)
    base = first.weights.hash
    made = shorten("float16", real.weights * np.float32(2), real.weights, b"")
    data = made.data if honest else b"\xff" * len(made.data)
    real.weights = made.weights
    whole = real.offer(to_bytes(made.weights))
    real.round = 2
    real.say(real.assignment(weights=whole, deltas=(Delta(base_of("float16", base), real.offer(data), "float16"),)))
    until(real, UploadRequest, 1200)
    [entry, _] = ParticipationLog(real.home.participation).entries()
    assert entry.bytes_down == (len(data) if honest else len(data) + whole.size)


class TestLeanTrainer:
    """The trainer that opens the model with the weights inside."""

    def test_it_trains_as_the_other_does(self, fixture_dir, tmp_path):
        path = fixture_dir / "tiny.tflite"
        plain, lean = Trainer(path), LeanTrainer(path, tmp_path / "scratch")
        weights = {name: w * np.float32(1.5) for name, w in Artifact.load(path).weights().items()}
        plain.set_weights(weights)
        lean.set_weights(weights)
        assert not (tmp_path / "scratch").exists()
        manifest = plain.manifest
        rng = np.random.default_rng(0)
        shape = (manifest.batch, manifest.steps)
        ids = len(manifest.vocabulary) + 4
        batch = {
            "tokens": rng.integers(4, ids, shape).astype(np.int32),
            "labels": rng.integers(4, ids, shape).astype(np.int32),
            "weight": np.ones(shape, np.float32),
        }
        for _ in range(3):
            assert lean.train_step(batch, 0.5) == plain.train_step(batch, 0.5)
        assert lean.evaluate_step(batch) == plain.evaluate_step(batch)
        found = lean.get_weights()
        assert set(found) == {spec.name for spec in manifest.averaged}
        for name, array in plain.get_weights().items():
            np.testing.assert_array_equal(found[name], array)

    def test_pages_that_were_let_go_of_come_back(self, tmp_path):
        path = tmp_path / "numbers"
        np.arange(100_000, dtype="<f4").tofile(path)
        mapped = np.memmap(path, "<f4", "r")
        before = float(mapped.sum())
        drop_file_pages()
        assert float(mapped.sum()) == before
        let_go(np.asarray(mapped)[7:])
        assert float(mapped.sum()) == before

    def test_the_code_that_only_the_start_needed_is_handed_back_and_comes_back(self):
        code = """
import numpy as np
from edgewise_edge import runtime
from edgewise_edge.mapped import drop_file_pages
runtime.find()
def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile"))
before = held()
drop_file_pages()
after = held()
assert np.linalg.norm(np.ones(4)) == 2.0 and np.random.default_rng(0).permutation(3).sum() == 3
print(after / before)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if "qemu" in Path("/proc/self/smaps").read_text():
            pytest.skip("smaps tells of the emulator's memory: nothing is handed back, as it must be")
        assert float(done.stdout) < 0.5

    def test_an_update_stands_in_a_file_without_a_name(self, tmp_path, monkeypatch):
        room = room_on_disk(tmp_path / "difference", 100_000)
        assert list(tmp_path.iterdir()) == []
        room[:] = np.arange(100_000)
        let_go(room)
        assert room[99_999] == 99_999.0
        assert room.dtype == np.float32

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            room_on_disk(tmp_path / "difference", 100_000)
        assert list(tmp_path.iterdir()) == []
