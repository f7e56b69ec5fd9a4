"""Resampling whole subjects: one set of draws, from which every interval of this room is read.

Clips of one person resemble each other, so persons are drawn with replacement and not clips. What is drawn is only *how
often each person counts*; a statistic that can be summed by person then needs no look at the clips again, and two
models are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.evaluate.metrics import FROM_COUNTS
from medn_lab.records import people

Statistic = Callable[[np.ndarray], np.ndarray]
"""From how often each person counts, (r, n_people) float, to a figure for each of r resamples; NaN if undefined."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Persons drawn with replacement, many times.

    Attributes
    ----------
    counts : (n_resamples, n_people) float
        How often each person counts; a row sums to the number of people.
    person : (n,) int
        Which person is in each row of the table.
    names : tuple of str
        The people, as ``dataset/subject``.
    level : float
        Coverage of the intervals read from these draws.
    """

    counts: np.ndarray
    person: np.ndarray
    names: tuple[str, ...]
    level: float

    def __repr__(self) -> str:
        return f"{len(self.counts)} resamples of {len(self.names)} people"

    def all_once(self) -> np.ndarray:
        """Every person counted once, (1, n_people): what the sample itself is."""
        return np.ones((1, len(self.names)))

    def bounds(self, values: np.ndarray) -> tuple[float, float]:
        """Percentile bounds of a statistic's values over the resamples, undefined ones left out; NaN if all are."""
        defined = values[~np.isnan(values)]
        if not len(defined):
            return np.nan, np.nan
        low, high = np.quantile(defined, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)


def draw_subjects(table: pd.DataFrame, *, n_resamples: int, level: float, seed: int) -> Draws:
    """Draw people with replacement, as many as there are, `n_resamples` times.

    Parameters
    ----------
    table : DataFrame
        With ``subject`` and, where it has several data sets, ``dataset``.
    n_resamples : int
        At least 1.
    level : float
        Coverage of the intervals, in (0, 1).
    seed : int

    Returns
    -------
    Draws

    Raises
    ------
    ValueError
        If there are fewer than 2 people, or `level` or `n_resamples` is out of its range.
    """
    if not 0 < level < 1 or n_resamples < 1:
        raise ValueError(f"level must be in (0, 1) and n_resamples at least 1; got {level} and {n_resamples}")
    names, person = np.unique(people(table).to_numpy(dtype=str), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"an interval needs at least 2 subjects to resample, there is {len(names)}")
    drawn = np.random.default_rng(seed).integers(len(names), size=(n_resamples, len(names)))
    cells = drawn + len(names) * np.arange(n_resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=n_resamples * len(names)).reshape(n_resamples, len(names))
    return Draws(counts.astype(float), person, tuple(map(str, names)), level)


def class_statistic(
    measure: Callable[[np.ndarray, np.ndarray], float], true: np.ndarray, predicted: np.ndarray, *, draws: Draws
) -> Statistic:
    """A measure of (true, predicted) as a statistic of the draws.

    Accuracy, UF1 and UAR are read from one confusion matrix a person; any other measure is computed on the repeated
    clips, which takes a call a resample.

    Parameters
    ----------
    measure : callable
    true, predicted : (n,) arrays
        In the order of ``draws.person``.
    draws : Draws

    Returns
    -------
    callable
    """
    person, n_people = draws.person, len(draws.names)
    if measure in FROM_COUNTS:
        classes, codes = np.unique(np.concatenate([true, predicted]).astype(str), return_inverse=True)
        k = len(classes)
        by_person = np.zeros((n_people, k, k))
        np.add.at(by_person, (person, codes[: len(true)], codes[len(true) :]), 1)
        of = FROM_COUNTS[measure]
        return lambda counts: of((counts @ by_person.reshape(n_people, k * k)).reshape(-1, k, k))

    def repeated(counts: np.ndarray) -> np.ndarray:
        rows = [np.repeat(np.arange(len(true)), times) for times in counts.astype(int)[:, person]]
        return np.array([measure(true[row], predicted[row]) for row in rows], dtype=float)

    return repeated
