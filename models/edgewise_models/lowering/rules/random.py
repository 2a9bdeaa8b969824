"""Random draws from built-in operators: a stateless generator keyed by the `seed` input.

Two hash streams modulo the primes 4093 and 4091. All numbers stay integers below 2²⁴, exact in float32, so that every
runtime and TensorFlow draw the very same numbers, and XNNPACK does the work. Per row r of the draw, keys (a, b, c) are
mixed from the seed; column j gets h = a·j' + b and then h² + c, j' being a fixed shuffle of the residues. The two
streams' fractions are added modulo 1, which leaves 1.6·10⁷ levels. Good enough for dropout and noise; no cryptography.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.player import Player
from edgewise_models.lowering.registry import NEVER_FOLDED, STATEFUL, composed
from edgewise_models.lowering.values import Value
from edgewise_models.tensorflow import tf

PRIMES = (4093, 4091)
COLUMNS = 2048  # fewer than either prime, so that no two columns share a multiplier


def uniform(player: Player, shape: tuple[int, ...], site: int) -> Value:
    """Draw float32 numbers in [0, 1) of `shape`; `site` tells the draws of one step apart."""
    count = int(np.prod(shape)) if shape else 1
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    constants = np.random.default_rng([20191130, site])
    total = None
    for prime in PRIMES:
        fraction = _stream(player, prime, rows, columns, constants) * np.float32(1.0 / prime)
        total = fraction if total is None else total + fraction
    drawn = tf.reshape(total - tf.floor(total), [rows * columns])
    if rows * columns != count:
        drawn = tf.slice(drawn, [0], [count])
    return tf.reshape(drawn, shape)


def _stream(player: Player, prime: int, rows: int, columns: int, constants: np.random.Generator) -> Value:
    low, high = _digits(player, prime)

    def key() -> Value:
        mixed = _modulo(low * _residues(constants, prime, rows) + _residues(constants, prime, rows), prime)
        mixed = _modulo(mixed * mixed + high, prime)
        mixed = _modulo(mixed * _residues(constants, prime, rows) + low, prime)
        return tf.reshape(_modulo(mixed * mixed + _residues(constants, prime, rows), prime), [rows, 1])

    a, b, c = key(), key(), key()
    shuffled = constants.permutation(np.arange(1, prime))[:columns].astype(np.float32)
    hashed = _modulo((a + 1.0) * shuffled[None, :] + b, prime)
    return _modulo(hashed * hashed + c, prime)


def _residues(constants: np.random.Generator, prime: int, count: int) -> Value:
    return constants.integers(1, prime - 1, count).astype(np.float32)


def _digits(player: Player, prime: int) -> tuple[Value, Value]:
    """The seed's two lowest digits in base `prime`: 2²⁴ seeds differ."""
    key = ("seed digits", prime)
    if key not in player.cache:
        low = tf.math.floormod(player.seed, prime)
        high = tf.math.floormod(tf.math.floordiv(player.seed, prime), prime)
        player.cache[key] = (tf.cast(low, tf.float32), tf.cast(high, tf.float32))
    digits: tuple[Value, Value] = player.cache[key]
    return digits


def _modulo(value: Value, prime: int) -> Value:
    """value mod prime for exact integers; rounding may give −1 in place of prime − 1, alike everywhere."""
    return value - tf.floor(value * np.float32(1.0 / prime)) * np.float32(prime)


def _draw(call: Call, shape: Value) -> Value:
    player = call.player
    if player.seed is None:
        raise call.refuse("a random draw where nothing may be random", "draw only while training")
    site, player.random_sites = player.random_sites, player.random_sites + 1
    with tf.name_scope(call.name.strip("/")):
        return uniform(player, tuple(int(n) for n in np.atleast_1d(shape)), site)


@composed("StatelessRandomUniformV2", "StatelessRandomUniform", "RandomUniform")
def random_uniform(call: Call) -> list[Value]:
    """Numbers in [0, 1)."""
    return [_draw(call, call.known(0, "the shape of the draw"))]


@composed("StatelessRandomNormalV2", "StatelessRandomNormal", "RandomStandardNormal")
def random_normal(call: Call) -> list[Value]:
    """Box and Muller 1958: √(−2 log u)·cos(2πv)."""
    shape = call.known(0, "the shape of the draw")
    first, second = _draw(call, shape), _draw(call, shape)
    return [tf.sqrt(-2.0 * tf.math.log(1.0 - first)) * tf.cos(2.0 * math.pi * second)]


@composed("StatelessRandomGetKeyCounter", "StatelessRandomGetAlg", "StatelessRandomGetKeyCounterAlg")
def key_counter(call: Call) -> Any:
    """The generator's own keys: unused here, the `seed` input takes their place."""
    if call.type == "StatelessRandomGetAlg":
        return [np.int32(1)]
    out: list[Value] = [np.zeros(1, np.uint64), np.zeros(2, np.uint64)]
    return [*out, np.int32(1)] if call.type.endswith("Alg") else out


DRAWS = {
    "StatelessRandomUniformV2", "StatelessRandomUniform", "RandomUniform", "StatelessRandomNormalV2",
    "StatelessRandomNormal", "RandomStandardNormal", "StatelessTruncatedNormalV2", "TruncatedNormal",
    "StatelessRandomGetKeyCounter", "StatelessRandomGetAlg", "StatelessRandomGetKeyCounterAlg",
}  # fmt: skip
NEVER_FOLDED.update(DRAWS)
STATEFUL.update(DRAWS)
