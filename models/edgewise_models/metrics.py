"""An author's metrics, as sums: each is a function of (labels, predictions) whose values the weights multiply."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from edgewise_models.losses import Loss
from edgewise_wire.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Metric:
    """`call(labels, predictions)` returns one number per example or per token."""

    name: str
    call: Callable[[Any, Any], Any]


def resolve_metrics(metrics: Sequence[Any], loss: Loss, output: Any) -> tuple[Metric, ...]:
    """Return the metrics that an author named or handed over: names, `keras.metrics` means, functions.

    `"accuracy"` is what fits the loss, as in `compile`; `"top3"` is the share of labels among the three best.

    Raises:
        ConfigError: if a metric is not known or is no mean over examples, or two have one name.
    """
    made = tuple(_resolve(metric, loss, output) for metric in metrics)
    names = [metric.name for metric in made]
    for name in names:
        if names.count(name) > 1 or name in ("loss_sum", "weight_sum"):
            raise ConfigError(f"metric {name!r}: the name is taken; give each metric a name of its own")
    return made


def _resolve(metric: Any, loss: Loss, output: Any) -> Metric:
    if isinstance(metric, str):
        if metric in ("accuracy", "acc"):
            return Metric(metric, _accuracy(loss, output))
        if found := re.fullmatch(r"top(\d+)", metric):
            return Metric(metric, _top(int(found[1]), loss))
        try:
            metric = keras.metrics.get(metric)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"metric {metric!r}: not known to Keras; pass a function (labels, predictions)"
            ) from error
    if isinstance(metric, keras.metrics.MeanMetricWrapper):
        function, settings = metric._fn, metric._fn_kwargs
        return Metric(metric.name, lambda labels, predictions: function(labels, predictions, **settings))
    if callable(metric) and not isinstance(metric, keras.metrics.Metric):
        return Metric(getattr(metric, "__name__", "metric"), metric)
    raise ConfigError(
        f"metric {getattr(metric, 'name', metric)!r}: expected a mean over examples, which sums can carry; pass a"
        " function of (labels, predictions) and divide on the coordinator"
    )


def _accuracy(loss: Loss, output: Any) -> Callable[[Any, Any], Any]:
    if loss.sparse:
        return lambda labels, predictions: keras.metrics.sparse_categorical_accuracy(labels, predictions)
    if output.shape[-1] == 1:
        return lambda labels, predictions: keras.metrics.binary_accuracy(labels, predictions)
    return lambda labels, predictions: keras.metrics.categorical_accuracy(labels, predictions)


def _top(k: int, loss: Loss) -> Callable[[Any, Any], Any]:
    if loss.sparse:
        return lambda labels, predictions: keras.metrics.sparse_top_k_categorical_accuracy(labels, predictions, k=k)
    return lambda labels, predictions: keras.metrics.top_k_categorical_accuracy(labels, predictions, k=k)
