"""A secure round from keys to sum: exact whoever falls silent when, and nothing learned below the threshold."""

import numpy as np
import pytest

from edgewise_wire.errors import ProtocolError, RefusedError
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.graph import Plan, plan
from secure_round import SecureRound

SILENT = [
    (0, 0, 0, 0, 0),
    (3, 0, 0, 0, 0),
    (0, 2, 0, 0, 0),
    (0, 0, 3, 0, 0),
    (0, 0, 0, 3, 0),
    (0, 0, 0, 0, 3),
    (1, 1, 1, 0, 0),
    (0, 1, 1, 1, 0),
]


@pytest.mark.parametrize("silent", SILENT)
def test_the_sum_is_exact_whoever_falls_silent_when(silent: tuple[int, ...]) -> None:
    it = SecureRound(10)
    it.run(silent)
    assert np.array_equal(it.total, it.plain)


@pytest.mark.parametrize("silent", [(2, 1, 2, 1, 1), (0, 0, 8, 0, 0), (0, 0, 0, 0, 0)])
def test_so_it_is_over_a_sparse_graph_of_enrolled_devices(silent: tuple[int, ...]) -> None:
    it = SecureRound(40, enrolled=True, plan=plan(40, dropout=0.2))
    assert it.plan is not None
    assert it.plan.degree < 39
    it.run(silent)
    assert np.array_equal(it.total, it.plain)


def test_the_mean_is_that_of_the_same_words_in_the_clear() -> None:
    it = SecureRound(6)
    it.run((0, 0, 1, 0, 0))
    secure, plain = it.collector.form.decode(it.total, 5), it.collector.form.decode(it.plain, 5)
    assert np.array_equal(secure.mean, plain.mean)
    assert (
        (secure.weight, secure.loss) == (plain.weight, plain.loss) == (1 + 2 + 3 + 4 + 5, pytest.approx(2.5, abs=0.1))
    )
    expected = np.average([it.updates[name] for name in it.names[1:]], axis=0, weights=range(1, 6))
    assert np.abs(secure.mean - expected).max() < 6 * it.collector.form.step * 100 / 15


def test_two_devices_are_the_smallest_sum() -> None:
    it = SecureRound(2)
    it.run()
    assert np.array_equal(it.total, it.plain)


def test_below_the_threshold_nothing_is_unmasked() -> None:
    it = SecureRound(8)
    for step in (it.advertise, it.share, it.hear, it.mask, it.agree):
        step()
    it.lose(4)  # four of the five that it takes
    it.reveal()
    before = it.total.copy()
    with pytest.raises(RefusedError, match="5 shares of every secret"):
        it.unmask()
    assert np.array_equal(it.total, before)
    assert not np.array_equal(it.total, it.plain)


def test_a_device_does_not_sign_a_sum_of_too_few() -> None:
    it = SecureRound(8)
    for step in (it.advertise, it.share, it.hear):
        step()
    it.lose(4)
    it.mask()
    with pytest.raises(RefusedError, match="4 updates are in its sum, expected 5"):
        it.agree()


def test_one_wrong_share_is_noticed_and_made_up_for() -> None:
    it = SecureRound(8)
    for step in (it.advertise, it.share, it.hear, it.mask, it.agree):
        step()
    quorum = it.collector.quorum(1)
    for name in it.live:
        said = it.members[name].reveal(quorum)
        if name == it.live[0]:
            said = type(said)(said.attempt, said.of, bytes(len(said.data)))
        it.collector.reveal(it.number(name), said)
    it.unmask()
    assert np.array_equal(it.total, it.plain)


def test_too_many_wrong_shares_end_the_round_and_not_in_a_wrong_sum() -> None:
    it = SecureRound(8)
    for step in (it.advertise, it.share, it.hear, it.mask, it.agree):
        step()
    quorum = it.collector.quorum(1)
    for name in it.live[:5]:
        said = it.members[name].reveal(quorum)
        wrong = bytes(len(said.data)) if name == it.live[0] else said.data
        it.collector.reveal(it.number(name), type(said)(said.attempt, said.of, wrong))
    with pytest.raises(ProtocolError, match="do not give it"):
        it.unmask()


def test_a_neighbour_that_seals_rubbish_does_not_stop_the_others() -> None:
    it = SecureRound(8)
    it.advertise()
    for name in it.live:
        said = it.members[name].join(it.roster.data, 1.8e9).data
        it.collector.share(it.number(name), said[:32] + bytes(len(said) - 32) if name == "d003" else said)
    it.collector.close_sharing()
    for step in (it.hear, it.mask, it.agree, it.reveal):
        step()
    with pytest.raises(RefusedError, match="shares of every secret"):
        it.unmask()  # its own share alone cannot open d003's mask


def test_a_killed_device_goes_on_with_the_same_words() -> None:
    """Made anew out of its notes between any two steps, a device says the same bytes, and the sum is exact."""
    it = SecureRound(6, enrolled=True)

    def restart() -> None:
        for name in it.names:
            notes = type(it.notes[name]).from_bytes(it.notes[name].to_bytes())
            assert notes is not None
            it.notes[name] = notes
            it.members[name] = it.member(name)
            if notes.roster:
                again = it.members[name].join(it.roster.data, 9e9)  # its certificate is checked once, not after years
                assert again.data == it.collector.shares.get(it.number(name), again.data)

    for name in it.live:
        assert it.member(name).keys() == it.members[name].keys()
    for step in (it.advertise, it.share, it.hear, it.mask, it.agree, it.reveal):
        restart()
        step()
    it.unmask()
    assert np.array_equal(it.total, it.plain)


def test_torn_notes_are_none() -> None:
    notes = SecureRound(2).notes["d000"]
    assert type(notes).from_bytes(notes.to_bytes()[:-3]) is None
    assert type(notes).from_bytes(b'{"master": 3}') is None


def test_owners_ask_for_more_than_the_fleet_does() -> None:
    terms = SecureTerms(8, 2, 16, 1.0, 1, 0.0, 0.0)
    it = SecureRound(6, terms=terms)
    it.rules = type(it.rules)(cohort=7)
    it.advertise()
    with pytest.raises(RefusedError, match="6 devices take part, expected 7 to 8"):
        it.member("d000").join(it.roster.data, 1.8e9)
    it.rules = type(it.rules)(survivors=6)
    it.members["d001"] = it.member("d001")
    it.share()
    it.hear()
    it.lose(1)
    it.mask()
    told = it.collector.told(it.number("d001"), 1)
    with pytest.raises(RefusedError, match="5 updates are in its sum, expected 6"):
        it.members["d001"].consent(told)


def test_a_plan_that_is_none_is_refused_by_every_device() -> None:
    it = SecureRound(8, plan=Plan(8, 7, 2, 5))
    it.advertise()
    with pytest.raises(RefusedError, match="2 shares of 8 open a secret"):
        it.share()
