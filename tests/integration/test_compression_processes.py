"""Compression with real processes over a real broker: the commands' options do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.brokers.choose import make_broker
from edgewise_coordinator.state import StateStore
from edgewise_edge.home import Home
from edgewise_edge.model import LatestModel
from edgewise_wire.artifact import Artifact
from edgewise_wire.blobs import make_ref
from edgewise_wire.codec import decode
from edgewise_wire.messages import Assignment
from edgewise_wire.transforms import get
from edgewise_wire.weights import parameters
from process_fleet import process_fleet

pytestmark = pytest.mark.integration

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]


def test_updates_go_up_encoded_and_versions_down_as_differences(tmp_path: Path, fixture_dir: Path) -> None:
    model = fixture_dir / "tiny.tflite"
    count = parameters(Artifact.load(model).manifest.weights)
    with process_fleet(tmp_path, model, make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n))
        compression = ["--compress", "eden-2", "--compress-down", "lloyd-4"]
        fleet.start_coordinator("--rounds", "3", "--cohort", "3", "--over-selection", "1.0", *compression)
        end = fleet.finish()
        assert end["rounds"] == 3
        bodies = [decode(m.payload).body for m in fleet.payloads if m.payload]
    asked = [body for body in bodies if isinstance(body, Assignment)]
    assert {len(body.deltas) for body in asked if body.version} == {1, 2, 3}
    store = StateStore(tmp_path / "run" / "state.sqlite")
    for version in store.versions()[1:]:
        assert version.round_id is not None
        assert {r.bytes for r in store.reports(version.round_id)} == {get("eden-2").size(count)}
    newest = make_ref(tmp_path / "run" / "versions" / store.versions()[-1].weights).hash
    for n in range(3):
        latest = LatestModel(Home(tmp_path / f"pi-{n}")).load()
        assert latest is not None
        assert latest.weights == newest
