"""Examples of models that do not read text: numbers by the names of the model's inputs, each example a JSON object.

    {"features": [5.1, 3.5, 1.4, 0.2], "labels": 0}

So they share the example store with sentences: its limits, its encryption, `list` and `forget`. A next-word model
passes over records, every other model over sentences. `weight` may be left out and is then 1.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgewise_edge.local_training import ArrayExamples
from edgewise_wire.errors import DataError
from edgewise_wire.manifest import Manifest, TensorSpec
from edgewise_wire.weights import Array

NUMBERS: Final = "biuf"  # the kinds of NumPy's dtypes that a record may have
ARCHIVE_BYTES: Final = 256 * 1024 * 1024  # unpacked; what is imported is held in memory once


def is_record(text: str) -> bool:
    """Return whether an example is a record and not a sentence.

    Example:
        >>> is_record('{"features": [1.5], "labels": 0}'), is_record("see you {soon}")
        (True, False)
    """
    return text.startswith('{"') and text.endswith("}")


def parse_record(text: str) -> dict[str, Any]:
    """Return a record's values by name.

    Raises:
        DataError: if it is not a JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError('record: expected a JSON object, such as {"features": [1.5, 2], "labels": 0}')
    return found


def from_arrays(arrays: Mapping[str, Array]) -> Iterator[str]:
    """Yield each row of arrays as a record.

    Args:
        arrays: by input name, bool, int or float [examples, …], all as long; float32 values come back exactly.

    Raises:
        DataError: if there is none, one is not of numbers, or they differ in length.

    Example:
        >>> list(from_arrays({"features": np.array([[0.1, 2]], np.float32), "labels": np.array([7])}))
        ['{"features":[0.1,2.0],"labels":7}']
    """
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if not lengths or len(set(lengths.values())) != 1:
        raise DataError(f"records: expected arrays with as many rows each, got {lengths or 'none'}")
    for name, array in arrays.items():
        if array.dtype.kind not in NUMBERS:
            raise DataError(f"records: array {name!r}: expected numbers, got {array.dtype}")
    for row in range(next(iter(lengths.values()))):
        yield json.dumps({name: _plain(array[row]) for name, array in arrays.items()}, separators=(",", ":"))


def read_records(path: Path) -> list[str]:
    """Return the records of a NumPy archive (`numpy.savez`), a row each.

    Raises:
        DataError: if it cannot be read, unpacks to more than `ARCHIVE_BYTES`, or `from_arrays` takes no such arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > ARCHIVE_BYTES:
            raise DataError(f"{path}: expected at most {ARCHIVE_BYTES >> 20} MiB of arrays, got {size >> 20}; split it")
        with np.load(path, allow_pickle=False) as found:
            return list(from_arrays({name: found[name] for name in found.files}))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as a NumPy archive ({error})") from error


def record_examples(manifest: Manifest, texts: Sequence[str]) -> ArrayExamples:
    """Return the records among a store's examples as a model takes them; those that it cannot take are passed over.

    Raises:
        DataError: if it can take none: that there is none, or what the first lacks; no value of it is named, for the
            coordinator is told why.
    """
    specs = (*manifest.inputs, manifest.labels)
    weight = manifest.weight
    rows: list[dict[str, Array]] = []
    wrong: DataError | None = None
    for text in filter(is_record, texts):
        try:
            record = {weight.name: np.ones(weight.shape[1:]).tolist(), **parse_record(text)}
            rows.append({spec.name: _array(record, spec) for spec in (*specs, weight)})
        except DataError as error:
            wrong = wrong or error
    if not rows:
        none = DataError(f"the model's task {manifest.task!r} takes rows of numbers, and this device has none")
        raise wrong or none
    arrays = {spec.name: np.stack([row[spec.name] for row in rows]) for spec in (*specs, weight)}
    return ArrayExamples(arrays, manifest.batch)


def one_input(record: Mapping[str, Any], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return what `infer` takes of a record: its inputs, with a first axis of one.

    Raises:
        DataError: as `record_examples`.
    """
    return {spec.name: _array(record, spec)[np.newaxis] for spec in specs}


def _array(record: Mapping[str, Any], spec: TensorSpec) -> Array:
    if spec.name not in record:
        raise DataError(f"record: expected a value for the model's {spec.name!r}, got none")
    try:
        found = np.asarray(record[spec.name])
    except ValueError:  # lists of different lengths
        found = np.asarray(None)
    shape, dtype = spec.shape[1:], np.dtype(spec.dtype)
    whole = dtype.kind == "f" or (found.dtype.kind in "biu" and _fits(found, dtype))
    if found.dtype.kind not in NUMBERS or found.shape != shape or not whole or not np.isfinite(found).all():
        got = f"{found.dtype}{list(found.shape)}" if found.dtype.kind in NUMBERS else "something else"
        raise DataError(f"record, {spec.name!r}: expected {spec.dtype}{list(shape)} of finite numbers, got {got}")
    return found.astype(dtype)


def _fits(found: Array, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b" or not found.size:
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= int(found.min()) and int(found.max()) <= limits.max)


def _plain(row: Array) -> Any:
    """Return a row as JSON has it; float32 by its own shortest digits, which are half of float64's."""
    if row.dtype == np.float32:
        row = np.array([float(str(value)) for value in row.ravel()]).reshape(row.shape)
    return row.tolist()
