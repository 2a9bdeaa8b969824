"""What secure aggregation is built from: X25519, HKDF-SHA256, ChaCha20-Poly1305, ChaCha20 and Ed25519.

ChaCha20 and not AES: a Raspberry Pi 4 has no AES instructions and a phone's Java has both. Nonces are zero throughout,
since every key is derived for one message or one mask and never used again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray

from edgewise_wire.errors import ProtocolError

KEY_BYTES = 32
SIGNATURE_BYTES = 64
TAG_BYTES = 16
BLOCK = 1 << 16  # words of key stream made at once: 256 KiB, which a core's L2 cache holds
_AEAD_NONCE, _STREAM_NONCE = bytes(12), bytes(16)
_ZEROS = np.zeros(BLOCK, np.uint32)


def derive(secret: bytes, purpose: bytes, salt: bytes = b"", length: int = KEY_BYTES) -> bytes:
    """Return `length` bytes for one purpose (HKDF with SHA-256, RFC 5869).

    Example:
        >>> derive(b"s", b"mask") == derive(b"s", b"share")
        False
    """
    return HKDF(SHA256(), length, salt or None, purpose).derive(secret)


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """One side of X25519 (RFC 7748); any 32 bytes are a private key.

    Example:
        >>> a, b = AgreementKey(bytes(31) + b"a"), AgreementKey(bytes(31) + b"b")
        >>> a.agree(b.public) == b.agree(a.public)
        True
    """

    private: bytes

    @property
    def public(self) -> bytes:
        """The half to advertise."""
        key = X25519PrivateKey.from_private_bytes(self.private).public_key()
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def agree(self, public: bytes) -> bytes:
        """Return the secret shared with the holder of `public`.

        Raises:
            ProtocolError: if that is no key (a point of small order among them).
        """
        try:
            theirs = X25519PublicKey.from_public_bytes(public)
            found = X25519PrivateKey.from_private_bytes(self.private).exchange(theirs)
        except ValueError as error:
            raise ProtocolError(f"X25519 key {public[:8].hex()}…: not one that a secret can be agreed with") from error
        return found


@dataclass(frozen=True, slots=True)
class RoundSigner:
    """A key that signs what a device says in one round (Ed25519); its seed has 32 bytes."""

    seed: bytes

    @property
    def public(self) -> bytes:
        """The half to advertise."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data: bytes) -> bytes:
        """Return a signature of 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)


def signed_by(public: bytes, data: bytes, signature: bytes) -> bool:
    """Return whether the holder of an Ed25519 key signed these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(key: bytes, data: bytes, about: bytes) -> bytes:
    """Return `data` encrypted, 16 bytes longer; the key must never be used again."""
    return ChaCha20Poly1305(key).encrypt(_AEAD_NONCE, data, about)


def unseal(key: bytes, data: bytes, about: bytes) -> bytes | None:
    """Return what was sealed, or `None` if it was not with this key, about this."""
    try:
        return ChaCha20Poly1305(key).decrypt(_AEAD_NONCE, data, about)
    except InvalidTag:
        return None


def key_stream(key: bytes, length: int) -> bytes:
    """Return the first `length` bytes of a key's ChaCha20 stream."""
    return Cipher(ChaCha20(key, _STREAM_NONCE), None).encryptor().update(bytes(length))


class MaskAdder:
    """Adds masks to a vector modulo 2^32: the key stream of ChaCha20 as little-endian words, a word an element.

    The limit is the cipher: adding takes a third of the time that the stream takes.
    """

    def __init__(self) -> None:
        self._stream = np.empty(BLOCK, "<u4")

    def add(self, total: NDArray[np.uint32], key: bytes, *, sign: int = 1) -> None:
        """Add (or, with `sign` −1, subtract) a key's mask to `total` in place."""
        encryptor = Cipher(ChaCha20(key, _STREAM_NONCE), None).encryptor()
        combine = np.add if sign > 0 else np.subtract
        for start in range(0, len(total), BLOCK):
            part = total[start : start + BLOCK]
            stream = self._stream[: len(part)]
            encryptor.update_into(_ZEROS[: len(part)].data.cast("B"), stream.data.cast("B"))
            combine(part, stream, out=part)
