"""The same training step in other frameworks, written plainly, for `train_step.py`; needs nothing of edgewise.

    PYTHON train_step_peers.py PEER THREADS BATCHES.npz WEIGHTS.npz

PEER is one of `PEERS`. The process takes its steps when a line on standard input says how many, and answers in JSON.
All frameworks differentiate for themselves but NumPy, whose backward pass is written by hand.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LEARNING_RATE = 0.1
Batch = Mapping[str, Any]
Step = Callable[[Any, Any, Any], float]
"""Takes tokens and labels int32[B, T] and weight float32[B, T]; returns the loss before the step."""


def numpy_step(w: dict[str, Any], threads: int) -> Step:
    """NumPy with its BLAS, the backward pass by hand."""
    del threads  # OPENBLAS_NUM_THREADS is set before NumPy is imported
    names = ("embedding", "output_bias", "lstm_kernel", "lstm_bias", "projection")
    embedding, output_bias, kernel, bias, projection = (w[name].copy() for name in names)
    width, units = embedding.shape[1], projection.shape[0]

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-x))

    def step(tokens: Any, labels: Any, weight: Any) -> float:
        steps, batch = tokens.shape[1], tokens.shape[0]
        x, y, share = tokens.T.reshape(-1), labels.T.reshape(-1), weight.T.reshape(-1)
        share = (share / share.sum()).astype("f4")
        inputs = embedding[x]
        z = (inputs @ kernel[:width] + bias).reshape(steps, batch, 3 * units)
        hidden = np.zeros((steps + 1, batch, width), "f4")
        cell = np.zeros((steps + 1, batch, units), "f4")
        saved = []
        for t in range(steps):
            gates = z[t] + hidden[t] @ kernel[width:]
            f, o = sigmoid(gates[:, :units]), sigmoid(gates[:, 2 * units :])
            g = np.tanh(gates[:, units : 2 * units])
            cell[t + 1] = f * (cell[t] - g) + g
            tanh = np.tanh(cell[t + 1])
            saved.append((f, g, o, tanh, o * tanh))
            hidden[t + 1] = saved[-1][4] @ projection
        out = hidden[1:].reshape(-1, width)
        p = out @ embedding.T
        p += output_bias
        p -= p.max(1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(1, keepdims=True)
        at = np.arange(len(y))
        loss = float(-(share * np.log(p[at, y])).sum())
        p *= share[:, None]
        p[at, y] -= share
        d_embedding, d_output_bias = p.T @ out, p.sum(0)
        d_out = (p @ embedding).reshape(steps, batch, width)
        d_z, d_h = np.empty_like(z), np.empty_like(d_out)
        d_cell, back = np.zeros((batch, units), "f4"), np.zeros((batch, width), "f4")
        for t in reversed(range(steps)):
            f, g, o, tanh, _ = saved[t]
            d_h[t] = d_out[t] + back
            d_a = d_h[t] @ projection.T
            d_cell = d_cell + d_a * o * (1 - tanh * tanh)
            d_z[t, :, :units] = d_cell * (cell[t] - g) * f * (1 - f)
            d_z[t, :, units : 2 * units] = d_cell * (1 - f) * (1 - g * g)
            d_z[t, :, 2 * units :] = d_a * tanh * o * (1 - o)
            d_cell, back = d_cell * f, d_z[t] @ kernel[width:].T
        flat = d_z.reshape(-1, 3 * units)
        seen = np.concatenate([inputs, hidden[:-1].reshape(-1, width)], 1)
        activations = np.concatenate([each[4] for each in saved])
        np.add.at(d_embedding, x, flat @ kernel[:width].T)
        changes = (d_embedding, d_output_bias, seen.T @ flat, flat.sum(0), activations.T @ d_h.reshape(-1, width))
        for array, change in zip((embedding, output_bias, kernel, bias, projection), changes, strict=True):
            array -= np.float32(LEARNING_RATE) * change
        return loss

    return step


def torch_step(w: dict[str, Any], threads: int, compiled: bool = False) -> Step:
    """PyTorch's autograd, eager or compiled."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    names = ("embedding", "output_bias", "lstm_kernel", "lstm_bias", "projection")
    parameters = [torch.nn.Parameter(torch.from_numpy(w[name].copy())) for name in names]

    def loss_of(tokens: Any, labels: Any, weight: Any) -> Any:
        embedding, output_bias, kernel, bias, projection = parameters
        batch, steps = tokens.shape
        hidden = torch.zeros(batch, embedding.shape[1])
        cell = torch.zeros(batch, projection.shape[0])
        outputs = []
        for seen in functional.embedding(tokens, embedding).unbind(1):
            f, g, o = (torch.cat([seen, hidden], 1) @ kernel + bias).chunk(3, 1)
            keep = torch.sigmoid(f)
            cell = keep * cell + (1 - keep) * torch.tanh(g)
            hidden = (torch.sigmoid(o) * torch.tanh(cell)) @ projection
            outputs.append(hidden)
        logits = torch.stack(outputs, 1).reshape(batch * steps, -1) @ embedding.T + output_bias
        losses = functional.cross_entropy(logits, labels.reshape(-1), reduction="none")
        return (losses * weight.reshape(-1)).sum() / weight.sum()

    function = torch.compile(loss_of) if compiled else loss_of

    def step(tokens: Any, labels: Any, weight: Any) -> float:
        loss = function(*(torch.from_numpy(array) for array in (tokens.astype("i8"), labels.astype("i8"), weight)))
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= LEARNING_RATE * parameter.grad
                parameter.grad = None
        return float(loss)

    return step


def tensorflow_step(w: dict[str, Any], threads: int, xla: bool = False) -> Step:
    """TensorFlow's GradientTape in a graph, plain or compiled by XLA."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    names = ("embedding", "output_bias", "lstm_kernel", "lstm_bias", "projection")
    variables = [tf.Variable(w[name]) for name in names]

    @tf.function(jit_compile=xla)
    def function(tokens: Any, labels: Any, weight: Any) -> Any:
        embedding, output_bias, kernel, bias, projection = variables
        batch, steps = tokens.shape
        with tf.GradientTape() as tape:
            hidden = tf.zeros((batch, embedding.shape[1]))
            cell = tf.zeros((batch, projection.shape[0]))
            outputs = []
            for seen in tf.unstack(tf.gather(embedding, tokens), axis=1):
                f, g, o = tf.split(tf.matmul(tf.concat([seen, hidden], 1), kernel) + bias, 3, 1)
                keep = tf.sigmoid(f)
                cell = keep * cell + (1 - keep) * tf.tanh(g)
                hidden = tf.matmul(tf.sigmoid(o) * tf.tanh(cell), projection)
                outputs.append(hidden)
            flat = tf.reshape(tf.stack(outputs, 1), [batch * steps, -1])
            logits = tf.matmul(flat, embedding, transpose_b=True) + output_bias
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(labels, [-1]), logits)
            loss = tf.reduce_sum(losses * tf.reshape(weight, [-1])) / tf.reduce_sum(weight)
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(LEARNING_RATE * tf.convert_to_tensor(gradient))
        return loss

    return lambda tokens, labels, weight: float(function(*(tf.constant(a) for a in (tokens, labels, weight))))


def jax_step(w: dict[str, Any], threads: int) -> Step:
    """JAX, one jitted function of unrolled steps."""
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    import jax
    import jax.numpy as jnp

    names = ("embedding", "output_bias", "lstm_kernel", "lstm_bias", "projection")
    held = [tuple(jnp.asarray(w[name]) for name in names)]

    def loss_of(parameters: Any, tokens: Any, labels: Any, weight: Any) -> Any:
        embedding, output_bias, kernel, bias, projection = parameters
        batch, steps = tokens.shape
        hidden, cell = jnp.zeros((batch, embedding.shape[1])), jnp.zeros((batch, projection.shape[0]))
        outputs = []
        inputs = embedding[tokens]
        for t in range(steps):
            f, g, o = jnp.split(jnp.concatenate([inputs[:, t], hidden], 1) @ kernel + bias, 3, 1)
            keep = jax.nn.sigmoid(f)
            cell = keep * cell + (1 - keep) * jnp.tanh(g)
            hidden = (jax.nn.sigmoid(o) * jnp.tanh(cell)) @ projection
            outputs.append(hidden)
        logits = jnp.stack(outputs, 1).reshape(batch * steps, -1) @ embedding.T + output_bias
        own = jnp.take_along_axis(jax.nn.log_softmax(logits), labels.reshape(-1, 1), 1)[:, 0]
        return -(own * weight.reshape(-1)).sum() / weight.sum()

    def update(parameters: Any, *batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *batch)
        return loss, tuple(p - LEARNING_RATE * g for p, g in zip(parameters, gradients, strict=True))

    compiled = jax.jit(update, donate_argnums=0)

    def step(tokens: Any, labels: Any, weight: Any) -> float:
        loss, held[0] = compiled(held[0], tokens, labels, weight)
        held[0][0].block_until_ready()
        return float(loss)

    return step


PEERS: dict[str, Callable[[dict[str, Any], int], Step]] = {
    "numpy": numpy_step,
    "torch": torch_step,
    "torch-compiled": lambda w, threads: torch_step(w, threads, compiled=True),
    "tensorflow": tensorflow_step,
    "tensorflow-xla": lambda w, threads: tensorflow_step(w, threads, xla=True),
    "jax": jax_step,
}
MODULES = {"torch-compiled": "torch", "tensorflow-xla": "tensorflow"}


def main() -> None:
    """Serve steps."""
    name, threads, batches, weights = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    begun = time.perf_counter()
    with np.load(weights) as arrays:
        step = PEERS[name]({key: arrays[key] for key in arrays}, threads)
    with np.load(batches) as arrays:
        given = [arrays[key] for key in ("tokens", "labels", "weight")]
    at, losses = 0, []

    def timed() -> tuple[float, float]:
        nonlocal at
        batch = [array[at % len(array)] for array in given]
        at += 1
        start, busy = time.perf_counter(), time.process_time()
        losses.append(step(*batch))
        return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - busy)

    timed()
    ready = time.perf_counter() - begun
    version = getattr(sys.modules[MODULES.get(name, name)], "__version__", "")
    for line in sys.stdin:
        taken, busy = zip(*(timed() for _ in range(int(line))), strict=True)
        with open("/proc/self/status") as status:  # noqa: PTH123
            high = int(dict(row.split(":", 1) for row in status)["VmHWM"].split()[0]) / 1024
        found = {"ms": taken, "cpu_ms": busy, "peak_mb": high, "ready_s": ready, "runtime": f"{name} {version}"}
        print(json.dumps(found | {"losses": losses[:3]}), flush=True)


if __name__ == "__main__":
    main()
