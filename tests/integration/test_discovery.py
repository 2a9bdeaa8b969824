"""A fleet of real agents votes over the wire; a search that is killed goes on and ends in the same words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgewise_coordinator.discovery.hitters import NoisyCounts, TrieHH
from edgewise_coordinator.discovery.server import Discovery
from edgewise_coordinator.settings import RoundSettings
from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.link import Identity
from edgewise_edge.policy import Policy
from edgewise_edge.store import ExampleStore
from edgewise_wire.clock import ManualClock
from edgewise_wire.codec import decode
from edgewise_wire.messages import Assignment, EvaluationReport, Kind
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.memory import MemoryBroker

COHORT = RoundSettings(goal=4, over_selection=1.0, retry_delay=1.0)


class Fleet:
    def __init__(self, folder: Path, texts: dict[str, list[str]], policies: dict[str, Policy] | None = None) -> None:
        self.folder, self.clock, self.broker = folder, ManualClock(1e6, 1.8e9), MemoryBroker()
        self.spy = self.broker.connect("spy")
        self.spy.subscribe("#")
        self.agents = []
        for number, (name, sentences) in enumerate(texts.items()):
            home = Home(folder / name)
            store = ExampleStore(home.examples)
            store.add_many(sentences, held_out=False)
            identity = Identity("words", name, number + 1)
            policy = (policies or {}).get(name, Policy(max_votes=8))
            self.agents.append(
                Agent(
                    home,
                    self.broker.connect(name, will=identity.will),
                    identity,
                    DeviceHost(home, store),
                    clock=self.clock,
                    policy=policy,
                    rng=np.random.default_rng(number),
                )
            )

    def search(self, hitters: NoisyCounts | TrieHH, rounds: int = 4, cohort: RoundSettings = COHORT) -> Discovery:
        self.broker.cut("finder")
        return Discovery(
            self.broker.connect("finder"), self.folder / "run", "words", hitters, cohort, rounds, clock=self.clock
        )

    def run(self, search: Discovery, until: int = 99) -> Discovery:
        for _ in range(4_000):
            search.step(0.0)
            for agent in self.agents:
                agent.step(0.0)
            if search.finished or search.length > until:
                return search
            self.clock.advance(0.5)
        raise AssertionError("the search did not end")

    def said(self) -> list[Message]:
        found = []
        while (event := self.spy.poll(0.0)) is not None:
            if isinstance(event, Message) and event.payload:
                found.append(event)
        return found


TEXTS = {f"pi-{n}": ["so it is", "is it so", f"only{n} mine"] for n in range(4)}


def test_devices_vote_character_by_character_and_only_for_what_prolongs(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, TEXTS)
    search = fleet.run(fleet.search(NoisyCounts(8, 0.0, 4)))
    assert search.complete
    assert search.words == ["is", "it", "so"]  # "only" and "mine" have five rounds
    bodies = [decode(m.payload).body for m in fleet.said()]
    asked = [b for b in bodies if isinstance(b, Assignment)]
    assert {a.kind for a in asked} == {Kind.DISCOVER}
    assert sorted({a.discovery.length for a in asked}) == [1, 2, 3, 4]
    names = {m.name for b in bodies if isinstance(b, EvaluationReport) for m in b.measures}
    assert max(map(len, names)) <= 4


def test_a_killed_search_goes_on_from_its_last_round(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, TEXTS)
    fleet.run(fleet.search(NoisyCounts(8, 0.0, 4)), until=2)
    search = fleet.search(NoisyCounts(8, 0.0, 4))  # nothing was closed, nothing was said
    assert search.length == 3
    assert fleet.run(search).words == ["is", "it", "so"]


def test_an_owner_who_allows_no_votes_gives_none(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, TEXTS, {"pi-0": Policy()})
    search = fleet.run(fleet.search(NoisyCounts(8, 0.0, 4), cohort=RoundSettings(3, min_reports=3, retry_delay=1.0)))
    assert search.words == ["is", "it", "so"]
    reports = {
        m.topic.split("/")[4] for m in fleet.said() if isinstance(decode(m.payload).body, EvaluationReport)
    }  # fmt: skip
    assert reports == {"pi-1", "pi-2", "pi-3"}
