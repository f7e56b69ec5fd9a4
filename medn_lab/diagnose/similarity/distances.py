"""Distance correlation: any dependence, straight or bent, through the distances between clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.pairing import (
    MatrixProduct,
    check_pair,
    double_centred,
    squared_distances,
    u_centred,
)


def distance_correlation(x: ArrayLike, y: ArrayLike, *, debiased: bool = True) -> float:
    """Squared distance correlation of two features of the same clips, without bias.

    In the population 0 if and only if the two are independent, and 1 for a rotated, scaled or shifted copy. The
    debiased estimate is around 0 for independent features at any n and width, and may fall below; the biased one tends
    to 1 as the widths grow, whatever the features.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. The widths need not agree.
    debiased : bool
        U-centred; otherwise the first definition (2007), of which this is the square as well.

    Returns
    -------
    float
        In [-1, 1] debiased, in [0, 1] biased; lower is better decoupled. This is on the scale of a *squared*
        correlation. NaN if a feature is constant. Clips that are copies of each other count as clips.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or hold what is not a number.

    See Also
    --------
    permutation_test, hsic

    References
    ----------
    Székely, Rizzo, Bakirov: "Measuring and testing dependence by correlation of distances", 2007. U-centred: Székely,
    Rizzo: "The distance correlation t-test of independence in high dimension", 2013.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 41)
    >>> round(distance_correlation(x, x**2), 3)  # no straight line leads there
    0.184
    """
    x, y = check_pair(x, y)
    return prepare_distance_correlation(x, y, debiased=debiased)(np.arange(len(x)))


def prepare_distance_correlation(x: np.ndarray, y: np.ndarray, *, debiased: bool = True) -> MatrixProduct:
    """The measure for other orders of y."""
    return of_distances(squared_distances(x), squared_distances(y), debiased=debiased)


def of_distances(x: np.ndarray, y: np.ndarray, *, debiased: bool = True) -> MatrixProduct:
    """The measure of two (n, n) matrices of squared distances."""
    centre = u_centred if debiased else double_centred
    return MatrixProduct(*(centre(np.sqrt(one)) if one.any() else np.zeros_like(one) for one in (x, y)))
