"""Texts and files sealed with one key: ChaCha20-Poly1305 (RFC 8439), quick without AES instructions (a Pi 4 has none).

    sealed = 12 random bytes (the nonce) + ciphertext, as long as the text + 16 bytes that prove both

Random nonces of 96 bits may serve 2^32 texts of one key (NIST SP 800-38D, §8.3, the same bound for the same length).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from edgewise_wire.errors import ConfigError, DataError, UnavailableError
from edgewise_wire.files import write_durably

KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_BYTES = NONCE_BYTES + 16  # by so many bytes is what is sealed longer
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Sealer:
    """Seals and opens texts for one purpose: what was sealed for another does not open.

    Example:
        >>> sealer = Sealer(bytes(32), b"example")
        >>> sealer.open(sealer.seal("see you"))
        'see you'
    """

    def __init__(self, key: bytes, purpose: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._purpose = purpose

    def seal(self, text: str) -> bytes:
        """Return the text sealed, with a nonce of its own."""
        return self.seal_bytes(text.encode())

    def seal_bytes(self, data: bytes | memoryview) -> bytes:
        """Return bytes sealed: `SEAL_BYTES` more of them."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, self._purpose)

    def open(self, sealed: bytes) -> str:
        """Return a text that was sealed.

        Raises:
            DataError: if it was sealed with another key or for another purpose, or has changed since.
        """
        try:
            return self.open_bytes(sealed).decode()
        except ValueError:
            raise DataError("sealed text: no text") from None

    def open_bytes(self, sealed: bytes) -> bytes:
        """Return bytes that were sealed.

        Raises:
            DataError: if they were sealed with another key or for another purpose, or have changed since.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._purpose)
        except (InvalidTag, ValueError):
            raise DataError("sealed: another key's, or changed on the disk") from None


def make_key(path: Path) -> bytes:
    """Return a new key, written to `path` in hexadecimal for its owner's eyes alone; a key that is there is read.

    Raises:
        ConfigError, UnavailableError: as `read_key`, or if the file cannot be made.
    """
    if path.exists():
        return read_key(path)
    key = secrets.token_bytes(KEY_BYTES)
    before = os.umask(0o077)
    try:
        write_durably(path, key.hex().encode() + b"\n")
    finally:
        os.umask(before)
    return key


def read_key(path: Path) -> bytes:
    """Return the key in a file.

    Raises:
        UnavailableError: if it cannot be read.
        ConfigError: if others than its owner may touch it, or it is no key.
    """
    try:
        mode, text = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"key {path}: cannot be read ({error.strerror}); what it sealed can be read with it alone"
        ) from error
    if mode & OTHERS:
        raise ConfigError(f"key {path}: others may use it (mode {stat.S_IMODE(mode):o}): chmod 600 {path}")
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"key {path}: expected {2 * KEY_BYTES} hexadecimal digits, got another file's {len(text)} bytes"
        )
    return key
