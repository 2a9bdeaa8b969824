"""`--dashboard`, for the commands that have it; what serves it is imported only where it is wanted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import click

from edgewise_wire.errors import UnavailableError

LOCAL_PORT = 8750
LOCAL = f"127.0.0.1:{LOCAL_PORT}"


@contextlib.contextmanager
def dashboard_at(directory: Path, where: str | None, log_kind: str = "plain") -> Iterator[str]:
    """Serve a directory's dashboard until the block ends and say where; nothing if `where` is `None`. Gives its link.

    Raises:
        ConfigError: if `where` is no address.
        UnavailableError: if nobody can listen there, or the packages are not installed.
    """
    if where is None:
        yield ""
        return
    try:
        from edgewise.dashboard.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgewise"):
            raise
        raise UnavailableError(f"the dashboard needs {error.name!r}: pip install 'edgewise[coordinator]'") from error
    with serve(directory, where) as serving:
        if log_kind == "json":  # a log is kept and read by many: no token in it
            logging.getLogger("edgewise.dashboard").info("dashboard on %s", serving.url)
        else:
            if where == LOCAL and not serving.url.endswith(f":{LOCAL_PORT}/"):
                click.echo(f"Port {LOCAL_PORT} is taken, perhaps by another dashboard; this one has its own:", err=True)
            click.echo(f"Dashboard: {serving.link}", err=True)
        yield serving.link
