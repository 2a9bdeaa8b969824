"""Aggregators in the test's own thread, over the memory broker; one can be killed as a power cut would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewise_coordinator.distributed.node import Node
from edgewise_coordinator.distributed.orders import BrokerSettings, Heard, Lost, NodeSettings, Order, Summed, Term
from edgewise_coordinator.settings import UploadSettings
from edgewise_wire.clock import Clock
from edgewise_wire.transport.memory import MemoryBroker


class Ready:
    def __init__(self, found: Summed | None) -> None:
        self._found = found

    def poll(self) -> Summed | None:
        return self._found


class LocalEngine:
    """`absent` holds the aggregators that are killed and not started again yet."""

    def __init__(self, number: int, directory: Path, broker: MemoryBroker, clock: Clock) -> None:
        self._directory, self._broker, self._clock = directory, broker, clock
        self.names = tuple(f"a{n}" for n in range(number))
        self.nodes: dict[str, Node] = {}
        self.said: list[Order] = []
        self.absent: set[str] = set()
        for name in self.names:
            self.start(name)

    def start(self, name: str) -> None:
        settings = NodeSettings(name, "test", BrokerSettings(""), self._directory / name, UploadSettings())
        self.nodes[name] = Node(settings, self._broker.connect(f"aggregator-{name}"), self._clock)
        self.absent.discard(name)

    def kill(self, name: str) -> None:
        self._broker.cut(f"aggregator-{name}")
        del self.nodes[name]
        self.absent.add(name)

    def tell(self, name: str, orders: Sequence[Order]) -> None:
        self.said += orders
        for order in orders:
            if name in self.nodes:
                self.nodes[name].obey(order)

    def hear(self) -> list[Heard]:
        for node in self.nodes.values():
            node.step(0.0)
        return [node.take_notices() for node in self.nodes.values()]

    def reduce(self, round_id: int, terms: Mapping[str, tuple[Term, ...]]) -> Ready:
        total = None
        for name, theirs in terms.items():
            if name not in self.nodes:
                return Ready(None)
            found = self.nodes[name].sum_up(round_id, theirs)
            if isinstance(found, Lost):
                return Ready(found)
            total = found if total is None else total.merged(found)
        return Ready(total)

    def close(self) -> None:
        self.nodes.clear()
