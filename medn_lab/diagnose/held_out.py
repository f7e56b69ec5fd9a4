"""Scores of clips whose subject was not seen: the folds, and the readers that a probe may be.

The ridge is the default: one decomposition of a fold's features serves all targets at once, so that sixteen AUs and a
hundred shuffles of each cost little more than one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from medn_lab.records import constant_columns

Kind = Literal["ridge", "rbf", "knn", "boosting", "mlp"]
"""The readers, by their names in `READERS`."""

PENALTIES = 10.0 ** np.arange(-5, 2)
"""Tried by every probe, as multiples of the number of training clips."""

LANDMARKS = 256
"""Most components of the Gaussian kernel that the ``rbf`` probe keeps."""


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
    folds = np.zeros(len(classes), dtype=int)
    start = 0
    for name in np.unique(classes.astype(str)):
        rows = generator.permutation(np.flatnonzero(classes.astype(str) == name))
        folds[rows] = (start + np.arange(len(rows))) % n_folds
        start += len(rows)
    return folds


def held_out_scores(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    folds: np.ndarray,
    units: np.ndarray,
    kind: Kind,
    seed: int = 0,
) -> np.ndarray:
    """Each clip's score for each target, (n, k), from a reader fitted to the other folds; NaN where it cannot be.

    Features are standardised by the training folds, a constant one is dropped. The ridge's penalty is chosen for each
    target among `PENALTIES` by the squared error of leaving out each training *unit* (subject) in turn, which a ridge
    gives in closed form. A target without two values in the training folds has no score in that fold.

    `features` (n, d), `targets` (n, k), `folds` and `units` (n,): checked by the caller.
    """
    if kind not in READERS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(READERS)}")
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


def _ridge(
    near: np.ndarray, targets: np.ndarray, far: np.ndarray, units: Sequence[np.ndarray], seed: int
) -> np.ndarray:
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
    near, far = _gaussian_components(near, far)
    return _ridge(near, targets, far, units, seed)


def _of_sklearn(made: Callable[[int, int], Any]) -> Callable[..., np.ndarray]:
    """A reader from a scikit-learn regressor of (training clips, seed), fitted to each target alone."""

    def reader(
        near: np.ndarray, targets: np.ndarray, far: np.ndarray, units: Sequence[np.ndarray], seed: int
    ) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few iterations are meant
            columns = [made(len(near), seed).fit(near, target).predict(far) for target in targets.T]
        return np.column_stack(columns) if columns else np.empty((len(far), 0))

    return reader


def _knn(n: int, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(n_neighbors=min(n, max(5, round(np.sqrt(n)))), weights="distance")


def _boosting(n: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=min(20, max(2, n // 10)), early_stopping=False,
        random_state=seed,
    )  # fmt: skip


def _mlp(n: int, seed: int) -> Any:
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed)


READERS: dict[str, Callable[..., np.ndarray]] = {
    "ridge": _ridge,
    "rbf": _kernel_ridge,
    "knn": _of_sklearn(_knn),
    "boosting": _of_sklearn(_boosting),
    "mlp": _of_sklearn(_mlp),
}
"""Each kind of reader: (training features, centred targets, test features, rows of each training unit, seed) to scores.
Another one is an entry here and in `Kind`."""


def _rows_of(units: np.ndarray) -> list[np.ndarray]:
    names, place = np.unique(units.astype(str), return_inverse=True)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.cumsum(np.bincount(place, minlength=len(names)))[:-1])


def _gaussian_components(near: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in which a linear fit is a fit with a Gaussian kernel of the training clips' median distance."""
    own = _squared_distances(near, near)
    apart = own[np.triu_indices(len(own), k=1)]
    bandwidth = np.median(apart[apart > 0]) if (apart > 0).any() else 1.0
    values, vectors = np.linalg.eigh(np.exp(-own / bandwidth))
    kept = np.argsort(-values)[:LANDMARKS]
    kept = kept[values[kept] > 1e-8 * values.max()]
    basis = vectors[:, kept] / np.sqrt(values[kept])
    inside = np.exp(-own / bandwidth) @ basis
    outside = np.exp(-_squared_distances(far, near) / bandwidth) @ basis
    centre = inside.mean(axis=0)
    return inside - centre, outside - centre


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(squared, 0.0)
