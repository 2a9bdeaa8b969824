"""`simulate`: a run in its directory, from the first round to the last, or to where it was stopped and on again."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.recipes import plan
from edgewise.simulation import checkpoint
from edgewise.simulation.data import TaskData
from edgewise.simulation.engines import Engine, Inline
from edgewise.simulation.jobs import Measured, Setup
from edgewise.simulation.kept_files import read_arrays, read_lines, read_object
from edgewise.simulation.options import Options, options_of
from edgewise.simulation.private import PrivateSimulation
from edgewise.simulation.result import DeviceTable, Result, Row, weights_of
from edgewise.simulation.simulator import Parts, Simulator
from edgewise.simulation.sources import open_data
from edgewise_coordinator.privacy.opening import check_private
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.selection.limited import limited
from edgewise_coordinator.update_transforms import chain, staleness_discount, unchanged
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError, EdgewiseError, InputError
from edgewise_wire.files import locked, make_folder, write_durably
from edgewise_wire.transforms import get
from edgewise_wire.weights import parameters

log = logging.getLogger("edgewise.simulation")

CHECKPOINT_SECONDS = 10.0  # what a killed simulation has to do again at the most, a round aside
ENGINES = ("local", "inline", "ray")
UNTRAINED = "untrained.tflite"
RUN, ROUNDS, CHECKPOINT, DEVICES, MODEL = (
    "simulation.json", "rounds.jsonl", "checkpoint.npz", "devices.npz", "model.tflite",
)  # fmt: skip


class Run:
    """A simulation in its directory: history, checkpoint, trained model, and what became of each device.

    Args:
        artifact: the model.
        data: of the devices; brought to `options.devices` of them.
        options: what is simulated.
        directory: where everything goes.
        workers: processes that train, this one included; one a core if left out.
        engine: `local`, `inline` or `ray`.
        resume: go on with what is in the directory; else it must hold no run.
        source: what named the data, to find them again.
        scratch: the directory goes with the run: nothing is kept to go on from.

    Raises:
        InputError: if the directory holds a run and `resume` is not asked for, or one of other options.
    """

    def __init__(
        self, artifact: Artifact, data: TaskData, options: Options, directory: Path, *, workers: int | None = None,
        engine: str = "local", resume: bool = False, source: str = "", scratch: bool = False,
    ) -> None:  # fmt: skip
        self.options = options = options.fitting(data)
        self.directory, self._source = directory, source
        self.data, self._scratch = data, scratch
        self.artifact = artifact
        self.settings = options.settings(data)
        chosen = options.recipe_options(data)
        made = plan(chosen)
        self.algorithm = made.algorithm.name
        discount = unchanged if made.buffer is None else staleness_discount
        recipe = Recipe(made.algorithm, made.aggregator, chain(made.transform, discount))
        recipe.check_encoding(get(options.compress))
        promise, fleet = options.promise(data), options.model()
        if promise is not None:
            check_private(recipe, self.settings)
        self.rows: list[Row] = []
        self._resumed = resume
        found = self._open(resume)  # what is refused above leaves no file
        spool = "" if recipe.aggregator.name == "mean" else str(make_folder(directory / "spool"))
        self._states = bool(made.algorithm.client.correction) or get(options.compress).stateful
        self._keeps = self._states or promise is not None  # something outside of the checkpoint that must fit it
        setup = Setup(
            str(directory / UNTRAINED), made.algorithm.client, chosen, self.settings.training, options.seed,
            self.settings.uploads.max_norm, spool, str(directory / "states") if self._states else "",
        )  # fmt: skip
        size = parameters(self.artifact.manifest.weights)
        private = None if promise is None else PrivateSimulation(promise, directory, size, options.seed)
        most = promise.participations if promise is not None else 0
        chooses = limited(most, self._taken, made.selection)
        parts = Parts(
            self.artifact, data, self.settings, recipe, chooses, fleet, directory,
            options.evaluation_devices, private,
        )  # fmt: skip
        try:
            self.engine = make_engine(engine, setup, data, workers, recipe.size(size))
            try:
                self.simulator = Simulator(parts, self.engine, found)
            except BaseException:
                self.engine.close()
                raise
        except EdgewiseError:
            self.forget()
            raise
        self._unwritten: list[Row] = []
        self._saved_at = time.monotonic()

    def go(self, stop: Callable[[], bool] = lambda: False, on_row: Callable[[Row], None] = lambda row: None) -> None:
        """Run rounds until the last one, or until `stop()`; whatever ends it costs no more than the round it meets."""
        simulator = self.simulator
        try:
            first = simulator.begin()
            if first is not None:
                self._note_devices("before")
                self._add(first, on_row)
            while not simulator.finished and not stop():
                row = simulator.step()
                self._add(row, on_row)
                late = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
                if late or self._keeps:
                    self.save(synced=late)
        finally:
            self.save()

    def doubts(self) -> Iterator[str]:
        """Yield what is worth knowing of data and fleet before the rounds begin."""
        if not self.data.counts(held_out=True).sum():
            yield "No device holds out an example (`held_out` of a .npz): no loss or metric will be measured."
        fleet, devices, target = self.options.model(), len(self.data.devices), self.settings.cohort.target
        there = fleet.peak * devices
        if fleet.peak and not self.options.trace and there < target:
            yield (
                f"fleet {self.options.fleet!r}: of {devices} devices {there:.3g} are there at the busiest hour, and a"
                f" round asks {target}: rounds wait, or are abandoned; {math.ceil(target / fleet.peak * 2)} devices are"
                " enough."
            )

    def save(self, *, synced: bool = True) -> None:
        """Write history and checkpoint, unless the folder goes with the run; `synced` outlasts a power cut, too."""
        if self._scratch:
            return
        with (self.directory / ROUNDS).open("a", encoding="utf-8") as file:
            file.write(_as_lines(self._unwritten))
        self._unwritten.clear()
        self.simulator.state.rows = len(self.rows)
        checkpoint.save(self.simulator.state, self.directory / CHECKPOINT, synced=synced)
        self._saved_at = time.monotonic() if synced else self._saved_at

    def result(self) -> Result:
        """Write the trained model and the table of devices, and return what came of it."""
        model = self.simulator.model_bytes()
        write_durably(self.directory / MODEL, model)
        self._note_devices("after")
        table = self.devices()
        table.save(self.directory / DEVICES)
        weights = weights_of(self.artifact, self.simulator.state.weights)
        return Result(
            self.rows, weights, model, table, self.directory, self.simulator.complete, self.algorithm
        )  # fmt: skip

    def devices(self) -> DeviceTable:
        """Return what is known of each device so far."""
        measured = {}
        for which in ("before", "after"):
            path = self.directory / f"{which}.npz"
            if path.exists():
                measured[which] = read_arrays(path)
        return DeviceTable(
            list(self.data.devices), self.data.counts(held_out=False), self.simulator.state.took_part,
            measured.get("before", {}), measured.get("after", {}),
        )  # fmt: skip

    def close(self) -> None:
        """End the workers."""
        self.engine.close()

    def forget(self) -> None:
        """Remove what a run has left in its folder that made no row, so that it can be begun otherwise."""
        if self.rows or self._resumed:
            return
        for name in (RUN, ROUNDS, UNTRAINED, CHECKPOINT):
            (self.directory / name).unlink(missing_ok=True)
        for name in ("spool", "states"):
            with contextlib.suppress(OSError):  # not there, or somebody's who had something in it
                (self.directory / name).rmdir()

    def _add(self, row: Row, on_row: Callable[[Row], None]) -> None:
        self.rows.append(row)
        self._unwritten.append(row)
        on_row(row)

    def _taken(self) -> dict[str, int]:
        return dict(zip(self.data.devices, self.simulator.state.took_part.tolist(), strict=True))

    def _note_devices(self, which: str) -> None:
        measured = self.simulator.last_measured
        if measured:
            np.savez_compressed(self.directory / f"{which}.npz", **by_device(measured, len(self.data.devices)))  # type: ignore[arg-type]

    def _open(self, resume: bool) -> checkpoint.Checkpoint | None:
        directory, kept = self.directory, json.loads(json.dumps(self._kept()))
        path = make_folder(directory) / RUN
        if path.exists() and not resume:
            raise InputError(f"{directory}: holds a simulation; go on with --resume, or choose another --dir")
        if resume and not path.exists():
            raise InputError(f"{directory}: holds no simulation to resume; leave --resume out to begin one")
        found = None
        if resume:
            _same(directory, _facts(path), kept)
            if not (directory / CHECKPOINT).exists():
                log.warning("%s: holds no %s yet, so the run begins anew", directory, CHECKPOINT)
            else:
                found = checkpoint.load(directory / CHECKPOINT)
                self.rows += read_lines(directory / ROUNDS, found.rows)  # more, or half a line, is of no checkpoint
        else:
            (directory / UNTRAINED).write_bytes(self.artifact.data)
        path.write_text(json.dumps(kept, indent=1), "utf-8")  # what was damaged above is left as it is
        write_durably(directory / ROUNDS, _as_lines(self.rows).encode())
        return found

    def _kept(self) -> dict[str, Any]:
        options = {name: getattr(self.options, name) for name in Options.__dataclass_fields__}
        facts = {"graph": self.artifact.graph_hash.hex(), "weights": self.artifact.weights_hash.hex()}
        counts = [int(self.data.counts(held_out=h).sum()) for h in (False, True)]
        return {
            "options": options,
            **facts,
            "source": self._source,
            "devices": len(self.data.devices),
            "examples": counts,
        }


def _facts(path: Path) -> dict[str, Any]:
    """Return what a run was begun with. Raises DataError if the file tells something else."""
    found = read_object(path)
    options = found.get("options")
    if not isinstance(options, dict) or not isinstance(options.get("recipe"), dict) or "source" not in found:
        raise DataError(f"{path}: expected what a simulation was begun with, got {', '.join(found) or 'nothing'}")
    return found


def _as_lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def by_device(measured: list[Measured], devices: int) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return each metric by device, float64[devices], NaN for those that did not measure."""
    names = {"loss" if n == "loss_sum" else n: n for one in measured for n in one.sums if n != "weight_sum"}
    found = {}
    for name, key in names.items():
        values = found[name] = np.full(devices, np.nan)
        for one in measured:
            if one.sums.get("weight_sum"):
                values[one.device] = one.sums[key] / one.sums["weight_sum"]
    return found


def check_engine(kind: str, workers: int | None) -> None:
    """Check what `make_engine` would refuse.

    Raises:
        ConfigError: if there is no such engine, or the number of workers is below 1.
        UnavailableError: if it is Ray, and there is none.
    """
    if kind not in ENGINES:
        raise ConfigError(f"engine {kind!r}: expected one of {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: expected at least 1, got {workers}")
    if kind == "ray":
        from edgewise.simulation.ray_workers import import_ray

        import_ray()


def make_engine(kind: str, setup: Setup, data: TaskData, workers: int | None, size: int) -> Engine:
    """Return the engine that was asked for.

    Raises:
        ConfigError, UnavailableError: as `check_engine`.
    """
    check_engine(kind, workers)
    count = min(workers if workers is not None else (os.cpu_count() or 1), len(data.devices))
    if kind == "inline" or (kind == "local" and count == 1):
        return Inline(setup, data)
    if kind == "ray":
        from edgewise.simulation.ray_workers import RayWorkers

        return RayWorkers(setup, data, workers)
    from edgewise.simulation.local import LocalWorkers

    return LocalWorkers(setup, data, count, size)


def begun(directory: Path) -> bool:
    """Return whether a directory holds a simulation, so that `simulate(…, resume=True)` goes on with it."""
    return (directory / RUN).exists()


def simulate(
    model: str | Path | bytes,
    data: TaskData | Mapping[str, list[str]] | str | Path,
    *,
    directory: str | Path | None = None,
    workers: int | None = None,
    engine: str = "local",
    wire: bool = False,
    resume: bool = False,
    on_round: Callable[[Row], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **options: Any,
) -> Result:
    """Simulate federated learning of a model over a fleet of virtual devices.

    The same arguments give the same bits on one machine, whatever the number of workers; a run that was stopped or
    killed goes on with `resume=True` and ends in them, too.

    Args:
        model: the exported `.tflite`: its path, or its bytes.
        data: what the devices hold. A `TaskData`; for a next-word model also texts by person, or the path of a file
            or folder that `edgewise device import` reads; see `edgewise.simulation.sources.open_data` for more.
        directory: where the run's files go; a temporary one that is gone at the end if left out.
        workers: processes with one interpreter each, this one included; one a core if left out.
        engine: `local` processes, `inline` in this process, or `ray`: actors on a Ray cluster.
        wire: run the real coordinator and real agents over a broker in memory instead (see `wire`); slower, for up to
            200 devices of the `ideal` fleet. Resuming needs the same arguments again.
        resume: go on with the run in `directory`.
        on_round: called with each row of the history as it comes.
        stop: asked between two rounds; the run ends where it says yes.
        options: every field of `Options` (`rounds`, `devices`, `cohort`, `epochs`, `learning_rate`, `fleet`, …), and
            every option of `edgewise coordinate`'s recipe by its name (`algorithm`, `aggregator`, `selection`,
            `buffer`, …; see docs/algorithms.md).

    Returns:
        The history, the trained weights and model, and a table of the devices.

    Raises:
        InputError: if something handed over cannot be used; the message says what and why.
        RunError: if workers keep dying.

    Example:
        >>> result = edgewise.simulate("model.tflite", "my-chat.txt", rounds=20, cohort=8,      # doctest: +SKIP
        ...                            algorithm="fedadam", fleet="phones")
        >>> result.hours_until("top1", 0.15)                                                    # doctest: +SKIP
        7.4
    """
    chosen = options_of(options)
    with contextlib.ExitStack() as stack:
        folder = Path(directory) if directory is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if wire:
            path = stack.enter_context(_as_file(model))
            return on_wire(path, data, chosen, folder, resume=resume, stop=stop, on_row=on_round)
        run = stack.enter_context(
            open_run(
                stack.enter_context(_as_file(model)), data, chosen, folder, workers=workers, engine=engine,
                resume=resume, said=frozenset(options), scratch=directory is None,
            )
        )  # fmt: skip
        for words in run.doubts():
            log.warning(words)
        run.go(stop or (lambda: False), on_round or (lambda row: None))
        return run.result()


def on_wire(
    model: Path,
    data: Any,
    options: Options,
    directory: Path,
    *,
    resume: bool = False,
    stop: Callable[[], bool] | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> Result:
    """Simulate with messages; see `simulate`, `wire` and `open_run` for the arguments.

    Raises:
        ConfigError: if the options need virtual time that messages do not have, or there are too many devices.
    """
    from edgewise.simulation.wire import run_on_wire

    if options.fleet != "ideal" or options.trace or options.drop_out:
        raise ConfigError("wire: messages take no virtual time and devices are always there; leave the fleet 'ideal'")
    if options.privacy != "none":
        raise ConfigError("wire: the coordinator's noise is secret, and no seed gives it again; leave privacy out")
    if (directory / "run").exists() and not resume:
        raise InputError(f"{directory}: holds a simulation; go on with --resume, or choose another --dir")
    artifact = Artifact.load(model)
    opened = open_data(data, artifact.manifest, options.devices)
    options = options.fitting(opened)
    made = plan(options.recipe_options(opened))
    never = stop or (lambda: False)
    return run_on_wire(artifact, opened, options.settings(opened), made, directory, never, on_row or (lambda row: None))


@contextlib.contextmanager
def open_run(
    model: Path | None, data: Any, options: Options, directory: Path, *, workers: int | None, engine: str, resume: bool,
    said: frozenset[str] = frozenset(), scratch: bool = False,
) -> Iterator[Run]:  # fmt: skip
    """Give a run in its directory, which is locked until the block ends; its workers end with it.

    Args:
        model: the file; on resuming it may be left out, and so may `data` if it was named by a string.
        data: see `sources.open_data`.
        options: of the run.
        directory: of the run.
        workers: as `simulate`.
        engine: as `simulate`.
        resume: as `simulate`.
        said: on resuming: the names of the options that were given; the others are the run's own.
        scratch: see `Run`.

    Raises:
        InputError: as `simulate`.
        UnavailableError: if another process runs there.
    """
    if model is None and not resume:
        raise ConfigError("simulate: expected a model; name its file with --model")
    if resume:
        model, data, options = _recalled(directory, model, data, options, said)
    artifact = Artifact.load(model or "")
    opened = open_data(data, artifact.manifest, options.devices)
    options.settings(opened)  # what cannot be is refused before a folder is made for it
    fleet = options.model()
    if fleet.trace:
        fleet.availability(list(opened.devices), options.seed)
    check_engine(engine, workers)
    with locked(make_folder(directory) / "simulation.lock", f"{directory}: another simulation runs there"):
        source = str(data) if isinstance(data, (str, Path)) else ""
        run = Run(
            artifact, opened, options, directory, workers=workers, engine=engine, resume=resume, source=source,
            scratch=scratch,
        )  # fmt: skip
        try:
            yield run
        except EdgewiseError:
            run.forget()
            raise
        finally:
            run.close()


def _recalled(
    directory: Path, model: Path | None, data: Any, options: Options, said: frozenset[str]
) -> tuple[Path, Any, Options]:
    """Return what a run was begun with, changed by what was said now."""
    path = directory / RUN
    if not path.exists():
        raise InputError(f"{directory}: holds no simulation to resume; leave --resume out to begin one")
    kept = _facts(path)
    before = kept["options"]
    own = {n: v for n, v in before.items() if n not in said and n != "recipe"}
    recipe = {n: v for n, v in before["recipe"].items() if n not in said}
    recipe |= {n: v for n, v in options.recipe.items() if n in said or n not in before["recipe"]}
    if data is None and not kept["source"]:
        raise InputError(f"{directory}: its data were handed over in Python; hand them over again")
    return (
        model or directory / UNTRAINED,
        data if data is not None else kept["source"],
        replace(options, **own, recipe=recipe),
    )


@contextlib.contextmanager
def _as_file(model: str | Path | bytes) -> Iterator[Path]:
    if not isinstance(model, (str, Path, bytes)):
        raise ConfigError(f"model: expected the path of a .tflite file, or its bytes, got {model!r:.40}")
    if not isinstance(model, bytes):
        yield Path(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(model)
        yield path


def _same(directory: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in ("graph", "weights", "devices", "examples"):
        if before.get(name) != now[name]:
            raise DataError(f"{directory}: its {name} was {before.get(name)}, now it is {now[name]}; give it the same")
    fixed = now["options"]["privacy"] != "none"  # more rounds are other noise
    plain = json.loads(json.dumps(asdict(Options())))  # what an option was before there was a way to say otherwise
    for name, value in now["options"].items():
        begun = before["options"].get(name, plain[name])
        if (fixed or name != "rounds") and _without_nothing(begun) != _without_nothing(value):
            raise ConfigError(
                f"{directory}: was begun with {name} {begun!r}, not {value!r}; only"
                f" {'' if fixed else 'rounds, '}workers and engine may change"
            )


def _without_nothing(value: Any) -> Any:
    """Return a recipe without the options that nobody set; a comparison leaves out those that an algorithm has not."""
    return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value
