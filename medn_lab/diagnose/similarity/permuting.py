"""The permutation test: a measure of two features, and its values where the clips of one are exchanged or shifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.alignment import linear_cka, prepare_linear_cka
from medn_lab.diagnose.similarity.canonical import canonical_correlations, prepare_canonical_correlations
from medn_lab.diagnose.similarity.correlation import branch_correlation, prepare_branch_correlation
from medn_lab.diagnose.similarity.cosine import PreparedCosine, absolute_cosine
from medn_lab.diagnose.similarity.distances import distance_correlation, prepare_distance_correlation
from medn_lab.diagnose.similarity.kernels import hsic, prepare_hsic
from medn_lab.diagnose.similarity.pairing import Prepared, check_pair
from medn_lab.diagnose.similarity.partialling import cells
from medn_lab.records import is_constant

PREPARED: dict[Callable, Callable[[np.ndarray, np.ndarray], Prepared]] = {
    linear_cka: prepare_linear_cka,
    distance_correlation: prepare_distance_correlation,
    hsic: prepare_hsic,
    canonical_correlations: prepare_canonical_correlations,
    branch_correlation: prepare_branch_correlation,
    absolute_cosine: PreparedCosine,
}
"""Measures whose work on the two features is done once for all permutations."""


Scheme = Literal["exchange", "shift"]
"""How clips change places inside a group: at random, or all by one circular shift of their order."""


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A measure and its values for features that are not of the same clips.

    Attributes
    ----------
    value : float
        Of the features as they are.
    null : (n_permutations,) float array
        Of the features with y's clips exchanged.
    p_value : float
        Share of the permutations, the truth counted as one of them, with a value as large. NaN where the measure has
        no value.
    n_clips, n_groups : int
        Clips were exchanged inside each group alone.
    n_movable : int
        Clips in groups of two or more; the others stayed in their place.
    reason : str
        Why there is no value; empty where there is one.
    scheme : {"exchange", "shift"}
        How the clips changed places.
    smallest_p : float
        The smallest p that so many permutations, and so many different ones, can reach.

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
    p_value: float
    n_clips: int
    n_groups: int
    n_movable: int
    reason: str = ""
    scheme: Scheme = "exchange"
    smallest_p: float = 0.0

    @property
    def null_mean(self) -> float:
        """Mean of the null; above 0 it is what the groups alone make of the measure."""
        return float(self.null.mean())

    @property
    def null_95(self) -> float:
        """95th percentile of the null: values above it are found significant at .05."""
        return float(np.quantile(self.null, 0.95))

    def __repr__(self) -> str:
        if self.reason:
            return f"permutation test: no value, because {self.reason} ({self.n_clips} clips)"
        inside = f" inside {self.n_groups} groups" if self.n_groups > 1 else ""
        moves, smallest = "permutations", ""
        if self.scheme == "shift":
            moves, smallest = "circular shifts", f"; the smallest possible p is {self.smallest_p:.2g}"
        return (
            f"{self.value:.3g} where {len(self.null)} {moves}{inside} give {self.null_mean:.3g} (95% below"
            f" {self.null_95:.3g}), p = {self.p_value:.3g} ({self.n_clips} clips){smallest}"
        )


def permutation_test(
    measure: Callable[..., object],
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
    each know who is filmed depend on each other through the subject, and permuting everything would call that a
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
        Of ``(x, y)``, large where they depend: one of this room, or any function that returns a float or an object
        with a ``value``. This room's own are worked out once and take about 1 ms a permutation for 500 clips.
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature.
    seed : int
    n_permutations : int
        At least 1; p cannot be smaller than 1 / (n_permutations + 1).
    groups : (n,) or (n, k) array-like or DataFrame, optional
        Clips that agree in every column may be exchanged.
    scheme : {"exchange", "shift"}
        ``exchange`` gives the clips of a group any order. ``shift`` moves all clips of a group by one number of places,
        the last ones to the front, a number for each group; the rows of a group must be in their order in time.

    Returns
    -------
    PermutationTest
        Value, p and null are NaN where x or y is constant, which `reason` says.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, no group has two clips, `scheme` is another word, or there are fewer
        than 20 different shifts, so that p could not be .05 or less.

    See Also
    --------
    partial_out : takes off what the groups explain, so that the value itself is without them too.
    medn_lab.view.plot_dependence

    References
    ----------
    Phipson, Smyth: "Permutation p-values should never be zero", 2010. On shifts: Harris, "Nonsense correlations in
    neuroscience", 2020.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> permutation_test(linear_cka, x, x[:, ::-1], n_permutations=99).p_value
    0.01
    """
    x, y = check_pair(x, y)
    if n_permutations < 1:
        raise ValueError(f"a permutation test needs at least 1 permutation, {n_permutations} were asked for")
    n = len(x)
    place = np.zeros(n, dtype=int) if groups is None else cells(groups)
    if len(place) != n:
        raise ValueError(f"x has {n} rows but groups {len(place)}; both must be of the same clips")
    sizes = np.bincount(place)
    movable = int(sizes[sizes > 1].sum())
    if not movable:
        raise ValueError(f"none of the {len(sizes)} groups has two clips, so none can be exchanged; use coarser groups")
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}; it must be one of {', '.join(get_args(Scheme))}")
    smallest_p = 1 / (1 + n_permutations)
    if scheme == "shift":
        different = float(np.exp(min(np.log(sizes).sum(), 50.0)))
        smallest_p = max(smallest_p, 1 / different)
        if different < 19.5:
            raise ValueError(
                f"there are {different:.0f} different shifts inside {len(sizes)} groups, so p cannot be below"
                f" {1 / different:.2g}; give groups of more clips, or exchange them"
            )
    still = [name for name, values in (("x", x), ("y", y)) if is_constant(values)]
    if still:
        reason = f"{' and '.join(still)} {'are' if len(still) > 1 else 'is'} constant"
        return PermutationTest(
            np.nan, np.full(n_permutations, np.nan), np.nan, n, len(sizes), movable, reason, scheme, smallest_p
        )
    of_order = PREPARED[measure](x, y) if measure in PREPARED else lambda order: _figure(measure(x, y[order]))
    value = of_order(np.arange(n))
    null = np.array([of_order(order) for order in _orders(place, n_permutations, seed, scheme)])
    p_value = np.nan
    if np.isfinite(value):
        p_value = float((1 + (null >= value - 1e-12 * max(1.0, abs(value))).sum()) / (1 + n_permutations))
    return PermutationTest(float(value), null, p_value, n, len(sizes), movable, "", scheme, smallest_p)


def _orders(groups: np.ndarray, count: int, seed: int, scheme: Scheme) -> np.ndarray:
    """Random orders of the rows, (count, n), each row replaced by one of its group."""
    generator = np.random.default_rng(seed)
    by_group = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)  # where the group of each row of by_group starts
    own, size = np.arange(len(groups)) - first, np.repeat(sizes, sizes)
    orders = np.empty((count, len(groups)), dtype=int)
    for order in orders:
        if scheme == "shift":
            order[by_group] = by_group[first + (own + np.repeat(generator.integers(sizes), sizes)) % size]
            continue
        order[by_group] = np.lexsort((generator.random(len(groups)), groups))
    return orders


def _figure(result: Any) -> float:
    return float(getattr(result, "value", result))
