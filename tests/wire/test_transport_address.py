"""Broker addresses, taken apart and shown without their secrets."""

from pathlib import Path

import pytest

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.address import BrokerAddress, TlsFiles, parse_address
from edgewise_wire.transport.pacing import PublishRate


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://127.0.0.1", BrokerAddress("127.0.0.1", 1883)),
        ("mqtt://broker:1999/", BrokerAddress("broker", 1999)),
        ("mqtts://broker", BrokerAddress("broker", 8883, tls=True)),
        ("mqtt://[::1]:1883", BrokerAddress("::1", 1883)),
        ("mqtt://b?protocol=5", BrokerAddress("b", 1883, protocol="5")),
        ("mqtt://b?publishes=100&bytes=524288", BrokerAddress("b", 1883, rate=PublishRate(100, 524288))),
        ("mqtt://u:p%40s@b", BrokerAddress("b", 1883, username="u", password="p@s")),
    ],
)
def test_an_address_is_taken_apart(url: str, expected: BrokerAddress) -> None:
    assert parse_address(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1883",
        "http://b",
        "mqtt://",
        "mqtt://b:x",
        "mqtt://b:0",
        "mqtt://b:70000",
        "mqtt://b/topic",
        "mqtt://b?protocol=3.1",
        "mqtt://b?tls=no",
        "mqtt://b?publishes=many",
        "mqtt://b?bytes=0",
        "mqtt://[::1",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt://127.0.0.1:1883|MQTT version"):
        parse_address(url)


def test_no_message_shows_the_password() -> None:
    address = parse_address("mqtts://pi:secret@[::1]:1")
    assert str(address) == "mqtts://[::1]:1"
    assert "secret" not in repr(address)
    with pytest.raises(ConfigError) as caught:
        parse_address("http://pi:secret@b")
    assert "secret" not in str(caught.value)


def test_tls_files_must_be_there_and_in_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        TlsFiles(ca=tmp_path / "ca.pem").context()
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not PEM")
    with pytest.raises(ConfigError, match="go together"):
        TlsFiles(cert=wrong).context()
    with pytest.raises(ConfigError, match="expected unlocked PEM"):
        TlsFiles(ca=wrong).context()
    with pytest.raises(ConfigError, match="expected unlocked PEM"):
        TlsFiles(cert=wrong, key=wrong).context()
