"""Blobs over HTTP: whole, in ranges, and nothing else."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from edgewise_coordinator.blob_server import BlobServer, parse_range, parse_where
from edgewise_wire.blobs import make_ref
from edgewise_wire.errors import ConfigError, UnavailableError

DATA = np.random.default_rng(0).bytes(300_000)
REF = make_ref(DATA)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BlobServer]:
    kept = tmp_path / "kept"
    kept.write_bytes(DATA[::-1])
    blobs = {REF.hash: (REF, DATA), make_ref(kept).hash: (make_ref(kept), kept)}
    server = BlobServer("127.0.0.1:0", blobs.get)
    yield server
    server.close()


def ask(server: BlobServer, path: str = "", method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    url = urlsplit(server.url)
    link = http.client.HTTPConnection(url.netloc, timeout=10)
    link.request(method, path or f"{url.path}/{REF.hash.hex()}", headers=headers)
    answer = link.getresponse()
    result = answer.status, answer.read(), dict(answer.headers)
    link.close()
    return result


def test_a_blob_is_served_whole_from_memory_and_from_a_file(server: BlobServer) -> None:
    status, data, headers = ask(server)
    assert (status, data) == (200, DATA)
    assert headers["ETag"] == f'"{REF.hash.hex()}"'
    other = make_ref(DATA[::-1])
    assert ask(server, f"/blob/{other.hash.hex()}")[1] == DATA[::-1]


@pytest.mark.parametrize(
    ("asked", "expected", "told"),
    [
        ("bytes=0-9", DATA[:10], "bytes 0-9/300000"),
        ("bytes=130048-260095", DATA[130048:260096], "bytes 130048-260095/300000"),
        ("bytes=299990-", DATA[-10:], "bytes 299990-299999/300000"),
        ("bytes=-7", DATA[-7:], "bytes 299993-299999/300000"),
        ("bytes=299999-400000", DATA[-1:], "bytes 299999-299999/300000"),
    ],
)
def test_a_range_is_served(server: BlobServer, asked: str, expected: bytes, told: str) -> None:
    status, data, headers = ask(server, Range=asked)
    assert (status, data, headers["Content-Range"]) == (206, expected, told)


@pytest.mark.parametrize("asked", ["bytes=300000-", "bytes=9-3", "bytes=-0"])
def test_a_range_that_is_not_there_is_refused(server: BlobServer, asked: str) -> None:
    status, data, headers = ask(server, Range=asked)
    assert (status, data, headers["Content-Range"]) == (416, b"", "bytes */300000")


@pytest.mark.parametrize("asked", ["lines=0-9", "bytes=", "bytes=-", "bytes=0-1,3-4", "bytes=" + "9" * 99 + "-"])
def test_a_range_that_is_not_understood_is_ignored(server: BlobServer, asked: str) -> None:
    assert ask(server, Range=asked)[:2] == (200, DATA)


@pytest.mark.parametrize(
    "path", ["/", "/blob/", "/blob/../../etc/passwd", "/blob/" + "0" * 64, "/blob/" + "Z" * 64, "/" + "0" * 64]
)
def test_nothing_else_can_be_asked_for(server: BlobServer, path: str) -> None:
    assert ask(server, path)[:2] == (404, b"")


def test_head_tells_the_size_and_sends_nothing(server: BlobServer) -> None:
    status, data, headers = ask(server, method="HEAD")
    assert (status, data, headers["Content-Length"]) == (200, b"", "300000")


def test_a_connection_serves_many_ranges(server: BlobServer) -> None:
    url = urlsplit(server.url)
    link = http.client.HTTPConnection(url.netloc, timeout=10)
    for first in range(0, 50, 10):
        link.request("GET", f"{url.path}/{REF.hash.hex()}", headers={"Range": f"bytes={first}-{first + 9}"})
        assert link.getresponse().read() == DATA[first : first + 10]
    link.close()


def test_a_port_in_use_and_nonsense_are_refused_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match="another address or port"):
            BlobServer(f"127.0.0.1:{port}", lambda _: None)
    for wrong in ("8080", "host", "host:port", "host:99999"):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            parse_where(wrong)
    with pytest.raises(ConfigError, match="https://"):
        BlobServer("127.0.0.1:0", lambda _: None, "ftp://x")


def test_what_devices_are_told_may_be_a_proxy() -> None:
    server = BlobServer("127.0.0.1:0", lambda _: None, "https://blobs.example/")
    assert server.url == "https://blobs.example/blob"
    server.close()
    assert parse_range(None, 5) == (0, 4)
