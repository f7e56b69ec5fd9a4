"""Whether a branch keeps confusable pairs apart at all: against pairs of the same AU set and the same emotion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.diagnose.confusable import Subjects, of_subjects, rule_of, same_set_pairs, usable, why_none
from medn_lab.diagnose.pair_distance import TIE, PairMetric, pair_distance
from medn_lab.diagnose.pair_ranking import rows_of
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.records import BranchFeatures, constant_reason, people

_DIRECTION = {
    "motion": "0.5 is good: motion cannot know",
    "emotion": "1 is good: kept apart",
    "fused": "1 is good: kept apart",
}


@dataclass(frozen=True, eq=False, repr=False)
class PairSeparation:
    """How far each branch keeps confusable pairs apart, beyond pairs of the same AU set and the same emotion.

    Attributes
    ----------
    table : DataFrame
        One row a branch: ``branch, value`` in [0, 1] with .5 for a branch that does not know the emotion beyond its
        AUs, ``low, high`` (bounds over subjects, NaN with one), ``direction`` (which way
        is good; of a branch without a value, that it is constant), ``n_pairs, n_controls, n_clips, n_subjects``.
        ``table.attrs`` holds `rule`, `level` and `none` for pictures.
    rule : str
        What makes a pair, and what was measured.
    level : float
        Coverage of the intervals.
    n_without_control : int
        Confusable pairs left out because their AU set has no pair of the same emotion.
    none : str
        Why there is no figure; empty where there is one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(24)], "subject": [str(k // 4) for k in range(24)]})
    >>> table["label"], table["action_units"] = ["fear", "happiness"] * 12, "12"
    >>> emotion = np.where(table["label"] == "fear", 1.0, -1.0)[:, None] + rng.normal(0, 0.1, (24, 3))
    >>> features = BranchFeatures(rng.normal(size=(24, 3)), emotion, emotion, table)
    >>> found = pair_separation(table, features=features, n_resamples=50)
    >>> found
    PairSeparation: motion 0.506 [0.272, 0.737], emotion 1.000 [0.784, 1.000], fused 1.000 [0.784, 1.000] ...
    """

    table: pd.DataFrame
    rule: str
    level: float
    n_without_control: int = 0
    none: str = ""

    def __repr__(self) -> str:
        if self.none:
            return f"PairSeparation: {self.none}; {self.rule}"
        first = self.table.iloc[0]
        told = ", ".join(
            f"{row.branch} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.value) else row.direction
            for row in self.table.itertuples()
        )
        left_out = f", {self.n_without_control} pairs without a control left out" if self.n_without_control else ""
        return (
            f"PairSeparation: {told} ({self.level:.0%}, {first['n_pairs']} pairs against {first['n_controls']} of one"
            f" emotion, {first['n_clips']} clips, {first['n_subjects']} subjects{left_out}); {self.rule}"
        )


def pair_separation(
    table: pd.DataFrame,
    *,
    features: BranchFeatures,
    subjects: Subjects = "all",
    metric: PairMetric = "standardised",
    label: str = "label",
    keep_side: bool = False,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PairSeparation:
    """How often a branch keeps a confusable pair further apart than a pair of the same AU set and the *same* emotion.

    The control for :func:`rank_pairs`: any two clips differ a little, so that a large distance means nothing before it
    is held against that of two clips which mean the same. A branch that carries movement alone scores .5, whatever the
    AUs do to its distances, since both kinds of pair share their AU set; a motion branch clearly above .5 has learned
    something of the emotion, an emotion branch at .5 nothing beyond the AUs.

    Parameters
    ----------
    table : DataFrame
        The clips, with ``clip_id, subject``, the emotion, and ``action_units`` or AU columns.
    features : BranchFeatures
        Of the same clips, joined by clip_id. All branches that there are get a row.
    subjects : {"all", "same", "different"}
        Pairs of one person, of two, or all; the controls alike.
    metric : {"standardised", "cosine"}
        As in :func:`rank_pairs`.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both. The intensity never counts.
    level : float
        Coverage of the interval, in (0, 1).
    n_resamples : int
        Resamples of whole subjects; a pair of two counts as often as both were drawn together.
    seed : int

    Returns
    -------
    PairSeparation
        The mean over the pairs of the share of its AU set's controls that lie nearer together; a tie counts half.

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
    >>> found = pair_separation(table, features=features, n_resamples=50).table.set_index("branch")
    >>> found["value"].round(2).to_dict()
    {'motion': 0.51, 'emotion': 1.0, 'fused': 1.0}
    """
    known = usable(table, label=label, keep_side=keep_side)
    rule = f"{rule_of(table, keep_side=keep_side, subjects=subjects)}; {metric} distance"
    pairs = of_subjects(same_set_pairs(known, label=label, keep_side=keep_side), subjects)
    both = pairs.groupby("action_units")["differ"].agg(["any", "all"])
    usable_sets = both.index[both["any"] & ~both["all"]]
    n_pairs = int(pairs["differ"].sum())
    pairs = pairs[pairs["action_units"].isin(usable_sets)].reset_index(drop=True)
    without = n_pairs - int(pairs["differ"].sum())
    branches = [name for name in _DIRECTION if getattr(features, name) is not None]
    none = ""
    if not n_pairs:
        none = why_none(table, label=label, keep_side=keep_side, subjects=subjects)
    elif not len(pairs):
        none = (
            f"none here, because no AU set of the {n_pairs} confusable pairs has a pair of one emotion to compare with"
        )
    columns = ["branch", "value", "low", "high", "direction", "n_pairs", "n_controls", "n_clips", "n_subjects"]
    rows = []
    if not none:
        rows = _measured(known, pairs, features, branches, metric, level, n_resamples, seed)
    found = pd.DataFrame(rows, columns=columns)
    found.attrs = {"rule": rule, "level": level, "none": none}
    return PairSeparation(found, rule, level, without, none)


def _measured(
    known: pd.DataFrame,
    pairs: pd.DataFrame,
    features: BranchFeatures,
    branches: list[str],
    metric: PairMetric,
    level: float,
    n_resamples: int,
    seed: int,
) -> list[dict[str, object]]:
    ids = known["clip_id"].tolist()
    place = pd.Index(ids)
    a, b = place.get_indexer(pairs["clip_a"]), place.get_indexer(pairs["clip_b"])
    _, sets = np.unique(pairs["action_units"].to_numpy(dtype=str), return_inverse=True)
    differ = pairs["differ"].to_numpy(dtype=bool)
    confusable = np.union1d(a[differ], b[differ])
    n_subjects = len(set(people(known.iloc[confusable])))
    draws, who = None, np.zeros(len(pairs), int)
    if len(set(people(known))) > 1:
        draws = draw_subjects(known, n_resamples=n_resamples, level=level, seed=seed)
        who = draws.person[a] * len(draws.names) + draws.person[b]
    values = {branch: rows_of(features, ids, branch) for branch in branches}
    constant = {branch: constant_reason({branch: values[branch]}) for branch in branches}
    shares = {
        branch: _NearerControls(pair_distance(values[branch], a, b, metric=metric), sets=sets, differ=differ, who=who)
        for branch in branches
    }
    bounds = dict.fromkeys(branches, (np.nan, np.nan))
    if draws is not None:
        # A pair of two persons counts as often as both were drawn together, a pair of one as often as that person.
        weights = (np.where(np.eye(len(n), dtype=bool), n[:, None], np.outer(n, n)).ravel() for n in draws.counts)
        drawn = np.array([[shares[branch](weight) for branch in branches] for weight in weights])
        bounds = {
            branch: draws.bounds(drawn[:, column], n_clips=len(confusable), share=True)
            for column, branch in enumerate(branches)
        }
    return [
        {
            "branch": branch,
            "value": np.nan if constant[branch] else shares[branch](np.ones(who.max() + 1)),
            "low": np.nan if constant[branch] else bounds[branch][0],
            "high": np.nan if constant[branch] else bounds[branch][1],
            "direction": constant[branch] or _DIRECTION[branch],
            "n_pairs": int(differ.sum()),
            "n_controls": int((~differ).sum()),
            "n_clips": len(confusable),
            "n_subjects": n_subjects,
        }
        for branch in branches
    ]


class _NearerControls:
    """The weighted mean over confusable pairs of the share of their set's controls that lie nearer together.

    `who` numbers the persons of each pair: pairs of the same persons have the same weight.
    """

    def __init__(self, distance: np.ndarray, *, sets: np.ndarray, differ: np.ndarray, who: np.ndarray) -> None:
        controls, pairs = np.flatnonzero(~differ), np.flatnonzero(differ)
        controls = controls[np.lexsort((distance[controls], sets[controls]))]
        bounds = np.searchsorted(sets[controls], np.arange(sets.max() + 2))
        self._start, self._stop, self._set_of = bounds[:-1], bounds[1:], sets[pairs]
        self._controls_of, self._pairs_of = who[controls], who[pairs]
        self._below, self._upto = np.zeros(len(pairs), int), np.zeros(len(pairs), int)
        for one in range(sets.max() + 1):
            mine = self._set_of == one
            ascending = distance[controls[bounds[one] : bounds[one + 1]]]
            own = distance[pairs[mine]]
            self._below[mine] = bounds[one] + np.searchsorted(ascending, own - TIE, side="left")
            self._upto[mine] = bounds[one] + np.searchsorted(ascending, own + TIE, side="right")
        self._ties = bool((self._below != self._upto).any())

    def __call__(self, weight: np.ndarray) -> float:
        """With these weights by `who`, of controls too; NaN where no pair with a control is left."""
        so_far = np.concatenate([[0.0], np.cumsum(weight[self._controls_of])])
        before, whole = so_far[self._start], so_far[self._stop] - so_far[self._start]
        # A set whose controls are all gone has no weight; what is divided by there does not matter.
        of_set = np.where(whole > 0, 1 / np.where(whole > 0, whole, 1.0), 0.0)
        weight = weight[self._pairs_of] * (whole > 0)[self._set_of]
        total = weight.sum()
        if not total:
            return float("nan")
        nearer = so_far[self._below]
        if self._ties:
            nearer = 0.5 * (nearer + so_far[self._upto])
        return float((weight * (nearer - before[self._set_of]) * of_set[self._set_of]).sum() / total)
