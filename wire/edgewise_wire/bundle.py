"""A device's bundle: the one file that `edgewise fleet enroll` writes and `edgewise device` reads.

It holds the device's private key: it has mode 0600, and travels by a way that the operator trusts.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edgewise_wire import topics
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.transport.address import TlsFiles, parse_address

FORMAT = 1
BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that a device needs to take part; `coordinator_key` is base64, the rest of the papers PEM.

    Raises:
        ConfigError: if a name or the broker's address is not one.
    """

    fleet: str
    device: str
    broker: str
    ca: str
    cert: str
    coordinator_key: str
    expires: float
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        topics.check_name("fleet", self.fleet)
        topics.check_name("device", self.device)
        if not parse_address(self.broker).tls:
            raise ConfigError(f"bundle: broker {self.broker!r}: expected mqtts://, certificates are of no use without")

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read a bundle.

        Raises:
            ConfigError: if the file is none.
        """
        try:
            with path.open("rb") as file:
                found = json.loads(file.read(BYTES_MAX))
            if found.pop("format") != FORMAT:
                raise ConfigError(f"{path}: a bundle of another format; update edgewise on this device")
            texts = {f.name: str(found[f.name]) for f in fields(cls) if f.name != "expires"}
            return cls(**texts, expires=float(found["expires"]))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConfigError(f"{path}: not a bundle ({_why(error)}); `edgewise fleet enroll` makes one") from None

    def save(self, path: Path) -> None:
        """Write the bundle, readable by its owner alone.

        Raises:
            UnavailableError: if the disk refuses.
        """
        write_secret(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode() + b"\n")

    def unpack(self, folder: Path) -> TlsFiles:
        """Write the papers as the files that a TLS library wants, readable by their owner alone."""
        files = {"ca": self.ca, "cert": self.cert, "key": self.key}
        for name, text in files.items():
            write_secret(folder / f"{name}.pem", text.encode())
        return TlsFiles(*(folder / f"{name}.pem" for name in files))


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, at no moment more; its folder is made so too.

    Raises:
        UnavailableError: if the disk refuses.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _why(error: Exception) -> str:
    """Return what is wrong in words without a byte of the file, which may hold a private key."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, KeyError):
        return f"without {error.args[0]!r}"
    return "torn, or another file"
