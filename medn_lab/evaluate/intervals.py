"""How far a handful of subjects lets a score be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medn_lab.evaluate.metrics import accuracy, true_and_predicted
from medn_lab.evaluate.resampling import class_statistic, draw_subjects
from medn_lab.records import Predictions


@dataclass(frozen=True)
class Interval:
    """A score and the interval that its subjects leave open.

    Attributes
    ----------
    value : float
        The score of all clips pooled.
    low, high : float
        Percentile bounds over resampled subjects.
    level : float
        Coverage aimed at, such as 0.95.
    n_clips, n_subjects : int

    Examples
    --------
    >>> Interval(0.8, 0.7, 0.9, level=0.95, n_clips=120, n_subjects=8)
    0.800 [0.700, 0.900] (95%, 8 subjects, 120 clips)
    """

    value: float
    low: float
    high: float
    level: float
    n_clips: int
    n_subjects: int

    def __repr__(self) -> str:
        return (
            f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {self.n_subjects} subjects,"
            f" {self.n_clips} clips)"
        )


def bootstrap_interval(
    predictions: Predictions,
    *,
    measure: Callable[[np.ndarray, np.ndarray], float] = accuracy,
    label: str = "label",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A score with an interval from resampling whole subjects.

    Clips of one person resemble each other, so persons and not clips are drawn with replacement; with the field's 16 to
    30 subjects the interval is wide, and should be shown. It speaks of other persons met under the same conditions, not
    of another data set and not of another training run. With 16 or more persons a 95% interval covers what it should
    (.94 in a simulation); with 8 it is too narrow (.90).

    Parameters
    ----------
    predictions : Predictions
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, or any function of (true, predicted). The three are fast; any other
        is called once a resample.
    label : str
        Column of the true class.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than 2 subjects: nothing can be resampled.

    See Also
    --------
    compare_predictions : the difference of two models on the same clips, which is surer than two intervals suggest.

    References
    ----------
    Efron, Tibshirani: "An Introduction to the Bootstrap", 1993, chapters 8 and 13.

    Examples
    --------
    ``bootstrap_interval(predictions, measure=medn.evaluate.uf1)`` prints as ``0.912 [0.871, 0.949] (95%, ...)``.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "label": list("xyxyxy")})
    >>> said = Predictions(np.eye(2)[[0, 1, 0, 1, 1, 1]], table, ("x", "y"))
    >>> bootstrap_interval(said)
    0.833 [0.500, 1.000] (95%, 3 subjects, 6 clips)
    """
    true, predicted = true_and_predicted(predictions, label=label)
    draws = draw_subjects(predictions.table, n_resamples=n_resamples, level=level, seed=seed)
    low, high = draws.bounds(class_statistic(measure, true, predicted, draws=draws)(draws.counts))
    return Interval(measure(true, predicted), low, high, level, len(true), len(draws.names))
