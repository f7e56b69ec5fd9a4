"""Whether a map can be believed: neighbours that it invents or tears apart, and what two maps have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity import check_features
from medn_lab.records import is_constant

Metric = Literal["euclidean", "cosine", "correlation"]

TIE = 1e-9
"""Of the scale: two distances that differ by less than this are equal."""

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
    x, xy = _checked({"x": x, "xy": xy}, n_neighbors, metric)
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
    x, xy = _checked({"x": x, "xy": xy}, n_neighbors, metric)
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
    procrustes_disparity, map_stability

    Examples
    --------
    >>> x = np.arange(8.0)[:, None] ** 1.5
    >>> neighbour_overlap(x, -3 * x, n_neighbors=2)
    1.0
    """
    x, y = _checked({"x": x, "y": y}, n_neighbors, metric, half=False)
    if is_constant(x) or is_constant(y):
        return float("nan")
    blocks = zip(_distance_blocks(x, metric), _distance_blocks(y, metric), strict=True)
    members = ((_membership(one, n_neighbors), _membership(other, n_neighbors)) for (_, one), (_, other) in blocks)
    return sum(float(np.minimum(*both).sum()) for both in members) / (len(x) * n_neighbors)


def procrustes_disparity(x: ArrayLike, y: ArrayLike) -> float:
    """What is left between two maps after the best shift, rotation, reflection and scale, in [0, 1].

    0 when one is a shifted, turned and scaled copy of the other; near 1 when they have nothing in common. It is a share
    of the squared spread, and symmetric. A cluster that changed places with another counts in full although each
    neighbourhood is whole, so read it beside :func:`neighbour_overlap`.

    Parameters
    ----------
    x, y : (n, d) and (n, e) array-like
        The same clips on both; the narrower one is filled up with zeros.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the rows do not agree, a value is not finite, or all points of one lie on one spot.

    See Also
    --------
    neighbour_overlap, map_stability

    References
    ----------
    Gower: "Generalized Procrustes analysis", Psychometrika 1975.

    Examples
    --------
    >>> x = np.array([[0.0, 0], [1, 0], [0, 2]])
    >>> round(procrustes_disparity(x, 3 * x[:, ::-1] + 5), 6)
    0.0
    """
    return float(np.clip(_procrustes({"x": x, "y": y})[1], 0.0, 1.0))


def superimpose(xy: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """The map `xy` shifted, turned, mirrored and scaled so that it lies nearest on `reference`, in its units."""
    fitted, _ = _procrustes({"reference": reference, "xy": xy})
    target = np.asarray(reference, dtype=np.float64)
    centre = target.mean(axis=0)
    return fitted * np.linalg.norm(target - centre) + centre


def _procrustes(maps: dict[str, ArrayLike]) -> tuple[np.ndarray, float]:
    """The second map on the first one with norm 1, and the squared distances that are left."""
    from scipy.spatial import procrustes

    first, second = points = [check_features(values, owner=name) for name, values in maps.items()]
    if len(first) != len(second):
        raise ValueError(f"one map has {len(first)} rows but the other {len(second)}; both must be of the same clips")
    for name, values in zip(maps, points, strict=True):
        if is_constant(values):
            raise ValueError(f"all {len(values)} points of {name} lie on one spot, so nothing can be laid over it")
    width = max(values.shape[1] for values in points)
    _, fitted, left = procrustes(*(np.pad(values, ((0, 0), (0, width - values.shape[1]))) for values in points))
    return fitted, left


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
    plain = np.flatnonzero(size == k)
    among = distance[plain]
    for place in np.nonzero(near[plain])[1].reshape(len(plain), k).T:
        own = np.take_along_axis(among, place[:, None], axis=1)
        lost[plain] += np.maximum(1 + (among < own - slack).sum(axis=1) - k, 0)
    for row in np.flatnonzero(size != k):
        rank = 1 + np.searchsorted(np.sort(distance[row]), distance[row, near[row]] - slack, side="left")
        lost[row] = np.maximum(rank - size[row], 0).sum()
    return lost


def _distance_blocks(x: np.ndarray, metric: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the table of distances (squared where euclidean), infinite from a row to itself."""
    n = len(x)
    if metric == "euclidean":
        x = x - x.mean(axis=0)  # keeps the squares below small
        squares = (x**2).sum(axis=1)
    else:
        x = x - x.mean(axis=1, keepdims=True) if metric == "correlation" else x
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(length > 0, length, 1.0)
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        inner = x[rows] @ x.T
        distance = squares[rows, None] + squares - 2 * inner if metric == "euclidean" else 1 - inner
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
    if most < 1:
        raise ValueError(f"{n} clips have no neighbourhoods to compare; at least 3 are needed")
    if not 1 <= k <= most:
        raise ValueError(f"n_neighbors is {k}; with {n} clips it can be 1 to {most}")


def _checked(spaces: dict[str, ArrayLike], k: int, metric: str, *, half: bool = True) -> list[np.ndarray]:
    """Both spaces as float64, of the same clips, with enough of them for `k` neighbours."""
    first, second = arrays = [check_features(values, owner=name) for name, values in spaces.items()]
    if len(first) != len(second):
        one, other = spaces
        raise ValueError(f"{one} has {len(first)} rows but {other} {len(second)}; both must be of the same clips")
    if metric not in get_args(Metric):
        raise ValueError(f"no metric {metric!r}; there are {', '.join(get_args(Metric))}")
    _check_neighbors(k, len(first), (len(first) - 1) // 2 if half else len(first) - 2)
    return arrays
