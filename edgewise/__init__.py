"""The face of edgewise: one command and the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise_wire.version import __version__

if TYPE_CHECKING:
    from edgewise.simulation import simulate

__all__ = ["__version__", "simulate"]


def __getattr__(name: str) -> Any:
    """Import the simulator when it is first asked for: a device that imports `edgewise` needs nothing of it."""
    if name == "simulate":
        from edgewise.simulation import simulate

        return simulate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
