"""The one import of a TFLite runtime: `ai_edge_litert`, or `tflite_runtime` where that is not installed.

`EDGEWISE_RUNTIME` (or the `runtime` argument) forces one of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ConfigError, ModelError, UnavailableError

VARIABLE = "EDGEWISE_RUNTIME"
NOTICE = b"Created TensorFlow Lite XNNPACK delegate"
Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""A signature's inputs or outputs by name."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that can be imported here: the name of its module and its version."""

    name: str
    version: str
    module: Any

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
"""The module of each runtime and the name under which pip installs it, best first."""


def installed() -> tuple[str, ...]:
    """Return the names of the runtimes that are installed here, best first.

    Example:
        >>> set(installed()) <= {"ai_edge_litert", "tflite_runtime"}
        True
    """
    return tuple(name for name in DISTRIBUTIONS if importlib.util.find_spec(name) is not None)


def find(name: str | None = None) -> Runtime:
    """Import and return the runtime called `name`, else the one that `EDGEWISE_RUNTIME` names, else the best installed.

    Raises:
        ConfigError: if the name is none of the two.
        UnavailableError: if it (or any) cannot be imported, saying what to install.
    """
    asked = name or os.environ.get(VARIABLE) or ""
    if asked and asked not in DISTRIBUTIONS:
        raise ConfigError(f"runtime {asked!r}: expected one of {', '.join(DISTRIBUTIONS)}")
    for candidate in (asked,) if asked else installed():
        return _load(candidate)
    raise UnavailableError("no TFLite runtime is installed: pip install 'edgewise[device]' (or ai-edge-litert)")


class Session:
    """One interpreter over one model: calls a signature by name with NumPy arrays, returns copies.

    Args:
        model: the file's path (mapped into memory) or its bytes (kept).
        threads: how many threads the kernels may use.
        runtime: `find()`'s result.

    Raises:
        ModelError: if the runtime refuses the model.
    """

    def __init__(self, model: str | bytes, *, threads: int, runtime: Runtime) -> None:
        self.runtime = runtime
        self._signatures: dict[str, _Signature] = {}
        try:
            with _without_notice():
                self._interpreter = _interpreter(model, threads, runtime)
                # tflite-runtime gives the graph to XNNPACK only if this precedes the first signature runner: 10 ms.
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{runtime} refuses the model: {_first_line(error)}") from error

    def call(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Run one signature. The arrays returned are the caller's own.

        Raises:
            ModelError: if the graph has no such signature or a kernel fails.
        """
        try:
            return (self._signatures.get(signature) or self._signature(signature))(inputs)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"signature {signature!r} failed in {self.runtime}: {_first_line(error)}") from error

    def call_deferred(self, signature: str, inputs: Tensors) -> dict[str, Callable[[], NDArray[Any]]]:
        """Run one signature; return what gives each output when it is called: views, good until the next `call`.

        Raises:
            ModelError: as `call`.
        """
        try:
            return self._signature(signature).deferred(inputs)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"signature {signature!r} failed in {self.runtime}: {_first_line(error)}") from error

    def _signature(self, name: str) -> _Signature:
        found = self._signatures.get(name)
        if found is None:
            runner = self._interpreter.get_signature_runner(name)
            found = self._signatures[name] = _Signature(self._interpreter, runner)
        return found


class _Signature:
    """One signature, called without the runtime's own signature runner.

    Shapes are the manifest's and do not change, so tensors are allocated once and no input is ever resized. A signature
    runner does both before each call, which takes a small model half of its time, and more: for a scalar it asks for
    the shape of an empty list, and on aarch64 `ResizeInputTensor` of LiteRT 2.0.3, 2.1.6 and 2.3.0 then clears minus
    four bytes, a segmentation fault in every training step. x86-64 does not show it, nor does tflite-runtime 2.14.
    """

    def __init__(self, interpreter: Any, runner: Any) -> None:
        self._interpreter = interpreter
        self._wrapper = runner._interpreter_wrapper
        self._subgraph: int = runner._subgraph_index
        self._inputs: dict[str, int] = dict(runner._inputs)
        self._outputs: list[tuple[str, int]] = list(runner._outputs)
        self._wrapper.AllocateTensors(self._subgraph)

    def __call__(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return copies of the outputs."""
        self._invoke(inputs)
        get, subgraph = self._wrapper.GetTensor, self._subgraph
        return {name: get(index, subgraph) for name, index in self._outputs}

    def deferred(self, inputs: Tensors) -> dict[str, Callable[[], NDArray[Any]]]:
        """Return what gives views of the outputs, good until the next call of any signature."""
        self._invoke(inputs)
        view, owner, subgraph = self._wrapper.tensor, self._interpreter, self._subgraph
        return {name: partial(view, owner, index, subgraph) for name, index in self._outputs}

    def _invoke(self, inputs: Tensors) -> None:
        if inputs.keys() != self._inputs.keys():
            raise ValueError(f"expected the inputs {', '.join(self._inputs)}, got {', '.join(inputs)}")
        put, places, subgraph = self._wrapper.SetTensor, self._inputs, self._subgraph
        for name, value in inputs.items():
            put(places[name], value, subgraph)
        self._wrapper.Invoke(subgraph)


def _interpreter(model: str | bytes, threads: int, runtime: Runtime) -> Any:
    module = runtime.module
    options: dict[str, Any] = {"num_threads": threads}
    options["model_content" if isinstance(model, bytes) else "model_path"] = model
    if runtime.name == "tflite_runtime" and threads > 1:
        # With two threads its own pool and XNNPACK's fight over the cores: 130 ms a step against 33 without XNNPACK.
        # Never for LiteRT, whose BATCH_MATMUL then falls back to a reference kernel (960 ms).
        options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module.Interpreter(**options)


@contextmanager
def _without_notice() -> Iterator[None]:
    """Keep the runtime's C++ notice of its XNNPACK delegate off standard error; whatever else comes there passes."""
    sys.stderr.flush()
    kept = os.dup(2)
    with _scratch_file() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            rest = b"".join(line for line in held if NOTICE not in line)
            if rest:
                os.write(2, rest)


def _scratch_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):  # importing tempfile would cost a device a megabyte
        return os.fdopen(os.memfd_create("edgewise-stderr"), "r+b")
    import tempfile

    return cast("BinaryIO", tempfile.TemporaryFile())


def _load(name: str) -> Runtime:
    distribution = DISTRIBUTIONS[name]
    try:
        module = importlib.import_module(f"{name}.interpreter")
        version = getattr(importlib.import_module(name), "__version__", "")
    except ImportError as error:
        numpy = f" (NumPy here is {np.__version__}; tflite-runtime needs NumPy 1)" if name == "tflite_runtime" else ""
        raise UnavailableError(
            f"the runtime {name} cannot be imported{numpy}: pip install {distribution} ({_first_line(error)})"
        ) from error
    return Runtime(name, version, module)


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"(?<=\w)(?=Node number \d)", "; ", line)  # the runtime puts its two sentences together as one word
