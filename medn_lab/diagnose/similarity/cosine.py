"""The cosine between the two features of a clip: what the orthogonal loss lowers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.pairing import check_pair
from medn_lab.records import is_constant


def absolute_cosine(x: ArrayLike, y: ArrayLike) -> float:
    """Mean absolute cosine between the two features of each clip.

    The orthogonal loss drives it to 0. That is not independence: two features at right angles in every clip may still
    determine each other, and the value is here so that this can be seen beside the measures that know.

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
    x, y = check_pair(x, y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x is {x.shape[1]}-d but y {y.shape[1]}-d; a cosine needs one width")
    return PreparedCosine(x, y)(np.arange(len(x)))


class PreparedCosine:
    """Both features scaled to length 1."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = _unit(x), _unit(y)
        self.known = not (is_constant(x) or is_constant(y))

    def __call__(self, order: np.ndarray) -> float:
        """Mean absolute cosine of x and y[order]."""
        return float(np.abs(np.einsum("ij,ij->i", self.x, self.y[order])).mean()) if self.known else np.nan


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
