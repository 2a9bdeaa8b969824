"""Models to begin with, each one function of its sizes: `edgewise export edgewise_models.zoo:mlp --out mlp.tflite`.

A factory without arguments returns a model of useful size with its loss, metrics and batch, as `export_trainable` takes
them; pass sizes to make another. Gboard's next-word model is not here: its step is laid out by hand
(`edgewise export next-word`).
"""

from edgewise_models.zoo.image import cnn, mobile
from edgewise_models.zoo.table import mlp
from edgewise_models.zoo.text import gru, transformer

__all__ = ["cnn", "gru", "mlp", "mobile", "transformer"]
