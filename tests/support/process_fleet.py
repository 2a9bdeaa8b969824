"""A fleet of real processes: a broker, `edgewise coordinate`, `edgewise device run` for each device, and a spy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise.brokers.process import BrokerProcess
from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from edgewise_wire.codec import decode
from edgewise_wire.messages import Body
from edgewise_wire.topics import parse_device_topic
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.mqtt import MqttTransport

FLEET = "proc"
PATIENCE = 120.0


def edgewise(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "edgewise", *arguments], text=True, **options)


@dataclass
class ProcessFleet:
    folder: Path
    model: Path
    broker: BrokerProcess
    devices: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    payloads: list[Message] = field(default_factory=list)
    coordinator: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.spy = MqttTransport(self.broker.url, "spy")
        self.spy.connect()
        self.spy.subscribe("#")

    def start_device(self, name: str, texts: list[str] | None = None) -> None:
        home = Home(self.folder / name)
        if texts:
            with ExampleStore(home.examples) as store:
                store.add_many(texts)
        log = (self.folder / f"{name}.log").open("a")
        arguments = ["--broker", self.broker.url, "--fleet", FLEET, "--device", name, "--home", str(home.path)]
        arguments.append("--no-conditions")  # a machine that runs tests is loaded, and may be hot
        self.devices[name] = edgewise("device", "run", *arguments, stderr=log, stdout=log)

    def start_coordinator(self, *arguments: str) -> None:
        common = ["--model", str(self.model), "--broker", self.broker.url, "--fleet", FLEET, "--json"]
        common += ["--dir", str(self.folder / "run"), "--offline-grace", "2", "--keep-updates"]
        self.coordinator = edgewise("coordinate", *common, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def until(self, wanted: Callable[[str, Body], bool]) -> str:
        """Watch the broker until a device or the coordinator says it; return the device it is about."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            event = self.spy.poll(1.0)
            if isinstance(event, Message) and event.payload:
                self.payloads.append(event)
                about = parse_device_topic(FLEET, event.topic)
                if about is not None and wanted(about.device, decode(event.payload).body):
                    return about.device
        raise AssertionError("it was never said")

    def kill(self, name: str) -> None:
        self.devices[name].send_signal(signal.SIGKILL)
        self.devices[name].wait()

    def finish(self) -> dict[str, Any]:
        """Wait for the coordinator's end and return its JSON line."""
        assert self.coordinator is not None
        out, err = self.coordinator.communicate(timeout=PATIENCE)
        assert self.coordinator.returncode == 0, err
        while (event := self.spy.poll(0.2)) is not None:
            if isinstance(event, Message):
                self.payloads.append(event)
        return dict(json.loads(out.splitlines()[-1]))

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "run" / "rounds.jsonl").read_text().splitlines()]

    def stop(self) -> None:
        self.spy.close()
        for process in [*self.devices.values(), *([self.coordinator] if self.coordinator else [])]:
            if process.poll() is None:
                process.terminate()
        for process in [*self.devices.values(), *([self.coordinator] if self.coordinator else [])]:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def process_fleet(folder: Path, model: Path, broker: BrokerProcess) -> Iterator[ProcessFleet]:
    with broker:
        fleet = ProcessFleet(folder, model, broker)
        try:
            yield fleet
        finally:
            fleet.stop()
