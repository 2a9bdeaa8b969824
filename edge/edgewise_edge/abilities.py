"""What this version of a device can do of what an assignment may ask: corrections of gradients, encodings of updates.

It is known without NumPy, which a device that waits does not load.
"""

from __future__ import annotations

import math

from edgewise_wire.encodings import parse
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import COHORT_MAX, Assignment, Kind, SecureTerms
from edgewise_wire.secure.form import ENCODING, EXTRA, Form, packed_bytes
from edgewise_wire.secure.noise import VARIANCE_MAX, noise_multiplier

SCAFFOLD = "scaffold"
CORRECTIONS = ("", SCAFFOLD)
"""The corrections that this device can make, by their names on the wire."""
NUMBER_BYTES = 4  # weights travel as float32


def unknown_encoding(asked: Assignment) -> str | None:
    """Return why this device cannot encode as it is asked, or `None` if it can."""
    if asked.secure.cohort:
        return secure_problem(asked)
    try:
        parse(asked.encoding)
    except ConfigError:
        return f"updates encoded as {asked.encoding!r} are not known to this version"
    return None


def update_bytes(asked: Assignment) -> int:
    """Return how many bytes an assignment's update will have; 0 for an encoding that is not known."""
    if asked.kind != Kind.TRAIN or unknown_encoding(asked):
        return 0
    numbers = (asked.weights.size + (asked.control.size if asked.correction else 0)) // NUMBER_BYTES
    if asked.secure.cohort:
        return packed_bytes(numbers + EXTRA, form_of(asked.secure).modulus_bits)
    return parse(asked.encoding).size(max(1, numbers))


def noise_in_sum(asked: Assignment) -> float:
    """Return the noise that a secure round's sum carries for certain, over the norm of an update in it; 0 for none.

    A device calculates it from what it and the others are told to add: nobody's promise counts.
    """
    if asked.secure.cohort == 0 or secure_problem(asked):
        return 0.0
    return noise_multiplier(asked.secure, max(1, asked.weights.size // NUMBER_BYTES))


def secure_problem(asked: Assignment) -> str | None:
    """Return why this device cannot take part in a secure round on these terms, or `None` if it can."""
    terms = asked.secure
    if asked.encoding != ENCODING:
        return f"a secure round's updates encoded as {asked.encoding!r} are not known to this version"
    if not 2 <= terms.least <= terms.cohort <= COHORT_MAX:
        return f"a secure round of {terms.least} to {terms.cohort} devices: expected 2 to {COHORT_MAX}"
    if not 0 <= terms.clip < math.inf:
        return f"clipping norm {terms.clip}: expected a number of at least 0"
    if terms.noise and not (terms.clip and terms.weight_max == 1):
        return "noise without a clipping norm and equal weights protects nobody"
    if terms.noise > VARIANCE_MAX:
        return f"noise of a variance of {terms.noise:g}: this version draws up to {VARIANCE_MAX:g}"
    if asked.correction:
        return "a secure round cannot carry a control variate besides"
    try:
        form_of(terms)
    except ConfigError as error:
        return str(error)
    return None


def form_of(terms: SecureTerms) -> Form:
    """Return how numbers become words on these terms.

    Raises:
        ConfigError: if the terms are impossible.
    """
    return Form(terms.cohort, terms.value_bits, terms.range, terms.weight_max, terms.noise)
