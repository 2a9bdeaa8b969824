"""The runtime is found, forced by name, and missed in one line that says what to install."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise_edge import runtime as r
from edgewise_wire.errors import ConfigError, ModelError, UnavailableError


def test_the_best_installed_runtime_is_found() -> None:
    found = r.find()
    assert found.name == r.installed()[0]
    assert str(found) == f"{found.name} {found.version}"


def test_a_runtime_can_be_forced_by_argument_and_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    name = r.installed()[-1]
    assert r.find(name).name == name
    monkeypatch.setenv("EDGEWISE_RUNTIME", name)
    assert r.find().name == name
    monkeypatch.setenv("EDGEWISE_RUNTIME", "jax")
    with pytest.raises(ConfigError, match="runtime 'jax': expected one of ai_edge_litert, tflite_runtime"):
        r.find()


def test_a_runtime_that_is_not_there_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [name for name in r.DISTRIBUTIONS if name not in r.installed()]
    for name in missing:
        with pytest.raises(UnavailableError, match=f"pip install {r.DISTRIBUTIONS[name]}"):
            r.find(name)
    monkeypatch.setattr(r, "installed", lambda: ())
    monkeypatch.delenv("EDGEWISE_RUNTIME", raising=False)
    with pytest.raises(UnavailableError, match=r"pip install 'edgewise\[device\]'"):
        r.find()


def test_a_signature_that_is_not_there_and_a_kernel_that_fails_are_model_errors(fixture_dir: Path) -> None:
    session = r.Session(str(fixture_dir / "tiny.tflite"), threads=1, runtime=r.find())
    with pytest.raises(ModelError, match="signature 'dance' failed in"):
        session.call("dance", {})
    with pytest.raises(ModelError, match="signature 'infer' failed in"):
        session.call("infer", {"tokens": np.zeros((1, 5), np.float64)})


def test_the_runtime_refuses_what_is_no_model() -> None:
    with pytest.raises(ModelError, match="refuses the model"):
        r.Session(b"no model at all", threads=1, runtime=r.find())


def test_nothing_is_written_to_standard_error(fixture_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    session = r.Session(str(fixture_dir / "tiny.tflite"), threads=1, runtime=r.find())
    session.call("get_weights", {"dummy": np.zeros((), np.float32)})
    assert capfd.readouterr().err == ""


def test_no_runtime_is_asked_to_resize_an_input(fixture_dir: Path) -> None:
    """LiteRT on aarch64 dies of it for a scalar; the signature's insides are private, so another version may differ."""
    session = r.Session(str(fixture_dir / "tiny.tflite"), threads=1, runtime=r.find())
    session.call("get_weights", {"dummy": np.zeros((), np.float32)})
    signature = session._signatures["get_weights"]
    asked: list[object] = []
    wrapper = signature._wrapper

    class Listening:
        def ResizeInputTensor(self, *arguments: object) -> None:  # noqa: N802
            asked.append(arguments)
            wrapper.ResizeInputTensor(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(wrapper, name)

    signature._wrapper = Listening()
    session.call("get_weights", {"dummy": np.zeros((), np.float32)})
    assert asked == []
