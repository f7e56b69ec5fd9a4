"""Laying one map over another: the shift, turn and scale that fit best, and what they leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.points import finite_points
from medn_lab.records import is_constant


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
    first, second = (_standard(array, name) for array, name in ((x, "x"), (y, "y")))
    _check_rows(len(first), len(second))
    kept = np.linalg.svd(first.T @ second, compute_uv=False).sum()
    return float(np.clip(1 - kept**2, 0.0, 1.0))


def superimpose(xy: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """The map `xy` shifted, turned, mirrored and scaled so that it lies nearest on `reference`.

    Parameters
    ----------
    xy, reference : (n, 2) array-like
        The same clips on both.

    Returns
    -------
    (n, 2) float64
        In the units of `reference`.

    Raises
    ------
    ValueError
        If the rows do not agree, a value is not finite, or all points of one lie on one spot.

    Examples
    --------
    >>> reference = np.array([[0.0, 0], [1, 0], [0, 2]])
    >>> bool(np.allclose(superimpose(reference[:, ::-1] / 4 - 1, reference), reference))
    True
    """
    moved, target = _standard(xy, "xy"), _standard(reference, "reference")
    _check_rows(len(moved), len(target))
    place = np.asarray(reference, dtype=np.float64)
    left, kept, right = np.linalg.svd(moved.T @ target)
    spread = np.linalg.norm(place - place.mean(axis=0))
    return kept.sum() * spread * moved @ (left @ right) + place.mean(axis=0)


def _standard(array: ArrayLike, name: str) -> np.ndarray:
    """Centred and of unit norm."""
    points = finite_points(array, name=name)
    if is_constant(points):
        raise ValueError(f"all {len(points)} points of {name} lie on one spot, so nothing can be laid over it")
    points = points - points.mean(axis=0)
    return points / np.linalg.norm(points)


def _check_rows(first: int, second: int) -> None:
    if first != second:
        raise ValueError(f"one map has {first} rows but the other {second}; both must be the same clips")
