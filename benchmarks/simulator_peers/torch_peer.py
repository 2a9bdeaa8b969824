"""Bare PyTorch, eager: the model as a PyTorch user would write it, plain SGD over a device's batches."""

from __future__ import annotations

import os
from typing import Any

from common import Local, Weights, main


def build(kind: str, rate: float) -> Local:
    """Return local training."""
    import torch
    import torch.nn.functional as nn

    if os.environ.get("PEER_ONE_THREAD"):
        torch.set_num_threads(1)

    def next_word(w: dict[str, Any], b: dict[str, Any]) -> Any:
        batch, units = len(b["labels"]), w["projection"].shape[0]
        h, c, hidden = torch.zeros(batch, w["projection"].shape[1]), torch.zeros(batch, units), []
        for x in w["embedding"][b["tokens"].long()].unbind(1):
            f, g, o = (torch.cat([x, h], 1) @ w["lstm_kernel"] + w["lstm_bias"]).chunk(3, 1)
            keep = f.sigmoid()
            c = keep * c + (1 - keep) * g.tanh()
            h = (o.sigmoid() * c.tanh()) @ w["projection"]
            hidden.append(h)
        scores = torch.stack(hidden, 1) @ w["embedding"].T + w["output_bias"]
        each = nn.cross_entropy(scores.flatten(0, 1), b["labels"].long().flatten(), reduction="none")
        weight = b["weight"].flatten()
        return (each * weight).sum() / weight.sum()

    def table(w: dict[str, Any], b: dict[str, Any]) -> Any:
        scores = torch.relu(b["features"] @ w["kernel_1"] + w["bias_1"]) @ w["kernel_2"] + w["bias_2"]
        each = nn.cross_entropy(scores, b["labels"].long(), reduction="none")
        return (each * b["weight"]).sum() / b["weight"].sum()

    loss = next_word if kind == "next-word" else table

    def local(weights: Weights, batches: dict[str, Any]) -> Weights:
        own = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
        data = {name: torch.from_numpy(value) for name, value in batches.items()}
        for at in range(len(batches["labels"])):
            gradients = torch.autograd.grad(loss(own, {n: v[at] for n, v in data.items()}), list(own.values()))
            with torch.no_grad():
                for value, gradient in zip(own.values(), gradients, strict=True):
                    value -= rate * gradient
        return {name: value.detach().numpy() for name, value in own.items()}

    return local


if __name__ == "__main__":
    main(build)
