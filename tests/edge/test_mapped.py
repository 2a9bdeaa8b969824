"""What counts as a mapped file, whose memory may be handed back and read again."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.mapped import let_go, mapped
from edgewise_wire.weights import Flat


@pytest.fixture
def in_a_file(tmp_path: Path) -> Flat:
    """Return eight pages of a file, as a device maps its round's weights."""
    path = tmp_path / "weights"
    path.write_bytes(np.arange(8192, dtype=np.float32).tobytes())
    return np.asarray(np.memmap(path, np.float32, "r"))


@pytest.fixture
def shared() -> Iterator[Flat]:
    """Return an array in shared memory, as the simulator's workers get a round's weights."""
    memory = SharedMemory(create=True, size=4 * 8192)
    array: Flat = np.ndarray((8192,), np.float32, buffer=memory.buf)
    yield array
    del array
    memory.unlink()


def test_a_view_of_a_file_is_mapped_and_reads_the_same_after_it_was_let_go(in_a_file: Flat) -> None:
    part = in_a_file[100:200].reshape(10, 10)
    assert mapped(in_a_file)
    assert mapped(part)
    let_go(part)
    assert np.array_equal(part.reshape(-1), np.arange(100, 200, dtype=np.float32))


def test_shared_memory_is_not_a_file_so_training_in_the_simulator_hands_nothing_back(shared: Flat) -> None:
    assert not mapped(shared)
    assert not mapped(shared[10:20])


def test_an_array_of_its_own_is_not_mapped() -> None:
    assert not mapped(np.zeros(3, np.float32))
