"""HSIC: any dependence, through a Gaussian kernel whose width is the median distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.pairing import MatrixProduct, check_pair, squared_distances, u_centred


def hsic(
    x: ArrayLike, y: ArrayLike, *, bandwidths: tuple[float, float] | None = None, normalised: bool = False
) -> float:
    """Hilbert-Schmidt independence criterion with Gaussian kernels, the unbiased estimate.

    In the population 0 if and only if the two are independent. Its size depends on the kernels and has no meaning of
    its own: read it against its permutation null, or normalised. The estimate is around 0 for independent features and
    may fall below, so no root can be taken of it.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. The widths need not agree.
    bandwidths : (float, float), optional
        Standard deviations s of the kernels exp(-d^2 / (2 s^2)) of x and y, in the features' unit. By default the
        median distance between clips, copies (distance 0) left out.
    normalised : bool
        Divide by the geometric mean of each feature's HSIC with itself: at most 1, and 1 for a rotated copy (Gaussian
        CKA without bias).

    Returns
    -------
    float
        Lower is better decoupled. NaN if a feature is constant. Clips that are copies of each other count as clips.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, hold what is not a number, or a bandwidth is not above 0.

    See Also
    --------
    permutation_test, linear_cka : with a linear kernel.

    References
    ----------
    Gretton, Bousquet, Smola, Schoelkopf: "Measuring statistical dependence with Hilbert-Schmidt norms", 2005. The
    unbiased estimate: Song et al., JMLR 2012.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 41)
    >>> hsic(x, x**2) > 0.005 > abs(hsic(x, np.random.default_rng(0).normal(size=41)))
    True
    """
    x, y = check_pair(x, y)
    if bandwidths is not None and not (len(bandwidths) == 2 and min(bandwidths) > 0):
        raise ValueError(f"bandwidths are {bandwidths}; there must be two, both above 0")
    return prepare_hsic(x, y, bandwidths=bandwidths, normalised=normalised)(np.arange(len(x)))


def prepare_hsic(
    x: np.ndarray, y: np.ndarray, *, bandwidths: tuple[float, float] | None = None, normalised: bool = False
) -> MatrixProduct:
    """The measure for other orders of y."""
    return of_kernels(squared_distances(x), squared_distances(y), bandwidths=bandwidths, normalised=normalised)


def of_kernels(
    x: np.ndarray, y: np.ndarray, *, bandwidths: tuple[float, float] | None = None, normalised: bool = False
) -> MatrixProduct:
    """The measure of two (n, n) matrices of squared distances."""
    n = len(x)
    widths = (None, None) if bandwidths is None else bandwidths
    kernels = [_kernel(squared, width) for squared, width in zip((x, y), widths, strict=True)]
    return MatrixProduct(*kernels, scale=None if normalised else n * (n - 3))


def _kernel(squared: np.ndarray, width: float | None) -> np.ndarray:
    apart = squared[np.triu_indices(len(squared), k=1)]
    apart = apart[apart > 0]
    if not len(apart):
        return np.zeros_like(squared)
    spread = (np.median(np.sqrt(apart)) if width is None else width) ** 2
    return u_centred(np.exp(-squared / (2 * spread)))
