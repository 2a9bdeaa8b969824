"""How the simulator grows with the number of registered devices: 1,000, 10,000 and 100,000 of them, 1,000 a round.

    python benchmarks/simulator_scale.py [--json] [--rounds 20] [--fleet ideal phones]

The model is a perceptron of 10,035 parameters, and a device takes one step on 20 examples; the devices share the
examples of 1,000 different ones. `ideal` devices are always there and take no time; of `phones` a fifth at most is
there at a time and one in twelve drops out, so that 1,000 are asked for each 770 reports, and small fleets cannot be
asked. Seconds a round are the median; `first` is from the program's start to the end of its first round; memory is the
most that the simulation and its workers hold at once (PSS).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from simulator_speed import export, run, write_data

DEVICES = (1_000, 10_000, 100_000)
COHORT = {"ideal": (1000, 1.0), "phones": (770, 1.3)}

PROGRAM = """
import json, sys, time
from edgewise.simulation import simulate
path, data, devices, rounds, cohort, over, fleet = sys.argv[1:8]
moments = []
simulate(path, data, devices=int(devices), rounds=int(rounds) + 1, cohort=int(cohort), over_selection=float(over),
         learning_rate=0.1, evaluate_every=0, fleet=fleet, on_round=lambda row: moments.append(time.time()))
print(json.dumps({"moments": moments, "seconds": [b - a for a, b in zip(moments, moments[1:])]}))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--fleet", nargs="+", choices=list(COHORT), default=["ideal", "phones"])
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export("small", folder / "model.tflite")
        write_data("small", folder)
        for fleet in given.fleet:
            for devices in DEVICES:
                cohort, over = COHORT[fleet]
                if fleet == "phones" and devices < 30 * cohort * over:  # a twentieth is there at the quietest hour
                    continue
                print(f"{fleet}: {devices:,} devices …", file=sys.stderr)
                arguments = [str(folder / "model.tflite"), str(folder / "fleet.npz"), str(devices), str(given.rounds)]
                found = run([sys.executable, "-c", PROGRAM, *arguments, str(cohort), str(over), fleet])
                seconds = statistics.median(found["seconds"])
                row = {"fleet": fleet, "devices": devices, "seconds": seconds, "first_s": found["first_s"]}
                rows.append({**row, "peak_mb": found["pss_mb"]})
    if given.json:
        print(json.dumps(rows))
        return
    print(f"{'fleet':8} {'registered':>10} {'s a round':>10} {'first s':>8} {'MB':>6}")
    for row in rows:
        print(
            f"{row['fleet']:8} {row['devices']:10,} {row['seconds']:10.3f} {row['first_s']:8.2f} {row['peak_mb']:6.0f}"
        )


if __name__ == "__main__":
    main()
