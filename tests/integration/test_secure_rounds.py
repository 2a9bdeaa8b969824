"""Secure rounds of real coordinator and agents in memory: the sum is exact whoever falls silent or is killed when."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chance
from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.collecting.plain import plain_updates
from edgewise_coordinator.collecting.secure import secure_updates
from edgewise_coordinator.collecting.secure_round import SecureSettings
from edgewise_coordinator.faults import IN_SECURE_ROUNDS, FaultPoint
from edgewise_coordinator.privacy.shared import SharedPrivacy
from edgewise_coordinator.privacy.skellam import SkellamNoise
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge import encoding
from edgewise_edge.agent import Agent
from edgewise_edge.link import Identity
from edgewise_edge.participation import Outcome
from edgewise_edge.policy import Policy
from edgewise_wire.artifact import Artifact
from edgewise_wire.codec import decode
from edgewise_wire.errors import ConfigError, ProtocolError
from edgewise_wire.messages import (
    Accept,
    Assignment,
    BlobRequest,
    Body,
    CheckIn,
    Decline,
    Progress,
    SecureConsent,
    SecureKeys,
    SecurePledge,
    SecureReveal,
    SecureShares,
    SecureTerms,
    UploadChunk,
    UploadRequest,
)
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.form import Form
from edgewise_wire.secure.member import Member
from edgewise_wire.secure.noise import rounded_norm
from edgewise_wire.topics import parse_device_topic
from edgewise_wire.transport.base import Message
from edgewise_wire.weights import parameters
from memory_fleet import MemoryFleet

WORDS = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
TERMS = SecureTerms(value_bits=20, range=4.0, weight_max=64)


class Killed(BaseException):
    """The process is gone: nothing below the hook runs any more."""


@dataclass
class SecureFleet(MemoryFleet):
    """Sees what every device adds to the sum, and lets a test act on each thing that is said to the coordinator."""

    added: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    said: list[tuple[str, int, Body]] = field(default_factory=list)
    on_word: Callable[[str, int, Body], None] = lambda device, round_id, body: None
    gone: set[str] = field(default_factory=set)
    policies: dict[str, Policy] = field(default_factory=dict)

    def listen(self) -> None:
        while (event := self.spy.poll(0.0)) is not None:
            if not isinstance(event, Message) or not event.payload:
                continue
            source = parse_device_topic(self.settings.fleet, event.topic)
            if source is None or not event.topic.endswith("/up"):
                continue
            try:
                envelope = decode(event.payload)
            except ProtocolError:
                continue
            self.said.append((source.device, envelope.round, envelope.body))
            self.on_word(source.device, envelope.round, envelope.body)

    def silence(self, device: str) -> None:
        """A device is gone for good."""
        if device not in self.gone:
            self.gone.add(device)
            self.broker.cut(device)

    def revive(self, device: str) -> None:
        """A device's process dies, and another takes up its folder."""
        self.broker.cut(device)
        old = self.agents[device]
        identity = Identity(self.settings.fleet, device, old.link.identity.session + 1000)
        link = self.broker.connect(device, will=identity.will)
        home = self.homes[device]
        self.agents[device] = Agent(
            home, link, identity, self.hosts[device], clock=self.clock, rng=np.random.default_rng(1)
        )

    def run(self, steps: int = 6000) -> None:
        for _ in range(steps):
            try:
                self.coordinator.step(0.0)
            except Killed:
                self.restart_coordinator()
            for name, agent in list(self.agents.items()):
                if name not in self.gone:
                    agent.step(0.0)
            self.listen()
            if self.coordinator.finished:
                break
            self.clock.advance(0.1)
        else:
            raise AssertionError("the run did not end")
        for name, agent in self.agents.items():
            for _ in range(20 if name not in self.gone else 0):
                agent.step(0.0)


def fleet(
    folder: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, *,
    devices: int = 6, rounds: int = 1, goal: int = 6, least: int = 3, terms: SecureTerms = TERMS, **options: Any,
) -> SecureFleet:  # fmt: skip
    cohort = RoundSettings(goal=goal, over_selection=1.0, min_reports=least)
    settings = Settings("test", rounds, cohort, TrainingSettings(epochs=1, learning_rate=0.5), evaluate_every=0)
    texts = {f"pi-{n}": (WORDS * 4)[n : n + 6 + n] for n in range(devices)}
    secure = SecureSettings(terms)
    made = SecureFleet(
        folder, fixture_dir / "tiny.tflite", settings, texts, options={"collect": secure_updates(secure), **options}
    )
    load = lru_cache(maxsize=None)(Artifact.load.__func__)  # six devices read one graph: once is enough for a test
    monkeypatch.setattr(Artifact, "load", classmethod(lambda cls, source: load(cls, _content(source))))
    plain = encoding.secure_words

    def seen(work: Any, update: Any, examples: int, loss: float) -> bytes:
        words = plain(work, update, examples, loss)
        owner = next(device for device, agent in made.agents.items() if agent._worker.work is work)
        made.added[(work.round, owner)] = np.frombuffer(words, "<u4")
        return words

    monkeypatch.setattr(encoding, "secure_words", seen)
    return made


def _content(source: str | Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def check_exact(it: SecureFleet, round_id: int, version: int, terms: SecureTerms = TERMS) -> set[str]:
    """Check that a version is just what the words in the clear of those who count come to; return who counts."""
    store, model = it.coordinator.store, it.coordinator.model
    counted = {report.device for report in store.reports(round_id)}
    form = FixedPoint(it.settings.cohort.target, terms.value_bits, terms.range, terms.weight_max, terms.noise)
    total = np.sum([it.added[(round_id, device)] for device in counted], axis=0, dtype=np.uint32)
    found = form.decode(total & np.uint32((1 << form.modulus_bits) - 1), len(counted))
    before, _ = model.versions.load(version - 1)
    expected, _ = fedavg().step(before, {}, Aggregate(found.mean, len(counted), found.weight))
    assert np.array_equal(model.versions.load(version)[0], expected)
    summary = it.rounds[-1] if it.rounds else None
    if summary is not None and summary.version == version:
        assert summary.examples == found.weight
        assert summary.train_loss == (None if terms.noise else pytest.approx(found.loss))
    return counted


def test_the_mean_is_that_of_the_quantised_updates_in_the_clear(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch, rounds=2)
    it.run()
    assert [r.phase for r in it.rounds] == ["committed", "committed"]
    assert len(check_exact(it, 1, 1)) == 6
    assert len(check_exact(it, 2, 2)) == 6
    entries = it.agents["pi-0"]._records.entries()
    assert [entry.outcome for entry in entries] == [Outcome.REPORTED] * 2


@pytest.mark.parametrize("word", [SecureKeys, SecureShares, UploadRequest, SecureConsent, SecureReveal])
def test_a_device_that_falls_silent_after_any_word_costs_no_round(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, word: type
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch)
    it.on_word = lambda device, _, body: it.silence("pi-2") if device == "pi-2" and isinstance(body, word) else None
    it.run()
    assert [r.phase for r in it.rounds] == ["committed"]
    counted = check_exact(it, 1, 1)
    assert ("pi-2" in counted) == (word in (SecureConsent, SecureReveal))
    assert len(counted) >= 5


def test_two_of_six_fall_silent_with_their_masks_in_everybody_elses_update(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch)

    def silence(device: str, _: int, body: Body) -> None:
        if isinstance(body, SecureShares) and device in ("pi-1", "pi-4"):
            it.silence(device)

    it.on_word = silence
    it.run()
    assert [r.phase for r in it.rounds] == ["committed"]
    assert check_exact(it, 1, 1) == {"pi-0", "pi-2", "pi-3", "pi-5"}


def test_a_round_with_too_few_left_to_open_its_sum_is_abandoned_and_says_so(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch)
    first: list[int] = []

    def silence(device: str, round_id: int, body: Body) -> None:
        if isinstance(body, SecureConsent) and not body.signature:
            first.append(round_id)
        if isinstance(body, SecureConsent) and body.signature and round_id == 1 and device != "pi-0":
            it.silence(device)

    it.on_word = silence
    with pytest.raises(AssertionError, match="did not end"):
        it.run(1500)
    assert it.rounds[0].phase == "abandoned"
    assert "have opened the shares that they hold" in it.rounds[0].reason
    assert it.coordinator.version == 0
    assert it.coordinator.store.secure(1) == []


DEATHS = (
    (FaultPoint.SECURE_RECORDED, 1),
    (FaultPoint.SECURE_RECORDED, 3),
    (FaultPoint.SECURE_ROSTER, 1),
    (FaultPoint.SECURE_SHARERS, 1),
    (FaultPoint.AFTER_REPORT_ROW, 2),
    (FaultPoint.SECURE_SURVIVORS, 1),
    (FaultPoint.SECURE_OPENABLE, 1),
    (FaultPoint.SECURE_SPENT, 1),
    (FaultPoint.AFTER_AGGREGATE, 1),
    (FaultPoint.AFTER_COMMIT, 1),
)


@pytest.mark.parametrize(("point", "count"), DEATHS)
def test_a_coordinator_that_dies_anywhere_comes_to_the_same_sum(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, point: FaultPoint, count: int
) -> None:
    passed: Counter[FaultPoint] = Counter()

    def fault(at: FaultPoint) -> None:
        passed[at] += 1
        if at is point and passed[at] == count:
            raise Killed

    it = fleet(tmp_path, fixture_dir, monkeypatch, devices=3, goal=3, fault=fault)
    it.run()
    assert passed[point] >= count
    store = it.coordinator.store
    versions = store.versions()
    assert [v.version for v in versions] == [0, 1]
    for version in versions[1:]:
        assert version.round_id is not None
        assert len(check_exact(it, version.round_id, version.version)) >= 3
    assert store.secure(1) == []


@pytest.mark.parametrize("word", [SecureKeys, SecureShares, UploadRequest, UploadChunk, SecureConsent, SecureReveal])
def test_a_killed_device_goes_on_where_it_was(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, word: type
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch, devices=4, goal=4, least=4)
    done: list[str] = []

    def kill(device: str, _: int, body: Body) -> None:
        if device == "pi-1" and isinstance(body, word) and not done:
            done.append(device)
            it.revive(device)

    it.on_word = kill
    it.run()
    assert done
    assert [r.phase for r in it.rounds] == ["committed"]
    assert check_exact(it, 1, 1) == {"pi-0", "pi-1", "pi-2", "pi-3"}
    keys = {body.mask for device, _, body in it.said if device == "pi-1" and isinstance(body, SecureKeys)}
    assert len(keys) == 1
    opened = {body for device, _, body in it.said if device == "pi-1" and isinstance(body, SecureReveal)}
    assert len(opened) <= 1  # with enough opened by the others, nobody waits for it


def test_nothing_that_is_said_tells_of_one_device(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples, loss and steps are in the sum alone; what is uploaded has the bytes of noise (false alarm 1e-11)."""
    terms = SecureTerms(value_bits=21, range=4.0, weight_max=64)  # with six devices: 24 bits, three whole bytes
    it = fleet(tmp_path, fixture_dir, monkeypatch, rounds=3, terms=terms)
    for agent in it.agents.values():  # who insists on secure rounds does not tell of its examples, either
        monkeypatch.setattr(agent._availability, "_policy", lambda: Policy(require_secure_aggregation=True))
    it.run()
    masked = (SecureKeys, SecureShares, SecurePledge, UploadRequest, UploadChunk, SecureConsent, SecureReveal)
    bare = [body for _, _, body in it.said if not isinstance(body, masked)]
    assert {type(body) for body in bare} <= {CheckIn, Accept, Progress, BlobRequest}
    assert {(b.train_examples, b.held_out_examples) for b in bare if isinstance(b, CheckIn)} <= {(1, 1), (1, 0)}
    assert {(b.done, b.total, b.loss) for b in bare if isinstance(b, Progress)} == {(0, 0, 0.0)}
    requests = [body for _, _, body in it.said if isinstance(body, UploadRequest)]
    assert requests
    assert all((r.examples, r.loss, r.steps, r.seconds) == (1, 0.0, 0, 0.0) for r in requests)
    octets = np.frombuffer(b"".join(body.data for _, _, body in it.said if isinstance(body, UploadChunk)), np.uint8)
    expected = len(octets) / 256
    spread = ((np.bincount(octets, minlength=256) - expected) ** 2 / expected).sum()
    assert expected > 100
    assert spread < chance.chi_square(255)
    plain = np.concatenate([words.view(np.uint8).reshape(-1, 4)[:, :3].reshape(-1) for words in it.added.values()])
    counts = np.bincount(plain, minlength=256)
    assert ((counts - len(plain) / 256) ** 2 / (len(plain) / 256)).sum() > 10 * 255  # in the clear it shows


def test_a_device_that_seals_rubbish_is_out_and_the_others_go_on(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch)
    join = Member.join

    def hostile(self: Member, data: bytes, now: float) -> SecureShares:
        said = join(self, data, now)
        return SecureShares(said.attempt, b"short") if self._device == "pi-3" else said

    monkeypatch.setattr(Member, "join", hostile)
    it.run()
    assert [r.phase for r in it.rounds] == ["committed"]
    assert check_exact(it, 1, 1) == {"pi-0", "pi-1", "pi-2", "pi-4", "pi-5"}
    assert it.coordinator.link.refused["secure"] == 1
    assert any("sealed shares: expected" in reason for reason in it.rounds[0].failed)


def test_the_sum_carries_the_noise_that_devices_add(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all devices' words together; false alarm 1e-11: Skellam noise of so large a variance is normal to 1e-6."""
    clip, variance = 0.01, 1e6
    terms = SecureTerms(value_bits=16, range=0.5, weight_max=1, clip=clip, noise=variance)
    it = fleet(tmp_path, fixture_dir, monkeypatch, devices=4, goal=4, least=4, terms=terms)
    it.run()
    assert len(check_exact(it, 1, 1, terms)) == 4
    form = FixedPoint(4, 16, 0.5, 1, variance)
    signed = np.stack([words[:-2].view(np.int32).astype(float) for words in it.added.values()])
    own = np.sqrt(4) * rounded_norm(clip / form.step, signed.shape[1])  # the most that four updates are together
    low, high = np.sqrt(np.array(chance.mean_square(signed.size)) * signed.size * variance)
    assert own < 0.1 * low
    assert low - own < np.linalg.norm(signed) < high + own
    assert all(words[-1] == 0 for words in it.added.values())
    assert form.modulus_bits == 19
    assert it.rounds[-1].train_loss is None


def noised(fixture_dir: Path, z: float, epsilon: float = math.inf) -> tuple[SharedPrivacy, SecureTerms]:
    """Return the promise of four devices, one of which may drop out, and the terms that keep it."""
    numbers = parameters(Artifact.load(fixture_dir / "tiny.tflite").manifest.weights)
    noise = SkellamNoise(Form(4, 16, 0.5), 0.5, numbers, 3, z)
    promise = SharedPrivacy(noise, delta=1e-3, epsilon=epsilon, participations=9)
    return promise, SecureTerms(value_bits=16, range=0.5, weight_max=1, clip=0.5, noise=noise.of_each)


UNIFORM = fedavg()._replace(client=replace(fedavg().client, uniform=True))


def test_noise_by_the_devices_is_accounted_for_and_its_budget_ends_the_run(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners who ask for this noise take part, one who asks for more does not."""
    z = 2.0
    costs = [noised(fixture_dir, z)[0].cost([4] * n).epsilon for n in (1, 2, 3)]
    promise, terms = noised(fixture_dir, z, epsilon=(costs[1] + costs[2]) / 2)
    it = fleet(
        tmp_path, fixture_dir, monkeypatch, devices=5, goal=4, least=3, rounds=5, terms=terms,
        algorithm=UNIFORM, privacy=promise,
    )  # fmt: skip
    for device in it.agents:
        rules = Policy(require_noise=z if device != "pi-4" else 1.001 * z, require_clipping=0.5, max_participations=9)
        monkeypatch.setattr(it.agents[device]._worker._admission, "_policy", lambda rules=rules: rules)
    it.run()
    done = [row for row in it.rounds if row.phase == "committed"]
    assert it.coordinator.complete
    assert [row.privacy["epsilon"] for row in done] == pytest.approx(costs[:2])
    assert [row.privacy["zcdp"] for row in done] == pytest.approx([promise.noise.rho(1), promise.noise.rho(2)])
    assert {row.privacy["mechanism"] for row in done} == {"skellam"}
    assert "with as few as 3 of at most 4 devices in it, 0 of which may add none" in done[0].privacy["assumes"]
    assert "in at most 9 rounds in all" in done[0].privacy["assumes"]
    assert [row.train_loss for row in done] == [None, None]
    check_exact(it, done[0].round_id, 1, terms)
    said = {device: body.reason for device, _, body in it.said if isinstance(body, Decline)}
    assert set(said) <= {"pi-4"}
    assert all(
        "noise of 2 times the norm would be added, the owner asks for at least 2.002" in w for w in said.values()
    )
    (entry, *_) = it.agents["pi-0"]._records.entries()
    assert (entry.clip, entry.noise) == (0.5, pytest.approx(z))


@pytest.mark.parametrize(
    "point",
    [FaultPoint.SECURE_OPENABLE, FaultPoint.SECURE_SPENT, FaultPoint.AFTER_AGGREGATE, FaultPoint.AFTER_COMMIT],
)
def test_a_coordinator_that_dies_over_a_noised_sum_neither_forgets_it_nor_charges_it_twice(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, point: FaultPoint
) -> None:
    promise, terms = noised(fixture_dir, 2.0)
    passed: Counter[FaultPoint] = Counter()
    spent: list[int] = []

    def fault(at: FaultPoint) -> None:
        passed[at] += 1
        if at is point and passed[at] == 1:
            spent.append(len(it.coordinator.privacy.ledger.releases()))
            raise Killed

    it = fleet(
        tmp_path, fixture_dir, monkeypatch, devices=4, goal=4, rounds=2, terms=terms, fault=fault,
        algorithm=UNIFORM, privacy=promise,
    )  # fmt: skip
    it.run()
    assert spent == [0 if point is FaultPoint.SECURE_OPENABLE else 1]
    releases = it.coordinator.privacy.ledger.releases()
    made = [version.round_id for version in it.coordinator.store.versions()[1:]]
    assert [release.round_id for release in releases] == made
    assert [(release.step, release.reports, release.key) for release in releases] == [(1, 4, None), (2, 4, None)]
    assert it.coordinator.privacy.standing()["epsilon"] == pytest.approx(promise.cost([4] * 2).epsilon)


def test_a_promise_is_kept_by_secure_rounds_on_its_own_terms_and_by_no_others(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise, terms = noised(fixture_dir, 2.0)
    less = replace(terms, noise=0.9 * terms.noise)
    for number, wrong in enumerate(({"collect": plain_updates}, {"terms": less}, {"terms": replace(terms, clip=0.6)})):
        with pytest.raises(ConfigError, match="expected secure rounds with 2 times the norm of at most"):
            fleet(
                tmp_path / str(number), fixture_dir, monkeypatch, devices=4, goal=4,
                **{"terms": terms, "algorithm": UNIFORM, "privacy": promise, **wrong},
            ).run()  # fmt: skip


def test_owners_ask_for_what_they_want(tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = fleet(tmp_path, fixture_dir, monkeypatch, devices=5, goal=4, least=3)
    rules = {
        "pi-0": Policy(require_secure_aggregation=True, min_cohort=4, min_threshold=3),
        "pi-1": Policy(min_cohort=9),
        "pi-2": Policy(min_threshold=4),
    }
    for device, policy in rules.items():
        admission = it.agents[device]._worker._admission
        monkeypatch.setattr(admission, "_policy", lambda policy=policy: policy)
    asked = it.coordinator  # the assignment as it goes out
    sent: list[Assignment] = []
    send = asked.link.send
    monkeypatch.setattr(asked.link, "send", lambda d, body, r=0: (sent.append(body), send(d, body, r))[1])
    it.run()
    declined = {device: body.reason for device, _, body in it.said if isinstance(body, Decline)}
    assert "owner asks for at least 9" in declined.get("pi-1", "owner asks for at least 9")
    assert "pi-0" not in declined
    assert any("owner asks for at least" in reason for reason in declined.values())
    assert check_exact(it, it.rounds[-1].round_id, 1) >= {"pi-0", "pi-3", "pi-4"}


def test_every_point_of_a_secure_round_is_died_at() -> None:
    assert {point for point, _ in DEATHS} >= IN_SECURE_ROUNDS


def test_a_device_that_tells_more_than_it_should_is_refused(
    tmp_path: Path, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from edgewise_edge import secure_report

    it = fleet(tmp_path, fixture_dir, monkeypatch)
    monkeypatch.setattr(secure_report, "UploadRequest", lambda attempt, ref, _, **more: UploadRequest(attempt, ref, 17))
    with caplog.at_level(logging.WARNING), pytest.raises(AssertionError, match="did not end"):
        it.run(150)
    assert it.coordinator.version == 0
    assert "expected it encoded as masked" in caplog.text
