"""The permutation test of a dependence, the part of a feature that factors explain, and all measures at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity import PREPARED, centred, check_pair, figures, of_orders
from medn_lab.records import BranchFeatures, constant_columns, constant_reason, is_constant, require
from medn_lab.records.table import one_of

Array = np.ndarray

# How clips change places inside a group: at random, or all by one circular shift of their order.
Scheme = Literal["exchange", "shift"]

# Share of the clips that must be exchangeable inside subject and factor; below it the factor alone is kept.
ENOUGH = 0.5

UNDEFINED = "the measure has no value for these clips"


@dataclass(frozen=True, eq=False, repr=False)
class PermutationTest:
    """A measure and its null: the values of the same measure where nothing is to be found.

    Attributes
    ----------
    value : float
        Of the features as they are.
    null : (n_permutations,) float array
        Of the features with y's clips exchanged; a mean above 0 is what the groups alone make of the measure.
    n_clips : int
    reason : str
        Why there is no value; empty where there is one.

    Examples
    --------
    >>> from medn_lab.diagnose import distance_correlation
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> found = permutation_test(distance_correlation, x, x**2, n_permutations=99, seed=0)
    >>> found.p_value, len(found.null)
    (0.01, 99)
    """

    value: float
    null: np.ndarray
    n_clips: int
    reason: str = ""

    @property
    def p_value(self) -> float:
        """Share of the null, the value counted as one of it, that is as large; NaN without a value or a null."""
        return self.figures["p"]

    @property
    def figures(self) -> dict[str, Any]:
        """What a row of a table of results holds of this test."""
        null = pd.Series(self.null[np.isfinite(self.null)], dtype=float)
        known = len(null) > 0 and np.isfinite(self.value)
        p = (1 + int((null >= self.least).sum())) / (1 + len(null)) if known else np.nan
        facts = {name: value for name, value in vars(self).items() if name not in ("null", "draws", "n_units")}
        return facts | {"null_mean": float(null.mean()), "null_95": float(null.quantile(0.95)), "p": p}

    @property
    def least(self) -> float:
        """From here on a value of the null counts as reaching this one: just below it, because of rounding."""
        return self.value - 1e-12 * max(1.0, abs(self.value))

    def __repr__(self) -> str:
        found = self.reason or f"{self.value:.3g}, p = {self.p_value:.3g} of {len(self.null)} permutations"
        return f"{type(self).__name__}: {found} ({self.n_clips} clips)"


def permutation_test(
    measure: Callable[..., Any],
    x: ArrayLike,
    y: ArrayLike,
    *,
    seed: int = 0,
    n_permutations: int = 999,
    groups: ArrayLike | pd.DataFrame | None = None,
    scheme: Scheme = "exchange",
) -> PermutationTest:
    """Whether a measure is larger than it would be by chance.

    The clips of y are exchanged and the measure taken again. Where clips resemble each other for a reason that is not
    in question (they are of one subject, of one emotion), exchange them inside its `groups` alone: two branches that
    each hold the subject depend on each other through the subject, and permuting everything would call that a
    coupling. Then p is of dependence *within* the groups, and is uniform on [0, 1] where there is none and the
    assumption holds.

    Under ``exchange`` the clips of a group are assumed to be exchangeable: they do not drift in time. Under ``shift``
    they are assumed to be stationary in time, and the drift of each branch by itself is kept in the null. Independent
    branches that both drift (autoregressive, .9 from clip to clip) are found dependent in most samples under
    ``exchange`` and in about 5 of 100 under ``shift``. The groups must be much longer than the drift lasts (with 20
    clips a group, and .9 from clip to clip, it is 14 of 100). A trend over the whole recording is not stationary: take
    it off first.

    Parameters
    ----------
    measure : callable
        Of ``(x, y)``, large where they depend: a measure of this room, or any function that returns a float. What a
        measure of this room needs of each feature is computed once; a permutation of 500 clips takes about 1 ms.
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature.
    seed : int
    n_permutations : int
        p cannot be smaller than 1 / (n_permutations + 1).
    groups : (n,) or (n, k) array-like or DataFrame, optional
        Clips that agree in every column may be exchanged.
    scheme : {"exchange", "shift"}
        ``exchange`` gives the clips of a group any order. ``shift`` moves all clips of a group by one number of places,
        the last ones to the front, a number for each group; the rows of a group must be in their order in time.

    Returns
    -------
    PermutationTest
        Value, p and null are NaN where x or y is constant, see `reason`.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, no group has two clips, `scheme` is another word, or there are fewer
        than 20 different shifts, so that p could not be .05 or less.

    See Also
    --------
    partial_out : takes off what the groups explain, so that the value itself is without them too.
    family_wise_p : the p of several measures, corrected for their number.
    medn_lab.view.plot_dependence

    References
    ----------
    Phipson, Smyth: "Permutation p-values should never be zero", 2010. On shifts: Harris, "Nonsense correlations in
    neuroscience", 2020.

    Examples
    --------
    >>> from medn_lab.diagnose import linear_cka
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> permutation_test(linear_cka, x, x[:, ::-1], n_permutations=99).p_value
    0.01
    """
    x, y = check_pair(x, y)
    place = np.zeros(len(x), dtype=int) if groups is None else cells(groups)
    if len(place) != len(x):
        raise ValueError(f"x has {len(x)} rows but groups {len(place)}; both must be of the same clips")
    sizes = np.bincount(place)
    if sizes.max() < 2:
        raise ValueError(f"none of the {len(sizes)} groups has two clips, so none can be exchanged; use coarser groups")
    if scheme == "shift" and (different := np.prod(sizes, dtype=float)) < 20:
        few = f"there are {different:.0f} different shifts inside {len(sizes)} groups"
        raise ValueError(f"{few}, so p cannot be below {1 / different:.2g}; give groups of more clips")
    if reason := " and ".join(f"{name} is constant" for name, one in (("x", x), ("y", y)) if is_constant(one)):
        return PermutationTest(np.nan, np.full(n_permutations, np.nan), len(x), reason)
    of_order = of_orders(measure, x, y) if measure in PREPARED else lambda order: float(measure(x, y[order]))
    orders = exchange_orders(place, [np.random.default_rng(seed)] * n_permutations, scheme)
    null = np.array([of_order(order) for order in orders])
    return PermutationTest(of_order(np.arange(len(x))), null, len(x))


def family_wise_p(tests: Sequence[PermutationTest]) -> np.ndarray:
    """The p of each of several tests, corrected for their number by the largest statistic (Westfall and Young).

    Each statistic is standardised by its own permutations. Then p is the share of the permutations, the truth counted
    as one of them, in which the *largest* of all statistics is at least as large as this one. Tests that resemble each
    other cost little, as the permutations hold how they go together. Where no test has a dependence, one p or more of
    the family is .05 or less in at most 5 of 100 samples.

    Parameters
    ----------
    tests : sequence of PermutationTest or ProbeResult
        Of the same permutations in the same order: made with one seed, number and grouping. Those without a value are
        left out of the family.

    Returns
    -------
    (k,) float array
        In [p of the test alone, 1]; equal to it for a single test. NaN for a test without a value.

    See Also
    --------
    permutation_test, conditional_leakage, decoupling_report

    References
    ----------
    Westfall, Young: "Resampling-Based Multiple Testing", 1993.

    Examples
    --------
    >>> from medn_lab.diagnose import hsic, linear_cka
    >>> x, noise = np.random.default_rng(0).normal(size=(2, 40, 2))
    >>> tests = [permutation_test(one, x, x + noise, n_permutations=99) for one in (linear_cka, hsic)]
    >>> family_wise_p(tests)
    array([0.01, 0.01])
    """
    known = [np.isfinite(test.value) and len(test.null) > 0 for test in tests]
    p = np.full(len(tests), np.nan)
    if any(known):
        values = np.array([[test.least, *test.null] for test, one in zip(tests, known, strict=True) if one])
        middle, spread = (of(values, axis=1, keepdims=True) for of in (np.nanmean, np.nanstd))
        standard = (values - middle) / np.where(spread > 0, spread, 1.0)
        largest = np.nanmax(standard[:, np.isfinite(standard).any(axis=0)], axis=0)
        p[known] = (largest >= standard[:, :1]).mean(axis=1)
    return p


def exchange_orders(groups: np.ndarray, seeds: Sequence[Any], scheme: Scheme) -> np.ndarray:
    """Random orders of the rows, (count, n), one a seed or generator; each row is replaced by one of its group."""
    one_of(scheme, get_args(Scheme), "scheme")
    by_group, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
    start, place = (np.cumsum(sizes) - sizes)[groups], pd.Series(groups).groupby(groups).cumcount().to_numpy()
    orders = np.empty((len(seeds), len(groups)), dtype=int)
    for order, generator in zip(orders, map(np.random.default_rng, seeds), strict=True):
        if scheme == "shift":
            order[:] = by_group[start + (place + generator.integers(sizes)[groups]) % sizes[groups]]
        else:
            order[:] = np.lexsort((generator.random(len(groups)), groups))[start + place]
    return orders


def partial_out(features: ArrayLike, *, factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The part of a feature that its mean in each class of some factors does not explain.

    Every clip's feature has the mean of its class (emotion, AU set, subject) taken off; of several factors the clips
    that agree in all of them are a class. A measure of what is left of two branches is a *partial* dependence: what
    they share beyond the factors. Its permutation null must keep the factors, so give ``permutation_test`` the same
    factors as `groups`.

    Only means are removed: a factor that changes the spread of both branches still shows in ``distance_correlation``
    and ``hsic``.

    Parameters
    ----------
    features : (n, d) array-like
        (n,) is one feature.
    factors : (n,) or (n, k) array-like, or DataFrame
        Of the same clips; a column a factor. None or NaN, unknown, is a class.

    Returns
    -------
    (n, d) float64
        Uncorrelated with every class. A class of a single clip leaves exactly 0 of it.

    Raises
    ------
    ValueError
        If the rows do not fit.

    See Also
    --------
    permutation_test, decoupling_report

    Examples
    --------
    >>> partial_out([1.0, 3.0, 10.0, 14.0], factors=["a", "a", "b", "b"]).ravel().tolist()
    [-1.0, 1.0, -2.0, 2.0]
    """
    x, classes = np.asarray(features, dtype=np.float64), cells(factors)
    x = x[:, None] if x.ndim == 1 else x
    if len(classes) != len(x):
        raise ValueError(f"features have {len(x)} rows but factors {len(classes)}; both must be of the same clips")
    moved = centred(x)
    moved -= pd.DataFrame(moved).groupby(classes).transform("mean").to_numpy()
    # What is left of a feature that the factors explain fully is rounding.
    moved[:, constant_columns(moved, size=np.abs(x).max(axis=0, initial=0.0))] = 0.0
    return moved


def cells(factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The rows that agree in every factor, as one number a row, (n,) int from 0; unknown is a value like others."""
    table = pd.DataFrame(np.asarray(factors))
    return table.groupby(list(table), dropna=False).ngroup().to_numpy()


def exchange_groups(who: Array, classes: Array | None, factor: str, scheme: Scheme) -> tuple[Array | None, str]:
    """Inside what clips are exchanged: subject and factor, or what of it leaves enough clips to exchange."""
    choices = [(who, "subject")]
    if classes is not None:
        choices = [(np.column_stack([who, classes]), f"subject and {factor}"), (classes, factor)]
    for columns, named in choices:
        groups = cells(columns)
        if pd.Series(groups).duplicated(keep=False).mean() >= ENOUGH:
            return groups, f"{named} by shifts in time" if scheme == "shift" else named
    return None, ""


def dependence(features: BranchFeatures) -> pd.DataFrame:
    """Every measure of dependence between the motion and the emotion branch.

    For 500 clips of 128-d in under .3 s. The values have no null. Without dependence ``canonical_correlations`` and
    ``absolute_cosine`` have a level of chance that only :func:`decoupling_report` or :func:`permutation_test` gives;
    the others are debiased and around 0.

    Parameters
    ----------
    features : BranchFeatures
        With both branches, of at least 4 clips; ``features.select(clip_ids)`` for some of the clips.

    Returns
    -------
    DataFrame
        A measure a row: ``measure, value, n_clips, direction, reason``; `value` NaN where a branch is
        constant, see `reason`; `direction` which way is better decoupled.

    Raises
    ------
    ValueError
        If a branch is missing, or there are fewer than 4 clips.

    See Also
    --------
    decoupling_report : the same with nulls and leakage.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(60)], "subject": list("abcdef") * 10})
    >>> motion = rng.normal(size=(60, 4))
    >>> found = dependence(BranchFeatures(motion, motion, motion, table)).set_index("measure")["value"]
    >>> float(found["linear_cka"].round(2))
    1.0
    """
    x, y = both_branches(features)
    reason = constant_reason({"motion": x, "emotion": y}) or UNDEFINED
    table = pd.DataFrame(figures(x, y).items(), columns=["measure", "value"])
    return table.assign(n_clips=len(x), direction="lower", reason=np.where(table["value"].isna(), reason, ""))


def both_branches(features: BranchFeatures) -> list[np.ndarray]:
    """Motion and emotion features; ValueError where the model has only one of the two."""
    missing = "these features have no {} branch; dependence is between two branches"
    return [require(getattr(features, name), otherwise=missing.format(name)) for name in ("motion", "emotion")]
