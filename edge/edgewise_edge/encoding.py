"""How a device's update becomes the bytes that it sends: in the encoding that the assignment names.

    residuals/{graph}/{round}    what this device has not said up to its report in that round (error feedback)

Like a control variate, a residual is in force if the coordinator names its round: of a report that was lost, or whose
round was abandoned, nothing was learned, and nothing may be crossed off.
"""

from __future__ import annotations

import math
import secrets

import numpy as np

from edgewise_edge.control import RESIDUALS, Controls
from edgewise_edge.home import Home
from edgewise_edge.session import Work
from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.clip import clip
from edgewise_wire.weights import Flat


def secure_words(work: Work, update: Flat, examples: int, loss: float) -> bytes:
    """Return what a device adds to a secure sum: uint32[parameters + 2], in the clear; it never leaves the device.

    Raises:
        InputError: if the update has a number that is not finite.
    """
    from edgewise_wire.secure import skellam  # `cryptography`: only in a secure round
    from edgewise_wire.secure.fixed_point import FixedPoint
    from edgewise_wire.secure.noise import rounded_norm

    terms, norm, noise = work.asked.secure, math.inf, None
    form = FixedPoint(terms.cohort, terms.value_bits, terms.range, terms.weight_max, terms.noise)
    if terms.clip:
        update = clip(terms.clip).device(update)
    if terms.noise:
        norm = rounded_norm(terms.clip / form.step, len(update))
        noise = skellam.draw(len(update), terms.noise)
    dice = np.random.default_rng(secrets.randbits(128))
    return form.encode(update, examples, loss, dice, norm=norm, noise=noise).astype("<u4").tobytes()


def encode_update(home: Home, work: Work, device: str, update: Flat) -> bytes:
    """Return an update's bytes; what they leave unsaid is kept on disk for a later round.

    Law: a function of (seed, round, device), the update and the residual in force: made again after a crash, it is the
    same bytes.

    Raises:
        InputError: if the update has a number that cannot be sent.
        UnavailableError: if the residual cannot be written.
    """
    asked, codec = work.asked, get(work.asked.encoding)
    kept = Controls(home, asked.graph.hash, RESIDUALS)
    residual = kept.load(asked.control_round, len(update)) if codec.stateful else None
    encoded = codec.encode(update, Key(asked.seed, work.round, device), residual)
    if encoded.residual is not None:
        kept.save(work.round, encoded.residual, asked.control_round)
    return encoded.data
