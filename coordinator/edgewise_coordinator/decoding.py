"""From what a device sent to plain numbers: the coordinator's half of a round's encoding."""

from __future__ import annotations

from pathlib import Path

from edgewise_coordinator.state import StateStore
from edgewise_wire.errors import InputError, UnavailableError
from edgewise_wire.messages import UploadRequest
from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import to_bytes

PLAIN = ".plain"
REMEMBERED = "encoding"  # of the newest round, with its seed


class Decoder:
    """Turns the spooled updates of one round into plain float32 beside them.

    Law: what is spooled, synced and acknowledged is what the device sent; the plain numbers are a function of it and of
    (seed, round, device), made anew after a crash, and equal bit for bit.

    Args:
        encoding: the name of the round's encoding.
        seed: of the round's assignments.
        round_id: its number.
        numbers: how many an update has.
    """

    def __init__(self, encoding: str, seed: int, round_id: int, numbers: int) -> None:
        self.codec = get(encoding)
        self.seed = seed
        self._round = round_id
        self._numbers = numbers

    @property
    def bytes(self) -> int:
        """How long an encoded update is."""
        return self.codec.size(self._numbers)

    def check(self, request: UploadRequest) -> None:
        """Check that a device announces what it was asked for.

        Raises:
            InputError: if it is encoded in another way.
        """
        if (request.encoding or "float32") != self.codec.name:
            raise InputError(f"update: expected it encoded as {self.codec.name}, the device sends {request.encoding!r}")

    def plain(self, device: str, file: Path, round_id: int | None = None) -> Path:
        """Return the file with the plain numbers; `file` itself where it has them already.

        `round_id` is the round of the assignment, where that is an earlier one (in a buffer).

        Raises:
            ProtocolError: if the bytes are not an update in this encoding.
            UnavailableError: if the disk refuses.
        """
        if self.codec.name == "float32":
            return file
        key = Key(self.seed, self._round if round_id is None else round_id, device)
        update = self.codec.decode(file.read_bytes(), self._numbers, key)
        plain = file.with_suffix(PLAIN)
        try:
            plain.write_bytes(to_bytes(update))  # not synced: whoever needs it after a crash decodes again
        except OSError as error:
            plain.unlink(missing_ok=True)
            raise UnavailableError(f"{plain}: cannot be written ({error.strerror}); free space") from error
        return plain

    def done(self, plain: Path) -> None:
        """Delete plain numbers that nobody reads any more."""
        if plain.suffix == PLAIN:
            plain.unlink(missing_ok=True)


def open_decoder(store: StateStore, encoding: str, seed: int, round_id: int, numbers: int) -> Decoder:
    """Return the decoder of a round: as the round was begun, though a restarted coordinator may have other settings."""
    words = store.recall(REMEMBERED, "").split()
    if words[:1] != [str(round_id)]:
        words = [str(round_id), str(seed), encoding]
        store.remember(REMEMBERED, " ".join(words))
    return Decoder(words[2], int(words[1]), round_id, numbers)
