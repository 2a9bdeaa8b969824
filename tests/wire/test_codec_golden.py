"""The golden messages: byte for byte what every version and every language writes, reads and refuses."""

import json
from pathlib import Path

import pytest

from edgewise_wire.codec import decode, encode
from edgewise_wire.codec.layout import ENVELOPE
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import BODIES
from tests.support.wire_examples import corrupt, describe, foreign, good, understand

GOLDEN = Path(__file__).parent.parent / "golden"


def entries(folder):
    return json.loads((GOLDEN / folder / "index.json").read_text(encoding="utf-8"))["entries"]


def payload(folder, entry):
    return (GOLDEN / folder / f"{entry['name']}.bin").read_bytes()


MESSAGES, CORRUPT = entries("messages"), entries("corrupt")
named = pytest.mark.parametrize


@named("entry", [entry for entry in MESSAGES if entry["canonical"]], ids=lambda entry: entry["name"])
def test_a_message_is_written_as_it_always_was(entry):
    assert encode(understand(ENVELOPE, entry["message"])) == payload("messages", entry)


@named("entry", MESSAGES, ids=lambda entry: entry["name"])
def test_a_message_reads_as_it_always_did(entry):
    # Compared in words, because a NaN is not equal to itself.
    assert describe(decode(payload("messages", entry))) == entry["message"]


@named("entry", CORRUPT, ids=lambda entry: entry["name"])
def test_a_corrupt_message_is_refused_for_its_reason(entry):
    with pytest.raises(ProtocolError) as caught:
        decode(payload("corrupt", entry))
    assert str(caught.value) == entry["because"]


@named("body", BODIES, ids=lambda body: body.__name__)
def test_every_body_is_there_full_and_with_its_defaults(body):
    names = {entry["name"] for entry in MESSAGES}
    assert {f"{body.__name__}-full", f"{body.__name__}-defaults"} <= names
    latest = max(name for name in good() if name.startswith(f"{body.__name__}-full"))
    full, default = good()[latest].body, body()
    assert all(getattr(full, name) != getattr(default, name) for name in body.__dataclass_fields__)


def test_the_files_are_those_of_the_index_and_of_the_examples():
    refused, others = corrupt(), foreign()
    wanted = {"messages": good() | others, "corrupt": refused}
    for folder, listed in (("messages", MESSAGES), ("corrupt", CORRUPT)):
        names = [entry["name"] for entry in listed]
        assert sorted(path.stem for path in (GOLDEN / folder).glob("*.bin")) == sorted(names)
        assert names == list(wanted[folder])
    assert all(payload("corrupt", entry) == refused[entry["name"]] for entry in CORRUPT)
    not_ours = [entry for entry in MESSAGES if not entry["canonical"]]
    assert all(payload("messages", entry) == others[entry["name"]][0] for entry in not_ours)
