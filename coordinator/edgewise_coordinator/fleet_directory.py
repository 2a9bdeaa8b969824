"""A fleet's directory on the operator's machine: its authority, its keys, its broker's configuration, its index.

fleet.json                    who was enrolled, until when, who was revoked
authority/ca.pem, ca.key      signs every certificate; whoever has the key can enrol
coordinator/                  cert.pem, key.pem, ca.pem for the broker; signing.key for assignments (Ed25519)
aggregators/a0/ …             cert.pem, key.pem, ca.pem for the broker, one folder each
broker/                       mosquitto.conf, acl, broker.pem, broker.key, ca.pem, crl.pem

The directory has mode 0700, every private key 0600. A device's own key is in its bundle alone and is not kept here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise_coordinator.distributed.engine import AGGREGATORS_MAX
from edgewise_coordinator.mosquitto_files import AGGREGATOR, COORDINATOR, access_list, configuration
from edgewise_wire import topics
from edgewise_wire.bundle import Bundle, write_secret
from edgewise_wire.crypto.authority import Authority, Papers
from edgewise_wire.crypto.signing import SigningKey
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.files import locked
from edgewise_wire.transport.address import TlsFiles, parse_address

FORMAT = 1
LOOPBACK = ("127.0.0.1", "localhost")
SERVICE_DAYS = (
    825  # of the broker's, the coordinator's and the aggregators' certificates: the most that Apple's TLS takes
)
EVICTION_DAYS = 600 / 86400


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One certificate of a device; times are seconds since the epoch, `revoked` is `None` while it is good."""

    device: str
    serial: str
    enrolled: float
    expires: float
    revoked: float | None

    def status(self, now: float) -> str:
        """Return `active`, `revoked` or `expired`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if now >= self.expires else "active"


class FleetDirectory:
    """A fleet's directory that exists; `create` makes one.

    Raises:
        ConfigError: if there is none at `path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        index = self._read()
        self.fleet: str = index["fleet"]
        self.broker: str = index["broker"]
        self.bind: str = index["bind"]

    @classmethod
    def create(
        cls, path: Path, fleet: str, *, host: str, port: int, bind: str, user: str, now: float,
        more_hosts: Sequence[str] = (),
    ) -> FleetDirectory:  # fmt: skip
        """Make a fleet: authority, papers of coordinator and broker, signing key, the broker's configuration.

        Args:
            host: where devices find the broker.
            port: its port there, for TLS.
            bind: the address that the broker listens on; empty for every one.
            user: whom Mosquitto becomes when it is started as root.
            now: seconds since the epoch.
            more_hosts: further names and addresses for the broker's certificate.

        Raises:
            ConfigError: if there is a fleet already, or a name is none.
            UnavailableError: if the disk refuses.
        """
        path = path.absolute()
        broker = f"mqtts://{f'[{host}]' if ':' in host else host}:{port}"
        topics.check_name("fleet", fleet)
        parse_address(broker)
        if any(letter in str(path) for letter in "\r\n"):
            raise ConfigError(f"directory {str(path)!r}: a line break cannot stand in Mosquitto's configuration")
        if (path / "fleet.json").exists():
            raise ConfigError(f"{path}: there is a fleet already; choose another --dir")
        authority = Authority.create(fleet, now=now)
        hosts = [host, *LOOPBACK, *more_hosts]
        signing = SigningKey.generate()
        secrets = {
            "authority/ca.key": authority.key, "authority/ca.pem": authority.cert,
            "coordinator/ca.pem": authority.cert, "coordinator/signing.key": signing.to_pem(),
            "broker/ca.pem": authority.cert,
            "broker/crl.pem": authority.revocation_list((), number=0, now=now),
            "broker/acl": access_list(fleet).encode(),
            "broker/mosquitto.conf": configuration(path / "broker", bind=bind, port=port, user=user).encode(),
        }  # fmt: skip
        for name, data in (secrets | _service_papers(authority, hosts, now)).items():
            write_secret(path / name, data)
        index = {"format": FORMAT, "fleet": fleet, "broker": broker, "hosts": hosts, "bind": bind, "lists": 0}
        write_secret(path / "fleet.json", _json({**index, "devices": {}}))
        path.chmod(0o700)
        return cls(path)

    def enroll(self, device: str, *, days: float, now: float) -> Bundle:
        """Let a device in, and return what it needs; a device that was enrolled before gets new papers besides.

        Raises:
            ConfigError: if its name is none.
        """
        topics.check_name("device", device)
        with self._changing():
            index = self._read()
            papers = self._authority().issue_client(device, days=days, now=now)
            row = {"serial": f"{papers.serial:x}", "enrolled": now, "expires": papers.expires, "revoked": None}
            index["devices"].setdefault(device, []).append(row)
            self._write(index)
        return Bundle(
            fleet=self.fleet,
            device=device,
            broker=self.broker,
            ca=(self.path / "authority/ca.pem").read_text(),
            cert=papers.cert.decode(),
            key=papers.key.decode(),
            coordinator_key=self.signing_key().public.to_text(),
            expires=papers.expires,
        )

    def revoke(self, device: str, *, now: float) -> int:
        """Shut a device out and return how many certificates that took; the broker must be told (`eviction`).

        The index comes first: from then on the coordinator listens to it no more.

        Raises:
            ConfigError: if it was never enrolled.
        """
        with self._changing():
            index = self._read()
            rows = index["devices"].get(device)
            if rows is None:
                known = ", ".join(sorted(index["devices"])[:8]) or "nobody"
                raise ConfigError(f"device {device[:80]!r}: not enrolled in fleet {self.fleet!r}; {known} is")
            good = [row for row in rows if row["revoked"] is None]
            for row in good:
                row["revoked"] = now
            index["lists"] += 1
            self._write(index)
            revoked = [(int(r["serial"], 16), r["revoked"]) for rows in index["devices"].values() for r in rows]
            listed = [(serial, when) for serial, when in revoked if when is not None]
            crl = self._authority().revocation_list(listed, number=index["lists"], now=now)
            write_secret(self.path / "broker/crl.pem", crl)
            return len(good)

    def set_aggregators(self, number: int, *, now: float) -> None:
        """Give aggregators `a0`, `a1` … their papers and places in the access list; the broker must be told.

        Those who have papers keep them; those beyond `number` lose their place.

        Raises:
            ConfigError: if the number is not 0 to 256.
        """
        if not 0 <= number <= AGGREGATORS_MAX:
            raise ConfigError(f"aggregators: expected 0 to {AGGREGATORS_MAX}, got {number}")
        with self._changing():
            index, names = self._read(), _aggregators(number)
            fresh = [name for name in names if not (self.path / "aggregators" / name / "cert.pem").exists()]
            for name, data in _aggregator_papers(self._authority(), fresh, now).items():
                write_secret(self.path / name, data)
            write_secret(self.path / "broker/acl", access_list(self.fleet, names).encode())
            self._write(index | {"aggregators": number})

    def aggregator_tls(self, name: str) -> TlsFiles:
        """Return an aggregator's papers for the broker.

        Raises:
            ConfigError: if it has none.
        """
        have = self._read().get("aggregators", 0)
        if name not in _aggregators(have):
            raise ConfigError(
                f"--aggregators: fleet {self.fleet!r} has papers for {have} of them;"
                f" edgewise fleet aggregators NUMBER --dir {self.path} makes more"
            )
        folder = self.path / "aggregators" / name
        return TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")

    def renew(self, *, now: float) -> float:
        """Give coordinator, aggregators and broker new certificates and keys, and return when those end.

        Devices notice nothing.
        """
        with self._changing():
            index, authority = self._read(), self._authority()
            papers = _service_papers(authority, index["hosts"], now)
            papers |= _aggregator_papers(authority, _aggregators(index.get("aggregators", 0)), now)
            for name, data in papers.items():
                write_secret(self.path / name, data)
        return now + SERVICE_DAYS * 86400.0

    def enrolments(self) -> list[Enrolment]:
        """Return every certificate of a device, by name and then by age."""
        return [
            Enrolment(name, row["serial"], row["enrolled"], row["expires"], row["revoked"])
            for name, rows in sorted(self._read()["devices"].items())
            for row in rows
        ]

    @property
    def index(self) -> Path:
        """The file that says who belongs."""
        return self.path / "fleet.json"

    @property
    def coordinator_tls(self) -> TlsFiles:
        """The coordinator's papers for the broker."""
        folder = self.path / "coordinator"
        return TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")

    @property
    def refusals(self) -> Path:
        """What the broker refused, a line each (`broker_log`)."""
        return self.path / "broker/refusals.log"

    @property
    def mosquitto_configuration(self) -> Path:
        """What Mosquitto is started with."""
        return self.path / "broker/mosquitto.conf"

    def signing_key(self) -> SigningKey:
        """Return the key that assignments are signed with."""
        return SigningKey.from_pem(_read_bytes(self.path / "coordinator/signing.key"))

    def eviction_papers(self, device: str, *, now: float) -> Papers:
        """Return papers in a device's name, good for ten minutes: with them its live session is thrown out."""
        return self._authority().issue_client(device, days=EVICTION_DAYS, now=now)

    def _authority(self) -> Authority:
        folder = self.path / "authority"
        return Authority(_read_bytes(folder / "ca.pem"), _read_bytes(folder / "ca.key"))

    def _changing(self) -> AbstractContextManager[None]:
        refusal = f"{self.path}: another command is changing this fleet; try again"
        return locked(self.path / ".lock", refusal, patience=10.0)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "fleet.json").read_text("utf-8"))
            if found["format"] != FORMAT:
                raise ConfigError(f"{self.path}: a fleet of another format; use the edgewise that made it")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.path}: no fleet there ({error}); `edgewise fleet init` makes one") from error
        return dict(found)

    def _write(self, index: dict[str, Any]) -> None:
        write_secret(self.index, _json(index))


def _service_papers(authority: Authority, hosts: Sequence[str], now: float) -> dict[str, bytes]:
    own = authority.issue_client(COORDINATOR, days=SERVICE_DAYS, now=now)
    server = authority.issue_server(hosts[0], hosts, days=SERVICE_DAYS, now=now)
    return {
        "coordinator/key.pem": own.key, "coordinator/cert.pem": own.cert,
        "broker/broker.key": server.key, "broker/broker.pem": server.cert,
    }  # fmt: skip


def _aggregators(number: int) -> list[str]:
    return [f"a{n}" for n in range(number)]


def _aggregator_papers(authority: Authority, names: Sequence[str], now: float) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in names:
        own, folder = authority.issue_client(AGGREGATOR + name, days=SERVICE_DAYS, now=now), f"aggregators/{name}"
        found |= {f"{folder}/ca.pem": authority.cert, f"{folder}/cert.pem": own.cert, f"{folder}/key.pem": own.key}
    return found


def _json(index: dict[str, Any]) -> bytes:
    return json.dumps(index, indent=1).encode() + b"\n"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be read ({error.strerror}); is this the fleet's own machine?"
        ) from error
