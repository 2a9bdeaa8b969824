"""Each mistake gets one line that says what to do, and exit status 2."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from edgewise.cli import main
from edgewise_wire.tflite_file import parse


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2
    assert len(told) == 1, told
    assert told[0].startswith("edgewise: ")
    return told[0]


@pytest.mark.parametrize("command", [("inspect",), ("coordinate", "--dir", "run", "--model")])
def test_a_file_that_is_no_model(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("dear diary")
    assert "notes.txt: not a TFLite file" in fails(capsys, *command, "notes.txt")
    assert "no.tflite: cannot be read" in fails(capsys, *command, "no.tflite")


def test_a_model_without_manifest_and_signatures(
    tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (fixture_dir / "tiny.tflite").read_bytes()
    assert parse(data).metadata
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(data.replace(b"edgewise.manifest", b"someone.elses.own"))
    assert "edgewise export" in fails(capsys, "inspect", plain)


@pytest.mark.parametrize("who", ["coordinate", "device"])
def test_a_broker_that_is_not_there(
    who: str, tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers, and nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{taken.getsockname()[1]}"
        model = fixture_dir / "tiny.tflite"
        arguments = {
            "coordinate": ("coordinate", "--model", model, "--broker", url, "--dir", tmp_path / "run"),
            "device": ("device", "run", "--broker", url, "--device", "a", "--home", tmp_path / "home"),
        }[who]
        assert "nobody listens there; start a broker" in fails(capsys, *arguments)


def test_a_broker_that_is_no_address(tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fixture_dir / "tiny.tflite"
    assert "mqtt://" in fails(capsys, "coordinate", "--model", model, "--broker", "http://x", "--dir", tmp_path / "run")


@pytest.mark.parametrize("option", ["--dashboard", "--metrics"])
def test_a_place_to_listen_that_is_no_address(
    option: str, tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("coordinate", "--model", fixture_dir / "tiny.tflite", "--broker", "mqtt://127.0.0.1:1", "--dir", tmp_path)
    assert f"{option} address 'nonsense': expected HOST:PORT" in fails(capsys, *run, option, "nonsense")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--aggregators", "257"], "aggregators: expected 0 to 256, got 257"),
        (["--aggregators", "-1"], "aggregators: expected 0 to 256, got -1"),
        (["--engine", "ray"], "--engine ray without --aggregators: say how many"),
        (["--aggregators", "2", "--ray-address", "auto"], "--ray-address without --engine ray: add it"),
        (["--aggregators", "2", "--aggregator", "median"], "--aggregators with median: it needs all updates"),
        (["--aggregators", "2", "--buffer", "4"], "--aggregators with --buffer"),
        (["--aggregators", "2", "--secure-aggregation"], "--aggregators with --secure-aggregation"),
        (
            ["--aggregators", "2", "--privacy", "dp-fedavg", "--clip-norm", "0.3", "--noise-multiplier", "1"],
            "--aggregators with --privacy: only plain updates are spread so far",
        ),
    ],
)
def test_aggregators_that_cannot_be(
    options: list[str], words: str, tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, nobody = fixture_dir / "tiny.tflite", "mqtt://127.0.0.1:1"  # it is said before the broker is looked for
    run = ("coordinate", "--model", model, "--broker", nobody, "--dir", tmp_path / "run")
    assert words in fails(capsys, *run, *options)
    assert not (tmp_path / "run").exists()


def test_aggregators_without_papers_in_a_secured_fleet(
    tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cryptography")
    fleet, model = tmp_path / "fleet", fixture_dir / "tiny.tflite"
    main_ok("fleet", "init", "home", "--dir", fleet)
    main_ok("fleet", "aggregators", "1", "--dir", fleet)
    assert "No broker of this fleet runs here" in capsys.readouterr().out
    run = ("coordinate", "--model", model, "--fleet-dir", fleet, "--dir", tmp_path / "run", "--aggregators", "2")
    told = fails(capsys, *run)
    assert f"has papers for 1 of them; edgewise fleet aggregators NUMBER --dir {fleet}" in told
    assert "aggregators: expected 0 to 256, got 1000" in fails(capsys, "fleet", "aggregators", "1000", "--dir", fleet)


def main_ok(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code == 0


def test_an_empty_text_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts").mkdir()
    assert "what is read" in fails(capsys, "demo", "--data", tmp_path / "texts", "--dir", tmp_path / "run")
    assert "what is read" in fails(capsys, "device", "import", tmp_path / "texts", "--home", tmp_path / "home")


def test_a_text_of_one_person_is_no_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "alone.txt").write_text("see you\n" * 50)
    assert "at least 2" in fails(capsys, "demo", "--data", tmp_path / "alone.txt", "--dir", tmp_path / "run")


def test_a_vocabulary_of_the_wrong_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("see\nyou\nme\n")
    out = tmp_path / "m.tflite"
    told = fails(capsys, "export", "next-word", "--out", out, "--vocabulary", words, "--vocabulary-size", "100")
    assert "3 words" in told
    assert not out.exists()


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_a_port_in_use(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port}" in fails(capsys, "broker", "--port", port, "--broker", kind, "--dir", tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rounds", "0"),
        ("--cohort", "0"),
        ("--learning-rate", "-1"),
        ("--epochs", "0"),
        ("--over-selection", "0.1"),
        ("--min-reports", "99"),
        ("--fleet", "a/b"),
    ],
)
def test_settings_out_of_range(
    arguments: tuple[str, str], tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fixture_dir / "tiny.tflite"
    assert "expected" in fails(capsys, "coordinate", "--model", model, "--dir", tmp_path / "run", *arguments)


def test_a_directory_of_another_model(
    tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewise_coordinator.state import StateStore

    (tmp_path / "run").mkdir()
    store = StateStore(tmp_path / "run" / "state.sqlite")
    store.meta("fleet", "home")
    store.meta("graph", np.zeros(4, "u1").tobytes().hex())
    store.close()
    from edgewise.brokers.embedded import EmbeddedBroker

    with EmbeddedBroker(log=tmp_path / "broker.log") as broker:
        arguments = ("--model", fixture_dir / "tiny.tflite", "--dir", tmp_path / "run", "--broker", broker.url)
        assert "another model graph" in fails(capsys, "coordinate", *arguments)


def test_a_directory_that_another_coordinator_holds(
    tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgewise_coordinator.server import directory_lock

    with directory_lock(tmp_path / "run"):
        told = fails(capsys, "coordinate", "--model", fixture_dir / "tiny.tflite", "--dir", tmp_path / "run")
    assert "another coordinator runs there" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--broker", "rabbit"], "broker 'rabbit': expected embedded or mosquitto, or an address"),
        (["--rounds", "0"], "rounds: expected at least 1, got 0"),
        (["--devices", "1"], "devices: expected at least 2, got 1"),
        (["--data", "no.txt"], "no.txt"),
    ],
)
def test_a_demo_that_is_refused_leaves_no_folder(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in fails(capsys, "demo", *options)
    assert list(tmp_path.iterdir()) == []
