"""Federated averaging from scratch: Algorithm 1 of McMahan et al. 2017, in sixty lines of NumPy.

Six devices hold points of three classes, each mostly of one class. No device's points are enough; nobody sees them all.
"""

import numpy as np

FEATURES, CLASSES, BATCH = 8, 3, 10


def make_device(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return one device's points, float32[n, FEATURES], and their classes, int64[n]: four fifths are of one class."""
    size = 40 + 10 * number
    labels = np.where(rng.random(size) < 0.8, number % CLASSES, rng.integers(0, CLASSES, size))
    centers = np.random.default_rng(0).normal(0, 1, (CLASSES, FEATURES))
    return (centers[labels] + rng.normal(0, 1, (size, FEATURES))).astype("f4"), labels


def probabilities(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Softmax regression: `weights` holds a matrix and a bias, flat, as they travel."""
    logits = x @ weights[: FEATURES * CLASSES].reshape(FEATURES, CLASSES) + weights[FEATURES * CLASSES :]
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def local_sgd(weights: np.ndarray, x: np.ndarray, y: np.ndarray, epochs: int, learning_rate: float) -> np.ndarray:
    """ClientUpdate: some passes of mini-batch gradient descent over one device's points, from the round's weights."""
    for _ in range(epochs):
        for start in range(0, len(x), BATCH):
            xb, yb = x[start : start + BATCH], y[start : start + BATCH]
            error = (probabilities(weights, xb) - np.eye(CLASSES, dtype="f4")[yb]) / len(xb)
            gradient = np.concatenate([(xb.T @ error).ravel(), error.sum(axis=0)])
            weights = weights - np.float32(learning_rate) * gradient
    return weights


def federated_round(weights: np.ndarray, devices: list, epochs: int, learning_rate: float) -> np.ndarray:
    """Server: w ← w + Σ (nₖ / n) · Δₖ, where Δₖ is how far device k moved and nₖ how many points it has."""
    updates = [local_sgd(weights, x, y, epochs, learning_rate) - weights for x, y in devices]
    return weights + np.average(updates, axis=0, weights=[len(x) for x, _ in devices]).astype("f4")


def accuracy(weights: np.ndarray, devices: list) -> float:
    """Return the share of all devices' points whose class comes out right."""
    return float(np.mean(np.concatenate([probabilities(weights, x).argmax(axis=1) == y for x, y in devices])))


if __name__ == "__main__":
    rng = np.random.default_rng(1)
    devices, held_out = ([make_device(k, rng) for k in range(6)] for _ in range(2))
    weights = np.zeros(FEATURES * CLASSES + CLASSES, "f4")
    alone = [accuracy(local_sgd(weights, *device, epochs=40, learning_rate=0.1), held_out) for device in devices]
    print(f"alone, each device:  {min(alone):.3f} to {max(alone):.3f}")
    for number in range(1, 11):
        weights = federated_round(weights, devices, epochs=2, learning_rate=0.1)
        print(f"together, round {number:2}:  {accuracy(weights, held_out):.3f}")
    pooled = [np.concatenate(part) for part in zip(*devices, strict=True)]
    central = local_sgd(np.zeros_like(weights), *pooled, epochs=20, learning_rate=0.1)
    print(f"all data in one place: {accuracy(central, held_out):.3f}")
