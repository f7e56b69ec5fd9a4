"""The permutation test of a dependence, the part of a feature that factors explain, and all measures at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity import PREPARED, centred, check_pair, figures
from medn_lab.records import (
    BranchFeatures,
    au_columns,
    au_set_text,
    au_sets,
    check_label,
    constant_columns,
    constant_reason,
    is_constant,
    require,
)

# How clips change places inside a group: at random, or all by one circular shift of their order.
Scheme = Literal["exchange", "shift"]

# Share of the clips that must be exchangeable inside subject and factor; below it the factor alone is kept.
ENOUGH = 0.5

UNDEFINED = "the measure has no value for these clips"

UNBIASED = ("linear_cka", "distance_correlation", "hsic", "branch_correlation")


@dataclass(frozen=True, eq=False)
class ValueWithNull:
    """A value and its null: what the same measure gives where nothing is to be found."""

    value: float
    null: np.ndarray

    @property
    def null_mean(self) -> float:
        """Mean of the null; NaN where there is none."""
        return float(self._known.mean()) if len(self._known) else np.nan

    @property
    def null_95(self) -> float:
        """95th percentile of the null: values above it are found significant at .05. NaN where there is none."""
        return float(np.quantile(self._known, 0.95)) if len(self._known) else np.nan

    @property
    def p_value(self) -> float:
        """Share of the null, the value counted as one of it, that is as large; NaN without a value or a null."""
        reached = (self._known >= self.least).sum()
        return float((1 + reached) / (1 + len(self._known))) if len(self._known) and np.isfinite(self.value) else np.nan

    @property
    def figures(self) -> dict[str, Any]:
        """What a row of a table of results holds of this value."""
        return {"value": self.value, "null_mean": self.null_mean, "null_95": self.null_95, "p": self.p_value}

    @property
    def least(self) -> float:
        """From here on a value of the null counts as reaching this one: just below it, because of rounding."""
        return self.value - 1e-12 * max(1.0, abs(self.value))

    @property
    def _known(self) -> np.ndarray:
        return self.null[np.isfinite(self.null)]


@dataclass(frozen=True, eq=False, repr=False)
class PermutationTest(ValueWithNull):
    """A measure and its values for features that are not of the same clips.

    Attributes
    ----------
    value : float
        Of the features as they are.
    null : (n_permutations,) float array
        Of the features with y's clips exchanged; a mean above 0 is what the groups alone make of the measure.
    n_clips, n_groups : int
        Clips were exchanged inside each group alone.
    reason : str
        Why there is no value; empty where there is one.
    scheme : {"exchange", "shift"}
        How the clips changed places.

    Examples
    --------
    >>> from medn_lab.diagnose import distance_correlation
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> found = permutation_test(distance_correlation, x, x**2, n_permutations=99, seed=0)
    >>> found.p_value, len(found.null)
    (0.01, 99)
    """

    n_clips: int
    n_groups: int
    reason: str = ""
    scheme: Scheme = "exchange"

    def __repr__(self) -> str:
        if self.reason:
            return f"permutation test: no value, because {self.reason} ({self.n_clips} clips)"
        inside = f" inside {self.n_groups} groups" if self.n_groups > 1 else ""
        moves = "permutations" if self.scheme == "exchange" else "circular shifts"
        null = f"{len(self.null)} {moves}{inside} give {self.null_mean:.3g} (95% below {self.null_95:.3g})"
        return f"{self.value:.3g} where {null}, p = {self.p_value:.3g} ({self.n_clips} clips)"


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
    orders = exchange_orders(place, [np.random.default_rng(seed)] * n_permutations, scheme)
    still = [name for name, values in (("x", x), ("y", y)) if is_constant(values)]
    if still:
        reason = f"{' and '.join(still)} {'are' if len(still) > 1 else 'is'} constant"
        return PermutationTest(np.nan, np.full(n_permutations, np.nan), len(x), len(sizes), reason, scheme)
    of_order = PREPARED[measure](x, y) if measure in PREPARED else lambda order: float(measure(x, y[order]))
    value, null = float(of_order(np.arange(len(x)))), np.array([of_order(order) for order in orders])
    return PermutationTest(value, null, len(x), len(sizes), "", scheme)


def family_wise_p(tests: Sequence[ValueWithNull]) -> np.ndarray:
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

    Raises
    ------
    ValueError
        If there is no test, or their numbers of permutations differ.

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
    if len({len(test.null) for test in tests if np.isfinite(test.value)}) > 1 or not len(tests):
        found = f"{len(tests)} tests with {', '.join(str(len(test.null)) for test in tests) or 'no'} permutations"
        raise ValueError(f"a family needs one test or more, all of the same permutations; got {found}")
    known = [np.isfinite(test.value) and len(test.null) > 0 for test in tests]
    p = np.full(len(tests), np.nan)
    if any(known):
        values = np.array([[test.least, *test.null] for test, one in zip(tests, known, strict=True) if one])
        middle, spread = (of(values, axis=1, keepdims=True) for of in (np.nanmean, np.nanstd))
        standard = (values - middle) / np.where(spread > 0, spread, 1.0)
        largest = np.nanmax(standard[:, np.isfinite(standard).any(axis=0)], axis=0)
        p[known] = (largest >= standard[:, :1]).mean(axis=1)
    return p


def exchange_orders(groups: np.ndarray, generators: Sequence[np.random.Generator], scheme: Scheme) -> np.ndarray:
    """Random orders of the rows, (count, n), one a generator; each row is replaced by one of its group."""
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}; it must be one of {', '.join(get_args(Scheme))}")
    by_group = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)  # where the group of each row of by_group starts
    own, size = np.arange(len(groups)) - first, np.repeat(sizes, sizes)
    orders = np.empty((len(generators), len(groups)), dtype=int)
    for order, generator in zip(orders, generators, strict=True):
        if scheme == "shift":
            order[by_group] = by_group[first + (own + np.repeat(generator.integers(sizes), sizes)) % size]
        else:
            order[by_group] = np.lexsort((generator.random(len(groups)), groups))
    return orders


def partial_out(features: ArrayLike, *, factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The part of a feature that its mean at each value of some factors does not explain.

    With one factor of names (emotion class, AU set, subject) every clip's feature has the mean of its class taken off.
    With several the means are fitted together, without their interactions; columns of numbers (AUs as 0/1) act as they
    are. A measure of what is left of two branches is a *partial* dependence: what they share beyond the factors. Its
    permutation null must keep the factors, so give ``permutation_test`` the same factors as `groups`.

    Only means are removed: a factor that changes the spread of both branches still shows in ``distance_correlation``
    and ``hsic``.

    Parameters
    ----------
    features : (n, d) array-like
        (n,) is one feature.
    factors : (n,) or (n, k) array-like, or DataFrame
        Of the same clips. Names (or None for unknown, which is a class) or numbers, a column a factor.

    Returns
    -------
    (n, d) float64
        Uncorrelated with every factor. A class of a single clip leaves exactly 0 of it.

    Raises
    ------
    ValueError
        If the rows do not fit or a numeric factor is not finite.

    See Also
    --------
    permutation_test, decoupling_report

    Examples
    --------
    >>> partial_out([1.0, 3.0, 10.0, 14.0], factors=["a", "a", "b", "b"]).ravel().tolist()
    [-1.0, 1.0, -2.0, 2.0]
    """
    x = np.asarray(features, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    columns = _factor_columns(factors)
    if len(columns[0]) != len(x):
        raise ValueError(f"features have {len(x)} rows but factors {len(columns[0])}; both must be of the same clips")
    moved = centred(x)
    if len(columns) == 1 and columns[0].dtype == object:
        moved -= pd.DataFrame(moved).groupby(columns[0]).transform("mean").to_numpy()
    else:
        design = [pd.get_dummies(one, dtype=float) if one.dtype == object else one for one in columns]
        u, s, _ = np.linalg.svd(centred(np.column_stack(design)), full_matrices=False)
        u = u[:, s > 1e-10 * s[0]]
        moved = moved - u @ (u.T @ moved)
    # What is left of a feature that the factors explain fully is rounding.
    moved[:, constant_columns(moved, size=np.abs(x).max(axis=0, initial=0.0))] = 0.0
    return moved


def cells(factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The rows that agree in every factor, as one number a row, (n,) int from 0."""
    columns = _factor_columns(factors)
    return pd.DataFrame(dict(enumerate(columns))).groupby(list(range(len(columns)))).ngroup().to_numpy()


def _factor_columns(factors: ArrayLike | pd.DataFrame) -> list[np.ndarray]:
    """Each factor as an array: of float where it is numbers, else of text as objects."""
    table = factors if isinstance(factors, pd.DataFrame) else pd.DataFrame(np.asarray(factors))
    columns = []
    for name, column in table.items():
        if pd.api.types.is_numeric_dtype(column):
            columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
            if not np.isfinite(columns[-1]).all():
                raise ValueError(f"factor {name!r} is not known of {(~np.isfinite(columns[-1])).sum()} clips")
        else:
            columns.append(column.astype(object).where(column.notna(), "").map(str).to_numpy(dtype=object))
    return columns


def emotion_column(table: pd.DataFrame, label: str) -> str:
    """The column of the emotion: ``emotion`` where the table has it and no ``label``."""
    return "emotion" if label == "label" and label not in table and "emotion" in table else label


def class_names(table: pd.DataFrame, factor: str, label: str) -> pd.Series | None:
    """The class of each clip, None where it is missing or its AU set in doubt; None where it is known of no clip."""
    if factor == "aus" and au_columns(table):
        names = pd.Series([None if aus is None else au_set_text(aus) for aus in au_sets(table)], dtype=object)
    else:
        column = emotion_column(table, label) if factor == "emotion" else factor
        names = check_label(table, label=column, complete=False) if column in table else pd.Series(dtype=object)
    return names if names.notna().any() else None


def varying_factors(table: pd.DataFrame, factors: Sequence[str], label: str) -> list[str]:
    """Those of the factors of which the table knows more than one class."""
    names = {factor: class_names(table, factor, label) for factor in factors}
    return [factor for factor, own in names.items() if own is not None and len(own.dropna().unique()) > 1]


def known_classes(table: pd.DataFrame, factor: str, label: str) -> np.ndarray:
    """The :func:`class_names` of a factor; ValueError where it is known of no clip."""
    missing = f"nothing can be given {factor!r}: it is known of none of {len(table)} clips"
    return require(class_names(table, factor, label), otherwise=missing).to_numpy()


def exchange_groups(who: np.ndarray, classes: np.ndarray | None, factor: str) -> tuple[np.ndarray | None, str]:
    """Inside what clips are exchanged: subject and factor, or what of it leaves enough clips to exchange."""
    choices = [] if classes is None else [(np.column_stack([who, classes]), f"subject and {factor}"), (classes, factor)]
    for columns, named in choices or [(who, "subject")]:
        groups = cells(columns)
        if pd.Series(groups).duplicated(keep=False).mean() >= ENOUGH:
            return groups, named
    return None, ""


def dependence(features: BranchFeatures) -> pd.DataFrame:
    """Every measure of dependence between the motion and the emotion branch.

    For 500 clips of 128-d in under .3 s. The values have no null: those around 0 without dependence are the debiased
    ones (`unbiased`), the others have a level of chance that only :func:`decoupling_report` or
    :func:`permutation_test` gives.

    Parameters
    ----------
    features : BranchFeatures
        With both branches, of at least 4 clips; ``features.select(clip_ids)`` for some of the clips.

    Returns
    -------
    DataFrame
        A measure a row: ``measure, value, unbiased, n_clips, direction, reason``; `value` NaN where a branch is
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
    table = table.assign(unbiased=table["measure"].isin(UNBIASED), n_clips=len(x), direction="lower")
    return table.assign(reason=np.where(table["value"].isna(), reason, ""))


def both_branches(features: BranchFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Motion and emotion features; ValueError where the model has only one of the two."""
    missing = "these features have no {} branch; dependence is between two branches"
    motion = require(features.motion, otherwise=missing.format("motion"))
    return motion, require(features.emotion, otherwise=missing.format("emotion"))
