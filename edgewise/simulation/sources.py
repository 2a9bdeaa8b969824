"""Where a simulation's data come from: a text for people, arrays in a file, a function of the user's, the corpus."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.data import ArrayData, CheckedData, RepeatedData, TaskData, text_data
from edgewise.simulation.kept_files import read_arrays
from edgewise_edge.host import TEXT_TASK
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.manifest import Manifest
from edgewise_wire.user_code import load_named, user_code
from edgewise_wire.weights import Array

CORPUS = "corpus"
DEVICE, HELD_OUT = "device", "held_out"


def open_data(source: Any, manifest: Manifest, devices: int = 0) -> TaskData:
    """Return what devices hold.

    Args:
        source: a `TaskData`; texts by person; or a string or path that names one of

            - a file, folder or zip that `edgewise device import` reads, each person a device (next-word models);
            - `corpus`, the text that edgewise generates (next-word models);
            - a `.npz` of arrays by the model's input names, with `device` (a name or number a row) and, if some rows
              only measure, `held_out` (booleans);
            - `module:function`, a function that returns a `TaskData`; one with an argument is given the manifest.
        manifest: of the model.
        devices: how many; fewer than there are: those with the most examples; more: the same ones again; 0: as it is.

    Raises:
        DataError: if it cannot be read, or is not what the model takes.
        ConfigError: if there is no such function, or `devices` is below 0.
        UserCodeError: if the function raises.
    """
    if devices < 0:
        raise ConfigError(f"devices: expected 0 (all) or more, got {devices}")
    found = _open(source, manifest)
    if not len(found.devices):
        raise DataError(f"{source}: expected at least one device with examples, got none")
    if not devices or devices == len(found.devices):
        return found
    if not isinstance(found, ArrayData):
        raise ConfigError(f"devices: this data has {len(found.devices)} of its own making; leave it out, got {devices}")
    if devices > len(found.devices):
        return found.repeated(devices)
    order = np.argsort(-found.counts(held_out=False), kind="stable")[:devices]
    return found.chosen(sorted(order.tolist()))


def _open(source: Any, manifest: Manifest) -> TaskData:
    if isinstance(source, Mapping):
        for person, texts in source.items():
            if isinstance(texts, str) or not isinstance(texts, Iterable) or not all(isinstance(t, str) for t in texts):
                raise DataError(
                    f"data: expected a list of texts for each person, got {_kind(texts)} for {person!r}; arrays by"
                    " device are what `ArrayData.of_devices` takes"
                )
        return text_data(source, manifest)
    if not isinstance(source, (str, Path)):
        return _own(source, "data", manifest)
    name = str(source)
    if name.endswith(".npz"):
        return _arrays(Path(source), manifest)
    if ":" in name and not Path(source).exists():
        return _made(name, manifest)
    if manifest.task != TEXT_TASK:
        raise DataError(
            f"{name}: the model {manifest.name!r} is for the task {manifest.task!r}; expected a .npz file of its"
            " inputs, or module:function"
        )
    if name == CORPUS:
        from edgewise.corpus import generate

        return text_data(generate(), manifest)
    from edgewise_edge.readers.people import read_people

    return text_data(read_people(Path(source).expanduser()), manifest)


def _kind(found: Any) -> str:
    """Return what something is, in a few words."""
    if isinstance(found, str):
        return f"the text {found!r:.40}"
    return f"{type(found).__name__} of other things" if isinstance(found, Iterable) else repr(found)[:40]


def _made(name: str, manifest: Manifest) -> TaskData:
    subject, function = f"data {name!r}", load_named("data", name)
    if not callable(function):
        raise ConfigError(f"{subject}: expected a function that returns a TaskData, got {type(function).__name__}")
    with user_code(subject):
        made = function(manifest) if _takes_one(function) else function()
    return _own(made, subject, manifest)


def _own(data: Any, subject: str, manifest: Manifest) -> TaskData:
    """Return a `TaskData` that somebody made; what is none of ours answers through checks."""
    if isinstance(data, type):
        raise ConfigError(
            f"{subject}: expected a TaskData, got the class {data.__name__}; make one: {data.__name__}(…)"
        )
    if not all(hasattr(data, attribute) for attribute in ("devices", "counts", "rows")):
        raise ConfigError(f"{subject}: expected a TaskData, got {type(data).__name__}")
    if isinstance(data, (ArrayData, RepeatedData, CheckedData)):
        return data
    return CheckedData(data, manifest, subject)


def _takes_one(function: Any) -> bool:
    """Whether a function has an argument that it must be given."""
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in required)


def _arrays(path: Path, manifest: Manifest) -> ArrayData:
    arrays = read_arrays(path)
    if DEVICE not in arrays:
        raise DataError(f"{path}: expected an array 'device' with a name a row, got {', '.join(arrays) or 'nothing'}")
    owners, held_out = arrays.pop(DEVICE), arrays.pop(HELD_OUT, None)
    held_out = np.zeros(len(owners), np.bool_) if held_out is None else held_out.astype(np.bool_)
    for name, array in (*arrays.items(), (HELD_OUT, held_out)):
        if len(array) != len(owners):
            raise DataError(f"{path}: {name!r} has {len(array)} rows, 'device' has {len(owners)}")
    names, owner = np.unique(owners, return_inverse=True)
    halves = [_by_owner(arrays, np.flatnonzero(held_out == h), owner, len(names)) for h in (False, True)]
    split = {str(name): (train, rest) for name, train, rest in zip(names, *halves, strict=True)}
    return ArrayData.of_devices(split, manifest)


def _by_owner(
    arrays: Mapping[str, Array], rows: NDArray[np.int64], owner: NDArray[np.int64], owners: int
) -> list[dict[str, Array]]:
    """Return the arrays' chosen rows for each owner, in the order in which they stand."""
    rows = rows[np.argsort(owner[rows], kind="stable")]
    ends = np.searchsorted(owner[rows], np.arange(1, owners))
    parts = {name: np.split(array[rows], ends) for name, array in arrays.items()}
    return [{name: part[number] for name, part in parts.items()} for number in range(owners)]
