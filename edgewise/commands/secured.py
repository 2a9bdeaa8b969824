"""What a fleet's directory means to a coordinator: its papers, its signature, and whom it listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgewise_coordinator.members import Enrolled, Members, Seal
from edgewise_wire.clock import SystemClock
from edgewise_wire.errors import UnavailableError
from edgewise_wire.transport.address import TlsFiles


@dataclass(frozen=True, slots=True)
class SecuredFleet:
    """Without a directory it is empty: anyone belongs, and nothing is signed."""

    fleet: str = ""
    broker: str = ""
    tls: TlsFiles = field(default_factory=TlsFiles)
    members: Members | None = None
    seal: Seal | None = None
    aggregator_tls: Callable[[str], TlsFiles] = field(default=lambda name: TlsFiles())
    refusals: Path | None = None
    authority: Path | None = None
    """The authority's certificate, which every device's was signed by; its key need not be on this machine."""
    apart: bool = False
    """Whether it is not, so that a coordinator that lies cannot make devices up."""

    @classmethod
    def load(cls, path: Path | None) -> SecuredFleet:
        """Read a fleet's directory; `None` gives the empty one.

        Raises:
            ConfigError: if there is no fleet.
            UnavailableError: if its keys cannot be read here.
        """
        if path is None:
            return cls()
        try:
            from edgewise_coordinator.fleet_directory import FleetDirectory
        except ModuleNotFoundError as error:
            raise UnavailableError(
                f"a fleet's directory needs the package {error.name!r}: pip install 'edgewise[coordinator]'"
            ) from error
        found = FleetDirectory(path)
        return cls(
            fleet=found.fleet,
            broker=found.broker,
            tls=found.coordinator_tls,
            members=Enrolled(found.index, SystemClock()),
            seal=found.signing_key().seal,
            aggregator_tls=found.aggregator_tls,
            refusals=found.refusals,
            authority=path / "coordinator" / "ca.pem",
            apart=not (path / "authority" / "ca.key").exists(),
        )
