"""Reporting in a secure round: what a device does between its finished update and the sum that has it.

    session/update   the words that it adds to the sum, in the clear; they never leave the device
    session/secure   what it has bound itself to (`edgewise_wire.secure.member.Notes`), its secrets among it
    session/masked   the masked words, as they are sent

Each step's notes are on disk before what they gave rise to is sent. A process that takes the session up again says the
same, and a device that cannot go on just as before drops out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import numpy as np

from edgewise_edge.download import Download
from edgewise_edge.link import Heard, Link
from edgewise_edge.phases import Phase
from edgewise_edge.progress import Step
from edgewise_edge.session import SessionFolder, Work
from edgewise_edge.upload import Upload
from edgewise_wire.blobs import BlobStore, check_ref, make_ref
from edgewise_wire.clock import Clock
from edgewise_wire.crypto.enrolled import Papers
from edgewise_wire.messages import (
    Body,
    DeviceState,
    SecureConsent,
    SecureInbox,
    SecureQuorum,
    SecureRoster,
    SecureSurvivors,
    UploadRequest,
)
from edgewise_wire.secure.form import ENCODING
from edgewise_wire.secure.member import Member, Notes, Rules
from edgewise_wire.secure.roster import BYTES_MAX

log = logging.getLogger(__name__)

REPEAT_SECONDS = 10.0  # what was said last is said again until the coordinator goes on


class SecureReport(Phase):
    """One device's part in one secure round, from its keys to the shares that it opens.

    Args:
        link: to the coordinator.
        clock: for repetitions.
        blobs: where the roster goes.
        session: the files of the assignment in work.
        work: the assignment.
        least: the fewest devices that the owner asks for: in the round, and in its sum.
        papers: of an enrolled device.
    """

    state = DeviceState.UPLOADING

    def __init__(
        self, link: Link, clock: Clock, blobs: BlobStore, session: SessionFolder, work: Work,
        *, least: tuple[int, int], papers: Papers | None,
    ) -> None:  # fmt: skip
        self._link = link
        self._clock = clock
        self._blobs = blobs
        self._session = session
        self._work = work
        self._member = self._make_member(Rules(*least), papers)
        self._inner: Phase | None = None
        self._masking: Iterator[None] | None = None
        self._saying: Body | None = None
        self._revealed = False
        self._repeat_at = math.inf
        self._moved = [0, 0]
        self.safe = False

    def _make_member(self, rules: Rules, papers: Papers | None) -> Member:
        notes = Notes.from_bytes(self._session.secure_notes()) or Notes.fresh()
        asked, identity = self._work.asked, self._link.identity
        return Member(
            identity.fleet, self._work.round, identity.device, asked.attempt, asked.secure, notes,
            enrolled=papers.enrolled if papers else None, register=papers.register if papers else None, rules=rules,
        )  # fmt: skip

    # What a worker asks a phase ------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:  # type: ignore[override]
        """Whether masks are being made."""
        return self._masking is not None

    @property
    def due(self) -> float:  # type: ignore[override]
        """When something is to be said again."""
        return min(self._repeat_at, self._inner.due if self._inner is not None else math.inf)

    @property
    def bytes_down(self) -> int:  # type: ignore[override]
        """Bytes of the roster."""
        return self._moved[0] + (self._inner.bytes_down if self._inner is not None else 0)

    @property
    def bytes_up(self) -> int:  # type: ignore[override]
        """Bytes of the masked update."""
        return self._moved[1] + (self._inner.bytes_up if self._inner is not None else 0)

    @property
    def progress(self) -> Step:
        """Chunks of what is on the way."""
        return self._inner.progress if self._inner is not None else Step(0, 0, 0.0)

    def start(self) -> None:
        """Advertise the keys, or go on where an earlier process was."""
        self._keep()
        roster = self._member.notes.roster
        if roster and self._blobs.has(roster):
            self._join()
        else:
            self._say(self._member.keys())

    def connected(self) -> None:
        """Say it again."""
        if self._inner is not None:
            self._inner.connected()
        self.repeat()

    def tick(self) -> None:
        """Say it again after a silence."""
        now = self._clock.now()
        if self._inner is not None and now >= self._inner.due:
            self._inner.tick()
        if now >= self._repeat_at:
            self.repeat()
        self._advance()

    def repeat(self) -> None:
        """Say again what was said last."""
        if isinstance(self._inner, Upload):
            self._link.say(self._member.pledge(), self._work.round)
            self._inner.repeat()
        elif self._saying is not None:
            self._say(self._saying)

    def hear(self, heard: Heard) -> None:
        """Take what the coordinator says."""
        body = heard.body
        if isinstance(body, SecureRoster):
            self._hear_roster(body)
        elif isinstance(body, SecureInbox):
            self._hear_inbox(body)
        elif isinstance(body, SecureSurvivors) and self._masked:
            consent = self._member.consent(body)
            self._keep()
            self._say(consent)
        elif isinstance(body, SecureQuorum) and self._masked:
            revealed = self._member.reveal(body)
            self._revealed = True
            self._say(revealed)
        elif self._inner is not None:
            self._inner.hear(heard)
            self._advance()

    def compute(self) -> None:
        """Make one mask."""
        if self._masking is not None and next(self._masking, self) is self:
            self._masking = None
            self._upload()

    def acknowledged(self) -> bool:
        """Take word that the coordinator has the update safe; return whether nothing more is to be done."""
        if not self._revealed:
            self.safe = True
            self._leave()
            if not isinstance(self._saying, SecureConsent):
                self._say(SecureConsent(self._work.asked.attempt))  # a question: who survived?
        return self._revealed

    def stop(self) -> None:
        """Let go."""
        self._leave()
        self._repeat_at = math.inf

    # Step by step --------------------------------------------------------------------------------------------------

    def _hear_roster(self, body: SecureRoster) -> None:
        check_ref(body.roster, BYTES_MAX)
        if self._member.notes.roster or isinstance(self._inner, Download):
            return
        self._repeat_at = math.inf
        self._inner = Download(self._link, self._clock, self._blobs, self._work.round, [body.roster])
        self._roster = body.roster.hash
        self._inner.start()
        self._advance()

    def _advance(self) -> None:
        if isinstance(self._inner, Download) and self._inner.finished:
            self._leave()
            self._join()

    def _join(self) -> None:
        found = self._member.notes.roster or self._roster
        shares = self._member.join(self._blobs.path(found).read_bytes(), self._clock.wall())
        self._keep()
        if not self._member.notes.sharers:
            self._say(shares)
        elif self._masked:
            self._upload()
        else:
            self._mask()

    def _hear_inbox(self, body: SecureInbox) -> None:
        if self._masking is not None or isinstance(self._inner, Upload) or self.safe:
            return
        self._member.take(body)
        self._keep()
        self._saying, self._repeat_at = None, math.inf
        self._link.say(self._member.pledge(), self._work.round)
        if self._masked:
            self._upload()
        else:
            self._mask()

    def _mask(self) -> None:
        self._masking = self._mask_stepwise()

    def _mask_stepwise(self) -> Iterator[None]:
        words = np.fromfile(self._session.update, "<u4").astype(np.uint32, copy=False)
        masked = yield from self._member.masking(words)
        self._session.save_masked(masked)

    @property
    def _masked(self) -> bool:
        return bool(self._member.notes.sharers) and self._session.masked.exists()

    def _upload(self) -> None:
        self._link.say(self._member.pledge(), self._work.round)
        request = UploadRequest(self._work.asked.attempt, make_ref(self._session.masked), 1, encoding=ENCODING)
        self._inner = Upload(
            self._link, self._clock, self._work.round, request, self._session.masked, to=self._work.asked.aggregator
        )
        self._inner.start()

    def _keep(self) -> None:
        self._session.save_secure(self._member.notes.to_bytes())

    def _leave(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            self._moved[0] += inner.bytes_down
            self._moved[1] += inner.bytes_up
            inner.stop()

    def _say(self, body: Body) -> None:
        self._saying = body
        self._link.say(body, self._work.round)
        self._repeat_at = self._clock.now() + REPEAT_SECONDS
