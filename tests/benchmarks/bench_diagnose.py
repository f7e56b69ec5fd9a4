"""How fast the measures of decoupling are, on planted factors: milliseconds, the fastest of several runs.

Run as ``python tests/benchmarks/bench_diagnose.py``, one thread.
"""

from __future__ import annotations

import argparse
import os
import timeit
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from medn_lab.diagnose import decoupling_report, dependence, leakage, permutation_test, probe
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures

AUS = tuple(f"AU{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25))


def planted(*, n: int, d: int, subjects: int, seed: int) -> BranchFeatures:
    """A motion branch of sixteen AUs, an emotion branch of a cue, both in noise."""
    rng = np.random.default_rng(seed)
    aus = (rng.random((n, len(AUS))) < 0.15) * 1.0
    cue = rng.integers(0, 3, n)
    motion = aus @ rng.normal(size=(len(AUS), d)) + 0.5 * rng.normal(size=(n, d))
    emotion = np.eye(3)[cue] @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d))
    table = pd.DataFrame(aus, columns=list(AUS)).assign(
        clip_id=[f"c{i:04d}" for i in range(n)], subject=np.arange(n) * subjects // n,
        cue=np.array(["flush", "none", "pallor"])[cue], label=np.array(["surprise", "others", "fear"])[cue],
    )  # fmt: skip
    single = {"motion": motion.astype(np.float32), "emotion": emotion.astype(np.float32)}
    return BranchFeatures(**single, fused=np.hstack([single["motion"], single["emotion"]]), table=table)


def speeds(runs: int) -> pd.DataFrame:
    """Each measure at the sizes that the notebooks use."""
    large = planted(n=500, d=128, subjects=20, seed=0)
    usual = planted(n=480, d=64, subjects=16, seed=0)
    target, who = usual.table["AU4"].to_numpy(), usual.table["subject"].to_numpy()
    calls = {
        "dependence, 500 clips, 128-d, no null": partial(dependence, large),
        "leakage, 3 branches x 20 targets, 20 shuffles": partial(leakage, usual),
        "decoupling_report, as it is called by default": partial(decoupling_report, usual),
    }
    for name, measure in MEASURES.items():
        test = partial(permutation_test, measure, large.motion, large.emotion, n_permutations=100)
        calls[f"100 permutations of {name}, 500 clips, 128-d"] = test
    for kind in ("ridge", "rbf"):
        calls[f"probe, {kind}, 480 clips, 64-d, 100 shuffles"] = partial(
            probe, usual.emotion, target, subjects=who, kind=kind
        )
    rows = {name: 1000 * min(timeit.repeat(call, number=1, repeat=runs)) for name, call in calls.items()}
    return pd.DataFrame(rows.items(), columns=["what", "ms"])


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=5, help="of each timing")
    print(speeds(arguments.parse_args().runs).round(1).to_string(index=False))
