"""The one definition of a constant feature: a branch that gives every clip the same is dead, not decoupled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 64 * float(np.finfo(np.float32).eps)
"""Relative to the largest value: networks compute in float32, so differences below this are rounding."""


def constant_columns(values: ArrayLike, *, size: ArrayLike = 0.0) -> np.ndarray:
    """Which columns of a feature are the same for all clips, but for rounding.

    Networks compute in float32. A column is constant where it departs from its mean by no more than 64 roundings of
    its largest value (7.6e-6 of it). All columns are constant where none departs by more than that of the largest value
    of the whole feature. So 3.0 with noise of 4e-7 is constant, and values of the size 1e-6 that differ are not.

    Parameters
    ----------
    values : (n, ...) array-like
        A row a clip; further axes are flattened. Values that are not finite do not count.
    size : float or (d,) array-like
        Largest absolute values that the rounding comes from, where `values` is what is left of larger ones.

    Returns
    -------
    (d,) bool array

    See Also
    --------
    is_constant, constant_reason

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(30, 2))
    >>> constant_columns(3.0 + 4e-7 * noise).tolist(), constant_columns(1e-6 * noise).tolist()
    ([True, True], [False, False])
    """
    x = np.asarray(values)
    x = x.reshape(len(x), -1 if x.size else 0)
    kept = np.where(np.isfinite(x), x, np.nan).astype(np.float64)
    count = np.isfinite(kept).sum(axis=0)
    mean = np.nansum(kept, axis=0) / np.maximum(count, 1)
    apart = np.nan_to_num(np.abs(kept - mean)).max(axis=0, initial=0.0)
    largest = np.nan_to_num(np.abs(kept)).max(axis=0, initial=0.0)
    largest = np.maximum(largest, size)
    return (apart <= ROUNDING * largest) | bool((apart <= ROUNDING * largest.max(initial=0.0)).all())


def is_constant(values: ArrayLike) -> bool:
    """Whether a feature is the same for all clips, but for rounding: :func:`constant_columns` for all columns.

    Parameters
    ----------
    values : (n, ...) array-like
        A row a clip.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_constant(np.ones((5, 3))), is_constant(np.eye(5))
    (True, False)
    """
    return bool(constant_columns(values).all())


def constant_reason(features: Mapping[str, ArrayLike | None], *, given: str = "") -> str:
    """Why a measure of these branches has no value; empty where none is constant.

    Parameters
    ----------
    features : mapping of str to (n, d) array-like or None
        By the name of the branch or the layer.
    given : str
        The factor that was taken off the features.

    Returns
    -------
    str

    Examples
    --------
    >>> constant_reason({"motion": np.eye(5), "emotion": np.ones((5, 3))})
    'the emotion branch is constant'
    """
    found = [
        f"the {name} branch" if name in ("motion", "emotion", "fused") else f"the layer {name}"
        for name, values in features.items()
        if values is not None and is_constant(values)
    ]
    if not found:
        return ""
    return f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} constant" + (f" given {given}" if given else "")
