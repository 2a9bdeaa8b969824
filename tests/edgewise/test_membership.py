"""Which fleet a device takes part in: by its bundle, or as it was told; never with signatures left unchecked."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.commands.device.membership import find_membership
from edgewise_edge.home import Home
from edgewise_wire.bundle import Bundle
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.transport.address import TlsFiles

KEY = "A" * 43 + "="
BUNDLE = Bundle("home", "pi-7", "mqtts://broker.example", "ca", "cert", KEY, time.time() + 1e8, "key")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    BUNDLE.save(tmp_path / "pi-7.bundle")
    return tmp_path / "pi-7.bundle"


def test_a_bundle_names_everything(home: Home, file: Path) -> None:
    pytest.importorskip("cryptography")
    found = find_membership(home, file, None, "ignored", None, TlsFiles())
    assert (found.broker, found.fleet, found.device) == ("mqtts://broker.example", "home", "pi-7")
    assert Path(str(found.tls.key)).read_text() == "key"
    assert found.vouches is not None
    assert not found.vouches("pi-7", b"anything", b"")
    assert find_membership(home, file, "mqtts://10.0.0.1", "", None, TlsFiles()).broker == "mqtts://10.0.0.1"


def test_without_a_bundle_broker_and_device_are_needed(home: Home) -> None:
    found = find_membership(home, None, "mqtt://b", "home", "pi-1", TlsFiles())
    assert (found.device, found.vouches) == ("pi-1", None)
    with pytest.raises(ConfigError, match="--bundle"):
        find_membership(home, None, "mqtt://b", "home", None, TlsFiles())


def test_a_bundle_is_not_mixed_with_other_papers(home: Home, file: Path) -> None:
    for device, tls in (("pi-8", TlsFiles()), (None, TlsFiles("ca"))):
        with pytest.raises(ConfigError, match="papers of its own"):
            find_membership(home, file, None, "home", device, tls)


def test_signatures_are_never_left_unchecked(home: Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edgewise_wire.crypto.signing", None)
    with pytest.raises(UnavailableError, match="needs the package"):
        find_membership(home, file, None, "home", None, TlsFiles())


def test_an_ending_certificate_is_told_and_a_broken_key_refused(
    home: Home, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cryptography")
    replace(BUNDLE, expires=time.time() + 86400).save(file)
    with caplog.at_level(logging.WARNING):
        find_membership(home, file, None, "home", None, TlsFiles())
    assert "1 days more" in caplog.text
    replace(BUNDLE, coordinator_key="short").save(file)
    with pytest.raises(ConfigError, match="base64"):
        find_membership(home, file, None, "home", None, TlsFiles())
