"""What was learned from the owner's text is at rest as the text is: sealed with its key, each file for its place."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from edgewise.commands.device.encryption import encrypt
from edgewise_edge.control import RESIDUALS, Controls
from edgewise_edge.home import Home
from edgewise_edge.learned import Learned
from edgewise_edge.store import ExampleStore
from edgewise_wire.errors import DataError, UnavailableError

pytest.importorskip("cryptography", reason="cryptography is not installed here (extra device)")

VALUES = np.arange(50, dtype=np.float32) / 7
PLAIN = VALUES.tobytes()[8:60]


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    with ExampleStore(made.examples) as store:
        store.add("see you")
    (made.path / "personal").mkdir()
    return made


@pytest.fixture
def weights(home):
    return home.path / "personal" / "weights"


@pytest.fixture
def encrypted(home):
    with ExampleStore(home.examples) as store:
        store.encrypt(home.key)
    return home


def on_disk(home: Home) -> bytes:
    return b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())


def command(home: Home, *arguments: str) -> None:
    done = CliRunner().invoke(encrypt, [*arguments, "--home", str(home.path)])
    assert done.exit_code == 0, done.output


def test_without_encryption_the_file_is_the_numbers(home, weights):
    Learned(home).write(weights, VALUES)
    assert weights.read_bytes() == VALUES.tobytes()
    np.testing.assert_array_equal(Learned(home).read(weights, 50), VALUES)
    assert Learned(home).read(weights, 49) is None
    assert Learned(home).settle() == 0


def test_with_encryption_no_number_is_plain_and_all_come_back(encrypted, weights):
    Learned(encrypted).write(weights, VALUES)
    assert PLAIN not in on_disk(encrypted)
    np.testing.assert_array_equal(Learned(encrypted).read(weights, 50), VALUES)
    assert Learned(encrypted).read(weights, 51) is None


def test_the_command_seals_what_is_there_overwrites_it_and_goes_back(home, weights):
    Learned(home).write(weights, VALUES)
    Controls(home, b"g" * 32, RESIDUALS).save(3, VALUES, 0)
    left = weights.with_name(".weights.part")  # of a power cut
    left.write_bytes(PLAIN)
    with weights.open("rb") as old:
        command(home)
        assert old.read().strip(b"\0") == b""
    assert PLAIN not in on_disk(home)
    assert not left.exists()
    np.testing.assert_array_equal(Controls(home, b"g" * 32, RESIDUALS).load(3, 50), VALUES)
    command(home, "--off")
    assert weights.read_bytes() == VALUES.tobytes()
    np.testing.assert_array_equal(Controls(home, b"g" * 32, RESIDUALS).load(3, 50), VALUES)


def test_a_process_that_ends_between_the_two_leaves_files_that_are_read_and_sealed_later(home, weights):
    Learned(home).write(weights, VALUES)
    with ExampleStore(home.examples) as store:
        store.encrypt(home.key)
    np.testing.assert_array_equal(Learned(home).read(weights, 50), VALUES)
    assert Learned(home).settle() == 1
    assert PLAIN not in on_disk(home)
    assert Learned(home).settle() == 0


def test_a_file_in_another_s_place_or_with_another_byte_is_refused(encrypted, weights):
    files = Learned(encrypted)
    files.write(weights, VALUES)
    other = weights.with_name("others")
    other.write_bytes(weights.read_bytes())
    with pytest.raises(DataError, match="others: has changed on the disk"):
        files.read(other, 50)
    data = bytearray(weights.read_bytes())
    data[40] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DataError, match="weights: has changed on the disk"):
        files.read(weights, 50)


def test_a_residual_that_has_changed_counts_as_none(encrypted):
    kept = Controls(encrypted, b"g" * 32, RESIDUALS)
    kept.save(3, VALUES, 0)
    [path] = (encrypted.path / "residuals").rglob("3")
    assert len(path.read_bytes()) % 4 == 1
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert kept.load(3, 50) is None


def test_without_the_key_one_line_names_it(encrypted, weights):
    Learned(encrypted).write(weights, VALUES)
    encrypted.key.unlink()
    for act in (lambda: Learned(encrypted).read(weights, 50), lambda: Learned(encrypted).write(weights, VALUES)):
        with pytest.raises(UnavailableError, match=r"examples\.key: cannot be read") as told:
            act()
        assert "\n" not in str(told.value)
