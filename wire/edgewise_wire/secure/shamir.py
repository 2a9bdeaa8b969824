"""Shamir's secret sharing over the integers modulo 2^256 + 297, the smallest prime above 2^256 (Shamir 1979).

A secret of 32 bytes is the value at 0 of a polynomial of degree threshold − 1; a share is its value at a holder's own
point. Fewer than `threshold` shares say nothing whatever about the secret, `threshold` give it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from edgewise_wire.errors import InputError, ProtocolError

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, points: Sequence[int], threshold: int, coefficients: bytes) -> list[bytes]:
    """Return a share for each point.

    Args:
        secret: 32 bytes.
        points: distinct and from 1 to PRIME − 1; whoever gets a share is known by its point.
        threshold: how many shares give the secret.
        coefficients: `coefficient_bytes(threshold)` secret random bytes. The same ones give the same shares.

    Raises:
        InputError: if the threshold or a length is impossible.

    Example:
        >>> shares = split(b"k" * 32, (1, 2, 3), 2, bytes(range(40)))
        >>> combine({1: shares[0], 3: shares[2]}, 2) == b"k" * 32
        True
    """
    if not 1 <= threshold <= len(points):
        raise InputError(f"sharing a secret: expected a threshold of 1 to {len(points)} holders, got {threshold}")
    if len(secret) != SECRET_BYTES or len(coefficients) != coefficient_bytes(threshold):
        raise InputError(f"sharing a secret of {len(secret)} bytes with {len(coefficients)} random ones")
    # 40 bytes modulo a prime of 33 are uniform but for 2^-64.
    numbers = [int.from_bytes(coefficients[at : at + 40], "big") % PRIME for at in range(0, len(coefficients), 40)]
    numbers.reverse()
    shares = []
    for point in points:
        value = 0
        for number in numbers:
            value = (value + number) * point % PRIME
        shares.append(((value + int.from_bytes(secret, "big")) % PRIME).to_bytes(SHARE_BYTES, "big"))
    return shares


def coefficient_bytes(threshold: int) -> int:
    """Return how many random bytes a sharing takes."""
    return 40 * (threshold - 1)


def check_share(share: bytes) -> None:
    """Check what a peer sent.

    Raises:
        ProtocolError: if it is no number below the prime.
    """
    if len(share) != SHARE_BYTES or int.from_bytes(share, "big") >= PRIME:
        raise ProtocolError(f"share of {len(share)} bytes: expected {SHARE_BYTES}, a number below 2^256 + 297")


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret, out of the first `threshold` shares by their points.

    Raises:
        ProtocolError: if there are too few, one is no share, or what they give is no secret of 32 bytes.
    """
    if len(shares) < threshold:
        raise ProtocolError(f"a shared secret: expected at least {threshold} shares, got {len(shares)}")
    points = sorted(shares)[:threshold]
    for point in points:
        check_share(shares[point])
    weights = _weights_at_zero(points)
    values = (int.from_bytes(shares[point], "big") for point in points)
    found = sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
    if found >= 1 << 256:
        raise ProtocolError("a shared secret: the shares do not belong together")
    return found.to_bytes(SECRET_BYTES, "big")


def _weights_at_zero(points: Sequence[int]) -> list[int]:
    """Return Lagrange's weights of these points for the value at 0, with one inversion for all of them."""
    below = [point * math.prod(other - point for other in points if other != point) % PRIME for point in points]
    running = list(accumulate(below, lambda a, b: a * b % PRIME, initial=1))
    inverse = pow(running[-1], -1, PRIME)
    whole = math.prod(points) % PRIME
    weights = [0] * len(points)
    for at in reversed(range(len(points))):
        weights[at] = whole * running[at] * inverse % PRIME
        inverse = inverse * below[at] % PRIME
    return weights
