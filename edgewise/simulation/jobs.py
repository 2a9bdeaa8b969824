"""What passes between a simulation and its workers: small, frozen and picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from edgewise_coordinator.algorithms.base import Client
from edgewise_coordinator.settings import TrainingSettings
from edgewise_wire.weights import Flat

Vectors: TypeAlias = "Mapping[str, Flat]"
"""What all jobs of a round read, by name: `weights/V` of each version in use, `control` of SCAFFOLD's server."""


class Job(NamedTuple):
    """One device's training in one round.

    Attributes:
        device: its number.
        round_id: of its assignment: the randomness of its training is a function of it.
        version: of the weights that it starts from.
        staleness: how many versions the model has moved on since.
        control_round: the round after which its own control variate (or residual) is in force, 0 for none.
        encoding: of its update, where it changes from round to round; empty for the setup's.
    """

    device: int
    round_id: int
    version: int
    staleness: int = 0
    control_round: int = 0
    encoding: str = ""


class Done(NamedTuple):
    """What came of a job; `norm` is the L2 norm of the update, `factor` what it was shrunk by.

    `within` says of an encoding that clips whether it left the update alone. `error` says why there is no update; then
    nothing of it was added to the sum.
    """

    device: int
    examples: int = 0
    loss: float = 0.0
    steps: int = 0
    norm: float = 0.0
    factor: float = 1.0
    error: str = ""
    within: bool = True


class Measured(NamedTuple):
    """One device's sums over its held-out examples."""

    device: int
    sums: dict[str, float]


@dataclass(frozen=True)
class Setup:
    """Everything a worker must know to be of use, once.

    Attributes:
        model: the `.tflite` file's path, or its bytes.
        client: the devices' half of the algorithm.
        options: of the recipe, as `edgewise.recipes.plan` takes them; a worker builds its own from them.
        training: what devices are asked to do.
        max_norm: an update with a larger L2 norm is refused.
        seed: of the run.
        spool: where updates go that an aggregator needs side by side; empty where a running sum will do.
        states: where devices keep what is theirs between rounds (control variates, residuals).
        threads: of each interpreter.
        runtime: the TFLite runtime, empty for the best installed.
    """

    model: str | bytes
    client: Client
    options: dict[str, Any]
    training: TrainingSettings
    seed: int
    max_norm: float = 1e6
    spool: str = ""
    states: str = ""
    threads: int = 1
    runtime: str = ""
