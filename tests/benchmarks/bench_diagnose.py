"""How fast the measures of decoupling are, on planted factors: milliseconds, the fastest of several runs.

Run as ``python tests/benchmarks/bench_diagnose.py``, one thread.
"""

import argparse
import os
import timeit
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from medn_lab.diagnose import decoupling_report, dependence, leakage
from medn_lab.records import BranchFeatures
from medn_lab.synthme import draw_table


def planted(n: int, *, width: int = 64) -> BranchFeatures:
    """Motion features that know the AU set, emotion features that know the emotion, and both; unit noise."""
    rng = np.random.default_rng(0)
    table = draw_table(n_subjects=-(-n // 25), clips_per_subject=25, seed=0).iloc[:n]
    table = table.assign(label=table["emotion"]).reset_index(drop=True)
    spaces = []
    for column in ("action_units", "emotion"):
        codes, names = pd.factorize(table[column])
        centres = 2 * rng.normal(size=(len(names), width))
        spaces.append((centres[codes] + rng.normal(size=(n, width))).astype(np.float32))
    return BranchFeatures(*spaces, (spaces[0] + spaces[1]) / 2, table)


def speeds(runs: int) -> pd.DataFrame:
    """Each measure at the sizes that the notebooks use."""
    large, usual = planted(500, width=128), planted(480)
    calls = {
        "dependence, 500 clips, 128-d, no null": partial(dependence, large),
        "leakage, 480 clips, 64-d, 20 shuffles": partial(leakage, usual),
        "decoupling_report, as it is called by default": partial(decoupling_report, usual),
    }
    rows = {name: 1000 * min(timeit.repeat(call, number=1, repeat=runs)) for name, call in calls.items()}
    return pd.DataFrame(rows.items(), columns=["what", "ms"])


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=5, help="of each timing")
    print(speeds(arguments.parse_args().runs).round(1).to_string(index=False))
