"""Asking a running coordinator: answered once, refused in its own words, taken back when nobody answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise_coordinator import requests
from edgewise_coordinator.requests import ANSWER, REQUEST, RollBack, ask_roll_back
from edgewise_wire.errors import InputError, UnavailableError


def coordinator(directory: Path, act: Callable[[RollBack], int]) -> threading.Thread:
    """A loop that looks for one request, as the coordinator's does."""

    def loop() -> None:
        while (request := requests.take(directory)) is None:
            time.sleep(0.02)
        requests.answer(directory, request, lambda: act(request))

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    return thread


def test_what_is_asked_is_done_once_and_answered(tmp_path: Path) -> None:
    loop = coordinator(tmp_path, lambda request: 10 + request.version)
    assert ask_roll_back(tmp_path, 3) == 13
    loop.join()
    assert requests.take(tmp_path) is None


def test_a_refusal_comes_in_its_own_words(tmp_path: Path) -> None:
    def refuse(request: RollBack) -> int:
        raise InputError(f"version {request.version}: no such thing")

    coordinator(tmp_path, refuse)
    with pytest.raises(InputError, match="version 8: no such thing"):
        ask_roll_back(tmp_path, 8)


def test_an_answer_to_somebody_else_is_none(tmp_path: Path) -> None:
    (tmp_path / ANSWER).write_text('{"id": "another", "version": 5}')
    with pytest.raises(UnavailableError, match="did not answer"):
        ask_roll_back(tmp_path, 1, patience=0.3)


def test_what_nobody_answers_is_taken_back(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="edgewise status"):
        ask_roll_back(tmp_path, 1, patience=0.2)
    assert not (tmp_path / REQUEST).exists()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"{}", b'{"rollback": "x", "id": 1}', bytes(range(256))])
def test_a_request_that_makes_no_sense_is_dropped(tmp_path: Path, data: bytes) -> None:
    (tmp_path / REQUEST).write_bytes(data)
    assert requests.take(tmp_path) is None
    assert not (tmp_path / REQUEST).exists()
