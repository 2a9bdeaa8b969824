"""What the devices of a simulated fleet hold: `TaskData`, and the form of it that serves nearly every task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import DataError
from edgewise_wire.manifest import Manifest, TensorSpec
from edgewise_wire.user_code import user_code
from edgewise_wire.weights import Array

Rows: TypeAlias = Mapping[str, Array]
"""One device's examples by the graph's input names (`weight` and labels among them), one example a row."""
Counts: TypeAlias = NDArray[np.int64]
"""How many examples each device has, int64[devices]."""


class TaskData(Protocol):
    """The examples of every device, for any task.

    Devices are numbered from 0 in the order of `devices`, which is sorted by name: the coordinator's order. What is
    returned for a device must be a function of its number alone, and the object must survive pickling, because
    workers of other processes hold a copy.
    """

    @property
    def devices(self) -> Sequence[str]:
        """The devices' names, sorted."""

    def counts(self, *, held_out: bool) -> Counts:
        """Return how many examples each device has to train on, or holds out for measuring."""

    def rows(self, device: int, *, held_out: bool) -> Rows:
        """Return the examples of one device."""


class ArrayData:
    """Examples that stand in arrays, each device's behind the one before.

    Args:
        devices: names, sorted.
        train: arrays by input name, int or float [examples, …]; all devices' training examples.
        train_ends: int64[devices]: where in `train` each device's examples end.
        held_out: as `train`; examples that only measure.
        held_out_ends: as `train_ends`.

    Raises:
        DataError: if names are not sorted or stand twice, or lengths do not fit.
    """

    def __init__(
        self, devices: Sequence[str], train: Rows, train_ends: Counts, held_out: Rows, held_out_ends: Counts
    ) -> None:
        self._devices = list(devices)
        self._parts = ((dict(train), np.asarray(train_ends)), (dict(held_out), np.asarray(held_out_ends)))
        _check_order(self._devices)
        for what, (arrays, ends) in zip(("train", "held out"), self._parts, strict=True):
            lengths = {len(array) for array in arrays.values()} or {0}
            if len(ends) != len(self._devices) or len(lengths) > 1 or (len(ends) and int(ends[-1]) != max(lengths)):
                raise DataError(f"{what}: expected the last end to be the length of every array, got {sorted(lengths)}")

    @property
    def devices(self) -> Sequence[str]:
        """The devices' names, sorted."""
        return self._devices

    def counts(self, *, held_out: bool) -> Counts:
        """Return how many examples each device has."""
        _, ends = self._parts[held_out]
        return np.diff(ends, prepend=0)

    def rows(self, device: int, *, held_out: bool) -> Rows:
        """Return views of one device's examples."""
        arrays, ends = self._parts[held_out]
        start = int(ends[device - 1]) if device else 0
        return {name: array[start : int(ends[device])] for name, array in arrays.items()}

    @property
    def arrays(self) -> dict[str, Array]:
        """Every array by a name of its own: what workers share."""
        found: dict[str, Array] = {}
        for which, (arrays, ends) in zip(("train", "held_out"), self._parts, strict=True):
            found |= {f"{which}/{name}": array for name, array in arrays.items()} | {f"{which}-ends": ends}
        return found

    @classmethod
    def of_arrays(cls, devices: Sequence[str], arrays: Mapping[str, Array]) -> ArrayData:
        """Return the data whose `arrays` these are."""
        parts = [
            {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{which}/")}
            for which in ("train", "held_out")
        ]
        return cls(devices, parts[0], arrays["train-ends"], parts[1], arrays["held_out-ends"])

    @classmethod
    def of_devices(cls, devices: Mapping[str, tuple[Rows, Rows]], manifest: Manifest) -> ArrayData:
        """Return the data of devices given one by one: name to (training examples, held-out examples).

        Arrays come by the names of the model's inputs and labels; `weight` is ones where it is left out. They are
        brought to the dtypes of the manifest. An empty mapping is no examples.

        Raises:
            DataError: if there is no device, an array is missing, or has another shape than the model takes.

        Example:
            >>> data = ArrayData.of_devices({"a": ({"features": x, "labels": y}, {"features": x, "labels": y})},
            ...                             manifest)                                             # doctest: +SKIP
        """
        names = _some(devices)
        for name in names:
            if isinstance(devices[name], Mapping) or len(devices[name]) != 2:
                raise DataError(f"device {name!r}: expected a pair: examples to train on, and such as only measure")
        parts = []
        for which in (0, 1):
            found = [_checked(name, devices[name][which], manifest) for name in names]
            ends = np.cumsum([len(one[manifest.weight.name]) for one in found])
            parts.append(({key: np.concatenate([one[key] for one in found]) for key in found[0]}, ends))
        (train, train_ends), (held_out, held_out_ends) = parts
        return cls(names, train, train_ends, held_out, held_out_ends)

    def repeated(self, count: int) -> RepeatedData:
        """Return `count` devices that hold these devices' examples in turn."""
        return RepeatedData(self, count)

    def chosen(self, numbers: Sequence[int]) -> ArrayData:
        """Return the data of these devices only; `numbers` rise."""
        parts = []
        for which in (False, True):
            found = [self.rows(number, held_out=which) for number in numbers]
            ends = np.cumsum(self.counts(held_out=which)[list(numbers)])
            parts.append(({key: np.concatenate([one[key] for one in found]) for key in found[0]}, ends))
        (train, train_ends), (held_out, held_out_ends) = parts
        return ArrayData([self._devices[n] for n in numbers], train, train_ends, held_out, held_out_ends)


class CheckedData:
    """A `TaskData` of the user's own, whose every answer is checked and brought into the form that workers take.

    Raises:
        DataError: if names are not sorted or stand twice, or there is not a count for each device; by `rows`, if
            arrays are missing, of another shape or kind, or not of the length that was counted.
    """

    def __init__(self, data: TaskData, manifest: Manifest, subject: str = "data") -> None:
        self.data = data
        self._manifest, self._subject = manifest, subject
        with user_code(subject):
            self._devices = list(data.devices)
            given = [data.counts(held_out=which) for which in (False, True)]
        _check_order(self._devices)
        self._counts = [_counted(one, len(self._devices)) for one in given]

    @property
    def devices(self) -> Sequence[str]:
        """The devices' names, sorted."""
        return self._devices

    def counts(self, *, held_out: bool) -> Counts:
        """Return how many examples each device has."""
        return self._counts[held_out]

    def rows(self, device: int, *, held_out: bool) -> Rows:
        """Return the examples of one device; a weight of 1 each, if the data say nothing of weights."""
        name = self._devices[device]
        with user_code(f"{self._subject}, device {name!r}"):
            given = self.data.rows(device, held_out=held_out)
        if not isinstance(given, Mapping):
            raise DataError(f"device {name!r}: expected arrays by name, got {type(given).__name__}")
        found = _checked(name, given, self._manifest)
        length, counted = len(next(iter(found.values()))), int(self._counts[held_out][device])
        if length != counted:
            raise DataError(f"device {name!r}: counts said {counted} examples, rows gave {length}")
        return found


class RepeatedData:
    """A larger fleet out of the data of a smaller one: device i holds what device i mod n of `data` does.

    For questions of scale alone: two devices with the same examples teach a model nothing new.
    """

    def __init__(self, data: ArrayData, count: int) -> None:
        self.data = data
        width = len(str(count - 1))
        self._devices = [f"device-{number:0{width}}" for number in range(count)]

    @property
    def devices(self) -> Sequence[str]:
        """The devices' names, sorted."""
        return self._devices

    def counts(self, *, held_out: bool) -> Counts:
        """Return how many examples each device has."""
        return np.resize(self.data.counts(held_out=held_out), len(self._devices))

    def rows(self, device: int, *, held_out: bool) -> Rows:
        """Return the examples of one device."""
        return self.data.rows(device % len(self.data.devices), held_out=held_out)


def batches_a_pass(data: TaskData, manifest: Manifest, max_examples: int = 0) -> Counts:
    """Return how many batches each device's training examples make: int64[devices].

    Where short sentences share rows it is that of their given order; shuffled they may make one more or less.
    """
    counts = data.counts(held_out=False)
    used = np.minimum(counts, max_examples) if max_examples else counts
    if not manifest.packs:
        return -(-used // manifest.batch)
    if isinstance(data, RepeatedData):
        return np.resize(batches_a_pass(data.data, manifest, max_examples), len(counts))
    from edgewise_edge.next_word import examples_for

    rows = (examples_for(data.rows(device, held_out=False), manifest) for device in range(len(counts)))
    return np.array([one.count(np.arange(n)) for one, n in zip(rows, used.tolist(), strict=True)], np.int64)


def text_data(people: Mapping[str, Iterable[str]], manifest: Manifest, every: int = 5) -> ArrayData:
    """Return a next-word model's data: one person's messages are one device's; every fifth is held out.

    It is what a device's example store does with the same texts, row by row.

    Raises:
        DataError: if the model has no vocabulary.
    """
    train = {name: [t for n, t in enumerate(texts, 1) if n % every] for name, texts in people.items()}
    held_out = {name: [t for n, t in enumerate(texts, 1) if n % every == 0] for name, texts in people.items()}
    return text_data_of(train, held_out, manifest)


def text_data_of(
    train: Mapping[str, Sequence[str]], held_out: Mapping[str, Sequence[str]], manifest: Manifest
) -> ArrayData:
    """Return a next-word model's data, split by the caller; a person missing in one of them has nothing there."""
    from edgewise_edge.next_word import rows
    from edgewise_edge.tokenizer import WordTokenizer

    if not manifest.vocabulary:
        raise DataError(f"the model {manifest.name!r} has no vocabulary: text cannot be made into its inputs")
    tokenizer = WordTokenizer(manifest.vocabulary)
    names = _some({*train, *held_out})
    parts = []
    for texts, measuring in ((train, False), (held_out, True)):
        found = [
            rows(texts.get(name, ()), tokenizer, steps=manifest.steps, for_evaluation=measuring)._asdict()
            for name in names
        ]
        ends = np.cumsum([len(one["labels"]) for one in found])
        parts.append(({key: np.concatenate([one[key] for one in found]) for key in found[0]}, ends))
    (train_rows, train_ends), (held_out_rows, held_out_ends) = parts
    return ArrayData(names, train_rows, train_ends, held_out_rows, held_out_ends)


def _counted(given: Any, devices: int) -> Counts:
    counts = np.asarray(given)
    if counts.shape != (devices,) or counts.dtype.kind not in "iu":
        raise DataError(f"counts: expected int64[{devices}], one a device, got {counts.dtype}{list(counts.shape)}")
    if counts.size and counts.min() < 0:
        raise DataError(f"counts: expected 0 examples or more of each device, got {counts.min()}")
    return counts.astype(np.int64)


def _check_order(devices: Sequence[str]) -> None:
    strange = next((one for one in devices if not isinstance(one, str)), None)
    if strange is not None:
        raise DataError(f"devices: expected names, got {strange!r}")
    if any(a >= b for a, b in pairwise(devices)):
        raise DataError("devices: expected different names, sorted")


def _some(devices: Iterable[str]) -> list[str]:
    """Return the names in order, of which there must be one at least."""
    names = sorted(devices)
    if not names:
        raise DataError("data: expected at least one device, got none")
    return names


def _checked(device: str, given: Rows, manifest: Manifest) -> dict[str, Array]:
    specs = (*manifest.inputs, manifest.labels)
    given = given or {spec.name: np.zeros((0, *spec.shape[1:]), spec.dtype) for spec in specs}
    out = {spec.name: _array(device, given, spec) for spec in specs}
    lengths = {name: len(array) for name, array in out.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"device {device!r}: expected as many rows in every array, got {lengths}")
    weight = manifest.weight
    if weight.name in given:
        out[weight.name] = _array(device, given, weight)
    else:
        out[weight.name] = np.ones((next(iter(lengths.values())), *weight.shape[1:]), weight.dtype)
    unknown = sorted(set(given) - set(out))
    if unknown:
        raise DataError(f"device {device!r}: array {unknown[0]!r} is no input of the model, expected {', '.join(out)}")
    return out


def _array(device: str, given: Rows, spec: TensorSpec) -> Array:
    if spec.name not in given:
        raise DataError(f"device {device!r}: expected the array {spec.name!r}, got {', '.join(given) or 'none'}")
    array = np.asarray(given[spec.name])
    if array.shape[1:] != spec.shape[1:] or array.dtype.kind not in "biuf":
        expected = f"{spec.dtype}[examples{''.join(f', {n}' for n in spec.shape[1:])}]"
        raise DataError(
            f"device {device!r}, array {spec.name!r}: expected {expected}, got {array.dtype}{list(array.shape)}"
        )
    if array.dtype.kind == "f" and "int" in spec.dtype and not np.array_equal(array, np.trunc(array)):
        strange = array[array != np.trunc(array)][0]
        raise DataError(f"device {device!r}, array {spec.name!r}: expected whole numbers, got {strange}")
    return array.astype(spec.dtype, copy=False)
