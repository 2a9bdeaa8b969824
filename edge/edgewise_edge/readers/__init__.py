"""Real text, one list of messages per person: what `edgewise device import` and a simulation read.

`read_people` finds out by content what a file is; each format is a file of its own here.
"""

from edgewise_edge.readers.people import People, read_people

__all__ = ["People", "read_people"]
