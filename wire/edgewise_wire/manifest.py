"""The manifest: what a model file says about itself, as JSON in its TFLite metadata entry `edgewise.manifest`.

No client hard-codes a layer's size or a vocabulary: it reads them here. Unknown keys are skipped, so that a later
writer may add some; a missing or wrong one is refused by its name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from edgewise_wire.errors import ModelError
from edgewise_wire.weights import ROLES, Role, WeightSpec

FORMAT = 1
ENTRY = "edgewise.manifest"
UNSEALED = "0" * 64
MANIFEST_BYTES_MAX = 32 << 20  # a million words fit
ITEMS_MAX = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input of a signature: its name, shape and dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Variant:
    """A `train` signature for shorter batches: only `steps` time steps, only `rows` positions with a label."""

    signature: str
    steps: int
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a device or a coordinator must know about a model file.

    `weights` are in the order in which they travel; `buffers[i]` is the number of the constant buffer that holds the
    initial bytes of `weights[i]`. `steps` is 0 for a model without a time axis. `inputs` are the model's own inputs at
    training; `labels` and `weight` come with them, and `seed` says whether an int32 `seed` does too. `flops` counts
    the matrix products of one `train` call; `peak_memory` is what a process is expected to hold that trains, evaluates
    and predicts, in bytes. `vocabulary_hash` is `vocabulary_hash(vocabulary)` in hexadecimal, empty without words.
    `frozen` are the numbers of the constant buffers of weights that do not train; they do not travel by themselves.
    `packs` says that a row may hold several sequences one after the other, each begun by the tokenizer's start mark.
    `checksum` guards every byte of the file but the averaged weights; `artifact.seal` sets it.
    """

    task: str
    name: str
    weights: tuple[WeightSpec, ...]
    buffers: tuple[int, ...]
    batch: int
    steps: int
    inputs: tuple[TensorSpec, ...]
    labels: TensorSpec
    weight: TensorSpec
    metrics: tuple[str, ...]
    operators: tuple[str, ...]
    min_runtime: str
    flops: int
    peak_memory: int
    seed: bool = False
    tokenizer: str = ""
    vocabulary: tuple[str, ...] = ()
    vocabulary_hash: str = ""
    variants: tuple[Variant, ...] = ()
    packs: bool = False
    frozen: tuple[int, ...] = ()
    format: int = FORMAT
    checksum: str = UNSEALED

    @property
    def averaged(self) -> tuple[WeightSpec, ...]:
        """The weights that travel: all but the optimizer's slots."""
        return tuple(spec for spec in self.weights if spec.averaged)

    def to_json(self) -> bytes:
        """Return the canonical form: UTF-8, keys sorted, no spaces. `from_json` undoes it exactly."""
        return json.dumps(_plain(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes | memoryview) -> Manifest:
        """Read a manifest; keys that are not known are skipped.

        Raises:
            ModelError: naming the key that is missing or not what it must be, or the format that is too new.
        """
        return _manifest(_Keys("manifest", _load(data)))


def vocabulary_hash(words: Iterable[str]) -> str:
    """Return the SHA-256 of a word list as its text file has it (a line feed after each word), in hexadecimal.

    Example:
        >>> vocabulary_hash(["see", "you"])[:12]
        '967d5a595ca2'
    """
    return hashlib.sha256("".join(f"{word}\n" for word in words).encode()).hexdigest()


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as JSON knows it; the weights carry their own buffers."""
    plain = {name: getattr(manifest, name) for name in manifest.__dataclass_fields__ if name != "buffers"}
    if not manifest.frozen:
        del plain["frozen"]
    plain["weights"] = [
        {"name": w.name, "shape": w.shape, "dtype": w.dtype, "role": w.role, "buffer": buffer}
        for w, buffer in zip(manifest.weights, manifest.buffers, strict=True)
    ]
    for name in ("labels", "weight"):
        plain[name] = _tensor_plain(plain[name])
    plain["inputs"] = [_tensor_plain(spec) for spec in manifest.inputs]
    plain["variants"] = [{"signature": v.signature, "steps": v.steps, "rows": v.rows} for v in manifest.variants]
    return plain


def _tensor_plain(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": spec.shape, "dtype": spec.dtype}


def _load(data: bytes | memoryview) -> Any:
    if len(data) > MANIFEST_BYTES_MAX:
        raise ModelError(f"manifest: {len(data)} bytes, expected at most {MANIFEST_BYTES_MAX}")
    try:
        return json.loads(bytes(data).decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ModelError(f"manifest: not JSON in UTF-8: {error}") from None


class _Keys:
    """A JSON object whose values are taken out by key and checked; `where` names it in errors."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ModelError(f"{where}: expected an object, got {type(value).__name__}")
        self.where, self.value = where, cast("Mapping[str, Any]", value)

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self.value.get(key, default)
        if value is None:
            raise ModelError(f"{self.where}: the key {key!r} is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ModelError(f"{self.where}: {key!r} must be {kind.__name__}, got {_short(value)}")
        return value

    def count(self, key: str, least: int = 0, most: int = 1 << 62) -> int:
        value = self.take(key, int)
        if not least <= value <= most:
            raise ModelError(f"{self.where}: {key!r} must be {least} to {most}, got {value}")
        return value

    def each(self, key: str, read: Callable[[str, Any], T], *, optional: bool = False) -> tuple[T, ...]:
        items = self.take(key, list, [] if optional else None)
        if len(items) > ITEMS_MAX:
            raise ModelError(f"{self.where}: {key!r} has {len(items)} items, expected at most {ITEMS_MAX}")
        return tuple(read(f"{self.where}: {key}[{i}]", item) for i, item in enumerate(items))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{where}: expected a string, got {_short(value)}")
    return value


def _side(where: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise ModelError(f"{where}: expected the length of an axis, got {_short(value)}")
    return value


def _tensor(where: str, value: Any) -> TensorSpec:
    keys = _Keys(where, value)
    return TensorSpec(keys.take("name", str), keys.each("shape", _side), keys.take("dtype", str))


def _weight(where: str, value: Any) -> tuple[WeightSpec, int]:
    keys = _Keys(where, value)
    role = keys.take("role", str)
    if role not in ROLES:
        raise ModelError(f"{where}: 'role' must be one of {', '.join(ROLES)}, got {_short(role)}")
    spec = WeightSpec(keys.take("name", str), keys.each("shape", _side), keys.take("dtype", str), cast("Role", role))
    return spec, keys.count("buffer", most=(1 << 32) - 1)


def _variant(where: str, value: Any) -> Variant:
    keys = _Keys(where, value)
    return Variant(keys.take("signature", str), keys.count("steps", 1), keys.count("rows", 1))


def _manifest(keys: _Keys) -> Manifest:
    version = keys.count("format", 1)
    if version > FORMAT:
        raise ModelError(
            f"manifest: format {version} is newer than {FORMAT}, which this edgewise reads: update edgewise"
        )
    pairs = keys.each("weights", _weight)
    names = [spec.name for spec, _ in pairs]
    if not names or len(set(names)) != len(names):
        raise ModelError(f"manifest: expected one weight or more with different names, got {_short(names)}")
    words = keys.each("vocabulary", _text, optional=True)
    digest = keys.take("vocabulary_hash", str, "")
    if words and digest != vocabulary_hash(words):
        raise ModelError(f"manifest: the vocabulary of {len(words)} words does not have the hash {_short(digest)}")
    return Manifest(
        format=version,
        task=keys.take("task", str),
        name=keys.take("name", str),
        weights=tuple(spec for spec, _ in pairs),
        buffers=tuple(buffer for _, buffer in pairs),
        batch=keys.count("batch", 1, 1 << 31),
        steps=keys.count("steps", 0, 1 << 31),
        inputs=keys.each("inputs", _tensor),
        labels=_tensor("manifest: labels", keys.take("labels", dict)),
        weight=_tensor("manifest: weight", keys.take("weight", dict)),
        metrics=keys.each("metrics", _text),
        operators=keys.each("operators", _text),
        min_runtime=keys.take("min_runtime", str),
        flops=keys.count("flops"),
        peak_memory=keys.count("peak_memory"),
        seed=keys.take("seed", bool, False),
        tokenizer=keys.take("tokenizer", str, ""),
        vocabulary=words,
        vocabulary_hash=digest,
        variants=keys.each("variants", _variant, optional=True),
        packs=keys.take("packs", bool, False),
        frozen=keys.each("frozen", _side, optional=True),
        checksum=keys.take("checksum", str),
    )
