"""Code of the user's own, named as `module:name`: found beside the user, its errors told apart from ours."""

from __future__ import annotations

import contextlib
import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgewise_wire.errors import ConfigError, EdgewiseError, InputError

INSTALLED = ("site-packages", "dist-packages")


class UserCodeError(InputError):
    """Code that the user named by `module:name` raised; its message says where, `frames` how it got there."""

    def __init__(self, what: str, cause: BaseException) -> None:
        self.frames = own_frames(cause)
        text = " ".join(str(cause).split())
        where = ""
        if self.frames:
            last = self.frames[-1]
            where = f" at {Path(last.filename).name}:{last.lineno}"
        elif isinstance(cause, SyntaxError) and cause.filename:
            where, text = f" at {Path(cause.filename).name}:{cause.lineno}", cause.msg
        super().__init__(f"{what}: raised {type(cause).__name__}{where}{f' ({text})' if text else ''}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_told, (str(self), self.frames)  # from a worker process the words come, and not the cause


def _as_told(text: str, frames: list[traceback.FrameSummary]) -> UserCodeError:
    """Return the error of another process."""
    found = UserCodeError.__new__(UserCodeError)
    InputError.__init__(found, text)
    found.frames = frames
    return found


def load_named(what: str, name: str) -> Any:
    """Return what `module:name` stands for; the current folder is looked in first, then what is installed.

    Args:
        what: what it is wanted for, to begin an error's message with, such as `data`.
        name: the module, a colon, and the attribute.

    Raises:
        ConfigError: if it is not of that form, or there is no such module or attribute.
        UserCodeError: if the module cannot be run.

    Example:
        >>> load_named("selection", "math:pi")
        3.141592653589793
    """
    module_name, colon, attribute = name.partition(":")
    subject = f"{what} {name!r}"
    if not (module_name.strip(".") == module_name != "" and colon and attribute):
        raise ConfigError(f"{subject}: expected module:function, such as mymodule:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with user_code(subject):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise  # found, but what it imports is not
            raise ConfigError(
                f"{subject}: no module {error.name!r} in this folder or among what is installed"
            ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise ConfigError(f"{subject}: {module_name} has no {attribute!r}") from error


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Tell what code of the user's raises in the block apart from errors of ours.

    Raises:
        UserCodeError: for every exception but those of edgewise's own tree, which pass.
    """
    try:
        yield
    except EdgewiseError:
        raise
    except Exception as error:
        raise UserCodeError(what, error) from error


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of an error's traceback that are the user's: not ours, an installed package's or Python's."""
    trace, python = error.__traceback__, (sysconfig.get_path("stdlib"), "<frozen")
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(trace)]
    return [
        summary for summary, module in zip(traceback.extract_tb(trace), modules, strict=True)
        if not module.startswith("edgewise") and not summary.filename.startswith(python)
        and not any(folder in Path(summary.filename).parts for folder in INSTALLED)
    ]  # fmt: skip
