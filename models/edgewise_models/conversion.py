"""TensorFlow's converter: concrete functions in, the bytes of a `.tflite` out, its errors in our words."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow.lite.python import lite

from edgewise_models.tensorflow import quiet, tf
from edgewise_wire.errors import ModelError


def convert(functions: Mapping[str, Any], variables: Sequence[Any], *, allow_flex: bool = False) -> bytes:
    """Return what TensorFlow's converter makes of concrete functions, by signature, with built-in operators only.

    `variables` are what the functions read and write.

    Raises:
        ModelError: naming the operators that only Flex would have.
    """
    holder = tf.Module()
    holder.kept = list(variables)
    sets = [tf.lite.OpsSet.TFLITE_BUILTINS, *([tf.lite.OpsSet.SELECT_TF_OPS] if allow_flex else [])]
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(holder, folder, signatures=dict(functions))
        converter = lite.TFLiteSavedModelConverterV2(folder, {tf.saved_model.SERVING}, list(functions))
        converter.experimental_enable_resource_variables = True
        converter.target_spec.supported_ops = sets
        try:
            data: bytes = _converted(converter)
        except Exception as error:  # the converter raises its own type, and ValueError, and RuntimeError
            raise ModelError(_conversion_error(error)) from error
    return data


def _converted(converter: Any) -> bytes:
    """Convert without what `convert` does besides: it loads the model twice more, and takes the file apart for a note.

    That is half of the time. A TensorFlow without this method is asked in the usual way.
    """
    convert = getattr(converter, "_convert_from_saved_model", None)
    data: bytes = converter.convert() if convert is None else convert(None)
    return data


def _conversion_error(error: Exception) -> str:
    text = str(error)
    found = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
    if found:
        return f"operators that no plain runtime has: {', '.join(found)}; write the layer without them"
    lines = [line.strip() for line in text.splitlines() if "error:" in line] or text.strip().splitlines()
    return f"TensorFlow's converter refuses the graph: {lines[0] if lines else type(error).__name__}"
