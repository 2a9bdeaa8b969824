"""A world for the agent: a broker in memory, a clock that stands still, a scripted coordinator, a tiny trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.link import Identity
from edgewise_edge.policy import Policy
from edgewise_edge.store import ExampleStore
from edgewise_wire import topics
from edgewise_wire.blobs import BlobAssembler, chunk, chunk_count, make_ref
from edgewise_wire.clock import ManualClock
from edgewise_wire.codec import decode, encode
from edgewise_wire.manifest import Manifest, TensorSpec, vocabulary_hash
from edgewise_wire.messages import (
    Assignment,
    BlobChunk,
    ChunkAck,
    Envelope,
    Kind,
    Presence,
    Progress,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.weights import WeightSpec, flatten, parameters, to_bytes

FLEET, DEVICE = "home", "pi-7"
WORDS = ("see", "you", "at", "seven", "tomorrow", "then")
SPECS = (WeightSpec("embedding", (10, 40)), WeightSpec("bias", (10,)))
MANIFEST = Manifest(
    task="next-word",
    name="tiny",
    weights=SPECS,
    buffers=(1, 2),
    batch=2,
    steps=4,
    inputs=(TensorSpec("tokens", (2, 4), "int32"),),
    labels=TensorSpec("labels", (2, 4), "int32"),
    weight=TensorSpec("weight", (2, 4), "float32"),
    metrics=("top1", "top3"),
    operators=(),
    min_runtime="2.14",
    flops=1,
    peak_memory=1,
    vocabulary=WORDS,
    vocabulary_hash=vocabulary_hash(WORDS),
)


class TinyTrainer:
    """Behind the Trainer's interface: each step pulls every weight towards the mean label, so that order matters."""

    def __init__(self) -> None:
        self.manifest = MANIFEST
        self.weights = {spec.name: np.zeros(spec.shape, np.float32) for spec in SPECS}
        self.steps = 0
        self.fails_with: Exception | None = None
        self.loss: float | None = None

    def get_weights(self):
        return {name: array.copy() for name, array in self.weights.items()}

    weight_views = get_weights

    def set_weights(self, weights) -> None:
        self.weights = {name: np.array(array) for name, array in weights.items()}

    def reset_optimizer(self) -> None:
        pass

    def train_step(self, batch, learning_rate, *, seed=0):
        if self.fails_with is not None:
            raise self.fails_with
        self.steps += 1
        target = float((batch["labels"] * batch["weight"]).sum() / batch["weight"].sum())
        before = float(self.weights["bias"].mean())
        for array in self.weights.values():
            array += np.float32(learning_rate) * (np.float32(target) - array)
        loss = abs(target - before) if self.loss is None else self.loss
        return SimpleNamespace(loss=loss, weight_sum=float(batch["weight"].sum()))

    def set_offset(self, offsets) -> None:
        self.offsets = dict(offsets)

    def train_corrected_step(self, batch, learning_rate, *, mu=0.0, seed=0):
        before = self.get_weights()
        step = self.train_step(batch, learning_rate)
        for name, array in self.weights.items():
            array -= np.float32(learning_rate) * (np.float32(mu) * before[name] + self.offsets[name])
        return step

    def evaluate_step(self, batch):
        return {"loss_sum": 2.0 * float(batch["weight"].sum()), "weight_sum": float(batch["weight"].sum()), "top1": 1.0}


class World:
    """One device and the far end, without a second of real time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MemoryBroker()
        self.clock = ManualClock(1000.0, 1_700_000_000.0)
        self.coordinator = self.broker.connect("coordinator")
        self.coordinator.subscribe(topics.all_devices(FLEET, "up"), topics.all_devices(FLEET, "state"))
        self.trainer = TinyTrainer()
        self.loaded: list[Path] = []
        self.policy = Policy()
        self.conditions: list[object] = []
        self.sessions = iter(range(1, 1000))
        self.message_id = 0
        self.round = 1
        self.said: list[tuple[int, object]] = []
        self.agent: Agent | None = None
        self.home = Home(folder)
        self.store = ExampleStore(self.home.examples)
        self.weights = flatten({spec.name: np.full(spec.shape, 0.5, np.float32) for spec in SPECS}, SPECS)
        self.graph_bytes = bytes(range(256)) * 3

    # The device.

    def write(self, count: int = 10) -> None:
        """Give the device sentences of its own."""
        self.store.add_many(f"see you {WORDS[n % len(WORDS)]} then" for n in range(count))

    def load(self, path: Path) -> TinyTrainer:
        self.loaded.append(path)
        return self.trainer

    def start(self, **options) -> Agent:
        """Start the device's process."""
        identity = Identity(FLEET, DEVICE, next(self.sessions))
        link = self.broker.connect(DEVICE, will=identity.will)
        host = DeviceHost(self.home, self.store, conditions=self.conditions, load=self.load)
        rng = np.random.default_rng(0)
        self.agent = Agent(self.home, link, identity, host, clock=self.clock, policy=self.policy, rng=rng, **options)
        return self.agent

    def kill(self) -> None:
        """Kill the device's process: the link breaks, nothing is closed."""
        self.broker.cut(DEVICE)
        self.agent = None

    def run(self, until=None, steps: int = 300) -> bool:
        """Step the agent until a condition holds, or (without one) for some steps; the coordinator is only read."""
        for _ in range(steps):
            if until is not None and until():
                return True
            self.agent.step(0.0)
        return until is None

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.run(steps=30)

    # The far end.

    def hear(self) -> list[tuple[int, object]]:
        """Return what the device said since the last call, progress and chunks included, as (round, body)."""
        fresh = []
        while (event := self.coordinator.poll()) is not None:
            if isinstance(event, Message):
                envelope = decode(event.payload)
                fresh.append((envelope.round, envelope.body))
        self.said += fresh
        return fresh

    def bodies(self, *kinds: type) -> list[object]:
        """Return the bodies the device said since the last call; presence and progress only if asked for."""
        bodies = [body for _, body in self.hear()]
        if kinds:
            return [body for body in bodies if isinstance(body, kinds)]
        return [body for body in bodies if not isinstance(body, (Presence, Progress))]

    def say(self, body, round_number: int | None = None, *, message_id: int | None = None) -> None:
        """Say something to the device."""
        self.message_id += 1
        number = self.round if round_number is None else round_number
        envelope = Envelope(FLEET, number, self.message_id if message_id is None else message_id, body)
        self.coordinator.publish(topics.device_down(FLEET, DEVICE), encode(envelope))

    def offer(self, data: bytes, *, without: tuple[int, ...] = (), chunk_bytes: int = 500):
        """Put a blob on the broker, some chunks left out, and return its reference."""
        ref = make_ref(data, chunk_bytes)
        for index in range(chunk_count(ref)):
            if index not in without:
                self.put_chunk(ref, index, chunk(data, ref, index))
        return ref

    def put_chunk(self, ref, index: int, data: bytes) -> None:
        payload = encode(Envelope(FLEET, 0, 0, BlobChunk(ref.hash, index, data)))
        self.coordinator.publish(topics.blob_chunk(FLEET, ref.hash, index), payload, retain=True)

    def assignment(self, **changes) -> Assignment:
        """Return an assignment whose blobs are on the broker."""
        wanted = {
            "attempt": 1, "kind": Kind.TRAIN, "epochs": 2, "learning_rate": 0.25, "seed": 5, "deadline": 600.0,
            "version": 3, "encoding": "float32",
        } | changes  # fmt: skip
        for name, data in (("graph", self.graph_bytes), ("weights", to_bytes(self.weights))):
            if name not in wanted:
                wanted[name] = self.offer(data)
        return Assignment(**wanted)

    def receive(self, request: UploadRequest, folder: Path, window: int = 3):
        """Grant an upload and take it in whole; return the update as float32."""
        with BlobAssembler(request.update, folder / "received") as assembler:
            self.say(UploadGrant(request.attempt, window, assembler.have()))
            while not assembler.complete:
                self.run(steps=5)
                chunks = self.bodies(UploadChunk)
                assert chunks, "the device stopped sending"
                for body in chunks:
                    assembler.add(body.index, body.data)
                self.say(ChunkAck(request.attempt, assembler.have()))
            return np.frombuffer(assembler.finish().read_bytes(), "<f4")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A device with ten sentences, not started yet."""
    made = World(tmp_path / "home")
    made.write()
    yield made
    made.store.close()


assert parameters(SPECS) == 410
