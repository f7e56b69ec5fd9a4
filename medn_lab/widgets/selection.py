"""Selections of clips and pairs: filters, confusable partners, and the description and measures of a selection."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from medn_lab.records import BranchFeatures, Embedding, au_columns, au_doubt, au_set_text, au_sets, positions
from medn_lab.view.decoupling import MEASURES
from medn_lab.view.marks import counted
from medn_lab.view.rows import au_set_names, label_column, persons, rightness
from medn_lab.widgets.panel import Panel, emotion_chip, note, table_html

# Of each filter of clips or of pairs the label of its control.
_LABELS = {
    "au_set": "AU set", "au": "AU", "subject": "Subject", "dataset": "Data set", "emotion": "emotion",
    "subjects": "subjects", "verdict": "predictions", "opposite": "opposite valence",
}  # fmt: skip

_KEYS = ["kind", "measure", "branch", "target"]
_MEASURE_TITLES = {
    "measure": "Dependence and leakage", "selected": "selected", "every": "all", "chance": "chance",
    "allowed": "allowed", "better": "better",
}  # fmt: skip
_MOST_SETS = 5
_READING = (
    "Leakage: AUC of a probe on held-out subjects. Allowed: AUC of the branch's own factor. Chance: clips exchanged "
    "or labels shuffled within each subject. A selection on a map is no random sample: these values are not a test."
)


def filter_masks(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each filter of clips which clips have which value, (n, values) of bool; no values where the table has none.

    Two subjects of one name in two data sets are two: they are named ``dataset/subject`` then.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["10", "2", "2"], "AU4": [1, 1, 0]})
    >>> [list(values) for values in filter_masks(table).values()]
    [['AU4', 'no AU'], ['AU4'], ['2', '10'], []]
    """
    aus = (table[au_columns(table)] == 1).loc[:, lambda coded: coded.any()]
    return {
        "au_set": _mask(pd.Series(au_set_names(table), index=table.index)), "au": aus,
        "subject": _mask(persons(table) if "subject" in table else None), "dataset": _mask(table.get("dataset")),
    }  # fmt: skip


def pair_masks(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each filter of pairs which pairs have which value, (n, values) of bool; no values where the table has none.

    An ``emotion`` is that of one clip, or those of both.

    Examples
    --------
    >>> pairs = pd.DataFrame({"action_units": ["12"], "label_a": ["happiness"], "label_b": ["fear"]})
    >>> [list(values) for values in pair_masks(pairs).values()]
    [['12'], ['fear', 'happiness', 'fear / happiness'], [], [], []]
    """
    pairs = pairs.reset_index(drop=True)
    labels = pairs[["label_a", "label_b"]].astype(str)
    of_one = pd.DataFrame({one: (labels == one).any(axis=1) for one in sorted(np.unique(labels))}, index=pairs.index)
    of_both = pd.Series([" / ".join(sorted(two)) for two in labels.to_numpy()], index=pairs.index, dtype=object)
    same = pairs["same_subject"].map({True: "same", False: "different"}) if "same_subject" in pairs else None
    return {
        "au_set": _mask(pairs["action_units"]), "emotion": pd.concat([of_one, _mask(of_both)], axis=1),
        "subjects": _mask(same), "verdict": _mask(pairs.get("verdict")),
        "opposite": pd.DataFrame({True: pairs["opposite"].eq(True)} if "opposite" in pairs else {}),
    }  # fmt: skip


def _mask(values: pd.Series | None) -> pd.DataFrame:
    """Which rows have which value, short values first; a row whose value is missing has none."""
    if values is None:
        return pd.DataFrame()
    mask = pd.get_dummies(values.astype(object).map(str, na_action="ignore"), dtype=bool)
    return mask[sorted(mask, key=lambda value: (len(value), value))]


def passing(masks: Mapping[str, pd.DataFrame], filters: Mapping[str, Any]) -> np.ndarray:
    """Which rows pass all filters (the value of each, by name), (n,) of bool.

    Raises
    ------
    ValueError
        If there is no such filter, no row has a value, or no row passes all filters.
    """
    passed = np.ones(len(masks["au_set"]), dtype=bool)
    for name, value in filters.items():
        if name not in masks:
            raise ValueError(f"there is no filter {name!r} here; there are {', '.join(masks)}")
        if value not in masks[name]:
            some = ", ".join(map(repr, masks[name].columns[:12])) or "none"
            raise ValueError(f"nothing here has the {name} {value!r}; give one of {some}")
        passed &= masks[name][value].to_numpy()
    if filters and not passed.any():
        chosen = ", ".join(f"{name} {value}" for name, value in filters.items())
        raise ValueError(f"nothing passes all filters: {chosen}; remove one of them")
    return passed


def filter_controls(panel: Panel, masks: Mapping[str, pd.DataFrame]) -> list[widgets.Widget]:
    """A control for each filter that leaves something out, bound to the panel's trait ``filters``."""

    def bound(name: str, mask: pd.DataFrame) -> Any:
        none: Any = ""
        if True in mask:
            none, one = False, widgets.Checkbox(description=_LABELS[name], indent=False)
        else:
            options = [("all", ""), *((f"{value} ({n})", value) for value, n in mask.sum().items())]
            one = widgets.Dropdown(description=_LABELS[name], options=options)
        return panel._bind(
            "filters", one, to_control=lambda filters: filters.get(name, none),
            to_trait=lambda value: {key: own for key, own in {**panel.filters, name: value}.items() if own},
        )  # fmt: skip

    return [bound(name, mask) for name, mask in masks.items() if not mask.to_numpy().all()]


def partner_groups(table: pd.DataFrame) -> pd.DataFrame:
    """What decides which clips are partners: ``clip_id, aus, emotion, doubt``; None where AUs or emotion are unknown.

    Examples
    --------
    >>> partner_groups(pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["12", "4 or 7"]}))["aus"].tolist()
    ['12', None]
    """
    label = label_column(table)
    coded = "action_units" in table or bool(au_columns(table))
    sets = [None if aus is None else au_set_text(aus) if aus else "" for aus in au_sets(table)] if coded else None
    emotions = table[label].astype(object).where(table[label].notna(), None).to_list() if label else None
    doubt = list(au_doubt(table)) if "action_units" in table else ""
    index = pd.RangeIndex(len(table))
    columns = {"clip_id": table["clip_id"].to_list(), "aus": sets, "emotion": emotions, "doubt": doubt}
    return pd.DataFrame(columns, index=index, dtype=object)


def same_aus(groups: pd.DataFrame, row: int) -> np.ndarray:
    """The rows of all clips with the AU set of this one, itself included; ValueError if it is unknown or in doubt."""
    clip_id, aus, _, doubt = groups.iloc[row]
    if aus is None:
        why = f"in doubt ({doubt})" if doubt else "not known"
        raise ValueError(f"the AUs of {clip_id!r} are {why}, so no clip is known to share them")
    return np.flatnonzero(groups["aus"] == aus)


def partner(groups: pd.DataFrame, row: int, *, places: np.ndarray, among: np.ndarray) -> tuple[int, float]:
    """The row of the confusable partner: the nearest clip with the same AU set and another emotion, and its distance.

    Parameters
    ----------
    groups : DataFrame
        From :func:`partner_groups`.
    row : int
    places : (n, d) float
        In standard deviations.
    among : (n,) bool
        The clips that may be the partner.

    Raises
    ------
    ValueError
        If the clip's AUs or emotion are not known, no AU is coded in it, no such clip exists, or none is in `among`.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "AU4": [1, 1, 1], "label": ["disgust", "others", "others"]})
    >>> partner(partner_groups(table), 0, places=np.array([[0.0], [9.0], [1.0]]), among=np.ones(3, dtype=bool))
    (2, 1.0)
    """
    clip_id, aus, emotion, _ = groups.iloc[row]
    alike = same_aus(groups, row)
    emotions = groups["emotion"].iloc[alike]
    others = alike[emotions.notna() & (emotions != emotion)]
    there = others[among[others]]
    problems = {
        "its emotion is not known": emotion is None,
        "no AU is coded in this clip, so no clip can share its AUs": not aus,
        f"all {len(alike)} clips with the AU set {aus} are labelled {emotion!r}": len(others) == 0,
        f"all {len(others)} are hidden by the filters; press Show all": len(there) == 0,
    }
    if why := [text for text, holds in problems.items() if holds]:
        raise ValueError(f"{clip_id!r} has no confusable partner: {why[0]}")
    distances = np.linalg.norm(places[there] - places[row], axis=1)
    return int(there[distances.argmin()]), float(distances.min())


def all_partners(groups: pd.DataFrame, places: np.ndarray) -> np.ndarray:
    """The row of each clip's confusable partner, (n,) int; -1 where there is none."""
    found = np.full(len(groups), -1)
    for _, alike in groups[groups["aus"].astype(bool) & groups["emotion"].notna()].groupby("aus"):
        for _, own in alike.groupby("emotion"):
            others = alike.index.difference(own.index).to_numpy()
            if len(others):
                found[own.index] = others[cKDTree(places[others]).query(places[own.index])[1]]
    return found


def partner_places(embedding: Embedding, features: BranchFeatures | None, names: list[str]) -> tuple[np.ndarray, str]:
    """Where each clip lies for the search of partners, in standard deviations, and the name of that space."""
    if features is not None and features.motion is not None:
        rows = positions(features.table, embedding.table["clip_id"], owner="these BranchFeatures")
        places, name = np.asarray(features.motion[rows], dtype=float), "motion features"
    else:
        first = next((one for one in ("motion", "fused", "emotion") if one in embedding.maps), names[0])
        places, name = np.asarray(embedding.maps[first], dtype=float), f"{first} map"
    spread = places.std(axis=0) if len(places) else np.ones(places.shape[1])
    return places / np.where(spread > 0, spread, 1.0), name


def describe_selection(table: pd.DataFrame, *, of: int) -> str:
    """Which of so many clips are selected: whose, which emotions, and the emotions of the most frequent AU sets."""
    if not len(table):
        return (
            "<div class='medn-line medn-quiet'>Nothing is selected: draw a lasso in a map, or click a category below "
            "the maps with the ctrl key. Move the pointer to a point, or click it, to see the clip.</div>"
        )
    column = label_column(table)
    labels = table[column].astype(object) if column else pd.Series(None, table.index, object)

    def chips(own: pd.Series) -> str:
        counts = own.dropna().astype(str).value_counts()
        return "".join(emotion_chip(name, count=count) for name, count in counts.items())

    parts = [f"<b>{len(table)} of {of} clips</b>"]
    if "subject" in table:
        parts.append(counted(persons(table).nunique(), "subject"))
    parts.append(chips(labels))
    known, right = rightness(table)
    if known.any():
        parts.append(f"{right[known].mean():.0%} of {'them' if known.all() else known.sum()} predicted correctly")
    sets = pd.Series(au_set_names(table), index=table.index)
    sizes = sets.value_counts()
    groups = [
        f"<span class='medn-group'><b>{html.escape(name)}</b> {count} {chips(labels[sets == name])}</span>"
        for name, count in sizes[:_MOST_SETS].items()
    ]
    more = len(sizes) - len(groups)
    groups += [f"<span class='medn-quiet'>and {counted(more, 'more AU set')}</span>"] * (more > 0)
    return f"<div class='medn-line'>{' · '.join(filter(None, parts))}</div><div>{''.join(groups)}</div>"


def measures_html(every: pd.DataFrame, chosen: pd.DataFrame, *, selected: int) -> str:
    """Dependence and leakage of the selected clips (`chosen`) next to those of all, as far as they are known.

    Either table may be empty, or hold ``reason`` alone: why there are no values. `selected` is the number of clips.
    """
    rows = every if chosen.empty else chosen
    if "kind" not in rows:
        return note("".join(rows.get("reason", ["Computing dependence and leakage …"])), warn=len(rows) > 0)
    of_all = rows[_KEYS].merge(every, how="left", on=_KEYS)["value"] if "kind" in every else np.nan
    shown = titled(rows).assign(selected=rows["value"] if len(chosen) else np.nan, every=of_all)
    reasons = "; ".join(dict.fromkeys(filter(None, rows["reason"])))
    used, of = int(rows["n_clips"].max()), int(rows.get("drawn_from", rows["n_clips"]).max())
    about = f"{'Selected:' if selected else 'All'} {counted(of, 'clip')}"
    if rows["n_subjects"].notna().any():
        about += f" of {counted(int(rows['n_subjects'].max()), 'subject')}"
    about += f", {used} of them sampled for these values." if used < of else "."
    if selected and chosen.empty:
        about = f"Computing for {counted(selected, 'selected clip')} …"
    return table_html(shown, _MEASURE_TITLES) + note(reasons and f"– {reasons}.") + note(f"{about} {_READING}")


def titled(measures: pd.DataFrame) -> pd.DataFrame:
    """Measures with their titles in place of kind, branch and target, and whether a lower or a higher value is better.

    A higher value is better where a branch is probed for its own factor.
    """
    own = (measures["branch"] + measures["target"]).isin(["motionAUs", "emotionemotion"])
    leak = measures["target"] + " from the " + measures["branch"] + " branch"
    names = measures["measure"].map(lambda one: MEASURES.get(one, one)).where(measures["kind"] != "leakage", leak)
    found = measures.assign(measure=names, better=np.where(own, "higher", "lower"))
    spare = ["kind", "branch", "target", "drawn_from", *["reason"] * (not found["reason"].any())]
    return found.drop(columns=spare, errors="ignore").rename(columns={"n_clips": "clips", "n_subjects": "subjects"})
