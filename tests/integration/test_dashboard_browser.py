"""The dashboard in a real Chromium: a fleet of real processes goes by, somebody types, goes back, and looks closely."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, look
from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.dashboard.server import serve
from edgewise_edge.home import Home
from process_fleet import ProcessFleet, process_fleet

pytestmark = pytest.mark.integration
TEXTS = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"] * 4
PATIENCE = 240.0  # a machine that is busy with other tests takes its time

WATCH = """
window.seen = {states: {}, phases: {}};
new MutationObserver(() => {
  document.querySelectorAll('#dots .dot').forEach(d => window.seen.states[d.dataset.state] = 1);
  document.querySelectorAll('#phases li.now').forEach(p => window.seen.phases[p.dataset.phase] = 1);
}).observe(document.body, {subtree: true, attributes: true, childList: true});
"""

CONTRAST = (Path(__file__).parents[1] / "support" / "contrast.js").read_text("utf-8")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, fixture_dir: Path) -> Iterator[ProcessFleet]:
    folder = tmp_path_factory.mktemp("dashboard")
    with process_fleet(folder, fixture_dir / "tiny.tflite", EmbeddedBroker()) as made:
        for n in range(3):
            made.start_device(f"pi-{n}", TEXTS)
        made.start_coordinator(
            "--rounds", "100000", "--cohort", "2", "--over-selection", "1", "--learning-rate", "0.5",
            "--dashboard", "127.0.0.1:0",
        )  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def link(fleet: ProcessFleet) -> str:
    assert fleet.coordinator is not None
    assert fleet.coordinator.stderr is not None
    for line in fleet.coordinator.stderr:
        if line.startswith("Dashboard: "):
            return line.removeprefix("Dashboard: ").strip()
    raise AssertionError("no dashboard was announced")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def until(say: str, wanted: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = wanted()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"never happened: {say}")


def text(browser: Any, css: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", css))


def version(browser: Any) -> int:
    words = text(browser, "#t-version").split()
    return int(words[1]) if len(words) > 1 else -1


def complaints(browser: Any) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_a_round_goes_by(browser: Any, link: str) -> None:
    browser.get(link)
    until("a first version", lambda: version(browser) >= 1)
    browser.execute_script(WATCH)
    began = version(browser)
    until("two more rounds", lambda: version(browser) >= began + 2)
    seen = until(
        "devices at work and done",
        lambda: (s := browser.execute_script("return window.seen"))["states"].keys() >= {"reported", "available"} and s,
    )
    assert seen["phases"]
    assert text(browser, "#link") == "live"
    assert len(browser.find_elements("css selector", "#dots li")) == 3
    for chart in ("recall", "loss", "bytes"):
        drawn = """const c = document.querySelector(arguments[0] + ' canvas');
            return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"""
        assert browser.execute_script(drawn, f"#{chart}")
        assert "to" in browser.find_element("id", chart).get_attribute("aria-label")
    assert complaints(browser) == []


def test_the_token_is_not_left_in_the_address_bar(browser: Any) -> None:
    assert "token" not in browser.current_url


def test_typing_shows_what_both_models_suggest(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    typed = browser.find_element("id", "typed")
    until("the keyboard is ready", typed.is_enabled)
    typed.send_keys("see you")
    words = "return [...document.querySelectorAll(arguments[0] + ' button b')].map(b => b.textContent)"
    for side in ("#before-words", "#after-words"):
        until(f"suggestions in {side}", lambda side=side: len(browser.execute_script(words, side)) == 3)
    browser.execute_script(
        "const after = document.querySelector('#after'); after.value = '0'; after.dispatchEvent(new Event('change'))"
    )
    until(
        "the same version on both sides",
        lambda: browser.execute_script(words, "#before-words") == browser.execute_script(words, "#after-words"),
    )
    best = browser.execute_script(words, "#after-words")[0]
    typed.send_keys(Keys.ENTER)
    until("Enter takes the likeliest word", lambda: typed.get_attribute("value") == f"see you {best} ")
    assert browser.switch_to.active_element == typed
    assert complaints(browser) == []


def test_everything_is_reached_by_keyboard_and_shows_where_one_is(browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    where = """const e = document.activeElement, label = e.getAttribute('aria-label') ?? e.tagName;
        return [e.id || label.split(' to version')[0], getComputedStyle(e).outlineStyle]"""
    met = {}
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        name, outline = browser.execute_script(where)
        met[name] = outline
    assert [name for name, outline in met.items() if outline == "none"] in ([], ["BODY"])
    assert met.keys() >= {"theme", "typed", "before", "after", "Roll back"}
    first = "document.querySelector('[aria-label=\"Roll back to version 0\"]')"
    until("a version to go back to", lambda: browser.execute_script(f"return {first} !== null"))
    was = browser.execute_script(f"{first}.focus(); return document.activeElement.ariaLabel")
    began = version(browser)
    until("a round goes by", lambda: version(browser) >= began + 1)
    assert browser.execute_script("return document.activeElement.ariaLabel") == was  # the table grew under it


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_contrast_is_aa_and_nothing_sticks_out(browser: Any, width: int, dark: bool) -> None:
    look(browser, width, 900, dark=dark)
    assert browser.execute_script("return getComputedStyle(document.documentElement).colorScheme") == (
        "dark" if dark else "light"
    )
    found = browser.execute_script(CONTRAST)
    assert len([kind for kind, *_ in found if kind == "text"]) > 30
    assert [entry for entry in found if entry[2] < entry[3]] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_theme_button_changes_the_colours(browser: Any) -> None:
    look(browser, 1280, 900, dark=False)
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(ground)
    browser.find_element("id", "theme").click()
    until("dark", lambda: browser.execute_script(ground) != before)
    browser.find_element("id", "theme").click()
    until("light again", lambda: browser.execute_script(ground) == before)


def test_rolling_back_asks_then_does_it_and_the_fleet_goes_on(browser: Any, fleet: ProcessFleet) -> None:
    press = "document.querySelector('[aria-label=\"Roll back to version 0\"]')?.click()"
    browser.execute_script(press)
    dialog = browser.find_element("id", "confirm")
    until("it asks", dialog.is_displayed)
    assert browser.switch_to.active_element.text == "Keep as it is"
    browser.switch_to.active_element.click()
    until("nothing was done", lambda: not dialog.is_displayed())
    assert "version 0 again" not in text(browser, "#versions-say")
    browser.execute_script(press)
    browser.find_element("css selector", "#confirm .danger").click()
    said = until("the answer", lambda: "version 0 again" in (words := text(browser, "#versions-say")) and words)
    made = int(said.split()[1])
    until("rounds go on from it", lambda: version(browser) >= made + 2)
    rows = [row for row in fleet.rows() if row["round"]]
    assert rows[-1]["phase"] == "committed"
    assert complaints(browser) == []


def test_without_the_token_the_page_is_read_only(browser: Any, link: str) -> None:
    browser.execute_script("sessionStorage.clear()")
    browser.get("about:blank")
    browser.get(link.split("#")[0])
    buttons = "return [...document.querySelectorAll('#versions button')].map(b => b.disabled)"
    assert all(until("a button", lambda: browser.execute_script(buttons)))
    assert "read-only" in text(browser, "#versions-note")


def test_nothing_was_asked_of_anybody_else(browser: Any, link: str) -> None:
    ours = link.split("#")[0]
    sent = [
        message["params"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    asked = [params["request"]["url"] for params in sent if params["documentURL"].startswith(ours)]
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith((ours, "data:"))] == []


def test_what_was_typed_is_in_no_file_of_the_run(browser: Any, fleet: ProcessFleet) -> None:
    typed = browser.find_element("id", "typed")
    until("the keyboard is ready", typed.is_enabled)
    typed.send_keys("quagmirezz you")
    until("an answer", lambda: browser.find_elements("css selector", "#after-words button"))
    for path in (fleet.folder / "run").rglob("*"):
        if path.is_file():
            assert b"quagmirezz" not in path.read_bytes(), path
    assert not any(b"quagmirezz" in message.payload for message in fleet.payloads)


def test_the_page_says_so_when_its_server_goes(browser: Any, fleet: ProcessFleet) -> None:
    assert fleet.coordinator is not None
    fleet.coordinator.send_signal(signal.SIGTERM)
    assert fleet.coordinator.wait(30) == 130
    until("it is noticed", lambda: text(browser, "#link") == "connection lost")
    assert f"edgewise dashboard --dir {fleet.folder / 'run'}" in text(browser, "#notice")
    assert Home(fleet.folder / "pi-0").path.exists()


def test_the_privacy_budget_is_shown_where_there_is_one(browser: Any, fleet: ProcessFleet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fleet.folder / "run", run)
    spent = {
        "epsilon": 2.5, "delta": 1e-6, "zcdp": 0.12, "mechanism": "gaussian", "noise_multiplier": 1.1, "clip_norm": 0.5,
        "releases": 7, "budget": 8.0, "assumes": "uniform sampling",
    }  # fmt: skip
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "privacy": spent}))
    rows = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["privacy"] = {**spent, "epsilon": 0.1 * number} if row["round"] else {}
    (run / "rounds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serve(run, "127.0.0.1:0") as serving:
        browser.get(serving.url)
        until("the budget", lambda: "ε 2.50 of 8.00 at δ 1e-6" in text(browser, "#privacy"))
        assert "after 7 releases" in text(browser, "#privacy")
        assert browser.execute_script("return document.querySelector('#epsilon canvas') !== null")
        assert [entry for entry in browser.execute_script(CONTRAST) if entry[2] < entry[3]] == []
        assert [entry for entry in complaints(browser) if serving.url in entry["message"]] == []
