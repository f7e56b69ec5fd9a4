"""Dependence and leakage of a handful of clips, in steps short enough to follow a lasso."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.diagnose.leaks import MEAN_OF_AUS, leakage
from medn_lab.diagnose.reading import check_features
from medn_lab.diagnose.similarity.cosine import absolute_cosine
from medn_lab.diagnose.similarity.overview import MEASURES, UNDEFINED, both_branches, figures
from medn_lab.diagnose.similarity.pairing import SMALLEST
from medn_lab.diagnose.similarity.permuting import permutation_test
from medn_lab.records import BranchFeatures, au_columns, constant_reason, people, positions

COMPUTING = "computing"
"""The reason that stands in a row whose figure is on its way."""

ENOUGH_FOR_A_PROBE = 20
"""With fewer clips a probe's AUC says next to nothing."""

_ASKED = (("emotion", MEAN_OF_AUS), ("motion", "emotion"), ("motion", MEAN_OF_AUS), ("emotion", "emotion"))
_COLUMNS = (
    "kind", "measure", "branch", "target", "value", "chance", "allowed",
    "n_clips", "n_subjects", "drawn_from", "reason",
)  # fmt: skip


def selection_measures(
    features: BranchFeatures,
    *,
    label: str = "label",
    n_permutations: int = 19,
    n_shuffles: int = 10,
    most_clips: int = 600,
    seed: int = 0,
) -> SelectionMeasures:
    """Make the callable that measures dependence and leakage of any selection of these clips.

    For :class:`medn_lab.widgets.BranchExplorer`, which calls it as one lassoes. The figures describe the clips that
    were picked. They are no test: whoever draws a lasso round a heap on a map has chosen clips for being alike, which
    changes every figure here. Compare with the same figures of all clips, and publish those of
    :func:`decoupling_report`.

    Parameters
    ----------
    features : BranchFeatures
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    n_permutations : int
        For the chance of each dependence: clips of one subject exchanged.
    n_shuffles : int
        For the chance of each probe: labels shuffled within subjects.
    most_clips : int
        Of a larger selection this many are drawn (by `seed`), so that no step takes long.
    seed : int

    Returns
    -------
    SelectionMeasures

    Raises
    ------
    ValueError
        If a feature is not a number, or a count is below 1 (`most_clips` below 20).

    See Also
    --------
    dependence, leakage, decoupling_report, medn_lab.view.plot_selection_measures

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": list("abcd") * 10})
    >>> both = rng.normal(size=(40, 3))
    >>> measure = selection_measures(BranchFeatures(both, both, both, table))
    >>> measure(table["clip_id"][:20])["value"].iloc[0].round(6).item()
    1.0
    """
    if min(n_permutations, n_shuffles) < 1 or most_clips < ENOUGH_FOR_A_PROBE:
        raise ValueError(
            f"n_permutations and n_shuffles must be at least 1 and most_clips {ENOUGH_FOR_A_PROBE};"
            f" got {n_permutations}, {n_shuffles} and {most_clips}"
        )
    return SelectionMeasures(
        features, label=label, n_permutations=n_permutations, n_shuffles=n_shuffles, most_clips=most_clips, seed=seed
    )


class SelectionMeasures:
    """What :func:`selection_measures` makes: call it with clip ids, or go through :meth:`steps`.

    Parameters
    ----------
    features, label, n_permutations, n_shuffles, most_clips, seed
        As :func:`selection_measures` takes them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": list("abcd") * 10})
    >>> both = rng.normal(size=(40, 3))
    >>> measure = selection_measures(BranchFeatures(both, both, both, table))
    >>> next(iter(measure.steps(table["clip_id"][:20]))).columns.tolist()[:3]
    ['kind', 'measure', 'branch']
    """

    def __init__(
        self,
        features: BranchFeatures,
        *,
        label: str,
        n_permutations: int,
        n_shuffles: int,
        most_clips: int,
        seed: int,
    ) -> None:
        for branch in ("motion", "emotion"):
            if getattr(features, branch) is not None:
                check_features(getattr(features, branch), owner=f"the {branch} features")
        self._features, self._seed, self._most = features, seed, most_clips
        self._label = "emotion" if label == "label" and label not in features.table else label
        self._n_permutations, self._n_shuffles = n_permutations, n_shuffles

    def __repr__(self) -> str:
        return f"SelectionMeasures of {len(self._features)} clips; call it with some of their ids"

    def __call__(self, clip_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """All figures of these clips (of all clips where None).

        Parameters
        ----------
        clip_ids : iterable of str, optional

        Returns
        -------
        DataFrame
            A figure a row: ``kind`` (``dependence`` or ``leakage``), ``measure``, ``branch``, ``target``, ``value``
            (lower is better decoupled; a leak is an AUC in [0, 1]), ``chance`` (what exchanged clips or shuffled labels
            of the same selection give), ``allowed`` (the AUC that the truth of the branch's own factor would have),
            ``n_clips``, ``n_subjects``, ``drawn_from`` (the size of the selection), ``reason`` (why there is no value).

        Raises
        ------
        ValueError
            If no clip is named, or one is not here.
        """
        *_, last = self.steps(clip_ids)
        return last

    def steps(self, clip_ids: Iterable[str] | None = None) -> Iterator[pd.DataFrame]:
        """The same table again and again, with more of it known each time; the reason of the rest is ``computing``.

        Parameters
        ----------
        clip_ids : iterable of str, optional

        Yields
        ------
        DataFrame

        Raises
        ------
        ValueError
            If no clip is named, or one is not here.
        """
        table = self._features.table
        rows = np.arange(len(table))
        if clip_ids is not None:
            rows = np.unique(positions(table, clip_ids, owner="these BranchFeatures"))
        size = len(rows)
        if size > self._most:
            rows = np.sort(np.random.default_rng(self._seed).choice(rows, self._most, replace=False))
        chosen = self._features.select(table["clip_id"].iloc[rows])
        who = _persons(chosen.table)
        counts = {
            "n_clips": len(rows), "n_subjects": np.nan if who is None else len(set(who)), "drawn_from": size,
            "reason": COMPUTING,
        }  # fmt: skip
        dependences = [{"kind": "dependence", "measure": name, **counts} for name in self._measured()]
        leaks = [
            {"kind": "leakage", "measure": "auc", "branch": branch, "target": target, **counts}
            for branch, target in _ASKED
        ]
        known = [*dependences, *leaks]
        self._values(dependences, chosen)
        yield _as_table(known)
        self._chances(dependences, chosen, who)
        yield _as_table(known)
        for row in leaks:
            self._leak(row, chosen, who)
            yield _as_table(known)

    def _measured(self) -> list[str]:
        motion, emotion = self._features.motion, self._features.emotion
        alike = motion is not None and emotion is not None and motion.shape[1] == emotion.shape[1]
        return [name for name, measure in MEASURES.items() if alike or measure is not absolute_cosine]

    def _values(self, rows: list[dict[str, Any]], chosen: BranchFeatures) -> None:
        try:
            found = figures(*both_branches(chosen))
        except ValueError as fault:
            small = len(chosen) < SMALLEST
            reason = f"needs at least {SMALLEST} clips, there are {len(chosen)}" if small else str(fault)
            found = {}
        else:
            reason = constant_reason({"motion": chosen.motion, "emotion": chosen.emotion}) or UNDEFINED
        for row in rows:
            value = found.get(row["measure"], np.nan)
            row["value"] = value
            row["reason"] = "" if np.isfinite(value) else reason

    def _chances(self, rows: list[dict[str, Any]], chosen: BranchFeatures, who: np.ndarray | None) -> None:
        if not any(np.isfinite(row["value"]) for row in rows):
            return
        groups = who
        if who is not None:
            counts = pd.Series(who).value_counts()
            # Where most subjects have one clip here, nothing could be exchanged within them.
            groups = who if counts[counts > 1].sum() >= len(who) / 2 else None
        for row in rows:
            test = permutation_test(
                MEASURES[row["measure"]], *both_branches(chosen), groups=groups, seed=self._seed,
                n_permutations=self._n_permutations,
            )  # fmt: skip
            row["chance"] = test.null_mean

    def _leak(self, row: dict[str, Any], chosen: BranchFeatures, who: np.ndarray | None) -> None:
        row["reason"] = self._no_probe(row, chosen, who)
        if row["reason"]:
            return
        branch, target = row["branch"], row["target"]
        others: dict[str, Any] = {name: None for name in ("motion", "emotion", "fused") if name != branch}
        found = leakage(
            replace(chosen, **others), targets=["aus" if target == MEAN_OF_AUS else "emotion"], label=self._label,
            n_shuffles=self._n_shuffles, n_resamples=0, seed=self._seed,
        ).set_index("target").loc[target]  # fmt: skip
        row |= {"value": found["auc"], "chance": found["chance"], "allowed": found["allowed"]}
        row |= {"n_clips": int(found["n_clips"]), "reason": found["reason"]}

    def _no_probe(self, row: dict[str, Any], chosen: BranchFeatures, who: np.ndarray | None) -> str:
        if getattr(chosen, row["branch"]) is None:
            return f"this model has no {row['branch']} branch"
        if row["target"] == MEAN_OF_AUS and not au_columns(chosen.table):
            return "no AUs are coded"
        if row["target"] != MEAN_OF_AUS and self._label not in chosen.table:
            return "the emotions are not known"
        if who is None:
            return "the subjects are not known, so none can be held out"
        if len(chosen) < ENOUGH_FOR_A_PROBE or len(set(who)) < 2:
            subjects, clips = len(set(who)), len(chosen)
            return f"needs at least {ENOUGH_FOR_A_PROBE} clips of 2 subjects, there are {clips} of {subjects}"
        return ""


def _persons(table: pd.DataFrame) -> np.ndarray | None:
    try:
        return people(table).to_numpy(dtype=object)
    except ValueError:
        return None


def _as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    texts = ["branch", "target"]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    numbers = ["value", "chance", "allowed"]
    return table.assign(**{name: table[name].astype(float) for name in numbers})
