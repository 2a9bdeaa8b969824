"""The model file as bytes: its manifest, its weights, its hashes. Needs neither TensorFlow nor a TFLite runtime.

A coordinator reads the initial weights out of the file and writes trained ones back by patching the constant buffers in
place; nothing else of the file changes, so the graph's hash stays the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgewise_wire import manifest as manifests
from edgewise_wire.errors import InputError, ModelError
from edgewise_wire.manifest import Manifest
from edgewise_wire.tflite_file import FILE_BYTES_MAX, Signature, Span, Tensor, TfliteFile, parse
from edgewise_wire.weights import Array, Weights, WeightSpec, check, pack

REQUIRED_SIGNATURES = ("train", "evaluate", "infer", "get_weights", "set_weights")


class Artifact:
    """A checked model file.

    Example:
        >>> artifact = Artifact.load("model.tflite")                            # doctest: +SKIP
        >>> trained = artifact.with_weights(averaged)                           # doctest: +SKIP
        >>> Artifact.load(trained).graph_hash == artifact.graph_hash            # doctest: +SKIP
        True
    """

    def __init__(self, data: bytes, file: TfliteFile, manifest: Manifest) -> None:
        self.data = data
        self.file = file
        self.manifest = manifest
        self._spans = _spans(file, manifest)

    @classmethod
    def load(cls, source: str | Path | bytes) -> Artifact:
        """Read and check a model file, given as its path or its bytes.

        Raises:
            ModelError: if it is not there, no TFLite file, torn, not made by edgewise, or its manifest and its graph
                contradict each other.
        """
        name = "model" if isinstance(source, bytes) else str(source)
        try:
            data = source if isinstance(source, bytes) else _read(Path(source))
            file = parse(data)
            manifest = _read_manifest(data, file)
            _check_signatures(file, manifest)
            artifact = cls(data, file, manifest)
            if artifact._checksum() != manifest.checksum:
                raise ModelError("damaged: its checksum is not the one in its manifest; fetch or export it again")
            return artifact
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from None

    @property
    def signatures(self) -> dict[str, Signature]:
        """The entry points by name."""
        return self.file.signatures

    @cached_property
    def graph_hash(self) -> bytes:
        """SHA-256 of the file with the bytes of all averaged weights read as zeros: 32 bytes.

        Law: `artifact.with_weights(w)` has the same graph hash whatever `w` is.
        """
        return _digest(self.data, self._spans.values())

    @cached_property
    def weights_hash(self) -> bytes:
        """SHA-256 of the weights as they travel (`weights.pack`): 32 bytes, the hash of a round's weights blob."""
        return hashlib.sha256(pack(self.weights(), self.manifest.weights)).digest()

    @property
    def weight_places(self) -> dict[str, Span]:
        """Where the bytes of each averaged weight stand in the file, little-endian and in C order."""
        return dict(self._spans)

    def weights(self) -> dict[str, Array]:
        """Return the averaged weights that the file starts with, by name: copies, in native byte order."""
        return {spec.name: self._weight(spec) for spec in self.manifest.averaged}

    def with_weights(self, weights: Weights) -> bytes:
        """Return the file with other averaged weights in it; nothing else changes.

        Raises:
            InputError: if a weight is missing, has another shape or dtype, or is not finite.
        """
        specs = self.manifest.averaged
        check(weights, specs)
        out = bytearray(self.data)
        for spec in specs:
            array = np.asarray(weights[spec.name])
            if not np.isfinite(array).all():
                raise InputError(f"weight {spec.name!r}: expected finite numbers, got NaN or infinity")
            span = self._spans[spec.name]
            out[span.start : span.stop] = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return bytes(out)

    def _checksum(self) -> str:
        place = _checksum_place(self.data, self.file)
        return _digest(self.data, (*self._spans.values(), place)).hex()

    def _weight(self, spec: WeightSpec) -> Array:
        span = self._spans[spec.name]
        stored = np.frombuffer(self.data, np.dtype(spec.dtype).newbyteorder("<"), spec.size, span.start)
        return stored.astype(spec.dtype).reshape(spec.shape)


def seal(data: bytes) -> bytes:
    """Return a model file with its manifest's checksum set: SHA-256 of all bytes but the averaged weights and itself.

    A storage error must never reach the interpreter, which crashes on some (a SPLIT with a wrong number of parts). It
    is no protection against an author who means harm: they can seal too. Against those stand the checks of `load` and
    the hash that a coordinator signs.

    Raises:
        ModelError: as `Artifact.load` does, but for the checksum.
    """
    file = parse(data)
    manifest = _read_manifest(data, file)
    _check_signatures(file, manifest)
    place = _checksum_place(data, file)
    digest = Artifact(data, file, manifest)._checksum()
    return data[: place.start] + digest.encode() + data[place.stop :]


def _digest(data: bytes, zeros: Iterable[Span]) -> bytes:
    """Return the SHA-256 of `data` with the bytes of `zeros` read as zero; they do not overlap."""
    digest = hashlib.sha256()
    view, at = memoryview(data), 0
    for span in sorted(zeros, key=lambda span: span.start):
        digest.update(view[at : span.start])
        digest.update(bytes(span.size))
        at = span.stop
    digest.update(view[at:])
    return digest.digest()


def _checksum_place(data: bytes, file: TfliteFile) -> Span:
    """Return where the manifest's checksum stands; in canonical JSON only the batch precedes it."""
    span = file.buffers[file.metadata[manifests.ENTRY]]
    key = b'"checksum":"'
    at = data.find(key, span.start, span.stop)
    if at < 0 or data[at + len(key) + len(manifests.UNSEALED) : at + len(key) + len(manifests.UNSEALED) + 1] != b'"':
        raise ModelError("manifest: the key 'checksum' is missing or not 64 hexadecimal digits")
    return Span(at + len(key), len(manifests.UNSEALED))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ModelError(f"too large: {path.stat().st_size} bytes, at most {FILE_BYTES_MAX}")
        return path.read_bytes()
    except IsADirectoryError:
        raise ModelError("a folder, expected a .tflite file") from None
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}") from None


def _read_manifest(data: bytes, file: TfliteFile) -> Manifest:
    if manifests.ENTRY not in file.metadata:
        raise ModelError("a TFLite file without an edgewise manifest: make one with `edgewise export`")
    span = file.buffers[file.metadata[manifests.ENTRY]]
    return Manifest.from_json(memoryview(data)[span.start : span.stop])


def _check_signatures(file: TfliteFile, manifest: Manifest) -> None:
    wanted = (*REQUIRED_SIGNATURES, *(variant.signature for variant in manifest.variants))
    missing = [name for name in wanted if name not in file.signatures]
    if missing:
        have = ", ".join(file.signatures) or "none"
        raise ModelError(
            f"without the signature {missing[0]!r} (it has: {have}): export it again with `edgewise export`"
        )
    _check_weight_tensors("get_weights", file.signatures["get_weights"].outputs, manifest)
    _check_weight_tensors("set_weights", file.signatures["set_weights"].inputs, manifest)
    train = file.signatures["train"].inputs
    for spec in (*manifest.inputs, manifest.labels, manifest.weight):
        if spec.name not in train or str(train[spec.name]) != str(spec):
            got = train.get(spec.name, "nothing")
            raise ModelError(f"input {spec.name!r} of 'train': the manifest says {spec}, the graph has {got}")


def _check_weight_tensors(signature: str, tensors: dict[str, Tensor], manifest: Manifest) -> None:
    for spec in manifest.averaged:
        if spec.name not in tensors or str(tensors[spec.name]) != str(spec):
            got = tensors.get(spec.name, "nothing")
            raise ModelError(f"weight {spec.name!r} of {signature!r}: the manifest says {spec}, the graph has {got}")


def _spans(file: TfliteFile, manifest: Manifest) -> dict[str, Span]:
    """Return where the averaged weights lie, checked so that patching one changes nothing else."""
    spans: dict[str, Span] = {}
    owners: dict[int, str] = {}
    for spec, number in zip(manifest.weights, manifest.buffers, strict=True):
        if not spec.averaged:
            continue
        if number >= len(file.buffers):
            raise ModelError(f"weight {spec.name!r}: buffer {number} is not in the file, which has {len(file.buffers)}")
        if number in owners:
            raise ModelError(f"weights {owners[number]!r} and {spec.name!r} share buffer {number}")
        owners[number] = spec.name
        spans[spec.name] = _span(spec, file.buffers[number])
    _check_alone(file, owners)
    return spans


def _check_alone(file: TfliteFile, owners: dict[int, str]) -> None:
    """Check that a weight's bytes belong to one tensor and to one buffer."""
    uses = Counter(tensor.buffer for subgraph in file.subgraphs for tensor in subgraph.tensors)
    for number, name in owners.items():
        if uses[number] != 1:
            raise ModelError(f"weight {name!r}: its buffer {number} is used by {uses[number]} tensors, expected 1")
    filled = sorted((span.start, span.stop, number) for number, span in enumerate(file.buffers) if span.size)
    for (_, stop, first), (start, _, second) in pairwise(filled):
        if start < stop and (first in owners or second in owners):
            raise ModelError(f"weight {owners.get(first) or owners[second]!r}: another buffer shares its bytes")


def _span(spec: WeightSpec, span: Span) -> Span:
    if spec.dtype not in ("float32", "float16", "float64", "int32", "int64"):
        raise ModelError(f"weight {spec.name!r}: the dtype {spec.dtype!r} cannot be averaged")
    size = spec.size * np.dtype(spec.dtype).itemsize
    if span.size != size or not size:
        raise ModelError(f"weight {spec.name!r}: {spec} takes {size} bytes, its buffer has {span.size}")
    return span
