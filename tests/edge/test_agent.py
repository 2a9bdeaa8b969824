"""The agent's session against a scripted far end."""

from __future__ import annotations

import numpy as np

from edgewise_edge.host import next_word_examples
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_wire.messages import (
    Accept,
    CheckIn,
    DeviceState,
    EvaluationReport,
    Kind,
    Measure,
    Presence,
    ReportAck,
    UploadRequest,
)


def until(world, kind):
    """Run until the device says a body of this kind; return it."""
    for _ in range(300):
        world.agent.step()
        found = world.bodies(kind)
        if found:
            return found[-1]
    raise AssertionError(f"the device never said {kind.__name__}")


def test_a_whole_train_session_yields_the_very_update_that_local_training_does(world, tmp_path):
    world.round = 4
    world.start()
    offer = until(world, CheckIn)
    assert (offer.train_examples, offer.held_out_examples, offer.resume_round) == (8, 2, 0)
    assert world.said[0][1] == Presence(online=True, session=1)
    world.say(world.assignment())
    request = until(world, UploadRequest)
    assert Accept(1) in [body for _, body in world.said]
    assert (request.examples, request.steps, request.encoding) == (8, 8, "float32")
    update = world.receive(request, tmp_path)
    examples = next_word_examples(world.trainer.manifest, world.store.texts(held_out=False), False)
    expected = run_to_end(
        train_locally(
            world.trainer,
            world.weights,
            examples,
            epochs=2,
            learning_rate=0.25,
            max_examples=0,
            rng=device_generator(5, 4, "pi-7"),
        )
    )
    np.testing.assert_array_equal(update, expected.update)
    assert request.loss == np.float32(expected.loss)
    world.say(ReportAck(1, True, come_back=30.0))
    world.run(steps=5)
    assert world.agent.state is DeviceState.IDLE
    assert not list(world.home.session.iterdir())
    [entry] = ParticipationLog(world.home.participation).entries()
    assert (entry.round, entry.outcome, entry.examples, entry.bytes_up) == (4, Outcome.REPORTED, 8, 4 * 410)
    assert entry.norm == np.linalg.norm(update).astype(float)
    world.bodies()
    world.wait(29.0)
    assert world.bodies(CheckIn) == []
    world.wait(1.5)
    assert len(world.bodies(CheckIn)) == 1


def test_an_evaluate_session_reports_sums_over_held_out_examples(world):
    world.start()
    world.say(world.assignment(kind=Kind.EVALUATE))
    report = until(world, EvaluationReport)
    assert report == EvaluationReport(
        1, 2, (Measure("loss_sum", 16.0), Measure("top1", 1.0), Measure("weight_sum", 8.0))
    )
    world.wait(10.5)
    assert world.bodies(EvaluationReport) == [report]
    world.say(ReportAck(1, True))
    world.run(steps=5)
    assert len(world.bodies(CheckIn)) == 1
