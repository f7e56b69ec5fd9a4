"""How far apart two clips lie in a branch: in units of unrelated clips, and among all pairs that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from medn_lab.records import constant_columns, is_constant

PairMetric = Literal["standardised", "cosine"]

TIE = 1e-6
"""Distances of pairs that differ by less are one; 1 is what unrelated clips have."""

_BLOCK = 1 << 22  # distances held at a time: 32 MB


def place_among_all(x: np.ndarray, a: np.ndarray, b: np.ndarray, *, metric: PairMetric) -> tuple[np.ndarray, ...]:
    """The distance of each pair, and the share of all pairs of clips that lie nearer.

    Parameters
    ----------
    x : (n, d) array
        Features, all finite.
    a, b : (m,) int arrays
        Rows of the pairs.
    metric : {"standardised", "cosine"}
        ``standardised``: the euclidean distance after each dimension is brought to unit variance, in units of the root
        mean square over all pairs; ``cosine``: one minus the cosine of the features about their mean. Either way 1 is
        what unrelated clips have.

    Returns
    -------
    distance, nearer : (m,) float arrays
        `nearer` in [0, 1]; a tie counts half. Both NaN where the features are constant.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    space = _space(x, metric)
    if is_constant(x):
        return np.full(len(a), np.nan), np.full(len(a), np.nan)
    first, second = np.minimum(a, b), np.maximum(a, b)
    distance = np.zeros(len(a))
    for rows, block in _blocks(space, metric):
        mine = (first >= rows.start) & (first < rows.stop)
        distance[mine] = block[first[mine] - rows.start, second[mine]]
    order = np.argsort(distance, kind="stable")
    ascending = distance[order]
    below, upto = np.zeros(len(a)), np.zeros(len(a))
    for rows, block in _blocks(space, metric):
        later = np.arange(len(x)) > np.arange(rows.start, rows.stop)[:, None]
        others = np.sort(block[later])  # each pair of clips once
        below += np.searchsorted(others, ascending - TIE, side="left")
        upto += np.searchsorted(others, ascending + TIE, side="right")
    nearer = np.empty(len(a))
    nearer[order] = 0.5 * (below + upto) / (len(x) * (len(x) - 1) / 2)
    return distance, nearer


def pair_distance(x: np.ndarray, a: np.ndarray, b: np.ndarray, *, metric: PairMetric) -> np.ndarray:
    """The distance of each pair alone, (m,), as in :func:`place_among_all`."""
    space = _space(x, metric)
    found = np.full(len(a), np.nan)
    if is_constant(x):
        return found
    step = max(1, _BLOCK // max(space.shape[1], 1))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        one, other = space[a[rows]], space[b[rows]]
        if metric == "cosine":
            found[rows] = 1 - np.einsum("ij,ij->i", one, other)
        else:
            found[rows] = np.linalg.norm(one - other, axis=1)
    return found


def nearer_controls(
    distance: np.ndarray, sets: np.ndarray, *, control_distance: np.ndarray, control_sets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each pair, the share of the controls of its AU set that lie nearer together.

    Parameters
    ----------
    distance, sets : (m,) arrays
        Of the pairs; `sets` are numbers of AU sets.
    control_distance, control_sets : (k,) arrays
        Of the controls.

    Returns
    -------
    share, n : (m,) float and int arrays
        The share is in [0, 1], a tie counts half; NaN where a set has no control. `n` counts the controls.
    """
    share, n = np.full(len(distance), np.nan), np.zeros(len(distance), dtype=int)
    order = np.lexsort((control_distance, control_sets))
    ascending, of_control = control_distance[order], control_sets[order]
    by_set = np.argsort(sets, kind="stable")
    for one in np.unique(sets):
        mine = by_set[slice(*np.searchsorted(sets[by_set], [one, one + 1]))]
        start, stop = np.searchsorted(of_control, [one, one + 1])
        n[mine] = stop - start
        if stop > start:
            of_set = ascending[start:stop]
            below = np.searchsorted(of_set, distance[mine] - TIE, side="left")
            upto = np.searchsorted(of_set, distance[mine] + TIE, side="right")
            share[mine] = 0.5 * (below + upto) / (stop - start)
    share[np.isnan(distance)] = np.nan
    return share, n


def _space(x: np.ndarray, metric: str) -> np.ndarray:
    centred = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64)
    if metric == "standardised":
        spread = centred.std(axis=0)
        alive = ~constant_columns(x)
        # All pairs of n rows with unit variance have a mean squared distance of 2 n / (n - 1) a dimension.
        unit = np.sqrt(2 * max(alive.sum(), 1) * len(x) / max(len(x) - 1, 1))
        return centred[:, alive] / spread[alive] / unit
    if metric == "cosine":
        centred = centred * ~constant_columns(x)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return centred / np.where(length > 0, length, 1.0)
    raise ValueError(f"no metric {metric!r}; there are standardised, cosine")


def _blocks(space: np.ndarray, metric: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the table of distances."""
    n = len(space)
    step = max(1, _BLOCK // max(n, 1))
    squares = (space**2).sum(axis=1)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        inner = space[rows] @ space.T
        if metric == "cosine":
            yield rows, 1 - inner
        else:
            yield rows, np.sqrt(np.maximum(squares[rows, None] + squares - 2 * inner, 0.0))
