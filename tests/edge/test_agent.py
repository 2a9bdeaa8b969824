"""The agent's session against a scripted far end: what it says in each state, and what it does not fall for."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from edgewise_edge.host import next_word_examples
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.policy import Policy
from edgewise_wire import topics
from edgewise_wire.blobs import make_ref
from edgewise_wire.codec import encode
from edgewise_wire.errors import ModelError, RunError
from edgewise_wire.messages import (
    CHUNK_BYTES,
    Abort,
    Accept,
    Assignment,
    BlobRef,
    BlobRequest,
    CheckIn,
    ChunkAck,
    ComeBackLater,
    Decline,
    DeviceState,
    Envelope,
    EvaluationReport,
    Kind,
    Measure,
    Presence,
    Progress,
    Range,
    ReportAck,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)

STATES = DeviceState


def until(world, kind):
    """Run until the device says a body of this kind; return it."""
    for _ in range(300):
        world.agent.step()
        found = world.bodies(kind)
        if found:
            return found[-1]
    raise AssertionError(f"the device never said {kind.__name__}")


def until_state(world, state):
    assert world.run(lambda: world.agent.state is state), f"never {state.name}, but {world.agent.state.name}"


def history(world):
    log = ParticipationLog(world.home.participation)
    try:
        return log.entries()
    finally:
        log.close()


def expected_update(world, round_number=1, **changes):
    """What local training makes of the device's sentences, computed outside of the agent."""
    examples = next_word_examples(world.trainer.manifest, world.store.texts(held_out=False), False)
    options = {"epochs": 2, "learning_rate": 0.25, "max_examples": 0} | changes
    rng = device_generator(5, round_number, "pi-7")
    return run_to_end(train_locally(world.trainer, world.weights, examples, **options, rng=rng))


# A session -------------------------------------------------------------------------------------------------------


def test_a_whole_train_session_yields_the_very_update_that_local_training_does(world, tmp_path):
    world.round = 4
    world.start()
    offer = until(world, CheckIn)
    assert (offer.train_examples, offer.held_out_examples, offer.resume_round, offer.session) == (8, 2, 0, 1)
    assert world.said[0][1] == Presence(online=True, session=1)
    world.say(world.assignment())
    request = until(world, UploadRequest)
    assert Accept(1) in [body for _, body in world.said]
    assert (request.examples, request.steps, request.encoding) == (8, 8, "float32")
    update = world.receive(request, tmp_path)
    expected = expected_update(world, 4)
    np.testing.assert_array_equal(update, expected.update)
    assert request.loss == np.float32(expected.loss)
    world.say(ReportAck(1, True, come_back=30.0))
    world.run(steps=5)
    assert world.agent.state is STATES.IDLE
    assert not list(world.home.session.iterdir())
    [entry] = history(world)
    assert (entry.round, entry.outcome, entry.examples) == (4, Outcome.REPORTED, 8)
    assert (entry.bytes_up, entry.bytes_down) == (4 * 410, 4 * 410 + len(world.graph_bytes))
    assert entry.norm == pytest.approx(float(np.linalg.norm(update)))
    world.bodies()
    world.wait(29.0)
    assert world.bodies(CheckIn) == []
    world.wait(1.5)
    assert len(world.bodies(CheckIn)) == 1


def test_an_evaluate_session_reports_sums_over_held_out_examples_until_they_are_acknowledged(world):
    world.start()
    world.say(world.assignment(kind=Kind.EVALUATE))
    report = until(world, EvaluationReport)
    measures = (Measure("loss_sum", 16.0), Measure("top1", 1.0), Measure("weight_sum", 8.0))
    assert report == EvaluationReport(1, 2, measures)
    world.wait(10.5)
    assert world.bodies(EvaluationReport) == [report]
    world.say(ReportAck(1, True))
    world.run(steps=5)
    assert len(world.bodies(CheckIn)) == 1
    assert (world.trainer.steps, history(world)[0].kind) == (0, "evaluate")


def test_every_state_is_passed_in_order_and_told_as_progress(world, tmp_path):
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    world.hear()
    told = [body.state for _, body in world.said if isinstance(body, Progress)]
    assert told == [STATES.ASSIGNED, STATES.DOWNLOADING, STATES.TRAINING, STATES.UPLOADING, STATES.REPORTED]


def test_graph_and_trainer_are_kept_between_rounds_and_old_weights_are_not(world, tmp_path):
    world.start()
    for number in (1, 2):
        world.round = number
        world.weights = world.weights + np.float32(number)
        world.say(world.assignment())
        (tmp_path / str(number)).mkdir()
        world.receive(until(world, UploadRequest), tmp_path / str(number))
        world.say(ReportAck(1, True))
        world.run(steps=3)
    assert len(world.loaded) == 1
    assert [entry.bytes_down for entry in history(world)] == [1640, 1640 + len(world.graph_bytes)]
    assert len([*world.home.blobs.iterdir()]) == 2


def test_a_device_without_work_for_a_minute_gives_the_models_memory_back(world, tmp_path):
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True))
    world.run(steps=5)
    world.wait(59.0)
    assert world.agent.due <= world.clock.now() + 1.0
    world.wait(1.0)
    world.round = 2
    world.say(world.assignment())
    until(world, UploadRequest)
    assert len(world.loaded) == 2


# Checking in -----------------------------------------------------------------------------------------------------


def test_a_device_that_waits_checks_in_again_about_every_minute(world):
    world.start()
    until(world, CheckIn)
    moments = []
    for _ in range(200):
        world.wait(1.0)
        moments += [world.clock.now()] * len(world.bodies(CheckIn))
    gaps = np.diff(moments)
    assert len(gaps) >= 1
    assert (gaps >= 48).all()
    assert (gaps <= 73).all()


def test_a_device_without_enough_examples_offers_nothing_until_it_has_them(world):
    world.policy = Policy(min_examples=12)
    world.start()
    world.wait(1.0)
    assert world.bodies(CheckIn) == []
    world.write(8)
    world.wait(73.0)
    assert len(world.bodies(CheckIn)) == 1


def test_come_back_later_is_heeded_and_zero_means_now(world):
    world.start()
    until(world, CheckIn)
    world.say(ComeBackLater(500.0, "enough devices"), 0)
    world.wait(499.0)
    assert (world.bodies(CheckIn), world.agent.state) == ([], STATES.IDLE)
    world.say(ComeBackLater(0.0), 0)
    world.run(steps=3)
    assert len(world.bodies(CheckIn)) == 1


@pytest.mark.parametrize(("asked", "most"), [(1e30, 7 * 86400), (float("inf"), 61), (float("nan"), 61)])
def test_nobody_can_send_a_device_away_for_ever(world, asked, most):
    world.start()
    until(world, CheckIn)
    world.say(ComeBackLater(asked, "go away"), 0)
    world.run(steps=3)
    world.bodies()
    world.wait(most + 1)
    assert world.bodies(CheckIn) != []


def test_every_reconnect_brings_presence_and_a_check_in(world):
    world.start()
    until(world, CheckIn)
    world.broker.cut("pi-7")
    world.run(steps=3)
    assert world.agent.state is STATES.ELIGIBLE
    assert Presence(online=False, session=1) in world.bodies(Presence)
    world.broker.mend("pi-7")
    world.run(steps=3)
    assert [type(body) for body in world.bodies(Presence, CheckIn)] == [Presence, CheckIn]


def test_nothing_piles_up_while_the_link_is_down(world):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    world.broker.cut("pi-7")
    for _ in range(20):
        world.wait(10.0)
    assert world.agent.link.transport.pending == 0
    world.bodies()
    world.broker.mend("pi-7")
    world.run(steps=3)
    assert [type(body) for body in world.bodies()] == [CheckIn, UploadRequest]


def test_a_busy_device_that_is_called_names_the_work_it_holds(world):
    world.round = 9
    world.start()
    world.say(world.assignment(attempt=2))
    until(world, UploadRequest)
    world.say(ComeBackLater(0.0), 0)
    world.say(ComeBackLater(300.0), 0)
    world.run(steps=3)
    [offer, request] = world.bodies()
    assert (offer.resume_round, offer.resume_attempt, request.attempt) == (9, 2, 2)
    assert world.agent.state is STATES.UPLOADING


def test_an_idle_agent_waits_for_the_next_timer_and_does_not_spin(world):
    class Counting:
        def __init__(self, inner):
            self.inner, self.waits = inner, []

        def poll(self, timeout=0.0):
            self.waits.append(timeout)
            return self.inner.poll(0.0)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    world.start()
    until(world, CheckIn)
    link = world.agent.link
    link.transport = Counting(link.transport)
    for _ in range(5):
        world.agent.step(1000.0)
    assert all(45 < wait <= 72 for wait in link.transport.waits)


# Declining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "changes", "reason"),
    [
        (Policy(max_epochs=3), {"epochs": 4}, "4 epochs were asked for, the owner allows at most 3"),
        (Policy(max_megabytes=0.003), {}, "the round would move 0.0 MB, the owner allows 0.003 MB"),
        (Policy(), {"epochs": 0}, "no epochs were asked for"),
        (Policy(), {"learning_rate": float("nan")}, "learning rate nan: expected a number above 0"),
        (Policy(), {"learning_rate": 0.0}, "learning rate 0.0: expected a number above 0"),
        (Policy(), {"kind": 7}, "assignment kind 7 is not known to this version"),
        (Policy(), {"encoding": "huffman"}, "updates encoded as 'huffman' are not known to this version"),
        (Policy(), {"mu": -0.1}, "proximal weight mu -0.1"),
        (Policy(), {"mu": float("inf")}, "proximal weight mu inf: expected a number of at least 0"),
        (Policy(), {"correction": "feddyn", "control": make_ref(b"x")}, "the correction 'feddyn' is not known"),
        (Policy(), {"correction": "scaffold"}, "blob hash of 0 bytes: expected 32"),
        (Policy(), {"graph": BlobRef()}, "blob hash of 0 bytes: expected 32"),
        (Policy(), {"weights": BlobRef(b"h" * 32, 1 << 60, CHUNK_BYTES, b"")}, "blob of 1152921504606846976 bytes"),
        (Policy(), {"weights": BlobRef(b"h" * 32, 10, 4, b"c" * 32)}, "blob of 10 bytes with 32 bytes of chunk hashes"),
    ],
)
def test_what_the_owner_or_the_version_does_not_allow_is_declined_with_a_plain_reason(world, policy, changes, reason):
    world.policy = policy
    world.start()
    asked = world.assignment(**changes)
    world.say(asked, message_id=77)
    decline = until(world, Decline)
    assert decline.attempt == 1
    assert reason in decline.reason
    assert not [*world.home.blobs.iterdir()]
    world.say(asked, message_id=77)
    assert until(world, Decline) == decline
    [entry] = history(world)
    assert (entry.outcome, entry.reason) == (Outcome.DECLINED, decline.reason)


def test_too_few_examples_are_declined_and_an_evaluation_needs_held_out_ones(world):
    world.store.forget(everything=True)
    world.write(4)
    world.start()
    world.say(world.assignment(kind=Kind.EVALUATE))
    assert until(world, Decline).reason == "this device has no held-out examples"


def test_fewer_examples_than_asked_for_are_used_if_the_owner_says_so(world):
    world.policy = Policy(max_examples=3)
    world.start()
    world.say(world.assignment(max_examples=5, epochs=1))
    request = until(world, UploadRequest)
    assert (request.examples, request.steps) == (3, 2)


def test_rounds_keep_the_owners_distance_also_over_a_restart(world, tmp_path):
    world.policy = Policy(min_separation=3600.0)
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True, come_back=1.0))
    world.run(steps=5)
    world.wait(1000.0)
    world.kill()
    world.start()
    world.bodies()
    world.say(ComeBackLater(0.0), 0)
    world.wait(2500.0)
    assert world.bodies(CheckIn) == []
    world.wait(101.0)
    assert len(world.bodies(CheckIn)) == 1


# While it works --------------------------------------------------------------------------------------------------


def test_an_abort_stops_training_between_two_batches(world):
    world.start()
    world.say(world.assignment())
    until_state(world, STATES.TRAINING)
    world.run(lambda: world.trainer.steps == 3)
    world.say(Abort(1, "the round has enough reports", 20.0))
    world.run(steps=10)
    assert world.trainer.steps == 3
    assert (world.agent.state, history(world)[0].outcome) == (STATES.IDLE, Outcome.ABORTED)
    world.bodies()
    world.wait(21.0)
    assert len(world.bodies(CheckIn)) == 1


def test_an_abort_or_acknowledgement_of_another_attempt_changes_nothing(world):
    world.start()
    world.say(world.assignment())
    until_state(world, STATES.TRAINING)
    for body in (Abort(2, "no"), ReportAck(2, True)):
        world.say(body)
    world.say(Abort(1, "no"), 5)
    assert until(world, UploadRequest).attempt == 1


@pytest.mark.parametrize("newer", [(2, 1), (1, 2)])
def test_a_newer_assignment_wins(world, newer):
    world.start()
    world.say(world.assignment(epochs=20))
    until_state(world, STATES.TRAINING)
    world.round, attempt = newer
    world.say(world.assignment(attempt=attempt, epochs=1))
    request = until(world, UploadRequest)
    assert (request.attempt, request.steps) == (attempt, 4)
    assert [entry.outcome for entry in history(world)] == [Outcome.WORKING, Outcome.SUPERSEDED]


def test_an_older_assignment_is_ignored(world):
    world.round = 5
    world.start()
    world.say(world.assignment(attempt=2))
    until_state(world, STATES.TRAINING)
    world.say(world.assignment(attempt=1))
    world.say(world.assignment(attempt=9), 4)
    assert until(world, UploadRequest).attempt == 2
    assert len(history(world)) == 1


def test_the_same_assignment_again_repeats_the_last_word_and_trains_once(world):
    world.start()
    world.say(world.assignment())
    until_state(world, STATES.TRAINING)
    world.bodies()
    world.say(world.assignment(deadline=555.0))
    world.agent.step()
    assert world.bodies(Accept) == [Accept(1)]
    request = until(world, UploadRequest)
    world.say(world.assignment(deadline=500.0))
    world.run(steps=2)
    assert world.bodies(UploadRequest, Accept) == [request]
    assert world.trainer.steps == 8


def test_an_assignment_delivered_twice_is_not_done_twice(world, tmp_path):
    world.start()
    asked = world.assignment()
    world.say(asked, message_id=40)
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    world.say(asked, message_id=40)
    world.run(steps=60)
    assert world.trainer.steps == 8
    world.say(asked, message_id=41)  # another coordinator's first round looks the same but for its id
    until(world, UploadRequest)
    assert world.trainer.steps == 16


def test_the_deadline_ends_the_work_and_is_said(world):
    world.start()
    world.say(world.assignment(deadline=30.0))
    until(world, UploadRequest)
    world.wait(29.0)
    assert world.bodies(Decline) == []
    world.wait(1.5)
    assert world.bodies(Decline) == [Decline(1, "the deadline passed while the device was uploading")]
    assert history(world)[0].outcome is Outcome.EXPIRED


def test_a_lost_condition_stops_training_within_one_batch_and_is_said(world):
    class Warm:
        too_hot = False

        def obstacle(self):
            return "81 °C, the owner allows 80 °C" if self.too_hot else None

    condition = Warm()
    world.conditions = [condition]
    world.start()
    world.say(world.assignment())
    world.run(lambda: world.trainer.steps == 2)
    condition.too_hot = True
    world.run(steps=5)
    assert world.trainer.steps == 2
    assert world.bodies(Decline) == [Decline(1, "81 °C, the owner allows 80 °C")]
    condition.too_hot = False
    world.wait(75.0)
    assert len(world.bodies(CheckIn)) == 1


def test_a_device_that_cannot_begin_says_why_once_for_each_reason(world, caplog):
    class Moody:
        why = "load: 4.76 a core"

        def obstacle(self):
            return self.why

    caplog.set_level("INFO")
    condition = Moody()
    world.conditions = [condition]
    world.start()
    world.wait(1.0)
    condition.why = "load: 4.91 a core"
    world.wait(75.0)
    told = [m for m in caplog.messages if "not eligible" in m]
    assert told == ["idle: not eligible: load: 4.76 a core"]
    condition.why = "power: on battery"
    world.wait(75.0)
    assert [m for m in caplog.messages if "not eligible" in m][1:] == ["idle: not eligible: power: on battery"]


def test_a_pause_is_such_a_condition_also_while_nothing_is_computed(world):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    world.home.paused.touch()
    world.wait(5.5)
    assert world.bodies(Decline) == [Decline(1, "paused by its owner")]
    world.wait(200.0)
    assert world.bodies(CheckIn) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelError("signature 'train' failed"), "signature 'train' failed"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_a_failure_ends_the_work_and_not_the_agent(world, error, reason):
    world.trainer.fails_with = error
    world.start()
    world.say(world.assignment())
    assert until(world, Decline).reason == reason
    world.trainer.fails_with = None
    world.round = 2
    world.say(world.assignment())
    until(world, UploadRequest)


def test_training_that_diverges_is_given_up(world):
    world.trainer.loss = float("nan")
    world.start()
    world.say(world.assignment())
    assert until(world, Decline).reason == "training diverged: the loss of step 1 is nan at learning rate 0.25"


def test_weights_that_do_not_fit_the_graph_or_are_not_finite_are_refused(world):
    world.start()
    world.say(world.assignment(weights=world.offer(b"\0" * 100)))
    assert "the round's weights are 100 bytes, the graph has 410 parameters" in until(world, Decline).reason
    world.round = 2
    world.weights[7] = np.inf
    world.say(world.assignment())
    assert "not finite" in until(world, Decline).reason


def test_an_owners_paths_are_not_told(world):
    world.trainer.fails_with = RunError(f"{world.home.path}/blobs/x: gone")
    world.start()
    world.say(world.assignment())
    assert until(world, Decline).reason == "HOME/blobs/x: gone"


# Downloading and uploading through the agent -----------------------------------------------------------------------


def test_a_lost_chunk_is_asked_for_after_ten_seconds_and_the_session_goes_on(world):
    from edgewise_wire.weights import to_bytes

    world.start()
    data = to_bytes(world.weights)
    ref = world.offer(data, without=(1,))
    world.say(world.assignment(weights=ref))
    world.run(steps=20)
    assert world.agent.state is STATES.DOWNLOADING
    world.wait(10.5)
    assert world.bodies(BlobRequest) == [BlobRequest(ref.hash, (Range(1, 1),))]
    world.put_chunk(ref, 1, data[500:1000])
    until(world, UploadRequest)


def test_an_upload_resumes_after_a_reconnect_with_what_is_there(world, tmp_path):
    world.start()
    world.say(world.assignment())
    request = until(world, UploadRequest)
    world.say(UploadGrant(1, 1))
    assert until(world, UploadChunk).index == 0
    world.broker.cut("pi-7")
    world.run(steps=2)
    world.broker.mend("pi-7")
    world.run(steps=2)
    assert [type(body) for body in world.bodies()] == [CheckIn, UploadRequest]
    world.say(UploadGrant(1, 4, (Range(0, 0),)))
    world.run(steps=4)
    assert world.bodies(UploadChunk) == []
    assert world.said[-1][1] == request
    world.say(ReportAck(1, True))
    world.run(steps=3)
    assert history(world)[0].outcome is Outcome.REPORTED


def test_a_refused_report_is_not_sent_again(world):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    world.say(ReportAck(1, False, "that round is over", 40.0))
    world.run(steps=3)
    assert history(world)[0].outcome is Outcome.REFUSED
    assert history(world)[0].reason == "that round is over"
    assert not world.home.session.joinpath("update").exists()


# Hostile peers -----------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_message_or_not_for_this_device_are_counted_and_dropped(world):
    world.start()
    until(world, CheckIn)
    down = topics.device_down("home", "pi-7")
    asked = world.assignment()
    for payload in (
        b"",
        b"\xff" * 200,
        encode(Envelope("home", 1, 1, asked))[:-9],
        encode(Envelope("other", 1, 1, asked)),
        encode(Envelope("home", 1, 1, asked, protocol=2)),
        encode(Envelope("home", 1, 1, UploadChunk(1, 0, b"x"))),
        encode(Envelope("home", 1, 1, CheckIn())),
    ):
        world.coordinator.publish(down, payload)
    world.run(steps=20)
    assert world.agent.state is STATES.CHECKED_IN
    assert world.agent.link.dropped == {"invalid": 3, "foreign": 2, "misplaced": 2}


def test_the_largest_numbers_and_a_terminals_escape_codes_do_no_harm(world):
    world.round = (1 << 64) - 1
    world.start()
    world.say(world.assignment(attempt=(1 << 32) - 1, seed=(1 << 64) - 1, version=(1 << 64) - 1, max_examples=1 << 31))
    assert until(world, UploadRequest).steps == 8
    world.say(Abort((1 << 32) - 1, "\x1b[2J gone\n\x07"))
    world.run(steps=3)
    assert (history(world)[0].outcome, history(world)[0].reason) == (Outcome.ABORTED, "?[2J gone ?")


def test_words_about_work_that_is_not_there_do_nothing(world):
    world.start()
    until(world, CheckIn)
    for body in (UploadGrant(1, 5), ChunkAck(1, (Range(0, 3),)), ReportAck(1, True), Abort(1, "x")):
        world.say(body)
    world.run(steps=10)
    assert (world.agent.state, world.bodies(), history(world)) == (STATES.CHECKED_IN, [], [])


def test_grants_that_contradict_the_update_are_dropped(world):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    for have in ((Range(0, 4_000_000_000),), (Range(5, 2),), (Range(0, 0), Range(0, 0))):
        world.say(UploadGrant(1, 60000, have))
    world.run(steps=10)
    assert world.agent.link.dropped == {"contradictory": 3}
    assert world.bodies(UploadChunk) == []
    world.say(UploadGrant(1, 60000))
    world.run(steps=3)
    assert len(world.bodies(UploadChunk)) == 1


def test_no_line_of_the_log_has_a_text_in_it(world, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    world.store.add("my secret zanzibar")
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    assert "uploading (round 1, attempt 1)" in caplog.text
    assert "zanzibar" not in caplog.text
    assert "zanzibar" not in world.home.status.read_text()


# Restarts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [STATES.DOWNLOADING, STATES.TRAINING, STATES.UPLOADING])
def test_a_process_killed_in_any_state_goes_on_and_reports_the_same(world, tmp_path, state):
    from edgewise_wire.weights import to_bytes

    world.round = 3
    data = to_bytes(world.weights)
    ref = world.offer(data, without=(2,) if state is STATES.DOWNLOADING else ())
    world.start()
    world.say(world.assignment(weights=ref))
    until_state(world, state)
    world.run(steps=6 if state is STATES.DOWNLOADING else 2)
    assert world.agent.state is state
    world.kill()
    world.bodies()
    world.start()
    world.run(steps=1)
    assert world.agent.state is state if state is not STATES.DOWNLOADING else True
    first = world.bodies()[0]
    assert (first.resume_round, first.resume_attempt, first.session) == (3, 1, 2)
    if state is STATES.DOWNLOADING:
        world.put_chunk(ref, 2, data[1000:1500])
        request = until(world, UploadRequest)
        assert world.agent.link.bytes_in < 2 * 700  # only the chunk that was missing came again
    else:
        request = world.said[-1][1] if state is STATES.UPLOADING else until(world, UploadRequest)
    update = world.receive(request, tmp_path)
    np.testing.assert_array_equal(update, expected_update(world, 3).update)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    assert [entry.outcome for entry in history(world)] == [Outcome.REPORTED]


def test_a_finished_update_is_sent_as_it_is_though_examples_have_come_since(world, tmp_path):
    world.start()
    world.say(world.assignment())
    request = until(world, UploadRequest)
    world.kill()
    world.write(10)
    world.start()
    assert until(world, UploadRequest) == request
    assert world.trainer.steps == 8


def test_an_update_that_a_crash_tore_is_made_anew(world):
    world.start()
    world.say(world.assignment())
    request = until(world, UploadRequest)
    world.kill()
    world.home.session.joinpath("update").write_bytes(b"torn")
    world.start()
    assert dataclasses.replace(until(world, UploadRequest), seconds=0.0) == dataclasses.replace(request, seconds=0.0)
    assert world.trainer.steps == 16


@pytest.mark.parametrize("torn", ["assignment", "report", "notes.json"])
def test_torn_session_files_are_no_reason_to_die(world, torn):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    world.kill()
    world.home.session.joinpath(torn).write_bytes(b"\0\1")
    world.start()
    world.run(steps=40)
    assert world.agent.state is (STATES.CHECKED_IN if torn == "assignment" else STATES.UPLOADING)
    [entry] = history(world)
    assert entry.outcome is (Outcome.FAILED if torn == "assignment" else Outcome.WORKING)


def test_a_crash_between_the_record_and_the_files_repeats_nothing(world, tmp_path):
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    kept = {path: path.read_bytes() for path in world.home.session.iterdir()}
    world.say(ReportAck(1, True))
    world.run(steps=3)
    world.kill()
    for path, data in kept.items():
        path.write_bytes(data)
    world.start()
    world.run(steps=5)
    assert world.agent.state is STATES.CHECKED_IN
    assert not list(world.home.session.iterdir())


def test_a_restarted_device_whose_report_is_safe_already_trains_no_further(world):
    world.start()
    world.say(world.assignment())
    until(world, UploadRequest)
    world.kill()
    world.home.session.joinpath("update").unlink()
    world.start()
    until_state(world, STATES.TRAINING)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    assert history(world)[0].outcome is Outcome.REPORTED


def test_a_deadline_goes_on_over_a_restart_and_a_clock_that_jumped_cannot_stretch_it(world):
    for jump, expired in ((-1e9, False), (50.0, False), (120.0, True), (1e9, True)):
        world.round += 1
        world.start()
        world.say(world.assignment(deadline=100.0))
        until(world, UploadRequest)
        world.kill()
        world.clock._offset += jump
        world.start()
        world.run(steps=3)
        assert (world.bodies(Decline) != []) is expired
        world.clock._offset -= jump
        world.wait(101.0)
        assert world.agent.state is not STATES.UPLOADING
        world.kill()


def test_an_assignment_that_kills_the_process_is_tried_three_times(world):
    class Killed(BaseException):
        pass

    world.trainer.fails_with = Killed()
    world.start()
    world.say(world.assignment())
    for _ in range(3):
        with pytest.raises(Killed):
            world.run(steps=50)
        world.kill()
        world.start()
    assert until(world, Decline).reason == "the process ended 3 times while it computed this"


def test_a_clean_stop_says_goodbye_and_keeps_the_work(world):
    world.start()
    world.say(world.assignment())
    until_state(world, STATES.TRAINING)
    world.agent.close()
    assert world.bodies(Presence)[-1] == Presence(online=False, session=1)
    world.start()
    request = until(world, UploadRequest)
    assert request.steps == 8


def test_run_stops_when_it_is_told_to(world):
    class Stop:
        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 3

    world.start()
    world.agent.run(Stop())
    assert world.agent.state is STATES.CHECKED_IN


def test_a_disk_that_is_full_is_a_reason_to_decline(world, monkeypatch):
    from edgewise_edge import session
    from edgewise_wire.errors import UnavailableError

    def full(path, data):
        raise UnavailableError(f"{path}: cannot be written (No space left on device)")

    world.start()
    until(world, CheckIn)
    monkeypatch.setattr(session, "write_durably", full)
    world.say(world.assignment())
    assert until(world, Decline).reason == "the device cannot write to its disk"
    monkeypatch.undo()
    world.round = 2
    world.say(world.assignment())
    until(world, UploadRequest)


def test_a_task_that_this_device_has_no_examples_for_is_declined(world):
    world.trainer.manifest = dataclasses.replace(world.trainer.manifest, task="chess")
    world.start()
    world.say(world.assignment())
    assert until(world, Decline).reason == "the model's task 'chess' takes rows of numbers, and this device has none"


def test_texts_without_any_word_are_no_examples(world):
    world.store.forget(everything=True)
    world.store.add_many(["!!!", "???"])
    world.start()
    world.say(world.assignment())
    assert "none of this device's examples" in until(world, Decline).reason


def test_a_reference_that_lies_about_the_whole_ends_the_work(world):
    world.start()
    good = world.offer(b"x" * 700)
    lie = dataclasses.replace(good, hash=make_ref(b"y").hash)
    for index, data in enumerate((b"x" * 500, b"x" * 200)):
        world.put_chunk(lie, index, data)
    world.say(world.assignment(graph=lie))
    assert "the whole is not" in until(world, Decline).reason
    assert isinstance(world.assignment(), Assignment)


# The owner's day ---------------------------------------------------------------------------------------------------


def slowly(world, seconds):
    """Let each training step take so long."""
    step = world.trainer.train_step

    def slow(*arguments, **options):
        world.clock.advance(seconds)
        return step(*arguments, **options)

    world.trainer.train_step = slow


def test_minutes_a_day_end_training_within_one_batch_and_count_over_restarts(world):
    world.policy = Policy(max_minutes_day=1.0)
    slowly(world, 25.0)
    world.start()
    world.say(world.assignment())
    assert until(world, Decline).reason == "the owner's 1 minutes a day are used up"
    assert world.trainer.steps == 3
    assert history(world)[0].seconds == 75.0
    world.kill()
    world.start()
    world.bodies()
    world.wait(4000.0)
    assert world.bodies(CheckIn) == []
    world.clock.advance(86400.0)
    world.wait(61.0)
    assert world.bodies(CheckIn) != []


def test_a_killed_process_leaves_the_time_that_it_computed(world):
    world.policy = Policy(max_minutes_day=2.0)
    slowly(world, 15.0)
    world.start()
    world.say(world.assignment())
    world.run(lambda: world.trainer.steps == 5)
    world.kill()
    world.start()
    assert until(world, Decline).reason == "the owner's 2 minutes a day are used up"
    assert world.trainer.steps == 5 + 4  # of the 75 s before the kill the last 15 were not written down yet


def test_epochs_and_megabytes_a_day_are_kept(world, tmp_path):
    world.policy = Policy(max_epochs_day=3)
    world.start()
    world.say(world.assignment())
    world.receive(until(world, UploadRequest), tmp_path)
    world.say(ReportAck(1, True))
    world.run(steps=3)
    world.round = 2
    world.say(world.assignment())
    assert until(world, Decline).reason == "2 epochs were asked for, of the owner's 3 a day 1 are left"
    world.policy = Policy(max_megabytes_day=0.005)
    world.kill()
    world.start()
    world.round = 3
    world.say(world.assignment())
    assert "of the owner's 0.005 MB a day" in until(world, Decline).reason


def test_a_policy_that_changes_counts_at_once(world):
    now = [Policy()]
    world.policy = lambda: now[0]
    world.start()
    world.say(world.assignment())
    world.run(lambda: world.trainer.steps == 2)
    now[0] = Policy(max_minutes_day=0.001)
    slowly(world, 1.0)
    assert until(world, Decline).reason == "the owner's 0.001 minutes a day are used up"
