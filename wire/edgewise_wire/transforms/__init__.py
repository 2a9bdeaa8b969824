"""What happens to an update between training and the sum: the device half and the coordinator half in one module.

`get(name)` returns the codec that an assignment's `encoding` names; the modules beside this one are one idea each.
"""

from edgewise_wire.transforms.base import Codec, Encoded, Key
from edgewise_wire.transforms.registry import EXAMPLES, get

__all__ = ["EXAMPLES", "Codec", "Encoded", "Key", "get"]
