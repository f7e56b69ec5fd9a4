"""Which clips lie near each other: neighbours that a map keeps, and the place of a pair among all other pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity import same_clips, unit_rows
from medn_lab.records import constant_columns, is_constant

Metric = Literal["euclidean", "cosine", "correlation"]

PairMetric = Literal["standardised", "cosine"]

# Of the scale: two distances that differ by less than this are equal.
TIE = 1e-9

# Distances of pairs that differ by less count as equal; 1 is the distance of unrelated clips.
PAIR_TIE = 1e-6

_BLOCK = 1 << 22  # distances in memory at a time: 32 MB


def trustworthiness(x: ArrayLike, xy: ArrayLike, *, n_neighbors: int = 5, metric: Metric = "euclidean") -> float:
    """How far the neighbours on a map are neighbours in feature space, in [0, 1]; 1 is best.

    It falls by every clip that the map puts among a clip's nearest without right, the more the farther it lies in
    feature space. A map drawn at random scores about .5 (exactly: :func:`chance_trustworthiness`), so read .5 as
    nothing, not 0. It says nothing about distances between clusters, nor whether true neighbours were torn apart: that
    is :func:`continuity`.

    Without equal distances it is scikit-learn's ``sklearn.manifold.trustworthiness``, which counts clips at equal
    distance in the order of their rows and holds all (n, n) distances and ranks in memory (40 GB for 50,000 clips);
    here they are in blocks of 32 MB.

    Parameters
    ----------
    x : (n, d) array-like
        Features.
    xy : (n, m) array-like
        The same clips on the map.
    n_neighbors : int
        How many nearest clips of each are looked at; at least 1, below half of the clips.
    metric : {"euclidean", "cosine", "correlation"}
        Distance in feature space; on the map it is always the euclidean one.

    Returns
    -------
    float
        Clips at equal distance count as equally near, so duplicates cost nothing: where more than `n_neighbors` are
        nearest together, all of them are the neighbourhood. NaN where one of the two is constant: a dead branch
        has no neighbours.

    Raises
    ------
    ValueError
        If the rows do not agree, a value is not finite, or there are too few clips for `n_neighbors`.

    See Also
    --------
    continuity, chance_trustworthiness, neighbour_overlap

    References
    ----------
    Venna, Kaski: "Neighborhood preservation in nonlinear projection methods", ICANN 2001.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> trustworthiness(x, x, n_neighbors=2)
    1.0
    """
    x, xy = _checked(n_neighbors, metric, x=x, xy=xy)
    return _kept(x, xy, n_neighbors, metric, "euclidean")


def continuity(x: ArrayLike, xy: ArrayLike, *, n_neighbors: int = 5, metric: Metric = "euclidean") -> float:
    """How far the neighbours in feature space are neighbours on a map, in [0, 1]; 1 is best.

    The counterpart of :func:`trustworthiness`: it falls by every neighbour that the map tears away. A map that splits
    a cluster in two has low continuity and may be trustworthy; one that lays two clusters over each other the reverse.
    Chance is that of trustworthiness.

    Parameters
    ----------
    x : (n, d) array-like
        Features.
    xy : (n, m) array-like
        The same clips on the map.
    n_neighbors : int
        How many nearest clips of each are looked at; at least 1, below half of the clips.
    metric : {"euclidean", "cosine", "correlation"}
        Distance in feature space; on the map it is always the euclidean one.

    Returns
    -------
    float
        Clips at equal distance count as equally near: of many that coincide in feature space none is nearer than the
        others, so a map may lay them out in any order, and loses only by parting them. NaN where one of the
        two is constant.

    Raises
    ------
    ValueError
        If the rows do not agree, a value is not finite, or there are too few clips for `n_neighbors`.

    See Also
    --------
    trustworthiness, chance_trustworthiness, neighbour_overlap

    References
    ----------
    Venna, Kaski: "Neighborhood preservation in nonlinear projection methods", ICANN 2001.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> continuity(x, x[::-1], n_neighbors=2)
    1.0
    """
    x, xy = _checked(n_neighbors, metric, x=x, xy=xy)
    return _kept(xy, x, n_neighbors, "euclidean", metric)


def chance_trustworthiness(n: int, *, n_neighbors: int = 5) -> float:
    """The trustworthiness, and the continuity, that a map drawn at random has on average.

    Parameters
    ----------
    n : int
        Number of clips.
    n_neighbors : int
        As given to :func:`trustworthiness`; at least 1, below half of the clips.

    Returns
    -------
    float
        About .5; exact for maps that do not depend on the features.

    Raises
    ------
    ValueError
        If there are too few clips for `n_neighbors`.

    Examples
    --------
    >>> round(chance_trustworthiness(500), 3)
    0.502
    """
    _check_neighbors(n_neighbors, n, (n - 1) // 2)
    k = n_neighbors
    # Each of the nearest on the map has a rank that is uniform on 1 ... n - 1.
    penalty = (n - 1 - k) * (n - k) / (2 * (n - 1))
    return 1 - 2 * penalty / (2 * n - 3 * k - 1)


def neighbour_overlap(x: ArrayLike, y: ArrayLike, *, n_neighbors: int = 15, metric: Metric = "euclidean") -> float:
    """The share of nearest clips that two spaces have in common, in [0, 1].

    1 when each clip has the same nearest clips in both; chance is ``n_neighbors / (n - 1)``. For two maps, two
    branches, or one branch of two checkpoints: it needs no alignment and the widths need not agree.

    Parameters
    ----------
    x, y : (n, d) and (n, e) array-like
        The same clips in both, at least two more than `n_neighbors`.
    n_neighbors : int
        How many nearest clips of each are compared.
    metric : {"euclidean", "cosine", "correlation"}
        Distance in both spaces.

    Returns
    -------
    float
        The mean over the clips. Where more clips are equally near than find room among the nearest, each counts with
        the part that there is room for, so spaces with the same ties agree. NaN where one of the two is constant.

    Raises
    ------
    ValueError
        If the rows do not agree, a value is not finite, or there are too few clips for `n_neighbors`.

    See Also
    --------
    map_stability

    Examples
    --------
    >>> x = np.arange(8.0)[:, None] ** 1.5
    >>> neighbour_overlap(x, -3 * x, n_neighbors=2)
    1.0
    """
    x, y = _checked(n_neighbors, metric, half=False, x=x, y=y)
    if is_constant(x) or is_constant(y):
        return float("nan")
    blocks = zip(_distance_blocks(x, metric), _distance_blocks(y, metric), strict=True)
    members = ((_membership(one, n_neighbors), _membership(other, n_neighbors)) for (_, one), (_, other) in blocks)
    return sum(float(np.minimum(*both).sum()) for both in members) / (len(x) * n_neighbors)


def nearest_in_order(x: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest rows of each row, nearest first and itself before all, (n, k) int32, and their distances.

    Not scikit-learn's: it sums distances in another order, and maps of the same seed would change.
    """
    places, distances = [], []
    for rows, distance in _distance_blocks(x, metric):
        own = np.arange(rows.start, rows.stop)
        distance[np.arange(len(own)), own] = -np.inf
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        far = np.take_along_axis(distance, near, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        places.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.maximum(np.take_along_axis(far, order, axis=1), 0.0))
    distance = np.concatenate(distances)
    return np.concatenate(places).astype(np.int32), np.sqrt(distance) if metric == "euclidean" else distance


def _kept(x: np.ndarray, y: np.ndarray, k: int, x_metric: str, y_metric: str) -> float:
    """One minus the mean share of how far the nearest in `y` lie beyond as many nearest in `x`."""
    n = len(x)
    if is_constant(x) or is_constant(y):
        return float("nan")
    lost, most = np.zeros(n), np.zeros(n)
    ranks = np.arange(1, n)
    for (rows, own), (_, other) in zip(_distance_blocks(x, x_metric), _distance_blocks(y, y_metric), strict=True):
        near = other <= _kth_nearest(other, k) + _slack_of(other)
        size = near.sum(axis=1)
        lost[rows] = _beyond(own, near, size, k)
        # The same where the neighbours are the farthest of all.
        far = (ranks > size[:, None]) & (ranks >= n - size[:, None])
        most[rows] = np.where(far, ranks - size[:, None], 0).sum(axis=1)
    counted = most > 0  # to a clip that all others are equally near to, no map does wrong
    return float(1 - (lost[counted] / most[counted]).mean()) if counted.any() else float("nan")


def _beyond(distance: np.ndarray, near: np.ndarray, size: np.ndarray, k: int) -> np.ndarray:
    """The sum, for each row, of how far the ranks of its `near` by `distance` lie beyond their number `size`."""
    slack = _slack_of(distance)
    lost = np.zeros(len(distance))
    plain = size == k
    for place in np.nonzero(near[plain])[1].reshape(-1, k).T:
        own = np.take_along_axis(distance[plain], place[:, None], axis=1)
        lost[plain] += np.maximum(1 + (distance[plain] < own - slack).sum(axis=1) - k, 0)
    for row in np.flatnonzero(~plain):
        rank = 1 + np.searchsorted(np.sort(distance[row]), distance[row, near[row]] - slack, side="left")
        lost[row] = np.maximum(rank - size[row], 0).sum()
    return lost


def _distance_blocks(x: np.ndarray, metric: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the table of distances (squared where euclidean), infinite from a row to itself."""
    if metric == "euclidean":
        return _blocks(x - x.mean(axis=0), angular=False)  # keeps the squares small
    return _blocks(unit_rows(x - x.mean(axis=1, keepdims=True) if metric == "correlation" else x), angular=True)


def _blocks(space: np.ndarray, *, angular: bool) -> Iterator[tuple[slice, np.ndarray]]:
    """The blocks of a space: one minus the products of its rows where angular, else their squared distances."""
    n, squares = len(space), (space**2).sum(axis=1)
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        inner = space[rows] @ space.T
        distance = 1 - inner if angular else squares[rows, None] + squares - 2 * inner
        distance[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        yield rows, distance


def _membership(distance: np.ndarray, k: int) -> np.ndarray:
    """How far each clip is among the `k` nearest, in [0, 1]: a part of one where more are equally near than fit."""
    limit, slack = _kth_nearest(distance, k), _slack_of(distance)
    inside = distance < limit - slack
    tied = ~inside & (distance <= limit + slack)
    room = (k - inside.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.where(tied, room, inside.astype(float))


def _kth_nearest(distance: np.ndarray, k: int) -> np.ndarray:
    """The distance of the `k`-th nearest, (rows, 1)."""
    return np.partition(distance, k - 1, axis=1)[:, k - 1 : k]


def _slack_of(distance: np.ndarray) -> float:
    return TIE * float(np.abs(distance[np.isfinite(distance)]).max(initial=0.0))


def _check_neighbors(k: int, n: int, most: int) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"n_neighbors is {k}; with {n} clips it can be 1 to {most}")


def _checked(k: int, metric: str, *, half: bool = True, **spaces: ArrayLike) -> list[np.ndarray]:
    """Both spaces as float64, of the same clips, with enough of them for `k` neighbours."""
    found = same_clips(**spaces)
    if metric not in get_args(Metric):
        raise ValueError(f"no metric {metric!r}; there are {', '.join(get_args(Metric))}")
    n = len(found[0])
    _check_neighbors(k, n, (n - 1) // 2 if half else n - 2)
    return found


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
        # One search for all sets: each set has its range of keys, in which no distance leaves its own.
        apart = 4 * (1 + np.nan_to_num(distance).max(initial=0.0))
        keys, own = distance[controls] + apart * sets[controls], distance[pairs] + apart * self._set_of
        self._below = np.searchsorted(keys, own - PAIR_TIE, side="left")
        self._upto = np.searchsorted(keys, own + PAIR_TIE, side="right")
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
    for rows, block in _pair_blocks(space, metric):
        mine = (first >= rows.start) & (first < rows.stop)
        distance[mine] = block[first[mine] - rows.start, second[mine]]
    order = np.argsort(distance, kind="stable")
    ascending = distance[order]
    below, upto = np.zeros(len(a)), np.zeros(len(a))
    for rows, block in _pair_blocks(space, metric):
        later = np.arange(len(x)) > np.arange(rows.start, rows.stop)[:, None]
        others = np.sort(block[later])  # each pair of clips once
        below += np.searchsorted(others, ascending - PAIR_TIE, side="left")
        upto += np.searchsorted(others, ascending + PAIR_TIE, side="right")
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
        angular = metric == "cosine"
        found[rows] = 1 - np.einsum("ij,ij->i", one, other) if angular else np.linalg.norm(one - other, axis=1)
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
    return unit_rows(centred * alive)


def _pair_blocks(space: np.ndarray, metric: str) -> Iterator[tuple[slice, np.ndarray]]:
    for rows, block in _blocks(space, angular=metric == "cosine"):
        yield rows, block if metric == "cosine" else np.sqrt(np.maximum(block, 0.0))
