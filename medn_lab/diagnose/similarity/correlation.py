"""Plain correlation between every feature of one branch and every feature of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.pairing import centred, check_pair


@dataclass(frozen=True, eq=False)
class BranchCorrelation:
    """Every feature of x against every feature of y.

    Attributes
    ----------
    matrix : (p, q) float array
        Pearson's correlation in [-1, 1]; NaN for a feature without variation.
    mean_square : float
        Mean of the squared correlations with its bias taken off: around 0 (and as often below) for independent
        features, at most 1. NaN where nothing varies. This is what ``permutation_test`` tests.
    mean_abs, max_abs : float
        Mean and largest absolute correlation, biased: sqrt(2 / (pi n)) for one pair of independent features, and more
        for the largest of many.
    n_clips : int
    n_constant : int
        Features of either branch that do not vary.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> found = branch_correlation(x, x)
    >>> found.matrix.shape, round(found.max_abs, 3)
    ((3, 3), 1.0)
    """

    matrix: np.ndarray
    mean_square: float
    mean_abs: float
    max_abs: float
    n_clips: int
    n_constant: int

    @property
    def value(self) -> float:
        """The one figure that stands for the matrix: `mean_square`."""
        return self.mean_square

    def __repr__(self) -> str:
        p, q = self.matrix.shape
        if not np.isfinite(self.mean_square):
            return f"branch correlation {p} x {q}: none, because a feature is constant ({self.n_clips} clips)"
        return (
            f"branch correlation {p} x {q}: mean square {self.mean_square:.4f} (bias taken off), mean absolute"
            f" {self.mean_abs:.3f}, largest {self.max_abs:.3f} ({self.n_clips} clips, {self.n_constant} constant)"
        )


def branch_correlation(x: ArrayLike, y: ArrayLike) -> BranchCorrelation:
    """Pearson's correlation of every feature of x with every feature of y.

    The matrix shows *which* features go together; a rotation of either branch changes it. It sees straight lines alone.
    The mean of its squares is the share of variance that a single feature of one branch explains of a single feature of
    the other; for independent features that is 1 / (n - 1) in the sample, which is taken off.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. Copied columns count as often as they are there.

    Returns
    -------
    BranchCorrelation
        Lower is better decoupled.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or hold what is not a number.

    See Also
    --------
    linear_cka : does not depend on the axes.
    permutation_test, medn_lab.view.plot_branch_correlation

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]])
    >>> branch_correlation(x, -x[:, 0]).matrix.round(3).tolist()
    [[-1.0], [-0.447]]
    """
    x, y = check_pair(x, y)
    a, b = unit_columns(x), unit_columns(y)
    matrix = np.clip(a.T @ b, -1.0, 1.0)
    dead_x, dead_y = ~a.any(axis=0), ~b.any(axis=0)
    matrix[dead_x], matrix[:, dead_y] = np.nan, np.nan
    told = np.abs(matrix[np.isfinite(matrix)])
    n = len(x)
    mean_square = _unbiased(float((told**2).mean()), n) if len(told) else np.nan
    mean_abs, max_abs = (float(told.mean()), float(told.max())) if len(told) else (np.nan, np.nan)
    return BranchCorrelation(matrix, mean_square, mean_abs, max_abs, n, int(dead_x.sum() + dead_y.sum()))


def prepare_branch_correlation(x: np.ndarray, y: np.ndarray) -> PreparedCorrelation:
    """The measure of ``branch_correlation(x, y).value`` for other orders of y."""
    return PreparedCorrelation(unit_columns(x), unit_columns(y))


class PreparedCorrelation:
    """Unit columns of both features, those without variation left out."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.a, self.b = a[:, a.any(axis=0)], b[:, b.any(axis=0)]

    def __call__(self, order: np.ndarray) -> float:
        """Mean squared correlation of x and y[order], its bias taken off."""
        if not (self.a.size and self.b.size):
            return np.nan
        return _unbiased(float(((self.a.T @ self.b[order]) ** 2).mean()), len(self.a))


def unit_columns(x: np.ndarray) -> np.ndarray:
    """Centred columns of length 1; 0 where a column does not vary."""
    moved = centred(x)
    length = np.sqrt((moved**2).sum(axis=0))
    return moved / np.where(length > 0, length, 1.0)


def _unbiased(mean_square: float, n: int) -> float:
    return (mean_square - 1 / (n - 1)) / (1 - 1 / (n - 1))
