"""FlatBuffers without NumPy, unless somebody asks for arrays.

The library imports NumPy wherever it is installed, and our messages never use it: 20 MB of memory for a device that
waits. Its one module that does so is loaded first, and told to give NumPy when it is used.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any


class NumpyWhenUsed(ModuleType):
    """Looks like NumPy; its first attribute imports it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by whoever looks at modules, such as `inspect`
            raise AttributeError(name)
        import numpy as np

        return getattr(np, name)


def _prepare() -> None:
    """Before FlatBuffers is imported for the first time in this process; later, or without NumPy, it does nothing."""
    if "numpy" in sys.modules or "flatbuffers" in sys.modules or importlib.util.find_spec("numpy") is None:
        return
    package = importlib.util.find_spec("flatbuffers")
    if package is None or not package.submodule_search_locations:
        return  # the import that follows says so
    path = f"{package.submodule_search_locations[0]}/compat.py"
    spec = importlib.util.spec_from_file_location("flatbuffers.compat", path)
    if spec is None or spec.loader is None:
        return
    compat = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compat)
    compat.import_numpy = lambda: NumpyWhenUsed("numpy")  # type: ignore[attr-defined]
    sys.modules["flatbuffers.compat"] = compat


_prepare()

import flatbuffers  # noqa: E402 - prepared first
from flatbuffers import number_types  # noqa: E402

__all__ = ["flatbuffers", "number_types"]
