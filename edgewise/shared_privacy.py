"""`--privacy` together with `--secure-aggregation`: what it promises, and what does not go together with it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgewise_coordinator.privacy.accounting import noise_for
from edgewise_coordinator.privacy.clipping import canonical
from edgewise_coordinator.privacy.opening import begun_terms
from edgewise_coordinator.privacy.shared import SharedPrivacy
from edgewise_coordinator.privacy.skellam import SkellamNoise
from edgewise_coordinator.settings import Settings
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.form import Form

BITS = 16  # steps far below the noise, and a table of its distribution that a Pi holds


def check_shared(o: dict[str, Any]) -> None:
    """Check that the options in `o` (by name, as click gives them) can be kept by devices that add the noise.

    Raises:
        ConfigError: saying what cannot, and why.
    """
    reasons = [
        (o["privacy"] != "dp-fedavg", f"--privacy {o['privacy']}",
         "its noise is taken back in later rounds, and no device knows what others added; use dp-fedavg"),
        (o["clip_quantile"] is not None, "--clip-quantile",
         "the norm would follow a count of updates that the coordinator does not see; say a fixed --clip-norm"),
        (o["population"] is not None, "--population",
         "who asks the devices knows the sample, so it hides nobody from the coordinator; --separation and"
         " --participations bound what a device gives"),
        (bool(o["bands"]), "--bands", "it belongs to dp-mf"),
        (bool(o["restart_every"]), "--restart-every", "it belongs to dp-ftrl"),
        (o["clip_norm"] is None, "no --clip-norm", "noise hides an update of a bounded norm; say which, such as 0.3"),
        (o["noise_multiplier"] is None and o["epsilon"] is None, "no --noise-multiplier",
         "say it, or --epsilon for which it is to be found"),
    ]  # fmt: skip
    for wrong, what, why in reasons:
        if wrong:
            raise ConfigError(f"--privacy and --secure-aggregation with {what}: {why}")


def shared_privacy(
    o: dict[str, Any], terms: SecureTerms, settings: Settings, numbers: int, directory: Path
) -> SharedPrivacy:
    """Return the promise that devices keep with one another.

    Args:
        o: the options, checked.
        terms: of the secure rounds, without noise.
        settings: of the run.
        numbers: how many an update has.
        directory: of the run; what it began with holds on.

    Raises:
        ConfigError: if a number is out of its range.
        UnavailableError: if dp-accounting is not installed.
    """
    cohort = settings.cohort
    form = Form(cohort.target, terms.value_bits, terms.range)
    epsilon = math.inf if o["epsilon"] is None else o["epsilon"]

    def promise(z: float) -> SharedPrivacy:
        return SharedPrivacy(
            SkellamNoise(form, terms.clip, numbers, max(2, cohort.least), z),
            delta=1e-6 if o["delta"] is None else o["delta"],
            epsilon=epsilon, separation=o["separation"], participations=o["participations"] or 0,
        )  # fmt: skip

    if o["noise_multiplier"] is not None:
        return promise(o["noise_multiplier"])
    # More rounds of a run that has begun do not change its noise: they end sooner.
    begun = begun_terms(directory).get("noise_multiplier")
    return promise(begun or noise_for(lambda z: promise(z).cost([0] * settings.rounds).epsilon, epsilon))


def noised(terms: SecureTerms, promise: SharedPrivacy) -> SecureTerms:
    """Return the terms with each device's share of the noise in them."""
    return replace(terms, noise=promise.noise.of_each)


def clip_norm(o: dict[str, Any]) -> float:
    """Return the norm that devices clip to."""
    return canonical(o["clip_norm"])
