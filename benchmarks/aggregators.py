"""What each aggregator costs: 100 updates of the 1.42 M-parameter model, read from files as a coordinator does.

python benchmarks/aggregators.py [--devices 100] [--parameters 1422250]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from edgewise_coordinator.aggregators.krum import krum
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.aggregators.trimmed_mean import trimmed_mean
from edgewise_coordinator.recipe import Recipe


def main() -> None:
    """Print a line an aggregator: milliseconds to check and to add an update, seconds for the result, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--parameters", type=int, default=1_422_250)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"d{i:05}.update" for i in range(given.devices)]
        for file in files:
            file.write_bytes(rng.normal(0, 0.01, given.parameters).astype("<f4").tobytes())
        print(f"{'aggregator':14} {'check ms':>9} {'add ms':>9} {'result s':>9} {'peak MB':>9}")
        for aggregator in (mean(), trimmed_mean(), median(), krum(max(0, (given.devices - 3) // 2))):
            recipe = Recipe(aggregator=aggregator)
            total = recipe.start(given.parameters)
            started = time.perf_counter()
            for file in files:
                recipe.weigh(file, given.parameters, 10, max_norm=1e6, check=total.check)
            checked = time.perf_counter()
            for file in files:
                total.add(recipe.weigh(file, given.parameters, 10, max_norm=1e6, check=None))
            added = time.perf_counter()
            total.result()
            done = time.perf_counter()
            milli = [1e3 * (b - a) / given.devices for a, b in ((started, checked), (checked, added))]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{aggregator.name:14} {milli[0]:9.2f} {milli[1]:9.2f} {done - added:9.2f} {peak:9.0f}")


if __name__ == "__main__":
    main()
