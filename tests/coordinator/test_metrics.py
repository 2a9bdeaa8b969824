"""What an operator sees of a coordinator: the snapshot, its metrics, its health."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator_scene import Scene
from edgewise_coordinator import snapshot
from edgewise_wire import topics
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.transport.base import Connected, Disconnected

metrics = pytest.importorskip("edgewise_coordinator.metrics", reason="needs prometheus-client")

Make = Callable[..., Scene]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def taken(s: Scene) -> dict:
    found = snapshot.take(s.coordinator, [], {"no certificate": 2})
    return found | {"time": time.time()}


def test_a_snapshot_tells_fleet_and_round(scene: Make, tmp_path: Path) -> None:
    s = scene(goal=2, rounds=1, over_selection=1.0)
    s.join("d1", "d2", "d3")
    s.devices["d1"].send_chunks = s.devices["d2"].send_chunks = s.devices["d3"].send_chunks = False
    s.settle()
    found = taken(s)
    current = found["round"]
    assert (current["number"], current["kind"], current["goal"]) == (1, "train", 2)
    assert (current["reports"], current["at_work"]) == (0, 2)
    assert found["devices"] == {"known": 3, "online": 3, "available": 1, "doubled": 0}
    assert sorted(d["state"] for d in found["fleet_devices"]) == ["at work", "at work", "available"]
    snapshot.write(tmp_path, found)
    assert snapshot.read(tmp_path) == json.loads(json.dumps(found))
    with pytest.raises(ConfigError, match="no coordinator has run"):
        snapshot.read(tmp_path / "elsewhere")


def test_metrics_health_and_status_are_served(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.broker.connect("stranger").publish(topics.device_up("test", "d9"), b"garbage")
    s.join("d1")
    s.run()
    with metrics.MetricsServer("127.0.0.1", 0) as server:
        assert get(server.port, "/healthz") == (503, "it has not said anything yet")
        server.show(taken(s))
        assert get(server.port, "/healthz") == (200, "ok")
        status, text = get(server.port, "/metrics")
        lines = text.splitlines()
        assert status == 200
        assert "edgewise_devices_online 1.0" in lines
        assert "edgewise_model_version 1.0" in lines
        assert 'edgewise_refused_total{reason="not a valid message"} 1.0' in lines
        assert 'edgewise_broker_refused_total{reason="no certificate"} 2.0' in lines
        assert json.loads(get(server.port, "/status")[1])["version"] == 1
        assert get(server.port, "/etc/passwd")[0] == 404
        with pytest.raises(UnavailableError, match="cannot listen"):
            metrics.MetricsServer("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"paused": "disk full"}, "paused: disk full"), ({"connected": False}, "broker"), ({"time": 0.0}, "not said")],
)
def test_an_ill_coordinator_says_why(scene: Make, change: dict, words: str) -> None:
    found = taken(scene()) | change
    assert words in snapshot.illness(found, time.time())
    assert not snapshot.illness(found | {"paused": "", "connected": True, "time": time.time()}, time.time())


def test_the_link_to_the_broker_is_watched(scene: Make) -> None:
    s = scene()
    s.coordinator.take(Disconnected("gone"))
    assert not taken(s)["connected"]
    s.coordinator.take(Connected())
    assert taken(s)["connected"]
