"""A run's promise as its directory has it: begun, taken up again, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewise_coordinator.privacy.accounted import FILE, AccountedRounds
from edgewise_coordinator.privacy.ledger import Ledger
from edgewise_coordinator.privacy.rounds import PrivateRounds
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.privacy.shared import SharedPrivacy, SharedRounds
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.update_transforms import unchanged
from edgewise_wire.encodings import clipping_norm
from edgewise_wire.errors import ConfigError


def begun_terms(directory: Path) -> dict[str, Any]:
    """Return the terms that a run began with, and that hold on; empty for one that is still to begin."""
    if not (directory / FILE).exists():
        return {}
    ledger = Ledger(directory / FILE)
    try:
        return ledger.terms()
    finally:
        ledger.close()


def open_privacy(
    promise: PrivacySettings | SharedPrivacy | None, directory: Path, parameters: int, versions: int
) -> AccountedRounds | None:
    """Return the promise in force, `None` where there is none.

    Args:
        promise: what the operator asks for.
        directory: of the run.
        parameters: of the model.
        versions: how many the directory has, the first one counted.

    Raises:
        ConfigError: if versions were made without it, or the run was private before and is not to be any more.
    """
    begun = (directory / FILE).exists()
    if promise is None:
        if begun:
            raise ConfigError(
                f"{directory}: its versions were made with differential privacy; further ones without would end the"
                " guarantee: give the same --privacy options, or another --dir"
            )
        return None
    if not begun and versions > 1:
        raise ConfigError(
            f"{directory}: {versions - 1} versions were made without differential privacy, which nothing makes good:"
            " begin in another --dir, with the trained model if what it learned may be known"
        )
    if isinstance(promise, SharedPrivacy):
        return SharedRounds(promise, directory)
    return PrivateRounds(promise, directory, parameters)


def check_private(recipe: Recipe, settings: Settings) -> None:
    """Check that a round's sum is of clipped updates that count the same.

    Raises:
        ConfigError: saying what does not go with privacy, and why.
    """
    algorithm, why = recipe.algorithm, ""
    if recipe.aggregator.name != "mean":
        why = f"--aggregator {recipe.aggregator.name}: the noise is made for a sum; use mean"
    elif algorithm.client.parts > 1:
        why = f"--algorithm {algorithm.name}: a device's control variate would leave unclipped; use another algorithm"
    elif not algorithm.client.uniform:
        why = "--weighting examples: a device with many examples would move the sum by more than the clipping norm; use"
        why += " uniform"
    elif settings.buffer is not None:
        why = "--buffer: a report may wait over several versions, which the accounting does not know; use --cohort"
    elif recipe.transform is not unchanged:
        why = "--norm-bound: devices clip their updates already, to --clip-norm"
    elif clipping_norm(settings.training.encoding):
        why = f"--compress {settings.training.encoding}: the norm is --clip-norm, and goes before any encoding"
    if why:
        raise ConfigError(f"differential privacy with {why}")
