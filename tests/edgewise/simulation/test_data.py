"""What devices hold: texts as a device's store has them, arrays checked against the model, rows dealt out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.simulation import ArrayData
from edgewise.simulation.data import text_data
from edgewise.simulation.partition import by_label, evenly, unevenly
from edgewise.simulation.sources import open_data
from edgewise_edge.host import next_word_examples
from edgewise_edge.store import ExampleStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.manifest import Manifest
from simulated import people


@pytest.fixture
def manifest(fixture_dir: Path) -> Manifest:
    return Artifact.load(fixture_dir / "tiny.tflite").manifest


def arrays(manifest: Manifest, rows: int) -> dict[str, Any]:
    specs = (*manifest.inputs, manifest.labels, manifest.weight)
    return {spec.name: np.ones((rows, *spec.shape[1:]), spec.dtype) for spec in specs}


def test_texts_become_the_rows_that_a_devices_store_gives(manifest: Manifest, tmp_path: Path) -> None:
    texts = people(1)["pi-0"]
    with ExampleStore(tmp_path / "examples.db") as store:
        store.add_many(texts)
        for held_out in (False, True):
            real = next_word_examples(manifest, store.texts(held_out=held_out), held_out)
            found = text_data({"pi-0": texts}, manifest).rows(0, held_out=held_out)
            [batch] = real.batches(np.arange(len(real))) if len(real) <= manifest.batch else [None]
            expected = next(iter(real.batches(np.arange(len(real)))))
            for name, array in expected.items():
                count = min(manifest.batch, len(real))
                np.testing.assert_array_equal(array[:count], found[name][:count])
            assert len(found["labels"]) == len(real)
            del batch


def test_fewer_devices_are_those_with_the_most_and_more_share(manifest: Manifest) -> None:
    fewer = open_data(people(5), manifest, 2)
    assert list(fewer.devices) == ["pi-3", "pi-4"]
    more = open_data(people(5), manifest, 12)
    assert len(more.devices) == 12
    assert more.counts(held_out=False)[7] == open_data(people(5), manifest).counts(held_out=False)[2]
    np.testing.assert_array_equal(more.rows(7, held_out=True)["labels"], more.rows(2, held_out=True)["labels"])


def test_arrays_from_a_file(manifest: Manifest, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "data.npz", device=np.array(["b", "a", "b"]), held_out=np.array([0, 0, 1]), **arrays(manifest, 3)
    )
    found = open_data(str(tmp_path / "data.npz"), manifest)
    assert list(found.devices) == ["a", "b"]
    assert found.counts(held_out=False).tolist() == [1, 1]
    assert found.counts(held_out=True).tolist() == [0, 1]


def test_what_does_not_fit_the_model_is_named(manifest: Manifest, tmp_path: Path) -> None:
    good = arrays(manifest, 2)
    with pytest.raises(DataError, match="device 'a': expected the array 'tokens'"):
        ArrayData.of_devices({"a": ({"labels": good["labels"]}, good)}, manifest)
    with pytest.raises(DataError, match=r"array 'labels': expected int32\[examples, \d+\], got float32\[2, 3\]"):
        ArrayData.of_devices({"a": ({**good, "labels": np.ones((2, 3), "f4")}, good)}, manifest)
    with pytest.raises(DataError, match="as many rows"):
        ArrayData.of_devices({"a": ({**good, "labels": good["labels"][:1]}, good)}, manifest)
    with pytest.raises(DataError, match="'colour' is no input"):
        ArrayData.of_devices({"a": ({**good, "colour": good["labels"]}, good)}, manifest)
    with pytest.raises(DataError, match="at least one device"):
        ArrayData.of_devices({}, manifest)
    with pytest.raises(DataError, match="sorted"):
        ArrayData(["b", "a"], {}, np.zeros(2, "i8"), {}, np.zeros(2, "i8"))
    np.savez(tmp_path / "data.npz", **good)
    with pytest.raises(DataError, match="expected an array 'device'"):
        open_data(tmp_path / "data.npz", manifest)


def test_rows_are_dealt_out_once_each() -> None:
    labels = np.repeat(np.arange(10), 50)
    for shares in (evenly(500, 7), unevenly(500, [5, 3, 1]), by_label(labels, 20, 0.3)):
        assert sorted(np.concatenate(shares).tolist()) == list(range(500))
    assert max(map(len, evenly(500, 7))) - min(map(len, evenly(500, 7))) == 1
    with pytest.raises(ConfigError, match="alpha"):
        by_label(labels, 3, 0.0)


def test_a_small_alpha_gives_devices_labels_of_their_own() -> None:
    labels = np.repeat(np.arange(10), 100)

    def largest(alpha: float) -> float:
        shares = by_label(labels, 20, alpha)
        return float(np.mean([np.bincount(labels[rows]).max() / len(rows) for rows in shares if len(rows)]))

    assert largest(0.05) > 0.6
    assert largest(1000.0) < 0.2


def test_rows_of_a_file_go_to_their_devices_in_the_order_in_which_they_stand(
    manifest: Manifest, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    owners, held = rng.choice(["c", "a", "b"], 40), rng.random(40) < 0.3
    given = arrays(manifest, 40)
    given[manifest.labels.name] = given[manifest.labels.name] * np.arange(40, dtype=np.int32)[:, None]
    np.savez(tmp_path / "data.npz", device=owners, held_out=held, **given)
    found = open_data(tmp_path / "data.npz", manifest)
    for number, name in enumerate("abc"):
        for which in (False, True):
            expected = given[manifest.labels.name][(owners == name) & (held == which)]
            np.testing.assert_array_equal(found.rows(number, held_out=which)[manifest.labels.name], expected)


class Own:
    """A `TaskData` as somebody might write it: lists for counts, no weights, and what a test asks to be wrong."""

    def __init__(self, manifest: Manifest, **wrong: Any) -> None:
        self.devices = wrong.get("devices", ["a", "b"])
        self._counts, self._manifest, self._wrong = wrong.get("counts", [3, 1]), manifest, wrong

    def counts(self, *, held_out: bool) -> Any:
        return [0] * len(self.devices) if held_out else self._counts

    def rows(self, device: int, *, held_out: bool) -> dict[str, Any]:
        found = arrays(self._manifest, 0 if held_out else self._counts[device])
        del found[self._manifest.weight.name]
        return found | self._wrong.get("rows", {})


def test_what_a_task_data_of_ones_own_gives_is_brought_into_form(manifest: Manifest) -> None:
    found = open_data(Own(manifest), manifest)
    assert found.counts(held_out=False).tolist() == [3, 1]
    np.testing.assert_array_equal(
        found.rows(0, held_out=False)[manifest.weight.name], np.ones((3, *manifest.weight.shape[1:]), np.float32)
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"devices": ["b", "a"]}, "devices: expected different names, sorted"),
        ({"devices": ["a", "a"]}, "devices: expected different names, sorted"),
        ({"counts": [3]}, r"counts: expected int64\[2\], one a device, got int64\[1\]"),
        ({"rows": {"labels": np.ones((2, 5), np.int32)}}, "device 'a'.*labels"),
        ({"rows": {"moods": np.ones(3)}}, "device 'a': array 'moods' is no input of the model"),
    ],
    ids=["unsorted", "twice", "too few counts", "another length", "no input"],
)
def test_what_is_wrong_with_it_is_said(manifest: Manifest, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_data(Own(manifest, **wrong), manifest).rows(0, held_out=False)


def test_counts_and_rows_must_agree(manifest: Manifest) -> None:
    given = Own(manifest)
    found = open_data(given, manifest)
    given._counts = [2, 1]
    with pytest.raises(DataError, match="device 'a': counts said 3 examples, rows gave 2"):
        found.rows(0, held_out=False)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, "expected a TaskData, got int"),
        ({}, "expected at least one device"),
        ({"a": 3}, "expected a list of texts for each person, got 3 for 'a'"),
        ({"a": "so it is"}, "expected a list of texts for each person, got the text 'so it is' for 'a'"),
        ({"a": (np.zeros(3), np.zeros(3))}, "got tuple of other things for 'a'; arrays by device are what `ArrayData"),
        (ArrayData, r"got the class ArrayData; make one: ArrayData\("),
    ],
)
def test_what_is_no_data_is_refused(manifest: Manifest, source: Any, words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        open_data(source, manifest)


def test_the_second_half_of_a_device_is_asked_for(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="device 'a': expected a pair"):
        ArrayData.of_devices({"a": arrays(manifest, 3)}, manifest)  # type: ignore[dict-item]


SCRIPT = """
import sys
import edgewise
from edgewise.simulation.data import text_data
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError

class Mine:
    def __init__(self, data):
        self.devices, self.counts, self.rows = data.devices, data.counts, data.rows

data = Mine(text_data({"a": ["so it is"] * 5, "b": ["can you see me"] * 5}, Artifact.load(sys.argv[1]).manifest))
print(edgewise.simulate(sys.argv[1], data, rounds=1, cohort=2, workers=1))
try:
    edgewise.simulate(sys.argv[1], data, rounds=1, cohort=2, workers=2)
except ConfigError as error:
    print(error)
"""


def test_a_class_that_only_the_running_script_has_is_for_this_process_alone(fixture_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "mine.py"), str(fixture_dir / "tiny.tflite")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[0].startswith("Result(fedavg, rounds 1")
    assert told[1].startswith("data: 'Mine' was made in the script that is running")
