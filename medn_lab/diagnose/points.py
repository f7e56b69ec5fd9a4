"""Points of a map or of a feature space, checked before they are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def finite_points(array: ArrayLike, *, name: str) -> np.ndarray:
    """The array as (n, d) float64.

    Parameters
    ----------
    array : array-like
    name : str
        What an error calls it.

    Returns
    -------
    (n, d) float64

    Raises
    ------
    ValueError
        If it has another number of axes or holds what is not finite.
    """
    points = np.asarray(array, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(f"{name} has the shape {points.shape}; one row a clip, (n, d), is needed")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise ValueError(f"{bad} of {len(points)} rows of {name} are not finite; leave those clips out")
    return points
