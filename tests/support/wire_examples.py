"""The messages of tests/golden: good ones that every language must read and write, corrupt ones that all must refuse.

`scripts/generate-golden-messages` writes them to files, which are the contract; this is where they come from.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable
from typing import Any

import flatbuffers

from edgewise_wire.codec import encode
from edgewise_wire.codec.layout import ENVELOPE, Kind, TableLayout, UnionType, UnionValue, Vector, table_layout
from edgewise_wire.fields import Octets, Scalar, Utf8
from edgewise_wire.messages import (
    BODIES,
    CHUNK_BYTES,
    CHUNKS_MAX,
    PAYLOAD_BYTES,
    Abort,
    Accept,
    Assignment,
    BlobChunk,
    BlobRef,
    BlobRequest,
    CheckIn,
    ChunkAck,
    ComeBackLater,
    Decline,
    Delta,
    DiscoveryTerms,
    Envelope,
    EvaluationReport,
    Measure,
    Presence,
    PrivacyTerms,
    Progress,
    Range,
    ReportAck,
    SecureConsent,
    SecureInbox,
    SecureKeys,
    SecurePledge,
    SecureQuorum,
    SecureReveal,
    SecureRoster,
    SecureShares,
    SecureSurvivors,
    SecureTerms,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)

HASH = bytes(range(1, 33))
GRAPH = BlobRef(HASH, 300_000, 120_000, bytes(range(96)))
WEIGHTS = BlobRef(bytes(range(100, 132)), 260_096, CHUNK_BYTES, bytes(range(64)))
RANGES = (Range(0, 3), Range(5, 5), Range(7, 1899))

FULL = (
    Presence(online=True, session=2**64 - 1),
    CheckIn(2**63 + 1, HASH, 412, 103, "ai-edge-litert 2.3", "edgewise 0.1", 41, 2),
    Accept(attempt=3),
    Decline(attempt=3, reason="the battery is at 12 %"),
    Progress(3, 5, 7, 100, 6.25),
    UploadRequest(3, WEIGHTS, 412, 5.5, 26, 1.75, "float32"),
    UploadChunk(3, 1, bytes(range(256)) * 2),
    EvaluationReport(3, 103, (Measure("loss_sum", 551.125), Measure("weight_sum", 103.0), Measure("top1", 13.0))),
    BlobRequest(HASH, RANGES),
    Assignment(3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "float32", bytes(range(64))),
    UploadGrant(3, 8, RANGES),
    ChunkAck(3, RANGES),
    ReportAck(3, accepted=True, reason="counted", come_back=3600.0),
    Abort(3, "the round was abandoned", 30.0),
    ComeBackLater(45.5, "enough devices already"),
    BlobChunk(HASH, 1899, b"\x00\xff" * 33 + b"\x01"),
    SecureKeys(3, HASH, HASH[::-1], bytes(range(200, 232)), bytes(range(256)) * 2, bytes(range(71))),
    SecureShares(3, bytes(range(164))),
    SecurePledge(3, bytes(range(64, 128))),
    SecureConsent(3, bytes(range(64))),
    SecureReveal(3, b"\x05\x80", bytes(range(99))),
    SecureRoster(3, GRAPH),
    SecureInbox(3, b"\xff" * 192, bytes(range(164))),
    SecureSurvivors(3, b"\xfe\x7f", bytes(range(128))),
    SecureQuorum(3, b"\x07", bytes(range(192))),
)

LATER = {
    "Assignment-full-2": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "float32", bytes(range(64)),
        "scaffold", WEIGHTS, 40,
    ),
    "Assignment-full-3": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "eden-2", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"), Delta(b"", GRAPH, "float16")),
    ),
    "Assignment-full-4": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "eden-2", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"),), "https://blobs.example:8443/blob",
    ),
    "Assignment-full-5": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "masked", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"),), "https://blobs.example:8443/blob",
        SecureTerms(1024, 600, 16, 0.75, 400, 2.5e6, 0.5),
    ),
    "Assignment-full-6": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "masked", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"),), "https://blobs.example:8443/blob",
        SecureTerms(1024, 600, 16, 0.75, 400, 2.5e6, 0.5), "a7",
    ),
    "Assignment-full-7": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "masked", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"),), "https://blobs.example:8443/blob",
        SecureTerms(1024, 600, 16, 0.75, 400, 2.5e6, 0.5), "a7",
        PrivacyTerms("banded-400", 1.411, 2**63, 484, True, 2**64 - 3), DiscoveryTerms(7, 32),
    ),
    "Assignment-full-8": Assignment(
        3, 1, GRAPH, WEIGHTS, 12, 2, 0.5, 500, 2**64 - 2, 90.0, 0.125, "masked", bytes(range(64)),
        "scaffold", WEIGHTS, 40, (Delta(HASH, WEIGHTS, "eden-4"),), "https://blobs.example:8443/blob",
        SecureTerms(1024, 600, 16, 0.75, 400, 2.5e6, 0.5), "a7",
        PrivacyTerms("skellam", 1.411, 2**63, 484, True, 2**64 - 3, 3), DiscoveryTerms(7, 32),
    ),
    "UploadRequest-full-2": UploadRequest(3, WEIGHTS, 412, 5.5, 26, 1.75, "clip-0.5", True),
}  # fmt: skip
"""Bodies that have got further fields: a new file each time, and those of before stay."""


def _special() -> dict[str, Envelope]:
    """Messages at the edges of what a field can hold."""
    letters = "na\u00efve \u4f60\u597d \U0001f600"
    return {
        "envelope-extremes": Envelope("f" * 64, 2**64 - 1, 2**64 - 1, Accept(2**32 - 1), protocol=2**16 - 1),
        "envelope-absent": Envelope("", 0, 0, Accept()),
        "unicode": Envelope("home", 1, 2, Decline(1, letters)),
        "unicode-longest": Envelope("\u00e9" * 32, 1, 2, Decline(1, "\U0001f600" * 128)),
        "not-a-number": Envelope("home", 1, 2, Progress(1, 5, 1, 2, math.nan)),
        "infinite": Envelope("home", 1, 2, EvaluationReport(1, 1, (Measure("a", math.inf), Measure("b", -math.inf)))),
        "same-table-twice": Envelope("home", 1, 2, Assignment(1, 0, GRAPH, GRAPH)),
        "half-a-reference": Envelope("home", 1, 2, UploadRequest(1, BlobRef(size=9))),
        "most-measures": Envelope("home", 1, 2, EvaluationReport(1, 1, tuple(Measure(f"m{i}", i) for i in range(64)))),
    }


def good() -> dict[str, Envelope]:
    """Return by name the messages that a writer must turn into exactly the golden bytes."""
    messages = _special()
    for full in FULL:
        name = type(full).__name__
        messages[f"{name}-full"] = Envelope("home", 41, 1000 + BODIES.index(type(full)), full)
        messages[f"{name}-defaults"] = Envelope("home", 41, 7, type(full)())
    messages |= {name: Envelope("home", 41, 7, body) for name, body in LATER.items()}
    return dict(sorted(messages.items()))


def foreign() -> dict[str, tuple[bytes, Envelope]]:
    """Return by name bytes that our writer would not write but every reader must read, and what they say."""
    check_in = Envelope("home", 41, 7, FULL[1])
    return {
        "foreign-unknown-slots": (_newer(), Envelope("home", 0, 7, Accept(3))),
        "foreign-written-defaults": (_written_defaults(), Envelope("home", 0, 0, Accept())),
        "foreign-trailing-bytes": (encode(check_in) + b"\xff" * 40, check_in),
        "foreign-empty-vectors": (_empty_vectors(), Envelope("home", 0, 0, Decline())),
    }


def _newer() -> bytes:
    """Return what a later version might send: more slots than we know, one of them nested 200 tables deep."""
    builder = flatbuffers.Builder(64)
    deep = 0
    for _ in range(200):
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, deep, 0)
        deep = builder.EndObject()
    fleet = builder.CreateString("home")
    builder.StartObject(4)
    builder.PrependUint64Slot(3, 99, 0)
    builder.PrependUOffsetTRelativeSlot(2, deep, 0)
    builder.PrependUint32Slot(0, 3, 0)
    body = builder.EndObject()
    return _envelope(builder, fleet, 3, body, message_id=7, extra=deep)


def _written_defaults() -> bytes:
    builder = flatbuffers.Builder(64)
    builder.ForceDefaults(True)
    fleet = builder.CreateString("home")
    builder.StartObject(1)
    builder.PrependUint32Slot(0, 0, 0)
    return _envelope(builder, fleet, 3, builder.EndObject())


def _empty_vectors() -> bytes:
    builder = flatbuffers.Builder(64)
    fleet, reason = builder.CreateString("home"), builder.CreateString("")
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, reason, 0)
    return _envelope(builder, fleet, 4, builder.EndObject())


def _envelope(builder: Any, fleet: int, number: int, body: int, message_id: int = 0, extra: int = 0) -> bytes:
    """Finish an envelope with a slot that no version of protocol 1 knows, its fields in an order of their own."""
    builder.StartObject(7)
    builder.PrependUint8Slot(3, number, 0)
    builder.PrependUOffsetTRelativeSlot(6, extra, 0)
    builder.PrependUint64Slot(2, message_id, 0)
    builder.PrependUOffsetTRelativeSlot(4, body, 0)
    builder.PrependUOffsetTRelativeSlot(0, fleet, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"EWM1")
    return bytes(builder.Output())


class Patch:
    """A good message to be damaged in one place; finds its way without checking anything."""

    def __init__(self, body: Any, fleet: str = "home") -> None:
        self.bytes = bytearray(encode(Envelope(fleet, 41, 7, body)))
        self.root = self.target(0)
        self.body = self.target(self.field(self.root, 4))

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.bytes, at)[0])

    def target(self, at: int) -> int:
        """Return where the offset at `at` points."""
        return at + self.u32(at)

    def vtable(self, table: int) -> int:
        return table - int(struct.unpack_from("<i", self.bytes, table)[0])

    def slot(self, table: int, slot: int) -> int:
        """Return where the vtable says where a field is."""
        return self.vtable(table) + 4 + 2 * slot

    def field(self, table: int, slot: int) -> int:
        """Return where a field is."""
        return table + int(struct.unpack_from("<H", self.bytes, self.slot(table, slot))[0])

    def put(self, form: str, at: int, value: int) -> bytes:
        """Return the message with one number replaced."""
        struct.pack_into(f"<{form}", self.bytes, at, value)
        return bytes(self.bytes)

    def splice(self, at: int, data: bytes) -> bytes:
        """Return the message with some bytes replaced."""
        self.bytes[at : at + len(data)] = data
        return bytes(self.bytes)


def corrupt() -> dict[str, bytes]:
    """Return by name the bytes that every reader must refuse."""
    cases: dict[str, bytes] = {}
    for part in (_frames, _offsets, _vtables, _vectors, _strings, _lists, _unions):
        made = part()
        assert not cases.keys() & made.keys()
        cases |= made
    return cases


def _frames() -> dict[str, bytes]:
    whole = encode(Envelope("f" * 63, 41, 7, FULL[1]))
    cases = {f"truncated-{size}": whole[:size] for size in (0, 4, 7, 8, 12, 40, len(whole) // 2, len(whole) - 1)}
    return cases | {
        "identifier-other": whole[:4] + b"EWM2" + whole[8:],
        "identifier-none": whole[:4] + bytes(4) + whole[8:],
        "zeros": bytes(64),
        "ones": b"\xff" * 64,
        "too-long": whole + bytes(PAYLOAD_BYTES + 1 - len(whole)),
    }


OFFSETS = {"zero": 0, "in-itself": 3, "end": 2**20, "cycle": 2**32 - 4, "sign": 2**31, "largest": 2**31 - 1}


def _offsets() -> dict[str, bytes]:
    """Every place that holds an offset, with every kind of wrong one; `cycle` points back if 32 bits wrap around."""

    def places(patch: Patch) -> dict[str, int]:
        return {
            "root": 0,
            "string": patch.field(patch.root, 0),
            "body": patch.field(patch.root, 4),
            "table": patch.field(patch.body, 2),
            "octets": patch.field(patch.body, 12),
            "nested-octets": patch.field(patch.target(patch.field(patch.body, 2)), 3),
        }

    assignment = FULL[9]
    cases = {
        f"offset-{place}-{name}": (patch := Patch(assignment)).put("I", places(patch)[place], value)
        for place in places(Patch(assignment))
        for name, value in OFFSETS.items()
    }
    back = Patch(assignment)
    at = back.field(back.root, 4)
    cases["offset-body-to-envelope"] = back.put("I", at, 2**32 + back.root - at)
    last = Patch(Accept(3))
    cases["offset-to-last-bytes"] = last.put("I", 0, len(last.bytes) - 3)
    return cases


def _vtables() -> dict[str, bytes]:
    cases = {}

    def case(name: str, change: Callable[[Patch, int], bytes]) -> None:
        for place in ("root", "body"):
            patch = Patch(FULL[1])
            cases[f"{name}-{place}"] = change(patch, getattr(patch, place))

    case("vtable-before-message", lambda patch, table: patch.put("i", table, table + 2))
    case("vtable-behind-message", lambda patch, table: patch.put("i", table, table - len(patch.bytes) + 3))
    case("vtable-least", lambda patch, table: patch.put("i", table, -(2**31)))
    case("vtable-largest", lambda patch, table: patch.put("i", table, 2**31 - 1))
    case("vtable-size-0", lambda patch, table: patch.put("H", patch.vtable(table), 0))
    case("vtable-size-2", lambda patch, table: patch.put("H", patch.vtable(table), 2))
    case("vtable-size-odd", lambda patch, table: patch.put("H", patch.vtable(table), 9))
    case("vtable-size-65534", lambda patch, table: patch.put("H", patch.vtable(table), 65534))
    case("table-size-0", lambda patch, table: patch.put("H", patch.vtable(table) + 2, 0))
    case("table-size-3", lambda patch, table: patch.put("H", patch.vtable(table) + 2, 3))
    case("table-size-4-with-fields", lambda patch, table: patch.put("H", patch.vtable(table) + 2, 4))
    case("table-size-65535", lambda patch, table: patch.put("H", patch.vtable(table) + 2, 65535))
    case("field-over-vtable-offset", lambda patch, table: patch.put("H", patch.slot(table, 0), 3))
    case("field-behind-table", lambda patch, table: patch.put("H", patch.slot(table, 0), 65535))
    case("field-half-outside", lambda patch, table: patch.put("H", patch.slot(table, 2), _inline(patch, table) - 3))
    return cases


def _inline(patch: Patch, table: int) -> int:
    return int(struct.unpack_from("<H", patch.bytes, patch.vtable(table) + 2)[0])


COUNTS = {"wraps-times-4": 2**30 + 1, "sign": 2**31, "largest": 2**32 - 1}


def _vectors() -> dict[str, bytes]:
    cases: dict[str, bytes] = {}
    places = ("data", FULL[6], 2, 4000), ("ranges", FULL[8], 1, 500), ("string", FULL[3], 1, 500)
    for place, body, slot, allowed in places:
        for name, count in {"behind-message": allowed, **COUNTS}.items():
            patch = Patch(body)
            cases[f"count-{place}-{name}"] = patch.put("I", patch.target(patch.field(patch.body, slot)), count)
    for count in (0, 31, 33):
        patch = Patch(FULL[15])
        cases[f"hash-of-{count}-bytes"] = patch.put("I", patch.target(patch.field(patch.body, 0)), count)
    for name, body, slot, most in (
        ("graph-hash", FULL[1], 1, 32),
        ("signature", FULL[9], 12, 64),
        ("data", FULL[6], 2, CHUNK_BYTES),
        ("reason", FULL[3], 1, 512),
        ("runtime", FULL[1], 4, 64),
    ):
        patch = Patch(body)
        # Enough bytes follow, so that only the field's own bound is broken.
        cases[f"bound-{name}"] = patch.put("I", patch.target(patch.field(patch.body, slot)), most + 1) + bytes(most + 9)
    return cases


def _strings() -> dict[str, bytes]:
    wrong = {
        "continuation": b"\x80",
        "overlong": b"\xc0\x80",
        "surrogate": b"\xed\xa0\x80",
        "beyond-unicode": b"\xf4\x90\x80\x80",
        "cut": b"fleet\xc3",
        "latin-1": b"caf\xe9",
    }
    cases = {}
    for name, data in wrong.items():
        patch = Patch(Accept(3), fleet="x" * len(data))
        cases[f"utf8-{name}"] = patch.splice(patch.target(patch.field(patch.root, 0)) + 4, data)
    patch = Patch(Accept(3))
    cases["string-without-zero"] = patch.splice(patch.target(patch.field(patch.root, 0)) + 8, b"x")
    ends = Patch(Accept(3), fleet="f" * 63)
    cases["string-to-the-last-byte"] = ends.put("I", ends.target(ends.field(ends.root, 0)), 64)
    for value in (2, 255):
        patch = Patch(FULL[0])
        cases[f"boolean-{value}"] = patch.put("B", patch.field(patch.body, 0), value)
    return cases


def _lists() -> dict[str, bytes]:
    cases = {}
    for name, value in OFFSETS.items():
        patch = Patch(FULL[8])
        vector = patch.target(patch.field(patch.body, 1))
        cases[f"element-{name}"] = patch.put("I", vector + 8, value)
    cases["elements-1901"] = _shared_elements(BlobRequest, 9, CHUNKS_MAX + 1)
    cases["elements-65"] = _shared_elements(EvaluationReport, 8, 65)
    return cases


def _shared_elements(body: type, number: int, count: int) -> bytes:
    """Return a vector whose elements are all the same table: many objects for few bytes."""
    builder = flatbuffers.Builder(64)
    builder.StartObject(1)
    item = builder.EndObject()
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(item)
    vector = builder.EndVector()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(1 if body is BlobRequest else 2, vector, 0)
    table = builder.EndObject()
    return _envelope(builder, builder.CreateString("home"), number, table)


def _unions() -> dict[str, bytes]:
    cases = {}
    for number in (0, len(BODIES) + 1, 255):
        patch = Patch(Accept(3))
        cases[f"union-number-{number}"] = patch.put("B", patch.field(patch.root, 3), number)
    patch = Patch(Accept(3))
    cases["union-without-value"] = patch.put("H", patch.slot(patch.root, 4), 0)
    patch = Patch(Accept(3))
    cases["union-without-number"] = patch.put("H", patch.slot(patch.root, 3), 0)
    patch = Patch(Accept(3))
    patch.put("H", patch.slot(patch.root, 3), 0)
    cases["union-absent"] = patch.put("H", patch.slot(patch.root, 4), 0)
    # An upload chunk (attempt 3) read as a blob chunk: the attempt becomes the offset of a hash.
    patch = Patch(FULL[6])
    cases["union-number-of-another"] = patch.put("B", patch.field(patch.root, 3), 16)
    return cases


def describe(message: Any) -> dict[str, Any]:
    """Return a message as JSON can hold it: bytes in hexadecimal, 64-bit integers and NaN, Infinity as strings."""
    layout = ENVELOPE if type(message) is Envelope else table_layout(type(message))
    said: dict[str, Any] = {}
    for slot in layout.slots:
        if isinstance(slot.kind, UnionType):
            said[slot.name] = type(message.body).__name__
        else:
            said[slot.name] = _said(slot.kind, getattr(message, slot.name))
    return said


def _said(kind: Kind, value: Any) -> Any:
    if isinstance(kind, Octets):
        return value.hex()
    if isinstance(kind, Vector):
        return [describe(item) for item in value]
    if isinstance(kind, Scalar):
        if kind.code == "Q":
            return str(value)
        if kind.code in "fd" and not math.isfinite(value):
            return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        return float(value) if kind.code in "fd" else value
    return value if isinstance(kind, Utf8) else describe(value)


def understand(layout: TableLayout, said: dict[str, Any]) -> Any:
    """Return the message that `describe` put into words."""
    values = {}
    for slot in layout.slots:
        if isinstance(slot.kind, UnionValue):
            (member,) = (one for one in slot.kind.members if one.message.__name__ == said[f"{slot.name}_type"])
            values[slot.name] = understand(member, said[slot.name])
        elif not isinstance(slot.kind, UnionType):
            values[slot.name] = _understood(slot.kind, said[slot.name])
    assert values.keys() == {field.name for field in dataclasses.fields(layout.message)}
    return layout.message(**values)


def _understood(kind: Kind, said: Any) -> Any:
    if isinstance(kind, Octets):
        return bytes.fromhex(said)
    if isinstance(kind, Vector):
        return tuple(understand(kind.item, item) for item in said)
    if isinstance(kind, Scalar):
        return {"?": bool, "f": float, "d": float}.get(kind.code, int)(said)
    return understand(kind, said) if isinstance(kind, TableLayout) else said
