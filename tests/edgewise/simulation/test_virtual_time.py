"""Availability, speed and drop-out in virtual time, at the limits where the answer is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgewise.simulation.availability import DAY, Always, Diurnal, Traced, read_trace
from edgewise.simulation.data import text_data
from edgewise.simulation.population import PRESETS, DeviceClass, FleetModel, draw, fleet_model
from edgewise_edge.next_word import examples_for
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError
from simulated import people, simulated


def fleet_file(folder: Path, **model: object) -> str:
    path = folder / "fleet.json"
    path.write_text(json.dumps(model))
    return str(path)


def test_a_phone_fleet_has_four_times_as_many_devices_at_the_peak() -> None:
    found = Diurnal(20_000, peak=0.2, swing=4.0, seed=1)
    peak, trough = (found.online(3 * DAY + hour * 3600).mean() for hour in (2, 14))
    assert peak == pytest.approx(0.2, rel=0.05)
    assert peak / trough == pytest.approx(4.0, rel=0.1)


def test_availability_is_a_function_of_time_and_device() -> None:
    found, again = Diurnal(500, seed=3), Diurnal(500, seed=3)
    times = [17.0, 5 * DAY, 40_000.0]
    assert [found.online(t).tolist() for t in times] == [again.online(t).tolist() for t in reversed(times)][::-1]
    assert found.online(17.0).tolist() != Diurnal(500, seed=4).online(17.0).tolist()


@pytest.mark.parametrize("kind", ["diurnal", "trace"])
def test_who_leaves_at_a_time_is_online_until_then_and_not_after(kind: str) -> None:
    spans = [[(100.0 * d, 100.0 * d + 50)] for d in range(1, 200)]
    found = Diurnal(200, seed=5) if kind == "diurnal" else Traced(spans, DAY)
    now = 5025.0
    online = np.flatnonzero(found.online(now))
    assert len(online)
    for device, leaves in zip(online.tolist(), found.until(online, now).tolist(), strict=True):
        assert found.online(leaves - 1e-3)[device]
        assert leaves - now >= DAY - 3600 or not found.online(leaves + 1e-3)[device]


def test_a_trace_repeats_and_says_when_somebody_comes_next(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("device,start,end\na,0,100\nb,200,300\na,500,600\n")
    found = read_trace(path, ["a", "b", "c"])
    assert found.online(50.0).tolist() == [True, False, False]
    assert found.online(DAY + 250).tolist() == [False, True, False]
    assert [found.next_change(t) for t in (0.0, 210.0, 550.0)] == [200.0, 500.0, DAY]
    (tmp_path / "other.json").write_text(json.dumps({"x": [[0, 10]], "y": [[20, 30]]}))
    dealt = read_trace(tmp_path / "other.json", ["a", "b", "c"])
    assert dealt.online(5.0).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "who,start,end\na,0,1\n", "no column 'device'"),
        ("t.csv", "device,start,end\na,soon,1\n", "soon"),
        ("t.csv", "device,start,end\na,5,1\n", "trace of device 'a': expected spans that end after they begin"),
        ("t.json", "[1, 2]", "object"),
        ("t.csv", "device,start,end\na,0,inf\n", "a time that is inf"),
        ("t.csv", "device,start,end\na,nan,1\n", "a time that is nan"),
        ("t.json", "{}", "at least one span"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_a_trace_that_is_none(name: str, text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=why):
        read_trace(path, ["a"])


def test_a_round_takes_what_its_slowest_counted_device_takes(tmp_path: Path, fixture_dir: Path) -> None:
    fleet = fleet_file(
        tmp_path, classes=[{"name": "x", "seconds_per_step": 2.0, "latency": 1.0, "down_mbps": 1e9, "up_mbps": 1e9}]
    )
    found = simulated(fixture_dir, rounds=1, cohort=5, fleet=fleet, evaluate_every=0)
    manifest = Artifact.load(fixture_dir / "tiny.tflite").manifest
    data = text_data(people(), manifest)
    examples = [examples_for(data.rows(number, held_out=False), manifest) for number in range(5)]
    most = max(one.count(np.arange(len(one))) for one in examples)
    assert most > 1
    assert found.history[-1]["seconds"] == pytest.approx(1.0 + 2 * most * 2.0, abs=1e-3)


def test_over_selection_takes_the_fastest_and_lets_the_others_go(tmp_path: Path, fixture_dir: Path) -> None:
    fleet = fleet_file(tmp_path, classes=[{"name": "x", "seconds_per_step": 1.0, "spread": 1.0}])
    found = simulated(fixture_dir, rounds=2, cohort=3, over_selection=1.6, fleet=fleet)
    for row in found.history[1:]:
        assert (row["selected"], row["reported"]) == (5, 3)
        assert row["failed"] == {"the round has enough reports": 2}


def test_devices_that_drop_out_are_let_go_of_after_the_grace(fixture_dir: Path) -> None:
    found = simulated(
        fixture_dir, rounds=20, cohort=5, min_reports=1, drop_out=0.5, fleet="pi-fleet", offline_grace=7.0,
        evaluate_every=0,
    )  # fmt: skip
    lost = sum(row["failed"].get("offline for 7 s", 0) for row in found.history)
    assert 30 <= lost <= 70
    assert all(row["reported"] + sum(row["failed"].values()) == row["selected"] for row in found.history)


def test_nobody_there_abandons_rounds_and_says_why(tmp_path: Path, fixture_dir: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("device,start,end\npi-0,0,80000\n")
    found = simulated(fixture_dir, rounds=2, max_abandoned=1, trace=str(trace), selection_timeout=100.0)
    assert not found.complete
    assert [row["phase"] for row in found.history[1:]] == ["abandoned", "abandoned"]
    assert found.history[-1]["reason"] == "only 1 of 3 devices were available after 100 s"
    assert found.hours == pytest.approx(2 * 105 / 3600)


def test_a_device_whose_training_diverges_is_not_counted_and_does_not_end_the_run(fixture_dir: Path) -> None:
    found = simulated(fixture_dir, rounds=1, cohort=4, min_reports=1, learning_rate=9e5, evaluate_every=0, epochs=5)
    row = found.history[-1]
    reasons = [reason for reason in row["failed"] if "diverged" in reason or "norm" in reason]
    assert reasons
    assert row["reported"] + sum(row["failed"].values()) == row["selected"]


def test_presets_are_what_their_source_says() -> None:
    assert PRESETS["phones"].drop_out == (0.06, 0.10)
    assert PRESETS["phones"].swing == 4.0
    assert PRESETS["silo"].peak == 0.0
    assert fleet_model("phones", drop_out=(0.5, 0.5), trace=None).drop_out == (0.5, 0.5)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_runs(name: str, fixture_dir: Path) -> None:
    texts = {f"{n:02}-{key}": value for n in range(8) for key, value in people().items()}
    found = simulated(fixture_dir, rounds=2, cohort=4, fleet=name, data=texts, evaluate_every=0)
    assert found.complete
    assert found.hours >= 0


def test_a_population_is_drawn_from_its_classes(fixture_dir: Path) -> None:
    manifest = Artifact.load(fixture_dir / "tiny.tflite").manifest
    model = FleetModel((DeviceClass("a", share=3, gflops=2.0), DeviceClass("b", seconds_per_step=0.5)), (0.1, 0.2))
    found = draw(model, 4000, manifest, seed=1)
    assert (found.kind == 0).mean() == pytest.approx(0.75, abs=0.03)
    assert set(found.seconds_per_step[found.kind == 0]) == {manifest.flops / 2e9}
    assert set(found.seconds_per_step[found.kind == 1]) == {0.5}
    assert 0.1 <= found.drop_out.min() < found.drop_out.max() <= 0.2


@pytest.mark.parametrize(
    ("fleet", "why"),
    [
        ({"classes": [{"name": "a", "speed": 3}]}, "'speed' is not known"),
        ({"classes": [{"name": "a", "gflops": 0}]}, "gflops: expected above 0, got 0"),
        ({"drop_out": 1.5}, "drop-out"),
        ({"peaks": 1}, "'peaks' is not known"),
    ],
)
def test_a_fleet_file_that_is_wrong(fleet: dict[str, object], why: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=why):
        fleet_model(fleet_file(tmp_path, **fleet))


def test_everyone_is_there_always() -> None:
    assert Always(3).online(1e9).all()
    assert Always(3).next_change(5.0) == math.inf


def test_reports_of_an_abandoned_round_went_up_all_the_same(fixture_dir: Path) -> None:
    found = simulated(fixture_dir, rounds=1, cohort=5, min_reports=5, drop_out=0.3, evaluate_every=0)
    size = 4 * sum(array.size for array in found.weights.values())
    abandoned = [row for row in found.history if row["phase"] == "abandoned"]
    assert abandoned
    for row in abandoned:
        came = int(row["reason"].split(" of at least 5 reports came")[0])
        assert row["bytes_up"] == came * size
        assert row["reported"] == 0
    assert any(row["bytes_up"] for row in abandoned)
    assert repr(found).startswith("Result(fedavg, rounds 1, complete True, ")


def test_a_fleet_too_small_for_its_rounds_is_told_of_in_python_too(
    fixture_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulated(fixture_dir, rounds=1, cohort=3, fleet="phones")
    assert "of 5 devices 1 are there at the busiest hour, and a round asks 3" in caplog.text
    caplog.clear()
    simulated(fixture_dir, rounds=1)
    assert not caplog.text


def test_a_buffer_holds_as_many_reports_as_were_asked_for_also_if_more_come_at_once(fixture_dir: Path) -> None:
    found = simulated(fixture_dir, rounds=6, buffer=2, concurrency=5, evaluate_every=0)  # an ideal fleet: all at once
    assert [row["reported"] for row in found.history] == [2] * 6
    assert found.devices.took_part.sum() == 12
    assert found.devices.took_part.min() >= 1


def test_a_device_that_was_lost_from_a_buffered_round_may_be_asked_again_and_come_through(fixture_dir: Path) -> None:
    found = simulated(
        fixture_dir, rounds=20, buffer=4, concurrency=5, fleet="pi-fleet", drop_out=0.5, evaluate_every=0, epochs=1
    )
    assert found.complete
    whole = 4 * sum(array.size for array in found.weights.values())
    asked = sum(row["bytes_down"] for row in found.history) / whole
    assert 110 < asked < 240  # two for each of 80 reports; who never came through would be asked every 20 s
