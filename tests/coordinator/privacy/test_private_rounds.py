"""A coordinator that promises privacy: what leaves a round, what it costs, and what a crash changes of it (nothing)."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import chance
from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.algorithms.fedavgm import fedavgm
from edgewise_coordinator.faults import FaultPoint, no_fault
from edgewise_coordinator.privacy import release, rounds
from edgewise_coordinator.privacy.accounting import of_mechanism
from edgewise_coordinator.privacy.clipping import adaptive, flat
from edgewise_coordinator.privacy.mechanisms.banded import banded, square_root_bands
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.mechanisms.tree import tree
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.settings import BufferSettings, RoundSettings, Settings, TrainingSettings
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, Kind
from edgewise_wire.transforms.clip import clip
from edgewise_wire.weights import flatten, parameters

SIZE = parameters(SPECS)
COHORT = RoundSettings(goal=3, over_selection=1.0, min_reports=2, retry_delay=1.0, report_timeout=50.0)
SETTINGS = Settings("test", 3, COHORT, TrainingSettings(learning_rate=0.1), evaluate_every=0)
NORM = 2.5  # the devices' updates have norms of 17 to 20: all are clipped
UNIFORM = fedavg()._replace(client=replace(fedavg().client, uniform=True))
PROMISE = PrivacySettings(gaussian(), flat(NORM), 0.0)


def scene(folder: Path, promise: PrivacySettings | None, settings: Settings = SETTINGS, names: int = 3) -> Scene:
    s = Scene(folder, settings, options={"privacy": promise, "algorithm": UNIFORM})
    s.join(*(f"d{n + 1}" for n in range(names)))
    return s


def private_train(s: Scene) -> list[Assignment]:
    """Return what the devices were asked to train."""
    return [m for d in s.devices.values() for m in d.heard if isinstance(m, Assignment) and m.kind == Kind.TRAIN]


def test_no_noise_is_the_plain_mean_of_clipped_updates(tmp_path: Path) -> None:
    s = scene(tmp_path, PROMISE, replace(SETTINGS, rounds=1))
    w = flatten(s.artifact.weights(), SPECS)
    s.run()
    clipped = [clip(NORM).device(device_update(f"d{n}")(w, None)).astype("f8") for n in (1, 2, 3)]
    np.testing.assert_allclose(s.coordinator.weights, w + np.mean(clipped, axis=0), atol=1e-6)
    assert s.rounds[0].privacy["epsilon"] is None  # no noise is no guarantee, and JSON has no infinity


def test_the_noise_is_the_multiplier_times_the_norm_over_the_reports_that_were_counted(tmp_path: Path) -> None:
    noised = scene(tmp_path / "noised", replace(PROMISE, noise_multiplier=2.0), replace(SETTINGS, rounds=1))
    noised.run()
    plain = scene(tmp_path / "plain", PROMISE, replace(SETTINGS, rounds=1))
    plain.run()
    noise = (noised.coordinator.weights.astype("f8") - plain.coordinator.weights) * 3 / (2.0 * NORM)
    low, high = chance.mean_square(SIZE)
    assert low < np.mean(noise**2) < high
    assert abs(noise.mean()) < chance.deviations() / math.sqrt(SIZE)


def test_a_round_with_drop_outs_is_kept_with_noise_for_the_reports_it_has(tmp_path: Path) -> None:
    s = scene(tmp_path / "a", replace(PROMISE, noise_multiplier=2.0), replace(SETTINGS, rounds=1))
    s.devices["d3"].send_chunks = False
    s.run()
    plain = scene(tmp_path / "b", PROMISE, replace(SETTINGS, rounds=1))
    plain.devices["d3"].send_chunks = False
    plain.run()
    assert (s.rounds[0].phase, s.rounds[0].reported, s.rounds[0].selected) == ("committed", 2, 3)
    noise = (s.coordinator.weights.astype("f8") - plain.coordinator.weights) * 2 / (2.0 * NORM)
    low, high = chance.mean_square(SIZE)
    assert low < np.mean(noise**2) < high


def test_devices_are_told_what_they_are_promised_and_rows_say_what_it_costs(tmp_path: Path) -> None:
    promise = PrivacySettings(tree(), flat(NORM), 4.0, delta=1e-5, separation=2)
    s = scene(tmp_path, promise, names=6)
    s.run()
    asked = private_train(s)
    assert {(a.encoding, a.privacy.mechanism, a.privacy.noise_multiplier, a.privacy.separation) for a in asked} == {
        ("clip-2.5", "tree", 4.0, 2)
    }
    assert sorted(a.privacy.number for a in asked) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len({a.privacy.run for a in asked}) == 1
    for step, row in enumerate(s.rounds, start=1):
        cost = of_mechanism(tree(), 4.0, step, delta=1e-5, separation=2)
        assert (row.privacy["epsilon"], row.privacy["zcdp"]) == (cost.epsilon, cost.rho)
        assert "at most once in 2 rounds" in row.privacy["assumes"]
        assert "the coordinator adds the noise (tree)" in row.privacy["assumes"]


def test_a_device_takes_part_once_in_the_separation(tmp_path: Path) -> None:
    promise = PrivacySettings(gaussian(), flat(NORM), 1.0, separation=2)
    s = scene(tmp_path, promise, replace(SETTINGS, rounds=4), names=6)
    s.run()
    for device in s.devices.values():
        numbers = [m.privacy.number for m in device.heard if isinstance(m, Assignment)]
        assert all(b - a >= 2 for a, b in itertools.pairwise(numbers))


def test_a_device_takes_part_in_no_more_rounds_than_are_agreed_and_that_is_what_they_cost(tmp_path: Path) -> None:
    promise = PrivacySettings(gaussian(), flat(NORM), 1.0, participations=2)
    s = scene(tmp_path, promise, replace(SETTINGS, rounds=4), names=6)
    s.run()
    assert s.coordinator.complete
    asked = [m for d in s.devices.values() for m in d.heard if isinstance(m, Assignment)]
    assert {m.privacy.participations for m in asked} == {2}
    assert [len([m for m in d.heard if isinstance(m, Assignment)]) for d in s.devices.values()] == [2] * 6
    costs = [of_mechanism(gaussian(), 1.0, min(step, 2), delta=1e-6).epsilon for step in (1, 2, 3, 4)]
    assert [row.privacy["epsilon"] for row in s.rounds] == costs
    assert "in at most 2 rounds in all, which it enforces itself" in s.rounds[0].privacy["assumes"]


def test_a_round_that_came_to_nothing_releases_nothing_and_is_not_counted(tmp_path: Path) -> None:
    s = scene(tmp_path, replace(PROMISE, noise_multiplier=3.0), replace(SETTINGS, rounds=1))
    for device in s.devices.values():
        device.send_chunks = False
    s.settle()
    s.advance(SETTINGS.cohort.report_timeout + 1)
    assert s.rounds[0].phase == "abandoned"
    assert s.rounds[0].privacy == {}
    for device in s.devices.values():
        device.send_chunks = True
    s.run()
    assert [a.privacy.number for a in private_train(s)] == [1] * 6
    assert s.rounds[-1].privacy["releases"] == 1


def test_the_budget_ends_the_run_before_it_is_passed(tmp_path: Path) -> None:
    def cost(steps: int) -> float:
        return of_mechanism(gaussian(), 2.0, steps, delta=1e-6).epsilon

    budget = (cost(2) + cost(3)) / 2
    promise = replace(PROMISE, noise_multiplier=2.0, epsilon=budget)
    s = scene(tmp_path, promise, replace(SETTINGS, rounds=10))
    s.run()
    assert s.coordinator.complete
    assert s.coordinator.version == 2
    assert s.rounds[-1].privacy["epsilon"] == cost(2) <= budget < cost(3)


def test_a_sample_is_paid_for_by_those_who_were_asked(tmp_path: Path) -> None:
    promise = PrivacySettings(gaussian(), flat(NORM), 2.0, population=300)
    s = scene(tmp_path, promise)
    s.run()
    whole = of_mechanism(gaussian(), 2.0, 3, delta=1e-6)
    assert s.rounds[-1].privacy["epsilon"] < whole.epsilon / 4
    assert s.rounds[-1].privacy["zcdp"] == pytest.approx(whole.rho)
    assert "uniform sample of 300" in s.rounds[-1].privacy["assumes"]


def test_the_norm_follows_the_updates_that_were_not_clipped(tmp_path: Path) -> None:
    clipping = adaptive(NORM, cohort=3, noise_multiplier=0.0)
    s = scene(tmp_path, PrivacySettings(gaussian(), clipping._replace(bit_noise=1e-9), 0.0))
    s.run()
    norms = [row.privacy["clip_norm"] for row in s.rounds]
    assert norms == pytest.approx([NORM * math.exp(0.1 * n) for n in range(3)], rel=1e-5)  # nobody was within it
    assert all(a.privacy.ask_within_norm for a in private_train(s))


class Killed(BaseException):
    """The process is gone."""


MECHANISMS = {
    "gaussian": PrivacySettings(gaussian(), adaptive(NORM, cohort=3, noise_multiplier=1.5), 1.5),
    "tree": PrivacySettings(tree(), flat(NORM), 1.5),
    "banded": PrivacySettings(banded(square_root_bands(3)), flat(NORM), 1.5, separation=3),
}
CALM: dict[str, bytes] = {}


def run_to_the_end(folder: Path, name: str, fault, monkeypatch: pytest.MonkeyPatch) -> Scene:  # type: ignore[no-untyped-def]
    """Run with keys that are drawn one after the other: one drawn twice for a release would shift all later ones."""
    drawn = itertools.count()
    monkeypatch.setattr(rounds, "fresh_key", lambda: hashlib.sha256(b"%d" % next(drawn)).digest())
    promise = MECHANISMS[name]
    options = {"privacy": promise, "algorithm": fedavgm()._replace(client=UNIFORM.client)}
    settings = replace(SETTINGS, rounds=4, evaluate_every=4)
    s = Scene(folder, settings, options=options)
    s.fault = fault
    s.join(*(f"d{n + 1}" for n in range(3 * promise.separation)))
    for _ in range(400):
        try:
            s.settle()
        except Killed:
            s.fault = no_fault
            s.broker.cut("coordinator")
            while True:
                try:
                    s.start()
                    break
                except Killed:  # while closing what it has just taken up
                    s.broker.cut("coordinator")
            continue
        if s.coordinator.finished:
            assert next(drawn) == 4
            return s
        s.clock.advance(1.0)
    raise AssertionError("the run did not end")


CLOSING = [
    point
    for point in list(FaultPoint)[list(FaultPoint).index(FaultPoint.BEFORE_CLOSING) :]
    if not point.value.startswith("secure")
]
"""From here on the round has its reports; before, nothing of its noise exists (`test_kill_points` has those points)."""


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("point", CLOSING, ids=lambda p: p.value)
def test_a_death_at_any_point_ends_in_the_same_bits(
    tmp_path: Path, name: str, point: FaultPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in CALM:
        CALM[name] = run_to_the_end(tmp_path / "calm", name, no_fault, monkeypatch).coordinator.weights.tobytes()
    passed = itertools.count(1)

    def fault(at: FaultPoint) -> None:
        if at is point and next(passed) == 3:
            raise Killed

    s = run_to_the_end(tmp_path / "run", name, fault, monkeypatch)
    assert next(passed) > 3
    assert s.coordinator.weights.tobytes() == CALM[name]
    assert [row.privacy["releases"] for row in s.rounds if row.privacy][-1] == 4


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("late", [False, True], ids=["before its noise is made", "when its noise is kept"])
def test_a_death_between_the_key_and_the_release_makes_the_same_noise(
    tmp_path: Path, name: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in CALM:
        CALM[name] = run_to_the_end(tmp_path / "calm", name, no_fault, monkeypatch).coordinator.weights.tobytes()
    made, calls = release.make_noise, itertools.count(1)

    def dying(*arguments):  # type: ignore[no-untyped-def]
        dies = next(calls) == 2
        if dies and not late:
            raise Killed
        noise = made(*arguments)
        if dies:
            raise Killed
        return noise

    monkeypatch.setattr(rounds, "make_noise", dying)
    s = run_to_the_end(tmp_path / "run", name, no_fault, monkeypatch)
    assert s.coordinator.weights.tobytes() == CALM[name]


def test_keys_are_erased_once_their_version_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [hashlib.sha256(b"%d" % n).digest() for n in range(3)]
    left = iter(keys)
    monkeypatch.setattr(rounds, "fresh_key", lambda: next(left))
    s = scene(tmp_path, replace(PROMISE, noise_multiplier=1.0))
    s.run()
    s.coordinator.close()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert not any(key in file.read_bytes() for key in keys), file
    assert not list((tmp_path / "noise").iterdir())
    assert (tmp_path / "privacy.sqlite").stat().st_mode & 0o077 == 0


def test_a_run_goes_on_with_its_terms_and_with_no_others(tmp_path: Path) -> None:
    promise = replace(PROMISE, noise_multiplier=2.0)
    scene(tmp_path, promise, replace(SETTINGS, rounds=1)).run()
    with pytest.raises(ConfigError, match=r"noise multiplier is 2\.0, not 1\.0"):
        scene(tmp_path, replace(promise, noise_multiplier=1.0))
    with pytest.raises(ConfigError, match="further ones without would end the guarantee"):
        scene(tmp_path, None)
    s = scene(tmp_path, promise, replace(SETTINGS, rounds=2))
    s.run()
    assert s.rounds[-1].privacy["releases"] == 2


def test_versions_made_without_privacy_are_not_called_private(tmp_path: Path) -> None:
    scene(tmp_path, None, replace(SETTINGS, rounds=1)).run()
    with pytest.raises(ConfigError, match="1 versions were made without differential privacy"):
        scene(tmp_path, PROMISE)


@pytest.mark.parametrize(
    ("options", "settings", "why"),
    [
        ({"algorithm": fedavg()}, SETTINGS, "--weighting examples"),
        ({}, replace(SETTINGS, buffer=BufferSettings(3)), "--buffer"),
        ({}, replace(SETTINGS, training=TrainingSettings(encoding="clip-1+eden-2")), "the norm is --clip-norm"),
    ],
)
def test_what_would_move_the_sum_by_more_is_refused(
    tmp_path: Path, options: dict[str, object], settings: Settings, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        Scene(tmp_path, settings, options={"privacy": PROMISE, "algorithm": UNIFORM, **options})


def test_a_device_that_did_not_clip_is_refused(tmp_path: Path) -> None:
    s = scene(tmp_path, PROMISE, replace(SETTINGS, rounds=1))
    s.devices["d1"].clips = False
    s.run()
    assert s.rounds[-1].reported == 2
    assert any("expected an L2 norm of at most 2.5" in reason for reason in s.rounds[-1].failed)
