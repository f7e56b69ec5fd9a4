"""Confusable pairs ranked: how alike they move, how far the emotion branch keeps them apart, what the model said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from medn_lab.diagnose.confusable import (
    Subjects,
    mark_pairs,
    of_subjects,
    rule_of,
    same_set_pairs,
    usable,
    why_none,
)
from medn_lab.diagnose.pair_distance import PairMetric, nearer_controls, pair_distance, place_among_all
from medn_lab.records import BranchFeatures, Predictions, constant_reason, people, positions


@dataclass(frozen=True, eq=False, repr=False)
class RankedPairs:
    """Confusable pairs, the most telling first.

    Attributes
    ----------
    table : DataFrame
        One row a pair, index the rank from 1. ``clip_a, clip_b, action_units, label_a, label_b``; ``opposite`` (bool),
        one emotion is positive and the other negative; ``same_subject`` (bool); ``motion_distance`` and
        ``emotion_distance``, where 1 is what unrelated clips have; ``motion_similarity``, the share of all pairs of
        clips that move less alike, and ``emotion_separation``, the share of all pairs that the emotion branch keeps
        less far apart, both in [0, 1] with .5 for a pair drawn at random; ``motion_beyond`` and ``emotion_beyond``, the
        share of its controls (pairs of the same AU set and the *same* emotion, ``n_controls`` of them) that the branch
        holds nearer together, .5 for a branch that knows the AUs alone and NaN without a control. With predictions also
        ``predicted_a, predicted_b`` and ``verdict``: both right, one right, swapped, both wrong. ``table.attrs`` holds
        `rule` and `none` for pictures.
    rule : str
        What makes a pair, what was measured, and by what it is ranked.
    n_clips, n_subjects : int
        In the pairs.
    none : str
        Why there is no pair; empty where there is one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": list("123"), "label": ["fear", "happiness", "fear"]})
    >>> table["action_units"] = "12"
    >>> features = BranchFeatures(*rng.normal(size=(3, 3, 4)), table)
    >>> rank_pairs(table, features=features).table[["clip_a", "clip_b", "opposite"]]
         clip_a clip_b  opposite
    rank
    1         a      b      True
    2         b      c      True
    """

    table: pd.DataFrame
    rule: str
    n_clips: int
    n_subjects: int
    none: str = ""

    def __repr__(self) -> str:
        if self.none:
            return f"RankedPairs: {self.none}; {self.rule}"
        pairs = self.table
        told = (
            f"RankedPairs: {len(pairs)} pairs of {self.n_clips} clips, {self.n_subjects} subjects;"
            f" {pairs['opposite'].sum()} of opposite valence, {pairs['same_subject'].sum()} of one subject;"
            f" median motion similarity {pairs['motion_similarity'].median():.3f}"
        )
        if pairs["emotion_separation"].notna().all():
            told += f", emotion separation {pairs['emotion_separation'].median():.3f} (at random .5)"
        if "verdict" in pairs:
            counts = pairs["verdict"].value_counts()
            told += "; " + ", ".join(f"{name} {n / len(pairs):.0%}" for name, n in counts.items())
        return f"{told}; {self.rule}"


def rank_pairs(
    table: pd.DataFrame,
    *,
    features: BranchFeatures,
    predictions: Predictions | None = None,
    by: Literal["separated", "missed", "motion"] = "separated",
    subjects: Subjects = "all",
    metric: PairMetric = "standardised",
    label: str = "label",
    keep_side: bool = False,
) -> RankedPairs:
    """Rank the confusable pairs: opposite valence first, then by how alike they move and how far apart they are held.

    Two clips with the same AU set and another emotion should lie together in the motion branch and apart in the emotion
    branch. Both are told as shares of *all* pairs of the table's clips, so that they need no unit. Pairs of one person
    are nearer to each other in every branch that still knows the person: look at both kinds (`subjects`).

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
    metric : {"standardised", "cosine"}
        Distance in feature space. ``standardised``: the euclidean one with each dimension at unit variance, so that all
        count alike, those that carry nothing too; ``cosine``: one minus the cosine about the mean, where a dimension
        counts as it spreads.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both. The intensity never counts.

    Returns
    -------
    RankedPairs
        Where there are none, it says why.

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
    >>> rank_pairs(table, features=features, by="motion").table.loc[1, ["clip_a", "clip_b"]].tolist()
    ['a', 'b']
    """
    if by not in ("separated", "missed", "motion"):
        raise ValueError(f"no ranking {by!r}; there are separated, missed, motion")
    if metric not in ("standardised", "cosine"):
        raise ValueError(f"no metric {metric!r}; there are standardised, cosine")
    if by != "motion" and features.emotion is None:
        raise ValueError(
            "these features have no emotion branch; rank by='motion', or extract them from a model of both"
        )
    known = usable(table, label=label, keep_side=keep_side)
    pairs = of_subjects(mark_pairs(known, label=label, keep_side=keep_side), subjects)
    rule = rule_of(table, keep_side=keep_side, subjects=subjects)
    rule += f"; {metric} distance; {_ORDER[by]}, opposite valence first"
    ids = table["clip_id"].astype(str).tolist()
    place = pd.Index(ids)
    a, b = place.get_indexer(pairs["clip_a"]), place.get_indexer(pairs["clip_b"])
    controls = _Controls(of_subjects(same_set_pairs(known, label=label, keep_side=keep_side), subjects), place, pairs)
    for branch in ("motion", "emotion"):
        distance, nearer, beyond = np.full((3, len(pairs)), np.nan)
        if len(pairs) and (branch == "motion" or features.emotion is not None):
            values = rows_of(features, ids, branch)
            constant = constant_reason({branch: values})
            rule += f"; {constant}" if constant else ""
            distance, nearer = place_among_all(values, a, b, metric=metric)
            beyond = controls.nearer(values, distance, metric=metric)
        pairs[f"{branch}_distance"] = distance
        pairs["motion_similarity" if branch == "motion" else "emotion_separation"] = (
            1 - nearer if branch == "motion" else nearer
        )
        pairs[f"{branch}_beyond"] = beyond
    pairs["n_controls"] = controls.n
    if predictions is not None:
        pairs = _with_verdict(pairs, predictions)
    score = {
        "separated": pairs["motion_similarity"] + pairs["emotion_separation"],
        "missed": pairs["motion_similarity"] - pairs["emotion_separation"],
        "motion": pairs["motion_similarity"],
    }[by]
    pairs = pairs.assign(_score=score).sort_values(
        ["opposite", "_score", "clip_a", "clip_b"], ascending=[False, False, True, True]
    )
    pairs = pairs.drop(columns="_score").set_axis(pd.RangeIndex(1, len(pairs) + 1, name="rank"))
    none = "" if len(pairs) else why_none(table, label=label, keep_side=keep_side, subjects=subjects)
    pairs.attrs = {"rule": rule, "none": none}
    used = known[known["clip_id"].isin(set(pairs["clip_a"]) | set(pairs["clip_b"]))]
    return RankedPairs(pairs, rule, len(used), len(set(people(used))), none)


class _Controls:
    """The pairs of one AU set and one emotion, against which each confusable pair of that set is held."""

    def __init__(self, same_set: pd.DataFrame, place: pd.Index, pairs: pd.DataFrame) -> None:
        controls = same_set[~same_set["differ"].to_numpy(dtype=bool)]
        both = np.concatenate([pairs["action_units"].to_numpy(dtype=str), controls["action_units"].to_numpy(dtype=str)])
        _, codes = np.unique(both, return_inverse=True)
        self._of_pair, self._of_control = codes[: len(pairs)], codes[len(pairs) :]
        self._a, self._b = (place.get_indexer(controls[f"clip_{side}"]) for side in "ab")
        counts = np.bincount(self._of_control, minlength=codes.max(initial=0) + 1)
        self.n = counts[self._of_pair]

    def nearer(self, values: np.ndarray, distance: np.ndarray, *, metric: PairMetric) -> np.ndarray:
        """The share of each pair's controls that lie nearer together."""
        own = pair_distance(values, self._a, self._b, metric=metric)
        share, _ = nearer_controls(distance, self._of_pair, control_distance=own, control_sets=self._of_control)
        return share


_ORDER = {
    "separated": "most alike in motion and apart in emotion first",
    "missed": "most alike in motion and least apart in emotion first",
    "motion": "most alike in motion first",
}


def rows_of(features: BranchFeatures, clip_ids: list[str], branch: str) -> np.ndarray:
    """A branch's features of these clips, (n, d), checked."""
    values = getattr(features, branch)
    if values is None:
        raise ValueError(f"these features have no {branch} branch")
    missing = set(clip_ids) - set(features.table["clip_id"])
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(clip_ids)} clips of the table have no features, such as {min(missing)!r}; "
            "extract the features of the same clips"
        )
    values = values[positions(features.table, clip_ids, owner="these BranchFeatures")]
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ValueError(f"{(~finite).sum()} of {len(values)} clips have {branch} features that are not finite")
    return values


def _with_verdict(pairs: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    said = pd.Series(predictions.predicted, index=predictions.table["clip_id"])
    wanted = set(pairs["clip_a"]) | set(pairs["clip_b"])
    missing = wanted - set(said.index)
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} clips in the pairs have no prediction, such as {min(missing)!r}; "
            "predict the same clips"
        )
    predicted = {side: said.reindex(pairs[f"clip_{side}"]).to_numpy(dtype=object) for side in "ab"}
    right = {side: predicted[side] == pairs[f"label_{side}"].to_numpy(dtype=object) for side in "ab"}
    swapped = (predicted["a"] == pairs["label_b"].to_numpy(dtype=object)) & (
        predicted["b"] == pairs["label_a"].to_numpy(dtype=object)
    )
    n_right = right["a"].astype(int) + right["b"].astype(int)
    verdict = np.asarray(["both wrong", "one right", "both right"], dtype=object)[n_right]
    return pairs.assign(
        predicted_a=predicted["a"], predicted_b=predicted["b"], verdict=np.where(swapped, "swapped", verdict)
    )
