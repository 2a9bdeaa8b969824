"""One secure round without a wire: real devices' halves, a real collector, and what the coordinator was ever given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from edgewise_wire.crypto.authority import Authority
from edgewise_wire.crypto.enrolled import Enrolled, Register
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.collector import Collector
from edgewise_wire.secure.graph import Plan, plan
from edgewise_wire.secure.member import Member, Notes, Rules
from edgewise_wire.secure.words import unpack

NOW = 1.8e9
FLEET, ROUND = "home", 3


@cache
def authority() -> Authority:
    return Authority.create(FLEET, now=NOW)


@cache
def papers(device: str) -> Enrolled:
    made = authority().issue_client(device, days=1, now=NOW)
    return Enrolled(made.cert, made.key)


@dataclass
class SecureRound:
    """`step` by step, or `run` to the end; each step takes the names of those who fall silent before it."""

    size: int
    parameters: int = 200
    terms: SecureTerms | None = None
    enrolled: bool = False
    plan: Plan | None = None
    rules: Rules = field(default_factory=Rules)
    seen: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"d{number:03}" for number in range(self.size)]
        self.terms = self.terms or SecureTerms(self.size, 2, 16, 1.0, 100, 0.0, 0.0)
        self.plan = self.plan or plan(self.size, dropout=1 / 3)
        self.register = Register(authority().cert) if self.enrolled else None
        self.notes = {name: Notes.fresh() for name in self.names}
        self.members = {name: self.member(name) for name in self.names}
        self.collector = Collector(FLEET, ROUND, self.terms, self.register)
        self.total = np.zeros(self.parameters + 2, np.uint32)
        self.plain = np.zeros(self.parameters + 2, np.uint32)
        rng = np.random.default_rng(self.size)
        self.updates = {name: rng.normal(0, 0.2, self.parameters).astype("f4") for name in self.names}
        self.live = list(self.names)

    def member(self, name: str) -> Member:
        """Return a device, as a process that has just begun makes it out of its notes."""
        own = papers(name) if self.enrolled else None
        return Member(
            FLEET, ROUND, name, 1, self.terms, self.notes[name], enrolled=own, register=self.register, rules=self.rules
        )

    def number(self, name: str) -> int:
        found = self.collector.number(name)
        assert found is not None
        return found

    def lose(self, silent: int) -> None:
        self.live = self.live[silent:]

    def advertise(self) -> None:
        for name in self.live:
            self.collector.advertise(name, self.members[name].keys(), NOW)
        self.roster = self.collector.call(self.live, self.plan)

    def share(self) -> None:
        for name in self.live:
            said = self.members[name].join(self.roster.data, NOW).data
            self.seen.append(said)
            self.collector.share(self.number(name), said)
        self.collector.close_sharing()

    def hear(self) -> None:
        for name in self.live:
            number = self.number(name)
            self.collector.pledge(number, self.members[name].take(self.collector.inbox(number, 1)).signature)

    def mask(self) -> None:
        form = self.collector.form
        for count, name in enumerate(self.live, start=1):
            words = form.encode(self.updates[name], count, 2.5, np.random.default_rng(count))
            data = self.members[name].masked(words)
            self.seen.append(data)
            self.total += unpack(data, self.parameters + 2, form.modulus_bits)
            self.plain += words
        self.plain &= np.uint32((1 << form.modulus_bits) - 1)
        self.collector.close_masking(frozenset(self.number(name) for name in self.live))

    def agree(self) -> None:
        for name in self.live:
            number = self.number(name)
            told = self.collector.told(number, 1)
            self.collector.consent(number, self.members[name].consent(told).signature)

    def reveal(self) -> None:
        quorum = self.collector.quorum(1)
        for name in self.live:
            said = self.members[name].reveal(quorum)
            self.seen.append(said.data)
            self.collector.reveal(self.number(name), said)

    def unmask(self) -> None:
        for _ in self.collector.unmask(self.total):
            pass

    def run(self, silent: tuple[int, ...] = (0, 0, 0, 0, 0)) -> None:
        """Run every step; `silent` says how many more devices are gone before sharing, hearing, and so on."""
        self.advertise()
        steps = (self.share, self.hear, self.mask, self.agree, self.reveal)
        for gone, step in zip(silent, steps, strict=True):
            self.lose(gone)
            step()
        self.unmask()
