"""Blobs come out whole and right, or not at all: whatever arrives, in whatever order, however often all is killed."""

import hashlib
import random
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from edgewise_wire.blobs import (
    BlobAssembler,
    BlobStore,
    check_ref,
    chunk,
    chunk_count,
    chunk_length,
    finish_together,
    is_zeros,
    make_ref,
)
from edgewise_wire.errors import DataError, InputError, ProtocolError, UnavailableError
from edgewise_wire.messages import CHUNK_BYTES, CHUNKS_MAX, BlobRef, Range
from edgewise_wire.ranges import indices

BLOB = random.Random(5).randbytes(1003)
REF = make_ref(BLOB, chunk_bytes=100)
MANY = 2**40


def fill(assembler, wanted, blob=BLOB):
    return [assembler.add(index, chunk(blob, assembler.ref, index)) for index in wanted]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path):
    return tmp_path / "blob"


@pytest.mark.parametrize("size", [1, 99, 100, 101, 1000, 1003])
def test_a_reference_names_the_whole_and_each_chunk(size):
    blob = BLOB[:size]
    ref = check_ref(make_ref(blob, 100), size)
    assert ref.hash == hashlib.sha256(blob).digest()
    assert ref.size == size
    pieces = [chunk(blob, ref, index) for index in range(chunk_count(ref))]
    assert b"".join(pieces) == blob
    assert ref.chunk_hashes == b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    assert [len(piece) for piece in pieces] == [chunk_length(ref, index) for index in range(len(pieces))]


def test_bytes_views_and_files_have_the_same_reference(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(BLOB)
    assert make_ref(path, 100) == make_ref(memoryview(BLOB), 100) == make_ref(bytearray(BLOB), 100) == REF
    assert chunk(path, REF, 10) == chunk(memoryview(BLOB), REF, 10) == BLOB[1000:]


def test_a_blob_that_no_reference_can_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="0 bytes"):
        make_ref(b"")
    with pytest.raises(InputError, match=f"{CHUNKS_MAX} chunks"):
        make_ref(bytes(CHUNKS_MAX + 1), 1)
    assert chunk_count(make_ref(bytes(CHUNKS_MAX), 1)) == CHUNKS_MAX
    for wrong in (0, CHUNK_BYTES + 1):
        with pytest.raises(InputError, match="chunk size"):
            make_ref(b"x", wrong)
    with pytest.raises(DataError, match="cannot be read"):
        make_ref(tmp_path / "absent")


def test_a_source_that_changed_is_not_sent(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(BLOB[:500] + b"!" + BLOB[501:])
    assert chunk(path, REF, 4) == BLOB[400:500]
    with pytest.raises(DataError, match="chunk 5"):
        chunk(path, REF, 5)
    with pytest.raises(ProtocolError, match="chunk 11: expected 0 to 10"):
        chunk(BLOB, REF, 11)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (BlobRef(), "hash of 0 bytes"),
        (replace(REF, hash=bytes(31)), "hash of 31 bytes"),
        (replace(REF, size=0), "0 bytes"),
        (replace(REF, size=2**64 - 1), "expected 1 to 2000"),
        (replace(REF, size=2001), "expected 1 to 2000"),
        (replace(REF, size=1101), "expected 384"),
        (replace(REF, size=1000), "expected 320"),
        (replace(REF, chunk_bytes=0), "chunks of 0 bytes"),
        (replace(REF, chunk_bytes=CHUNK_BYTES + 1), f"chunks of {CHUNK_BYTES + 1} bytes"),
        (replace(REF, chunk_hashes=b""), "0 bytes of chunk hashes"),
        (replace(REF, chunk_hashes=REF.chunk_hashes + b"x"), "353 bytes of chunk hashes"),
        (BlobRef(bytes(32), 1901, 1, bytes(32 * 1901)), "at most 60800"),
    ],
)
def test_a_reference_that_contradicts_itself_is_refused(ref, words, target):
    with pytest.raises(ProtocolError, match=words):
        check_ref(ref, 2000)
    assert not target.exists()


def test_chunks_in_any_order_make_the_blob(target):
    order = list(range(11))
    random.Random(1).shuffle(order)
    with BlobAssembler(REF, target) as assembler:
        assert assembler.missing() == (Range(0, 10),)
        assert fill(assembler, order[:4]) == [True] * 4
        assert sorted(indices(assembler.have())) == sorted(order[:4])
        assert sorted(indices(assembler.missing())) == sorted(order[4:])
        assert fill(assembler, order[2:]) == [False] * 2 + [True] * 7
        assert assembler.complete
        assert not target.exists()
        assert assembler.finish() == target
        assert assembler.finish() == target
    assert target.read_bytes() == BLOB
    assert names(target.parent) == ["blob"]


@pytest.mark.parametrize(
    ("index", "data", "words"),
    [
        (11, BLOB[:100], "expected 0 to 10"),
        (-1, BLOB[:100], "expected 0 to 10"),
        (0, BLOB[:99], "99 bytes, expected 100"),
        (0, BLOB[:101], "101 bytes, expected 100"),
        (10, BLOB[:100], "100 bytes, expected 3"),
        (0, BLOB[100:200], "hash"),
        (1, BLOB[:100], "hash"),
    ],
)
def test_a_wrong_chunk_changes_nothing(target, index, data, words):
    with BlobAssembler(REF, target) as assembler:
        fill(assembler, [1])
        with pytest.raises(ProtocolError, match=words):
            assembler.add(index, data)
        assert assembler.have() == (Range(1, 1),)
        fill(assembler, range(11))
        assert assembler.finish().read_bytes() == BLOB


def test_nothing_is_finished_while_a_chunk_is_missing(target):
    with BlobAssembler(REF, target) as assembler:
        fill(assembler, range(10))
        with pytest.raises(InputError, match="1 chunks are missing"):
            assembler.finish()
    assert not target.exists()


def test_a_reference_whose_whole_hash_lies_gives_no_blob(target):
    lie = replace(REF, hash=hashlib.sha256(b"something else").digest())
    with BlobAssembler(lie, target) as assembler:
        fill(assembler, range(11))
        with pytest.raises(ProtocolError, match="the whole is not"):
            assembler.finish()
    assert names(target.parent) == []


def test_a_chunk_that_the_disk_changed_is_asked_for_again(target):
    with BlobAssembler(REF, target) as assembler:
        fill(assembler, range(11))
        with assembler.part.open("r+b") as part:
            part.seek(250)
            part.write(b"rot")
        with pytest.raises(UnavailableError, match="fetch them again"):
            assembler.finish()
        assert assembler.missing() == (Range(2, 2),)
        fill(assembler, [2])
        assert assembler.finish().read_bytes() == BLOB


def test_a_later_process_goes_on_where_the_first_stopped(target):
    with BlobAssembler(REF, target) as assembler:
        fill(assembler, [0, 3, 4, 10])
    with BlobAssembler(REF, target) as assembler:
        assert assembler.have() == (Range(0, 0), Range(3, 4), Range(10, 10))
        fill(assembler, range(11))
        assembler.finish()
    with BlobAssembler(REF, target) as again:
        assert again.complete
        assert not again.add(0, BLOB[:100])
        assert again.finish().read_bytes() == BLOB


@pytest.mark.parametrize(
    "junk", [b"", b"x" * 5000, BLOB[:150], BLOB + b"more"], ids=["empty", "junk", "torn", "longer"]
)
def test_only_good_chunks_of_an_old_part_file_count(target, junk):
    part = target.with_name("blob.part")
    part.write_bytes(junk)
    good = [
        index
        for index in range(11)
        if junk[index * 100 : index * 100 + chunk_length(REF, index)] == chunk(BLOB, REF, index)
    ]
    with BlobAssembler(REF, target) as assembler:
        assert list(indices(assembler.have())) == good
        fill(assembler, range(11))
        assert assembler.finish().read_bytes() == BLOB


def test_a_chunk_of_zeros_is_like_any_other(target):
    blob = bytes(250)
    with BlobAssembler(make_ref(blob, 100), target) as assembler:
        assert assembler.complete  # the part file's holes are those very bytes
        assert assembler.finish().read_bytes() == blob


def test_another_blob_under_the_same_name_is_replaced(target):
    target.write_bytes(b"not it")
    with BlobAssembler(REF, target) as assembler:
        fill(assembler, range(11))
        assembler.finish()
    assert target.read_bytes() == BLOB


def test_what_is_discarded_is_gone(target):
    assembler = BlobAssembler(REF, target)
    fill(assembler, range(5))
    assembler.discard()
    assert names(target.parent) == []
    with pytest.raises(InputError, match="closed"):
        fill(assembler, [5])
    with BlobAssembler(REF, target) as assembler:
        assert assembler.have() == ()


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot be written"):
        BlobAssembler(REF, tmp_path / "file" / "blob")


KILLED = """
import os, signal, sys
from pathlib import Path
from edgewise_wire.blobs import BlobAssembler, make_ref
source, target = Path(sys.argv[1]), Path(sys.argv[2])
blob = source.read_bytes()
assembler = BlobAssembler(make_ref(blob, 100), target)
for index in (7, 2, 5):
    assembler.add(index, blob[index * 100 : index * 100 + 100])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_chunk_it_had_taken(tmp_path, target):
    source = tmp_path / "source"
    source.write_bytes(BLOB)
    ended = subprocess.run([sys.executable, "-c", KILLED, source, target], check=False)
    assert ended.returncode == -signal.SIGKILL
    with BlobAssembler(REF, target) as assembler:
        assert list(indices(assembler.have())) == [2, 5, 7]
        fill(assembler, range(11))
        assert assembler.finish().read_bytes() == BLOB


def test_memory_is_one_chunk_however_long_the_blob(target):
    blob = random.Random(2).randbytes(40 * CHUNK_BYTES)
    ref = make_ref(blob)
    tracemalloc.start()
    with BlobAssembler(ref, target) as assembler:
        for index in range(chunk_count(ref)):
            assembler.add(index, memoryview(blob)[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
        assembler.finish()
    with BlobAssembler(ref, target) as assembler:
        assert assembler.complete
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * CHUNK_BYTES


def test_a_store_keeps_blobs_by_hash(tmp_path):
    store = BlobStore(tmp_path / "blobs")
    assert store.get(REF.hash) is None
    assert not store.has(REF.hash)
    source = tmp_path / "source"
    source.write_bytes(BLOB)
    assert store.put(source, 100) == store.put(BLOB, 100) == REF
    assert store.get(REF.hash) == store.path(REF.hash)
    assert store.read(REF.hash) == BLOB
    with store.assembler(REF) as assembler:
        assert assembler.complete


def test_a_store_never_hands_out_a_damaged_blob_as_checked(tmp_path):
    store = BlobStore(tmp_path)
    store.put(BLOB)
    store.path(REF.hash).write_bytes(b"rot")
    with pytest.raises(DataError, match="have changed"):
        store.read(REF.hash)
    assert not store.has(REF.hash)
    with pytest.raises(DataError, match="cannot be read"):
        store.read(REF.hash)


def test_pruning_leaves_what_is_named_and_what_is_not_the_stores(tmp_path):
    store = BlobStore(tmp_path)
    kept, dropped, half = (store.put(data) for data in (b"kept", b"dropped", b"half"))
    store.path(half.hash).unlink()
    store.assembler(half).close()
    (tmp_path / "notes.txt").write_text("mine")
    assert store.prune([kept.hash]) == 2
    assert names(tmp_path) == sorted([store.path(kept.hash).name, "notes.txt"])
    assert not store.has(dropped.hash)


@pytest.mark.parametrize("blob_hash", [b"", bytes(31), b"../../etc/passwd"])
def test_only_a_hash_names_a_file(tmp_path, blob_hash):
    with pytest.raises(InputError, match="expected 32"):
        BlobStore(tmp_path).get(blob_hash)


def test_chunks_of_zeros_are_there_from_the_start(tmp_path) -> None:
    data = bytes(30) + b"abc" + bytes(7)
    ref = make_ref(data, chunk_bytes=10)
    assert [is_zeros(ref, index) for index in range(4)] == [True, True, True, False]
    with BlobAssembler(ref, tmp_path / "blob") as assembler:
        assert assembler.missing() == (Range(3, 3),)
        assembler.add(3, chunk(data, ref, 3))
        assert assembler.finish().read_bytes() == data


def test_a_blob_of_zeros_needs_nothing(tmp_path) -> None:
    ref = make_ref(bytes(25), chunk_bytes=10)
    with BlobAssembler(ref, tmp_path / "deep" / "blob") as assembler:
        assert assembler.complete
        assert assembler.finish().read_bytes() == bytes(25)


def test_zeros_written_over_by_a_torn_write_are_mended(tmp_path) -> None:
    ref = make_ref(bytes(10) + b"0123456789", chunk_bytes=10)
    (tmp_path / "blob.part").write_bytes(b"torn" + bytes(16))
    with BlobAssembler(ref, tmp_path / "blob") as assembler:
        assert assembler.missing() == (Range(1, 1),)
        assembler.add(1, b"0123456789")
        assert assembler.finish().read_bytes() == bytes(10) + b"0123456789"


def test_blobs_finished_together_fail_alone(tmp_path) -> None:
    good, lying = make_ref(b"abcd", chunk_bytes=3), make_ref(b"efgh", chunk_bytes=3)
    lying = replace(lying, hash=bytes(32))
    assemblers = [BlobAssembler(good, tmp_path / "good"), BlobAssembler(lying, tmp_path / "lying")]
    for assembler, data in zip(assemblers, (b"abcd", b"efgh"), strict=True):
        assembler.add(0, data[:3])
        assembler.add(1, data[3:])
    with ThreadPoolExecutor() as pool:
        problems = finish_together(assemblers, pool)
    assert problems[0] is None
    assert isinstance(problems[1], ProtocolError)
    assert (tmp_path / "good").read_bytes() == b"abcd"
    assert not (tmp_path / "lying").exists()
