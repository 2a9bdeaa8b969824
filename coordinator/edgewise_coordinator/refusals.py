"""Why things are refused, in a closed list: a peer's words never become a metric's label."""

from __future__ import annotations

import re

NOT_A_MEMBER = "not enrolled, or revoked"
FLOOD = "more messages than a device may send"
INVALID = "not a valid message"
FOREIGN = "another fleet or protocol"
IMPOSSIBLE_ROUND = "impossible round"
TOO_LATE = "too late for its round"
NOT_FOR_US = "a message that only a coordinator sends"
FORGED = "a device refused a forged assignment"

_KINDS = tuple(
    (re.compile(words), kind)
    for words, kind in (
        ("with an L2 norm of at most", "update: norm out of bounds or not finite"),
        ("expected a finite loss", "update: loss not finite"),
        ("examples, the device claims", "impossible number of examples"),
        ("bytes, the device announced", "update: another size than the model's"),
        ("this round does not train", "update: in an evaluation"),
        ("this round trains", "evaluation: in a training round"),
        ("^evaluation:", "evaluation: impossible sums"),
        ("over and over", "update: chunks without end"),
        ("do not have the hash named", "update: chunk with another hash"),
        ("the whole is not", "update: whole with another hash"),
        ("^blob ", "update: reference that contradicts itself"),
        ("^chunk ", "update: chunk of another shape"),
        ("expected it encoded as", "update: wrong encoding"),
        ("^encoded update", "update: encoded bytes that mean nothing"),
        ("^update", "update: not usable"),
    )
)


def kind_of(reason: str) -> str:
    """Return the kind of a refusal by the words that it was raised with.

    Example:
        >>> kind_of("update: expected a finite loss, got nan")
        'update: loss not finite'
    """
    return next((kind for words, kind in _KINDS if words.search(reason)), "something else")
