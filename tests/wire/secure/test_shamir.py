import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.secure.shamir import PRIME, SHARE_BYTES, check_share, coefficient_bytes, combine, split


def shares_of(secret: bytes, holders: int, threshold: int) -> dict[int, bytes]:
    points = range(1, holders + 1)
    made = split(secret, points, threshold, secrets.token_bytes(coefficient_bytes(threshold)))
    return dict(zip(points, made, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.data())
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, holders: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, holders))
    shares = shares_of(secret, holders, threshold)
    chosen = data.draw(st.permutations(sorted(shares)))[:threshold]
    assert combine({point: shares[point] for point in chosen}, threshold) == secret


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_fewer_shares_fit_every_secret(secret: bytes, other: bytes) -> None:
    """With one share missing, each secret whatever is as likely: some last share would give it."""
    shares = shares_of(secret, 4, 3)
    (x1, y1), (x2, y2) = [(point, int.from_bytes(shares[point], "big")) for point in (1, 2)]
    y0 = int.from_bytes(other, "big")

    def at(x: int) -> int:  # the parabola through (0, other) and the two shares
        terms = ((0, y0), (x1, y1), (x2, y2))
        total = 0
        for i, (xi, yi) in enumerate(terms):
            top = bottom = 1
            for j, (xj, _) in enumerate(terms):
                if i != j:
                    top, bottom = top * (x - xj) % PRIME, bottom * (xi - xj) % PRIME
            total += yi * top * pow(bottom, -1, PRIME)
        return total % PRIME

    assert combine({1: shares[1], 2: shares[2], 3: at(3).to_bytes(SHARE_BYTES, "big")}, 3) == other


def test_shares_of_a_line_are_what_a_pencil_gives() -> None:
    secret, slope = (5).to_bytes(32, "big"), (7).to_bytes(40, "big")
    assert [int.from_bytes(s, "big") for s in split(secret, (1, 2, 10), 2, slope)] == [12, 19, 75]


def test_the_prime_is_the_smallest_above_two_to_the_256() -> None:
    def passes(
        n: int,
    ) -> bool:  # Miller and Rabin: a composite passes with a chance of 4^-12
        odd, twos = n - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
            x = pow(base, odd, n)
            if x in (1, n - 1):
                continue
            if not any((x := x * x % n) == n - 1 for _ in range(twos - 1)):
                return False
        return True

    assert [n - 2**256 for n in range(2**256 + 1, PRIME + 1, 2) if passes(n)] == [297]


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ProtocolError, match="expected 33"):
        check_share(bytes(32))
    with pytest.raises(ProtocolError, match="below"):
        check_share(PRIME.to_bytes(SHARE_BYTES, "big"))
    with pytest.raises(ProtocolError, match="at least 3 shares, got 2"):
        combine(dict(list(shares_of(bytes(32), 4, 3).items())[:2]), 3)
    with pytest.raises(ProtocolError, match="do not belong together"):  # at 0 the line through them is at 2^256
        combine({1: (2**256 + 1).to_bytes(33, "big"), 2: (2**256 + 2).to_bytes(33, "big")}, 2)
    with pytest.raises(InputError, match="threshold"):
        split(bytes(32), (1, 2), 3, bytes(80))
