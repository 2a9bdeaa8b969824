"""The shape that every noise mechanism has: each release's noise is a linear combination of normal vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Step:
    """How the noise of one release is made, element by element; the unit is the noise multiplier.

    Attributes:
        draws: how many fresh vectors of standard normals it takes.
        uses: names of vectors kept from earlier steps.
        release: what is added to the sum: a weight for each fresh vector, then one for each used.
        keep: vectors to keep for later steps, by name, each with such weights.
        forget: names of kept vectors that no later step uses.
    """

    draws: int
    release: tuple[float, ...]
    uses: tuple[str, ...] = ()
    keep: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    forget: tuple[str, ...] = ()


class Mechanism(NamedTuple):
    """`step(number) -> Step` for releases 1, 2, …; `sensitivity(steps, separation, participations) -> float`.

    The sensitivity is squared and for reports of norm 1: with noise multiplier z, `steps` releases together are a
    Gaussian mechanism of ρ = sensitivity / 2z² (Bun and Steinke 2016, proposition 1.6). It never falls with `steps`.

    Law: `step` depends on its number alone, so a step done again after a crash is the same; and what it keeps, forgets
    and uses is what the steps before it left.

    `variance(steps)` is that of the noise of the sum of so many releases, at noise multiplier 1: what a model carries.

    `parameters` are what was found for this run and would not be found again to the last digit; they are written down.

    `independent` says that each release is a Gaussian mechanism of its own, which sampling amplifies.
    """

    name: str
    step: Callable[[int], Step]
    sensitivity: Callable[[int, int, int | None], float]
    variance: Callable[[int], float]
    least_separation: int = 1
    independent: bool = False
    parameters: tuple[float, ...] = ()


def participations_that_fit(steps: int, separation: int, most: int | None) -> int:
    """Return in how many of `steps` releases one device can have taken part.

    Example:
        >>> participations_that_fit(2000, 400, None), participations_that_fit(2000, 400, 3)
        (5, 3)
    """
    fit = -(-steps // separation)
    return fit if most is None else min(fit, most)
