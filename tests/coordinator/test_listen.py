"""`HOST:PORT`, and what is none."""

import pytest

from edgewise_coordinator.listen import parse_listen
from edgewise_wire.errors import ConfigError


def test_an_address_is_host_and_port() -> None:
    assert parse_listen("0.0.0.0:9464") == ("0.0.0.0", 9464)
    assert parse_listen(":0") == ("127.0.0.1", 0)
    assert parse_listen("[::1]:80") == ("::1", 80)
    for wrong in ("9464x", "host:", "host:70000"):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            parse_listen(wrong)
