"""Taking updates in: a bounded number of slots, chunks acknowledged in ranges, everything checked before it counts.

The bound is what keeps any broker's queue short: at most `slots` × `window` chunks are ever in flight, whatever the
number of devices that want to upload. Everything else waits in a first-come queue of names.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.settings import UploadSettings
from edgewise_wire.blobs import BlobAssembler, check_ref, chunk_count
from edgewise_wire.clock import Clock
from edgewise_wire.errors import InputError, ProtocolError, UnavailableError
from edgewise_wire.messages import Body, ChunkAck, ReportAck, UploadChunk, UploadGrant, UploadRequest

Send: TypeAlias = Callable[[str, Body], None]
"""`send(device, body)`: say something to a device."""

REPEATS = 16  # a link that breaks often sends a chunk again and again, but not for ever


@dataclass(slots=True)
class Upload:
    """One update on its way in; it holds a slot while `assembler` is set."""

    device: str
    request: UploadRequest
    path: Path
    assembler: BlobAssembler | None = None
    heard: float = 0.0
    unacknowledged: int = 0
    repeated: int = 0


class UploadDesk:
    """Grants slots, takes chunks and hands finished files over; one desk serves one round.

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
        self.bytes_received = 0

    @property
    def granted(self) -> int:
        """How many slots are in use."""
        return len(self._slots)

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
            known = self._uploads[device] = Upload(device, request, self._spool / name)
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
            self._finish(upload, upload.assembler)
            self.tick()
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
            if now - upload.heard > self._settings.slot_timeout and upload.assembler is not None:
                upload.assembler.close()
                upload.assembler = None  # its chunks stay on disk; it queues again with its next request
                del self._slots[upload.device]
        while self._queue and len(self._slots) < self._settings.slots:
            upload = self._queue.pop(next(iter(self._queue)))
            upload.assembler = BlobAssembler(upload.request.update, upload.path)
            self._slots[upload.device] = upload
            if upload.assembler.complete:
                self._finish_found(upload, upload.assembler)
            else:
                self._grant(upload)

    def deadline(self) -> float:
        """Return when the next slot may have to be taken back (infinity if none is in use)."""
        return min((u.heard for u in self._slots.values()), default=float("inf")) + self._settings.slot_timeout

    def forget(self, device: str) -> None:
        """Drop what a device has sent so far."""
        upload = self._uploads.pop(device, None)
        self._slots.pop(device, None)
        self._queue.pop(device, None)
        if upload is not None and upload.assembler is not None:
            upload.assembler.discard()

    def close(self) -> None:
        """Drop everything that is not finished."""
        for device in list(self._uploads):
            with contextlib.suppress(UnavailableError):  # what a full or broken disk keeps of them does no harm
                self.forget(device)

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

    def _finish_found(self, upload: Upload, assembler: BlobAssembler) -> None:
        """Finish what lay whole on the disk; if it is not what was announced, that is nobody else's failure."""
        try:
            self._finish(upload, assembler)
        except ProtocolError as error:
            self._send(upload.device, ReportAck(upload.request.attempt, accepted=False, reason=str(error)))

    def _finish(self, upload: Upload, assembler: BlobAssembler) -> None:
        del self._uploads[upload.device], self._slots[upload.device]
        self._fault(FaultPoint.BEFORE_SPOOL_SYNC)
        try:
            file = assembler.finish()
        except ProtocolError as error:
            self._refuse(upload.device, upload.request, str(error))
            return
        except UnavailableError:
            # After a failed sync the kernel may call pages clean that never reached the disk: the device sends it anew.
            assembler.discard()
            raise
        self._fault(FaultPoint.AFTER_SPOOL_SYNC)
        self._done(upload.device, upload.request, file)
