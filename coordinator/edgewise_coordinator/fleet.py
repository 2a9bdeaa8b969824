"""Who is out there: which devices are online, which have offered themselves, which are busy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from edgewise_coordinator.selection.base import Candidate
from edgewise_wire.clock import Clock
from edgewise_wire.messages import CheckIn

log = logging.getLogger("edgewise.coordinator")

REMIND_SECONDS = 10.0  # a device that does not listen is told the time again no more often
DEVICES_MAX = 1_000_000  # a peer could make up names without end; 1 M records are about 300 MB
FORMER_MAX = 4  # sessions remembered of a device: enough to see two or three processes take turns
RETURNS_TOLD = 2  # a broker may deliver an old message twice, so one return proves nothing


@dataclass(slots=True)
class DeviceRecord:
    """What the coordinator knows of one device; `offer` is its last check-in while it is available.

    `former` are the sessions before this one, `returns` how often one of them came back: a process that ended does not.
    """

    name: str
    online: bool = False
    session: int = 0
    offer: CheckIn | None = None
    away_until: float = 0.0
    reminded: float = 0.0
    last_round: int = 0
    busy: bool = False
    former: tuple[int, ...] = ()
    returns: int = 0


class Fleet:
    """The registry of devices; knows nothing of rounds but the training round that a device was last selected in."""

    def __init__(self, clock: Clock, last_rounds: dict[str, int] | None = None, most: int = DEVICES_MAX) -> None:
        self._clock = clock
        self._most = most
        self._newly_heard: set[str] = set()
        self._devices: dict[str, DeviceRecord] = {}
        self._available: dict[str, DeviceRecord] = {}
        self.online_count = 0
        for device, last in (last_rounds or {}).items():
            self._devices[device] = DeviceRecord(device, last_round=last)

    def get(self, device: str) -> DeviceRecord | None:
        """Return the device's record, creating it unless the registry is full."""
        found = self._devices.get(device)
        if found is None and len(self._devices) < self._most:
            found = self._devices[device] = DeviceRecord(device)
        return found

    def presence(self, device: str, online: bool, session: int) -> None:
        """Note that a device came or went; one that went, or is a new process, no longer offers itself."""
        record = self.get(device)
        if record is None:
            return
        if not online or session != record.session:
            self._withdraw(record)
        self._set_online(record, online)
        if online:
            self._note_session(record, session)
        record.session = session

    def check_in(self, device: str, offer: CheckIn) -> None:
        """Note that a device offers itself; it is idle then, and online.

        One that was told a time which has not come is not available before it.
        """
        record = self.get(device)
        if record is None:
            return
        self._set_online(record, True)
        self._note_session(record, offer.session)
        record.session, record.busy = offer.session, False
        if record.away_until <= self._clock.now():
            record.offer, record.away_until = offer, 0.0
            self._available[device] = record

    def too_early(self, device: str) -> float | None:
        """Return the seconds that a device should still stay away, `None` if none or if it was reminded just now."""
        record, now = self._devices.get(device), self._clock.now()
        if record is None or record.away_until <= now or now < record.reminded:
            return None
        record.reminded = now + REMIND_SECONDS
        return record.away_until - now

    def send_away(self, device: str, seconds: float) -> None:
        """Note that a device was told to come back in so many seconds; until then it is not asked for anything."""
        record = self.get(device)
        if record is not None:
            self._withdraw(record)
            record.away_until = self._clock.now() + seconds

    def take(self, device: str, number: int) -> None:
        """Note that a device was selected: it is busy and offers itself no more.

        `number` is that of the training round, 0 for an evaluation, which does not count as taking part.
        """
        record = self.get(device)
        if record is not None:
            self._withdraw(record)
            record.busy, record.last_round = True, number or record.last_round

    def release(self, device: str, come_back: float = 0.0) -> None:
        """Note that a device is done; it will not be back before `come_back` seconds."""
        record = self.get(device)
        if record is not None:
            record.busy, record.away_until = False, self._clock.now() + come_back

    def available(self) -> int:
        """Return how many devices offer themselves now."""
        return len(self._available)

    def candidates(self) -> list[Candidate]:
        """Return who is available now, sorted by name so that selection is deterministic."""
        offers = ((r.name, r.offer, r.last_round) for _, r in sorted(self._available.items()))
        return [Candidate(name, offer.train_examples, last) for name, offer, last in offers if offer is not None]

    def reachable(self, accept: Callable[[Candidate], bool] | None = None) -> int:
        """Return how many are online, not busy and not told to stay away: those who may become candidates.

        With `accept`, only those whom it takes; a device that has not offered itself has no examples that we know of.
        """
        now = self._clock.now()
        near = (r for r in self._devices.values() if r.online and not r.busy and r.away_until <= now)
        if accept is None:
            return sum(1 for _ in near)
        return sum(accept(Candidate(r.name, r.offer.train_examples if r.offer else 0, r.last_round)) for r in near)

    @property
    def doubled(self) -> int:
        """How many names are used by more than one device."""
        return sum(r.returns >= RETURNS_TOLD for r in self._devices.values())

    @property
    def known(self) -> int:
        """How many devices have ever been heard of."""
        return len(self._devices)

    def online_records(self, most: int) -> list[DeviceRecord]:
        """Return what is known of those who are online, by name, at most so many."""
        return list(islice((r for _, r in sorted(self._devices.items()) if r.online), most))

    def online(self) -> list[str]:
        """Return the names of the devices that are online."""
        return [r.name for r in self._devices.values() if r.online]

    def is_online(self, device: str) -> bool:
        """Return whether a device is online, as far as we heard."""
        record = self._devices.get(device)
        return record is not None and record.online

    def take_newly_heard(self) -> set[str]:
        """Return those who came online since this was last asked."""
        names, self._newly_heard = self._newly_heard, set()
        return names

    def _set_online(self, record: DeviceRecord, online: bool) -> None:
        if online and not record.online:
            self._newly_heard.add(record.name)
        self.online_count += online - record.online
        record.online = online

    def _note_session(self, record: DeviceRecord, session: int) -> None:
        """Tell of two devices of one name: the broker gives the link to whoever came last, so their sessions alternate.

        A new process has a session that was never seen before.
        """
        if session == record.session or not record.session:
            return
        if session in record.former:
            record.returns += 1
            if record.returns >= RETURNS_TOLD and not record.returns & (record.returns - 1):
                log.warning(
                    "%s: two devices use this name and throw each other off the broker (%d times so far); give one of"
                    " them another name", record.name, record.returns,
                )  # fmt: skip
        others = tuple(one for one in record.former if one != session)
        record.former = (record.session, *others)[:FORMER_MAX]

    def _withdraw(self, record: DeviceRecord) -> None:
        record.offer = None
        self._available.pop(record.name, None)
