"""The one import of a TFLite runtime: `ai_edge_litert`, or `tflite_runtime` where that is not installed.

`EDGEWISE_RUNTIME` (or the `runtime` argument) forces one of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
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
Runner: TypeAlias = Callable[..., dict[str, NDArray[Any]]]


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
        self._runners: dict[str, Runner] = {}
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
            return self._runner(signature)(**inputs)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"signature {signature!r} failed in {self.runtime}: {_first_line(error)}") from error

    def call_deferred(self, signature: str, inputs: Tensors) -> dict[str, Callable[[], NDArray[Any]]]:
        """Run one signature; return what gives each output when it is called: views, good until the next `call`.

        Raises:
            ModelError: as `call`.
        """
        try:
            runner = self._runner(signature)
            wrapper = getattr(runner, "_interpreter_wrapper", None)
            if not isinstance(wrapper, _FixedShapes):
                found = runner(**inputs)
                return {name: partial(found.__getitem__, name) for name in found}
            wrapper.owner = self._interpreter
            try:
                return cast("dict[str, Callable[[], NDArray[Any]]]", runner(**inputs))
            finally:
                wrapper.owner = None
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"signature {signature!r} failed in {self.runtime}: {_first_line(error)}") from error

    def _runner(self, signature: str) -> Runner:
        runner = self._runners.get(signature)
        if runner is None:
            runner = self._runners[signature] = _fix_shapes(self._interpreter.get_signature_runner(signature))
        return runner


class _FixedShapes:
    """LiteRT's wrapper of an interpreter, never asked to give an input the shape that it has.

    Shapes are the manifest's and do not change, so tensors are allocated before the first call only: a call of a small
    model takes half as long. For scalars there is more to it: a signature runner resizes every input to its own shape
    before each call, which for them is an empty list, and on aarch64 `ResizeInputTensor` of LiteRT 2.0.3, 2.1.6 and
    2.3.0 then clears minus four bytes: a segmentation fault in every training step. x86-64 does not show it, nor does
    tflite-runtime 2.14.
    """

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self._allocated: set[int] = set()
        self.SetTensor, self.Invoke = wrapper.SetTensor, wrapper.Invoke  # as attributes: found without __getattr__
        self.owner: Any = None  # of views; without one outputs are copied, as ever

    def GetTensor(self, index: int, subgraph: int) -> Any:  # noqa: N802
        """Return a copy of a tensor, or what makes a view of it."""
        if self.owner is None:
            return self._wrapper.GetTensor(index, subgraph)
        return partial(self._wrapper.tensor, self.owner, index, subgraph)

    def ResizeInputTensor(self, index: int, shape: NDArray[Any], strict: bool, subgraph: int) -> None:  # noqa: N802
        """Leave the shape as it is; a value of another one is refused when it is set."""

    def AllocateTensors(self, subgraph: int) -> None:  # noqa: N802
        """Allocate a subgraph's tensors once."""
        if subgraph not in self._allocated:
            self._wrapper.AllocateTensors(subgraph)
            self._allocated.add(subgraph)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapper, name)


def _fix_shapes(runner: Runner) -> Runner:
    if hasattr(runner, "_interpreter_wrapper"):
        runner._interpreter_wrapper = _FixedShapes(runner._interpreter_wrapper)
    return runner


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
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
