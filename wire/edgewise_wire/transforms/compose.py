"""What an encoding can be combined with; what it cannot is refused with a sentence before a round begins."""

from __future__ import annotations

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms.base import Codec


def check_composition(codec: Codec, *, robust: str = "", variates: str = "", masked: bool = False) -> None:
    """Check that updates so encoded can be aggregated as a round means to.

    Args:
        codec: how devices encode.
        robust: the name of an aggregator that picks or orders updates instead of summing them (median, Krum), else "".
        variates: the name of an algorithm whose updates carry control variates (SCAFFOLD), else "".
        masked: whether the coordinator sees only a sum of masked updates (secure aggregation).

    Raises:
        ConfigError: saying what does not go together, why, and what would.

    Example:
        >>> from edgewise_wire.transforms.registry import get
        >>> check_composition(get("eden-2"), robust="median")
    """
    if masked and not codec.linear:
        raise ConfigError(
            f"encoding {codec.name} does not go with secure aggregation: masks cancel only in a sum of numbers that "
            f"are decoded alike, and each device's {codec.name} is decoded in its own way; use float32 (or clip-NORM)"
        )
    if variates and not codec.linear:
        raise ConfigError(
            f"encoding {codec.name} does not go with {variates}: each device keeps its control variate exactly, so "
            f"what rounding takes from what it sends would let the coordinator's drift from their mean; use float32"
        )
    if variates and codec.name != "float32":
        raise ConfigError(
            f"encoding {codec.name} does not go with {variates}: clipping an update would clip the control variate in "
            f"it, which the device keeps whole; use float32"
        )
    if robust and codec.stateful:
        raise ConfigError(
            f"encoding {codec.name} does not go with {robust}: each device sends other coordinates and zero elsewhere, "
            f"so {robust} would take most coordinates for zero, and what a device has sent would be lost with it; use "
            f"a quantiser (eden-2), or the mean"
        )
