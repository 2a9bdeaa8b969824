"""A coordinator that looks for a fleet's words: rounds of votes over the same wire, devices and rules as training.

Votes are kept in memory alone and only as counts. What a round found is written down before it is told to anyone, so a
process that is killed repeats the round that it was in, of which nothing had left.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from edgewise_coordinator.discovery.hitters import ALPHABET, END, Hitters, candidates
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.link import Link
from edgewise_coordinator.machine import Abandon, Action, Assign, Close, Drop, Phase, RoundMachine
from edgewise_coordinator.members import Members, Seal
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.selection.base import Candidate, Selection
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.settings import RoundSettings
from edgewise_wire.blobs import make_ref
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import ConfigError, InputError, TransportError
from edgewise_wire.files import make_folder, write_durably
from edgewise_wire.messages import (
    Abort,
    Accept,
    Assignment,
    BlobRequest,
    CheckIn,
    ComeBackLater,
    Decline,
    DiscoveryTerms,
    Envelope,
    EvaluationReport,
    Kind,
    Presence,
    ReportAck,
)
from edgewise_wire.transport.base import Message, Transport

log = logging.getLogger("edgewise.coordinator")

FILE = "discovery.json"
AWAY = 1.0  # seconds until a device that voted may be asked again
EVENTS_A_STEP = 512
GIVE_UP = 10  # rounds abandoned in a row


class Discovery:
    """Runs rounds until every word has ended or the planned rounds are over; `words` are what was found.

    Raises:
        ConfigError: if the directory holds a search on other terms.
        UnavailableError: if it cannot be written.
    """

    def __init__(
        self, transport: Transport, directory: Path, fleet: str, hitters: Hitters, cohort: RoundSettings, rounds: int,
        *, clock: Clock | None = None, members: Members | None = None, seal: Seal | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self._clock = clock or SystemClock()
        self._hitters, self._cohort, self._rounds, self._seed = hitters, cohort, rounds, seed
        self._path = make_folder(directory) / FILE
        self._state = self._load(fleet)
        self.link = Link(fleet, transport, self._clock, members=members, seal=seal)
        self.fleet = Fleet(self._clock)
        self._publisher = BlobPublisher(fleet, transport, self._clock, self.link.wrap)
        self._machine: RoundMachine | None = None
        self._counts: Counter[str] = Counter()
        self._allowed: frozenset[str] = frozenset()
        self._abandoned = 0
        self._next_at = self._clock.now()
        self.reports = 0
        self.link.listen()

    @property
    def words(self) -> list[str]:
        """The words found so far, in the order of their lengths, then of the alphabet."""
        return sorted(self._state["words"], key=lambda word: (len(word), word))

    @property
    def length(self) -> int:
        """How many characters the votes of the next round have."""
        return int(self._state["length"]) + 1

    @property
    def prefixes(self) -> int:
        """How many prefixes are still to be prolonged."""
        return len(self._state["found"])

    @property
    def complete(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.length > self._rounds or not self._state["found"]

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self._machine is None and (self.complete or self._abandoned >= GIVE_UP)

    def describe(self) -> str:
        """Return a sentence about what is happening now."""
        m, online = self._machine, len(self.fleet.online())
        if m is None:
            return f"between rounds; {online} devices online"
        return f"votes of {self.length} characters: {m.phase.value}; {m.reports} of {m.goal} reports, {online} online"

    def step(self, timeout: float = 0.0) -> None:
        """Take what came in (waiting `timeout` seconds at most), then do what is due."""
        for n in range(EVENTS_A_STEP):
            try:
                event = self.link.transport.poll(0.0 if n else timeout)
            except TransportError as error:
                log.warning("%s", error)
                break
            if event is None:
                break
            read = self.link.read(event) if isinstance(event, Message) else None
            if read is not None and isinstance(event, Message):
                self._hear(*read, retained=event.retained)
        self._publisher.pump()
        self._tick()

    def close(self) -> None:
        """Take the prefixes off the broker."""
        self._withdraw()

    # What devices say ------------------------------------------------------------------------------------------------

    def _hear(self, device: str, envelope: Envelope, *, retained: bool) -> None:
        body, m = envelope.body, self._machine
        if isinstance(body, Presence):
            self.fleet.presence(device, body.online, body.session)
            if m is not None:
                m.presence(device, body.online)
            if body.online and retained:
                self.link.send(device, ComeBackLater(0.0, "please check in"))
        elif isinstance(body, CheckIn):
            self._check_in(device, body)
        elif isinstance(body, BlobRequest):
            self._publisher.again(body)
        elif isinstance(body, EvaluationReport):
            self._votes(device, envelope.round, body)
        elif isinstance(body, Accept | Decline) and m is not None and envelope.round == m.round_id:
            if isinstance(body, Accept):
                m.accepted(device, body.attempt)
            else:
                m.failed(device, body.attempt, f"declined: {body.reason}")
                self.fleet.release(device)

    def _check_in(self, device: str, body: CheckIn) -> None:
        m = self._machine
        known = m.participants.get(device) if m is not None else None
        if body.resume_round:
            self.fleet.presence(device, True, body.session)
            if m is None or known is None or not known.status.live or body.resume_round != m.round_id:
                self.link.send(device, Abort(body.resume_attempt, "that round is over", AWAY), body.resume_round)
                self.fleet.release(device, AWAY)
            else:
                m.accepted(device, known.attempt)
        elif m is not None and known is not None and known.status.live:
            self._assign(m, device, known.attempt)  # it is idle: the assignment was lost
        else:
            self.fleet.check_in(device, body)

    def _votes(self, device: str, round_id: int, body: EvaluationReport) -> None:
        m = self._machine
        found = m.find(device, body.attempt) if m is not None and round_id == m.round_id and m.phase.open else None
        if m is None or found is None or not found.status.live:
            self.link.send(device, ReportAck(body.attempt, False, "that round is over", AWAY), round_id)
            return
        votes = {measure.name for measure in body.measures}
        if len(votes) != len(body.measures) or len(votes) > self._hitters.votes or not votes <= self._allowed:
            reason = f"votes: expected at most {self._hitters.votes} different ones that prolong what was found"
            m.failed(device, body.attempt, reason)
            self.fleet.release(device, AWAY)
            self.link.send(device, ReportAck(body.attempt, False, reason, AWAY), round_id)
            return
        self._counts.update(votes)
        m.reported(device, body.attempt)
        self.fleet.release(device, AWAY)
        self.link.send(device, ReportAck(body.attempt, True, "", AWAY), round_id)

    # Rounds ----------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._machine is None:
            if self.finished or self._clock.now() < self._next_at:
                return
            self._begin()
        m = self._machine
        if m is None:
            return
        for action in m.tick(self.fleet):
            self._carry_out(m, action)

    def _begin(self) -> None:
        self._state["round"] += 1
        self._write()
        self._counts.clear()
        self._allowed = frozenset(candidates(self._state["found"]))
        data = "\n".join(sorted(self._state["found"])).encode() or b"\n"
        self._ref = make_ref(data)
        self._publisher.offer(self._ref, data)
        selection = Selection("who has not voted", uniform.choose, self._may_vote) if self._hitters.once else uniform
        self._machine = RoundMachine(
            self._state["round"], Kind.DISCOVER, self._cohort, selection, self._clock, self._seed, number=self.length
        )

    def _may_vote(self, candidate: Candidate, number: int) -> bool:
        return candidate.device not in self._state["voted"]

    def _carry_out(self, m: RoundMachine, action: Action) -> None:
        if isinstance(action, Assign):
            if self._hitters.once:
                self._state["voted"].append(action.device)
                self._write()
            self.fleet.take(action.device, 0)
            self._assign(m, action.device, action.attempt)
        elif isinstance(action, Drop):
            self.fleet.release(action.device, AWAY)
            self.link.send(action.device, Abort(action.attempt, action.reason, AWAY), m.round_id)
        elif isinstance(action, Close):
            self._close(m)
        elif isinstance(action, Abandon):
            log.warning("round abandoned: %s", action.reason)
            self._abandoned += 1
            self._end(self._cohort.retry_delay)

    def _assign(self, m: RoundMachine, device: str, attempt: int) -> None:
        asked = Assignment(
            attempt=attempt, kind=int(Kind.DISCOVER), weights=self._ref, seed=self._seed,
            deadline=m.time_left(device), blobs_url=self._publisher.url,
            discovery=DiscoveryTerms(self.length, self._hitters.votes),
        )  # fmt: skip
        self.link.send(device, asked, m.round_id)

    def _close(self, m: RoundMachine) -> None:
        survivors = self._hitters.survivors(sorted(self._allowed), self._counts)
        ended = {prefix.rstrip(END) for prefix in survivors if prefix.endswith(END)}
        self._state["words"] = sorted({*self._state["words"], *ended})
        self._state["found"] = sorted(prefix for prefix in survivors if not prefix.endswith(END))
        self._state["length"] = self.length
        self._write()  # before anybody is told
        self.reports, self._abandoned = m.reports, 0
        m.phase = Phase.COMMITTED
        self._end(0.0)

    def _end(self, delay: float) -> None:
        self._withdraw()
        self._machine = None
        self._counts.clear()
        self._next_at = self._clock.now() + delay

    def _withdraw(self) -> None:
        if self._machine is not None:
            self._publisher.withdraw(self._ref.hash)

    # State -----------------------------------------------------------------------------------------------------------

    def _load(self, fleet: str) -> dict[str, Any]:
        terms = {"fleet": fleet, "hitters": repr(self._hitters), "alphabet": ALPHABET, "rounds": self._rounds}
        if not self._path.exists():
            return {"terms": terms, "round": 0, "length": 0, "found": [""], "words": [], "voted": []}
        try:
            found: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path}: cannot be read ({error})") from error
        if found["terms"] != terms:
            raise ConfigError(f"{self._path}: a search on other terms; go on with the same, or choose a new --dir")
        return found

    def _write(self) -> None:
        write_durably(self._path, json.dumps(self._state).encode())
