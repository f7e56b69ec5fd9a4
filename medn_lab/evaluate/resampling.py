"""Resampling whole subjects: one set of draws and one definition of the interval, used by every interval over persons.

Clips of one person resemble each other, so persons are drawn with replacement and not clips. What is drawn is only *how
often each person counts*; a statistic that can be summed by person then needs no look at the clips again, and two
models are compared on the same draws.

The draws give the standard error, Student's t gives the interval: percentiles of the draws are too narrow where persons
are few (95 % intervals of an accuracy covered .83, .88, .91 and .93 with 5, 8, 12 and 24 persons).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from medn_lab.evaluate.metrics import FROM_COUNTS
from medn_lab.records import people

Statistic = Callable[[np.ndarray], np.ndarray]
"""From how often each person counts, (r, n_people) float, to a figure for each of r rows; NaN if undefined."""


def draw_counts(n_units: int, *, n_draws: int, seed: int) -> np.ndarray:
    """How often each unit counts, (1 + n_draws, n_units) float: row 0 is the sample, each unit once; then the draws."""
    drawn = np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), size=n_draws)
    return np.vstack([np.ones(n_units), drawn]).astype(float)


def t_bounds(
    values: np.ndarray, *, n_units: int, level: float, n_clips: int = 0, share: bool = False
) -> tuple[float, float]:
    """The interval of a figure from its values under :func:`draw_counts`.

    The standard error is the spread over the draws times sqrt(n / (n - 1)), as drawing with replacement spreads by the
    variance that divides by n; the quantile is Student's with n - 1 degrees of freedom. A share in [0, 1] gets Wilson's
    interval for as many independent clips as have this standard error, at most `n_clips`: it stays within [0, 1] and
    keeps a width where every clip is right. The error of a difference is made larger by one clip in `n_clips` (Agresti
    and Min), for the same reason, and its interval stays within [-1, 1].

    Parameters
    ----------
    values : (1 + n_draws,) float array
        The sample's own value, then those of the draws; undefined ones (NaN) are left out.
    n_units : int
        Units (persons) that the figure rests on.
    level : float
        Coverage, in (0, 1).
    n_clips : int
        Clips that a share rests on, or a difference of shares; 0 for an amount.
    share : bool
        Whether the figure is in [0, 1].

    Returns
    -------
    (low, high) : float
        NaN where there is no value, fewer than 2 draws or fewer than 2 units.

    References
    ----------
    Dean, Pagano: "Evaluating confidence interval methods for binomial proportions in clustered surveys", 2015. Agresti,
    Min: "Effects and non-effects of paired identical observations in comparing proportions", 2004.
    """
    value, drawn = values[0], values[1:][~np.isnan(values[1:])]
    if np.isnan(value) or n_units < 2 or len(drawn) < 2:
        return np.nan, np.nan
    error = drawn.std(ddof=1) * np.sqrt(n_units / (n_units - 1))
    t = stdtrit(n_units - 1, (1 + level) / 2)
    if not share:
        if not n_clips:
            return float(value - t * error), float(value + t * error)
        half = t * np.hypot(error, 1 / n_clips)
        return max(float(value - half), -1.0), min(float(value + half), 1.0)
    spread = value * (1 - value)
    # As many clips as have this error; where it is 0 (every person alike) all of them, and never more.
    n = min(spread / error**2, n_clips) if error > 0 and spread > 0 else n_clips
    middle, half = value + t**2 / (2 * n), t * np.sqrt(spread / n + (t / (2 * n)) ** 2)
    low, high = (middle - half) / (1 + t**2 / n), (middle + half) / (1 + t**2 / n)
    return float(min(max(low, 0.0), value)), float(max(min(high, 1.0), value))


@dataclass(frozen=True, eq=False)
class Draws:
    """Persons drawn with replacement, many times.

    Attributes
    ----------
    counts : (1 + n_resamples, n_people) float
        How often each person counts: first each once (the sample itself), then the draws.
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
        return f"{len(self.counts) - 1} resamples of {len(self.names)} people"

    def bounds(
        self, values: np.ndarray, *, n_clips: int = 0, share: bool = False, n_people: int | None = None
    ) -> tuple[float, float]:
        """:func:`t_bounds` of a statistic's values under `counts`; `n_people` where it rests on fewer than all."""
        people = len(self.names) if n_people is None else n_people
        return t_bounds(values, n_units=people, level=self.level, n_clips=n_clips, share=share)


def draw_subjects(table: pd.DataFrame, *, n_resamples: int, level: float, seed: int) -> Draws:
    """Draw people with replacement, as many as there are, `n_resamples` times.

    Parameters
    ----------
    table : DataFrame
        With ``subject`` and, where it has several data sets, ``dataset``.
    n_resamples : int
        At least 1; from 2 on their spread is the standard error.
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
    counts = draw_counts(len(names), n_draws=n_resamples, seed=seed)
    return Draws(counts, person, tuple(map(str, names)), level)


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
