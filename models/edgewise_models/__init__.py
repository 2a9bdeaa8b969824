"""Models and the exporter: the only place where TensorFlow is imported.

Example:
    >>> from edgewise_models import export_trainable                                           # doctest: +SKIP
    >>> export_trainable(keras_model, "mse", batch=8, path="model.tflite")                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise_models.keras_export import export_trainable as export_trainable

__all__ = ["export_trainable"]


def __getattr__(name: str) -> Any:  # what needs no exporter should not wait for TensorFlow
    if name == "export_trainable":
        import edgewise_models.tensorflow  # noqa: F401  first and quietly: keras alone lets it chatter
        from edgewise_models.keras_export import export_trainable

        return export_trainable
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
