"""A signature holds for one message to one device, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, BlobRef, ComeBackLater, Envelope

signing = pytest.importorskip("edgewise_wire.crypto.signing", reason="needs the package cryptography")

ASKED = Assignment(2, graph=BlobRef(b"g" * 32, 9, 9, b"c" * 32), weights=BlobRef(b"w" * 32, 9, 9, b"d" * 32), epochs=3)
MESSAGE = Envelope("home", 7, 41, ASKED)


@pytest.fixture(scope="module")
def key():  # type: ignore[no-untyped-def]
    return signing.SigningKey.generate()


def vouches(key, device: str, payload: bytes) -> bool:  # type: ignore[no-untyped-def]
    body = decode(payload).body
    assert isinstance(body, Assignment)
    return bool(key.public.vouches_for(device, payload, body.signature))


def test_a_signed_assignment_is_the_same_assignment(key) -> None:  # type: ignore[no-untyped-def]
    payload = key.seal("pi-7", MESSAGE)
    envelope = decode(payload)
    assert replace(envelope, body=replace(envelope.body, signature=b"")) == MESSAGE
    assert vouches(key, "pi-7", payload)


def test_the_key_survives_its_file_and_its_text(key) -> None:  # type: ignore[no-untyped-def]
    again = signing.SigningKey.from_pem(key.to_pem())
    assert vouches(again, "pi-7", key.seal("pi-7", MESSAGE))
    assert signing.VerifyKey.from_text(key.public.to_text()) == key.public


@pytest.mark.parametrize(
    "change",
    [
        {"fleet": "work"},
        {"round": 8},
        {"message_id": 42},
        {"body": replace(ASKED, attempt=3)},
        {"body": replace(ASKED, epochs=4)},
        {"body": replace(ASKED, learning_rate=1e9)},
        {"body": replace(ASKED, weights=BlobRef(b"x" * 32, 9, 9, b"d" * 32))},
    ],
)
def test_a_signature_moved_to_another_message_is_worth_nothing(key, change) -> None:  # type: ignore[no-untyped-def]
    signed = decode(key.seal("pi-7", MESSAGE)).body
    assert isinstance(signed, Assignment)
    forged = replace(MESSAGE, **change)
    assert isinstance(forged.body, Assignment)
    payload = encode(replace(forged, body=replace(forged.body, signature=signed.signature)))
    assert not vouches(key, "pi-7", payload)


def test_another_device_another_key_and_no_signature_are_refused(key) -> None:  # type: ignore[no-untyped-def]
    payload = key.seal("pi-7", MESSAGE)
    assert not vouches(key, "pi-8", payload)
    assert not vouches(signing.SigningKey.generate(), "pi-7", payload)
    assert not vouches(key, "pi-7", encode(MESSAGE))
    assert not vouches(key, "pi-7", encode(replace(MESSAGE, body=replace(ASKED, signature=bytes(64)))))


def test_every_changed_byte_is_noticed(key) -> None:  # type: ignore[no-untyped-def]
    payload = key.seal("pi-7", MESSAGE)
    signature = decode(payload).body.signature  # type: ignore[union-attr]
    for at in range(len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        assert not key.public.vouches_for("pi-7", changed, signature)


def test_only_assignments_and_only_whole_keys() -> None:
    with pytest.raises(ConfigError, match="only assignments"):
        signing.SigningKey.generate().seal("pi-7", Envelope("home", 0, 1, ComeBackLater()))
    with pytest.raises(ConfigError, match="base64"):
        signing.VerifyKey.from_text("not a key!")
    with pytest.raises(ConfigError, match="32 bytes"):
        signing.VerifyKey(b"short")
    with pytest.raises(ConfigError, match="Ed25519"):
        signing.SigningKey.from_pem(b"nonsense")
