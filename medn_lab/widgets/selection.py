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
_READING = (
    "Leakage is the AUC of a probe on unseen subjects; allowed: the AUC from the branch's own factor; chance: clips "
    "exchanged, or labels shuffled, within each subject. A selection made on a map is no sample: these figures "
    "describe, they do not test."
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
        aus = au_columns(table)
        self.masks = {name: pd.DataFrame(index=table.index) for name in FILTERS}
        self.set_names = pd.Series(au_set_names(table), index=table.index)
        if aus or "action_units" in table:
            sets = pd.get_dummies(self.set_names, dtype=bool)
            self.masks["au_sets"] = sets[sets.sum().sort_values(ascending=False, kind="stable").index]
        coded = table[aus] == 1
        self.masks["aus"] = coded[[au for au in natural_order(aus) if coded[au].any()]]
        if "subject" in table:
            self.masks["subjects"] = self._by_name(persons(table))
        if "dataset" in table and len(table["dataset"].unique()) > 1:
            self.masks["datasets"] = self._by_name(table["dataset"])

    @staticmethod
    def _by_name(values: pd.Series) -> pd.DataFrame:
        masks = pd.get_dummies(values.astype(str), dtype=bool)
        return masks[natural_order(masks.columns)]

    def passing(self, wanted: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Which clips pass every filter, (n,) of bool; of one filter's values any one suffices."""
        masks = [self.masks[name][list(own)].any(axis=1) for name, own in wanted.items()]
        return np.logical_and.reduce([np.ones(len(self.masks["aus"]), dtype=bool), *masks])

    def tidy(self, wanted: Mapping[str, str | Iterable[str]]) -> dict[str, tuple[str, ...]]:
        """The filters that are on, each with its values; one value may stand alone.

        Raises
        ------
        ValueError
            If there is no such filter, no clip has a value, or no clip passes all filters.
        """
        lists = {name: (own,) if isinstance(own, str) else tuple(map(str, own)) for name, own in wanted.items()}
        found = {name: values for name, own in lists.items() if (values := tuple(filter(None, own)))}
        for name, values in found.items():
            if name not in FILTERS:
                raise ValueError(f"there is no filter {name!r}; there are {', '.join(FILTERS)}")
            known = list(self.masks[name])
            if strange := [one for one in values if one not in known]:
                some = ", ".join(known[:8]) or "none is known here"
                raise ValueError(f"no clip has the {FILTERS[name]} {strange[0]!r}; there are {some}")
        if found and not self.passing(found).any():
            asked = ", ".join(f"{FILTERS[name]} {' or '.join(own)}" for name, own in found.items())
            raise ValueError(f"no clip has {asked} all together; take one of the filters away")
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
        coded = "action_units" in table or bool(au_columns(table))
        self._table, self._ids = table, table["clip_id"].to_numpy(dtype=object)
        self._sets = au_sets(table) if coded else np.full(len(table), None)
        label = label_column(table)
        self._labels = table[label].to_numpy(dtype=object) if label else np.full(len(table), None)
        self._known = ~pd.isna(self._labels)
        rows: dict[Any, list[int]] = {}
        for row, aus in enumerate(self._sets):
            rows.setdefault(aus, []).append(row)
        self._rows = {aus: np.asarray(own) for aus, own in rows.items()}
        spread = places.std(axis=0) if len(places) else np.ones(places.shape[1])
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
        return self._rows[self._sets[row]]

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
        clip_id, aus = self._ids[row], self._sets[row]
        if not self._known[row]:
            raise ValueError(f"the emotion of {clip_id!r} is not known, so it has no confusable partner")
        alike = self.same_aus(row)
        if not aus:
            raise ValueError(f"{clip_id!r} has no confusable partner: no AU is coded in it that another could share")
        others = self._others(row)
        if not len(others):
            raise ValueError(
                f"{clip_id!r} has no confusable partner: all {len(alike)} clips with the AU set {au_set_text(aus)} are "
                f"labelled {self._labels[row]!r}"
            )
        there = others if among is None else others[among[others]]
        if not len(there):
            raise ValueError(f"all confusable partners of {clip_id!r} ({len(others)}) are hidden; call filter()")
        return self._nearest(row, there)

    def all(self) -> np.ndarray:
        """The row of each clip's confusable partner, (n,) int; -1 where there is none."""
        found = np.full(len(self._ids), -1)
        for row, aus in enumerate(self._sets):
            if aus and self._known[row] and len(others := self._others(row)):
                found[row] = self._nearest(row, others)[0]
        return found

    def _others(self, row: int) -> np.ndarray:
        alike = self._rows[self._sets[row]]
        return alike[self._known[alike] & (self._labels[alike] != self._labels[row])]

    def _nearest(self, row: int, others: np.ndarray) -> tuple[int, float]:
        distances = np.linalg.norm(self._places[others] - self._places[row], axis=1)
        return int(others[distances.argmin()]), float(distances.min())


def partner_places(embedding: Embedding, features: BranchFeatures | None, names: list[str]) -> tuple[np.ndarray, str]:
    """Where each clip lies for the search of partners, and the name of that space."""
    if features is not None and features.motion is not None:
        rows = positions(features.table, embedding.table["clip_id"], owner="these BranchFeatures")
        return np.asarray(features.motion[rows], dtype=float), "motion features"
    name = next((one for one in ("motion", "fused", "emotion") if one in embedding.maps), names[0])
    return np.asarray(embedding.maps[name], dtype=float), f"{name} map"


def selection_text(table: pd.DataFrame, *, sets: pd.Series, of: int, hidden: int = 0) -> str:
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
            "<i>Select</i>. Hover or click a point to see the clip.</div>"
        )
    parts = [f"<b>{len(table)} of {of} {'shown ' if hidden else ''}clips</b>"]
    if "subject" in table:
        parts.append(counted(persons(table).nunique(), "subject"))
    column = label_column(table)
    labels = table[column].astype(object) if column else pd.Series(dtype=object)
    if column:
        parts.append(_emotions(labels))
    known, right = rightness(table)
    if known.any():
        parts.append(f"{right[known].mean():.0%} of {'them' if known.all() else known.sum()} predicted right")
    sizes = sets.value_counts()
    groups = [
        f"<b>{html.escape(name)}</b> {count} {_emotions(labels[sets == name]) if column else ''}"
        for name, count in sizes[:_MOST_SETS].items()
    ]
    more = len(sizes) - len(groups)
    rest = f"<span class='medn-quiet'>and {more} more AU sets</span>" if more > 0 else ""
    lines = "".join(f"<span class='medn-group'>{group}</span>" for group in groups)
    return f"<div class='medn-line'>{' · '.join(parts)}</div><div>{lines}{rest}</div>"


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
        self._measure, self._ids, self._steps = measure, clip_ids, Steps()
        self._chosen: np.ndarray = clip_ids[:0]
        self._of_all = self._of_chosen = pd.DataFrame()
        self._left: Iterator[object] = iter(())
        super().__init__(
            note("Give measure=medn.diagnose.selection_measures(features) to see dependence and leakage here.")
        )
        if measure is not None and len(clip_ids):
            self._left = self._work(clip_ids, "_of_all")
            self.follow(clip_ids[:0])

    @property
    def of_all(self) -> pd.DataFrame:
        """The measures of all clips by their titles, as far as they are known."""
        return _titled(self._of_all) if set(_KEYS) <= set(self._of_all) else pd.DataFrame()

    def follow(self, clip_ids: np.ndarray) -> None:
        """Measure these clips; what is not done yet of others is given up, but for all clips."""
        if self._measure is None:
            return
        self._chosen, self._of_chosen = clip_ids, pd.DataFrame()
        own = [self._work(clip_ids, "_of_chosen")] if len(clip_ids) else []
        self._draw()
        self._steps.go_through(*own, self._left)

    def _work(self, clip_ids: np.ndarray, place: str) -> Iterator[bool]:
        steps = getattr(self._measure, "steps", None)
        try:
            for table in steps(clip_ids) if steps else iter([self._measure(clip_ids)]):  # type: ignore[misc]
                setattr(self, place, table)
                self._draw()
                yield True
        except ValueError as problem:  # shown on the page, for nobody sees an exception there
            setattr(self, place, pd.DataFrame([{"reason": str(problem)}]))
            self._draw()

    def _draw(self) -> None:
        chosen, every = self._of_chosen, self._of_all
        waiting = bool(len(self._chosen)) and chosen.empty
        rows = every if chosen.empty else chosen
        if not set(_KEYS) <= set(rows):  # nothing yet, or the sentence that says why
            self.value = note("".join(rows.get("reason", ["Computing dependence and leakage …"])), warn=len(rows) > 0)
            return
        if not waiting:
            self.table = rows
        of_all = rows[_KEYS].merge(every, how="left", on=_KEYS)["value"] if set(_KEYS) <= set(every) else np.nan
        shown = _titled(rows).assign(selected=rows["value"] if len(chosen) else np.nan, every=of_all)
        heads: dict[str, Any] = {
            "measure": ("Dependence and leakage", plain), "selected": ("selected", number), "every": ("all", number),
            "chance": ("chance", number), "allowed": ("allowed", number), "better": ("better", plain),
        }  # fmt: skip
        reasons = "; ".join(dict.fromkeys(text for text in rows["reason"] if text))
        missing = note(f"– {reasons}." if reasons else "")
        about = f"Computing for {len(self._chosen)} selected clips …" if waiting else _measured_clips(rows, len(chosen))
        self.value = table_html(shown, heads) + missing + note(f"{about} {_READING}")


def _measured_clips(rows: pd.DataFrame, chosen: int) -> str:
    """Of which clips the figures are."""
    used, of = int(rows["n_clips"].max()), int(rows.get("drawn_from", rows["n_clips"]).max())
    people = rows["n_subjects"].max()
    who = f"{'Selected:' if chosen else 'All'} {counted(of, 'clip')}"
    who += f" of {counted(int(people), 'subject')}" if np.isfinite(people) else ""
    return f"{who}, {used} of them drawn for these figures." if used < of else f"{who}."


def _titled(measures: pd.DataFrame) -> pd.DataFrame:
    """Measures with their titles in place of kind, branch and target, and whether a lower or a higher value is better.

    A higher value is better where a branch is probed for its own factor.
    """
    rows = measures.to_dict("records")
    own = [(row["branch"], row["target"]) in (("motion", "AUs"), ("emotion", "emotion")) for row in rows]
    names = [
        f"{row['target']} from the {row['branch']} branch" if row["kind"] == "leakage"
        else MEASURES.get(row["measure"], str(row["measure"]))
        for row in rows
    ]  # fmt: skip
    found = measures.assign(measure=names, better=np.where(own, "higher", "lower"))
    return found.drop(columns=["kind", "branch", "target"])
