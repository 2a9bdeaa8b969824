"""What devices start from, and the short ways to it: the coordinator's half of a compressed downlink.

downlink/000007.weights   what version 7 was published as, where that is not the version's own weights
downlink/000007.delta     a line of JSON (base, encoding, result: SHA-256 in hexadecimal), then the encoded bytes
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
    """The way from one published version to the next: what an assignment says of it, its bytes, and where it leads."""

    delta: Delta
    data: bytes
    result: bytes


class Downlink:
    """Publishes versions: as they are, or as an encoding leaves them.

    Law: what is published of a version is written before the version is recorded, and never changes: a round that is
    resumed, with whatever settings, starts its devices from the same bits.

    Args:
        directory: of the coordinator.
        encoding: of the versions to come; the empty one publishes them as they are.
        parameters: of the model.

    Raises:
        ConfigError: if versions cannot be sent in this encoding.
    """

    def __init__(self, directory: Path, encoding: str, parameters: int) -> None:
        self._folder = directory / "downlink"
        self._encoding = check_downlink(encoding)
        self._parameters = parameters

    def published(self, version: int, weights: Flat) -> Flat:
        """Return what this version was published as; `weights` are the version's own."""
        path = self._path(version, "weights")
        return from_bytes(path.read_bytes(), self._parameters) if path.exists() else weights

    def file(self, version: int, own: Path) -> Path:
        """Return the file with what this version was published as; `own` has the version's own weights."""
        path = self._path(version, "weights")
        return path if path.exists() else own

    def publish(self, version: int, weights: Flat, before: Flat) -> Flat:
        """Write down a new version as it will be published, and return that.

        Args:
            version: its number.
            weights: what the algorithm made.
            before: what the version before it was published as.

        Raises:
            UnavailableError: if the disk refuses.
        """
        if not self._encoding or (version == 0 and self._encoding != WHOLE):
            for kind in ("weights", "delta"):  # of an attempt under other settings, which was not recorded
                self._path(version, kind).unlink(missing_ok=True)
            return weights
        base = base_of(self._encoding, hashlib.sha256(to_bytes(before)).digest())
        data, published = shorten(self._encoding, weights, before, base)
        plain = to_bytes(published)
        head = {"base": base.hex(), "encoding": self._encoding, "result": hashlib.sha256(plain).hexdigest()}
        make_folder(self._folder)
        write_durably(self._path(version, "delta"), json.dumps(head).encode() + b"\n" + data)
        write_durably(self._path(version, "weights"), plain)
        return published

    def steps(self, version: int) -> tuple[Step, ...]:
        """Return the ways to a version, one behind the other, as far back as they are shorter than the whole."""
        found: list[Step] = []
        size = 0
        for number in range(version, max(0, version - DELTAS_MAX), -1):
            step = self._step(number)
            if step is None or (found and step.result != found[-1].delta.base):
                break
            size += len(step.data)
            if size >= 4 * self._parameters:
                break
            found.append(step)
            if not step.delta.base:
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
