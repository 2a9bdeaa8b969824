"""NumPy with the gradient written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from common import Local, Weights, main


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))


def cross_entropy(scores: Any, labels: Any, weight: Any) -> Any:
    """Return the gradient of the weighted mean cross-entropy by the scores, in their place."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    scores[np.arange(len(labels)), labels] -= 1.0
    scores *= (weight / weight.sum())[:, None]
    return scores


def next_word(w: Weights, b: dict[str, Any], rate: float) -> None:
    """Take a step in place; T steps of the CIFG-LSTM, forward and back."""
    tokens, steps = b["tokens"], b["tokens"].shape[1]
    width, kernel = w["embedding"].shape[1], w["lstm_kernel"]
    x = w["embedding"][tokens]
    into = x.reshape(-1, width) @ kernel[:width] + w["lstm_bias"]
    into = into.reshape(*tokens.shape, -1)
    h = np.zeros((len(tokens), width), np.float32)
    c = np.zeros((len(tokens), w["projection"].shape[0]), np.float32)
    kept = []
    for t in range(steps):
        before = h, c
        f, g, o = np.split(into[:, t] + h @ kernel[width:], 3, axis=1)
        f, g, o = sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + (1.0 - f) * g
        wide = np.tanh(c)
        a = o * wide
        h = a @ w["projection"]
        kept.append((*before, f, g, o, wide, a, h))
    hidden = np.stack([one[-1] for one in kept], axis=1).reshape(-1, width)
    scores = hidden @ w["embedding"].T + w["output_bias"]
    d = cross_entropy(scores, b["labels"].reshape(-1), b["weight"].reshape(-1))
    d_embedding, d_bias = d.T @ hidden, d.sum(axis=0)
    d_hidden = (d @ w["embedding"]).reshape(*tokens.shape, width)
    d_into, d_h, d_c = np.empty_like(into), np.zeros_like(h), np.zeros_like(c)
    for t in reversed(range(steps)):
        _, c_before, f, g, o, wide, _, _ = kept[t]
        d_h += d_hidden[:, t]
        d_a = d_h @ w["projection"].T
        d_hidden[:, t] = d_h
        d_c += d_a * o * (1.0 - wide * wide)
        gates = d_c * (c_before - g) * f * (1.0 - f), d_c * (1.0 - f) * (1.0 - g * g), d_a * wide * o * (1.0 - o)
        d_into[:, t] = np.concatenate(gates, axis=1)
        d_h = d_into[:, t] @ kernel[width:].T
        d_c *= f
    flat = d_into.reshape(-1, kernel.shape[1])
    d_x = flat @ kernel[:width].T
    a = np.stack([one[6] for one in kept], axis=1).reshape(-1, c.shape[1])
    h_before = np.stack([one[0] for one in kept], axis=1).reshape(-1, width)
    d_projection = a.T @ d_hidden.reshape(-1, width)
    d_kernel = np.concatenate([x.reshape(-1, width).T @ flat, h_before.T @ flat])
    np.add.at(d_embedding, tokens.reshape(-1), d_x)
    for name, change in (
        ("embedding", d_embedding), ("output_bias", d_bias), ("lstm_kernel", d_kernel),
        ("lstm_bias", flat.sum(axis=0)), ("projection", d_projection),
    ):  # fmt: skip
        w[name] -= np.float32(rate) * change


def table(w: Weights, b: dict[str, Any], rate: float) -> None:
    """Take a step in place; a perceptron with one hidden layer."""
    hidden = np.maximum(b["features"] @ w["kernel_1"] + w["bias_1"], 0.0)
    d = cross_entropy(hidden @ w["kernel_2"] + w["bias_2"], b["labels"], b["weight"])
    d_hidden = (d @ w["kernel_2"].T) * (hidden > 0)
    for name, change in (
        ("kernel_2", hidden.T @ d), ("bias_2", d.sum(axis=0)),
        ("kernel_1", b["features"].T @ d_hidden), ("bias_1", d_hidden.sum(axis=0)),
    ):  # fmt: skip
        w[name] -= np.float32(rate) * change


def build(kind: str, rate: float) -> Local:
    """Return local training."""
    step = next_word if kind == "next-word" else table

    def local(weights: Weights, batches: dict[str, Any]) -> Weights:
        own = {name: value.astype(np.float32, copy=True) for name, value in weights.items()}
        for at in range(len(batches["labels"])):
            step(own, {name: value[at] for name, value in batches.items()}, rate)
        return own

    return local


if __name__ == "__main__":
    main(build)
