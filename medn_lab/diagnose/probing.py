"""Probes: how well a simple reader finds a target in a feature, on clips of subjects that it was not fitted to.

Only scores of one fold are compared with each other: the folds' fits have other intercepts, and pooling their scores
lowers the AUC (to .44 instead of .51 on features without the target). The ridge is the default reader: one
decomposition of a fold's features serves all targets, so that sixteen AUs and a hundred shuffles of each cost little
more than one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.permutation import Array, PermutationTest, cells, exchange_orders
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.resampling import draw_counts, ratio, t_bounds
from medn_lab.records import constant_columns, is_constant

# The readers, by their names in `READERS`.
Kind = Literal["ridge", "rbf", "knn", "boosting", "mlp"]

# Tried by the ridges, as multiples of the number of training clips.
PENALTIES = 10.0 ** np.arange(-5, 2)

# Most components of the Gaussian kernel that the ``rbf`` reader keeps.
LANDMARKS = 256

# Clips with and without a target that it needs where targets are averaged or exchanged.
MIN_POSITIVES = 8

# The (n,) state of each clip, inside which targets are compared, and (n_shuffles, n) orders for all targets; or none.
Strata = tuple[Array, Array] | None
# Coverage of every interval of a probe.
LEVEL = 0.95
# The reason of a probe of features that are the same for all clips.
CONSTANT = "the features are constant"


class ProbeOptions(NamedTuple):
    """Reader, folds, shuffles and draws of a probe, as :func:`probe` and :func:`leakage` take them."""

    kind: Kind
    n_shuffles: int
    n_resamples: int
    seed: int
    n_folds: int = 5


class ProbeTarget(NamedTuple):
    """A target as a reader is fitted to it: (n, k) float, a column a class or an amount; NaN where unknown."""

    columns: Array
    n_positive: int
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(PermutationTest):
    """The AUC of a probe with its interval and its null.

    Attributes
    ----------
    value : float
        The AUC in [0, 1]: of two clips of one fold that differ in the target, how often they are in the right order;
        0.5 is guessing, NaN where there is no value.
    null : (n_shuffles,) float array
        The AUC with shuffled labels.
    draws : (1 + n_resamples,) float array
        The AUC, then the AUC under each draw of subjects. Two probes of the same clips and seed share their draws.
    low, high : float
        Bounds of the 95 % interval, from Student's t over subjects.
    n_units : int
        Subjects that the interval rests on: of a 0/1 target those who show the rarer value, otherwise all.
    n_clips, n_subjects : int
        With a known target.
    n_positive : int
        Clips with the target; of several classes the smallest's; of an amount all clips.
    n_unknown : int
        Clips left out because their target is not known.
    reason : str
        Why there is no value; empty where there is one.

    Examples
    --------
    >>> from medn_lab.diagnose import probe
    >>> rng = np.random.default_rng(0)
    >>> target = np.arange(80) % 2
    >>> features = target[:, None] + rng.normal(0, 0.1, (80, 4))
    >>> found = probe(features, target, subjects=np.arange(80) // 20, n_shuffles=5)
    >>> round(found.value, 2), found.n_subjects
    (1.0, 4)
    """

    _: KW_ONLY
    draws: Array
    low: float
    high: float
    n_units: int
    n_subjects: int
    n_positive: int
    n_unknown: int

    @property
    def enough(self) -> bool:
        """Whether there is a value, from 8 clips or more with and without the target."""
        return not self.reason and min(self.n_positive, self.n_clips - self.n_positive) >= MIN_POSITIVES


def probe(
    features: ArrayLike,
    target: ArrayLike,
    *,
    subjects: ArrayLike,
    kind: Kind = "ridge",
    n_folds: int = 5,
    n_shuffles: int = 100,
    n_resamples: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """The AUC of a target from a feature, by a simple reader that was not fitted to the subject.

    The default reader is a ridge on standardised features (for a 0/1 target Fisher's linear discriminant, shrunk), with
    its penalty chosen among seven inside the training folds by leaving out each training subject; a penalty that is too
    strong would overlook what lies in small directions and call a leak absent. Against a logistic regression with the
    same nested choice it read 14 AUs at .567 where that read .553, and at .995 where that read .996 (480 clips), 200
    times as fast. No subject is on both sides of a fold. Only clips of one fold are compared with each other, as scores
    of different fits have no common zero. Several classes are each read against the rest and averaged.

    A low AUC says that *this* reader finds nothing: try the other kinds before calling a feature free of the target.
    With few positive clips it lies below 0.5 where there is nothing, as positives held out are missing among those
    learned from; look at the shuffled labels (or at what a truth gives through the same probe) and not at 0.5.

    Parameters
    ----------
    features : (n, d) array-like
        Finite. A single column that is constant is left out.
    target : (n,) array-like
        0/1 (or False/True), class names (text, also ``"2"``), or an amount (numbers with more than two values, read by
        how well its order is kept). NaN or None where unknown: those clips are left out.
    subjects : (n,) array-like
        Who is in each clip; at least 2 persons.
    kind : {"ridge", "rbf", "knn", "boosting", "mlp"}
        ``rbf`` is the ridge on a Gaussian kernel of the median distance; ``knn`` the mean of the sqrt(n) nearest clips,
        weighted by 1 / distance; ``boosting`` gradient boosted trees; ``mlp`` a network with one hidden layer of 32.
        All read standardised features and are fitted to the training folds alone.
    n_folds : int
        At least 2; one a subject where there are fewer subjects.
    n_shuffles : int
        Label shuffles within subjects for the chance level (whole subjects change places where each has one value
        only); 0 for none.
    n_resamples : int
        Draws of subjects for the 95 % interval (Student's t over subjects, kept within [0, 1]); 0 for none.
    seed : int
        Of folds, shuffles and draws.

    Returns
    -------
    ProbeResult
        NaN with a reason where the features are constant, no clip (or every clip) has the target, no fold holds both
        kinds, or there is one subject alone.

    Raises
    ------
    ValueError
        If the numbers of rows differ, or a feature is not a number.

    See Also
    --------
    leakage : of every branch and every target.

    References
    ----------
    Alain, Bengio: "Understanding intermediate layers using linear classifier probes", 2016. On pooling: Forman, Scholz:
    "Apples-to-apples in cross-validation studies", 2010.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> smiles = np.tile([0, 1], 60)
    >>> probe(smiles[:, None] + 0.1 * rng.normal(size=(120, 3)), smiles, subjects=np.repeat(range(6), 20)).value
    1.0
    """
    x, who, encoded = check_features(features, owner="features"), np.asarray(subjects), encode_target(target)
    if not len(x) == len(encoded.columns) == len(who):
        rows = f"features have {len(x)} rows, target {len(encoded.columns)} and subjects {len(who)}"
        raise ValueError(f"{rows}; all three must be of the same clips")
    return probe_targets([encoded], x, who, ProbeOptions(kind, n_shuffles, n_resamples, seed, n_folds))[0]


def encode_target(target: ArrayLike) -> ProbeTarget:
    """The columns of a target: one for 0/1 or an amount, one a class for names."""
    values = pd.Series(np.asarray(target))
    as_numbers = values.mask(values.map(type) == str)  # noqa: E721  # "0", "1" and "2" are names of classes
    known, numbers = values.notna(), pd.to_numeric(as_numbers, errors="coerce").astype(float)
    n, n_values = int(known.sum()), numbers.nunique()
    if not numbers.notna().equals(known):
        columns = pd.get_dummies(values.map(str, na_action="ignore"), dtype=float)
    elif n_values > 2:
        return ProbeTarget(numbers.to_numpy()[:, None], n)
    else:
        columns = numbers.eq(numbers.max() if n_values == 2 else 1.0).astype(float).to_frame()
    n_positive = int(columns[known].sum().min())
    reasons = {n: "there is one class only", 0: "no clip has it" if n else "no clip's target is known"}
    return ProbeTarget(columns.where(known, axis=0).to_numpy(), n_positive, reasons.get(n_positive, ""))


def probe_targets(
    targets: Sequence[ProbeTarget], features: Array, subjects: Array, options: ProbeOptions, strata: Strata = None
) -> list[ProbeResult]:
    """Probe the same features for many targets at once; each result is what the target alone would have."""
    found: dict[int, ProbeResult] = {}
    for places, rows in of_one_pattern(targets):
        who = subjects[rows].astype(str)
        n_subjects = len(set(who))
        constant = CONSTANT if n_subjects > 1 and is_constant(features[rows]) else ""
        alone = "one subject alone has a known target" if n_subjects < 2 else ""
        reasons = {place: constant or targets[place].reason or alone for place in places}
        read = [place for place in places if not reasons[place]]
        here = strata and (strata[0][rows], np.searchsorted(rows, strata[1][:, rows]))
        columns = [targets[place].columns[rows] for place in read]
        values = dict(zip(read, _draws_and_null(features[rows], columns, who, options, here), strict=True))
        sizes = {"n_clips": len(rows), "n_subjects": n_subjects, "n_unknown": len(features) - len(rows)}
        for place in places:
            one, n_units = targets[place].columns[rows], n_subjects
            if one.shape[1] == 1 and np.isin(one, (0, 1)).all():  # few persons may show an AU
                n_units = min(len(set(who[one[:, 0] == value])) for value in (0, 1))
            own = sizes | {"n_positive": targets[place].n_positive, "n_units": n_units}
            found[place] = result_of(values.get(place), options, reason=reasons[place], **own)
    return [found[place] for place in range(len(targets))]


def probe_subject(features: Array, who: Array, options: ProbeOptions) -> ProbeResult:
    """The subject as target, each against the others: clips are held out, not subjects."""
    names, person, clips = np.unique(who.astype(str), return_inverse=True, return_counts=True)
    kept = np.flatnonzero(clips >= 2)
    fewest = int(clips[kept].min()) if len(kept) else 0
    sizes: dict[str, Any] = {"n_clips": len(who), "n_subjects": len(names), "n_positive": fewest, "n_unknown": 0}
    if not len(kept) or is_constant(features):
        reason = CONSTANT if len(kept) else "every subject has one clip only"
        return result_of(None, options, reason=reason, n_units=len(kept), **sizes)
    generator, k = np.random.default_rng(options.seed), len(kept)
    spread, folds = np.random.default_rng(options.seed), np.zeros(len(who), dtype=int)
    by_person = [spread.permutation(np.flatnonzero(person == place)) for place in range(len(names))]
    folds[np.concatenate(by_person)] = np.arange(len(who)) % options.n_folds  # each person's clips over all folds
    columns = (person[:, None] == kept).astype(float)
    shuffled = (columns[generator.permutation(len(who))] for _ in range(options.n_shuffles))
    every = np.concatenate([columns, *shuffled], axis=1)
    # A subject's clips are never left out together here, so the penalty is chosen by leaving out single clips.
    units = np.arange(len(who))
    scores = held_out_scores(features, every, folds=folds, units=units, kind=options.kind, seed=options.seed)
    auc, *null = grouped_auc(scores, every, folds=folds).reshape(1 + options.n_shuffles, k)
    draws = draw_counts(k, n_draws=options.n_resamples, seed=options.seed) @ auc / k
    return result_of((draws, mean_known(np.array(null).reshape(-1, k))), options, n_units=k, **sizes)


def of_one_pattern(targets: Sequence[ProbeTarget]) -> Iterator[tuple[list[int], Array]]:
    """The places of the targets that are known of the same clips, and the rows of these clips."""
    patterns: dict[bytes, list[int]] = {}
    for place, target in enumerate(targets):
        patterns.setdefault(np.isfinite(target.columns[:, 0]).tobytes(), []).append(place)
    for pattern, places in patterns.items():
        yield places, np.flatnonzero(np.frombuffer(pattern, dtype=bool))


def result_of(
    values: tuple[Array, Array] | None, options: ProbeOptions, *, reason: str = "", n_units: int, **sizes: int
) -> ProbeResult:
    """The result of the AUC under each draw and its null, over `n_units` subjects, or its `reason`."""
    draws, null = values or (np.full(1 + options.n_resamples, np.nan), np.empty(0))
    reason = "" if np.isfinite(draws[0]) else reason or "no fold holds clips with and without it"
    if reason:
        draws, null = np.full(len(draws), np.nan), np.empty(0)
    low, high = t_bounds(draws, n_units=n_units, level=LEVEL, n_clips=sizes["n_clips"], share=True)
    return ProbeResult(float(draws[0]), null, reason=reason, draws=draws, low=low, high=high, n_units=n_units, **sizes)


def _draws_and_null(
    features: Array, columns: list[Array], who: Array, options: ProbeOptions, strata: Strata
) -> list[tuple[Array, Array]]:
    """For each target the AUC under each draw of subjects, and with each shuffle, averaged over its classes."""
    if not columns:
        return []
    folds = subject_folds(who, n_folds=options.n_folds, seed=options.seed)
    _, first, units = np.unique(who, return_index=True, return_inverse=True)
    if strata:
        compared, orders = cells(np.column_stack([folds, strata[0]])), [strata[1]] * len(columns)
    else:  # within subjects, or whole subjects where each has one value of the target
        compared, seeds = folds, [[options.seed, turn] for turn in range(options.n_shuffles)]
        within = exchange_orders(units, seeds, "exchange")
        between = first[exchange_orders(0 * first, seeds, "exchange")][:, units]
        orders = [between if (one == one[first][units]).all() else within for one in columns]
    blocks = [np.concatenate([one, *one[own]], axis=1) for one, own in zip(columns, orders, strict=True)]
    every, stops = np.hstack(blocks), np.cumsum([block.shape[1] for block in blocks])[:-1]
    scores = held_out_scores(features, every, folds=folds, units=units, kind=options.kind, seed=options.seed)
    counts = draw_counts(len(first), n_draws=options.n_resamples, seed=options.seed)
    found = []
    for one, block, given in zip(columns, blocks, np.split(scores, stops, axis=1), strict=True):
        k = one.shape[1]
        draws = auc_under_draws(given[:, :k], one, folds=compared, units=units, counts=counts)
        auc: Callable[..., Array] = grouped_auc
        if not np.isin(one, (0, 1)).all():  # an amount, whose pairs are compared one by one
            auc = partial(auc_under_draws, units=0 * units, counts=np.ones((1, 1)))
        null = auc(given[:, k:], block[:, k:], folds=compared).reshape(options.n_shuffles, k)
        found.append((mean_known(draws), mean_known(null)))
    return found


def mean_known(values: Array) -> Array:
    """Mean over the last axis of what is known; NaN where nothing is."""
    return ratio(np.nansum(values, axis=-1), np.isfinite(values).sum(axis=-1))


def auc_under_draws(scores: Array, targets: Array, *, folds: Array, units: Array, counts: Array) -> Array:
    """The AUC within folds (n_draws, k) where each unit counts as often as `counts` (n_draws, s) says."""
    # Pairs of clips of one fold with different targets, those in the right order and all, by their two units.
    wins, pairs = np.zeros((2, targets.shape[1], counts.shape[1], counts.shape[1]))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        here, own = np.unique(units[rows], return_inverse=True)
        member, block = np.eye(len(here))[own], np.ix_(here, here)
        for target, (score, value) in enumerate(zip(scores[rows].T, targets[rows].T, strict=True)):
            differ = (value[:, None] > value[None, :]) & np.isfinite(score)[:, None] & np.isfinite(score)[None, :]
            right = (score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :])
            pairs[target][block] += member.T @ differ @ member
            wins[target][block] += member.T @ (differ * right) @ member
    return ratio(*(np.einsum("bs,kst,bt->bk", counts, one, counts, optimize=True) for one in (wins, pairs)))


def grouped_auc(scores: Array, targets: Array, *, folds: Array) -> Array:
    """The AUC within folds of each 0/1 target, (k,), by ranks: fast for many targets at once."""
    wins, pairs = np.zeros((2, targets.shape[1]))
    for fold in np.unique(folds):
        ranks, positive = pd.DataFrame(scores[folds == fold]).rank().to_numpy(), targets[folds == fold] == 1
        n_positive = positive.sum(axis=0)
        known = np.isfinite(ranks).all(axis=0)
        pairs += np.where(known, n_positive * (len(ranks) - n_positive), 0)
        wins += np.where(known, (ranks * positive).sum(axis=0) - n_positive * (n_positive + 1) / 2, 0)
    return ratio(wins, pairs)


def subject_folds(subjects: Array, *, n_folds: int, seed: int) -> Array:
    """The fold of each clip, (n,) int: no subject in two folds, folds of nearly equal numbers of clips."""
    names, place, counts = np.unique(subjects.astype(str), return_inverse=True, return_counts=True)
    n_folds = min(n_folds, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of, filled = np.zeros(len(names), dtype=int), np.zeros(n_folds, dtype=int)
    for subject in order[np.argsort(-counts[order], kind="stable")]:
        fold_of[subject] = filled.argmin()
        filled[fold_of[subject]] += counts[subject]
    return fold_of[place]


def held_out_scores(features: Array, targets: Array, *, folds: Array, units: Array, kind: Kind, seed: int = 0) -> Array:
    """Each clip's score for each target, (n, k), from a reader fitted to the other folds; NaN where it cannot be.

    Clips of a negative fold are never held out.
    """
    if kind not in READERS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(READERS)}")
    scores = np.full(targets.shape, np.nan)
    for fold in np.unique(folds[folds >= 0]):
        test, train = folds == fold, folds != fold
        centre, spread = features[train].mean(axis=0), features[train].std(axis=0)
        moving = ~constant_columns(features[train])
        near, far = ((features[rows][:, moving] - centre[moving]) / spread[moving] for rows in (train, test))
        given = targets[train] - targets[train].mean(axis=0)
        varies = np.ptp(given, axis=0) > 0
        fitted = np.where(varies, np.zeros((len(far), 1)), np.nan)
        if near.shape[1] and varies.any():
            rows_of = [*pd.Series(units[train]).groupby(units[train]).indices.values()]
            fitted[:, varies] = READERS[kind](near, given[:, varies], far, rows_of, seed)
        scores[test] = fitted
    # Equal features must have equal scores, whatever the order in which a product was summed.
    return np.round(scores, 10)


def _ridge(near: Array, targets: Array, far: Array, units: Sequence[Array], seed: int) -> Array:
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
            # The fit without these rows misses them by (1 - H)^-1 times what the whole fit misses them by; the inverse
            # of this small matrix is three times as fast as solving for thousands of shuffles.
            hat = 1 / n + (u[rows] * share) @ u[rows].T
            missed = np.linalg.inv(np.eye(len(rows)) - hat) @ residual[rows] if len(units) > 1 else residual[rows]
            errors[place] += (missed**2).sum(axis=0)
    chosen = penalties[errors.argmin(axis=0)]
    weights = (s[:, None] / (s[:, None] ** 2 + chosen)) * turned
    return (far @ vt.T) @ weights


def _kernel_ridge(near: Array, targets: Array, far: Array, units: Sequence[Array], seed: int) -> Array:
    """The ridge on the components of a Gaussian kernel of the training clips' median distance."""
    from scipy.spatial.distance import cdist

    own, other = (cdist(one, near, "sqeuclidean") for one in (near, far))
    apart = own[np.triu_indices(len(own), k=1)]
    bandwidth = np.median(apart[apart > 0]) if (apart > 0).any() else 1.0
    values, vectors = np.linalg.eigh(np.exp(-own / bandwidth))
    kept = np.argsort(-values)[:LANDMARKS]
    kept = kept[values[kept] > 1e-8 * values.max()]
    basis = vectors[:, kept] / np.sqrt(values[kept])
    inside, outside = np.exp(-own / bandwidth) @ basis, np.exp(-other / bandwidth) @ basis
    centre = inside.mean(axis=0)
    return _ridge(inside - centre, targets, outside - centre, units, seed)


def unchecked() -> AbstractContextManager[None]:
    """Without the checks of scikit-learn, which take longer than its small fits; arrays were checked before."""
    import sklearn

    return sklearn.config_context(assume_finite=True, skip_parameter_validation=True)


def _sklearn_reader(kind: str, near: Array, targets: Array, far: Array, units: Sequence[Array], seed: int) -> Array:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor

    n = len(near)
    neighbours, leaves = min(n, max(5, round(np.sqrt(n)))), min(20, max(2, n // 10))
    regressor = {
        "knn": KNeighborsRegressor(neighbours, weights="distance"),
        "mlp": MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed),
        "boosting": HistGradientBoostingRegressor(
            max_iter=60, max_leaf_nodes=8, min_samples_leaf=leaves, early_stopping=False, random_state=seed
        ),
    }[kind]
    with warnings.catch_warnings(), unchecked():
        warnings.simplefilter("ignore")  # few iterations are meant
        parts = [targets] if kind == "knn" else targets.T  # the neighbours are the same for all targets
        return np.column_stack([regressor.fit(near, one).predict(far) for one in parts])


# Each kind of reader: (training features, centred targets, test features, rows of each training unit, seed) to scores.
# Another one is an entry here and in `Kind`.
READERS: dict[str, Callable[..., Array]] = {
    "ridge": _ridge,
    "rbf": _kernel_ridge,
    **{kind: partial(_sklearn_reader, kind) for kind in ("knn", "boosting", "mlp")},
}
