"""Confusable pairs, clips of one AU set and two emotions: counted, ranked, and compared with pairs of one emotion.

Every number of a pair of clips goes back to one table, all pairs of one AU set. Those of different emotions are
*confusable*; those of one emotion are their *controls*.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.diagnose.neighbours import nearer_controls, pair_distance, share_nearer
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.pairs import aus_unknown, confusable_pairs
from medn_lab.evaluate.resampling import draw_counts, t_bounds
from medn_lab.records import BranchFeatures, Predictions, au_set_text, au_sets
from medn_lab.records.table import check_label, check_table, constant_reason, counted, people, positions, require

__all__ = ["confusable_pairs", "confusable_sets", "pair_separation", "rank_pairs"]

Subjects = Literal["all", "same", "different"]

_SUBJECTS = {"all": "", "same": "; pairs of one subject", "different": "; pairs of two subjects"}

# How each ranking counts the separation in the emotion branch, and what comes first.
_ORDER = {
    "separated": (1, "most alike in motion and apart in emotion first"),
    "missed": (-1, "most alike in motion and least apart in emotion first"),
    "motion": (0, "most alike in motion first"),
}

_APART = "1 is good: kept apart"
_DIRECTION = {"motion": "0.5 is good: motion cannot know", "emotion": _APART, "fused": _APART}


def confusable_sets(table: pd.DataFrame, *, label: str = "label", keep_side: bool = False) -> pd.DataFrame:
    """Which AU sets have clips of more than one emotion, and how many of each.

    What AUs alone can never decide. Read it before any figure on confusable pairs: a handful of AU sets, or of persons,
    may hold nearly all of them.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id, subject`` and ``action_units`` or AU columns; :func:`medn_lab.records.au_sets` says which AU
        sets are the same.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both. The intensity never counts.

    Returns
    -------
    DataFrame
        One row an AU set, the one with most clips first: ``action_units, n_clips, n_subjects, n_emotions``; ``n_pairs``
        of clips with different emotions, ``n_opposite`` of them of opposite valence, ``n_same_subject`` of them of one
        person; then a column an emotion with its number of clips. ``.attrs`` holds ``rule``, what makes two AU sets the
        same; ``none``, why there is no such set, or empty; and ``summary``, a sentence, which counts all clips with a
        certain AU set of at least one AU and a label, confusable or not, and those left out.

    Raises
    ------
    ValueError
        If a column is missing, or a clip_id appears twice.

    See Also
    --------
    confusable_pairs, rank_pairs, medn_lab.view.plot_confusable_sets

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", "1", "2"], "action_units": ["12", "12", "4"],
    ...                       "label": ["happiness", "repression", "others"]})
    >>> found = confusable_sets(table)
    >>> found[["action_units", "n_clips", "n_pairs", "n_opposite"]].to_dict("records")
    [{'action_units': '12', 'n_clips': 2, 'n_pairs': 1, 'n_opposite': 1}]
    >>> found.attrs["summary"]
    '1 of 2 AU sets have more than one emotion, 2 of 3 clips; opposite valence in 1 of 1 pairs, one subject in 1; ...'
    """
    known, pairs = _same_set_pairs(table, label=label, keep_side=keep_side)
    sums = {"n_pairs": ("clip_a", "size"), "n_opposite": ("opposite", "sum"), "n_same_subject": ("same_subject", "sum")}
    kinds = pairs[pairs["_differ"]].groupby("action_units", sort=False).agg(**sums)
    own = known[known["_aus"].isin(kinds.index)].assign(_person=people)
    sums = {"n_clips": (label, "size"), "n_subjects": ("_person", "nunique"), "n_emotions": (label, "nunique")}
    counts, emotions = own.groupby("_aus").agg(**sums), pd.crosstab(own["_aus"], own[label])
    emotions = emotions[[name for name in known[label].value_counts().index if name in emotions]]
    found = counts.reindex(kinds.index).join(kinds).join(emotions).reset_index()
    found = found.sort_values(["n_clips", "n_pairs"], ascending=False, kind="stable", ignore_index=True)
    n_sets, n_left_out, total = known["_aus"].nunique(), len(table) - len(known), found.sum()
    sets = f"{len(found)} of {n_sets} AU sets have more than one emotion, {total['n_clips']} of {len(known)} clips"
    kinds = f"opposite valence in {total['n_opposite']} of {total['n_pairs']} pairs"
    summary = pairs.attrs["none"] or f"{sets}; {kinds}, one subject in {total['n_same_subject']}"
    left_out = f"; clips left out in all: {n_left_out}" if n_left_out else ""
    found.attrs = {**pairs.attrs, "summary": f"{summary}; {pairs.attrs['rule']}{left_out}"}
    return found


def rank_pairs(
    table: pd.DataFrame,
    *,
    features: BranchFeatures,
    predictions: Predictions | None = None,
    by: Literal["separated", "missed", "motion"] = "separated",
    subjects: Subjects = "all",
    label: str = "label",
    keep_side: bool = False,
) -> pd.DataFrame:
    """Rank the confusable pairs: opposite valence first, then by how alike they move and how far apart they lie.

    Two clips with the same AU set and another emotion should lie together in the motion branch and apart in the emotion
    branch. Both are shares of *all* pairs of the table's clips, so that they need no unit. Pairs of one person are
    nearer to each other in every branch that still knows the person: look at both kinds (`subjects`).

    The ranking finds pairs to look at; it is no score. Even a branch that separates all emotions perfectly holds a
    confusable pair at ``1 - p / 2`` on average, where ``p`` is the share of all pairs that differ in emotion (.6 for
    five even classes). Whether a branch separates emotions beyond the AUs is what :func:`pair_separation` answers.

    Parameters
    ----------
    table : DataFrame
        The clips, with ``clip_id, subject``, the emotion, and ``action_units`` or AU columns.
    features : BranchFeatures
        Of the same clips, joined by clip_id; more clips do no harm. The motion branch must be there.
    predictions : Predictions or None
        Joined by clip_id; adds the model's verdict on each pair.
    by : {"separated", "missed", "motion"}
        ``separated``: alike in motion and apart in emotion first (the mean of both shares); ``missed``: alike in motion
        and *not* apart in emotion first; ``motion``: alike in motion first.
    subjects : {"all", "same", "different"}
        Pairs of one person, of two, or all.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both. The intensity never counts.

    Returns
    -------
    DataFrame
        One row a pair, index the rank from 1. ``clip_a, clip_b, action_units, label_a, label_b``; ``opposite`` (bool),
        one emotion is positive and the other negative; ``same_subject`` (bool); ``motion_distance`` and
        ``emotion_distance``, euclidean with each dimension at unit variance, where 1 is what unrelated clips have;
        ``motion_similarity``, the share of all pairs of clips that move less alike, and ``emotion_separation``, the
        share of all pairs that the emotion branch keeps less far apart, both in [0, 1] with .5 for a pair drawn at
        random; ``motion_beyond`` and ``emotion_beyond``, the
        share of its controls (pairs of the same AU set and the *same* emotion, ``n_controls`` of them) that the branch
        holds nearer together, .5 for a branch that knows the AUs alone and NaN without a control. With predictions also
        ``predicted_a, predicted_b`` and ``verdict``: both right, one right, swapped, both wrong. ``.attrs`` holds
        ``rule``, what makes a pair, what was measured and by what it is ranked; ``none``, why there is no pair, or
        empty; and ``summary``, a sentence.

    Raises
    ------
    ValueError
        If a column is missing, a clip has no features or no prediction, a feature is not finite, or the features lack
        the branch that the ranking needs.

    See Also
    --------
    confusable_pairs, confusable_sets, pair_separation, swap_branches, medn_lab.view.plot_confusable_pairs,
    medn_lab.view.plot_pair, medn_lab.widgets.PairBrowser

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": list("123"), "label": ["fear", "happiness", "fear"]})
    >>> table["action_units"] = "12"
    >>> motion = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> features = BranchFeatures(motion, rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), table)
    >>> rank_pairs(table, features=features, by="motion")[["clip_a", "clip_b", "opposite"]]
         clip_a clip_b  opposite
    rank
    1         a      b      True
    2         b      c      True
    """
    if by not in _ORDER:
        raise ValueError(f"no ranking {by!r}; there are {', '.join(_ORDER)}")
    known, every = _same_set_pairs(table, label=label, keep_side=keep_side, subjects=subjects)
    differ, none = every["_differ"].to_numpy(), every.attrs["none"]
    pairs = every[differ].drop(columns="_differ").reset_index(drop=True)
    sign, order = _ORDER[by]
    rule = f"{every.attrs['rule']}; standardised distance; {order}, opposite valence first"
    ids = table["clip_id"].astype(str)
    a, b = (pd.Index(ids).get_indexer(every[name]) for name in ("clip_a", "clip_b"))
    how: dict[str, Any] = {"sets": every["action_units"], "differ": differ, "who": np.zeros(len(every), dtype=int)}
    for branch, place in (("motion", "motion_similarity"), ("emotion", "emotion_separation")):
        found = np.full((3, len(pairs)), np.nan)
        if len(pairs) and (branch == "motion" or by != "motion" or features.emotion is not None):
            values = _rows_of(features, ids, branch)
            constant = constant_reason({branch: values})
            rule += f"; {constant}" if constant else ""
            distance = pair_distance(values, a, b)
            beyond, _ = next(nearer_controls(distance, [np.ones(1)], **how))
            nearer = share_nearer(values, distance[differ])
            found = np.stack([distance[differ], 1 - nearer if branch == "motion" else nearer, beyond])
        pairs[[f"{branch}_distance", place, f"{branch}_beyond"]] = found.T
    pairs["n_controls"] = (~every["_differ"]).groupby(every["action_units"]).transform("sum").to_numpy()[differ]
    if predictions is not None and len(pairs):
        both = (positions(predictions.table, pairs[name], owner="these Predictions") for name in ("clip_a", "clip_b"))
        a, b = (predictions.predicted[rows] for rows in both)
        label_a, label_b = pairs["label_a"], pairs["label_b"]
        right, swapped = np.add(a == label_a, b == label_b, dtype=int), (a == label_b) & (b == label_a)
        verdict = np.select([swapped, right == 2, right == 1], ["swapped", "both right", "one right"], "both wrong")
        pairs = pairs.assign(predicted_a=a, predicted_b=b, verdict=verdict)
    pairs["_score"] = pairs["motion_similarity"] + sign * pairs["emotion_separation"].fillna(0)
    pairs = pairs.sort_values(["opposite", "_score", "clip_a", "clip_b"], ascending=[False, False, True, True])
    pairs = pairs.drop(columns="_score").set_axis(pd.RangeIndex(1, len(pairs) + 1, name="rank"))
    used = known[known["clip_id"].isin({*pairs["clip_a"], *pairs["clip_b"]})]
    sizes = f"pairs: {len(pairs)}, of {len(used)} clips and {people(used).nunique()} subjects"
    kinds = f"{pairs['opposite'].sum()} of opposite valence, {pairs['same_subject'].sum()} of one subject"
    pairs.attrs = {"rule": rule, "none": none, "summary": f"{none or f'{sizes}; {kinds}'}; {rule}"}
    return pairs


def pair_separation(
    table: pd.DataFrame,
    *,
    features: BranchFeatures,
    subjects: Subjects = "all",
    label: str = "label",
    keep_side: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often a branch keeps a confusable pair further apart than a pair of the same AU set and the *same* emotion.

    The control for :func:`rank_pairs`: any two clips differ a little, so that a large distance means something only
    in comparison with that of two clips of one emotion. A branch that carries movement alone scores .5, whatever the
    AUs do to its distances, since both kinds of pair share their AU set; a motion branch clearly above .5 has learned
    something of the emotion, an emotion branch at .5 nothing beyond the AUs.

    Parameters
    ----------
    table, features, subjects, label, keep_side
        As in :func:`rank_pairs`. All branches that the features have get a row; `subjects` counts for controls too.
    n_resamples : int
        Resamples of whole subjects; a pair of two counts as often as both were drawn together.
    seed : int

    Returns
    -------
    DataFrame
        One row a branch: ``branch``; ``value`` in [0, 1], the mean over the pairs of the share of its AU set's controls
        that lie nearer together, a tie counts half, .5 for a branch that does not know the emotion beyond its AUs;
        ``low, high`` (95 % bounds over subjects, NaN with one); ``direction`` (which way is good; of a branch without a
        value, that it is constant); ``n_pairs, n_controls, n_clips, n_subjects``. ``.attrs`` holds ``rule``, what makes
        a pair and what was measured; ``level``, 0.95; ``none``, why there is no figure, or empty; and ``n_left_out``,
        the confusable pairs left out because their AU set has no pair of one emotion.

    Raises
    ------
    ValueError
        If a column is missing, a clip has no features, or a feature is not finite.

    See Also
    --------
    rank_pairs, medn_lab.evaluate.pair_auc, medn_lab.view.plot_pair_separation

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(24)], "subject": [str(k // 4) for k in range(24)]})
    >>> table["label"], table["action_units"] = ["fear", "happiness"] * 12, "12"
    >>> emotion = np.where(table["label"] == "fear", 1.0, -1.0)[:, None] + rng.normal(0, 0.1, (24, 3))
    >>> features = BranchFeatures(rng.normal(size=(24, 3)), emotion, emotion, table)
    >>> found = pair_separation(table, features=features, n_resamples=50)
    >>> found.set_index("branch")["value"].round(2).to_dict()
    {'motion': 0.51, 'emotion': 1.0, 'fused': 1.0}
    >>> found.loc[0, ["low", "high"]].round(2).tolist()
    [0.27, 0.74]
    """
    known, pairs = _same_set_pairs(table, label=label, keep_side=keep_side, subjects=subjects)
    rule, none = f"{pairs.attrs['rule']}; standardised distance", pairs.attrs["none"]
    n_pairs = int(pairs["_differ"].sum())
    pairs = pairs[pairs.groupby("action_units")["_differ"].transform("nunique") > 1]
    differ = pairs["_differ"].to_numpy()
    if not none and not len(pairs):
        none = f"none here, because no AU set of the confusable pairs ({n_pairs}) has a pair of one emotion"
    a, b = (pd.Index(known["clip_id"]).get_indexer(pairs[name]) for name in ("clip_a", "clip_b"))
    names, person = np.unique(people(known).to_numpy(dtype=str), return_inverse=True)
    confusable = np.union1d(a[differ], b[differ])
    sizes = (int(differ.sum()), int((~differ).sum()), len(confusable), len(set(person[confusable])))
    how: dict[str, Any] = {"sets": pairs["action_units"], "differ": differ, "who": person[a] * len(names) + person[b]}
    counts, same = draw_counts(max(len(names), 1), n_draws=n_resamples, seed=seed), np.eye(len(names), dtype=bool)
    rows = []
    for branch in [name for name in _DIRECTION if getattr(features, name) is not None and not none]:
        values = _rows_of(features, known["clip_id"], branch)
        reason = constant_reason({branch: values})
        rule += f"; {reason}" if reason else ""
        # A pair of two persons counts as often as both were drawn together, a pair of one as often as that person.
        weights = (np.where(same, n[:, None], np.outer(n, n)).ravel() for n in counts)
        drawn = np.array([mean for _, mean in nearer_controls(pair_distance(values, a, b), weights, **how)])
        bounds = t_bounds(drawn, n_units=len(names), level=0.95, n_clips=len(confusable), share=True)
        rows.append([branch, drawn[0], *bounds, reason or _DIRECTION[branch], *sizes])
    columns = ["branch", "value", "low", "high", "direction", "n_pairs", "n_controls", "n_clips", "n_subjects"]
    found = pd.DataFrame(rows, columns=columns)
    found.attrs = {"rule": rule, "level": 0.95, "none": none, "n_left_out": n_pairs - sizes[0]}
    return found


def _same_set_pairs(
    table: pd.DataFrame, *, label: str, keep_side: bool, subjects: Subjects = "all"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips with an AU set ``_aus`` and an emotion, and all their pairs of one AU set; ``attrs`` are rule and none.

    Pairs of two emotions ``_differ``; ``none`` says why there is no such pair.
    """
    if subjects not in _SUBJECTS:
        raise ValueError(f"no choice of subjects {subjects!r}; there are {', '.join(_SUBJECTS)}")
    known = check_table(table, owner="clips", required=("clip_id", "subject", label))
    known[label] = check_label(known, label=label, complete=False)
    sets = [au_set_text(aus) if aus else None for aus in au_sets(known, keep_side=keep_side)]
    known = known.assign(_aus=pd.Series(sets, dtype=object)).dropna(subset=["_aus", label]).reset_index(drop=True)
    rows = [rows[np.array(np.triu_indices(len(rows), k=1))] for rows in known.groupby("_aus").indices.values()]
    a, b = np.concatenate([np.empty((2, 0), dtype=int), *rows], axis=1)
    ids, aus, labels = (known[name].to_numpy(dtype=object) for name in ("clip_id", "_aus", label))
    person, _ = pd.factorize(people(known))
    parts = {"clip_a": ids[a], "clip_b": ids[b], "action_units": aus[a], "label_a": labels[a], "label_b": labels[b]}
    pairs = pd.DataFrame(parts)
    opposite = confusable_pairs(table, label=label, keep_side=keep_side, opposite=True)
    of_pairs, of_opposite = (pd.MultiIndex.from_frame(one[["label_a", "label_b"]]) for one in (pairs, opposite))
    pairs = pairs.assign(opposite=of_pairs.isin(of_opposite.unique()), same_subject=person[a] == person[b])
    pairs["_differ"] = labels[a] != labels[b]
    n_confusable, n_doubtful = int(pairs["_differ"].sum()), opposite.attrs["n_doubtful"]
    if subjects != "all":
        pairs = pairs[pairs["same_subject"] == (subjects == "same")].reset_index(drop=True)
    rule = "AU sets with side, without intensity" if keep_side else "AU sets without side and intensity"
    in_doubt = f"; {counted(n_doubtful, 'clip')} with AUs in doubt left out" if n_doubtful else ""
    why = "no two clips share an AU set and differ in emotion"
    if not len(known):
        why = aus_unknown(table, keep_side=keep_side) or f"no clip has both known AUs and a {label}"
    elif len(set(labels)) == 1:
        why = f"all clips ({len(known)}) are labelled {labels[0]!r}"
    elif n_confusable:
        why = f"all confusable pairs ({n_confusable}) are of {'two subjects' if subjects == 'same' else 'one subject'}"
    none = "" if pairs["_differ"].any() else f"none here, because {why}"
    pairs.attrs = {"rule": rule + _SUBJECTS[subjects] + in_doubt, "none": none}
    return known, pairs


def _rows_of(features: BranchFeatures, clip_ids: pd.Series, branch: str) -> np.ndarray:
    """A branch's features of these clips, (n, d), checked."""
    hint = "; rank by='motion'" if branch == "emotion" else ""
    values = require(getattr(features, branch), otherwise=f"these features have no {branch} branch{hint}")
    rows = positions(features.table, clip_ids, owner="these BranchFeatures")
    return check_features(values[rows], owner=f"the {branch} features")
