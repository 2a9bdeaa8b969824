"""Everything that a coordinator ever receives about one device is noise to it, until the masks of all come off."""

import numpy as np

import chance
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.words import unpack
from secure_round import SecureRound

PARAMETERS = 20_000
CHI_SQUARE = chance.chi_square(255)
KOLMOGOROV = chance.kolmogorov()


def spread(octets: np.ndarray) -> float:
    """Return the chi-square statistic of bytes against all being as likely."""
    counts = np.bincount(octets, minlength=256)
    expected = len(octets) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def distance(words: np.ndarray, bits: int) -> float:
    """Return Kolmogorov's statistic of words against the uniform distribution below 2^bits."""
    unit = np.sort(words) / 2.0**bits
    steps = np.arange(len(unit) + 1) / len(unit)
    return float(np.sqrt(len(unit)) * max((steps[1:] - unit).max(), (unit - steps[:-1]).max()))


def test_one_update_is_uniform_to_the_coordinator_until_the_masks_come_off() -> None:
    """Six devices send zeros but for one; false alarm of the whole test: 21 statistics, each 10^-11."""
    it = SecureRound(6, PARAMETERS, SecureTerms(6, 2, 13, 1.0, 1, 0.0, 0.0))  # 16 bits: bytes are whole
    it.updates = {name: np.zeros(PARAMETERS, "f4") for name in it.names}
    it.updates["d002"] = np.full(PARAMETERS, 0.7, "f4")
    for step in (it.advertise, it.share, it.hear, it.mask):
        step()
    bits = it.collector.form.modulus_bits
    assert bits == 16
    sent = [data for data in it.seen if len(data) > PARAMETERS]
    assert len(sent) == 6
    words = [unpack(data, PARAMETERS + 2, bits) for data in sent]
    for each in words:
        assert spread(each.astype("<u2").view(np.uint8)) < CHI_SQUARE
        assert distance(each, bits) < KOLMOGOROV
    # Nor do two of them together say anything: the mask that they share is in neither alone.
    for one in (0, 2):
        for two in (1, 4):
            both = (words[one] + words[two]) & np.uint32(0xFFFF)
            assert distance(both, bits) < KOLMOGOROV
            assert distance((words[one] - words[two]) & np.uint32(0xFFFF), bits) < KOLMOGOROV
    # Even the sum of all is noise before the last phase, and is the sum behind it.
    assert distance(it.total & np.uint32(0xFFFF), bits) < KOLMOGOROV
    it.agree()
    it.reveal()
    it.unmask()
    assert np.array_equal(it.total, it.plain)
    assert distance(it.total, bits) > 25 * KOLMOGOROV


def test_the_statistics_can_fail() -> None:
    """Words that a plain update becomes, and bytes with one bit that leans, are far outside."""
    rng = np.random.default_rng(3)
    leaning = (rng.integers(0, 65536, PARAMETERS) | (rng.random(PARAMETERS) < 0.3).astype(int)).astype("<u2")
    assert spread(leaning.view(np.uint8)) > CHI_SQUARE
    assert distance(rng.normal(30_000, 5000, PARAMETERS).astype("u4"), 16) > KOLMOGOROV


def test_sealed_shares_are_uniform_too() -> None:
    it = SecureRound(24)
    it.advertise()
    it.share()
    octets = np.frombuffer(b"".join(data[32:] for data in it.seen), np.uint8)
    assert len(octets) > 20_000
    assert spread(octets) < CHI_SQUARE
