"""What every measure asks of its two features, and the U-centred matrices that three of them share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.records import constant_columns

SMALLEST = 4
"""Fewer clips leave nothing to estimate without bias."""


class Prepared(Protocol):
    """A measure with its two features worked out, so that another order of y's rows costs little."""

    def __call__(self, order: np.ndarray) -> float:
        """The measure of x and y[order]."""


def check_pair(x: ArrayLike, y: ArrayLike, *, smallest: int = SMALLEST) -> tuple[np.ndarray, np.ndarray]:
    """Both as (n, d) float64, (n,) taken as (n, 1); ValueError unless they are finite and of the same clips."""
    pair = []
    for name, values in (("x", x), ("y", y)):
        array = np.asarray(values, dtype=np.float64)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not array.shape[1]:
            raise ValueError(f"{name} has shape {array.shape}; it must be (n clips, d)")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not numbers in {(~np.isfinite(array)).any(1).sum()} clips")
        pair.append(array)
    first, second = pair
    if len(first) != len(second):
        raise ValueError(
            f"x has {len(first)} rows but y {len(second)}; both must be of the same clips, from one call of"
            " extract_features"
        )
    if len(first) < smallest:
        raise ValueError(f"a dependence needs at least {smallest} clips, there are {len(first)}; select more")
    return first, second


def centred(x: np.ndarray) -> np.ndarray:
    """Columns with their mean taken off; a constant one becomes exactly 0."""
    moved = x - x.mean(axis=0)
    moved[:, constant_columns(x)] = 0.0
    return moved


def squared_distances(x: np.ndarray) -> np.ndarray:
    """Between all rows, (n, n), the diagonal exactly 0; equal rows are exactly 0 apart."""
    x = centred(x)
    length = np.einsum("ij,ij->i", x, x)
    squared = length[:, None] + length - 2 * (x @ x.T)
    squared[squared <= 1e-13 * (length[:, None] + length)] = 0.0
    np.fill_diagonal(squared, 0.0)
    return squared


def u_centred(matrix: np.ndarray) -> np.ndarray:
    """A symmetric matrix with rows, columns and whole taken off so that products of two are without bias.

    The diagonal is left out (and 0 in the result). References: Székely, Rizzo, 2014; Song et al., 2012.
    """
    n = len(matrix)
    off = matrix - np.diag(np.diag(matrix))
    rows = off.sum(axis=0) / (n - 2)
    result = off - rows - rows[:, None] + off.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(result, 0.0)
    return result


def double_centred(matrix: np.ndarray) -> np.ndarray:
    """A symmetric matrix with the means of rows and columns taken off: the biased way."""
    rows = matrix.mean(axis=0)
    return matrix - rows - rows[:, None] + matrix.mean()


class MatrixProduct:
    """The product of two centred (n, n) matrices, as a cosine or divided by a count."""

    def __init__(self, a: np.ndarray, b: np.ndarray, *, scale: float | None = None) -> None:
        self.a, self.b = a, b
        size = np.sqrt((a**2).sum() * (b**2).sum()) if scale is None else scale
        self.scale = size if (a.any() and b.any()) else np.nan

    def __call__(self, order: np.ndarray) -> float:
        """The product of a and b with b's rows and columns in this order."""
        return float(np.vdot(self.a, self.b[order[:, None], order]) / self.scale)
