"""wire/schema/edgewise.fbs and what flatc makes of it say the same as the dataclasses in messages.py."""

import re
import struct
from enum import IntEnum
from pathlib import Path

import flatbuffers
import pytest
from hypothesis import HealthCheck, given, settings

from edgewise_wire import messages
from edgewise_wire.codec import decode, encode
from edgewise_wire.codec.layout import ENVELOPE, UnionType, UnionValue, Vector, table_layout
from edgewise_wire.fields import Octets, Scalar, Utf8
from edgewise_wire.generated import edgewise_generated as generated
from edgewise_wire.messages import BODIES
from tests.support.wire_strategies import envelopes

SCHEMA = (Path(__file__).parents[2] / "wire/schema/edgewise.fbs").read_text()
FIXED = settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
TYPES = {"?": "bool", "B": "ubyte", "H": "ushort", "I": "uint", "Q": "ulong", "f": "float", "d": "double"}
FLAGS = {"?": "Bool", "B": "Uint8", "H": "Uint16", "I": "Uint32", "Q": "Uint64", "f": "Float32", "d": "Float64"}
JAVA = Path(__file__).parents[2] / "android_stub/wire/src/main/java/edgewise/wire/generated"
JAVA_ADDS = {"?": "Boolean", "B": "Byte", "H": "Short", "I": "Int", "Q": "Long", "f": "Float", "d": "Double"}
JAVA_WORDS = {"false": 0.0, "true": 1.0}
TABLES = {layout.message.__name__: layout for layout in map(table_layout, (*BODIES, messages.BlobRef, messages.Range))}
TERMS = (messages.SecureTerms, messages.PrivacyTerms, messages.DiscoveryTerms)
TABLES |= {terms.__name__: table_layout(terms) for terms in TERMS}
TABLES |= {"Measure": table_layout(messages.Measure), "Delta": table_layout(messages.Delta), "Envelope": ENVELOPE}
ENUMS = {"DeviceState": messages.DeviceState, "Kind": messages.Kind}


def camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


def schema_type(kind):
    if isinstance(kind, Scalar):
        return TYPES[kind.code]
    if isinstance(kind, Octets | Utf8):
        return "[ubyte]" if isinstance(kind, Octets) else "string"
    if isinstance(kind, UnionValue):
        return "Body"
    return f"[{kind.item.message.__name__}]" if isinstance(kind, Vector) else kind.message.__name__


def schema_lines(layout):
    """Return the fields of a table as the schema should write them."""
    for slot in layout.slots:
        if not isinstance(slot.kind, UnionType):
            default = slot.default if isinstance(slot.kind, Scalar) and slot.default else 0
            yield f"{slot.name}:{schema_type(slot.kind)}" + (f" = {default}" if default else "")


def test_the_schema_has_the_tables_and_fields_of_the_dataclasses():
    found = dict(re.findall(r"^table (\w+) \{(.*?)\}", SCHEMA, flags=re.DOTALL | re.MULTILINE))
    assert found.keys() == TABLES.keys()
    for name, body in found.items():
        plain = re.sub(r":(DeviceState|Kind);", ":ubyte;", body)
        assert [line.strip() for line in plain.split(";") if line.strip()] == list(schema_lines(TABLES[name])), name


def test_the_schema_has_the_unions_numbers_and_the_identifier():
    members = re.search(r"union Body \{(.*?)\}", SCHEMA, flags=re.DOTALL).group(1)
    assert [name.strip() for name in members.split(",") if name.strip()] == [body.__name__ for body in BODIES]
    assert [getattr(generated.Body, body.__name__) for body in BODIES] == list(range(1, len(BODIES) + 1))
    assert 'file_identifier "EWM1";' in SCHEMA
    assert "root_type Envelope;" in SCHEMA


@pytest.mark.parametrize("name", ENUMS)
def test_the_enums_have_the_same_numbers(name):
    ours: type[IntEnum] = ENUMS[name]
    theirs = {key: value for key, value in vars(getattr(generated, name)).items() if not key.startswith("_")}
    assert theirs == {camel(member.name.lower()): member.value for member in ours}


def test_the_bounds_that_the_schema_tells_are_those_of_the_fields():
    told = [int(number) for number in re.findall(r"\b\d{2,}\b", SCHEMA.split("namespace")[0])]
    hashes = 32 * messages.CHUNKS_MAX
    lengths = [32, hashes, 32, 64, messages.CHUNK_BYTES]
    secure = [32, 1024, 72, messages.COHORT_MAX // 8]
    counts = [messages.CHUNKS_MAX, 64, messages.DELTAS_MAX, 512, 256, 64]
    assert told == [messages.PAYLOAD_BYTES, *lengths, *secure, *counts]


def read(layout, table):
    """Return a table as its dataclass, read by the generated classes alone."""
    values = {}
    for slot in layout.slots:
        if not isinstance(slot.kind, UnionType):
            values[slot.name] = read_value(slot, table)
    return layout.message(**values)


def read_value(slot, table):
    get = getattr(table, camel(slot.name))
    if isinstance(slot.kind, Octets):
        return bytes(map(get, range(getattr(table, f"{camel(slot.name)}Length")())))
    if isinstance(slot.kind, Utf8):
        return (get() or b"").decode()
    if isinstance(slot.kind, Vector):
        return tuple(read(slot.kind.item, get(i)) for i in range(getattr(table, f"{camel(slot.name)}Length")()))
    if isinstance(slot.kind, UnionValue):
        member = slot.kind.members[table.BodyType() - 1]
        body = getattr(generated, member.message.__name__)()
        body.Init(get().Bytes, get().Pos)
        return read(member, body)
    if isinstance(slot.kind, Scalar):
        return get()
    return read(slot.kind, get()) if get() else slot.default


def write(layout, builder, message):
    """Write a message with the generated functions alone, its fields in the order of their slots."""
    name = layout.message.__name__
    values = {slot.name: write_value(slot, name, builder, message) for slot in layout.slots}
    getattr(generated, f"{name}Start")(builder)
    for slot in layout.slots:
        if values[slot.name] is not None:
            getattr(generated, f"{name}Add{camel(slot.name)}")(builder, values[slot.name])
    return getattr(generated, f"{name}End")(builder)


def write_value(slot, name, builder, message):
    if isinstance(slot.kind, UnionType):
        return BODIES.index(type(message.body)) + 1
    value = getattr(message, slot.name)
    if isinstance(slot.kind, Scalar):
        return value
    if isinstance(slot.kind, Octets):
        return builder.CreateByteVector(value) if value else None
    if isinstance(slot.kind, Utf8):
        return builder.CreateString(value)
    if isinstance(slot.kind, Vector):
        items = [write(slot.kind.item, builder, item) for item in value]
        getattr(generated, f"{name}Start{camel(slot.name)}Vector")(builder, len(items))
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()
    layout = TABLES[type(value).__name__]
    return write(layout, builder, value)


@FIXED
@given(envelopes())
def test_what_we_write_the_generated_classes_read(message):
    payload = encode(message)
    assert generated.Envelope.EnvelopeBufferHasIdentifier(payload, 0)
    assert read(ENVELOPE, generated.Envelope.GetRootAs(payload)) == message


@FIXED
@given(envelopes())
def test_what_the_generated_classes_write_we_read(message):
    builder = flatbuffers.Builder(64)
    builder.Finish(write(ENVELOPE, builder, message), file_identifier=b"EWM1")
    assert decode(bytes(builder.Output())) == message


@pytest.mark.parametrize("name", TABLES)
def test_a_generated_table_has_our_slots_and_scalars(name):
    """Each `Add` of the generated code, called on a recording builder, goes to our slot with our type and default."""
    calls = []

    class Recorder:
        def __getattr__(self, method):
            return lambda *args: calls.append((method, *args))

    getattr(generated, f"{name}Start")(Recorder())
    assert calls.pop() == ("StartObject", len(TABLES[name].slots))
    for index, slot in enumerate(TABLES[name].slots):
        getattr(generated, f"{name}Add{camel(slot.name)}")(Recorder(), 0)
        method, at, _, default = calls.pop()
        assert at == index
        if isinstance(slot.kind, Scalar | UnionType):
            code = slot.kind.code if isinstance(slot.kind, Scalar) else "B"
            assert method == f"Prepend{FLAGS[code]}Slot"
            assert default == slot.default
            assert slot.width == struct.calcsize(f"<{code}")
        else:
            assert (method, default, slot.width) == ("PrependUOffsetTRelativeSlot", 0, 4)


@pytest.mark.parametrize("name", TABLES)
def test_the_generated_java_has_our_slots_and_defaults(name):
    source = (JAVA / f"{name}.java").read_text()
    written = re.findall(r"builder\.add(\w+)\((\d+), (?:\(\w+\) ?)?\w+, (?:\(\w+\) ?)?(\w+(?:\.\d+f?)?)\);", source)
    wanted = []
    for index, slot in enumerate(TABLES[name].slots):
        scalar = isinstance(slot.kind, Scalar | UnionType)
        code = slot.kind.code if isinstance(slot.kind, Scalar) else "B"
        default = float(slot.default) if scalar else 0.0
        wanted.append((JAVA_ADDS[code] if scalar else "Offset", index, default))
    told = [
        (kind, int(at), JAVA_WORDS[value] if value in JAVA_WORDS else float(value.rstrip("Lf")))
        for kind, at, value in written
    ]
    assert sorted(told, key=lambda field: field[1]) == wanted
    assert f"builder.startTable({len(wanted)})" in source
