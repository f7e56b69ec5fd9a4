"""How a probe is asked and answered: many targets of one feature at once, each with bounds and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.concordance import PairCounts, concordance, count_pairs
from medn_lab.diagnose.held_out import Kind, held_out_scores, subject_folds
from medn_lab.evaluate.resampling import draw_counts, t_bounds
from medn_lab.records import is_constant

CONSTANT = "the features are constant"
"""Why a probe has no score where the features are the same for all clips."""


@dataclass(frozen=True)
class ProbeScore:
    """What a probe can tell, and between what bounds.

    Attributes
    ----------
    auc : float
        In [0, 1]: of two clips of one fold that differ in the target, how often the right one is scored higher; 0.5 is
        guessing; NaN where it cannot be told.
    low, high : float
        Bounds at `level`, from Student's t over subjects.
    level : float
    chance, chance_95 : float
        Mean and 95th percentile of the same with shuffled labels; NaN without shuffles.
    p_value : float
        Share of shuffles, the true labels counted as one, that do as well; NaN without shuffles.
    n_clips, n_subjects : int
        With a known target.
    n_positive : int
        Clips with the target; of several classes the smallest's; of an amount all clips.
    n_unknown : int
        Clips left out because their target is not known.
    reason : str
        Why there is no figure; empty where there is one.

    Examples
    --------
    >>> from medn_lab.diagnose import probe
    >>> rng = np.random.default_rng(0)
    >>> target = np.arange(80) % 2
    >>> features = target[:, None] + rng.normal(0, 0.1, (80, 4))
    >>> found = probe(features, target, subjects=np.arange(80) // 20, n_shuffles=5)
    >>> round(found.auc, 2), found.n_subjects
    (1.0, 4)
    """

    auc: float
    low: float
    high: float
    level: float
    chance: float
    chance_95: float
    p_value: float
    n_clips: int
    n_subjects: int
    n_positive: int
    n_unknown: int
    reason: str = ""

    def __repr__(self) -> str:
        if self.reason:
            return f"probe: no AUC, because {self.reason}"
        shuffled = f"; shuffled labels {self.chance:.3f}" if np.isfinite(self.chance) else ""
        return (
            f"probe AUC {self.auc:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {self.n_subjects} subjects,"
            f" {self.n_clips} clips, {self.n_positive} positive){shuffled}"
        )


@dataclass(frozen=True)
class Question:
    """A target as a probe reads it: one column, or one a class.

    Attributes
    ----------
    columns : (n, k) float array
        0/1 for each class, or the amount; NaN where unknown.
    n_positive : int
        As in :class:`ProbeScore`.
    reason : str
        Why it cannot be asked; empty where it can.
    """

    columns: np.ndarray
    n_positive: int
    reason: str = ""


@dataclass(frozen=True)
class Reading:
    """Everything that one probe found: the score, and what a comparison with another probe needs.

    Attributes
    ----------
    score : ProbeScore
    resampled : (1 + n_resamples,) float array
        The AUC, then that under each draw of subjects; two readings of the same clips, folds and seed share their
        draws.
    shuffled : (n_shuffles,) float array
    """

    score: ProbeScore
    resampled: np.ndarray
    shuffled: np.ndarray


def check_features(features: ArrayLike, *, owner: str) -> np.ndarray:
    """Features as (n, d) float64; ValueError if they are not that or not finite."""
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{owner} have shape {x.shape}; they must be (n clips, d)")
    if not np.isfinite(x).all():
        raise ValueError(f"{owner} of {(~np.isfinite(x)).any(axis=1).sum()} clips are not numbers")
    return x


def ask(target: ArrayLike) -> Question:
    """Make a target into the columns that a probe reads."""
    values = np.asarray(target)
    if values.ndim != 1:
        raise ValueError(f"target has shape {values.shape}; it must be (n,)")
    unknown = np.asarray(pd.isna(values))
    try:
        numbers = np.where(unknown, np.nan, np.where(unknown, 0, values).astype(np.float64))
    except (TypeError, ValueError):
        return _ask_classes(values, unknown)
    there = np.unique(numbers[~unknown])
    if len(there) > 2:
        return Question(numbers[:, None], int((~unknown).sum()))
    if not len(there):
        return Question(numbers[:, None], 0, "no clip's target is known")
    positive = there[-1] if len(there) == 2 else 1.0
    columns = np.where(unknown, np.nan, numbers == positive)[:, None]
    count = int(np.nansum(columns))
    reason = {0: "no clip has it", int((~unknown).sum()): "every clip has it"}.get(count, "")
    return Question(columns, count, reason)


def _ask_classes(values: np.ndarray, unknown: np.ndarray) -> Question:
    names, counts = np.unique(values[~unknown].astype(str), return_counts=True)
    columns = np.asarray([values.astype(str) == name for name in names], dtype=float).T
    columns[unknown] = np.nan
    return Question(columns, int(counts.min()), "there is one class only" if len(names) == 1 else "")


def read(
    questions: list[Question],
    features: np.ndarray,
    *,
    subjects: np.ndarray,
    kind: Kind,
    n_folds: int,
    n_shuffles: int,
    level: float,
    n_resamples: int,
    seed: int,
) -> list[Reading]:
    """Ask many questions of the same features at once; each answer is what it would be if asked alone.

    Where the features of the clips with a known target are constant, there is no score, and the reason says so.
    """
    answers: dict[int, Reading] = {}
    patterns: dict[bytes, list[int]] = {}
    for place, asked in enumerate(questions):
        patterns.setdefault(np.isfinite(asked.columns[:, 0]).tobytes(), []).append(place)
    for places in patterns.values():
        rows = np.flatnonzero(np.isfinite(questions[places[0]].columns[:, 0]))
        group = [questions[place] for place in places]
        who = subjects[rows].astype(str)
        names, units = np.unique(who, return_inverse=True)
        still = CONSTANT if len(names) > 1 and is_constant(features[rows]) else ""
        reasons = [
            still or one.reason or ("" if len(names) > 1 else "one subject alone has a known target") for one in group
        ]
        open_ones = [own for own, reason in enumerate(reasons) if not reason]
        read_ones: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if open_ones:
            columns = [group[own].columns[rows] for own in open_ones]
            folds = subject_folds(who, n_folds=n_folds, seed=seed)
            counts, shuffled = _read(features[rows], columns, folds, units, kind, n_shuffles, seed)
            draws = draw_counts(len(names), n_draws=n_resamples, seed=seed)
            for own, one, by_chance in zip(open_ones, counts, shuffled, strict=True):
                read_ones[own] = one.resampled(draws), by_chance
        for own, (place, question, reason) in enumerate(zip(places, group, reasons, strict=True)):
            sizes = (len(rows), len(names), question.n_positive, len(features) - len(rows))
            if reason:
                answers[place] = Reading(_nothing(reason, level, sizes), np.full(1 + n_resamples, np.nan), np.empty(0))
                continue
            answers[place] = summarise(*read_ones[own], level, sizes)
    return [answers[place] for place in range(len(questions))]


def summarise(by_draw: np.ndarray, shuffled: np.ndarray, level: float, sizes: tuple[int, int, int, int]) -> Reading:
    """Average over the classes, and add bounds and chance to the figure."""
    resampled = mean_known(by_draw)
    auc = float(resampled[0])
    if not np.isfinite(auc):
        reason = "no fold holds clips with and without it"
        return Reading(_nothing(reason, level, sizes), np.full(len(by_draw), np.nan), np.empty(0))
    low, high = t_bounds(resampled, n_units=sizes[1], level=level, n_clips=sizes[0], share=True)
    chance = chance_of(shuffled, auc=auc)
    return Reading(ProbeScore(auc, low, high, level, *chance, *sizes), resampled=resampled, shuffled=shuffled)


def chance_of(shuffled: np.ndarray, *, auc: float) -> tuple[float, float, float]:
    """Mean, 95th percentile and p of what shuffled labels gave; NaN without shuffles."""
    known = shuffled[np.isfinite(shuffled)]
    if not len(known):
        return np.nan, np.nan, np.nan
    p_value = (1 + (known >= auc - 1e-12).sum()) / (1 + len(known))
    return float(known.mean()), float(np.quantile(known, 0.95)), float(p_value)


def _read(
    features: np.ndarray,
    columns: list[np.ndarray],
    folds: np.ndarray,
    units: np.ndarray,
    kind: Kind,
    n_shuffles: int,
    seed: int,
) -> tuple[list[PairCounts], list[np.ndarray]]:
    orders = shuffles(columns, units, n_shuffles=n_shuffles, seed=seed)
    asked = np.concatenate(
        [*columns, *(one[order] for one, own in zip(columns, orders, strict=True) for order in own)], 1
    )
    scores = held_out_scores(features, asked, folds=folds, units=units, kind=kind, seed=seed)
    counts, values, start = [], [], 0
    for one in columns:
        stop = start + one.shape[1]
        counts.append(count_pairs(scores[:, start:stop], one, folds=folds, units=units))
        start = stop
    for one in columns:
        stop = start + n_shuffles * one.shape[1]
        given = (scores[:, start:stop], asked[:, start:stop])
        if np.isin(one, (0, 1)).all():
            aucs = concordance(*given, folds=folds)
        else:
            aucs = count_pairs(*given, folds=folds, units=np.zeros_like(units)).values
        values.append(mean_known(aucs.reshape(n_shuffles, one.shape[1])))
        start = stop
    return counts, values


def shuffles(columns: list[np.ndarray], units: np.ndarray, *, n_shuffles: int, seed: int) -> list[np.ndarray]:
    """For each target, (n_shuffles, n) orders of the rows: within units, or whole units where each has one value."""
    within = [_within(units, np.random.default_rng([seed, place])) for place in range(n_shuffles)]
    first = np.unique(units, return_index=True)[1]
    found = []
    for one in columns:
        alike = (one == one[first][units]).all()
        found.append(
            np.asarray([_between(first, units, [seed, place]) for place in range(n_shuffles)], dtype=int)
            if alike
            else np.asarray(within, dtype=int)
        )
    return found


def _within(units: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    # Sorted by unit, ties by chance: the k-th row of a unit gets the label of a random row of it.
    order = np.empty(len(units), dtype=int)
    order[np.argsort(units, kind="stable")] = np.lexsort((generator.random(len(units)), units))
    return order


def _between(first: np.ndarray, units: np.ndarray, seed: list[int]) -> np.ndarray:
    return first[np.random.default_rng(seed).permutation(len(first))][units]


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _nothing(reason: str, level: float, sizes: tuple[int, int, int, int]) -> ProbeScore:
    return ProbeScore(np.nan, np.nan, np.nan, level, np.nan, np.nan, np.nan, *sizes, reason=reason)
