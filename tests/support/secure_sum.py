"""What a secure round of real processes must come to: the average of the words of those who count, bit for bit."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.state import StateStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.weights import flatten
from process_fleet import ProcessFleet


def check_sum(fleet: ProcessFleet, words: dict[str, np.ndarray], cohort: int) -> tuple[set[str], float]:
    """Check that the version is the exact average of the quantised updates; return who counts, and their weight."""
    store, artifact = StateStore(fleet.folder / "run/state.sqlite"), Artifact.load(fleet.model)
    counted = {report.device for report in store.reports(1)}
    form = FixedPoint(cohort, 20, 4.0, 1000)
    total = np.sum([words[device] for device in counted], axis=0, dtype=np.uint32)
    found = form.decode(total & np.uint32((1 << form.modulus_bits) - 1), len(counted))
    before = flatten(artifact.weights(), artifact.manifest.weights)
    expected, _ = fedavg().step(before, {}, Aggregate(found.mean, len(counted), found.weight))
    after = np.frombuffer((fleet.folder / "run/versions" / store.versions()[1].weights).read_bytes(), "<f4")
    store.close()
    assert np.array_equal(after, expected)
    return counted, found.weight
