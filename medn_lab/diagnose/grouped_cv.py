"""Grouped cross-validation: folds without a common subject, the readers of a probe, and the AUC within folds.

Only scores of one fold are compared with each other: the folds' fits have other intercepts, and pooling their scores
lowers the AUC (to .44 instead of .51 on features without the target). The ridge is the default reader: one
decomposition of a fold's features serves all targets, so that sixteen AUs and a hundred shuffles of each cost little
more than one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from medn_lab.records import constant_columns

Kind = Literal["ridge", "rbf", "knn", "boosting", "mlp"]
"""The readers, by their names in `READERS`."""

PENALTIES = 10.0 ** np.arange(-5, 2)
"""Tried by the ridges, as multiples of the number of training clips."""

LANDMARKS = 256
"""Most components of the Gaussian kernel that the ``rbf`` reader keeps."""


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return _share(np.where(known, values, 0.0).sum(axis=-1), count)


def pair_counts(
    scores: np.ndarray, targets: np.ndarray, *, folds: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of clips of one fold with different targets: those in the right order, and all, (k, s, s) each.

    By the unit (subject) of the clip with the larger value and that of the other; a tie of the scores is half a pair in
    the right order. `scores` and `targets` (n, k) with NaN where a clip has none, `folds` (n,), `units` (n,) int.
    """
    n_units, k = int(units.max()) + 1, targets.shape[1]
    wins, pairs = np.zeros((2, k, n_units, n_units))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        here, own = np.unique(units[rows], return_inverse=True)
        member = np.eye(len(here))[own]
        block = np.ix_(here, here)
        for target in range(k):
            score, value = scores[rows, target], targets[rows, target]
            differ = (value[:, None] > value[None, :]) & np.isfinite(score)[:, None] & np.isfinite(score)[None, :]
            right = (score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :])
            pairs[target][block] += member.T @ differ @ member
            wins[target][block] += member.T @ (differ * right) @ member
    return wins, pairs


def auc_under_draws(wins: np.ndarray, pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The AUC (n_draws, k) where each unit counts as often as `counts` (n_draws, s) says."""
    return _share(*(np.einsum("bs,kst,bt->bk", counts, one, counts, optimize=True) for one in (wins, pairs)))


def grouped_auc(scores: np.ndarray, targets: np.ndarray, *, folds: np.ndarray) -> np.ndarray:
    """The AUC within folds of each 0/1 target, (k,), by ranks: fast for many targets at once."""
    from scipy.stats import rankdata

    wins, pairs = np.zeros((2, targets.shape[1]))
    for fold in np.unique(folds):
        ranks, positive = rankdata(scores[folds == fold], axis=0), targets[folds == fold] == 1
        n_positive = positive.sum(axis=0)
        known = np.isfinite(ranks).all(axis=0)
        pairs += np.where(known, n_positive * (len(ranks) - n_positive), 0)
        wins += np.where(known, (ranks * positive).sum(axis=0) - n_positive * (n_positive + 1) / 2, 0)
    return _share(wins, pairs)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def subject_folds(subjects: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """The fold of each clip, (n,) int: no subject in two folds, folds of nearly equal numbers of clips.

    Subjects are shuffled, then dealt largest first, each to the fold that has fewest clips so far. With fewer subjects
    than folds there is one fold a subject.
    """
    names, place, counts = np.unique(subjects.astype(str), return_inverse=True, return_counts=True)
    n_folds = min(n_folds, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of, filled = np.zeros(len(names), dtype=int), np.zeros(n_folds, dtype=int)
    for subject in order[np.argsort(-counts[order], kind="stable")]:
        fold_of[subject] = filled.argmin()
        filled[fold_of[subject]] += counts[subject]
    return fold_of[place]


def clip_folds(classes: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """The fold of each clip, (n,) int, the clips of every class spread evenly over the folds."""
    generator = np.random.default_rng(seed)
    classes, folds, start = classes.astype(str), np.zeros(len(classes), dtype=int), 0
    for name in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == name))
        folds[rows] = (start + np.arange(len(rows))) % n_folds
        start += len(rows)
    return folds


def held_out_scores(
    features: np.ndarray, targets: np.ndarray, *, folds: np.ndarray, units: np.ndarray, kind: Kind, seed: int = 0
) -> np.ndarray:
    """Each clip's score for each target, (n, k), from a reader fitted to the other folds; NaN where it cannot be.

    Features are standardised by the training folds, a constant one is dropped. A target without two values in the
    training folds has no score in that fold. `features` (n, d), `targets` (n, k), `folds` and `units` (n,) are checked
    by the caller.
    """
    scores = np.full(targets.shape, np.nan)
    for fold in np.unique(folds):
        test = folds == fold
        train = ~test
        if not train.any():
            continue
        centre, spread = features[train].mean(axis=0), features[train].std(axis=0)
        moving = ~constant_columns(features[train])
        near = (features[train][:, moving] - centre[moving]) / spread[moving]
        far = (features[test][:, moving] - centre[moving]) / spread[moving]
        given = targets[train] - targets[train].mean(axis=0)
        varies = np.ptp(given, axis=0) > 0
        fitted = np.where(varies, np.zeros((len(far), 1)), np.nan)
        if near.shape[1]:
            fitted[:, varies] = READERS[kind](near, given[:, varies], far, _rows_of(units[train]), seed)
        scores[test] = fitted
    # Equal features must have equal scores, whatever the order in which a product was summed.
    return np.round(scores, 10)


def _rows_of(units: np.ndarray) -> list[np.ndarray]:
    names, place = np.unique(units.astype(str), return_inverse=True)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.cumsum(np.bincount(place, minlength=len(names)))[:-1])


def _ridge(
    near: np.ndarray, targets: np.ndarray, far: np.ndarray, units: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    """The penalty of each target has the smallest squared error of leaving out each unit, in closed form."""
    n = len(near)
    u, s, vt = np.linalg.svd(near, full_matrices=False)
    there = s > 1e-10 * s[0]
    u, s, vt = u[:, there], s[there], vt[there]
    turned = u.T @ targets
    penalties = PENALTIES * n
    errors = np.zeros((len(penalties), targets.shape[1]))
    for place, penalty in enumerate(penalties):
        share = s**2 / (s**2 + penalty)
        residual = targets - u @ (share[:, None] * turned)
        if len(units) == n:
            alone = 1 - 1 / n - (u**2) @ share
            errors[place] = ((residual / np.maximum(alone, 1e-12)[:, None]) ** 2).sum(axis=0)
            continue
        for rows in units:
            # The fit without these rows misses them by (1 - H)^-1 times what the whole fit misses them by.
            hat = 1 / n + (u[rows] * share) @ u[rows].T
            missed = np.linalg.solve(np.eye(len(rows)) - hat, residual[rows]) if len(units) > 1 else residual[rows]
            errors[place] += (missed**2).sum(axis=0)
    chosen = penalties[errors.argmin(axis=0)]
    weights = (s[:, None] / (s[:, None] ** 2 + chosen)) * turned
    return (far @ vt.T) @ weights


def _kernel_ridge(
    near: np.ndarray, targets: np.ndarray, far: np.ndarray, units: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    """The ridge on the components of a Gaussian kernel of the training clips' median distance."""
    own, other = ((one**2).sum(axis=1)[:, None] + (near**2).sum(axis=1) - 2 * one @ near.T for one in (near, far))
    own, other = np.maximum(own, 0.0), np.maximum(other, 0.0)
    apart = own[np.triu_indices(len(own), k=1)]
    bandwidth = np.median(apart[apart > 0]) if (apart > 0).any() else 1.0
    values, vectors = np.linalg.eigh(np.exp(-own / bandwidth))
    kept = np.argsort(-values)[:LANDMARKS]
    kept = kept[values[kept] > 1e-8 * values.max()]
    basis = vectors[:, kept] / np.sqrt(values[kept])
    inside, outside = np.exp(-own / bandwidth) @ basis, np.exp(-other / bandwidth) @ basis
    centre = inside.mean(axis=0)
    return _ridge(inside - centre, targets, outside - centre, units, seed)


def _sklearn_regressor(kind: str, n: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor

    if kind == "knn":
        return KNeighborsRegressor(n_neighbors=min(n, max(5, round(np.sqrt(n)))), weights="distance")
    if kind == "mlp":
        return MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed)
    smallest_leaf = min(20, max(2, n // 10))
    return HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=smallest_leaf, early_stopping=False, random_state=seed
    )


def _sklearn_reader(
    kind: str, near: np.ndarray, targets: np.ndarray, far: np.ndarray, units: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations are meant
        columns = [_sklearn_regressor(kind, len(near), seed).fit(near, one).predict(far) for one in targets.T]
    return np.column_stack(columns) if columns else np.empty((len(far), 0))


READERS: dict[str, Callable[..., np.ndarray]] = {
    "ridge": _ridge,
    "rbf": _kernel_ridge,
    "knn": partial(_sklearn_reader, "knn"),
    "boosting": partial(_sklearn_reader, "boosting"),
    "mlp": partial(_sklearn_reader, "mlp"),
}
"""Each kind of reader: (training features, centred targets, test features, rows of each training unit, seed) to scores.
Another one is an entry here and in `Kind`."""
