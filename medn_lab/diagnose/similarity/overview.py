"""All measures of the motion and the emotion branch at once, without nulls: fast enough to follow a lasso."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.similarity.cosine import absolute_cosine
from medn_lab.diagnose.similarity.distances import distance_correlation, of_distances
from medn_lab.diagnose.similarity.kernels import hsic, of_kernels
from medn_lab.diagnose.similarity.pairing import check_pair, squared_distances
from medn_lab.diagnose.similarity.partialling import partial_out
from medn_lab.diagnose.similarity.permuting import PREPARED
from medn_lab.records import BranchFeatures, constant_reason, require

MEASURES = {measure.__name__: measure for measure in PREPARED}
"""The measures of this room by their names, in the order of every table."""

UNDEFINED = "the measure has no value for these clips"


def dependence(
    features: BranchFeatures,
    *,
    clip_ids: Iterable[str] | None = None,
    factors: ArrayLike | pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every measure of dependence between the motion and the emotion branch, for all clips or a selection.

    Quick figures to look at while selecting (500 clips of 128-d in under .3 s). They have no null: those around 0
    without dependence are the debiased ones (`unbiased`), the others have a level of their own that only
    :func:`decoupling_report` or :func:`permutation_test` can tell.

    Parameters
    ----------
    features : BranchFeatures
        With both branches.
    clip_ids : iterable of str, optional
        The clips to look at; at least 4. By default all.
    factors : (n,) or (n, k) array-like or DataFrame, optional
        Taken off both branches first (:func:`partial_out`); of the clips looked at, in their order.

    Returns
    -------
    DataFrame
        A measure a row: ``measure, value, unbiased, n_clips, direction, reason``; `value` NaN where a branch is
        constant, which `reason` says; `direction` which way is better decoupled.

    Raises
    ------
    ValueError
        If a branch is missing, a clip is not here, or there are fewer than 4 clips.

    See Also
    --------
    decoupling_report : the same with nulls and leakage.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(60)], "subject": list("abcdef") * 10})
    >>> motion = rng.normal(size=(60, 4))
    >>> found = dependence(BranchFeatures(motion, motion, motion, table)).set_index("measure")["value"]
    >>> float(found["linear_cka"].round(2))
    1.0
    """
    chosen = features if clip_ids is None else features.select(clip_ids)
    x, y = both_branches(chosen)
    if factors is not None:
        x, y = partial_out(x, factors=factors), partial_out(y, factors=factors)
    reason = constant_reason({"motion": x, "emotion": y}, given="" if factors is None else "the factors")
    rows = [
        {
            "measure": name,
            "value": figure,
            "unbiased": name in ("linear_cka", "distance_correlation", "hsic", "branch_correlation"),
            "n_clips": len(x),
            "direction": "lower",
            "reason": (reason or UNDEFINED) if np.isnan(figure) else "",
        }
        for name, figure in figures(x, y).items()
    ]
    return pd.DataFrame(rows)


def figures(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The value of every measure that fits two features; the cosine needs one width."""
    x, y = check_pair(x, y)
    apart = squared_distances(x), squared_distances(y)
    shared: dict[Callable[..., Any], Callable[..., Any]] = {distance_correlation: of_distances, hsic: of_kernels}
    found = {}
    for name, measure in MEASURES.items():
        if measure is absolute_cosine and x.shape[1] != y.shape[1]:
            continue
        result = shared[measure](*apart)(np.arange(len(x))) if measure in shared else measure(x, y)
        found[name] = float(getattr(result, "value", result))
    return found


def both_branches(features: BranchFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Motion and emotion features; ValueError where the model has only one of the two."""
    told = "these features have no {} branch; dependence is between two branches"
    motion = require(features.motion, otherwise=told.format("motion"))
    return motion, require(features.emotion, otherwise=told.format("emotion"))
