"""Distances of pairs of clips in a branch, and the share of other pairs that lie nearer together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from medn_lab.records import constant_columns, is_constant

PairMetric = Literal["standardised", "cosine"]

TIE = 1e-6
"""Distances that differ by less count as equal; 1 is the distance of unrelated clips."""

_BLOCK = 1 << 22  # distances that are in memory at a time: 32 MB


class NearerControls:
    """The controls of each confusable pair that lie nearer together; a tie counts half.

    `who` numbers the persons of each pair: pairs of the same persons have the same weight.
    """

    def __init__(
        self, distance: np.ndarray, *, sets: np.ndarray, differ: np.ndarray, who: np.ndarray | None = None
    ) -> None:
        controls, pairs = np.flatnonzero(~differ), np.flatnonzero(differ)
        controls = controls[np.lexsort((distance[controls], sets[controls]))]
        bounds = np.searchsorted(sets[controls], np.arange(sets.max(initial=0) + 2))
        self._start, self._stop, self._set_of = bounds[:-1], bounds[1:], sets[pairs]
        who = np.zeros(len(distance), int) if who is None else who
        self._who_of_controls, self._who_of_pairs = who[controls], who[pairs]
        self._unknown = np.isnan(distance[pairs])
        self._below, self._upto = np.zeros(len(pairs), int), np.zeros(len(pairs), int)
        by_set = np.argsort(self._set_of, kind="stable")
        for one in np.unique(self._set_of):
            mine = by_set[slice(*np.searchsorted(self._set_of[by_set], [one, one + 1]))]
            ascending, own = distance[controls[bounds[one] : bounds[one + 1]]], distance[pairs[mine]]
            self._below[mine] = bounds[one] + np.searchsorted(ascending, own - TIE, side="left")
            self._upto[mine] = bounds[one] + np.searchsorted(ascending, own + TIE, side="right")
        self._ties = bool((self._below != self._upto).any())

    @property
    def shares(self) -> np.ndarray:
        """The share of its set's controls that lie nearer together than each pair; NaN without a control."""
        n = (self._stop - self._start)[self._set_of]
        nearer = 0.5 * (self._below + self._upto - 2 * self._start[self._set_of])
        return np.where((n > 0) & ~self._unknown, nearer / np.maximum(n, 1), np.nan)

    def mean(self, weight: np.ndarray) -> float:
        """The mean of the shares, pairs and controls weighted by `who`; NaN where no pair with a control is left."""
        so_far = np.concatenate([[0.0], np.cumsum(weight[self._who_of_controls])])
        before, whole = so_far[self._start], so_far[self._stop] - so_far[self._start]
        # A set whose controls are all gone has no weight; what is divided by there does not matter.
        of_set = np.where(whole > 0, 1 / np.where(whole > 0, whole, 1.0), 0.0)
        weight = weight[self._who_of_pairs] * (whole > 0)[self._set_of]
        total = weight.sum()
        if not total:
            return float("nan")
        nearer = so_far[self._below]
        if self._ties:
            nearer = 0.5 * (nearer + so_far[self._upto])
        return float((weight * (nearer - before[self._set_of]) * of_set[self._set_of]).sum() / total)


def place_among_all(x: np.ndarray, a: np.ndarray, b: np.ndarray, *, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each pair of rows, and the share of all pairs that lie nearer; NaN of constant features."""
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


def pair_distance(x: np.ndarray, a: np.ndarray, b: np.ndarray, *, metric: str) -> np.ndarray:
    """The distance of each pair of rows; 1 is the distance of unrelated clips, NaN that of constant features."""
    space, found = _space(x, metric), np.full(len(a), np.nan)
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


def _space(x: np.ndarray, metric: str) -> np.ndarray:
    """Features in which the metric is the euclidean distance or the cosine."""
    if metric not in get_args(PairMetric):
        raise ValueError(f"no metric {metric!r}; there are {', '.join(get_args(PairMetric))}")
    centred = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64)
    alive = ~constant_columns(x)
    if metric == "standardised":
        # All pairs of n rows with unit variance have a mean squared distance of 2 n / (n - 1) a dimension.
        unit = np.sqrt(2 * max(alive.sum(), 1) * len(x) / max(len(x) - 1, 1))
        return centred[:, alive] / centred.std(axis=0)[alive] / unit
    centred = centred * alive
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(length > 0, length, 1.0)


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
