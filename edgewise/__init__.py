"""The face of edgewise: one command and the simulator."""

from edgewise_wire.version import __version__

__all__ = ["__version__"]
