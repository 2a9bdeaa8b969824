"""Random bytes that only a key's holder can make again: AES-256 in counter mode (NIST SP 800-38A)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from edgewise_wire.errors import ConfigError

KEY_BYTES = 32
BLOCK_BYTES = 16  # of AES; the counter goes up by one for each


def keystream(key: bytes, nonce: int, offset: int, count: int) -> bytes:
    """Return bytes `offset` to `offset + count` of the stream that (key, nonce) names.

    To whoever lacks the key they are indistinguishable from uniform ones; different nonces give independent streams.

    Args:
        key: 32 secret bytes, from `secrets.token_bytes`.
        nonce: below 2^64: the stream's number under this key.
        offset: a multiple of 16; with `count` at most 2^68 bytes, where the counter would run into the next nonce.
        count: bytes, at least 0.

    Raises:
        ConfigError: if the key is not 32 bytes long, or a number is out of its range.

    Example:
        >>> keystream(bytes(32), 0, 0, 4).hex()
        'dc95c078'
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(f"key of a keystream: expected {KEY_BYTES} bytes, got {len(key)}")
    block, rest = divmod(offset, BLOCK_BYTES)
    if rest or offset < 0 or count < 0 or not 0 <= nonce < 1 << 64 or block + count // BLOCK_BYTES >= 1 << 64:
        raise ConfigError(f"keystream: expected nonce and block below 2^64, got {nonce}, {count} bytes from {offset}")
    counter = (nonce << 64 | block).to_bytes(BLOCK_BYTES, "big")
    return Cipher(AES(key), CTR(counter)).encryptor().update(bytes(count))
