"""What the codec writes, what it refuses to write, and what it makes of every kind of damaged message."""

import math
import struct
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pytest

from edgewise_wire import messages
from edgewise_wire.codec import decode, encode
from edgewise_wire.codec.layout import DEPTH_MAX, table_layout
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.fields import U32
from edgewise_wire.messages import (
    BODIES,
    CHUNK_BYTES,
    CHUNKS_MAX,
    PAYLOAD_BYTES,
    Accept,
    Assignment,
    BlobChunk,
    BlobRef,
    BlobRequest,
    CheckIn,
    Decline,
    Envelope,
    EvaluationReport,
    Measure,
    Presence,
    Progress,
    Range,
    UploadChunk,
)

NAME = "é" * 32  # 64 bytes of UTF-8
HASH = bytes(range(32))


def envelope(body, **changes):
    return replace(Envelope("home", 3, 7, body), **changes)


def round_trip(body):
    return decode(encode(envelope(body))).body


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_a_body_of_defaults_comes_back(body):
    assert decode(encode(envelope(body()))) == envelope(body())


def test_the_envelope_comes_back():
    sent = Envelope("fleet-7", 2**64 - 1, 2**63, Presence(online=True, session=5), protocol=2)
    assert decode(encode(sent)) == sent


def test_the_union_holds_exactly_the_bodies():
    named = get_args(messages.Body) or tuple(part.strip() for part in messages.Body.split("|"))
    assert [body.__name__ for body in BODIES] == [getattr(part, "__name__", part) for part in named]


def test_the_largest_chunk_fits_a_payload_with_the_longest_names():
    chunk = UploadChunk(2**32 - 1, 2**32 - 1, bytes(CHUNK_BYTES))
    blob = BlobChunk(HASH, 2**32 - 1, bytes(CHUNK_BYTES))
    for body in (chunk, blob):
        sent = Envelope(NAME, 2**64 - 1, 2**64 - 1, body, protocol=2**16 - 1)
        assert len(encode(sent)) <= PAYLOAD_BYTES
        assert decode(encode(sent)) == sent


def test_the_largest_assignment_and_the_longest_lists_fit_a_payload():
    ref = BlobRef(HASH, CHUNK_BYTES * CHUNKS_MAX, CHUNK_BYTES, bytes(32 * CHUNKS_MAX))
    lists = (
        Assignment(graph=ref, weights=ref, encoding=NAME, signature=bytes(64)),
        BlobRequest(HASH, tuple(Range(2 * i, 2 * i) for i in range(CHUNKS_MAX))),
        EvaluationReport(1, 2, tuple(Measure(NAME, float(i)) for i in range(64))),
    )
    for body in lists:
        assert round_trip(body) == body


def test_not_a_number_and_infinity_come_back():
    assert math.isnan(round_trip(Progress(loss=math.nan)).loss)
    assert round_trip(Progress(loss=-math.inf)).loss == -math.inf
    assert math.isnan(round_trip(EvaluationReport(measures=(Measure("x", math.nan),))).measures[0].value)


def test_numpy_numbers_and_views_are_taken():
    body = UploadChunk(np.uint32(4), np.int64(5), memoryview(b"abc"))  # type: ignore[arg-type]
    assert round_trip(body) == UploadChunk(4, 5, b"abc")
    assert round_trip(Progress(loss=np.float32(0.5))).loss == 0.5  # type: ignore[arg-type]


def test_a_number_that_float32_rounds_to_its_default_is_left_out():
    assert encode(envelope(Progress(loss=1e-60))) == encode(envelope(Progress(loss=0.0)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (Accept(attempt=-1), ["Accept.attempt", "-1", "4294967295"]),
        (Accept(attempt=2**32), ["Accept.attempt", "4294967296", "4294967295"]),
        (Accept(attempt="1"), ["Accept.attempt", "'1'", "integer"]),
        (Accept(attempt=1.0), ["Accept.attempt", "1.0", "integer"]),
        (Presence(online=1), ["Presence.online", "1", "bool"]),
        (Progress(loss=1e39), ["Progress.loss", "1e+39", "float32"]),
        (Progress(loss=10**400), ["Progress.loss", "float32"]),
        (Progress(loss="x"), ["Progress.loss", "'x'", "number"]),
        (CheckIn(runtime="x" * 65), ["CheckIn.runtime", "65", "64"]),
        (CheckIn(runtime=NAME + "x"), ["CheckIn.runtime", "65", "64"]),
        (CheckIn(runtime="\ud800"), ["CheckIn.runtime", "UTF-8"]),
        (CheckIn(runtime=b"x"), ["CheckIn.runtime", "bytes", "string"]),
        (Decline(reason="x" * 513), ["Decline.reason", "513", "512"]),
        (BlobChunk(hash=bytes(31)), ["BlobChunk.hash", "31", "32"]),
        (BlobChunk(hash=bytes(33)), ["BlobChunk.hash", "33", "32"]),
        (UploadChunk(data=bytes(CHUNK_BYTES + 1)), ["UploadChunk.data", str(CHUNK_BYTES + 1), str(CHUNK_BYTES)]),
        (UploadChunk(data="x"), ["UploadChunk.data", "str", "bytes"]),
        (UploadChunk(data=3), ["UploadChunk.data", "int", "bytes"]),
        (BlobRequest(missing=(Range(),) * (CHUNKS_MAX + 1)), ["BlobRequest.missing", "1901", "1900"]),
        (BlobRequest(missing=(Measure(),)), ["BlobRequest.missing", "Measure", "Range"]),
        (BlobRequest(missing=None), ["BlobRequest.missing", "NoneType", "tuple"]),
        (Assignment(graph=None), ["Assignment.graph", "NoneType", "BlobRef"]),
        (EvaluationReport(measures=(Measure("x" * 65),)), ["Measure.name", "65", "64"]),
        (Range(), ["expected an Envelope"]),
        (None, ["expected an Envelope"]),
    ],
)
def test_what_no_peer_would_take_is_not_sent(body, words):
    with pytest.raises(InputError) as caught:
        encode(envelope(body))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_envelope_is_checked_like_its_body():
    with pytest.raises(InputError, match=r"Envelope\.fleet"):
        encode(Envelope("x" * 65, 0, 0, Accept()))
    with pytest.raises(InputError, match=r"Envelope\.protocol"):
        encode(Envelope("home", 0, 0, Accept(), protocol=65536))
    with pytest.raises(InputError, match="expected an Envelope"):
        encode(Accept())  # type: ignore[arg-type]


def test_every_truncation_is_refused():
    sent = envelope(CheckIn(5, HASH, 10, 3, "litert 2.3", "edgewise 0.1", 3, 1), fleet="a" * 63)
    payload = encode(sent)
    assert payload.endswith(b"a\0")  # no padding that nobody would miss
    for size in range(len(payload)):
        with pytest.raises(ProtocolError):
            decode(payload[:size])


def test_a_message_over_the_limit_is_refused_before_it_is_read():
    payload = encode(envelope(Accept()))
    assert decode(payload + bytes(PAYLOAD_BYTES - len(payload))) == envelope(Accept())
    with pytest.raises(ProtocolError, match="131073"):
        decode(payload + bytes(PAYLOAD_BYTES + 1 - len(payload)))


def test_other_buffers_than_bytes_are_read():
    payload = encode(envelope(Accept(4)))
    assert decode(bytearray(payload)) == decode(memoryview(payload)) == envelope(Accept(4))  # type: ignore[arg-type]


def test_an_offset_that_would_wrap_around_to_a_cycle_is_refused():
    payload = bytearray(encode(envelope(Accept(4))))
    struct.pack_into("<I", payload, 0, 2**32 - 4)
    with pytest.raises(ProtocolError, match="offset 4294967292"):
        decode(bytes(payload))


@dataclass(frozen=True)
class Matryoshka:
    """A table in itself, which the layout must refuse: the reader's depth would be the sender's to choose."""

    size: U32 = 0
    inner: "Matryoshka | None" = None


def nested(levels):
    kind, default = U32, 0
    for level in range(levels):
        fields = {"__annotations__": {"x": kind}, "x": default}
        kind = dataclass(frozen=True)(type(f"Level{level}", (), fields))
        default = kind()
    return kind


def test_a_schema_cannot_nest_without_end():
    assert table_layout(nested(DEPTH_MAX))
    with pytest.raises(TypeError, match="at most 4 tables deep"):
        table_layout(nested(DEPTH_MAX + 1))
    with pytest.raises(TypeError, match="no field kind"):
        table_layout(Matryoshka)
