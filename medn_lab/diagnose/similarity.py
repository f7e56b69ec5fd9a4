"""Measures of the dependence between two features of the same clips.

Those without bias are around 0 for independent features at any n and may fall below it. The others have a level that
grows with the widths and falls with n; read them against ``permutation_test``. All are NaN where a feature is constant;
linear CKA, distance correlation and HSIC also where U-centring leaves nothing of it (one clip alone departs).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform

from medn_lab.records import constant_columns, is_constant

SMALLEST = 4  # fewer clips leave nothing to estimate without bias
ROUNDED = 1e-13  # share that rounding leaves where U-centring leaves nothing
PENALTY = 0.1  # of the ridge on both covariances of canonical_correlations


def check_features(values: ArrayLike, *, owner: str) -> np.ndarray:
    """Features as (n, d) float64; ValueError if they have another shape or are not finite."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{owner}: the shape is {x.shape}; it must be (n clips, d)")
    if wrong := (~np.isfinite(x)).any(axis=1).sum():
        raise ValueError(f"{owner}: {wrong} of {len(x)} clips have values that are not finite; leave those clips out")
    return x


def same_clips(**features: ArrayLike) -> list[np.ndarray]:
    """Two features, checked, as (n, d) float64; ValueError unless they are of as many clips."""
    found = [check_features(values, owner=owner) for owner, values in features.items()]
    if len(found[0]) != len(found[1]):
        rows = " and ".join(f"{owner} has {len(one)} rows" for owner, one in zip(features, found, strict=True))
        raise ValueError(f"{rows}; both must be of the same clips")
    return found


def check_pair(x: ArrayLike, y: ArrayLike) -> list[np.ndarray]:
    """Both features as (n, d) float64, (n,) taken as (n, 1), of enough clips for a measure of dependence."""
    x, y = (values[:, None] if values.ndim == 1 else values for values in map(np.asarray, (x, y)))
    if len(x) < SMALLEST:
        raise ValueError(f"a dependence needs at least {SMALLEST} clips, there are {len(x)}; select more")
    return same_clips(x=x, y=y)


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment of two features of the same clips.

    The cosine between the two matrices of inner products between clips: 1 for a copy that is rotated, scaled or
    shifted, 0 where no straight line leads from one feature to the other. It weighs directions by their variance, so
    that a dependence in small directions hardly shows. This is the debiased estimate, around 0 for independent features
    at any n; the biased one is .20 for independent 8-d features of 32 clips, and .67 for 64-d ones.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. The widths need not agree.

    Returns
    -------
    float
        At most 1; lower is better decoupled. NaN if a feature is constant. Clips that are copies of each other count as
        clips.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or hold what is not a number.

    See Also
    --------
    permutation_test, canonical_correlations, hsic : the same with a Gaussian kernel.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton: "Similarity of neural network representations revisited", ICML 2019. Without bias:
    Song, Smola, Gretton, Bedo, Borgwardt: "Feature selection via dependence maximization", JMLR 2012.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 2))
    >>> round(linear_cka(x, 3 * x @ [[0.6, -0.8], [0.8, 0.6]] + 1), 6)
    1.0
    """
    return _value(linear_cka, x, y)


def distance_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Squared distance correlation of two features of the same clips, without bias.

    In the population 0 if and only if the two are independent, and 1 for a rotated, scaled or shifted copy. The
    estimate is debiased (U-centred): around 0 for independent features at any n and width, where the biased one tends
    to 1 as the widths grow, whatever the features.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. The widths need not agree.

    Returns
    -------
    float
        In [-1, 1]; lower is better decoupled. This is on the scale of a *squared* correlation. NaN if a feature is
        constant. Clips that are copies of each other count as clips.

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
    return _value(distance_correlation, x, y)


def hsic(x: ArrayLike, y: ArrayLike) -> float:
    """Hilbert-Schmidt independence criterion with Gaussian kernels, the unbiased estimate.

    In the population 0 if and only if the two are independent. Its size depends on the kernels, exp(-d^2 / (2 s^2))
    with s the median distance between clips (copies, at distance 0, left out), and means nothing by itself: read it
    against its permutation null. The estimate is around 0 for independent features and may fall below, so no root can
    be taken of it.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. The widths need not agree.

    Returns
    -------
    float
        Lower is better decoupled. NaN if a feature is constant. Clips that are copies of each other count as clips.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or hold what is not a number.

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
    return _value(hsic, x, y)


def canonical_correlations(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Correlations between paired directions of two features, regularised.

    The first is the largest correlation that any mixture of x's features has with any mixture of y's. In a sample it is
    far above 0 even for independent features (.66 for two 64-d features of 500 clips without a penalty, .58 with it),
    and high as soon as the widths add up to n: read it against its permutation null alone. The penalty, a ridge of .1
    of the mean variance on both covariances, keeps directions of little variance from being matched by chance; it also
    holds a perfect match below 1, at s / (s + .1) for a direction whose variance is s times the mean. Rotations and a
    common scale change nothing.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. Constant and copied columns do no harm.

    Returns
    -------
    (k,) float array
        In [0, 1], largest first; k is the smaller rank, 0 where a feature is constant. Lower is better decoupled. The
        first is the one value that ``permutation_test`` and ``dependence`` use.

    Raises
    ------
    ValueError
        If the rows do not fit, are fewer than 4, or hold what is not a number.

    See Also
    --------
    permutation_test

    References
    ----------
    Hotelling: "Relations between two sets of variates", 1936. The ridge: Vinod, 1976.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 2))
    >>> canonical_correlations(x, 3 * x[:, ::-1] + 1).round(1).tolist()
    [0.9, 0.9]
    """
    x, y = check_pair(x, y)
    return np.clip(np.linalg.svd(_whitened(centred(x)).T @ _whitened(centred(y)), compute_uv=False), 0.0, 1.0)


def branch_correlation(x: ArrayLike, y: ArrayLike) -> pd.DataFrame:
    """Pearson's correlation of every feature of x with every feature of y.

    The matrix shows *which* features go together, by straight lines; a rotation of either branch changes it. The mean
    of its squares is the share of variance that a single feature of one branch explains of a single feature of the
    other; for independent features that is 1 / (n - 1) in the sample, which is taken off.

    Parameters
    ----------
    x, y : (n, p), (n, q) array-like
        Features of the same clips, n >= 4; (n,) is one feature. Copied columns count as often as they are there.

    Returns
    -------
    (p, q) DataFrame
        Pearson's correlations in [-1, 1]; NaN for a column without variation. Lower is better decoupled. ``attrs``
        holds ``mean_square``, the mean of the squares without bias (at most 1, around 0 for independent features), the
        one value that ``permutation_test`` and ``dependence`` use, and ``n_clips``.

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
    >>> branch_correlation(x, -x[:, 0])[0].round(3).tolist()
    [-1.0, -0.447]
    """
    x, y = check_pair(x, y)
    a, b = (unit_rows(centred(one).T).T for one in (x, y))  # columns of length 1, of 0 where they do not vary
    found = pd.DataFrame(np.clip(a.T @ b, -1.0, 1.0)).where(np.outer(a.any(axis=0), b.any(axis=0)))
    found.attrs = {"mean_square": _value(branch_correlation, x, y), "n_clips": len(x)}
    return found


def absolute_cosine(x: ArrayLike, y: ArrayLike) -> float:
    """Mean absolute cosine between the two features of each clip.

    The orthogonal loss drives it to 0. That is not independence: two features at right angles in every clip may still
    determine each other; compare with the measures that find any dependence.

    Parameters
    ----------
    x, y : (n, d) array-like
        Features of the same clips and width, n >= 4. A clip whose feature is all 0 counts as 0.

    Returns
    -------
    float
        In [0, 1]; independent features of width d have about sqrt(2 / (pi d)). NaN if a feature is constant.

    Raises
    ------
    ValueError
        If the rows or widths do not fit, there are fewer than 4, or some are not numbers.

    See Also
    --------
    linear_cka, medn_lab.model.orthogonal_loss

    Examples
    --------
    >>> x = np.eye(4)
    >>> absolute_cosine(x, np.roll(x, 1, axis=1))  # although each determines the other
    0.0
    """
    return _value(absolute_cosine, x, y)


def measures_of(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[..., object]]:
    """The measures that fit two features, by name: the cosine needs one width."""
    return {name: one for name, one in MEASURES.items() if one is not absolute_cosine or x.shape[1] == y.shape[1]}


def figures(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The one value of each measure that fits two features, by name."""
    pair = check_pair(x, y)
    shared = cache(lambda start: [start(one) for one in pair])
    in_order = np.arange(len(pair[0]))
    return {name: _of_orders(measure, shared)(in_order) for name, measure in measures_of(*pair).items()}


def of_orders(measure: Callable[..., object], x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], float]:
    """The measure of x and y[order] as a function of the order: what each feature alone needs is computed once."""
    return _of_orders(measure, lambda start: [start(x), start(y)])


def _of_orders(measure: Callable[..., object], started: Callable[..., list[np.ndarray]]) -> Callable[..., float]:
    start, prepare, combine = PREPARED[measure]
    a, b = map(prepare, started(start))
    return lambda order: float(combine(a, b, order))


def _value(measure: Callable[..., object], x: ArrayLike, y: ArrayLike) -> float:
    x, y = check_pair(x, y)
    return of_orders(measure, x, y)(np.arange(len(x)))


def _cka_columns(x: np.ndarray) -> np.ndarray:
    """Centred columns, scaled so that their product with themselves is 1."""
    own = _u_centred_product(x, x, np.arange(len(x)))
    return x * own**-0.25 if own > ROUNDED * np.square(x).sum() ** 2 else x * np.nan


def _u_centred_product(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> float:
    """The sum of the product of two U-centred matrices of inner products: Song et al., 2012, equation 5."""
    # From covariances, as the products between many clips would fill the memory. Columns are centred, so that a clip's
    # products with all clips, itself left out, sum to minus its squared length.
    n, y = len(x), y[order]
    xx, yy = (np.einsum("ij,ij->i", one, one) for one in (x, y))
    whole = np.square(x.T @ y).sum() - xx @ yy
    return whole + xx.sum() * yy.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (xx @ yy)


def _between_clips(x: np.ndarray) -> np.ndarray:
    return pdist(centred(x))


def _distances(distances: np.ndarray) -> np.ndarray:
    found = _u_centred(squareform(distances))
    return found / np.linalg.norm(found)


def _kernel(distances: np.ndarray) -> np.ndarray:
    apart = distances[distances > 0]
    kernel = _u_centred(squareform(np.exp(-((distances / np.median(apart)) ** 2) / 2) if len(apart) else distances))
    return kernel / np.sqrt(len(kernel) * (len(kernel) - 3))


def _u_centred(matrix: np.ndarray) -> np.ndarray:
    """Rows, columns and whole taken off, the diagonal (0) left out: products of two have no bias (Song et al.)."""
    n = len(matrix)
    rows = matrix.sum(axis=0) / (n - 2)
    result = matrix - (rows - matrix.sum() / ((n - 1) * (n - 2)))
    result -= rows[:, None]
    np.fill_diagonal(result, 0.0)
    return result if np.abs(result).max() > ROUNDED * np.abs(matrix).max() else np.full((n, n), np.nan)


def _matrix_product(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> float:
    return np.vdot(a, b.take(order, axis=0).take(order, axis=1))


def _whitened(x: np.ndarray) -> np.ndarray:
    """(n, rank): the columns at right angles, shrunk by the penalty."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    kept = s > 1e-10 * s[0]
    u, squares = u[:, kept], s[kept] ** 2
    # The mean variance is over the directions that vary, so that a copied or constant column changes nothing.
    return u * np.sqrt(squares / (squares + PENALTY * squares.mean())) if len(squares) else u


def _first_correlation(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> float:
    return min(float(np.linalg.norm(a.T @ b[order], 2)), 1.0) if a.size and b.size else np.nan


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; those of length 0 stay 0."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)


def _mean_square(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> float:
    """The mean squared correlation of the columns that vary, without its bias for independent features."""
    squares = (a[:, a.any(axis=0)].T @ b[order][:, b.any(axis=0)]) ** 2
    by_chance = 1 / (len(a) - 1)
    return (squares.mean() - by_chance) / (1 - by_chance) if squares.size else np.nan


def _cosine(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> float:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x is {a.shape[1]}-d but y {b.shape[1]}-d; a cosine needs one width")
    return np.abs(np.einsum("ij,ij->i", a, b[order])).mean()


def centred(x: np.ndarray) -> np.ndarray:
    """Columns with their mean taken off; a constant one becomes exactly 0."""
    moved = x - x.mean(axis=0)
    moved[:, constant_columns(x)] = 0.0
    return moved


# Of each measure the two steps that need one feature alone (measures may share the first), and its value from both
# features, with the rows of y in an order.
Step = Callable[[np.ndarray], np.ndarray]
PREPARED: dict[Callable[..., object], tuple[Step, Step, Callable[..., float]]] = {
    linear_cka: (centred, _cka_columns, _u_centred_product),
    distance_correlation: (_between_clips, _distances, _matrix_product),
    hsic: (_between_clips, _kernel, _matrix_product),
    canonical_correlations: (centred, _whitened, _first_correlation),
    branch_correlation: (centred, lambda x: unit_rows(x.T).T, _mean_square),
    absolute_cosine: (np.asarray, lambda x: unit_rows(x) * (np.nan if is_constant(x) else 1.0), _cosine),
}

# The measures by name, in the order of every table.
MEASURES = {measure.__name__: measure for measure in PREPARED}
