"""Which clips lie near each other: neighbours that a map keeps, and the place of a pair among all other pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity import same_clips, unit_rows
from medn_lab.evaluate.resampling import ratio
from medn_lab.records import constant_columns, is_constant

Metric = Literal["euclidean", "cosine", "correlation"]

# Of the scale: two distances that differ by less than this are equal.
TIE = 1e-9

# Distances of pairs that differ by less count as equal; 1 is the distance of unrelated clips.
PAIR_TIE = 1e-6

_BLOCK = 1 << 22  # distances in memory at a time: 32 MB
_JUDGED_WHOLE, _SAMPLE = 5000, 2000  # clips up to which a map is judged by all of them, and how many of more


def trustworthiness(x: ArrayLike, xy: ArrayLike, *, n_neighbors: int = 5, metric: Metric = "euclidean") -> float:
    """How far the neighbours on a map are neighbours in feature space, in [0, 1]; 1 is best.

    It falls by every clip that the map puts among a clip's nearest without right, the more the farther it lies in
    feature space. A map drawn at random scores about .5 (exactly: :func:`chance_trustworthiness`), so read .5 as
    nothing, not 0. It says nothing about distances between clusters, nor whether true neighbours were torn apart: that
    is :func:`continuity`.

    Without equal distances it is scikit-learn's ``sklearn.manifold.trustworthiness``, which counts clips at equal
    distance in the order of their rows and holds all (n, n) distances and ranks in memory (40 GB for 50,000 clips);
    here they are in blocks of 32 MB. Of more than 5,000 clips, 2,000 drawn at random (seed 0) are looked at, each among
    all clips.

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
    Chance and the sample of many clips are those of trustworthiness.

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
    return 1 - (n - 1 - k) * (n - k) / ((n - 1) * (2 * n - 3 * k - 1))


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
    return float(shared_neighbours(x, y, n_neighbors=n_neighbors, metric=metric).mean())


def shared_neighbours(x: np.ndarray, y: np.ndarray, *, n_neighbors: int, metric: str) -> np.ndarray:
    """The :func:`neighbour_overlap` of each clip, (n,)."""
    if is_constant(x) or is_constant(y):
        return np.full(len(x), np.nan)
    blocks = zip(_distance_blocks(x, metric), _distance_blocks(y, metric), strict=True)
    members = ((_membership(one, n_neighbors), _membership(other, n_neighbors)) for (_, one), (_, other) in blocks)
    return np.concatenate([np.minimum(*both).sum(axis=1) for both in members]) / n_neighbors


def _kept(x: np.ndarray, y: np.ndarray, k: int, x_metric: str, y_metric: str) -> float:
    """One minus the mean share of how far the nearest in `y` lie beyond as many nearest in `x`."""
    if is_constant(x) or is_constant(y):
        return float("nan")
    shares, rows = [], np.arange(len(x))
    if len(x) > _JUDGED_WHOLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, size=_SAMPLE, replace=False))
    both = (_distance_blocks(x, x_metric, rows=rows), _distance_blocks(y, y_metric, rows=rows))
    for (_, own), (_, other) in zip(*both, strict=True):
        near = other <= np.partition(other, k - 1, axis=1)[:, k - 1 : k] + _slack_of(other)
        slack, n = _slack_of(own), len(x)
        for row, members in zip(own, near, strict=True):
            size, reach = members.sum(), row[members] - slack
            # Few are counted in less time than the row is sorted.
            nearer = np.sum(row < reach[:, None], axis=1) if size <= 50 else np.searchsorted(np.sort(row), reach)
            most = np.arange(max(n - size, size + 1), n) - size  # the same where the neighbours are the farthest of all
            if len(most):  # to a clip that all others are equally near to, no map does wrong
                shares.append(np.maximum(1 + nearer - size, 0).sum() / most.sum())
    return float(1 - np.mean(shares)) if shares else float("nan")


def _distance_blocks(
    x: np.ndarray, metric: str, *, rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of rows of the table of distances (squared where euclidean), infinite from a row to itself."""
    if metric == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
    space = x - x.mean(axis=0) if metric == "euclidean" else unit_rows(x)  # centred: keeps the squares small
    n, squares = len(space), (space**2).sum(axis=1)
    rows, step = np.arange(n) if rows is None else rows, max(1, _BLOCK // n)
    for start in range(0, len(rows), step):
        own = rows[start : start + step]
        inner = space[own] @ space.T
        distance = squares[own, None] + squares - 2 * inner if metric == "euclidean" else 1 - inner
        distance[np.arange(len(own)), own] = np.inf
        yield own, distance


def _membership(distance: np.ndarray, k: int) -> np.ndarray:
    """How far each clip is among the `k` nearest, in [0, 1]: a part of one where more are equally near than fit."""
    limit, slack = np.partition(distance, k - 1, axis=1)[:, k - 1 : k], _slack_of(distance)
    inside = distance < limit - slack
    tied = ~inside & (distance <= limit + slack)
    room = (k - inside.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.where(tied, room, inside.astype(float))


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


def nearer_controls(
    distance: np.ndarray, weights: Iterable[np.ndarray], *, sets: pd.Series, differ: np.ndarray, who: np.ndarray
) -> Iterator[tuple[np.ndarray, float]]:
    """For each weight, the share of its set's controls that lie nearer than each confusable pair, and their mean.

    A tie counts half. `who` numbers the persons of each pair, and `weight[who]` says how often the pair counts. NaN
    where no control counts.
    """
    codes, names = pd.factorize(sets)
    controls, pairs = np.flatnonzero(~differ), np.flatnonzero(differ)
    controls = controls[np.lexsort((distance[controls], codes[controls]))]
    bounds = np.searchsorted(codes[controls], np.arange(len(names) + 1))
    start, stop = bounds[codes[pairs]], bounds[codes[pairs] + 1]
    # One search for all sets: each set has its range of keys, in which no distance leaves its own.
    keys = distance + 4 * (1 + np.nan_to_num(distance).max(initial=0.0)) * codes
    below, upto = (np.searchsorted(keys[controls], keys[pairs] + tie) for tie in (-PAIR_TIE, PAIR_TIE))
    of_controls, of_pairs, known = who[controls], who[pairs], ~np.isnan(distance[pairs])
    for weight in weights:
        so_far = np.concatenate([[0.0], np.cumsum(weight[of_controls])])
        nearer, whole = 0.5 * (so_far[below] + so_far[upto]) - so_far[start], so_far[stop] - so_far[start]
        shares = ratio(nearer, np.where(known, whole, 0.0))
        counts = np.where(np.isnan(shares), 0.0, weight[of_pairs])
        yield shares, float(ratio(np.nansum(shares * counts), counts.sum()))


def share_nearer(x: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The share of all pairs of rows that lie nearer than each distance, a tie counts half; NaN where that is NaN."""
    below, upto = np.zeros((2, len(distance)))
    for rows, block in _distance_blocks(_standardised(x), "euclidean"):
        later = np.arange(len(x)) > rows[:, None]  # each pair of clips once
        others = np.sort(np.sqrt(np.maximum(block[later], 0.0)))
        below += np.searchsorted(others, distance - PAIR_TIE, side="left")
        upto += np.searchsorted(others, distance + PAIR_TIE, side="right")
    return np.where(np.isnan(distance), np.nan, 0.5 * (below + upto) / (len(x) * (len(x) - 1) / 2))


def pair_distance(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance of each pair of rows; 1 is the distance of unrelated clips, NaN that of constant features."""
    space, found = _standardised(x), np.full(len(a), np.nan)
    step = max(1, _BLOCK // max(space.shape[1], 1))
    for start in range(0, 0 if is_constant(x) else len(a), step):
        rows = slice(start, start + step)
        found[rows] = np.linalg.norm(space[a[rows]] - space[b[rows]], axis=1)
    return found


def _standardised(x: np.ndarray) -> np.ndarray:
    """Each dimension that varies at unit variance, in units of the root mean squared distance of all pairs of rows."""
    x, n = np.asarray(x, dtype=np.float64)[:, ~constant_columns(x)], len(x)
    # All pairs of n rows with unit variance have a mean squared distance of 2 n / (n - 1) a dimension.
    return (x - x.mean(axis=0)) / x.std(axis=0) / np.sqrt(2 * max(x.shape[1], 1) * n / max(n - 1, 1))
