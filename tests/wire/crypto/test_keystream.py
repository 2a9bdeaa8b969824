import pytest

from edgewise_wire.crypto.keystream import keystream
from edgewise_wire.errors import ConfigError

# NIST SP 800-38A, F.5.5: AES-256 in counter mode; the keystream is plaintext XOR ciphertext of the first block.
KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
NONCE, BLOCK = 0xF0F1F2F3F4F5F6F7, 0xF8F9FAFBFCFDFEFF
FIRST = "0bdf7df1591716335e9a8b15c860c502"


def test_it_is_the_standards_keystream() -> None:
    assert keystream(KEY, NONCE, 16 * BLOCK, 16).hex() == FIRST


def test_a_piece_is_what_stands_at_its_place() -> None:
    whole = keystream(KEY, 1, 0, 1000)
    assert keystream(KEY, 1, 320, 100) == whole[320:420]
    assert keystream(KEY, 2, 0, 1000) != whole


@pytest.mark.parametrize(("key", "nonce", "offset"), [(b"short", 0, 0), (KEY, -1, 0), (KEY, 1 << 64, 0), (KEY, 0, 8)])
def test_what_is_out_of_range_is_refused(key: bytes, nonce: int, offset: int) -> None:
    with pytest.raises(ConfigError, match="keystream"):
        keystream(key, nonce, offset, 4)
