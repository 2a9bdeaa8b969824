"""Versions that go down shortened: the coordinator's half.

    downlink/000007.delta     a line of JSON (base, encoding, result: SHA-256 in hexadecimal), then the encoded bytes
    downlink/000007.exact     the weights of which version 7 is what its encoding left

A version is what was published: its weights are what every device of its rounds has, what is measured, and what its
file holds. What the encoding lost is here, and goes with the next version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edgewise_wire.blobs import make_ref
from edgewise_wire.files import make_folder, write_durably
from edgewise_wire.messages import DELTAS_MAX, Delta
from edgewise_wire.transforms.delta import WHOLE, base_of, check_downlink, shorten
from edgewise_wire.weights import Flat, from_bytes, to_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """The way from one version to the next: what an assignment says of it, its bytes, and the hash it leads to."""

    delta: Delta
    data: bytes
    result: bytes


class Downlink:
    """Shortens versions as they are made, and finds the short ways to them.

    Law: all devices of a version start from the same bits, whichever way they came. What is here of a version is
    written before the version is recorded, and counts only if it leads to that version's weights.

    Args:
        directory: of the coordinator.
        encoding: of the versions to come; the empty one leaves them as they are.
        parameters: of the model.

    Raises:
        ConfigError: if versions cannot be sent in this encoding.
    """

    def __init__(self, directory: Path, encoding: str, parameters: int) -> None:
        self._folder = directory / "downlink"
        self._encoding = check_downlink(encoding)
        self._parameters = parameters

    def publish(self, version: int, exact: Flat, before: Flat) -> Flat:
        """Return the weights of a new version: what its receivers make of it.

        Args:
            version: its number.
            exact: what the algorithm made.
            before: the weights of the version before it.

        Raises:
            UnavailableError: if the disk refuses.
        """
        if not self._encoding or (version == 0 and self._encoding != WHOLE):
            return exact
        base = base_of(self._encoding, _hash(before))
        data, weights = shorten(self._encoding, exact, before, base)
        head = {"base": base.hex(), "encoding": self._encoding, "result": _hash(weights).hex()}
        make_folder(self._folder)
        write_durably(self._path(version, "exact"), to_bytes(exact))
        write_durably(self._path(version, "delta"), json.dumps(head).encode() + b"\n" + data)
        return weights

    def exact(self, version: int, weights: Flat) -> Flat:
        """Return what the algorithm made, of which a version's weights are what its encoding left."""
        step, path = self._step(version), self._path(version, "exact")
        if step is None or step.result != _hash(weights) or not path.exists():
            return weights
        return from_bytes(path.read_bytes(), self._parameters)

    def steps(self, version: int, weights: Flat) -> tuple[Step, ...]:
        """Return the ways to a version, one behind the other, as far back as they are shorter than its weights."""
        found: list[Step] = []
        size, target = 0, _hash(weights)
        for number in range(version, max(-1, version - DELTAS_MAX), -1):
            step = self._step(number)
            if step is None or step.result != target:
                break
            size, target = size + len(step.data), step.delta.base
            if size >= 4 * self._parameters:
                break
            found.append(step)
            if not target:
                break
        return tuple(reversed(found))

    def _step(self, version: int) -> Step | None:
        path = self._path(version, "delta")
        if not path.exists():
            return None
        line, _, data = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        delta = Delta(bytes.fromhex(head["base"]), make_ref(data), head["encoding"])
        return Step(delta, data, bytes.fromhex(head["result"]))

    def _path(self, version: int, kind: str) -> Path:
        return self._folder / f"{version:06}.{kind}"


def _hash(weights: Flat) -> bytes:
    return hashlib.sha256(to_bytes(weights)).digest()
