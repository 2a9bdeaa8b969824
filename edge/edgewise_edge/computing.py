"""What an assignment asks a device to compute, from files to files: its blobs in, the update and a report out.

Whoever drives it goes on batch by batch. What a phase after training needs (masks, say) belongs between `encode_update`
and the report here if it is arithmetic on the update, and into a phase of its own if it talks to the coordinator.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from edgewise_edge.control import Controls
from edgewise_edge.correction import Correction
from edgewise_edge.deltas import assemble
from edgewise_edge.host import Host
from edgewise_edge.jobs import Computed, Job
from edgewise_edge.local_training import (
    LocalSums,
    LocalUpdate,
    TrainerLike,
    device_generator,
    evaluate_locally,
    train_locally,
)
from edgewise_edge.progress import NOTHING_DONE, Step
from edgewise_edge.session import SessionFolder, Work
from edgewise_edge.starting_point import StartingPoint
from edgewise_edge.weights_file import read_weights, room_on_disk
from edgewise_wire.blobs import BlobStore, make_ref
from edgewise_wire.encodings import clipping_norm
from edgewise_wire.errors import RunError
from edgewise_wire.messages import EvaluationReport, Kind, Measure, UploadRequest
from edgewise_wire.secure.form import ENCODING


class InProcess:
    """A job computed in this process, one batch with every `advance`."""

    def __init__(self, host: Host, job: Job) -> None:
        self._running = compute(host, job)
        self._step = NOTHING_DONE
        self.result: Computed | None = None

    def advance(self) -> Step:
        """Compute one batch."""
        try:
            self._step = next(self._running)
        except StopIteration as end:
            self.result = end.value
        return self._step

    def stop(self) -> None:
        """Let go of what was computed."""
        self._running.close()


def compute(host: Host, job: Job) -> Generator[Step, None, Computed]:
    """Compute a job, a batch between any two yields.

    Returns:
        What came of it, by way of `StopIteration.value`; an update is on disk then, its report is not.

    Raises:
        ModelError, RunError, InputError, UnavailableError: if that cannot be done.
    """
    asked = job.work.asked
    blobs = BlobStore(job.home.blobs)
    if not assemble(asked, blobs):
        return Computed(None, {})
    if asked.kind == Kind.DISCOVER:
        return Computed(_votes(host, job, blobs.path(asked.weights.hash)), {})
    trainer = host.trainer(blobs.path(asked.graph.hash), asked.graph.hash)
    weights = read_weights(blobs.path(asked.weights.hash), trainer)
    examples = host.examples(trainer.manifest, Kind(asked.kind))
    if not len(examples):
        raise RunError("none of this device's examples has anything that the model can learn from")
    if asked.kind == Kind.EVALUATE:
        sums = yield from evaluate_locally(trainer, weights, examples, max_examples=job.most)
        return Computed(_evaluation(job.work, sums), {"examples": sums.examples})
    room = room_on_disk(job.home.session / "difference", len(weights))
    update = yield from train_locally(
        trainer, StartingPoint(weights, trainer.manifest.weights, room), examples,
        epochs=asked.epochs, learning_rate=asked.learning_rate, max_examples=job.most,
        rng=device_generator(asked.seed, job.work.round, job.device), correction=_correction(job, blobs, trainer),
    )  # fmt: skip
    del trainer  # its memory is as large as all that follows; a host may keep it for the next round
    figures = {"examples": update.examples, "steps": update.steps, "loss": update.loss, "norm": update.norm}
    return Computed(_keep(job, update), figures)


def _votes(host: Host, job: Job, found: Path) -> EvaluationReport:
    from edgewise_edge.votes import votes

    asked = job.work.asked
    chosen = votes(
        host.texts(), found.read_text("utf-8").split("\n"),
        length=asked.discovery.length, most=min(asked.discovery.votes, job.most),
        rng=device_generator(asked.seed, job.work.round, job.device),
    )  # fmt: skip
    return EvaluationReport(asked.attempt, 1, tuple(Measure(prefix, 1.0) for prefix in sorted(chosen)))


def _correction(job: Job, blobs: BlobStore, trainer: TrainerLike) -> Correction | None:
    asked = job.work.asked
    if not asked.correction:
        return Correction(mu=asked.mu) if asked.mu else None
    server = read_weights(blobs.path(asked.control.hash), trainer, "control variates")
    own = Controls(job.home, asked.graph.hash).load(asked.control_round, len(server))
    return Correction(asked.mu, server, own)


def _keep(job: Job, result: LocalUpdate) -> UploadRequest:
    """Put an update on disk; return the request that vouches for it, its seconds not filled in yet."""
    from edgewise_edge.encoding import encode_update, secure_words  # not before the trainer has gone
    from edgewise_wire.transforms.clip import within

    asked = job.work.asked
    session = SessionFolder(job.home.session, job.work.fleet)
    if asked.secure.cohort:
        session.save_update(secure_words(job.work, result.update, result.examples, result.loss))
        return UploadRequest(asked.attempt, make_ref(session.update), 1, encoding=ENCODING)
    session.save_update(encode_update(job.home, job.work, job.device, result.update))
    if result.control is not None:
        Controls(job.home, asked.graph.hash).save(job.work.round, result.control, asked.control_round)
    encoding = asked.encoding or "float32"
    inside = asked.privacy.ask_within_norm and within(result.update, clipping_norm(encoding))
    return UploadRequest(
        asked.attempt, make_ref(session.update), result.examples, result.loss, result.steps, 0.0, encoding, inside
    )


def _evaluation(work: Work, result: LocalSums) -> EvaluationReport:
    measures = tuple(Measure(name, value) for name, value in sorted(result.sums.items()))
    return EvaluationReport(work.asked.attempt, result.examples, measures)
