"""The dashboard's server: what it tells, what it keeps to itself, whom it obeys."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgewise.dashboard.app import BODY_MAX, HEADERS, PAGE
from edgewise.dashboard.feed import VERSIONS_SHOWN, Feed
from edgewise.dashboard.server import TOKEN_VARIABLE, Serving, serve
from edgewise_coordinator import snapshot
from edgewise_coordinator.history import History
from edgewise_coordinator.server import directory_lock
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_wire.errors import ConfigError, UnavailableError
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SETTINGS = Settings("test", 3, RoundSettings(goal=2, over_selection=1.0), TrainingSettings(learning_rate=0.5))
TOKEN = "a-token-of-the-operator"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, fixture_dir: Path) -> Path:
    """The directory of a run of three rounds."""
    texts = {f"pi-{n}": (SENTENCES * 4)[n : n + 10] for n in range(2)}
    fleet = MemoryFleet(tmp_path_factory.mktemp("fleet"), fixture_dir / "tiny.tflite", SETTINGS, texts)
    run = fleet.folder / "run"
    history = History(run / "rounds.jsonl", fleet.coordinator.store, fleet.coordinator.model.is_measured)
    fleet.coordinator.on_round = history.add
    fleet.run()
    history.flush()
    snapshot.write(run, snapshot.take(fleet.coordinator, history.rows, {}))
    fleet.coordinator.store.close()
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def page(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with serve(run, "127.0.0.1:0") as serving:
        yield serving


def ask(
    serving: Serving, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    address = serving.url.split("/")[2]
    with closing(http.client.HTTPConnection(address, timeout=20)) as link:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        link.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = link.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def suggest(serving: Serving, body: Any) -> tuple[int, Any]:
    status, _, data = ask(serving, "POST", "/api/suggest", body)
    return status, json.loads(data)


def roll_back(serving: Serving, version: Any, token: str = TOKEN) -> tuple[int, Any]:
    status, _, data = ask(serving, "POST", "/api/rollback", {"version": version}, Authorization=f"Bearer {token}")
    return status, json.loads(data)


def events(serving: Serving, wanted: set[str]) -> dict[str, Any]:
    """Read the stream until every wanted kind has come."""
    found: dict[str, Any] = {}
    with closing(http.client.HTTPConnection(serving.url.split("/")[2], timeout=20)) as link:
        link.request("GET", "/api/events")
        answer = link.getresponse()
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        kind = ""
        while wanted - found.keys():
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found[kind] = json.loads(line[6:])
    return found


def test_the_stream_brings_status_rounds_and_versions(page: Serving) -> None:
    found = events(page, {"status", "rounds", "versions"})
    assert found["status"]["version"] == 3
    assert [row["round"] for row in found["rounds"]["rows"]] == [0, 1, 2, 3]
    assert [(v["version"], v["parent"]) for v in found["versions"]] == [(3, 2), (2, 1), (1, 0), (0, None)]
    assert set(found["versions"][0]["metrics"]) == {"loss", "top1", "top3"}


def test_the_stream_goes_on_with_what_is_appended(page: Serving, run: Path) -> None:
    with closing(http.client.HTTPConnection(page.url.split("/")[2], timeout=20)) as link:
        link.request("GET", "/api/events")
        answer = link.getresponse()
        while not answer.readline().startswith(b"event: versions"):
            pass
        with (run / "rounds.jsonl").open("a") as file:
            file.write('{"round": 4, "torn')
            file.flush()
            time.sleep(0.6)
            file.write('": 1}\n')
        while (line := answer.readline()) != b"event: rounds\n":
            assert line  # the stream has not ended
        assert json.loads(answer.readline()[6:]) == {"from": 4, "rows": [{"round": 4, "torn": 1}]}


def test_every_answer_keeps_the_page_to_itself(page: Serving) -> None:
    for path in ("/", "/page/app.js", "/api/status", "/api/events-not", "/page/../app.py"):
        _, headers, _ = ask(page, "GET", path)
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_page_asks_nobody_else_for_anything() -> None:
    for path in PAGE.iterdir():
        text = path.read_text("utf-8")
        if path.suffix in (".html", ".css") or (path.suffix == ".js" and "uPlot" not in path.name):
            assert "//" not in text.replace("// ", "").replace("http://www.w3.org/2000/svg", ""), path
        assert "style=" not in text or path.suffix == ".js", path


def test_no_file_but_the_pages_is_served(page: Serving) -> None:
    for path in ("/page/app.py", "/page/..%2Fapp.py", "/page/%2e%2e/app.py", "/page/style.css/x"):
        assert ask(page, "GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8750", "127.0.0.1.evil.example", ""])
def test_a_name_that_is_not_ours_is_refused(page: Serving, host: str) -> None:
    assert ask(page, "GET", "/api/status", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8750", "192.168.1.4:80"])
def test_our_names_are_answered(page: Serving, host: str) -> None:
    assert ask(page, "GET", "/api/status", Host=host)[0] == 200


def test_the_keyboard_suggests_with_two_versions(page: Serving) -> None:
    status, found = suggest(page, {"text": "see you", "versions": [0, 3]})
    assert status == 200
    assert found.keys() == {"0", "3"}
    for words in found.values():
        assert len(words) == 3
        assert all(0 <= w["probability"] <= 1 and w["word"] for w in words)
    assert found["0"] != found["3"]  # it has learned something


@pytest.mark.parametrize(
    "body",
    [
        b"no json", b"[]", {"text": 3, "versions": [0]}, {"text": "x" * 401, "versions": [0]}, {"text": "x"},
        {"text": "x", "versions": [0, 1, 2]}, {"text": "x", "versions": ["0"]}, {"text": "x", "versions": [True]},
        b'{"text": "' + b"x" * BODY_MAX + b'"}', {"text": "x", "versions": [99]}, {"text": "x", "versions": [-1]},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(page: Serving, body: Any) -> None:
    status, found = suggest(page, body)
    assert status == 400
    assert found["error"]


def test_what_is_typed_is_nowhere_afterwards(page: Serving, run: Path) -> None:
    assert suggest(page, {"text": "zebrasecret you", "versions": [0]})[0] == 200
    for path in run.rglob("*"):
        assert not path.is_file() or b"zebrasecret" not in path.read_bytes(), path


def test_rolling_back_needs_the_token(page: Serving, run: Path) -> None:
    for token in ("", "wrong", TOKEN + "x"):
        assert roll_back(page, 1, token)[0] == 401
    assert Feed(run).versions()[0]["version"] == 3
    assert ask(page, "GET", "/api/rollback", Authorization=f"Bearer {TOKEN}")[0] == 405


def test_with_the_token_it_is_done(page: Serving, run: Path) -> None:
    assert roll_back(page, 1) == (200, {"version": 4})
    newest = Feed(run).versions()[0]
    assert (newest["version"], newest["parent"], newest["round_id"]) == (4, 1, None)
    assert roll_back(page, 4)[0] == 409
    assert "versions 0 to 4" in roll_back(page, 77)[1]["error"]
    assert roll_back(page, "1")[0] == 400


def test_a_token_is_made_where_none_is_set(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with serve(run, "127.0.0.1:0") as serving:
        token = serving.link.split("#token=")[1]
        assert len(token) > 20
        assert roll_back(serving, 2, token) == (200, {"version": 4})


def test_no_keyboard_where_text_would_travel(run: Path) -> None:
    with serve(run, "0.0.0.0:0") as serving:
        local = Serving(serving.url.replace("0.0.0.0", "127.0.0.1"), "")
        assert "loopback" in json.loads(ask(local, "GET", "/api/about")[2])["keyboard"]
        assert suggest(local, {"text": "see", "versions": [0]})[0] == 409


def test_before_the_first_version_there_is_a_page_and_no_more(tmp_path: Path) -> None:
    with serve(tmp_path, "127.0.0.1:0") as serving:
        assert ask(serving, "GET", "/")[0] == 200
        about = json.loads(ask(serving, "GET", "/api/about")[2])
        assert (about["ready"], about["metrics"]) == (False, [])
        assert "first version" in about["keyboard"]
        assert events(serving, {"rounds", "versions"}) == {"rounds": {"from": 0, "rows": []}, "versions": []}


def test_a_wrong_or_taken_address_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dashboard address 'here'"), serve(tmp_path, "here"):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="choose another --dashboard"), serve(tmp_path, where):
            pass


def test_of_very_many_versions_the_newest_and_the_first_are_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.dashboard.feed.VERSIONS_SHOWN", 2)
    assert VERSIONS_SHOWN > 2
    assert [v["version"] for v in Feed(run).versions()] == [3, 2, 0]


def test_a_running_coordinator_that_does_not_answer_is_not_gone_around(
    page: Serving, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise_coordinator.requests.ask_roll_back.__defaults__", (0.3,))
    with directory_lock(run):
        status, found = roll_back(page, 1)
    assert status == 409
    assert "did not answer" in found["error"]
    assert not (run / "request.json").exists()


def test_the_command_serves_until_it_is_stopped(run: Path) -> None:
    command = [sys.executable, "-m", "edgewise", "dashboard", "--dir", str(run), "--listen", "127.0.0.1:0"]
    environment = {**os.environ, TOKEN_VARIABLE: TOKEN}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.removeprefix("Dashboard: ").strip()
        assert TOKEN not in line
        assert json.loads(ask(Serving(url, url), "GET", "/api/status")[2])["version"] == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
