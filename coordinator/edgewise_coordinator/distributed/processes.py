"""Aggregators as plain processes of this machine, each with a pipe to the coordinator."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from edgewise_coordinator.distributed.node import Node
from edgewise_coordinator.distributed.orders import Heard, Lost, NodeSettings, Order, Summed, Term
from edgewise_coordinator.exact_sum import PartialSum
from edgewise_coordinator.faults import hook_from
from edgewise_wire.errors import TransportError
from edgewise_wire.transport.mqtt import MqttTransport

log = logging.getLogger("edgewise.coordinator")

STEP_SECONDS = 0.02  # how long an order may wait while nothing comes from the broker
STOP_SECONDS = 5.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SumUp:
    """Ask for the sum of a round; `serial` is repeated in the answer."""

    serial: int
    round_id: int
    terms: tuple[Term, ...]


def connect(settings: NodeSettings) -> MqttTransport:
    """Return an aggregator's own link to the broker, as soon as the broker is there."""
    broker = settings.broker
    client_id = f"edgewise-{settings.fleet}-aggregator-{settings.name}"
    while True:
        transport = MqttTransport(
            broker.url, client_id, username=broker.username, password=broker.password,
            ca=broker.tls.ca, cert=broker.tls.cert, key=broker.tls.key,
        )  # fmt: skip
        try:
            return transport.connect()
        except TransportError as error:
            log.warning("aggregator %s: %s; trying again", settings.name, error)
            transport.close()
            time.sleep(RETRY_SECONDS)


def work(settings: NodeSettings, pipe: Connection) -> None:
    """Be an aggregator until the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to answer; its end of the pipe tells us
    transport = connect(settings)
    node = Node(settings, transport, fault=hook_from(settings.fault))
    pipe.send(node.take_notices())
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            node.step(STEP_SECONDS)
            while pipe.poll():
                asked = pipe.recv()
                if asked is None:
                    transport.close()
                    return
                if isinstance(asked, SumUp):
                    pipe.send((asked.serial, node.sum_up(asked.round_id, asked.terms)))
                else:
                    node.obey(asked)
            told = node.take_notices()
            if told.notices:
                pipe.send(told)


class ProcessReduction:
    """Merges the partial sums as they come."""

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting
        self._found: PartialSum | None = None
        self._lost: Lost | None = None

    def take(self, name: str, summed: Summed) -> None:
        """Take one aggregator's sum."""
        if name not in self.waiting:
            return
        self.waiting.discard(name)
        if isinstance(summed, Lost):
            self._lost = summed
        else:
            self._found = summed if self._found is None else self._found.merged(summed)

    def poll(self) -> Summed | None:
        """Return the sum of all, once every one has answered."""
        if self._lost is not None:
            return self._lost
        return None if self.waiting else self._found


@dataclass(slots=True)
class Child:
    """One aggregator's process and our end of its pipe."""

    settings: NodeSettings
    process: BaseProcess
    pipe: Connection


class ProcessEngine:
    """Starts one process for each of `settings` and whenever one is gone another in its place."""

    def __init__(self, settings: Sequence[NodeSettings]) -> None:
        # Not forked: the coordinator has threads (its link to the broker), and a fork would copy their locks.
        self._context = multiprocessing.get_context("spawn")
        self._children = {each.name: self._start(each) for each in settings}
        self._reduction: tuple[int, ProcessReduction] = (0, ProcessReduction(set()))

    @property
    def names(self) -> tuple[str, ...]:
        """The aggregators' names."""
        return tuple(self._children)

    def pids(self) -> dict[str, int]:
        """Return each aggregator's process id, as it is now."""
        return {name: child.process.pid or 0 for name, child in self._children.items()}

    def tell(self, name: str, orders: Sequence[Order]) -> None:
        """Send orders."""
        for order in orders:
            self._send(name, order)

    def hear(self) -> list[Heard]:
        """Return what came, and start those again that are gone."""
        heard: list[Heard] = []
        for name, child in list(self._children.items()):
            try:
                while child.pipe.poll():
                    said = child.pipe.recv()
                    if isinstance(said, Heard):
                        heard.append(said)
                    elif said[0] == self._reduction[0]:
                        self._reduction[1].take(name, said[1])
            except (EOFError, OSError):
                log.warning("aggregator %s is gone (exit code %s); starting it again", name, self._reap(child))
                # A fault that a test asked for happens once.
                self._children[name] = self._start(replace(child.settings, fault=None))
        return heard

    def reduce(self, round_id: int, terms: Mapping[str, tuple[Term, ...]]) -> ProcessReduction:
        """Ask each aggregator for its sum; they are merged here."""
        serial = self._reduction[0] + 1
        self._reduction = serial, ProcessReduction(set(terms))
        for name, theirs in terms.items():
            self._send(name, SumUp(serial, round_id, theirs))
        return self._reduction[1]

    def close(self) -> None:
        """Stop them."""
        for name in self._children:
            self._send(name, None)
        for child in self._children.values():
            child.process.join(STOP_SECONDS)
            self._reap(child)

    def _start(self, settings: NodeSettings) -> Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(settings, theirs), name=settings.name, daemon=True)
        process.start()
        theirs.close()
        return Child(settings, process, ours)

    def _send(self, name: str, what: object) -> None:
        with contextlib.suppress(OSError):  # gone: `hear` notices, and its successor is told everything
            self._children[name].pipe.send(what)

    @staticmethod
    def _reap(child: Child) -> int | None:
        child.pipe.close()
        if child.process.is_alive():
            child.process.kill()
        child.process.join(STOP_SECONDS)
        return child.process.exitcode
