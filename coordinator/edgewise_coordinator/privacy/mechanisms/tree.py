"""DP-FTRL by tree aggregation (Kairouz et al. 2021, §3.1 and appendix D), with Honaker's estimator (2015; §B.1 there).

Rounds are leaves of binary trees, and every complete subtree's sum is noised once; the sum of all rounds so far is read
off the few subtrees that cover them. Honaker's estimator also uses the noised sums below a node: of a node's own sum
and its children's together the one of least variance is taken, which costs no privacy. Noise adds linearly, so all of
this is done with the noise alone: a release gets what the running sum's noise changes by.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgewise_coordinator.privacy.mechanisms.base import Mechanism, Step
from edgewise_coordinator.privacy.tree_sensitivity import subtrees, tree_sensitivity_squared
from edgewise_wire.errors import ConfigError


def tree(restart_every: int = 0) -> Mechanism:
    """Return the mechanism.

    Args:
        restart_every: begin a new tree after so many releases, 0 for never. A restart makes the noise of what is done
            final and that of later releases small again; it costs privacy for devices that take part on both sides.

    Raises:
        ConfigError: if `restart_every` is below 0.

    Example:
        >>> tree().sensitivity(2000, 314, 6)
        79.0
    """
    if restart_every < 0:
        raise ConfigError(f"restart of the tree: expected 0 (never) or more releases, got {restart_every}")

    def step(number: int) -> Step:
        era, within = divmod(number - 1, restart_every) if restart_every else (0, number - 1)
        merged = _step(within + 1, prefix=f"tree-{era}-")
        if restart_every and era and within == 0:
            old = _names(restart_every, f"tree-{era - 1}-")
            return Step(merged.draws, merged.release, merged.uses, merged.keep, (*merged.forget, *old))
        return merged

    def sensitivity(steps: int, separation: int, participations: int | None) -> float:
        return tree_sensitivity_squared(_forest(steps, restart_every), separation, participations)

    def variance(steps: int) -> float:
        return sum(_variances(size.bit_length() - 1)[-1] for size in _forest(steps, restart_every))

    return Mechanism("tree" if not restart_every else f"tree-{restart_every}", step, sensitivity, variance)


def _variances(levels: int) -> list[float]:
    """Return the variance of Honaker's estimate of a subtree's sum, by its level: own and children, by the inverse."""
    found = [1.0]
    for _ in range(levels):
        found.append(2 * found[-1] / (1 + 2 * found[-1]))
    return found


def _forest(steps: int, restart_every: int) -> Sequence[int]:
    whole, rest = divmod(steps, restart_every) if restart_every else (0, steps)
    return [*(subtrees(restart_every) * whole), *subtrees(rest)]


def _names(leaves: int, prefix: str) -> tuple[str, ...]:
    """Return the names of the subtrees that cover so many leaves: the number of the last leaf and the level."""
    names, at = [], 0
    for size in subtrees(leaves):
        at += size
        names.append(f"{prefix}{at}-{size.bit_length() - 1}")
    return tuple(names)


def _step(leaf: int, prefix: str) -> Step:
    """Return the step of a leaf: it completes as many subtrees as its number has trailing zero bits."""
    levels = (leaf & -leaf).bit_length() - 1
    uses = tuple(f"{prefix}{leaf - (1 << level)}-{level}" for level in range(levels))
    # The estimate's noise so far, as weights of [leaf, node of level 1, …] and of the left siblings.
    weights = [1.0] + [0.0] * (2 * levels)
    for level, own in enumerate(_variances(levels)[1:], start=1):
        # The share of a node's own noise, of variance 1, is what the estimate's variance comes to.
        weights = [(1 - own) * w for w in weights]
        weights[level] += own
        weights[levels + level] += 1 - own
    top = tuple(weights)
    release = tuple(w - (1.0 if at > levels else 0.0) for at, w in enumerate(weights))
    return Step(levels + 1, release, uses, {f"{prefix}{leaf}-{levels}": top}, uses)
