"""Metrics for Prometheus on `/metrics`, health on `/healthz`, everything as JSON on `/status`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgewise_coordinator.snapshot import Snapshot, illness
from edgewise_wire.errors import UnavailableError

REQUEST_SECONDS = 5.0  # a client that dawdles is cut off


class SnapshotCollector(Collector):
    """Turns the last snapshot into metrics when somebody asks."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, none before the first snapshot."""
        s = self.snapshot
        if s is not None:
            yield from _gauges(s)
            yield from _counters(s)


def _gauges(s: Snapshot) -> Iterator[Metric]:
    current = s["round"] or {"phase": "between rounds", "goal": 0, "reports": 0, "at_work": 0}
    for name, words, value in (
        ("edgewise_devices_known", "Devices that have ever spoken.", s["devices"]["known"]),
        ("edgewise_devices_online", "Devices online.", s["devices"]["online"]),
        ("edgewise_devices_available", "Devices that offer themselves now.", s["devices"]["available"]),
        ("edgewise_devices_doubled", "Names that more than one device uses.", s["devices"].get("doubled", 0)),
        ("edgewise_devices_at_work", "Devices at work in the round.", current["at_work"]),
        ("edgewise_round_goal", "Reports that close the round.", current["goal"]),
        ("edgewise_round_reports", "Reports that are in.", current["reports"]),
        ("edgewise_model_version", "The newest version of the model.", s["version"]),
        ("edgewise_rounds_wanted", "Versions that the coordinator was told to make.", s["rounds_wanted"]),
        ("edgewise_paused", "1 while the disk stops the rounds.", int(bool(s["paused"]))),
        ("edgewise_broker_connected", "1 while the link to the broker is up.", int(s["connected"])),
        ("edgewise_snapshot_timestamp_seconds", "When this was true.", s["time"]),
    ):
        yield GaugeMetricFamily(name, words, value=value)
    phase = GaugeMetricFamily("edgewise_round_phase", "1 for the phase that the round is in.", labels=["phase"])
    phase.add_metric([current["phase"]], 1)
    yield phase
    yield _last_round(s)
    yield from _privacy(s.get("privacy") or {})


def _privacy(figures: Mapping[str, Any]) -> Iterator[Metric]:
    for key, name, words in (
        ("epsilon", "edgewise_privacy_epsilon", "ε of everything released so far, at edgewise_privacy_delta."),
        ("delta", "edgewise_privacy_delta", "δ of the guarantee."),
        ("zcdp", "edgewise_privacy_zcdp", "ρ of everything released so far, without amplification by sampling."),
        ("budget", "edgewise_privacy_epsilon_budget", "ε that no release may pass."),
        ("releases", "edgewise_privacy_releases", "Noised sums that were released."),
    ):
        if figures.get(key) is not None:
            yield GaugeMetricFamily(name, words, value=figures[key])


def _last_round(s: Snapshot) -> Metric:
    family = GaugeMetricFamily("edgewise_last_round", "What the last finished round measured.", labels=["figure"])
    for name, value in (s["last_rounds"][-1] if s["last_rounds"] else {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            family.add_metric([name], value)
    return family


def _counters(s: Snapshot) -> Iterator[Metric]:
    for name, words, label, values in (
        ("edgewise_rounds", "Training rounds that ended.", "phase", s["rounds"]),
        ("edgewise_bytes", "Payload bytes of messages and blobs.", "direction", s["bytes"]),
        ("edgewise_refused", "What devices sent that was not taken.", "reason", s["refused"]),
        ("edgewise_broker_refused", "What the fleet's broker refused.", "reason", s["broker_refused"]),
    ):
        family = CounterMetricFamily(name, words, labels=[label])
        for key, value in sorted(values.items()):
            family.add_metric([key], value)
        yield family
    yield CounterMetricFamily("edgewise_unsent", "Messages that a dead link had no room for.", value=s["unsent"])


class MetricsServer:
    """Answers on one address, in threads of its own, from the last snapshot it was shown; a context manager.

    Whoever reaches the address can read how the fleet does (never an update, never a key): keep it inside.

    Raises:
        UnavailableError: if it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._collector = SnapshotCollector()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._collector)
        collector = self._collector

        class Handler(_Handler):
            """Answers from this server's snapshot."""

            answers = _Answers(registry, collector)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise UnavailableError(
                f"metrics on {host}:{port}: cannot listen there ({error.strerror}); choose another --metrics"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def show(self, snapshot: Snapshot) -> None:
        """Answer with this from now on."""
        self._collector.snapshot = snapshot

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answers:
    def __init__(self, registry: CollectorRegistry, collector: SnapshotCollector) -> None:
        self._registry = registry
        self._collector = collector

    def of(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        snapshot = self._collector.snapshot
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/healthz":
            ill = illness(snapshot, time.time())
            return (503, "text/plain; charset=utf-8", ill.encode()) if ill else (200, "text/plain", b"ok")
        if path == "/status" and snapshot is not None:
            return 200, "application/json", json.dumps(snapshot).encode()
        return 404, "text/plain", b"/metrics, /healthz or /status"


class _Handler(BaseHTTPRequestHandler):
    answers: _Answers
    timeout = REQUEST_SECONDS
    server_version = "edgewise"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a GET."""
        status, kind, body = self.answers.of(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""
