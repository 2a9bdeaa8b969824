"""A coordinator that lies: what it would have to do to see one update, and what devices say to that."""

import pytest

from edgewise_wire.crypto.enrolled import Enrolled
from edgewise_wire.errors import ProtocolError, RefusedError
from edgewise_wire.messages import SecureQuorum, SecureSurvivors
from edgewise_wire.secure.collector import Collector
from edgewise_wire.secure.graph import plan
from edgewise_wire.secure.member import Member, Notes
from edgewise_wire.secure.roll import from_roll, to_roll
from edgewise_wire.secure.roster import Entry, Roster
from secure_round import FLEET, NOW, ROUND, SecureRound, authority, papers


def masked(size: int = 8) -> SecureRound:
    it = SecureRound(size, enrolled=True)
    for step in (it.advertise, it.share, it.hear, it.mask):
        step()
    return it


def told(it: SecureRound, name: str, survivors: set[str]) -> SecureSurvivors:
    """Return what a liar says to a device: others survived than do, each with its true signature."""
    numbers = {it.number(each) for each in survivors}
    near = [n for n in it.roster.graph.neighbours(it.number(name)) if n in numbers]
    return SecureSurvivors(1, to_roll(numbers, it.size), b"".join(it.collector.pledges[n] for n in near))


def test_two_lists_of_survivors_open_nothing() -> None:
    """The classical attack: half of the holders see d000 survive and half see it gone, to get both its secrets."""
    it = masked()
    everyone, without = set(it.names), set(it.names) - {"d000"}
    consents: dict[int, bytes] = {}
    for name in it.names:
        seen = everyone if int(name[1:]) < 4 else without
        consents[it.number(name)] = it.members[name].consent(told(it, name, seen)).signature
    quorum = SecureQuorum(1, to_roll(consents, it.size), b"".join(consents[n] for n in sorted(consents)))
    for name in it.names:
        with pytest.raises(RefusedError, match="4 devices agree on who survived, expected at least 5"):
            it.members[name].reveal(quorum)
    for name in it.names[4:]:
        with pytest.raises(RefusedError, match="a second survivors"):
            it.members[name].consent(told(it, name, everyone))


def test_no_second_unmasking_of_one_round() -> None:
    it = masked()
    it.agree()
    it.reveal()
    without = set(it.names) - {"d000"}
    for name in it.names[1:]:
        again = Member(
            FLEET, ROUND, name, 1, it.terms, it.notes[name], enrolled=papers(name), register=it.register
        )  # as after a crash
        again.join(it.roster.data, NOW)
        with pytest.raises(RefusedError, match="a second survivors"):
            again.consent(told(it, name, without))


def test_no_second_roster_and_no_second_list_of_sharers() -> None:
    it = masked()
    other = Roster.make(FLEET, ROUND, plan(7), it.terms, [e for e in it.roster.entries if e.device != "d007"])
    with pytest.raises(RefusedError, match="a second roster"):
        it.members["d000"].join(other.data, NOW)
    inbox = it.collector.inbox(it.number("d000"), 1)
    fewer = from_roll(inbox.sharers, 8) - {it.number("d007")}
    at = it.roster.graph.neighbours(0).index(it.number("d007")) * 82
    with pytest.raises(RefusedError, match="a second sharers"):
        it.members["d000"].take(type(inbox)(1, to_roll(fewer, 8), inbox.data[:at] + inbox.data[at + 82 :]))


def test_a_device_that_masked_with_fewer_others_is_not_unmasked_by_them() -> None:
    """Else a coordinator shows d000 a few sharers only, and its masks vanish with those that it silences."""
    it = SecureRound(8, enrolled=True)
    it.advertise()
    it.share()
    inbox = it.collector.inbox(0, 1)
    few = [n for n in range(8) if n < 5]
    for name in it.names[1:]:
        number = it.number(name)
        it.collector.pledge(number, it.members[name].take(it.collector.inbox(number, 1)).signature)
    pledge = it.members["d000"].take(type(inbox)(1, to_roll(few, 8), inbox.data[: 82 * 4]))
    it.collector.pledges[0] = pledge.signature  # a coordinator that lies takes it
    it.collector.close_masking(frozenset(range(8)))
    for name in it.names[1:]:
        with pytest.raises(RefusedError, match="'d000' masked its update with the same devices"):
            it.members[name].consent(it.collector.told(it.number(name), 1))


def test_whoever_is_said_to_be_gone_opens_nothing() -> None:
    it = masked()
    with pytest.raises(RefusedError, match="this device among them"):
        it.members["d000"].consent(told(it, "d000", set(it.names) - {"d000"}))


def test_forged_consents_do_not_count() -> None:
    it = masked()
    it.agree()
    quorum = it.collector.quorum(1)
    forged = SecureQuorum(1, quorum.signers, quorum.data[:-64] + bytes(64))
    with pytest.raises(RefusedError, match="4 devices agree"):
        it.members["d000"].reveal(forged)
    with pytest.raises(ProtocolError, match="expected 5 of 64 bytes"):
        it.members["d000"].reveal(SecureQuorum(1, quorum.signers, quorum.data[:-1]))


def test_invented_devices_are_in_no_roster() -> None:
    """Enough of them, and a sum of all is the update of one; they have no certificate, or that of another."""
    it = SecureRound(8, enrolled=True)
    it.advertise()
    stranger = Member(FLEET, ROUND, "d000x", 1, it.terms, Notes.fresh())
    said = stranger.keys()
    bare = Entry("d000x", 1, said.agreement, said.mask, said.signer)
    borrowed = Entry("d000x", 1, said.agreement, said.mask, said.signer, papers("d001").certificate, b"1")
    own = authority().issue_client("_coordinator", days=1, now=NOW)
    coordinator = Enrolled(own.cert, own.key)
    invented = Entry("_coordinator", 1, said.agreement, said.mask, said.signer)
    signed = Entry(
        "_coordinator", 1, said.agreement, said.mask, said.signer, coordinator.certificate,
        coordinator.sign(invented.statement(FLEET, ROUND)),
    )  # fmt: skip
    for entry in (bare, borrowed, signed):
        roster = Roster.make(FLEET, ROUND, plan(8), it.terms, [*it.roster.entries[1:], entry])
        with pytest.raises(RefusedError, match="without having been enrolled"):
            it.member("d005").join(roster.data, NOW)


def test_keys_of_another_round_or_for_another_device_do_not_pass() -> None:
    it = SecureRound(4, enrolled=True)
    other = Member(FLEET, ROUND + 1, "d000", 1, it.terms, Notes.fresh(), enrolled=papers("d000"))
    with pytest.raises(RefusedError, match="not signed with the key that it was enrolled with"):
        it.collector.advertise("d000", other.keys(), NOW)
    with pytest.raises(RefusedError, match="not signed"):
        it.collector.advertise("d001", it.members["d000"].keys(), NOW)
    with pytest.raises(RefusedError, match="not signed"):
        it.collector.advertise("d000", it.members["d000"].keys(), NOW + 10 * 86400)  # its certificate has ended
    open_fleet = Collector(FLEET, ROUND, it.terms)
    open_fleet.advertise("d000", it.members["d000"].keys(), NOW)
    with pytest.raises(RefusedError, match="not its own alone"):
        open_fleet.advertise("d001", it.members["d000"].keys(), NOW)


def test_a_roster_with_other_keys_or_terms_is_refused() -> None:
    it = SecureRound(4)
    it.advertise()
    theirs = Member(FLEET, ROUND, "d000", 1, it.terms, Notes.fresh())
    with pytest.raises(RefusedError, match="does not have this device's keys"):
        theirs.join(it.roster.data, NOW)
    terms = type(it.terms)(4, 2, 8, 1.0, 100, 0.0, 0.0)
    with pytest.raises(RefusedError, match="other terms"):
        Member(FLEET, ROUND, "d000", 1, terms, it.notes["d000"]).join(it.roster.data, NOW)


@pytest.mark.parametrize("at", [0, 3, 5, 20, 40, 80, 120, -1])
def test_a_damaged_roster_is_no_roster(at: int) -> None:
    it = SecureRound(4)
    it.advertise()
    data = bytearray(it.roster.data)
    data[at] ^= 0x81
    with pytest.raises((ProtocolError, RefusedError)):
        it.members["d000"].join(bytes(data), NOW)
    for cut in (10, len(data) - 1):
        with pytest.raises(ProtocolError):
            Roster.from_bytes(it.roster.data[:cut])
    with pytest.raises(ProtocolError):
        Roster.from_bytes(it.roster.data + b"\0")


def test_what_devices_send_is_checked_before_it_is_kept() -> None:
    it = SecureRound(6)
    it.advertise()
    with pytest.raises(ProtocolError, match="expected 442 bytes, got 5"):
        it.collector.share(0, b"short")
    it.share()
    it.hear()
    with pytest.raises(ProtocolError, match="not a sharer's signature"):
        it.collector.pledge(0, bytes(64))
    it.mask()
    with pytest.raises(ProtocolError, match="not a survivor's signature"):
        it.collector.consent(0, bytes(64))
    it.agree()
    said = it.members["d000"].reveal(it.collector.quorum(1))
    for wrong in (
        type(said)(1, b"\xff", said.data),
        type(said)(1, said.of, said.data[:-1]),
        type(said)(1, said.of, b"\xff" * len(said.data)),
        type(said)(1, b"", b""),
    ):
        with pytest.raises(ProtocolError):
            it.collector.reveal(0, wrong)
