"""Confusable pairs: the same Action Units, another emotion. Motion alone can only guess between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.data.protocols import canonical_emotion
from medn_lab.evaluate.resampling import Draws, Statistic, draw_subjects
from medn_lab.records import Predictions, au_doubt, au_set_text, au_sets, check_label, check_table, people

COLUMNS = ("clip_a", "clip_b", "action_units", "label_a", "label_b")

VALENCE = {
    "happiness": "positive",
    "positive": "positive",
    "disgust": "negative",
    "repression": "negative",
    "anger": "negative",
    "fear": "negative",
    "sadness": "negative",
    "contempt": "negative",
    "negative": "negative",
}
"""Which side an emotion is on. Opposite are a positive and a negative one; surprise, others and whatever else is not
named here are on neither side and opposite to nothing. Repression counts as negative, as in the protocols of MEGC."""


def confusable_pairs(
    table: pd.DataFrame, *, label: str = "label", keep_side: bool = False, opposite: bool = False
) -> pd.DataFrame:
    """All pairs of clips with the same AU set and different emotions.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id`` and ``action_units`` or AU columns; :func:`medn_lab.records.au_sets` says which AU sets are the
        same.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both; the default drops the side, which makes more pairs.
    opposite : bool
        Only pairs of opposite emotions: happiness (or ``positive``) against disgust, repression, anger, fear, sadness,
        contempt (or ``negative``). Surprise and others are opposite to nothing.

    Returns
    -------
    DataFrame
        One row a pair: ``clip_a, clip_b, action_units, label_a, label_b``; `clip_a` comes before `clip_b` in the table.
        Clips without a label are in no pair, nor those whose AUs are unknown, disputed or incomplete, nor those in
        which no AU is coded. ``.attrs["n_doubtful"]`` counts the clips left out because their AU set is disputed or
        incomplete. Empty where there are none, as for SAMM's five classes.

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
    table = check_table(table, owner="confusable_pairs", required=("clip_id", label))
    table[label] = check_label(table, label=label, complete=False)
    names = pd.Series([au_set_text(aus) if aus else "" for aus in au_sets(table, keep_side=keep_side)], dtype=object)
    n_doubtful = int((au_doubt(table, keep_side=keep_side) != "").sum())
    rows = table[(names != "") & table[label].notna()]
    found = []
    for aus, group in rows.groupby(names[rows.index], sort=True):
        ids, labels = group["clip_id"].to_numpy(), group[label].to_numpy()
        first, second = np.triu_indices(len(group), k=1)
        differ = labels[first] != labels[second]
        if opposite:
            differ &= _valence(labels[first]) * _valence(labels[second]) < 0
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
    pairs = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
    pairs.attrs["n_doubtful"] = n_doubtful
    return pairs


def _valence(labels: np.ndarray) -> np.ndarray:
    """1 for positive, -1 for negative, 0 for neither."""
    signs = {"positive": 1, "negative": -1}
    codes, names = pd.factorize(labels)  # few names stand for many labels: each is looked up once
    of_name = [signs.get(VALENCE.get(canonical_emotion(name), ""), 0) for name in names]
    return np.array([*of_name, 0], dtype=int)[codes]  # a label that is missing has the code -1, the last


@dataclass(frozen=True)
class PairAUC:
    """How well confusable pairs are told apart.

    Attributes
    ----------
    value : float
        In [0, 1]; 0.5 is what motion alone can do; NaN where there is no pair.
    low, high : float
        Bounds at `level`, from Student's t over the subjects of the pairs; NaN where all clips are of one subject.
    level : float
    n_pairs, n_clips, n_subjects : int
    opposite : bool
        Whether only pairs of opposite emotions were asked about.
    n_doubtful : int
        Clips in no pair because their AU set is disputed or incomplete.
    reason : str
        Why there is no figure; empty where there is one.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("ab"), "subject": list("12"), "label": list("xy"), "action_units": "4"})
    >>> found = pair_auc(Predictions(np.eye(2), table, ("x", "y")), n_resamples=50)
    >>> found.value, found.n_pairs
    (1.0, 1)
    """

    value: float
    low: float
    high: float
    level: float
    n_pairs: int
    n_clips: int
    n_subjects: int
    opposite: bool = False
    reason: str = ""
    n_doubtful: int = 0

    def __repr__(self) -> str:
        doubt = f"; {self.n_doubtful} clips with AUs in doubt left out" if self.n_doubtful else ""
        if not self.n_pairs:
            return f"pair AUC: none, because {self.reason}{doubt}"
        pairs = f"{self.n_pairs} pairs of opposite emotions," if self.opposite else f"{self.n_pairs} pairs of"
        return (
            f"pair AUC {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {pairs}"
            f" {self.n_clips} clips, {self.n_subjects} subjects{doubt})"
        )


def pair_auc(
    predictions: Predictions,
    *,
    label: str = "label",
    keep_side: bool = False,
    opposite: bool = False,
    across_folds: bool = False,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PairAUC:
    """Over confusable pairs, how often the right clip is ranked higher for the emotion in question.

    Each pair asks twice: which of the two clips has the first one's emotion, and which the second's. The answer is the
    clip with the higher probability of that emotion; a tie counts half. A model that reads motion alone gives both
    clips nearly the same probabilities and guesses.

    Where the predictions come from a cross-validation, only pairs within a fold count: both clips were then new to the
    one network that scored them. Across folds each network has learned from the very clip that the other one is asked
    about, and so speaks against its own: AUs alone then score far below 0.5 (0.34 where a motion branch was trained on
    100 clips), which is no knowledge but the split showing through.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true emotion.
    keep_side : bool
        As in :func:`confusable_pairs`.
    opposite : bool
        Only pairs of opposite emotions, as in :func:`confusable_pairs`; by default all that differ.
    across_folds : bool
        Count pairs of two folds too, biased as they are. Without folds every pair counts.
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
        If a column is missing, or a label is not a class of the predictions.

    See Also
    --------
    confusable_pairs

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": list("123"), "label": list("xyx")})
    >>> table["action_units"] = "4"
    >>> pair_auc(Predictions(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), table, ("x", "y")), n_resamples=50)
    pair AUC 0.500 [0.015, 0.985] (95%, 2 pairs of 3 clips, 3 subjects)
    """
    every = confusable_pairs(predictions.table, label=label, keep_side=keep_side, opposite=opposite)
    doubtful = every.attrs["n_doubtful"]
    pairs = every if across_folds else pairs_within_folds(every, predictions)
    if not len(pairs):
        if len(every):
            reason = f"the clips of each of {len(every)} pairs were held out in different folds"
        else:
            reason = _why_none(predictions.table, label=label, keep_side=keep_side, opposite=opposite)
        return PairAUC(np.nan, np.nan, np.nan, level, 0, 0, 0, opposite, reason, doubtful)
    people_of = people(predictions.table).set_axis(predictions.table["clip_id"])
    clips = pd.unique(pairs[["clip_a", "clip_b"]].to_numpy().ravel())
    n_subjects = people_of[clips].nunique()
    right = _answers(predictions, pairs)
    low = high = np.nan
    if (right == 0.5).all():  # the two clips of every pair are scored alike, as by a model of the AUs alone
        low = high = 0.5
    elif n_subjects > 1:
        draws = draw_subjects(predictions.table, n_resamples=n_resamples, level=level, seed=seed)
        values = pair_statistic(predictions, pairs, draws=draws)(draws.counts)
        low, high = draws.bounds(values, n_clips=len(clips), share=True, n_people=n_subjects)
    sizes = (len(pairs), len(clips), n_subjects)
    return PairAUC(float(right.mean()), low, high, level, *sizes, opposite, n_doubtful=doubtful)


def pairs_within_folds(pairs: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Those pairs whose two clips were held out together; all of them where there are no folds.

    Parameters
    ----------
    pairs : DataFrame
        Of :func:`confusable_pairs`.
    predictions : Predictions

    Returns
    -------
    DataFrame
    """
    if predictions.fold is None:
        return pairs
    place = pd.Index(predictions.table["clip_id"])
    first, second = (predictions.fold[place.get_indexer(pairs[name])] for name in ("clip_a", "clip_b"))
    return pairs[first == second].reset_index(drop=True)


def pair_statistic(predictions: Predictions, pairs: pd.DataFrame, *, draws: Draws) -> Statistic:
    """The pair AUC as a statistic of the draws.

    Parameters
    ----------
    predictions : Predictions
    pairs : DataFrame
        Of :func:`confusable_pairs`, at least one row.
    draws : Draws
        Of the predictions' table. A pair of two persons counts as often as both were drawn together, a pair within one
        person as often as that person.

    Returns
    -------
    callable
    """
    right, n = _answers(predictions, pairs), len(draws.names)
    place = pd.Index(predictions.table["clip_id"])
    first, second = (draws.person[place.get_indexer(pairs[name])] for name in ("clip_a", "clip_b"))
    within = first == second
    between_right, between_all = np.zeros((n, n)), np.zeros((n, n))
    np.add.at(between_right, (first[~within], second[~within]), right[~within])
    np.add.at(between_all, (first[~within], second[~within]), 1)
    within_right = np.bincount(first[within], weights=right[within], minlength=n)
    within_all = np.bincount(first[within], minlength=n)

    def statistic(counts: np.ndarray) -> np.ndarray:
        won = ((counts @ between_right) * counts).sum(axis=1) + counts @ within_right
        asked = ((counts @ between_all) * counts).sum(axis=1) + counts @ within_all
        return np.divide(won, asked, out=np.full(len(counts), np.nan), where=asked > 0)

    return statistic


def _answers(predictions: Predictions, pairs: pd.DataFrame) -> np.ndarray:
    """What share of its two questions each pair gets right: 0, a quarter, ... 1."""
    place, classes = pd.Index(predictions.table["clip_id"]), pd.Index(predictions.classes)
    a, b = place.get_indexer(pairs["clip_a"]), place.get_indexer(pairs["clip_b"])
    asked_a, asked_b = classes.get_indexer(pairs["label_a"]), classes.get_indexer(pairs["label_b"])
    strange = sorted((set(pairs["label_a"]) | set(pairs["label_b"])) - set(classes))
    if strange:
        raise ValueError(f"the pairs are labelled {', '.join(strange)}; the classes are {', '.join(classes)}")
    scores = predictions.probabilities
    return 0.5 * (_wins(scores[a, asked_a], scores[b, asked_a]) + _wins(scores[b, asked_b], scores[a, asked_b]))


def _wins(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return (right > wrong) + 0.5 * (right == wrong)


def aus_unknown(table: pd.DataFrame, *, keep_side: bool) -> str:
    """That the AU set of no clip is known, as a sentence; empty where one is."""
    if any(aus is not None for aus in au_sets(table, keep_side=keep_side)):
        return ""
    in_doubt = " or in doubt" if (au_doubt(table, keep_side=keep_side) != "").any() else ""
    return f"the AUs of all {len(table)} clips are unknown{in_doubt}"


def _why_none(table: pd.DataFrame, *, label: str, keep_side: bool, opposite: bool) -> str:
    if unknown := aus_unknown(table, keep_side=keep_side):
        return unknown
    if not opposite:
        return "no two clips share an AU set and differ in emotion"
    signs = _valence(table[label].to_numpy())
    for sign, side in ((1, "positive"), (-1, "negative")):
        if not (signs == sign).any():
            return f"no clip has a {side} emotion; the emotions are {', '.join(sorted(set(table[label].astype(str))))}"
    return "no two clips share an AU set and have opposite emotions"
