"""Blobs: bytes too long for one message, cut into chunks that are named and checked by their hashes.

A `BlobRef` holds the SHA-256 of the whole and of every chunk. The receiving side writes good chunks into a part file,
in any order, over any number of restarts, and gets the blob only when the whole has the right hash: a wrong blob cannot
come into being, a torn one is noticed, and what was fetched is not fetched again.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeAlias

from edgewise_wire.errors import DataError, EdgewiseError, InputError, ProtocolError, UnavailableError
from edgewise_wire.messages import CHUNK_BYTES, CHUNKS_MAX, BlobRef, Range
from edgewise_wire.ranges import ChunkSet, check_index

Content: TypeAlias = "bytes | bytearray | memoryview | os.PathLike[str]"
"""A blob's bytes, or the path of the file that holds them."""

HASH_BYTES = 32
PART_SUFFIX = ".part"  # a blob that is not finished


def make_ref(data: Content, chunk_bytes: int = CHUNK_BYTES) -> BlobRef:
    """Return the reference to a blob; a file is read chunk by chunk.

    Raises:
        InputError: if the blob is empty or has more than `CHUNKS_MAX` chunks, or `chunk_bytes` is not in 1 to
            `CHUNK_BYTES`.
        DataError: if the file cannot be read.

    Example:
        >>> ref = make_ref(b"abcdefgh", chunk_bytes=3)
        >>> ref.size, chunk_count(ref)
        (8, 3)
    """
    if not 1 <= chunk_bytes <= CHUNK_BYTES:
        raise InputError(f"chunk size {chunk_bytes}: expected 1 to {CHUNK_BYTES} bytes")
    whole, hashes, size = hashlib.sha256(), bytearray(), 0
    with _opened(data) as source:
        while piece := source.read(chunk_bytes):
            if len(hashes) == CHUNKS_MAX * HASH_BYTES:
                raise InputError(f"blob: expected at most {CHUNKS_MAX} chunks of {chunk_bytes} bytes")
            whole.update(piece)
            hashes += hashlib.sha256(piece).digest()
            size += len(piece)
    if not size:
        raise InputError("blob of 0 bytes: expected at least 1")
    return BlobRef(whole.digest(), size, chunk_bytes, bytes(hashes))


def check_ref(ref: BlobRef, most_bytes: int) -> BlobRef:
    """Return `ref` if it is consistent in itself and names at most `most_bytes` bytes; a peer may have sent it.

    Raises:
        ProtocolError: if a hash is missing, the size or the chunk size is out of bounds, or the number of chunk hashes
            is not the number of chunks.
    """
    if len(ref.hash) != HASH_BYTES:
        raise ProtocolError(f"blob hash of {len(ref.hash)} bytes: expected {HASH_BYTES}")
    if not 1 <= ref.chunk_bytes <= CHUNK_BYTES:
        raise ProtocolError(f"blob with chunks of {ref.chunk_bytes} bytes: expected 1 to {CHUNK_BYTES}")
    if not 1 <= ref.size <= most_bytes:
        raise ProtocolError(f"blob of {ref.size} bytes: expected 1 to {most_bytes}")
    expected = chunk_count(ref) * HASH_BYTES
    if expected > CHUNKS_MAX * HASH_BYTES or len(ref.chunk_hashes) != expected:
        raise ProtocolError(
            f"blob of {ref.size} bytes with {len(ref.chunk_hashes)} bytes of chunk hashes: expected {expected}, "
            f"at most {CHUNKS_MAX * HASH_BYTES}"
        )
    return ref


def chunk_count(ref: BlobRef) -> int:
    """Return how many chunks a blob has."""
    return -(-ref.size // ref.chunk_bytes)


def chunk_length(ref: BlobRef, index: int) -> int:
    """Return how many bytes chunk `index` has: `ref.chunk_bytes`, but for the last.

    Raises:
        ProtocolError: if the blob has no such chunk.
    """
    check_index(index, chunk_count(ref))
    return min(ref.chunk_bytes, ref.size - index * ref.chunk_bytes)


def chunk(data: Content, ref: BlobRef, index: int) -> bytes:
    """Return chunk `index` of the blob `data`.

    Raises:
        ProtocolError: if the blob has no such chunk (a peer may have asked for it).
        DataError: if the bytes are not those that `ref` names any more.

    Example:
        >>> blob = b"abcdefgh"
        >>> chunk(blob, make_ref(blob, chunk_bytes=3), 2)
        b'gh'
    """
    length = chunk_length(ref, index)
    with _opened(data) as source:
        source.seek(index * ref.chunk_bytes)
        piece = source.read(length)
    if not _is_chunk(ref, index, piece):
        raise DataError(f"chunk {index} of blob {ref.hash.hex()}: the stored bytes have changed; provide the blob anew")
    return piece


def read_range(data: Content, first: int, length: int) -> bytes:
    """Return `length` bytes of a blob from `first` on, unchecked.

    Raises:
        DataError: if they are not there.

    Example:
        >>> read_range(b"abcdefgh", 2, 3)
        b'cde'
    """
    with _opened(data) as source:
        source.seek(first)
        piece = source.read(length)
    if len(piece) != length:
        raise DataError(f"blob: {len(piece)} bytes from {first} on, expected {length}; provide the blob anew")
    return piece


def is_zeros(ref: BlobRef, index: int) -> bool:
    """Return whether chunk `index` is nothing but zeros, by its hash.

    Such a chunk never travels: whoever collects the blob knows what is in it. A graph without its weights is mostly
    zeros, and so is the update of an embedding whose words a device has not met.

    Example:
        >>> ref = make_ref(bytes(6) + b"ab", chunk_bytes=3)
        >>> [is_zeros(ref, index) for index in range(chunk_count(ref))]
        [True, True, False]
    """
    named = ref.chunk_hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
    return named == _hash_of_zeros(chunk_length(ref, index))


@lru_cache(maxsize=64)  # a blob has two lengths of chunks, and all but its last chunk share one
def _hash_of_zeros(length: int) -> bytes:
    return hashlib.sha256(bytes(length)).digest()


def _is_chunk(ref: BlobRef, index: int, piece: bytes | bytearray | memoryview) -> bool:
    named = ref.chunk_hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
    return hashlib.sha256(piece).digest() == named


@contextmanager
def _opened(data: Content) -> Iterator[BinaryIO]:
    if not isinstance(data, os.PathLike):
        yield io.BytesIO(data)
        return
    try:
        with Path(data).open("rb") as source:
            yield source
    except OSError as error:
        raise DataError(f"blob file {data}: cannot be read ({error.strerror}); provide the blob anew") from error


class BlobAssembler:
    """Collects the chunks of one blob in a part file beside `path` and turns it into `path` when all is right.

    Chunks of zeros are there from the start: nobody sends them.
    A part file of an earlier process is taken up: its chunks are hashed again and the good ones count. Memory use is
    one chunk. The part file is written at `path` + ".part"; one assembler at a time may use a path.

    Args:
        ref: what to collect; check it against the receiver's own limit with `check_ref` first.
        path: where the finished blob goes; a file that is there is kept if it is this blob already.

    Raises:
        ProtocolError: if `ref` contradicts itself.
        UnavailableError: if the disk refuses (from every method that writes).

    Example:
        >>> import tempfile
        >>> blob = b"abcdefgh"
        >>> ref = make_ref(blob, chunk_bytes=3)
        >>> with BlobAssembler(ref, Path(tempfile.mkdtemp(), "blob")) as assembler:
        ...     new = [assembler.add(index, chunk(blob, ref, index)) for index in (2, 0, 2, 1)]
        ...     assembler.finish().read_bytes(), new
        (b'abcdefgh', [True, True, False, True])
    """

    def __init__(self, ref: BlobRef, path: os.PathLike[str]) -> None:
        self.ref = check_ref(ref, ref.size)
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART_SUFFIX)
        self._file: BinaryIO | None = None
        if _holds(self.path, ref):
            self._have = ChunkSet(chunk_count(ref), (Range(0, chunk_count(ref) - 1),))
            return
        with _writing(self.part):
            self._file, is_new = self._open_part()
            self._have = self._zero_chunks() if is_new else self._good_chunks(self._file)

    def _open_part(self) -> tuple[BinaryIO, bool]:
        """Return the part file, and whether it is new."""
        flags, is_new = os.O_RDWR | getattr(os, "O_BINARY", 0), True
        try:
            # An update says something about its owner's text: nobody else on the machine reads it.
            handle = os.open(self.part, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            return self._open_part()
        except FileExistsError:
            handle, is_new = os.open(self.part, flags), False
        file = os.fdopen(handle, "r+b", buffering=0)
        # The part file always has the blob's size, so what a longer one would leave behind is cut off, and a place
        # that was never written reads as zeros, which no chunk but one of zeros has the hash of.
        file.truncate(self.ref.size)
        return file, is_new

    def _zero_chunks(self) -> ChunkSet:
        """Return the chunks of zeros: they are in a new part file already."""
        good = ChunkSet(chunk_count(self.ref))
        for index in range(good.count):
            if is_zeros(self.ref, index):
                good.add(index)
        return good

    def _good_chunks(self, file: BinaryIO) -> ChunkSet:
        """Return the chunks whose bytes in the part file have the right hash; those of zeros are mended."""
        good = ChunkSet(chunk_count(self.ref))
        for index in range(good.count):
            file.seek(index * self.ref.chunk_bytes)
            length = chunk_length(self.ref, index)
            if _is_chunk(self.ref, index, file.read(length)):
                good.add(index)
            elif is_zeros(self.ref, index):  # nobody would ever send it
                file.seek(index * self.ref.chunk_bytes)
                self._write(file, bytes(length))
                good.add(index)
        return good

    @staticmethod
    def _write(file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @property
    def complete(self) -> bool:
        """Whether every chunk is there."""
        return self._have.complete

    def have(self) -> tuple[Range, ...]:
        """Return the chunks that are there."""
        return self._have.ranges()

    def missing(self) -> tuple[Range, ...]:
        """Return the chunks that are not there yet."""
        return self._have.missing()

    def add(self, index: int, data: bytes | bytearray | memoryview) -> bool:
        """Keep a chunk; return whether it is new. A chunk that is there already changes nothing.

        Raises:
            ProtocolError: if the blob has no chunk `index`, or `data` is not it.
        """
        length = chunk_length(self.ref, index)
        if len(data) != length:
            raise ProtocolError(f"chunk {index} of blob {self.ref.hash.hex()}: {len(data)} bytes, expected {length}")
        if not _is_chunk(self.ref, index, data):
            raise ProtocolError(f"chunk {index} of blob {self.ref.hash.hex()}: its bytes do not have the hash named")
        if index in self._have:
            return False
        file = self._opened_part()
        with _writing(self.part):
            file.seek(index * self.ref.chunk_bytes)
            self._write(file, data)
        return self._have.add(index)

    def finish(self) -> Path:
        """Sync the blob to disk, check the whole, move it to `path` and return that; again does nothing more.

        Raises:
            InputError: if chunks are missing.
            ProtocolError: if every chunk is right and the whole is not: the reference lies. The part file is deleted.
            UnavailableError: if chunks changed on the disk since they were added; `missing` names them again.
        """
        self.sync()
        with _writing(self.path):
            _sync_directory(self.path.parent)
        return self.path

    def sync(self) -> None:
        """Do what `finish` does, but for making the new name durable: that is once for many blobs of one folder.

        Raises:
            InputError, ProtocolError, UnavailableError: as `finish`.
        """
        if not self.complete:
            raise InputError(f"blob {self.ref.hash.hex()}: {self._have.count - len(self._have)} chunks are missing")
        if self._file is None and _holds(self.path, self.ref):
            return
        file = self._opened_part()
        with _writing(self.part):
            os.fsync(file.fileno())
            if _file_hash(file) != self.ref.hash:
                self._refuse_whole(file)
            self.close()
            self.part.replace(self.path)

    def _refuse_whole(self, file: BinaryIO) -> None:
        self._have = self._good_chunks(file)
        if not self.complete:
            raise UnavailableError(f"{self.part}: chunks {self.missing()} changed on the disk; fetch them again")
        self.discard()
        raise ProtocolError(f"blob {self.ref.hash.hex()}: its chunks are those named, the whole is not")

    def _opened_part(self) -> BinaryIO:
        if self._file is None:
            raise InputError(f"{self.part}: this assembler is closed; make a new one to go on")
        return self._file

    def close(self) -> None:
        """Close the part file and leave it for a later assembler to take up."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Close and delete the part file."""
        self.close()
        with _writing(self.part):
            self.part.unlink(missing_ok=True)

    def __enter__(self) -> BlobAssembler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def finish_together(assemblers: Sequence[BlobAssembler], pool: Executor) -> list[EdgewiseError | None]:
    """Finish many blobs at once and return, for each, what went wrong or `None`.

    A disk takes its time for each sync, but syncs that overlap share it: eight took 55 ms one after the other and 7 ms
    side by side on a busy disk (ext4, whose journal commits for all who wait).

    Example:
        >>> import tempfile
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> folder = Path(tempfile.mkdtemp())
        >>> both = [BlobAssembler(make_ref(bytes(n)), folder / str(n)) for n in (1, 2)]
        >>> with ThreadPoolExecutor() as pool:
        ...     finish_together(both, pool), sorted(path.name for path in folder.iterdir())
        ([None, None], ['1', '2'])
    """

    def attempt(act: Callable[[], object]) -> EdgewiseError | None:
        try:
            act()
        except EdgewiseError as error:
            return error
        return None

    problems = list(pool.map(lambda assembler: attempt(assembler.sync), assemblers))
    for folder in sorted({assembler.path.parent for assembler in assemblers}):
        with _writing(folder):
            _sync_directory(folder)
    return problems


class BlobStore:
    """Finished blobs in a folder, each under its hash.

    A blob is there whole or not at all, whenever the process is killed.

    Raises:
        InputError: from every method, for a hash that is not 32 bytes.
        UnavailableError: from every method that writes, if the disk refuses.

    Example:
        >>> import tempfile
        >>> store = BlobStore(Path(tempfile.mkdtemp()))
        >>> ref = store.put(b"abc")
        >>> store.has(ref.hash), store.read(ref.hash)
        (True, b'abc')
    """

    def __init__(self, folder: os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, blob_hash: bytes) -> Path:
        """Return where the blob is or would be."""
        if len(blob_hash) != HASH_BYTES:
            raise InputError(f"blob hash of {len(blob_hash)} bytes: expected {HASH_BYTES}")
        return self.folder / blob_hash.hex()

    def has(self, blob_hash: bytes) -> bool:
        """Return whether the blob is there."""
        return self.path(blob_hash).is_file()

    def get(self, blob_hash: bytes) -> Path | None:
        """Return the file of the blob, or `None`; unlike `read`, without hashing what the disk kept."""
        return self.path(blob_hash) if self.has(blob_hash) else None

    def read(self, blob_hash: bytes) -> bytes:
        """Return the bytes of the blob, checked against its hash.

        Raises:
            DataError: if it is not there, or is damaged; a damaged one is deleted, so that it is fetched again.
        """
        path = self.path(blob_hash)
        with _opened(path) as source:
            data = source.read()
        if hashlib.sha256(data).digest() != blob_hash:
            path.unlink(missing_ok=True)
            raise DataError(f"blob file {path}: its bytes have changed; it is deleted, provide the blob anew")
        return data

    def put(self, data: Content, chunk_bytes: int = CHUNK_BYTES) -> BlobRef:
        """Keep a blob, synced to disk, and return its reference."""
        ref = make_ref(data, chunk_bytes)
        with self.assembler(ref) as assembler:
            for index in range(chunk_count(ref)):
                assembler.add(index, chunk(data, ref, index))
            assembler.finish()
        return ref

    def assembler(self, ref: BlobRef) -> BlobAssembler:
        """Return the assembler whose finished blob stands in this store."""
        return BlobAssembler(ref, self.path(ref.hash))

    def prune(self, keep: Collection[bytes]) -> int:
        """Delete every blob, finished or not, whose hash is not in `keep`; return how many files that were."""
        names = {self.path(blob_hash).name for blob_hash in keep}
        doomed = [path for path in self._files() if path.name.removesuffix(PART_SUFFIX) not in names]
        for path in doomed:
            with _writing(path):
                path.unlink(missing_ok=True)
        return len(doomed)

    def _files(self) -> Iterator[Path]:
        """Return the store's own files; whatever else lies in the folder is not its to delete."""
        for path in self.folder.glob("*"):
            name = path.name.removesuffix(PART_SUFFIX)
            if len(name) == 2 * HASH_BYTES and not name.strip("0123456789abcdef") and path.is_file():
                yield path


def _holds(path: Path, ref: BlobRef) -> bool:
    """Return whether the file at `path` is the whole blob."""
    if not path.is_file() or path.stat().st_size != ref.size:
        return False
    with _opened(path) as source:
        return _file_hash(source) == ref.hash


def _file_hash(file: BinaryIO) -> bytes:
    whole = hashlib.sha256()
    file.seek(0)
    while piece := file.read(CHUNK_BYTES):
        whole.update(piece)
    return whole.digest()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written ({error.strerror}); free or mend the disk") from error


def _sync_directory(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut; Windows has no way to, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
