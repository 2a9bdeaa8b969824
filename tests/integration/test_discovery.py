"""A fleet of real agents votes over the wire; a search that is killed goes on and ends in the same words."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise.cli import main
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
from edgewise_wire.transport.mqtt import MqttTransport

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


def test_the_command_finds_words_over_a_broker_and_writes_them_with_their_guarantee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command as it is, devices as they are, each over MQTT; ε so large that noise decides nothing."""
    over = threading.Event()
    with make_broker("embedded", tmp_path / "broker") as broker:
        devices = threading.Thread(target=keep_voting, args=(tmp_path, broker.url, over), daemon=True)
        devices.start()
        command = ["vocabulary", "discover", "--broker", broker.url, "--fleet", "words", "--cohort", "3"]
        command += ["--characters", "2", "--votes", "8", "--epsilon", "20000", "--json"]
        try:
            with contextlib.suppress(SystemExit):  # if it failed, there is no file
                main([*command, "--dir", str(tmp_path / "run"), "--out", str(tmp_path / "words.txt")])
        finally:
            over.set()
            devices.join(30)
    assert (tmp_path / "words.txt").read_text().split() == ["is", "it", "so"]
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "words.txt.privacy.json").read_text())
    assert (told["words"], told["method"]) == (3, "counts")
    assert told["delta"] == 1e-6
    assert 10_000 < told["epsilon"] <= 20_000
    assert "votes in every one of 3 rounds" in told["assumes"]


def keep_voting(folder: Path, url: str, over: threading.Event) -> None:
    agents = []
    for number, (name, sentences) in enumerate(list(TEXTS.items())[:3]):
        home = Home(folder / name)
        store = ExampleStore(home.examples)
        store.add_many(sentences, held_out=False)
        identity = Identity("words", name, number + 1)
        link = MqttTransport(url, name, will=identity.will)
        link.connect()
        host = DeviceHost(home, store)
        agents.append(Agent(home, link, identity, host, policy=Policy(max_votes=8), rng=np.random.default_rng(number)))
    while not over.is_set():
        for agent in agents:
            agent.step(0.02)
    for agent in agents:
        agent.link.transport.close()


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
