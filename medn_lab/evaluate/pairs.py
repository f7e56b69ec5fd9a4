"""Confusable pairs: the same Action Units, another emotion. Motion alone can only guess between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.data.protocols import people
from medn_lab.evaluate.au_sets import au_sets, canonical
from medn_lab.records import Predictions, check_table

COLUMNS = ("clip_a", "clip_b", "action_units", "label_a", "label_b")


def confusable_pairs(table: pd.DataFrame, *, label: str = "label", keep_side: bool = False) -> pd.DataFrame:
    """All pairs of clips with the same AU set and different emotions.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id`` and ``action_units``.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both; the default drops the side, which makes more pairs.

    Returns
    -------
    DataFrame
        One row a pair: ``clip_a, clip_b, action_units, label_a, label_b``; `clip_a` comes before `clip_b` in the table.
        Clips with unknown AUs are in no pair. Empty where there are none, as for SAMM's five classes.

    Raises
    ------
    ValueError
        If a column is missing or a clip_id appears twice.

    See Also
    --------
    pair_auc

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "action_units": ["12", "12", "4"],
    ...                       "label": ["happiness", "repression", "others"]})
    >>> confusable_pairs(table)
      clip_a clip_b action_units    label_a     label_b
    0      a      b           12  happiness  repression
    """
    table = check_table(table, owner="confusable_pairs", required=("clip_id", "action_units", label))
    rows = table.assign(_aus=au_sets(table, keep_side=keep_side))
    rows = rows[rows["_aus"].notna()]
    found = []
    for aus, group in rows.groupby(rows["_aus"].map(canonical), sort=True):
        ids, labels = group["clip_id"].to_numpy(), group[label].to_numpy()
        first, second = np.triu_indices(len(group), k=1)
        differ = labels[first] != labels[second]
        first, second = first[differ], second[differ]
        found.append(
            pd.DataFrame(
                {
                    "clip_a": ids[first],
                    "clip_b": ids[second],
                    "action_units": aus,
                    "label_a": labels[first],
                    "label_b": labels[second],
                }
            )
        )
    found = [pairs for pairs in found if len(pairs)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


@dataclass(frozen=True)
class PairAUC:
    """How well confusable pairs are told apart.

    Attributes
    ----------
    value : float
        In [0, 1]; 0.5 is what motion alone can do; NaN where there is no pair.
    low, high : float
        Percentile bounds over resampled subjects at `level`.
    level : float
    n_pairs, n_clips, n_subjects : int
    """

    value: float
    low: float
    high: float
    level: float
    n_pairs: int
    n_clips: int
    n_subjects: int

    def __repr__(self) -> str:
        if not self.n_pairs:
            return "pair AUC: none, because no two clips share an AU set and differ in emotion"
        return (
            f"pair AUC {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {self.n_pairs} pairs of"
            f" {self.n_clips} clips, {self.n_subjects} subjects)"
        )


def pair_auc(
    predictions: Predictions,
    *,
    label: str = "label",
    keep_side: bool = False,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PairAUC:
    """Over confusable pairs, how often the right clip is ranked higher for the emotion in question.

    Each pair asks twice: which of the two clips has the first one's emotion, and which the second's. The answer is the
    clip with the higher probability of that emotion; a tie counts half. A model that reads motion alone gives both
    clips nearly the same probabilities and guesses.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true emotion.
    keep_side : bool
        As in :func:`confusable_pairs`.
    level : float
        Coverage of the interval, in (0, 1).
    n_resamples : int
        Resamples of whole subjects; a pair of two subjects counts as often as both were drawn together.
    seed : int

    Returns
    -------
    PairAUC

    Raises
    ------
    ValueError
        If a column is missing.

    See Also
    --------
    confusable_pairs
    """
    pairs = confusable_pairs(predictions.table, label=label, keep_side=keep_side)
    if not len(pairs):
        return PairAUC(np.nan, np.nan, np.nan, level, 0, 0, 0)
    place = pd.Index(predictions.table["clip_id"])
    a, b = place.get_indexer(pairs["clip_a"]), place.get_indexer(pairs["clip_b"])
    classes = pd.Index(predictions.classes)
    scores = predictions.probabilities
    asked_a, asked_b = classes.get_indexer(pairs["label_a"]), classes.get_indexer(pairs["label_b"])
    right = 0.5 * (_wins(scores[a, asked_a], scores[b, asked_a]) + _wins(scores[b, asked_b], scores[a, asked_b]))

    names, person = np.unique(people(predictions.table).to_numpy(dtype=str), return_inverse=True)
    person_a, person_b = person[a], person[b]
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(n_resamples):
        drawn = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        weight = np.where(person_a == person_b, drawn[person_a], drawn[person_a] * drawn[person_b])
        if weight.any():
            values.append(np.average(right, weights=weight))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    n_clips, n_subjects = len(np.union1d(a, b)), len(np.union1d(person_a, person_b))
    return PairAUC(float(right.mean()), float(low), float(high), level, len(pairs), n_clips, n_subjects)


def _wins(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return (right > wrong) + 0.5 * (right == wrong)
