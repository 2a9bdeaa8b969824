"""Taking updates in: a bounded number of slots, chunks acknowledged in ranges, everything checked before it counts.

The bound is what keeps any broker's queue short: at most `slots` × `window` chunks are ever in flight, whatever the
number of devices that want to upload. Everything else waits in a first-come queue of names. An update of fewer chunks
than a window takes as much of a slot as it has chunks, so small ones come in many at a time and are synced together.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.settings import UploadSettings
from edgewise_wire.blobs import BlobAssembler, check_ref, chunk_count, finish_together
from edgewise_wire.clock import Clock
from edgewise_wire.errors import EdgewiseError, InputError, ProtocolError, UnavailableError
from edgewise_wire.messages import Body, ChunkAck, UploadChunk, UploadGrant, UploadRequest

Send: TypeAlias = Callable[[str, Body], None]
"""`send(device, body)`: say something to a device."""

REPEATS = 16  # a link that breaks often sends a chunk again and again, but not for ever


@dataclass(slots=True)
class Upload:
    """One update on its way in; it may be sent while `assembler` is set, at most `room` chunks at once."""

    device: str
    request: UploadRequest
    path: Path
    room: int
    assembler: BlobAssembler | None = None
    heard: float = 0.0
    unacknowledged: int = 0
    repeated: int = 0


class UploadDesk:
    """Grants slots, takes chunks and, when told to `settle`, hands finished files over; one desk serves one round.

    `done(device, request, file)` is called once for each update that has arrived whole with the right hash, synced to
    disk; it decides whether the update counts and answers the device. `refuse(device, request, reason)` is called for
    one whose chunks are those named while the whole is not.
    """

    def __init__(
        self,
        spool: Path,
        settings: UploadSettings,
        clock: Clock,
        send: Send,
        done: Callable[[str, UploadRequest, Path], None],
        refuse: Callable[[str, UploadRequest, str], None],
        fault: FaultHook = no_fault,
    ) -> None:
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._send = send
        self._done = done
        self._refuse = refuse
        self._fault = fault
        self._uploads: dict[str, Upload] = {}
        self._slots: dict[str, Upload] = {}
        self._queue: dict[str, Upload] = {}
        self._whole: dict[str, Upload] = {}
        self._pool: ThreadPoolExecutor | None = None
        self.bytes_received = 0

    @property
    def granted(self) -> int:
        """How many updates may be sent now."""
        return len(self._slots)

    def receiving(self, device: str) -> bool:
        """Whether a device's update is on its way in, or waits for a slot."""
        return device in self._uploads

    def request(self, device: str, request: UploadRequest, expected_bytes: int) -> None:
        """Note that a device wants to send an update, or asks again where it was.

        Raises:
            InputError: if the update is not `expected_bytes` long or claims an impossible number of examples.
            ProtocolError: if its reference contradicts itself.
        """
        self._check(request, expected_bytes)
        known = self._uploads.get(device)
        if known is None or known.request.attempt != request.attempt or known.request.update != request.update:
            self.forget(device)
            name = f"{device}-{request.attempt}.update"  # a device's name is checked to be one safe path segment
            room = min(self._settings.window, chunk_count(request.update))
            known = self._uploads[device] = Upload(device, request, self._spool / name, room)
        if known.assembler is not None:
            self._grant(known)
        else:
            self._queue.setdefault(device, known)
        self.tick()

    def chunk(self, device: str, chunk: UploadChunk) -> None:
        """Take a chunk in; what was not granted is ignored.

        Raises:
            ProtocolError: if the chunk is not the one that its reference promised.
        """
        upload = self._uploads.get(device)
        if upload is None or upload.assembler is None or chunk.attempt != upload.request.attempt:
            return
        self.bytes_received += len(chunk.data)
        upload.heard = self._clock.now()
        self._fault(FaultPoint.BEFORE_SPOOL_WRITE)
        fresh = upload.assembler.add(chunk.index, chunk.data)
        self._fault(FaultPoint.AFTER_SPOOL_WRITE)
        if upload.assembler.complete:
            self._whole[device] = upload
            return
        upload.repeated += not fresh
        if upload.repeated > REPEATS * (chunk_count(upload.request.update) + self._settings.window):
            raise ProtocolError(f"update: the same chunks over and over, {upload.repeated} times")
        upload.unacknowledged += 1
        if not fresh or upload.unacknowledged >= max(1, self._settings.window // 2):
            upload.unacknowledged = 0
            self._send(device, ChunkAck(chunk.attempt, upload.assembler.have()))

    def tick(self) -> None:
        """Take slots back from devices that fell silent, and give free ones to those who wait."""
        now = self._clock.now()
        for upload in list(self._slots.values()):
            silent = now - upload.heard > self._settings.slot_timeout and upload.device not in self._whole
            if silent and upload.assembler is not None:
                upload.assembler.close()
                upload.assembler = None  # its chunks stay on disk; it queues again with its next request
                del self._slots[upload.device]
        while self._queue and (upload := next(iter(self._queue.values()))).room <= self._room():
            del self._queue[upload.device]
            upload.assembler = BlobAssembler(upload.request.update, upload.path)
            self._slots[upload.device] = upload
            if upload.assembler.complete:
                self._whole[upload.device] = upload
            else:
                self._grant(upload)

    def _room(self) -> int:
        """Return how many more chunks may be in flight."""
        return self._settings.slots * self._settings.window - sum(upload.room for upload in self._slots.values())

    def settle(self) -> None:
        """Sync every update that has come in whole since the last time, all together, and hand it over.

        Raises:
            UnavailableError: if the disk refuses one; it has been dropped, and its device will send it anew.
        """
        whole, self._whole = list(self._whole.values()), {}
        for upload in whole:
            del self._uploads[upload.device], self._slots[upload.device]
            self._fault(FaultPoint.BEFORE_SPOOL_SYNC)
        problems = self._sync([upload.assembler for upload in whole if upload.assembler is not None])
        for upload, problem in zip(whole, problems, strict=True):
            self._hand_over(upload, problem)
        unsafe = next((problem for problem in problems if isinstance(problem, UnavailableError)), None)
        if unsafe is not None:
            raise unsafe

    def deadline(self) -> float:
        """Return when the next slot may have to be taken back (infinity if none is in use)."""
        return min((u.heard for u in self._slots.values()), default=float("inf")) + self._settings.slot_timeout

    def forget(self, device: str) -> None:
        """Drop what a device has sent so far."""
        upload = self._uploads.pop(device, None)
        self._slots.pop(device, None)
        self._queue.pop(device, None)
        self._whole.pop(device, None)
        if upload is not None and upload.assembler is not None:
            upload.assembler.discard()

    def close(self) -> None:
        """Drop everything that is not finished."""
        for device in list(self._uploads):
            with contextlib.suppress(UnavailableError):  # what a full or broken disk keeps of them does no harm
                self.forget(device)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _check(self, request: UploadRequest, expected_bytes: int) -> None:
        if request.update.size != expected_bytes:
            raise InputError(f"update: expected {expected_bytes} bytes, the device announced {request.update.size}")
        check_ref(request.update, expected_bytes)
        if not math.isfinite(request.loss):
            raise InputError(f"update: expected a finite loss, got {request.loss}")
        if not 1 <= request.examples <= self._settings.max_examples:
            raise InputError(
                f"update: expected 1 to {self._settings.max_examples} examples, the device claims {request.examples}"
            )

    def _grant(self, upload: Upload) -> None:
        assert upload.assembler is not None  # noqa: S101  callers have just opened it
        upload.heard, upload.unacknowledged = self._clock.now(), 0
        self._send(upload.device, UploadGrant(upload.request.attempt, self._settings.window, upload.assembler.have()))
        self._fault(FaultPoint.AFTER_GRANT)

    def _sync(self, assemblers: Sequence[BlobAssembler]) -> list[EdgewiseError | None]:
        if not assemblers:
            return []
        self._pool = self._pool or ThreadPoolExecutor(self._settings.slots, thread_name_prefix="spool")
        return finish_together(assemblers, self._pool)

    def _hand_over(self, upload: Upload, problem: EdgewiseError | None) -> None:
        if problem is None:
            self._fault(FaultPoint.AFTER_SPOOL_SYNC)
            self._done(upload.device, upload.request, upload.path)
        elif isinstance(problem, UnavailableError):
            # After a failed sync the kernel may call pages clean that never reached the disk: nothing of it is kept.
            if upload.assembler is not None:
                upload.assembler.discard()
        else:
            self._refuse(upload.device, upload.request, str(problem))
