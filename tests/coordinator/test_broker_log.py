"""Mosquitto's lines, as 2.0.11 prints them, and what an operator is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_coordinator.broker_log import BrokerWatch, Refusal, RefusalCounts, RefusalWriter

T = "2026-01-01T00:00:00: "


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["OpenSSL Error[0]: error:0A0000C7:SSL routines::peer did not return a certificate"], "no certificate"),
        (["OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed"], "certificate not accepted"),
        (
            ["Client connection from 10.0.0.9 failed: error:0A000086:SSL routines::certificate verify failed."],
            "certificate not accepted",
        ),
        (["OpenSSL Error[0]: error:0A00009C:SSL routines::http request"], "no TLS handshake"),
        (["OpenSSL Error[0]: error:0A000126:SSL routines::unexpected eof while reading"], None),
        (
            ["Denied PUBLISH from a (d0, q1, r0, m3, 'ew/1/h/device/b/up', ... (5 bytes))"],
            "published on another's topic",
        ),
        (["Received SUBSCRIBE from a", "\tew/1/h/device/b/down (QoS 1)"], "asked for another's topic"),
        (["Received SUBSCRIBE from a", "\tew/1/h/device/a/down (QoS 1)"], None),
        (["Received SUBSCRIBE from a", f"\tew/1/h/blob/{'0' * 64}/3 (QoS 1)"], None),
        (["Received SUBSCRIBE from _coordinator", "\tew/1/h/device/+/up (QoS 1)"], None),
        (["Client a already connected, closing old connection."], "session taken over"),
        (["Client a disconnected: Protocol error."], "broken protocol"),
        (["Client a disconnected due to oversize packet."], "broken protocol"),
        (["Client <unknown> disconnected: Protocol error."], None),
        (["Client a disconnected."], None),
        (["Received PUBLISH from a (d0, q1, r0, m2, 'Denied PUBLISH from b', ... (3 bytes))"], None),
    ],
)
def test_each_line_is_told_as_what_it_is(lines: list[str], expected: str | None) -> None:
    watch = BrokerWatch("h")
    found = [watch.read(T + line) for line in lines]
    assert (found[-1].kind if found[-1] else None) == expected
    assert found[:-1] == [None] * (len(lines) - 1)


def test_a_failed_handshake_is_told_with_the_address_that_knocked() -> None:
    watch = BrokerWatch("h")
    watch.read(T + "New connection from 10.0.0.9:55055 on port 8883.")
    found = watch.read(T + "OpenSSL Error[0]: error:0A0000C7:SSL routines::peer did not return a certificate")
    assert found == Refusal("no certificate", "10.0.0.9")


def test_a_topic_cannot_write_lines_of_its_own_into_the_log() -> None:
    found = BrokerWatch("h").read(T + "Denied PUBLISH from a (d0, q1, r0, m3, 'x\x1b[2Jy', ... (5 bytes))")
    assert found is not None
    assert found.about == "a on x?[2Jy"


def test_refusals_are_counted_as_they_come_also_over_a_full_log(tmp_path: Path) -> None:
    path = tmp_path / "refusals.log"
    writer, counts = RefusalWriter(path, most=200), RefusalCounts(path)
    assert not counts.read()
    for number in range(30):
        writer.write("t", Refusal("no certificate", f"address {number}"))
        assert counts.read() == {"no certificate": number + 1}
    assert path.stat().st_size < 300
    path.write_text(path.read_text() + "t half a li")
    assert counts.read() == {"no certificate": 30}
