"""A device without a model: it follows the protocol and sends an update that the test chose.

The far end for the coordinator's tests; it speaks through the same transport as a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgewise_wire import topics
from edgewise_wire.blobs import chunk, chunk_count, make_ref
from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import (
    Abort,
    Accept,
    Assignment,
    BlobChunk,
    BlobRequest,
    Body,
    CheckIn,
    ChunkAck,
    ComeBackLater,
    Envelope,
    EvaluationReport,
    Kind,
    Measure,
    Presence,
    Range,
    ReportAck,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.transforms import Key, get
from edgewise_wire.transport.base import Message, Transport, Will


def will(fleet: str, name: str) -> Will:
    return Will(
        topics.device_state(fleet, name), encode(Envelope(fleet, 0, 1, Presence(online=False, session=7))), retain=True
    )


SUMS = {"loss_sum": 6.0, "weight_sum": 2.0, "top1": 1.0, "top3": 2.0}
Train = Callable[[np.ndarray, Assignment], np.ndarray]


@dataclass
class ScriptedDevice:
    """`train(weights, assignment)` gives the update; `step` handles whatever has come."""

    name: str
    transport: Transport
    train: Train
    fleet: str = "test"
    examples: int = 10
    measures: dict[str, float] = field(
        default_factory=lambda: {"loss_sum": 6.0, "weight_sum": 2.0, "top1": 1.0, "top3": 2.0}
    )
    heard: list[Body] = field(default_factory=list)
    chunks_sent: int = 0
    round_id: int = 0
    assignment: Assignment | None = None
    weights: dict[int, bytes] = field(default_factory=dict)
    update: bytes = b""
    answer_assignments: bool = True
    send_chunks: bool = True
    knows_aggregators: bool = True
    trained: int = 0
    encoding: str = ""
    residual: np.ndarray | None = None
    clips: bool = True
    _id: int = 100

    def join(self) -> None:
        self.transport.subscribe(topics.device_down(self.fleet, self.name))
        self.say(Presence(online=True, session=7), channel="state")
        self.check_in()

    def check_in(self, **resume: int) -> None:
        self.say(CheckIn(session=7, train_examples=self.examples, held_out_examples=2, **resume))

    def say(self, body: Body, channel: str = "up", round_id: int | None = None) -> None:
        self._id += 1
        payload = encode(Envelope(self.fleet, self.round_id if round_id is None else round_id, self._id, body))
        topic = topics.device_state if channel == "state" else topics.device_up
        where = topic(self.fleet, self.name)
        to = self.assignment.aggregator if self.assignment is not None and self.knows_aggregators else ""
        if to and isinstance(body, UploadRequest | UploadChunk):
            where = topics.device_up_to(self.fleet, self.name, to)
        self.transport.publish(where, payload, retain=channel == "state")

    def step(self) -> bool:
        """Handle every waiting event; return whether there was one."""
        any_event = False
        while (event := self.transport.poll(0.0)) is not None:
            any_event = True
            if isinstance(event, Message) and event.payload:
                self._handle(decode(event.payload))
        return any_event

    def _handle(self, envelope: Envelope) -> None:
        body = envelope.body
        if isinstance(body, BlobChunk):
            self._blob_chunk(body)
            return
        self.heard.append(body)
        if isinstance(body, Assignment) and self.answer_assignments:
            if self.assignment is not None and self.round_id == envelope.round:
                return
            self.round_id, self.assignment, self.weights, self.update = envelope.round, body, {}, b""
            self.say(Accept(body.attempt))
            for index in range(chunk_count(body.weights)):
                self.transport.subscribe(topics.blob_chunk(self.fleet, body.weights.hash, index))
        elif isinstance(body, UploadGrant):
            self._send_missing(body.have, body.window)
        elif isinstance(body, ChunkAck):
            self._send_missing(body.have, 8)
        elif isinstance(body, ComeBackLater):
            if not body.seconds:
                self._come_back()
        elif isinstance(body, ReportAck | Abort):
            self.assignment = None
            if not body.come_back:  # else the test says when that time has come
                self.check_in()

    def _come_back(self) -> None:
        if self.assignment is None:
            self.check_in()
            return
        self.check_in(resume_round=self.round_id, resume_attempt=self.assignment.attempt)
        if self.update:
            self.request()
        elif self.assignment.kind == Kind.EVALUATE and len(self.weights) == chunk_count(self.assignment.weights):
            self._work(self.assignment)

    def _blob_chunk(self, body: BlobChunk) -> None:
        a = self.assignment
        if a is None or body.hash != a.weights.hash or body.index in self.weights:
            return
        self.weights[body.index] = body.data
        self.transport.unsubscribe(topics.blob_chunk(self.fleet, body.hash, body.index))
        if len(self.weights) == chunk_count(a.weights):
            self._work(a)

    def _work(self, a: Assignment) -> None:
        if a.kind == Kind.EVALUATE:
            measures = tuple(Measure(k, v) for k, v in self.measures.items())
            self.say(EvaluationReport(a.attempt, 2, measures))
            return
        weights = np.frombuffer(b"".join(self.weights[i] for i in sorted(self.weights)), "<f4")
        update = self.train(weights, a).astype("<f4")
        self.update = update.tobytes()  # unchecked: tests send what no device would
        if a.encoding not in ("", "float32"):
            name = a.encoding if self.clips else a.encoding.replace(a.encoding.split("+")[0], "clip-1000")
            encoded = get(name).encode(update, Key(a.seed, self.round_id, self.name), self.residual)
            self.update, self.residual = encoded.data, encoded.residual
        self.trained += 1
        self.request()

    def request(self) -> None:
        assert self.assignment is not None
        ref = make_ref(self.update)
        encoding = self.encoding or self.assignment.encoding
        self.say(UploadRequest(self.assignment.attempt, ref, self.examples, 2.5, 4, 1.0, encoding))

    def _send_missing(self, have: tuple[Range, ...], window: int) -> None:
        if self.assignment is None or not self.send_chunks:
            return
        ref = make_ref(self.update)
        held = {i for r in have for i in range(r.first, r.last + 1)}
        for index in [i for i in range(chunk_count(ref)) if i not in held][:window]:
            self.chunks_sent += 1
            self.say(UploadChunk(self.assignment.attempt, index, bytes(chunk(self.update, ref, index))))

    def ask_for_blob(self, first: int, last: int) -> None:
        assert self.assignment is not None
        self.say(BlobRequest(self.assignment.weights.hash, (Range(first, last),)))
