"""Models and the exporter: the only place where TensorFlow is imported."""
