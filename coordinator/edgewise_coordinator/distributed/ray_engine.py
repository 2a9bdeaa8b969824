"""Aggregators as Ray actors, on one machine or on the machines of a cluster; their sums are merged by Ray's tasks.

An actor that dies is started again by Ray, on whichever node Ray chooses: its folder, with its spool, and its papers
must be on storage that all nodes share, or the cluster must be one node. One that comes back without its spool cannot
give its sum, and the round is abandoned. The partial sums stay in Ray's object store: they are merged two by two
where they are, and the coordinator fetches one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edgewise_coordinator.distributed.node import Node
from edgewise_coordinator.distributed.orders import Heard, Lost, NodeSettings, Order, Summed, Term
from edgewise_coordinator.distributed.processes import STEP_SECONDS, connect
from edgewise_coordinator.faults import hook_from
from edgewise_wire.errors import UnavailableError

log = logging.getLogger("edgewise.coordinator")

WAIT_SECONDS = 0.1  # how long an actor keeps the answer back while it has nothing to tell


def import_ray() -> Any:
    """Return the module.

    Raises:
        UnavailableError: if it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UnavailableError("--engine ray needs Ray: pip install 'edgewise[ray]'") from error
    return ray


def _log_lines(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
    for line in data.get("lines", ()):
        log.info("ray: %s", line)


def _keep_standard_output(ray: Any) -> None:
    """Send to the log what Ray would print of its workers' deaths: standard output is for a command's result.

    Ray has no setting for it: `log_to_driver=False` stops the workers' output alone (seen in Ray 2.60).
    """
    worker: Any = getattr(ray._private, "worker", None)
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = _log_lines


class NodeActor:
    """An aggregator as an actor: one thread steps it, the actor's calls hand orders and notices over."""

    def __init__(self, settings: NodeSettings) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._node = Node(settings, connect(settings), fault=hook_from(settings.fault))
        threading.Thread(target=self._run, name=settings.name, daemon=True).start()

    def exchange(self, orders: Sequence[Order]) -> Heard:
        """Take orders, and return what there is to tell, at once or after a short wait."""
        with self._lock:
            for order in orders:
                self._node.obey(order)
        if not orders:
            self._news.wait(WAIT_SECONDS)
        with self._lock:
            self._news.clear()
            return self._node.take_notices()

    def sum_up(self, round_id: int, terms: tuple[Term, ...]) -> Summed:
        """Return this aggregator's sum."""
        with self._lock:
            return self._node.sum_up(round_id, terms)

    def where(self) -> tuple[str, int]:
        """Return the Ray node and the process that this runs on."""
        return str(import_ray().get_runtime_context().get_node_id()), os.getpid()

    def _run(self) -> None:
        while True:
            with self._lock:
                came = self._node.step(0.0)
                if self._node.has_news:
                    self._news.set()
            time.sleep(0.0 if came else STEP_SECONDS)  # lets a call have the lock


def merge(left: Summed, right: Summed) -> Summed:
    """Return the sum of both, `Lost` if one is."""
    if isinstance(left, Lost):
        return left
    return right if isinstance(right, Lost) else left.merged(right)


class RayReduction:
    """A tree of merges in the object store."""

    def __init__(self, ray: Any, sums: Sequence[Any]) -> None:
        self._ray = ray
        merging, level = ray.remote(merge), list(sums)
        while len(level) > 1:
            pairs = [merging.remote(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[2 * len(pairs) :]
        self._root = level[0]

    def poll(self) -> Summed | None:
        """Return the sum once it is there; `None` too when an aggregator died over it, until another is asked for."""
        ready, _ = self._ray.wait([self._root], timeout=0)
        if not ready:
            return None
        try:
            found: Summed = self._ray.get(self._root)
        except self._ray.exceptions.RayError:
            return None
        return found


class RayEngine:
    """Starts one actor for each of `settings`.

    Args:
        settings: the aggregators.
        address: of a running cluster, `auto` for the one this machine belongs to; `None` starts Ray here.

    Raises:
        UnavailableError: if Ray is not installed or cannot be reached.
    """

    def __init__(self, settings: Sequence[NodeSettings], address: str | None = None) -> None:
        self._ray = ray = import_ray()
        _keep_standard_output(ray)
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                # An actor waits more than it computes, so there may be more of them than cores.
                here = {} if address else {"num_cpus": max(2, len(settings) + 1)}
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="WARNING", **here)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UnavailableError(f"Ray at {address or 'this machine'}: {error}") from error
        actor = ray.remote(NodeActor).options(max_restarts=-1, max_concurrency=4, num_cpus=0)
        self._actors = {each.name: actor.remote(each) for each in settings}
        self._pending: dict[Any, str] = {}
        self._orders: dict[str, list[Order]] = {name: [] for name in self._actors}
        for name in self._actors:
            self._exchange(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The aggregators' names."""
        return tuple(self._actors)

    def pids(self) -> dict[str, int]:
        """Return each aggregator's process id; waits until they run."""
        return {name: self._ray.get(actor.where.remote())[1] for name, actor in self._actors.items()}

    def tell(self, name: str, orders: Sequence[Order]) -> None:
        """Send orders with the next exchange."""
        self._orders[name] += orders

    def hear(self) -> list[Heard]:
        """Return what the exchanges brought, and begin the next ones."""
        ready, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        heard = []
        for each in ready:
            name = self._pending.pop(each)
            try:
                heard.append(self._ray.get(each))
            except self._ray.exceptions.RayError as error:
                log.warning("aggregator %s is gone (%s); Ray starts it again", name, type(error).__name__)
                self._orders[name].clear()  # its successor is told everything
            self._exchange(name)
        return heard

    def reduce(self, round_id: int, terms: Mapping[str, tuple[Term, ...]]) -> RayReduction:
        """Ask each for its sum; they are merged in the object store."""
        for name in terms:  # what was said before the sum is asked for is obeyed before
            if self._orders[name]:
                self._exchange(name)
        return RayReduction(self._ray, [self._actors[n].sum_up.remote(round_id, t) for n, t in terms.items()])

    def close(self) -> None:
        """Stop them, and Ray if it was started here."""
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        if self._ours:
            self._ray.shutdown()

    def _exchange(self, name: str) -> None:
        orders, self._orders[name] = tuple(self._orders[name]), []
        self._pending[self._actors[name].exchange.remote(orders)] = name
