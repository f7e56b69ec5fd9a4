"""The score of Action Units alone, and the pairs of clips that share their AUs and differ in emotion."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.protocols import Fold, canonical_emotion, leave_one_subject_out
from medn_lab.evaluate.resampling import Draws, Interval, ratio
from medn_lab.records import Predictions, au_doubt, au_set_text, au_sets, check_label, check_table, people

# Opposite are a positive and a negative emotion; surprise, others and what else is not named here are opposite to
# nothing. Repression counts as negative, as in the protocols of MEGC.
NEGATIVE = ("negative", "disgust", "repression", "anger", "fear", "sadness", "contempt")
SIDES = {"happiness": 1, "positive": 1} | dict.fromkeys(NEGATIVE, -1)


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
    ids = table["clip_id"].to_numpy()
    labels = check_label(table, label=label, complete=False).to_numpy()
    names = np.array([au_set_text(aus) if aus else "" for aus in au_sets(table, keep_side=keep_side)], dtype=object)
    places = pd.Series(np.flatnonzero((names != "") & ~pd.isna(labels)))
    codes, each = pd.factorize(labels)  # A missing label has the code -1, the last.
    side = np.array([*(SIDES.get(canonical_emotion(name), 0) for name in each), 0])[codes]
    found = [np.empty((2, 0), dtype=int)]
    for _, group in places.groupby(names[places], sort=True):
        pairs = group.to_numpy()[np.array(np.triu_indices(len(group), k=1))]
        differ = labels[pairs[0]] != labels[pairs[1]]
        if opposite:
            differ &= side[pairs[0]] * side[pairs[1]] < 0
        found.append(pairs[:, differ])
    a, b = np.concatenate(found, axis=1)
    columns = {"clip_a": ids[a], "clip_b": ids[b], "action_units": names[a], "label_a": labels[a], "label_b": labels[b]}
    pairs = pd.DataFrame(columns)
    pairs.attrs["n_doubtful"] = int((au_doubt(table, keep_side=keep_side) != "").sum())
    return pairs


def pair_auc(
    predictions: Predictions, *, label: str = "label", keep_side: bool = False, opposite: bool = False,
    across_folds: bool = False, n_resamples: int = 1000, seed: int = 0,
) -> Interval:  # fmt: skip
    """Over confusable pairs, how often the right clip is ranked higher for the emotion in question.

    Each pair counts twice: which of the two clips has the first one's emotion, and which the second's. The answer is
    the clip with the higher probability of that emotion; a tie counts half. A model that reads motion alone gives both
    clips nearly the same probabilities and guesses.

    Where the predictions come from a cross-validation, only pairs within a fold count: both clips were then new to the
    one network that scored them. Across folds each network has learned from the clip that the other one scores. AUs
    alone then score far below 0.5 (0.34 where a motion branch was trained on 100 clips), which is an effect of the
    split and no knowledge.

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
    n_resamples : int
        Resamples of whole subjects, for the 95 % interval; a pair of two subjects counts as often as both were drawn
        together.
    seed : int

    Returns
    -------
    Interval
        With `n_pairs` and `n_doubtful`; where there is no pair the value is NaN and `reason` a sentence.

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
    pair AUC 0.500 [0.015, 0.985] (95%, 2 pairs, 3 subjects, 3 clips)
    """
    table = predictions.table
    found = confusable_pairs(table, label=label, keep_side=keep_side, opposite=opposite)
    classes, rows = pd.Index(predictions.classes), pd.Index(table["clip_id"])
    unknown = sorted((set(found["label_a"]) | set(found["label_b"])) - set(classes))
    if unknown:
        raise ValueError(f"the pairs are labelled {', '.join(unknown)}; the classes are {', '.join(classes)}")
    a, b = (rows.get_indexer(found[name]) for name in ("clip_a", "clip_b"))
    of_a, of_b = (classes.get_indexer(found[name]) for name in ("label_a", "label_b"))
    scores, fold = predictions.probabilities, predictions.fold
    ahead = np.stack([scores[a, of_a] - scores[b, of_a], scores[b, of_b] - scores[a, of_b]])
    # `right` is the share of the two questions about a pair that has a right answer: 0, a quarter, ... 1.
    every = found.assign(a=a, b=b, right=(0.5 + 0.5 * np.sign(ahead)).mean(axis=0))
    pairs = every if across_folds or fold is None else every[fold[a] == fold[b]]
    clips = pd.unique(pairs[["clip_a", "clip_b"]].to_numpy().ravel())
    n_subjects = people(table).set_axis(table["clip_id"])[clips].nunique()
    low, high, reason = np.nan, np.nan, ""
    if not len(pairs):
        differ = "have opposite emotions" if opposite else "differ in emotion"
        reason = aus_unknown(table, keep_side=keep_side) or f"no two clips share an AU set and {differ}"
        if len(every):
            reason = f"the clips of each of {len(every)} pairs were held out in different folds"
    elif not ahead[:, pairs.index].any():  # The scores of both clips are the same, as from a model of the AUs alone.
        low = high = 0.5
    elif n_subjects > 1:
        draws = Draws(table, n_resamples=n_resamples, seed=seed)
        low, high = draws.bounds(_pair_values(pairs, draws), n_clips=len(clips), share=True, n_people=n_subjects)
    name = "pair AUC of opposite emotions" if opposite else "pair AUC"
    doubtful, value = found.attrs["n_doubtful"], float(pairs["right"].mean())
    return Interval(value, low, high, len(clips), n_subjects, len(pairs), doubtful, name, reason)


def _pair_values(pairs: pd.DataFrame, draws: Draws) -> np.ndarray:
    """The pair AUC in the sample and in each draw of its persons, (1 + n_resamples,).

    A pair of two persons counts as often as both were drawn together, a pair within one person as often as that person.
    """
    n, first, second = len(draws.names), draws.person[pairs["a"]], draws.person[pairs["b"]]
    within, sums = first == second, []
    for weights in (pairs["right"].to_numpy(), np.ones(len(pairs))):
        between = np.zeros((n, n))
        np.add.at(between, (first[~within], second[~within]), weights[~within])
        own = np.bincount(first[within], weights=weights[within], minlength=n)
        sums.append(((draws.counts @ between) * draws.counts).sum(axis=1) + draws.counts @ own)
    return ratio(*sums)


def aus_unknown(table: pd.DataFrame, *, keep_side: bool) -> str:
    """A sentence that the AU set of no clip is known; empty where one is known."""
    if any(aus is not None for aus in au_sets(table, keep_side=keep_side)):
        return ""
    in_doubt = " or in doubt" if (au_doubt(table, keep_side=keep_side) != "").any() else ""
    return f"the AUs of all {len(table)} clips are unknown{in_doubt}"


def au_only_floor(table: pd.DataFrame, *, label: str = "label", folds: Sequence[Fold] | None = None) -> Predictions:
    """The emotion that a clip's AU set has most often among other persons; no network is used.

    Each clip gets the majority emotion of its AU set among the training subjects. An AU set that they do not show is
    decided by the vote of its single AUs, and if those are new too (or the AUs unknown) by the majority of all.
    Ties go to the emotion that is more frequent among the training clips, then to the alphabet.

    It reads the coders' AUs, which a network has to detect first; a network of AUs alone will score less.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id, subject, action_units`` (or AU columns) and, where it has several data sets, ``dataset``.
    label : str
        Column of the emotion.
    folds : sequence of Fold, optional
        The split; by default each subject is left out once. Only clips that a fold tests are scored, so that the floor
        is of the same clips as a model's score.

    Returns
    -------
    Predictions
        As of any model, for :func:`bootstrap_interval`, :func:`compare_predictions` and :func:`confusion_matrix`; the
        decided class has logit 0, every other -inf. ``source`` holds ``name`` (``AU-only floor``, or ``majority class
        (no AUs known)``), ``n_unseen`` (clips whose AU set no training subject showed), ``n_unknown`` (clips whose AU
        set is unknown, disputed or incomplete: they have no vote and got the majority of all; they are among the
        unseen), and ``n_doubtful`` (those of them whose AU set is disputed or incomplete).

    Raises
    ------
    ValueError
        If a column is missing or there are fewer than 2 subjects.

    See Also
    --------
    pair_auc, evaluate_loso

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "clip_id": list("abcd"), "subject": ["1", "1", "2", "2"],
    ...     "action_units": ["12", "4", "12", "4"], "label": ["happiness", "disgust", "happiness", "others"]})
    >>> au_only_floor(table)
    Predictions: 4 clips, 3 classes (disgust, happiness, others), 0.500 of them right
    """
    table = table.assign(**{label: check_label(table, label=label)})
    ids, sets = table["clip_id"].astype(str), au_sets(table)
    rows = pd.DataFrame({"aus": sets, "label": table[label].to_numpy()}, index=ids)
    set_of, n_unseen = rows["aus"].to_dict(), 0
    decided: dict[str, tuple[str, int]] = {}
    for number, fold in enumerate(leave_one_subject_out(table) if folds is None else folds):
        training = rows[rows.index.isin(fold.train)]
        overall = Counter(training["label"])
        cast: defaultdict[Any, Counter] = defaultdict(Counter)  # the votes of each AU set, and of each single AU
        for aus, emotion in zip(training["aus"], training["label"], strict=True):
            for key in () if aus is None else (aus, *aus):
                cast[key][emotion] += 1
        for clip_id in fold.test:
            votes = cast.get(set_of[clip_id])
            if votes is None:
                n_unseen += 1
                votes = sum((cast[au] for au in set_of[clip_id] or ()), Counter()) or overall
            decided[clip_id] = min(votes, key=lambda name: (-votes[name], -overall[name], str(name))), number
    scored = table[ids.isin(decided.keys())].reset_index(drop=True)
    found = pd.DataFrame(decided, index=["class", "fold"]).T.reindex(scored["clip_id"].astype(str))
    classes = tuple(sorted(rows["label"].unique()))
    name = "AU-only floor" if any(aus is not None for aus in sets) else "majority class (no AUs known)"
    source = {
        "name": name, "n_unseen": n_unseen, "n_unknown": sum(set_of[clip_id] is None for clip_id in decided),
        "n_doubtful": int((au_doubt(table) != "")[ids.isin(decided.keys())].sum()),
    }  # fmt: skip
    logits = np.where(found["class"].to_numpy()[:, None] == np.array(classes, dtype=object), 0, -np.inf).astype("f4")
    return Predictions(logits, scored, classes, fold=found["fold"].to_numpy(dtype=int), source=source)
