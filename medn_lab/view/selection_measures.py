"""Words and places of the rows of ``selection_measures``, for the explorer's table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medn_lab.view import theme
from medn_lab.view.decoupling import MEASURES as NAMES

NEEDED = ("kind", "measure", "branch", "target", "value", "chance", "reason")
NOT_ON_A_SCALE = ("hsic",)
"""Measures whose size means nothing by itself: told as numbers, drawn nowhere."""

LOWEST_AUC = 0.3
_MEASURE_COLOUR = theme.BRANCH_COLOURS["fused"]


def measure_title(row: pd.Series) -> str:
    """What a row measures, in words.

    Examples
    --------
    >>> measure_title(pd.Series({"kind": "leakage", "measure": "auc", "branch": "emotion", "target": "AUs"}))
    'AUs from the emotion branch'
    """
    if row["kind"] == "leakage":
        return f"{row['target']} from the {row['branch']} branch"
    return NAMES.get(row["measure"], str(row["measure"]))


def is_leak(row: pd.Series) -> bool:
    """Whether a row tells of a branch what the other should hold."""
    return (row["branch"], row["target"]) in (("emotion", "AUs"), ("motion", "emotion"))


def measure_colour(row: pd.Series) -> str:
    """The colour of the branch that a row is about; of the fused one where it is about both."""
    return theme.branch_colour(row["branch"]) if row["kind"] == "leakage" else _MEASURE_COLOUR


def place_of(row: pd.Series, name: str) -> float:
    """Where a figure of a row lies on its scale, in [0, 1]: dependence from 0 to 1, an AUC from .3 to 1; or NaN."""
    value = float(row[name])
    if row["measure"] in NOT_ON_A_SCALE or not np.isfinite(value):
        return np.nan
    low = LOWEST_AUC if row["kind"] == "leakage" else 0.0
    return float(np.clip((value - low) / (1 - low), 0.0, 1.0))
