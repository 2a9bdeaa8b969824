"""Links over TLS to Mosquitto, with certificates made for the test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.brokers.mosquitto import Mosquitto
from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport.mqtt import MqttTransport
from tests.support.broker_fixtures import make_mosquitto, messages

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and `broker`, `device` certificates signed by it, each with its key."""
    folder = tmp_path_factory.mktemp("papers")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=authority")
    stranger = ("-keyout", folder / "stranger.key", "-out", folder / "stranger.pem")
    openssl("req", "-x509", *key, *stranger, "-subj", "/CN=stranger")
    for name in ("broker", "device"):
        openssl("req", *key, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr", "-subj", f"/CN={name}")
        extension = folder / f"{name}.ext"
        extension.write_text("subjectAltName=IP:127.0.0.1\n")
        signed = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", extension)
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-out", folder / f"{name}.pem", "-days", "2", *signed)
    return folder


def start(papers: Path, directory: Path, *extra: str) -> Mosquitto:
    lines = [f"cafile {papers}/ca.pem", f"certfile {papers}/broker.pem", f"keyfile {papers}/broker.key", *extra]
    return make_mosquitto(directory, extra=lines, tls=True).start()


@pytest.fixture(scope="module")
def tls_broker(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with start(papers, tmp_path_factory.mktemp("tls")) as process:
        yield process


@pytest.fixture(scope="module")
def mutual_broker(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with start(papers, tmp_path_factory.mktemp("mutual"), "require_certificate true") as process:
        yield process


def test_messages_pass_encrypted_large_ones_too(papers: Path, tls_broker: Mosquitto) -> None:
    link = MqttTransport(tls_broker.url, "a", ca=papers / "ca.pem")
    link.subscribe("x")
    link.connect()
    for n in range(30):
        link.publish("x", bytes([n]) * 130_000)
    assert [m.payload for m in messages(link, 30)] == [bytes([n]) * 130_000 for n in range(30)]
    link.close()


def test_an_unknown_authority_is_refused(tls_broker: Mosquitto) -> None:
    with pytest.raises(TransportError, match=r"certificate is not trusted.*\(ca\)"):
        MqttTransport(tls_broker.url, "a").connect()


def test_a_certificate_for_another_host_is_refused(papers: Path, tls_broker: Mosquitto) -> None:
    with pytest.raises(TransportError, match="certificate is not trusted"):
        MqttTransport(f"mqtts://localhost:{tls_broker.port}", "a", ca=papers / "ca.pem").connect()


def test_plain_words_to_a_tls_port_are_told_to_use_mqtts(tls_broker: Mosquitto) -> None:
    with pytest.raises(TransportError, match="write mqtts://"):
        MqttTransport(tls_broker.url.replace("mqtts", "mqtt"), "a").connect()


def test_a_broker_may_ask_for_our_certificate(papers: Path, mutual_broker: Mosquitto) -> None:
    with pytest.raises(TransportError, match=r"certificate of ours|TLS handshake failed"):
        MqttTransport(mutual_broker.url, "a", ca=papers / "ca.pem").connect()
    ours = {"ca": papers / "ca.pem", "cert": papers / "device.pem", "key": papers / "device.key"}
    MqttTransport(mutual_broker.url, "a", **ours).connect().close()


def test_a_certificate_that_the_broker_does_not_take_is_told_as_that(papers: Path, mutual_broker: Mosquitto) -> None:
    others = {"ca": papers / "ca.pem", "cert": papers / "stranger.pem", "key": papers / "stranger.key"}
    with pytest.raises(TransportError, match="does not take our certificate: revoked, expired"):
        MqttTransport(mutual_broker.url, "a", **others).connect()


def test_keys_that_do_not_fit_are_refused_before_anything_is_sent(papers: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        MqttTransport("mqtts://127.0.0.1", "a", cert=papers / "device.pem", key=papers / "broker.key")
