"""How well single Action Units are detected, and how many positives stand behind each figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.evaluate.intervals import Interval
from medn_lab.evaluate.resampling import Draws, Statistic, draw_subjects
from medn_lab.records import Predictions


@dataclass(frozen=True, eq=False, repr=False)
class AUDetection:
    """The figures of :func:`au_detection`.

    Attributes
    ----------
    table : DataFrame
        One row an AU: ``au, n_positive, n_negative, n_unknown, n_subjects`` (with a positive), ``auc, auc_low,
        auc_high, f1, f1_low, f1_high, in_macro, reason`` (why a figure or its interval is missing).
    macro_auc, macro_f1 : Interval or None
        Unweighted means over the AUs with at least `min_positives` positives; None where there are none.
    min_positives : int

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "AU12": [1, 0, 1, 0, 1, 0]})
    >>> scores = table[["AU12"]].to_numpy() * 2.0 - 1
    >>> predictions = Predictions(np.zeros((6, 1)), table, ("x",), au_logits=scores, aus=("AU12",))
    >>> au_detection(predictions, min_positives=3)
    AU detection, over 1 of 1 AUs, those with 3 positives or more
      macro AUC 1.000 [0.245, 1.000] (95%, 3 subjects, 6 clips)
      macro F1  1.000 [0.245, 1.000] (95%, 3 subjects, 6 clips)
      AU12  AUC 1.000 [0.245, 1.000]  F1 1.000 [0.245, 1.000]  3 positives of 3 subjects
    """

    table: pd.DataFrame
    macro_auc: Interval | None
    macro_f1: Interval | None
    min_positives: int

    def __repr__(self) -> str:
        n = int(self.table["in_macro"].sum())
        over = f"over {n} of {len(self.table)} AUs, those with {self.min_positives} positives or more"
        if self.macro_auc is None:
            lines = [f"AU detection: no macro figure, no AU has {self.min_positives} positives or more"]
        else:
            lines = [f"AU detection, {over}", f"  macro AUC {self.macro_auc}", f"  macro F1  {self.macro_f1}"]
        for row in self.table.itertuples():
            if np.isnan(row.auc):
                lines.append(f"  {row.au:<5} none: {row.reason}")
                continue
            bounds = [
                "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
                for low, high in ((row.auc_low, row.auc_high), (row.f1_low, row.f1_high))
            ]
            said = f"{row.n_positive} positives of {row.n_subjects} subjects"
            note = f"; {row.reason}" if row.reason else ""
            lines.append(f"  {row.au:<5} AUC {row.auc:.3f}{bounds[0]}  F1 {row.f1:.3f}{bounds[1]}  {said}{note}")
        return "\n".join(lines)


def au_detection(
    predictions: Predictions,
    *,
    min_positives: int = 10,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> AUDetection:
    """AUC and F1 of each AU, with the positives behind it and an interval over subjects.

    AUC is the probability that a clip with the AU is scored above one without it; 0.5 is chance. F1 calls an AU present
    at a probability of one half; its chance depends on how rare the AU is. AUs are rare in the field's data (in SAMM
    four have 15 positives or more), so no figure should be read without its positives. An AU without positives, or
    without negatives, gets none.

    Parameters
    ----------
    predictions : Predictions
        With ``au_logits``; the table's AU columns hold 1, 0, or NaN where it is unknown, and such clips are left out
        of that AU's figures.
    min_positives : int
        AUs with fewer are shown, but do not enter the macro means.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    AUDetection

    Raises
    ------
    ValueError
        If the predictions hold no AU scores, there are fewer than 2 subjects, or `min_positives` is below 1.

    See Also
    --------
    medn_lab.view.plot_au_detection

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "AU12": [1, 0, 1, 0, 1, 0]})
    >>> scores = np.array([[2.0], [-1.0], [1.0], [-2.0], [-3.0], [0.0]])
    >>> predictions = Predictions(np.zeros((6, 1)), table, ("x",), au_logits=scores, aus=("AU12",))
    >>> found = au_detection(predictions, min_positives=3)
    >>> round(float(found.table["auc"][0]), 3), int(found.table["n_positive"][0])
    (0.667, 3)
    """
    if predictions.au_logits is None or not predictions.aus:
        raise ValueError(
            "these predictions hold no AU scores: the model was made without a motion branch or without AUs"
        )
    if min_positives < 1:
        raise ValueError(f"min_positives must be at least 1; got {min_positives}")
    draws = draw_subjects(predictions.table, n_resamples=n_resamples, level=level, seed=seed)
    coded = predictions.table.reindex(columns=list(predictions.aus)).to_numpy(dtype=float, na_value=np.nan)
    rows, aucs, f1s = [], [], []
    for column, au in enumerate(predictions.aus):
        row, found = _one_au(coded[:, column], predictions.au_logits[:, column], draws=draws)
        entering = found if row["n_positive"] >= min_positives else None
        rows.append({"au": au} | row | {"in_macro": entering is not None})
        if entering is not None:
            aucs.append(entering[0])
            f1s.append(entering[1])
    columns = ["au", "n_positive", "n_negative", "n_unknown", "n_subjects", "auc", "auc_low", "auc_high"]
    table = pd.DataFrame(rows)[[*columns, "f1", "f1_low", "f1_high", "in_macro", "reason"]]
    return AUDetection(table, _macro(aucs, draws=draws), _macro(f1s, draws=draws), min_positives)


def _one_au(
    coded: np.ndarray, logits: np.ndarray, *, draws: Draws
) -> tuple[dict[str, Any], tuple[Statistic, Statistic] | None]:
    """An AU's row, and its AUC and F1 as functions of how often each subject is drawn; None where it has none."""
    positive, negative = coded == 1, coded == 0
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    shown_by = len(np.unique(draws.person[positive]))
    row: dict[str, Any] = {
        "n_positive": n_positive,
        "n_negative": n_negative,
        "n_unknown": len(coded) - n_positive - n_negative,
        "n_subjects": shown_by,
        **dict.fromkeys(("auc", "auc_low", "auc_high", "f1", "f1_low", "f1_high"), np.nan),
        "reason": "",
    }
    if not n_positive or not n_negative:
        known = n_positive + n_negative
        kind = "positive" if not n_positive else "negative"
        row["reason"] = f"no {kind} among {known} coded clips" if known else "it is coded in no clip"
        return row, None
    auc = _auc_statistic(logits, positive, negative, draws=draws)
    f1 = _f1_statistic(logits, positive, negative, draws=draws)
    for name, values in (("auc", auc(draws.counts)), ("f1", f1(draws.counts))):
        row[name] = float(values[0])
        # The persons who show the AU are the few: its interval is over them.
        low, high = draws.bounds(values, n_clips=n_positive + n_negative, share=True, n_people=shown_by)
        row |= {f"{name}_low": low, f"{name}_high": high}
    if shown_by < 2:
        row["reason"] = "all positives are of one subject: no interval"
    return row, (auc, f1)


def _auc_statistic(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, *, draws: Draws) -> Statistic:
    n = len(draws.names)
    wins = np.zeros((n, n))
    against, whose = scores[negative], draws.person[negative]
    for person in np.unique(draws.person[positive]):
        own = scores[positive & (draws.person == person)][:, None]
        won = ((own > against) + 0.5 * (own == against)).sum(axis=0)
        wins[person] = np.bincount(whose, weights=won, minlength=n)
    n_positive = np.bincount(draws.person[positive], minlength=n)
    n_negative = np.bincount(whose, minlength=n)

    def statistic(counts: np.ndarray) -> np.ndarray:
        pairs = (counts @ n_positive) * (counts @ n_negative)
        won = ((counts @ wins) * counts).sum(axis=1)
        return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)

    return statistic


def _f1_statistic(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, *, draws: Draws) -> Statistic:
    n = len(draws.names)
    called = scores >= 0
    hits = np.bincount(draws.person[positive & called], minlength=n)
    said = np.bincount(draws.person[(positive | negative) & called], minlength=n)
    meant = np.bincount(draws.person[positive], minlength=n)

    def statistic(counts: np.ndarray) -> np.ndarray:
        there = counts @ meant
        return np.divide(2 * (counts @ hits), counts @ said + there, out=np.full(len(counts), np.nan), where=there > 0)

    return statistic


def _macro(statistics: list[Statistic], *, draws: Draws) -> Interval | None:
    """The mean over AUs; in a resample, over those that it holds positives (and negatives) of."""
    if not statistics:
        return None

    def mean(counts: np.ndarray) -> np.ndarray:
        values = np.stack([statistic(counts) for statistic in statistics])
        defined = ~np.isnan(values)
        n = defined.sum(axis=0)
        return np.divide(np.where(defined, values, 0).sum(axis=0), n, out=np.full(len(n), np.nan), where=n > 0)

    values = mean(draws.counts)
    low, high = draws.bounds(values, n_clips=len(draws.person), share=True)
    return Interval(float(values[0]), low, high, draws.level, len(draws.person), len(draws.names))
