"""Assignments signed by the coordinator, verified by the device (Ed25519, RFC 8032).

What is signed is the message as it stands on the wire, with 64 zero bytes where the signature goes, behind a prefix
that names the purpose and the device:

    "edgewise assignment 1\\n" + device + "\\n" + payload[:at] + 64 zero bytes + payload[at + 64:]

`at` is the one place where the signature's bytes stand in the payload. So a reader needs no encoder, and a field that a
newer coordinator appends is signed too though an older device does not know it. The payload names the fleet, the round
and the message id: a signature is of no use for another device, round, fleet or message.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edgewise_wire.codec import encode
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, Envelope

SIGNATURE_BYTES = 64
KEY_BYTES = 32
_PURPOSE = b"edgewise assignment 1\n"
_BLANK = bytes(SIGNATURE_BYTES)


@dataclass(frozen=True)
class SigningKey:
    """A coordinator's private key.

    Example:
        >>> key = SigningKey.generate()
        >>> payload = key.seal("pi-7", Envelope("home", 3, 41, Assignment(attempt=1)))
        >>> key.public.vouches_for("pi-7", payload, decode(payload).body.signature)     # doctest: +SKIP
        True
    """

    _key: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Read a key.

        Raises:
            ConfigError: if it is no unlocked Ed25519 key.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"signing key: expected an unlocked Ed25519 key in PEM ({error})") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"signing key: expected Ed25519, got {type(key).__name__}")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key unlocked; keep it in a file of mode 0600."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> VerifyKey:
        """The half that devices get."""
        return VerifyKey(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def seal(self, device: str, envelope: Envelope) -> bytes:
        """Return an assignment's envelope as bytes, signed for one device."""
        body = envelope.body
        if not isinstance(body, Assignment):
            raise ConfigError(f"only assignments are signed, got {type(body).__name__}")
        place, number = _find_place(envelope, body), 0
        while place is None:  # 64 bytes of a hash stand there twice: it has never happened
            number += 1
            place = _find_place(envelope, body, number)
        payload, at = place
        blank = payload[:at] + _BLANK + payload[at + SIGNATURE_BYTES :]
        return payload[:at] + self._key.sign(_signed(device, blank)) + payload[at + SIGNATURE_BYTES :]


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A coordinator's public key: `raw` has 32 bytes.

    Raises:
        ConfigError: if it has not.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ConfigError(f"the coordinator's key: expected {KEY_BYTES} bytes, got {len(self.raw)}")

    @classmethod
    def from_text(cls, text: str) -> VerifyKey:
        """Read a key as `to_text` writes it.

        Raises:
            ConfigError: if it is not base64 of 32 bytes.
        """
        try:
            return cls(base64.b64decode(text, validate=True))
        except ValueError as error:
            raise ConfigError(f"the coordinator's key {text[:60]!r}: expected base64 of {KEY_BYTES} bytes") from error

    def to_text(self) -> str:
        """Return the key in base64."""
        return base64.b64encode(self.raw).decode()

    def vouches_for(self, device: str, payload: bytes, signature: bytes) -> bool:
        """Return whether this coordinator signed this payload for this device; `signature` is the one inside it."""
        if len(signature) != SIGNATURE_BYTES or payload.count(signature) != 1:
            return False
        blank = payload.replace(signature, _BLANK)
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, _signed(device, blank))
        except (InvalidSignature, ValueError):
            return False
        return True


def _signed(device: str, blank: bytes) -> bytes:
    return _PURPOSE + device.encode() + b"\n" + blank  # no device's name has a line break


def _find_place(envelope: Envelope, body: Assignment, number: int = 0) -> tuple[bytes, int] | None:
    """Return the message with 64 marked bytes for a signature and where they stand, if that is one place."""
    mark = hashlib.sha512(_PURPOSE + number.to_bytes(8, "big")).digest()
    payload = encode(replace(envelope, body=replace(body, signature=mark)))
    return (payload, payload.index(mark)) if payload.count(mark) == 1 else None
