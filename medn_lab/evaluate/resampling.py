"""Intervals over resampled subjects: one set of draws and one definition of the interval for every figure.

Clips of one person resemble each other, so persons are drawn with replacement and not clips. A draw is only *how often
each person counts*: a statistic that is summed by person is not computed on the clips again. Two models are compared
on the same draws.

The draws give the standard error, Student's t gives the interval: percentiles of the draws are too narrow where persons
are few (95 % intervals of an accuracy covered .83, .88, .91 and .93 with 5, 8, 12 and 24 persons).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from medn_lab.records import people
from medn_lab.records.table import counted

LEVEL = 0.95  # coverage of every interval over subjects


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


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part` divided by `whole`, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


class Draws:
    """People drawn with replacement, as many as there are, `n_resamples` times.

    Parameters
    ----------
    table : DataFrame
        With ``subject`` and, where it has several data sets, ``dataset``.
    n_resamples : int
        At least 1; from 2 on their spread is the standard error.
    seed : int

    Attributes
    ----------
    counts : (1 + n_resamples, n_people) float
        How often each person counts: first each once (the sample itself), then the draws.
    person : (n,) int
        Which person is in each row of the table.
    names : tuple of str
        The people, as ``dataset/subject``.

    Raises
    ------
    ValueError
        If there are fewer than 2 people, or `n_resamples` is below 1.
    """

    def __init__(self, table: pd.DataFrame, *, n_resamples: int, seed: int) -> None:
        names, self.person = np.unique(people(table).to_numpy(dtype=str), return_inverse=True)
        if len(names) < 2:
            raise ValueError(f"an interval needs at least 2 subjects to resample, there is {len(names)}")
        if n_resamples < 1:
            raise ValueError(f"n_resamples must be at least 1; it is {n_resamples}")
        self.names = tuple(map(str, names))
        self.counts = draw_counts(len(names), n_draws=n_resamples, seed=seed)

    def bounds(self, values: np.ndarray, *, n_people: int | None = None, **how: Any) -> tuple[float, float]:
        """:func:`t_bounds` of a statistic's values under `counts`; `n_people` where it rests on fewer than all."""
        return t_bounds(values, n_units=len(self.names) if n_people is None else n_people, level=LEVEL, **how)

    def tally(self, rows: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
        """How many of the rows (a mask or positions) are of each person, or the sum of their weights."""
        return np.bincount(self.person[rows], weights=weights, minlength=len(self.names))


@dataclass(frozen=True)
class Interval:
    """A score and its interval over subjects.

    Attributes
    ----------
    value : float
        The score of all clips pooled; NaN where there is none.
    low, high : float
        Bounds of 95 %, from Student's t over subjects; NaN where there are fewer than 2.
    n_clips, n_subjects : int
    n_pairs : int
        Pairs of clips that a pair AUC counts.
    n_doubtful : int
        Clips in no pair because their AU set is disputed or incomplete.
    name : str
        Of the score, where it is not given by the call alone.
    reason : str
        Why there is no score; empty where there is one.

    Examples
    --------
    >>> Interval(0.8, 0.7, 0.9, n_clips=120, n_subjects=8)
    0.800 [0.700, 0.900] (95%, 8 subjects, 120 clips)
    """

    value: float
    low: float
    high: float
    n_clips: int
    n_subjects: int
    n_pairs: int = 0
    n_doubtful: int = 0
    name: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        sizes = {"pair": self.n_pairs, "subject": self.n_subjects, "clip": self.n_clips}
        parts = [f"{LEVEL:.0%}", *(counted(n, what) for what, n in sizes.items() if n)]
        parts += [f"left out for AUs in doubt: {self.n_doubtful}"] * bool(self.n_doubtful)
        figure = f"none, {self.reason}" if self.reason else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.name} {figure} ({', '.join(parts)})".lstrip()
