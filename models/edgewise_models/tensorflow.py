"""TensorFlow, imported without its chatter: `from edgewise_models.tensorflow import tf`.

Its C++ parts write to file descriptor 2 while they load and convert, before any Python logging setting reaches them; a
person who typed a command wants the one line that matters. `EDGEWISE_VERBOSE=1` lets it through.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from edgewise_wire.errors import UnavailableError


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what C++ writes to standard error, unless `EDGEWISE_VERBOSE` is set."""
    if os.environ.get("EDGEWISE_VERBOSE"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
try:
    with quiet():
        import tensorflow as tf
        from tensorflow.lite.python import schema_py_generated as schema

        tf.get_logger().setLevel("ERROR")
        if (absl := sys.modules.get("absl.logging")) is not None:
            absl.set_verbosity(absl.ERROR)
except ImportError as error:
    raise UnavailableError(f"TensorFlow cannot be imported: pip install 'edgewise[models]' ({error})") from error

__all__ = ["quiet", "schema", "tf"]
