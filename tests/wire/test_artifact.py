"""A model file is read without a runtime, weights change in place, and a torn or hostile file is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgewise_wire import tflite_file
from edgewise_wire.artifact import Artifact, seal
from edgewise_wire.errors import InputError, ModelError
from edgewise_wire.tflite_cost import costs, flops, peak_bytes
from edgewise_wire.weights import pack


@pytest.fixture(scope="module")
def data(fixture_dir: Path) -> bytes:
    return (fixture_dir / "tiny.tflite").read_bytes()


@pytest.fixture
def artifact(data: bytes) -> Artifact:
    return Artifact.load(data)


def test_it_says_what_it_holds(artifact: Artifact, fixture_dir: Path) -> None:
    assert artifact.manifest.name == "tiny"
    assert set(artifact.signatures) >= {"train", "evaluate", "infer", "get_weights", "set_weights"}
    assert {name: array.shape for name, array in artifact.weights().items()} == {
        "embedding": (30, 6),
        "output_bias": (30,),
        "lstm_kernel": (12, 30),
        "lstm_bias": (30,),
        "projection": (10, 6),
    }
    assert artifact.weights()["lstm_bias"][:10].tolist() == [1.0] * 10
    assert not any(code.custom or code.flex for code in artifact.file.codes)
    assert Artifact.load(fixture_dir / "tiny.tflite").graph_hash == artifact.graph_hash


def test_weights_change_in_place_and_the_graph_stays(artifact: Artifact) -> None:
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=a.shape).astype("f4") for name, a in artifact.weights().items()}
    trained = Artifact.load(artifact.with_weights(given))
    for name, array in trained.weights().items():
        np.testing.assert_array_equal(array, given[name])
    assert trained.graph_hash == artifact.graph_hash
    assert trained.weights_hash != artifact.weights_hash
    assert trained.weights_hash == hashlib.sha256(pack(given, artifact.manifest.weights)).digest()
    assert trained.with_weights(artifact.weights()) == artifact.data


def test_every_byte_that_a_patch_may_change_belongs_to_one_weight(artifact: Artifact) -> None:
    ones = {name: np.full(a.shape, 7.5, "f4") for name, a in artifact.weights().items()}
    one = ones | {"lstm_bias": np.full(30, -2.0, "f4")}
    first = np.frombuffer(artifact.with_weights(ones), "u1")
    second = np.frombuffer(artifact.with_weights(one), "u1")
    changed = np.flatnonzero(first != second)
    assert changed.max() - changed.min() < 4 * 30


def test_constants_are_aligned_to_16_bytes(artifact: Artifact) -> None:
    filled = [span for span in artifact.file.buffers if span.size]
    assert filled
    assert not [span for span in filled if span.start % 16]


def test_the_graph_hash_sees_a_change_of_the_graph(artifact: Artifact) -> None:
    at = artifact.data.index(b"min_runtime_version")
    other = artifact.data[:at] + b"M" + artifact.data[at + 1 :]
    with pytest.raises(ModelError, match="damaged: its checksum"):
        Artifact.load(other)
    assert Artifact.load(seal(other)).graph_hash != artifact.graph_hash
    assert seal(artifact.data) == artifact.data


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lstm_bias": np.zeros(29, "f4")}, r"'lstm_bias': expected float32\[30\], got float32\[29\]"),
        ({"lstm_bias": np.full(30, np.nan, "f4")}, "'lstm_bias': expected finite numbers"),
    ],
)
def test_weights_that_do_not_fit_are_refused(artifact: Artifact, change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words):
        artifact.with_weights({**artifact.weights(), **change})


def test_the_cost_counts_the_products(artifact: Artifact) -> None:
    subgraph = artifact.signatures["train"].subgraph
    b, t, v, d, h = 4, 5, 30, 6, 10
    forward = b * t * d * 3 * h + b * (t - 1) * d * 3 * h + b * t * h * d + b * t * (d + 1) * v
    backward = 2 * b * t * h * d + b * t * 2 * d * 3 * h + b * t * d * 3 * h + b * (t - 1) * d * 3 * h
    output = b * t * v * d + b * t * v * (d + 1)
    assert flops(artifact.file, subgraph) == 2 * (forward + backward + output) == artifact.manifest.flops
    assert b * t * v * 4 < peak_bytes(artifact.file, subgraph) < 100 * b * t * v * 4
    assert costs(artifact.file, subgraph)[0].name == "BATCH_MATMUL"


def test_no_file_or_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("dear diary, this is no model")
    for source, words in [
        (tmp_path / "absent.tflite", "absent.tflite: cannot be read: No such file"),
        (tmp_path, "a folder"),
        (text, "notes.txt: not a TFLite file"),
        (b"", "not a TFLite file"),
        (b"\x20\0\0\0TFL3", "damaged TFLite file"),
    ]:
        with pytest.raises(ModelError, match=re.escape(words)) as caught:
            Artifact.load(source)
        assert "\n" not in str(caught.value)


def test_a_file_without_a_manifest_or_a_signature_says_so(data: bytes) -> None:
    with pytest.raises(ModelError, match="without an edgewise manifest: make one with `edgewise export`"):
        Artifact.load(data.replace(b"edgewise.manifest", b"somebody.manifest"))
    with pytest.raises(ModelError, match="without the signature 'evaluate'"):
        Artifact.load(data.replace(b"evaluate\0", b"Evaluate\0"))


def test_a_manifest_that_contradicts_the_graph_is_refused(data: bytes) -> None:
    def patched(old: bytes, new: bytes) -> bytes:
        assert len(old) == len(new)
        assert data.count(old) == 1
        return data.replace(old, new)

    for old, new, words in [
        (b'"name":"lstm_bias"', b'"name":"lstm_BIAS"', "'lstm_BIAS' of 'get_weights'"),
        (b'"shape":[10,6]', b'"shape":[6,10]', "'projection'"),
        (b'"name":"tokens","shape":[4,5]', b'"name":"tokens","shape":[5,4]', "input 'tokens' of 'train'"),
    ]:
        with pytest.raises(ModelError, match=words):
            Artifact.load(patched(old, new))


def test_a_manifest_may_not_point_a_weight_at_foreign_bytes(data: bytes) -> None:
    numbers = re.findall(rb'"buffer":(\d+),"dtype":"float32","name":"(lstm_bias|output_bias)"', data)
    (first, _), (second, _) = numbers
    assert len(first) == len(second)
    shared = data.replace(b'"buffer":' + first + b',"dtype"', b'"buffer":' + second + b',"dtype"')
    with pytest.raises(ModelError, match="share buffer"):
        Artifact.load(shared)
    other = b"1".zfill(len(first)).replace(b"0", b"1")
    with pytest.raises(ModelError, match=r"takes 120 bytes|is not in the file"):
        Artifact.load(data.replace(b'"buffer":' + first + b',"dtype"', b'"buffer":' + other + b',"dtype"'))


def test_a_file_cut_anywhere_is_refused(data: bytes) -> None:
    for length in range(0, len(data) - 1, 997):
        with pytest.raises(ModelError):
            Artifact.load(data[:length])


def corruptions(data: bytes, count: int) -> list[bytes]:
    """The file with a few bytes changed where its structure is: in and before the tables of the graph."""
    rng = np.random.default_rng(11)
    out = []
    for _ in range(count):
        torn = bytearray(data)
        for at in rng.integers(0, len(data), 8):
            torn[at] = rng.integers(256)
        for at in rng.integers(0, len(data) // 4, 4) * 4:  # whole offsets, the worst kind
            torn[at : at + 4] = rng.integers(0, 1 << 32, dtype=np.uint32).tobytes()
        out.append(bytes(torn))
    return out


def test_a_corrupt_file_gives_a_model_error_and_nothing_else(data: bytes) -> None:
    refused = 0
    for torn in corruptions(data, 300):
        try:
            Artifact.load(torn)
        except ModelError:
            refused += 1
        with suppress(ModelError):  # with a checksum that fits, only the structure is looked at
            file = Artifact.load(seal(torn)).file
            costs(file, 0)
            peak_bytes(file, 0)
    assert refused == 300


def test_one_wrong_byte_with_a_checksum_that_fits_never_breaks_the_reader(data: bytes) -> None:
    loaded = 0
    rng = np.random.default_rng(2)
    for at in rng.integers(0, len(data), 150):
        torn = data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]
        with suppress(ModelError):
            file = Artifact.load(seal(torn)).file
            loaded += 1
            for subgraph in range(len(file.subgraphs)):
                costs(file, subgraph)
                peak_bytes(file, subgraph)
    assert loaded > 10


def test_counts_and_sizes_are_bounded_before_use(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[tuple[str, int, str]] = [
        ("TABLES_MAX", 50, "more than 50 tables"),
        ("FILE_BYTES_MAX", 99, "too large"),
    ]
    for name, value, words in bounds:
        with monkeypatch.context() as patch:
            patch.setattr(tflite_file, name, value)
            with pytest.raises(ModelError, match=words):
                tflite_file.parse(data)


def test_each_index_inside_the_graph_is_checked(data: bytes) -> None:
    """Point every index vector of an operator out of range in turn: none may pass."""
    file = tflite_file.parse(data)
    operator = next(op for graph in file.subgraphs for op in graph.operators if op.inputs.size >= 3)
    needle = operator.inputs.astype("<i4").tobytes()
    wrong: Callable[[int], bytes] = lambda value: np.array([value], "<i4").tobytes() + needle[4:]  # noqa: E731
    assert data.count(needle)
    for value in (1 << 30, -2):
        with pytest.raises(ModelError, match="does not have"):
            tflite_file.parse(data.replace(needle, wrong(value)))
