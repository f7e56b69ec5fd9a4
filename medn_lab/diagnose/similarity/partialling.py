"""Take off what a known factor explains: two branches may share the emotion class without being coupled otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.pairing import centred
from medn_lab.records import constant_columns


def partial_out(features: ArrayLike, *, factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The part of a feature that its mean at each value of some factors does not explain.

    With one factor of names (emotion class, AU set, subject) every clip's feature has the mean of its class taken off.
    With several the means are fitted together, without their interactions; columns of numbers (AUs as 0/1) act as they
    are. A measure of the two branches' rests is a *partial* dependence: what they share beyond the factors. Its
    permutation null must keep the factors, so give ``permutation_test`` the same factors as `groups`.

    Only means are removed: a factor that changes the spread of both branches still shows in ``distance_correlation``
    and ``hsic``.

    Parameters
    ----------
    features : (n, d) array-like
        (n,) is one feature.
    factors : (n,) or (n, k) array-like, or DataFrame
        Of the same clips. Names (or None for unknown, a class of its own) or numbers, a column a factor.

    Returns
    -------
    (n, d) float64
        Uncorrelated with every factor. A class of a single clip leaves exactly 0 of it.

    Raises
    ------
    ValueError
        If the rows do not fit or a numeric factor is not finite.

    See Also
    --------
    permutation_test, decoupling_report

    Examples
    --------
    >>> partial_out([1.0, 3.0, 10.0, 14.0], factors=["a", "a", "b", "b"]).ravel().tolist()
    [-1.0, 1.0, -2.0, 2.0]
    """
    x = np.asarray(features, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    columns = list(factor_columns(factors))
    if columns and len(columns[0]) != len(x):
        raise ValueError(f"features have {len(x)} rows but factors {len(columns[0])}; both must be of the same clips")
    moved = centred(x)
    if len(columns) == 1 and columns[0].dtype == object:
        _, place = np.unique(columns[0], return_inverse=True)
        count = np.bincount(place)
        for column in moved.T:
            column -= (np.bincount(place, weights=column) / count)[place]
    elif columns:
        design = centred(np.column_stack([_indicators(column) for column in columns]))
        u, s, _ = np.linalg.svd(design, full_matrices=False)
        u = u[:, s > 1e-10 * s[0]] if s[0] > 0 else u[:, :0]
        moved = moved - u @ (u.T @ moved)
    # What is left of a feature that the factors explain fully is rounding.
    moved[:, constant_columns(moved, size=np.abs(x).max(axis=0, initial=0.0))] = 0.0
    return moved


def cells(factors: ArrayLike | pd.DataFrame) -> np.ndarray:
    """The rows that agree in every factor, as one number a row, (n,) int from 0."""
    columns = list(factor_columns(factors))
    place = np.zeros(len(columns[0]), dtype=int)
    for column in columns:
        _, own = np.unique(column, return_inverse=True)
        _, place = np.unique(place * (own.max() + 1) + own, return_inverse=True)
    return place


def factor_columns(factors: ArrayLike | pd.DataFrame) -> Iterator[np.ndarray]:
    """Each factor as an array: of float where it is numbers, else of text as objects."""
    table = factors if isinstance(factors, pd.DataFrame) else pd.DataFrame(np.asarray(factors))
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if not np.isfinite(values).all():
                raise ValueError(f"factor {name!r} is not known of {(~np.isfinite(values)).sum()} clips")
            yield values
        else:
            text = column.astype(object).where(column.notna(), "")
            yield text.map(str).to_numpy(dtype=object)


def _indicators(column: np.ndarray) -> np.ndarray:
    if column.dtype != object:
        return column[:, None]
    names, place = np.unique(column, return_inverse=True)
    return np.eye(len(names))[place]
