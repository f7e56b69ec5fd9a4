"""The permutation test: what a measure says of the same features when they are not of the same clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
        Share of the permutations, the truth counted as one of them, with a value as large; at least
        1 / (n_permutations + 1). NaN where the measure has no value.
    n_clips, n_groups : int
        Clips were exchanged inside each group alone.
    n_movable : int
        Clips in groups of two or more; the others stayed in their place.
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
    p_value: float
    n_clips: int
    n_groups: int
    n_movable: int
    reason: str = ""

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
        return (
            f"{self.value:.3g} where {len(self.null)} permutations{inside} give {self.null_mean:.3g} (95% below"
            f" {self.null_95:.3g}), p = {self.p_value:.3g} ({self.n_clips} clips)"
        )


def permutation_test(
    measure: Callable[..., object],
    x: ArrayLike,
    y: ArrayLike,
    *,
    seed: int = 0,
    n_permutations: int = 999,
    groups: ArrayLike | pd.DataFrame | None = None,
) -> PermutationTest:
    """Whether a measure is larger than it would be by chance.

    The clips of y are exchanged and the measure taken again. Where clips resemble each other for a reason that is not
    in question (they are of one subject, of one emotion), exchange them inside its `groups` alone: two branches that
    each know who is filmed depend on each other through the subject, and permuting everything would call that a
    coupling. Then p tells of dependence *within* the groups, and is uniform on [0, 1] where there is none.

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

    Returns
    -------
    PermutationTest
        Value, p and null are NaN where x or y is constant, which `reason` says.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or no group has two clips.

    See Also
    --------
    partial_out : takes off what the groups explain, so that the value itself is without them too.
    medn_lab.view.plot_dependence

    References
    ----------
    Phipson, Smyth: "Permutation p-values should never be zero", 2010.

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
    still = [name for name, values in (("x", x), ("y", y)) if is_constant(values)]
    if still:
        reason = f"{' and '.join(still)} {'are' if len(still) > 1 else 'is'} constant"
        return PermutationTest(np.nan, np.full(n_permutations, np.nan), np.nan, n, len(sizes), movable, reason)
    of_order = PREPARED[measure](x, y) if measure in PREPARED else lambda order: _figure(measure(x, y[order]))
    value = of_order(np.arange(n))
    null = np.array([of_order(order) for order in _orders(place, n_permutations, seed)])
    p_value = np.nan
    if np.isfinite(value):
        p_value = float((1 + (null >= value - 1e-12 * max(1.0, abs(value))).sum()) / (1 + n_permutations))
    return PermutationTest(float(value), null, p_value, n, len(sizes), movable)


def _orders(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Random orders of the rows, (count, n), each row replaced by one of its group."""
    generator = np.random.default_rng(seed)
    by_group = np.argsort(groups, kind="stable")
    orders = np.empty((count, len(groups)), dtype=int)
    for order in orders:
        order[by_group] = np.lexsort((generator.random(len(groups)), groups))
    return orders


def _figure(result: Any) -> float:
    return float(getattr(result, "value", result))
