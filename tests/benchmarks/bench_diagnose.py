"""How fast the instruments of decoupling are, and how far they can be believed: against planted factors.

Run as ``python tests/benchmarks/bench_diagnose.py``, one thread. *Speed*: random features, the fastest of several runs.
*Calibration*:
how often the probe's 95 % interval holds what the probe reads on average, and what the probe reads next to a logistic
regression with the same nested choice of penalty. The level and power of the permutation tests stand in
``tests/test_dependence.py``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import timeit
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from medn_lab.diagnose import decoupling_report, dependence, leakage, permutation_test, probe
from medn_lab.diagnose.probing import grouped_auc, subject_folds
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures

AUS = tuple(f"AU{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25))


def planted(*, n: int, d: int, subjects: int, seed: int, leak: float = 0.0) -> BranchFeatures:
    """A motion branch of sixteen AUs, an emotion branch of a cue and, times `leak`, of the AUs, both in noise."""
    rng = np.random.default_rng(seed)
    aus = (rng.random((n, len(AUS))) < 0.15) * 1.0
    cue = rng.integers(0, 3, n)
    motion = aus @ rng.normal(size=(len(AUS), d)) + 0.5 * rng.normal(size=(n, d))
    emotion = np.eye(3)[cue] @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d))
    emotion += leak * aus @ rng.normal(size=(len(AUS), d))
    table = pd.DataFrame(aus, columns=list(AUS)).assign(
        clip_id=[f"c{i:04d}" for i in range(n)], subject=np.arange(n) * subjects // n,
        cue=np.array(["flush", "none", "pallor"])[cue], label=np.array(["surprise", "others", "fear"])[cue],
    )  # fmt: skip
    single = {"motion": motion.astype(np.float32), "emotion": emotion.astype(np.float32)}
    return BranchFeatures(**single, fused=np.hstack([single["motion"], single["emotion"]]), table=table)


def speeds(runs: int) -> pd.DataFrame:
    """Each instrument at the sizes that the notebooks use: milliseconds, the fastest of some runs."""
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
    return pd.DataFrame(rows.items(), columns=["instrument", "ms"])


def covered(draws: int) -> pd.DataFrame:
    """How often the probe's interval holds the mean of what it reads over all draws, by the number of subjects."""
    rows = []
    for n_subjects in (8, 16, 30):
        scores = []
        for draw in range(draws):
            rng = np.random.default_rng([n_subjects, draw])
            who = np.repeat(np.arange(n_subjects), 15)
            target = (rng.random(len(who)) < 0.2) * 1.0
            features = rng.normal(size=(len(who), 16)) + 0.3 * rng.normal(size=(n_subjects, 16))[who]
            features[:, 0] += 0.8 * target
            scores.append(probe(features, target, subjects=who, n_shuffles=0, n_resamples=400, seed=draw))
        mean = np.mean([one.value for one in scores])
        share = np.mean([one.low <= mean <= one.high for one in scores])
        rows.append((n_subjects, mean, np.std([one.value for one in scores]), share))
    return pd.DataFrame(rows, columns=["subjects", "mean AUC", "spread", "covered"])


def beside_logistic(seeds: int) -> pd.DataFrame:
    """What the probe reads of one AU, and a logistic regression whose penalty is chosen by subjects too."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = []
    for leak, seed in itertools.product((0.0, 0.05, 0.1, 0.3), range(seeds)):
        features = planted(n=480, d=64, subjects=16, seed=seed, leak=leak)
        target, who = features.table["AU4"].to_numpy(), features.table["subject"].to_numpy()
        ours = probe(features.emotion, target, subjects=who, n_shuffles=0, n_resamples=0).value
        folds, scores = subject_folds(who, n_folds=5, seed=0), np.zeros(len(target))
        for fold in range(5):
            train, test = folds != fold, folds == fold
            search = GridSearchCV(
                make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3)),
                {"logisticregression__C": 10.0 ** np.arange(-4, 2)}, cv=GroupKFold(4), scoring="neg_log_loss",
            )  # fmt: skip
            search.fit(features.emotion[train], target[train], groups=who[train])
            scores[test] = search.decision_function(features.emotion[test])
        rows.append((leak, ours, grouped_auc(scores[:, None], target[:, None], folds=folds)[0]))
    return pd.DataFrame(rows, columns=["leak", "probe", "logistic"]).groupby("leak", as_index=False).mean()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--draws", type=int, default=200, help="of each calibration")
    arguments.add_argument("--runs", type=int, default=5, help="of each timing")
    arguments.add_argument("--seeds", type=int, default=4, help="of the comparison with a logistic regression")
    chosen = arguments.parse_args()
    for title, table in (
        ("speed", speeds(chosen.runs)),
        (f"coverage of 95 % intervals, {chosen.draws} draws", covered(chosen.draws)),
        ("the probe next to a logistic regression", beside_logistic(chosen.seeds)),
    ):
        print(title)
        print(table.round(3).to_string(index=False), end="\n\n")
