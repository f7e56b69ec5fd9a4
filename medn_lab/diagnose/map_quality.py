"""Whether a map can be believed: neighbours that it invents, neighbours that it tears apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.neighbourhoods import Metric, distance_blocks, kth_nearest, membership, slack_of
from medn_lab.diagnose.points import finite_points
from medn_lab.records import is_constant


def trustworthiness(x: ArrayLike, xy: ArrayLike, *, n_neighbors: int = 5, metric: Metric = "euclidean") -> float:
    """How far the neighbours on a map are neighbours in feature space, in [0, 1]; 1 is best.

    It falls by every clip that the map puts among a clip's nearest without right, the more the farther it lies in
    feature space. A map drawn at random scores about .5 (exactly: :func:`chance_trustworthiness`), so read .5 as
    nothing, not 0. It says nothing about distances between clusters, nor whether true neighbours were torn apart: that
    is :func:`continuity`.

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
    x, xy = _validate(x, xy, n_neighbors, names=("x", "xy"), metric=metric, most=_half)
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
    x, xy = _validate(x, xy, n_neighbors, names=("x", "xy"), metric=metric, most=_half)
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
    _check_neighbors(n_neighbors, n, _half)
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
    procrustes_disparity, map_stability

    Examples
    --------
    >>> x = np.arange(8.0)[:, None] ** 1.5
    >>> neighbour_overlap(x, -3 * x, n_neighbors=2)
    1.0
    """
    x, y = _validate(x, y, n_neighbors, names=("x", "y"), metric=metric, most=_all_but_two)
    if is_constant(x) or is_constant(y):
        return float("nan")
    blocks = zip(distance_blocks(x, metric), distance_blocks(y, metric), strict=True)
    common = sum(
        float(np.minimum(membership(one, n_neighbors), membership(other, n_neighbors)).sum())
        for (_, one), (_, other) in blocks
    )
    return common / (len(x) * n_neighbors)


def _kept(x: np.ndarray, y: np.ndarray, k: int, x_metric: str, y_metric: str) -> float:
    """One minus the mean share of how far the nearest in `y` lie beyond as many nearest in `x`."""
    n = len(x)
    if is_constant(x) or is_constant(y):
        return float("nan")
    lost, most = np.zeros(n), np.zeros(n)
    for (rows, own), (_, other) in zip(distance_blocks(x, x_metric), distance_blocks(y, y_metric), strict=True):
        near = other <= kth_nearest(other, k) + slack_of(other)
        size = near.sum(axis=1)
        lost[rows] = _beyond(own, near, size, k)
        most[rows] = _most_beyond(size, n)
    counted = most > 0  # to a clip that all others are equally near to, no map does wrong
    return float(1 - (lost[counted] / most[counted]).mean()) if counted.any() else float("nan")


def _beyond(distance: np.ndarray, near: np.ndarray, size: np.ndarray, k: int) -> np.ndarray:
    """The sum, for each row, of how far the ranks of its `near` by `distance` lie beyond their number `size`."""
    slack = slack_of(distance)
    lost = np.zeros(len(distance))
    plain = np.flatnonzero(size == k)
    among = distance[plain]
    for place in np.nonzero(near[plain])[1].reshape(len(plain), k).T:
        own = np.take_along_axis(among, place[:, None], axis=1)
        lost[plain] += np.maximum(1 + (among < own - slack).sum(axis=1) - k, 0)
    for row in np.flatnonzero(size != k):
        ascending = np.sort(distance[row])
        rank = 1 + np.searchsorted(ascending, distance[row, near[row]] - slack, side="left")
        lost[row] = np.maximum(rank - size[row], 0).sum()
    return lost


def _most_beyond(size: np.ndarray, n: int) -> np.ndarray:
    """What :func:`_beyond` is where the neighbours are the farthest of all."""
    ranks = np.arange(1, n)
    far = (ranks > size[:, None]) & (ranks >= n - size[:, None])
    return np.where(far, ranks - size[:, None], 0).sum(axis=1)


def _half(n: int) -> int:
    return (n - 1) // 2


def _all_but_two(n: int) -> int:
    return n - 2


def _check_neighbors(k: int, n: int, most: Callable[[int], int]) -> None:
    if most(n) < 1:
        raise ValueError(f"{n} clips have no neighbourhoods to compare; at least 3 are needed")
    if not 1 <= k <= most(n):
        raise ValueError(f"n_neighbors is {k}; with {n} clips it can be 1 to {most(n)}")


def _validate(
    x: ArrayLike, y: ArrayLike, n_neighbors: int, *, names: tuple[str, str], metric: str, most: Callable[[int], int]
) -> tuple[np.ndarray, np.ndarray]:
    arrays = [finite_points(array, name=name) for name, array in zip(names, (x, y), strict=True)]
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(
            f"{names[0]} has {len(arrays[0])} rows but {names[1]} {len(arrays[1])}; both must be the same clips"
        )
    if metric not in get_args(Metric):
        raise ValueError(f"no metric {metric!r}; there are {', '.join(get_args(Metric))}")
    _check_neighbors(n_neighbors, len(arrays[0]), most)
    return arrays[0], arrays[1]
