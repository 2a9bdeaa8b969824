"""Bare JAX: one jitted function trains a device; the model is written as a JAX user would write it."""

from __future__ import annotations

from typing import Any

from common import Local, Weights, main


def build(kind: str, rate: float) -> Local:
    """Return local training, compiled at its first call."""
    import jax
    import jax.numpy as jnp

    def next_word(w: Weights, b: dict[str, Any]) -> Any:
        def cell(state: Any, x: Any) -> Any:
            h, c = state
            f, g, o = jnp.split(jnp.concatenate([x, h], 1) @ w["lstm_kernel"] + w["lstm_bias"], 3, 1)
            keep = jax.nn.sigmoid(f)
            c = keep * c + (1 - keep) * jnp.tanh(g)
            h = (jax.nn.sigmoid(o) * jnp.tanh(c)) @ w["projection"]
            return (h, c), h

        seen = jnp.swapaxes(w["embedding"][b["tokens"]], 0, 1)
        batch, units = seen.shape[1], w["projection"].shape[0]
        start = jnp.zeros((batch, seen.shape[2])), jnp.zeros((batch, units))
        _, hidden = jax.lax.scan(cell, start, seen, unroll=True)
        scores = hidden @ w["embedding"].T + w["output_bias"]
        labels, weight = b["labels"].T, b["weight"].T
        chosen = jnp.take_along_axis(jax.nn.log_softmax(scores), labels[..., None], 2)[..., 0]
        return -(chosen * weight).sum() / weight.sum()

    def table(w: Weights, b: dict[str, Any]) -> Any:
        hidden = jax.nn.relu(b["features"] @ w["kernel_1"] + w["bias_1"])
        scores = hidden @ w["kernel_2"] + w["bias_2"]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(scores), b["labels"][:, None], 1)[:, 0]
        return -(chosen * b["weight"]).sum() / b["weight"].sum()

    gradient = jax.grad(next_word if kind == "next-word" else table)

    @jax.jit
    def step(weights: Weights, batch: dict[str, Any]) -> Weights:
        return jax.tree.map(lambda v, g: v - rate * g, weights, gradient(weights, batch))

    def local(weights: Weights, batches: dict[str, Any]) -> Weights:
        for at in range(len(batches["labels"])):
            weights = step(weights, {name: value[at] for name, value in batches.items()})
        return weights

    if kind == "table":  # small enough for all devices at once

        @jax.jit
        def everyone(weights: Weights, data: dict[str, Any]) -> Weights:
            new = jax.vmap(lambda own: step(weights, {name: value[0] for name, value in own.items()}))(data)
            return jax.tree.map(lambda value: value.sum(axis=0), new)

        local.everyone = everyone  # type: ignore[attr-defined]
    return local


if __name__ == "__main__":
    main(build)
