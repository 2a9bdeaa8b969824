"""Where a server of the coordinator listens: `HOST:PORT`."""

from __future__ import annotations

from edgewise_wire.errors import ConfigError


def parse_listen(text: str, what: str = "metrics") -> tuple[str, int]:
    """Read `HOST:PORT`; `:9464` is the loopback.

    Raises:
        ConfigError: if it is not of that form.

    Example:
        >>> parse_listen("127.0.0.1:9464")
        ('127.0.0.1', 9464)
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{what} address {text[:80]!r}: expected HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)
