"""What is lost when things break: `python benchmarks/fault_points.py [--json]`, about two minutes.

Each line is a whole run of real parts — a coordinator process, a broker, three devices, two training rounds and three
evaluations — with one disturbance: a SIGKILL of the coordinator at a named point, a killed broker, a link that swallows
everything for longer than the keep-alive, messages delayed, doubled and reordered. `lost` counts reports that were
acknowledged and are not on disk, right after the kill and at the end; `twice` those counted twice; `same bits` compares
the final weights and the server optimizer's state (FedAdam's moments; SCAFFOLD's control variate where it says so) with
those of an undisturbed run. The same runs are tests: `test_fault_points.py` and `test_disturbed_links.py` in
`tests/integration`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.mosquitto import Mosquitto
from edgewise.brokers.process import BrokerProcess
from edgewise_coordinator.faults import FaultPoint
from fault_rig import KILLS, Outcome, Rig, after_chunks
from proxy import MqttProxy, NetworkFaults

SIDE_BY_SIDE = 3
KEEPALIVE = 2
CONTROLLED = (FaultPoint.AFTER_FOLD, FaultPoint.AFTER_STATE_FILE, FaultPoint.AFTER_COMMIT)


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    as_json = parser.parse_args().json
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgewise-faults-") as folder:
        for outcome, peace in runs(Path(folder)):
            row = asdict(outcome) | {"same_bits": outcome.same_bits(peace)}
            del row["log"]
            rows.append(row)
            if not as_json:
                print(line(row) if len(rows) > 1 else f"{HEAD}\n{line(row)}", flush=True)
    if as_json:
        print(json.dumps(rows))
    if any(row["lost"] or row["doubled"] or not row["same_bits"] for row in rows):
        raise SystemExit("something was lost")


def runs(folder: Path) -> Iterator[tuple[Outcome, Outcome]]:
    """Yield each disturbed run with the undisturbed one that it is to equal."""
    with Mosquitto(folder / "broker") as broker, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        rig, controlled = Rig(broker.url, folder), Rig(broker.url, folder, algorithm="scaffold")
        peace, with_control = pool.submit(rig.run), pool.submit(controlled.run)
        kills = [(pool.submit(rig.kill, *kill), peace) for kill in KILLS]
        kills += [(pool.submit(controlled.kill, point, 2), with_control) for point in CONTROLLED]
        yield peace.result(), peace.result()
        for outcome, undisturbed in kills:
            yield outcome.result(), undisturbed.result()
    for outcome in disturbed(folder):
        yield outcome, peace.result()


def disturbed(folder: Path) -> Iterator[Outcome]:
    """Yield the runs in which the coordinator lives and what is around it does not."""
    yield killed_broker("Mosquitto killed, back after 1 s", folder / "a", Mosquitto(folder / "a" / "broker"))
    (folder / "b").mkdir()
    yield killed_broker("embedded broker killed, back after 1 s", folder / "b", EmbeddedBroker())
    with Mosquitto(folder / "c" / "broker") as broker, MqttProxy(broker.url, seed=1) as proxy:
        rig = Rig(proxy.url, folder / "c", keepalive=KEEPALIVE)
        yield rig.run("silence of 2.5 keep-alives", disturb=after_chunks(5, lambda: silence(proxy)))
        proxy.faults = NetworkFaults(delay=0.02, duplicate=0.2, reorder=0.2)
        yield rig.run("20 ms delay, 20 % doubled, 20 % reordered")


def killed_broker(name: str, folder: Path, broker: BrokerProcess) -> Outcome:
    """Kill a broker in the middle of uploads; it forgets everything that it kept."""

    def kill() -> None:
        broker.kill()
        threading.Timer(1.0, broker.start).start()

    with broker:
        return Rig(broker.url, folder).run(name, disturb=after_chunks(5, kill))


def silence(proxy: MqttProxy) -> None:
    """Let nothing through, and tell nobody."""
    proxy.black_hole = True
    threading.Timer(2.5 * KEEPALIVE, lambda: setattr(proxy, "black_hole", False)).start()


HEAD = f"{'disturbance':44}{'rounds':>7}{'reports':>8}{'lost':>6}{'twice':>6}{'same bits':>10}{'seconds':>8}"


def line(row: dict[str, object]) -> str:
    """Return a row of the table."""
    same = "yes" if row["same_bits"] else "NO"
    counts = f"{row['committed']:>7}{row['acknowledged']:>8}{row['lost']:>6}{row['doubled']:>6}"
    return f"{row['name']!s:44}{counts}{same:>10}{row['seconds']:>8.1f}"


if __name__ == "__main__":
    main()
