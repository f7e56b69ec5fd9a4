"""What Action Units alone can score: the floor that a network has to leave before anything else is claimed of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from medn_lab.data.protocols import leave_one_subject_out
from medn_lab.evaluate.au_sets import au_sets
from medn_lab.evaluate.metrics import accuracy, uar, uf1


@dataclass(frozen=True)
class Floor:
    """The scores of :func:`au_only_floor`.

    Attributes
    ----------
    accuracy, uf1, uar : float
        Of the pooled folds, in [0, 1].
    predicted : Series
        What was decided of each clip, by ``clip_id``.
    n_clips, n_subjects : int
    n_unseen : int
        Clips whose AU set no training subject showed.
    """

    accuracy: float
    uf1: float
    uar: float
    predicted: pd.Series
    n_clips: int
    n_subjects: int
    n_unseen: int

    def __repr__(self) -> str:
        return (
            f"AU-only floor: accuracy {self.accuracy:.3f}, UF1 {self.uf1:.3f}, UAR {self.uar:.3f}"
            f" ({self.n_clips} clips, {self.n_subjects} subjects, {self.n_unseen} clips with an AU set not seen before)"
        )


def au_only_floor(table: pd.DataFrame, *, label: str = "label") -> Floor:
    """How well a clip's AU set tells its emotion, without any network, leaving one subject out.

    Each clip gets the majority emotion of its AU set among the other subjects. An AU set that they do not show is
    decided by the vote of its single AUs, and if those are new too (or the AUs unknown) by the majority of all.
    Ties go to the emotion that is more frequent among the training clips, then to the alphabet.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id, subject, action_units`` and, where it has several data sets, ``dataset``.
    label : str
        Column of the emotion.

    Returns
    -------
    Floor

    Raises
    ------
    ValueError
        If a column is missing or there are fewer than 2 subjects.

    See Also
    --------
    pair_auc

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "clip_id": list("abcd"), "subject": ["1", "1", "2", "2"],
    ...     "action_units": ["12", "4", "12", "4"], "label": ["happiness", "disgust", "happiness", "others"]})
    >>> au_only_floor(table)
    AU-only floor: accuracy 0.500, ...
    """
    if label not in table:
        raise ValueError(f"the table has no column {label!r}; choose a protocol with medn.data.to_classes first")
    rows = pd.DataFrame({"aus": au_sets(table), "label": table[label].to_numpy()}, index=table["clip_id"].astype(str))
    set_of = rows["aus"].to_dict()
    folds = leave_one_subject_out(table)
    decided: dict[str, str] = {}
    unseen = 0
    for fold in folds:
        training = rows.loc[list(fold.train)]
        by_set, by_au = _votes(training)
        overall = Counter(training["label"])
        for clip_id in fold.test:
            aus = set_of[clip_id]
            votes = by_set.get(aus)
            if votes is None:
                unseen += 1
                votes = sum((by_au.get(au, Counter()) for au in aus or ()), Counter())
            decided[clip_id] = _winner(votes or overall, overall)
    predicted = pd.Series(decided).reindex(rows.index)
    true = rows["label"].to_numpy()
    scores = [measure(true, predicted.to_numpy()) for measure in (accuracy, uf1, uar)]
    return Floor(*scores, predicted, len(table), len(folds), unseen)


def _votes(training: pd.DataFrame) -> tuple[dict[frozenset[str], Counter], dict[str, Counter]]:
    by_set: dict[frozenset[str], Counter] = {}
    by_au: dict[str, Counter] = {}
    for aus, emotion in zip(training["aus"], training["label"], strict=True):
        if aus is None:
            continue
        by_set.setdefault(aus, Counter())[emotion] += 1
        for au in aus:
            by_au.setdefault(au, Counter())[emotion] += 1
    return by_set, by_au


def _winner(votes: Counter, overall: Counter) -> str:
    return min(votes, key=lambda emotion: (-votes[emotion], -overall[emotion], str(emotion)))
