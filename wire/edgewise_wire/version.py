"""The one place that holds the version of edgewise."""

__version__ = "0.1.0"
