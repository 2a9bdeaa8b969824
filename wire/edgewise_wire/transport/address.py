"""Where a broker is and how to prove who we are: the reading of `mqtt://` and `mqtts://` addresses."""

from __future__ import annotations

import math
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.pacing import PublishRate

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}  # registered with IANA
_OPTIONS = ("protocol", "publishes", "bytes")
_PROTOCOLS = {"3.1.1": "3.1.1", "311": "3.1.1", "4": "3.1.1", "5": "5", "5.0": "5"}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's address taken apart; printing it never shows the password."""

    host: str
    port: int
    tls: bool = False
    protocol: str = "3.1.1"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    rate: PublishRate = field(default_factory=PublishRate)

    def __str__(self) -> str:
        """Return the address for messages to people, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_address(url: str) -> BrokerAddress:
    """Take a broker's url apart: `mqtt[s]://[user[:password]@]host[:port][?protocol=3.1.1|5&publishes=N&bytes=N]`.

    `publishes` and `bytes` are what the broker allows one connection in a second (AWS IoT Core: 100 and 524288).

    Raises:
        ConfigError: if it is not of that form.

    Example:
        >>> str(parse_address("mqtts://pi:secret@broker.example"))
        'mqtts://broker.example:8883'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _unreadable(url, str(error)) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise _unreadable(url, "no mqtt:// or mqtts:// with a host")
    if parts.path not in ("", "/") or parts.fragment or port == 0:
        raise _unreadable(url, "a path, a fragment or port 0 has no meaning here")
    options = _options(url, parts.query)
    return BrokerAddress(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        protocol=check_protocol(options.get("protocol", "3.1.1")),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        rate=PublishRate(_number(url, options, "publishes"), _number(url, options, "bytes")),
    )


def _options(url: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS:
            raise _unreadable(url, f"the option {name!r} is unknown, there are {', '.join(_OPTIONS)}")
    return options


def _number(url: str, options: dict[str, str], name: str) -> float:
    try:
        number = float(options.get(name, "inf"))
    except ValueError:
        number = math.nan
    if not number > 0:
        raise _unreadable(url, f"{name}={options[name]}: a number above 0 is expected")
    return number


def check_protocol(version: str) -> str:
    """Return `"3.1.1"` or `"5"` for any usual way of writing them.

    Raises:
        ConfigError: for any other version.
    """
    if version not in _PROTOCOLS:
        raise ConfigError(f"MQTT version {version!r}: expected '3.1.1' or '5'")
    return _PROTOCOLS[version]


def _unreadable(url: str, why: str) -> ConfigError:
    shown = url.rpartition("@")[2][:120]  # what stands before '@' may be a password
    return ConfigError(f"broker address {shown!r}: {why}; expected something like mqtt://127.0.0.1:1883")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a TLS link: the authority to trust (the system's if `None`), our certificate and its key."""

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context that checks the broker's certificate and host name, TLS 1.2 or later.

        Raises:
            ConfigError: if a file is missing or is not what its name says.
        """
        for kind, path in (("authority", self.ca), ("certificate", self.cert), ("key", self.key)):
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"TLS {kind} file {str(path)!r}: there is no such file")
        if (self.cert is None) != (self.key is None):
            raise ConfigError("TLS: a certificate and its key go together, got only one of them")
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert is not None:
                # An empty password: a locked key must fail here, not ask on the terminal of a service.
                context.load_cert_chain(self.cert, self.key, password="")
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path is not None)
            raise ConfigError(f"TLS files {files}: cannot be used ({error}); expected unlocked PEM files") from error
        return context

    def __bool__(self) -> bool:
        """Return whether any file is named."""
        return any(path is not None for path in (self.ca, self.cert, self.key))
