"""Selections of clips: the filters, confusable partners, and the description and measures of a selection."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import BranchFeatures, Embedding, au_columns, au_doubt, au_set_text, au_sets, positions
from medn_lab.view.decoupling import MEASURES
from medn_lab.view.marks import counted
from medn_lab.view.rows import au_set_names, label_column, persons, rightness
from medn_lab.widgets.panel import emotion_chip, natural_order, note, number, plain, table_html
from medn_lab.widgets.timing import Steps

Measure = Callable[[Iterable[str]], pd.DataFrame]
FILTERS = {"au_sets": "AU set", "aus": "AU", "subjects": "subject", "datasets": "data set"}

_KEYS = ["kind", "measure", "branch", "target"]
_MOST_SETS = 5
_MOST_PARTNERS = 200
_READING = (
    "Leakage is the AUC of a probe on subjects that it was not trained on. Allowed is the AUC that the branch's own "
    "factor gives. Chance is the value after the clips are exchanged, or the labels shuffled, within each subject. A "
    "selection on a map is not a random sample: these values describe it and are not a test."
)


class Filters:
    """Which clips have which AU set, AU, subject and data set.

    Two subjects of one name in two data sets are two: they are named ``dataset/subject`` then.

    Parameters
    ----------
    table : DataFrame

    Attributes
    ----------
    masks : dict of DataFrame
        Of each filter which clips have which value, (n, values) of bool; no values where the table cannot tell.
    set_names : (n,) Series of str
        The AU set of each clip.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", "2", "2"], "AU4": [1, 1, 0]})
    >>> Filters(table).passing({"aus": ("AU4",), "subjects": ("2",)}).tolist()
    [False, True, False]
    """

    def __init__(self, table: pd.DataFrame) -> None:
        aus, no_values = au_columns(table), pd.DataFrame(index=table.index)
        self.set_names = pd.Series(au_set_names(table), index=table.index)
        sets = pd.get_dummies(self.set_names, dtype=bool) if aus or "action_units" in table else no_values
        values = {"subjects": persons(table)} if "subject" in table else {}
        if "dataset" in table and len(table["dataset"].unique()) > 1:
            values["datasets"] = table["dataset"]
        masks = {name: pd.get_dummies(own.astype(str), dtype=bool) for name, own in values.items()}
        masks["aus"] = (table[aus] == 1).loc[:, lambda coded: coded.any()]
        masks = {name: own[natural_order(own)] for name, own in masks.items()}
        masks["au_sets"] = sets[sets.sum().sort_values(ascending=False, kind="stable").index]
        self.masks = {name: masks.get(name, no_values) for name in FILTERS}

    def passing(self, wanted: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Which clips pass every filter, (n,) of bool; of one filter's values any one suffices."""
        masks = [self.masks[name][list(own)].any(axis=1) for name, own in wanted.items()]
        return np.logical_and.reduce([np.ones(len(self.set_names), dtype=bool), *masks])

    def tidy(self, wanted: Mapping[str, str | Iterable[str]]) -> dict[str, tuple[str, ...]]:
        """The filters that are on, each with its values; one value may stand alone.

        Raises
        ------
        ValueError
            If there is no such filter, no clip has a value, or no clip passes all filters.
        """
        lists = {name: (own,) if isinstance(own, str) else tuple(map(str, own)) for name, own in wanted.items()}
        found = {name: values for name, own in lists.items() if (values := tuple(filter(None, own)))}
        if unknown := set(found) - set(FILTERS):
            raise ValueError(f"there is no filter {unknown.pop()!r}; there are {', '.join(FILTERS)}")
        for name, values in found.items():
            if strange := [one for one in values if one not in self.masks[name]]:
                some = ", ".join(self.masks[name].columns[:8]) or "none is known here"
                raise ValueError(f"no clip has the {FILTERS[name]} {strange[0]!r}; there are {some}")
        if found and not self.passing(found).any():
            asked = ", ".join(f"{FILTERS[name]} {' or '.join(own)}" for name, own in found.items())
            raise ValueError(f"no clip passes all filters: {asked}; remove one of them")
        return found


class Partners:
    """The clips with the same AU set, and of those the nearest one with another emotion.

    Parameters
    ----------
    table : DataFrame
        With ``label`` or ``emotion`` and AUs.
    places : (n, d) float
        Motion features, or positions on the motion map. Each dimension is scaled to unit variance first.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "AU4": [1, 1, 1], "label": ["disgust", "others", "others"]})
    >>> partners = Partners(table, np.array([[0.0], [9.0], [1.0]]))
    >>> partners.nearest(0)[0], partners.all().tolist()
    (2, [2, 0, 0])
    """

    def __init__(self, table: pd.DataFrame, places: np.ndarray) -> None:
        coded, label = "action_units" in table or bool(au_columns(table)), label_column(table)
        unknown = [None] * len(table)
        self._table, self._ids = table, table["clip_id"].to_numpy(dtype=object)
        self._sets = pd.Series(au_sets(table) if coded else unknown, dtype=object)
        self._labels = pd.Series(table[label].to_list() if label else unknown, dtype=object)
        self._groups, self._emotions = (pd.factorize(one)[0] for one in (self._sets, self._labels))  # -1: unknown
        spread = pd.DataFrame(places).std(ddof=0).to_numpy()
        self._places = places / np.where(spread > 0, spread, 1.0)

    def same_aus(self, row: int) -> np.ndarray:
        """The rows of all clips with the AU set of this one, itself included.

        Raises
        ------
        ValueError
            If its AU set is unknown or in doubt.
        """
        if self._sets[row] is None:
            doubt = au_doubt(self._table)[row] if "action_units" in self._table else ""
            why = f"in doubt ({doubt})" if doubt else "not known"
            raise ValueError(f"the AUs of {self._ids[row]!r} are {why}, so no clip is known to share them")
        return np.flatnonzero(self._groups == self._groups[row])

    def nearest(self, row: int, *, among: np.ndarray | None = None) -> tuple[int, float]:
        """The row of the confusable partner and its distance in standard deviations.

        Parameters
        ----------
        row : int
        among : (n,) bool or None
            The clips that may be the partner; all where None.

        Raises
        ------
        ValueError
            If the clip's AUs or emotion are not known, no AU is coded in it, no such clip exists, or none is in
            `among`.
        """
        alike, others = self.same_aus(row), self._others(row)
        aus, label = self._sets[row], self._labels[row]
        there = others if among is None else others[among[others]]
        problems = {
            "its emotion is not known": self._emotions[row] < 0,
            "no AU is coded in this clip, so no clip can share its AUs": not aus,
            f"all {len(alike)} clips with the AU set {au_set_text(aus)} are labelled {label!r}": len(others) == 0,
            f"all {len(others)} are hidden by the filters; call filter()": len(there) == 0,
        }
        why = [text for text, holds in problems.items() if holds]
        if why:
            raise ValueError(f"{self._ids[row]!r} has no confusable partner: {why[0]}")
        return self._nearest(row, there)

    def all(self) -> np.ndarray:
        """The row of each clip's confusable partner, (n,) int; -1 where there is none."""
        found = np.full(len(self._ids), -1)
        for row, aus in enumerate(self._sets):
            if aus and len(others := self._others(row)):
                found[row] = self._nearest(row, others)[0]
        return found

    def _others(self, row: int) -> np.ndarray:
        """The rows with the same AU set and another emotion; none where the emotion is not known."""
        another = (self._emotions >= 0) & (self._emotions != self._emotions[row])
        return np.flatnonzero((self._groups == self._groups[row]) & another & (self._emotions[row] >= 0))

    def _nearest(self, row: int, others: np.ndarray) -> tuple[int, float]:
        distances = np.linalg.norm(self._places[others] - self._places[row], axis=1)
        return int(others[distances.argmin()]), float(distances.min())


def partners(table: pd.DataFrame, clip_id: str) -> list[tuple[str, str]]:
    """Clips of another emotion as (text, clip_id), those with the same AU set first.

    Raises
    ------
    ValueError
        If the clip's emotion is not known, or there is no other.
    """
    column, row = label_column(table), int(table.index[table["clip_id"] == clip_id][0])
    emotion = table[column][row] if column else None
    if pd.isna(emotion):
        raise ValueError(f"the emotion of {clip_id!r} is not known, so it cannot be compared with another emotion")
    aus = au_sets(table)
    others = table[table[column].notna() & (table[column] != emotion)]
    if others.empty:
        raise ValueError(f"every clip with a known emotion is {emotion}; a pair needs two emotions")
    same = np.array([bool(aus[row]) and aus[other] == aus[row] for other in others.index])
    listed = others.assign(same=same).sort_values("same", ascending=False, kind="stable").head(_MOST_PARTNERS)
    return [
        (f"{name} · {label}{' · same AUs' if alike else ''}", name)
        for name, label, alike in listed[["clip_id", column, "same"]].to_numpy()
    ]


def partner_places(embedding: Embedding, features: BranchFeatures | None, names: list[str]) -> tuple[np.ndarray, str]:
    """Where each clip lies for the search of partners, and the name of that space."""
    if features is not None and features.motion is not None:
        rows = positions(features.table, embedding.table["clip_id"], owner="these BranchFeatures")
        return np.asarray(features.motion[rows], dtype=float), "motion features"
    name = next((one for one in ("motion", "fused", "emotion") if one in embedding.maps), names[0])
    return np.asarray(embedding.maps[name], dtype=float), f"{name} map"


def describe(table: pd.DataFrame, *, sets: pd.Series, of: int, hidden: int = 0) -> str:
    """Which clips are selected: how many, whose, which emotions, and the emotions of the most frequent AU sets.

    Parameters
    ----------
    table : DataFrame
        The selected rows.
    sets : (n,) Series of str
        Their AU sets.
    of, hidden : int
        Clips on the maps, and clips that a filter hides.
    """
    if not len(table):
        return (
            "<div class='medn-line medn-quiet'>Nothing is selected: draw a lasso in a map, or choose a category under "
            "<i>Select</i>. Move the pointer to a point, or click it, to see the clip.</div>"
        )
    column = label_column(table)
    labels = table[column].astype(object) if column else pd.Series(None, table.index, object)
    parts = [f"<b>{len(table)} of {of} {'shown ' if hidden else ''}clips</b>"]
    if "subject" in table:
        parts.append(counted(persons(table).nunique(), "subject"))
    parts.append(_emotions(labels))
    known, right = rightness(table)
    if known.any():
        parts.append(f"{right[known].mean():.0%} of {'them' if known.all() else known.sum()} predicted correctly")
    sizes = sets.value_counts()
    groups = [
        f"<b>{html.escape(name)}</b> {count} {_emotions(labels[sets == name])}"
        for name, count in sizes[:_MOST_SETS].items()
    ]
    more = len(sizes) - len(groups)
    rest = f"<span class='medn-quiet'>and {more} more AU sets</span>" if more > 0 else ""
    lines = "".join(f"<span class='medn-group'>{group}</span>" for group in groups)
    return f"<div class='medn-line'>{' · '.join(filter(None, parts))}</div><div>{lines}{rest}</div>"


def _emotions(labels: pd.Series) -> str:
    """A chip an emotion, with its count."""
    counts = labels.dropna().astype(str).value_counts()
    return "".join(emotion_chip(name, count=count) for name, count in counts.items())


class SelectionMeasures(widgets.HTML):
    """Dependence and leakage of the selected clips next to those of all, as a table that is filled step by step.

    Parameters
    ----------
    measure : callable or None
        Of clip ids, returning the table of :func:`medn_lab.diagnose.selection_measures`. One with a method ``steps`` is
        gone through step by step.
    clip_ids : (n,) of str
        All clips.

    Attributes
    ----------
    table : DataFrame
        Of the selected clips, or of all clips where nothing is selected; a trait.
    """

    table = traitlets.Instance(pd.DataFrame, args=())

    def __init__(self, measure: Measure | None, clip_ids: np.ndarray) -> None:
        self._measure, self._steps = measure, Steps()
        self._left: Iterator[bool] = iter(())
        self._of: dict[str, pd.DataFrame] = {"all": pd.DataFrame(), "selected": pd.DataFrame()}
        super().__init__(
            note("Give measure=medn.diagnose.selection_measures(features) to see dependence and leakage here.")
        )
        if measure is not None and len(clip_ids):
            self._left = self._work(clip_ids, "all")
            self.follow(clip_ids[:0])

    @property
    def of_all(self) -> pd.DataFrame:
        """The measures of all clips by their titles, as far as they are known."""
        return _titled(self._of["all"]) if _KEYS[0] in self._of["all"] else pd.DataFrame()

    def follow(self, clip_ids: np.ndarray) -> None:
        """Measure these clips; what is not done yet of others is given up, but for all clips."""
        if self._measure is None:
            return
        self._chosen, self._of["selected"] = clip_ids, pd.DataFrame()
        self._draw()
        own = self._work(clip_ids, "selected") if len(clip_ids) else iter(())
        self._steps.go_through(own, self._left)

    def _work(self, clip_ids: np.ndarray, which: str) -> Iterator[bool]:
        steps = getattr(self._measure, "steps", lambda ids: iter([self._measure(ids)]))  # type: ignore[misc]
        try:
            for found in steps(clip_ids):
                self._of[which] = found
                self._draw()
                yield True
        except ValueError as problem:  # shown on the page, for nobody sees an exception there
            self._of[which] = pd.DataFrame([{"reason": str(problem)}])
            self._draw()

    def _draw(self) -> None:
        every, chosen = self._of.values()
        rows = every if chosen.empty else chosen
        if _KEYS[0] not in rows:  # nothing yet, or the sentence that says why
            self.value = note("".join(rows.get("reason", ["Computing dependence and leakage …"])), warn=len(rows) > 0)
            return
        waiting = len(self._chosen) > 0 and chosen.empty
        if not waiting:
            self.table = rows
        of_all = rows[_KEYS].merge(every, how="left", on=_KEYS)["value"] if _KEYS[0] in every else np.nan
        shown = _titled(rows).assign(selected=rows["value"] if len(chosen) else np.nan, every=of_all)
        heads: dict[str, Any] = {
            "measure": ("Dependence and leakage", plain), "selected": ("selected", number), "every": ("all", number),
            "chance": ("chance", number), "allowed": ("allowed", number), "better": ("better", plain),
        }  # fmt: skip
        reasons = "; ".join(dict.fromkeys(filter(None, rows["reason"])))
        used, of = int(rows["n_clips"].max()), int(rows.get("drawn_from", rows["n_clips"]).max())
        who = f"{'Selected:' if len(chosen) else 'All'} {counted(of, 'clip')}"
        if rows["n_subjects"].notna().any():
            who += f" of {counted(int(rows['n_subjects'].max()), 'subject')}"
        who += f", {used} of them sampled for these values." if used < of else "."
        about = f"Computing for {len(self._chosen)} selected clips …" if waiting else who
        self.value = table_html(shown, heads) + note(reasons and f"– {reasons}.") + note(f"{about} {_READING}")


def _titled(measures: pd.DataFrame) -> pd.DataFrame:
    """Measures with their titles in place of kind, branch and target, and whether a lower or a higher value is better.

    A higher value is better where a branch is probed for its own factor.
    """
    own = (measures["branch"] + measures["target"]).isin(["motionAUs", "emotionemotion"])
    leak = measures["target"] + " from the " + measures["branch"] + " branch"
    names = measures["measure"].map(lambda one: MEASURES.get(one, one)).where(measures["kind"] != "leakage", leak)
    found = measures.assign(measure=names, better=np.where(own, "higher", "lower"))
    return found.drop(columns=["kind", "branch", "target"])
