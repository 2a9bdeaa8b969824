"""Real rounds of a mixed cohort: Python devices and JVM devices, which run the Android client's own device module."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise.brokers.mosquitto import find_mosquitto
from edgewise.brokers.process import free_port
from edgewise_coordinator.state import StateStore
from edgewise_edge.home import Home
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import examples_for, rows
from edgewise_edge.policy import Policy, save_policy
from edgewise_edge.store import ExampleStore
from edgewise_edge.tokenizer import WordTokenizer
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.codec import decode
from edgewise_wire.crypto.signing import SigningKey
from edgewise_wire.errors import ProtocolError, UnavailableError
from edgewise_wire.messages import Assignment, Envelope, EvaluationReport, UploadChunk, UploadRequest
from edgewise_wire.topics import parse_device_topic
from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import Flat, flatten, parameters
from process_fleet import FLEET, ProcessFleet, edgewise, process_fleet
from proxy import PUBLISH, UP, Cut, MqttProxy, NetworkFaults, Packet
from tests.support.broker_fixtures import make_mosquitto
from tests.support.jvm_devices import desktop_jar, java, start_jvm_device

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
TOGETHER = ("--cohort", "4", "--over-selection", "1.0", "--offline-grace", "60")


@pytest.fixture(scope="module")
def jar() -> Path:
    return desktop_jar()


class Sent:
    """What every device said it sends, put together from the chunks on the wire."""

    def __init__(self, fleet: ProcessFleet) -> None:
        self.requests: dict[tuple[int, str], UploadRequest] = {}
        self.assignments: dict[tuple[int, str], Assignment] = {}
        self.evaluations: dict[tuple[int, str], EvaluationReport] = {}
        self.data: dict[tuple[int, str], bytearray] = {}
        for envelope, device in spoken(fleet):
            body, key = envelope.body, (envelope.round, device)
            if isinstance(body, UploadRequest):
                self.requests[key] = body
                self.data.setdefault(key, bytearray(body.update.size))
            elif isinstance(body, UploadChunk):
                at = body.index * self.requests[key].update.chunk_bytes
                self.data[key][at : at + len(body.data)] = body.data
            elif isinstance(body, Assignment):
                self.assignments[key] = body
            elif isinstance(body, EvaluationReport):
                self.evaluations[key] = body

    def update(self, key: tuple[int, str], count: int) -> Flat:
        request, asked = self.requests[key], self.assignments[key]
        return get(request.encoding).decode(bytes(self.data[key]), count, Key(asked.seed, *key))

    def of_round(self, number: int) -> list[str]:
        return sorted(device for at, device in self.requests if at == number)


def spoken(fleet: ProcessFleet) -> list[tuple[Envelope, str]]:
    found = [(message, parse_device_topic(FLEET, message.topic)) for message in fleet.payloads if message.payload]
    return [(decode(message.payload), about.device) for message, about in found if about is not None]


def check_average(folder: Path, model: Path, sent: Sent) -> list[int]:
    """Check that every version is NumPy's average of what each device said it sent; return the rounds."""
    store = StateStore(folder / "run" / "state.sqlite")
    artifact = Artifact.load(model)
    count = parameters(artifact.manifest.weights)
    before = flatten(artifact.weights(), artifact.manifest.weights).astype("f8")
    rounds = []
    for version in store.versions()[1:]:
        number = version.round_id
        assert number is not None
        rounds.append(number)
        devices = sent.of_round(number)
        updates = [sent.update((number, device), count) for device in devices]
        examples = [sent.requests[number, device].examples for device in devices]
        expected = before + np.average(updates, axis=0, weights=examples)
        before = np.frombuffer((folder / "run" / "versions" / version.weights).read_bytes(), "<f4").astype("f8")
        np.testing.assert_allclose(before, expected, atol=2e-6)
    store.close()
    return rounds


def start_mixed(fleet: ProcessFleet, jar: Path) -> None:
    for n in range(2):
        fleet.start_device(f"pi-{n}", SENTENCES * (3 + n))
        start_jvm_device(fleet, jar, f"jvm-{n}", SENTENCES * (4 + n))


def test_the_average_contains_what_the_java_path_computed(jar: Path, tmp_path: Path, fixture_dir: Path) -> None:
    model = fixture_dir / "tiny.tflite"
    with process_fleet(tmp_path, model, make_broker("embedded", tmp_path / "broker")) as fleet:
        start_mixed(fleet, jar)
        fleet.start_coordinator("--rounds", "2", "--epochs", "2", *TOGETHER)
        assert fleet.finish()["version"] == 2
    sent = Sent(fleet)
    rounds = check_average(tmp_path, model, sent)
    assert len(rounds) == 2
    for number in rounds:
        assert sent.of_round(number) == ["jvm-0", "jvm-1", "pi-0", "pi-1"]
        for device in ("jvm-0", "jvm-1"):
            check_training(tmp_path, model, sent, (number, device))
    assert {device for _, device in sent.evaluations} == {"jvm-0", "jvm-1", "pi-0", "pi-1"}
    check_log(tmp_path / "jvm-0" / "participation.sqlite")
    secret = [word.encode() for word in SENTENCES]
    assert not any(text in message.payload for message in fleet.payloads for text in secret)


def check_training(folder: Path, model: Path, sent: Sent, key: tuple[int, str]) -> None:
    """Check a JVM device's update against Python's: the same examples, order and seeds; other kernels."""
    asked, trainer = sent.assignments[key], Trainer(model)
    versions = {path: path.read_bytes() for path in (folder / "run" / "versions").iterdir()}
    weights = next(np.frombuffer(data, "<f4") for data in versions.values() if hash_of(data) == asked.weights.hash)
    with ExampleStore(folder / key[1] / "examples.sqlite") as store:
        texts = store.texts(held_out=False)
    tokenizer = WordTokenizer(trainer.manifest.vocabulary)
    found = rows(texts, tokenizer, steps=trainer.manifest.steps)
    own = train_locally(
        trainer, weights, examples_for(found._asdict(), trainer.manifest), epochs=asked.epochs,
        learning_rate=asked.learning_rate, max_examples=0, rng=device_generator(asked.seed, *key),
    )  # fmt: skip
    expected = run_to_end(own)
    np.testing.assert_allclose(sent.update(key, len(weights)), expected.update, atol=1e-6)
    request = sent.requests[key]
    assert (request.steps, request.examples) == (expected.steps, expected.examples)
    assert request.loss == pytest.approx(expected.loss, rel=1e-5)


def hash_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def check_log(path: Path) -> None:
    """The owner can see what was sent and when: every round that was trained for, with its bytes."""
    with sqlite3.connect(path) as log:
        found = log.execute(
            "SELECT kind, outcome, steps > 0, bytes_up > 0 FROM participation ORDER BY began"
        ).fetchall()
    assert [row for row in found if row[0] == "train"] == [("train", "reported", 1, 1)] * 2


NORM, NOISE = 0.05, 0.5
PRIVATE = ("--privacy", "dp-fedavg", "--clip-norm", str(NORM), "--noise-multiplier", str(NOISE))


def test_compressed_and_differentially_private_rounds_of_both_kinds_of_device(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    """Clipped on the device, equal weights, in four bits a number; the version is their mean and the promised noise."""
    model, encoding = fixture_dir / "tiny.tflite", f"clip-{NORM}+rotated-4"
    with process_fleet(tmp_path, model, make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(2):  # the owners ask for it
            save_policy(Home(tmp_path / f"jvm-{n}").policy, Policy(require_clipping=NORM, require_noise=NOISE))
        start_mixed(fleet, jar)
        fleet.start_coordinator(
            "--rounds", "3", "--compress", "rotated-4", "--compress-down", "lloyd-4", "--evaluate-every", "0",
            *PRIVATE, *TOGETHER,
        )  # fmt: skip
        assert fleet.finish()["version"] == 3
    sent = Sent(fleet)
    assert {request.encoding for request in sent.requests.values()} == {encoding}
    store = StateStore(tmp_path / "run" / "state.sqlite")
    versions = store.versions()[1:]
    assert [len(store.reports(v.round_id)) for v in versions if v.round_id] == [4, 4, 4]
    check_noise(tmp_path, model, sent, versions[0].weights)
    store.close()
    # Differences down led both kinds of device to the weights of the coordinator: they trained on the same hash.
    bases = {asked.weights.hash for asked in sent.assignments.values()}
    assert len(bases) == 3
    for name in ("pi-0", "jvm-0"):
        latest = json.loads((tmp_path / name / "model.json").read_text())
        assert latest["version"] == 2
        assert bytes.fromhex(latest["weights"]) in bases
    with sqlite3.connect(tmp_path / "jvm-0" / "participation.sqlite") as log:  # the owner sees what was promised
        assert log.execute("SELECT DISTINCT outcome, clip, noise FROM participation").fetchall() == [
            ("reported", NORM, NOISE)
        ]


def check_noise(folder: Path, model: Path, sent: Sent, weights: str) -> None:
    """Check that the first version is the plain mean of the clipped updates, but for noise of what was promised."""
    artifact = Artifact.load(model)
    count = parameters(artifact.manifest.weights)
    updates = [sent.update((1, device), count) for device in sent.of_round(1)]
    assert all(np.linalg.norm(update.astype("f8")) <= NORM * (1 + 1e-6) for update in updates)
    before = flatten(artifact.weights(), artifact.manifest.weights)
    after = np.frombuffer((folder / "run" / "versions" / weights).read_bytes(), "<f4")
    noise = after.astype("f8") - before - np.mean(updates, axis=0)  # whoever has more examples counts no more
    assert noise.std() == pytest.approx(NOISE * NORM / len(updates), rel=6 / np.sqrt(2 * count))


class Behind:
    """A broker seen through a proxy."""

    def __init__(self, proxy: MqttProxy) -> None:
        self.url = proxy.url


def disturbed(
    folder: Path, model: Path, jar: Path, victim: str | None, how: str, faults: NetworkFaults | None = None
) -> tuple[bytes, ProcessFleet]:
    """Run two rounds; when the victim's first upload chunk passes, its process is killed, or its link (or all) cut."""
    folder.mkdir()
    with make_mosquitto(folder / "broker") as broker, MqttProxy(broker.url) as proxy:
        fleet = ProcessFleet(folder, model, Behind(proxy))  # type: ignore[arg-type]
        struck = threading.Event()

        def strike(packet: Packet) -> None:
            if struck.is_set() or packet.direction != UP or packet.kind != PUBLISH or victim is None:
                return
            if says(packet, victim, UploadChunk):
                struck.set()
                if how == "all":
                    threading.Timer(0.0, proxy.cut).start()  # not from the proxy's own thread
                    return
                if how == "kill":
                    os.kill(fleet.devices[victim].pid, signal.SIGKILL)
                raise Cut

        proxy.hook = strike
        proxy.faults = faults or proxy.faults
        try:
            fleet.start_device("pi-0", SENTENCES * 20)
            start_jvm_device(fleet, jar, "jvm-0", SENTENCES * 21)
            arguments = ("--rounds", "2", "--cohort", "2", "--over-selection", "1.0", "--offline-grace", "60")
            fleet.start_coordinator(*arguments, "--evaluate-every", "0")
            if victim is not None:
                assert struck.wait(60)
                if how == "kill":
                    fleet.devices[victim].wait()
                    start_jvm_device(fleet, jar, victim)
            assert fleet.finish()["version"] == 2
        finally:
            fleet.stop()
    store = StateStore(folder / "run" / "state.sqlite")
    assert [len(store.reports(v.round_id)) for v in store.versions()[1:] if v.round_id] == [2, 2]
    last = store.versions()[-1].weights
    store.close()
    return (folder / "run" / "versions" / last).read_bytes(), fleet


def says(packet: Packet, device: str, what: type) -> bool:
    if not packet.topic.endswith(f"/{device}/up"):
        return False
    try:
        return isinstance(decode(packet.payload).body, what)
    except ProtocolError:
        return False


def test_a_jvm_device_killed_or_cut_off_in_its_upload_ends_in_the_same_bits(
    jar: Path, tmp_path: Path, fixture_dir: Path
) -> None:
    model = fixture_dir / "tiny.tflite"
    in_peace, _ = disturbed(tmp_path / "peace", model, jar, None, "")
    for how in ("kill", "cut"):
        weights, fleet = disturbed(tmp_path / how, model, jar, "jvm-0", how)
        assert weights == in_peace, how
        said = [envelope for envelope, device in spoken(fleet) if device == "jvm-0"]
        requests = [e for e in said if isinstance(e.body, UploadRequest)]
        first = {e.body.update.hash for e in requests if e.round == requests[0].round}  # type: ignore[union-attr]
        assert len(first) == 1  # asked for a slot again with the update of before: nothing was trained twice


def test_both_read_the_same_in_a_model_file(jar: Path, fixture_dir: Path) -> None:
    model = fixture_dir / "tiny.tflite"
    artifact = Artifact.load(model)
    said = json.loads(run_java(jar, "inspect", str(model)))
    assert said["graph_hash"] == artifact.graph_hash.hex()
    assert said["weights_hash"] == artifact.weights_hash.hex()
    assert said["parameters"] == parameters(artifact.manifest.weights)
    assert said["file_hash"] == hash_of(model.read_bytes()).hex()


def call(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "edgewise", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def wait_for(path: Path, words: str) -> None:
    deadline = time.monotonic() + 120
    while words not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"{words!r} never stood in {path}: {path.read_text()}"
        time.sleep(0.1)


def run_java(jar: Path, *arguments: str) -> str:
    out, _ = java(jar, *arguments, stdout=subprocess.PIPE).communicate(timeout=60)
    return out


def test_a_bundle_lets_a_jvm_device_into_a_secured_fleet(jar: Path, tmp_path: Path, fixture_dir: Path) -> None:
    """TLS with its own certificate, the broker's host name checked, assignments signed by the coordinator."""
    try:
        find_mosquitto()
    except UnavailableError as error:
        pytest.skip(str(error))
    processes = []
    try:
        call("fleet", "init", "home", "--port", str(free_port()), "--bind", "127.0.0.1", cwd=tmp_path)
        with (tmp_path / "broker.log").open("w") as log:
            processes.append(edgewise("broker", "--fleet-dir", "fleet", cwd=tmp_path, stdout=log, stderr=log))
        wait_for(tmp_path / "broker.log", "mqtts://")
        for name in ("jvm-1", "stranger"):
            call("fleet", "enroll", name, cwd=tmp_path)
        bundle = json.loads((tmp_path / "stranger.bundle").read_text())
        other = SigningKey.generate().public.to_text()  # a device that trusts another coordinator takes nothing of this
        (tmp_path / "stranger.bundle").write_text(json.dumps(bundle | {"coordinator_key": other}))
        for name in ("jvm-1", "stranger"):
            with ExampleStore(Home(tmp_path / name).examples) as store:
                store.add_many(SENTENCES * 3)
            with (tmp_path / f"{name}.log").open("w") as log:
                whence = ("--bundle", str(tmp_path / f"{name}.bundle"), "--home", str(tmp_path / name))
                processes.append(java(jar, "run", *whence, stdout=log, stderr=log))
        for name in ("jvm-1", "stranger"):
            wait_for(tmp_path / f"{name}.log", "checked-in")
        with (tmp_path / "coordinator.log").open("w") as log:
            arguments = ["--fleet-dir", "fleet", "--model", str(fixture_dir / "tiny.tflite"), "--rounds", "2"]
            arguments += ["--cohort", "1", "--over-selection", "2.0", "--evaluate-every", "0", "--dir", "run"]
            processes.append(edgewise("coordinate", *arguments, cwd=tmp_path, stdout=log, stderr=log))
        wait_for(tmp_path / "jvm-1.log", "idle: reported")
        wait_for(tmp_path / "stranger.log", "refused an assignment that the coordinator did not sign")
        assert "training" not in (tmp_path / "stranger.log").read_text()
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(30)
