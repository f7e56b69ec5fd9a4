"""Selections of clips and pairs: filters, confusable partners, and the description and measures of a selection."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from medn_lab.records import BranchFeatures, Embedding, au_columns, au_doubt, au_set_text, au_sets, positions
from medn_lab.view.decoupling import MEASURES
from medn_lab.view.marks import counted
from medn_lab.view.rows import au_set_names, label_column, persons, rightness
from medn_lab.widgets.panel import emotion_chip, note, table_html

Measure = Callable[[Iterable[str]], pd.DataFrame]
FILTERS = {"au_sets": "AU set", "aus": "AU", "subjects": "subject", "datasets": "data set"}

_PAIRS: dict[str, list[Any]] = {  # what pairs can be, also where none is
    "verdict": ["both right", "one right", "swapped", "both wrong"],
    "subjects": ["same", "different"],
    "opposite": [False, True],
}
_KEYS = ["kind", "measure", "branch", "target"]
_MEASURE_TITLES = {
    "measure": "Dependence and leakage", "selected": "selected", "every": "all", "chance": "chance",
    "allowed": "allowed", "better": "better",
}  # fmt: skip
_MOST_SETS = 5
_MOST_PARTNERS = 200
_READING = (
    "Leakage: AUC of a probe on held-out subjects. Allowed: AUC of the branch's own factor. Chance: clips exchanged "
    "or labels shuffled within each subject. A selection on a map is no random sample: these values are not a test."
)


def filter_masks(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each filter which clips have which value, (n, values) of bool; no values where the table cannot tell.

    Two subjects of one name in two data sets are two: they are named ``dataset/subject`` then.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["10", "2", "2"], "AU4": [1, 1, 0]})
    >>> [list(values) for values in filter_masks(table).values()]
    [['AU4', 'no AU'], ['AU4'], ['2', '10'], []]
    """
    aus, masks = au_columns(table), dict.fromkeys(FILTERS, pd.DataFrame(index=table.index))
    if aus or "action_units" in table:
        sets = pd.get_dummies(pd.Series(au_set_names(table), index=table.index), dtype=bool)
        masks["au_sets"] = sets[sets.sum().sort_values(ascending=False, kind="stable").index]
    masks["aus"] = (table[aus] == 1).loc[:, lambda coded: coded.any()]
    values = {"subjects": persons(table)} if "subject" in table else {}
    if "dataset" in table and len(table["dataset"].unique()) > 1:
        values["datasets"] = table["dataset"]
    for name, own in values.items():
        mask = pd.get_dummies(own.astype(str), dtype=bool)
        masks[name] = mask[sorted(mask, key=lambda one: re.sub(r"\d+", lambda digits: digits[0].zfill(9), one))]
    return masks


def chosen_filters(
    masks: Mapping[str, pd.DataFrame], wanted: Mapping[str, str | Iterable[str]]
) -> tuple[dict[str, tuple[str, ...]], np.ndarray]:
    """The filters that are on, each with its values, and which clips pass all of them, (n,) of bool.

    Of one filter's values any one suffices; one value may stand alone.

    Raises
    ------
    ValueError
        If there is no such filter, no clip has a value, or no clip passes all filters.
    """
    found, passed = {}, np.ones(len(masks["aus"]), dtype=bool)
    for name, own in wanted.items():
        values = tuple(filter(None, (own,) if isinstance(own, str) else map(str, own)))
        if name not in FILTERS:
            raise ValueError(f"there is no filter {name!r}; there are {', '.join(FILTERS)}")
        if strange := [one for one in values if one not in masks[name]]:
            some = ", ".join(masks[name].columns[:8]) or "none is known here"
            raise ValueError(f"no clip has the {FILTERS[name]} {strange[0]!r}; there are {some}")
        if values:
            found[name] = values
            passed &= masks[name][list(values)].any(axis=1).to_numpy()
    if found and not passed.any():
        chosen = ", ".join(f"{FILTERS[name]} {' or '.join(own)}" for name, own in found.items())
        raise ValueError(f"no clip passes all filters: {chosen}; remove one of them")
    return found, passed


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


def partner(
    groups: pd.DataFrame, row: int, *, places: np.ndarray, among: np.ndarray | None = None
) -> tuple[int, float]:
    """The row of the confusable partner: the nearest clip with the same AU set and another emotion, and its distance.

    Parameters
    ----------
    groups : DataFrame
        From :func:`partner_groups`.
    row : int
    places : (n, d) float
        In standard deviations.
    among : (n,) bool or None
        The clips that may be the partner; all where None.

    Raises
    ------
    ValueError
        If the clip's AUs or emotion are not known, no AU is coded in it, no such clip exists, or none is in `among`.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "AU4": [1, 1, 1], "label": ["disgust", "others", "others"]})
    >>> partner(partner_groups(table), 0, places=np.array([[0.0], [9.0], [1.0]]))
    (2, 1.0)
    """
    clip_id, aus, emotion, _ = groups.iloc[row]
    alike = same_aus(groups, row)
    emotions = groups["emotion"].iloc[alike]
    others = alike[emotions.notna() & (emotions != emotion)]
    there = others if among is None else others[among[others]]
    problems = {
        "its emotion is not known": emotion is None,
        "no AU is coded in this clip, so no clip can share its AUs": not aus,
        f"all {len(alike)} clips with the AU set {aus} are labelled {emotion!r}": len(others) == 0,
        f"all {len(others)} are hidden by the filters; call filter()": len(there) == 0,
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


def clips_to_compare(table: pd.DataFrame, clip_id: str) -> list[tuple[str, str]]:
    """Clips of another emotion as (text, clip_id), those with the same AU set first.

    Raises
    ------
    ValueError
        If the clip's emotion is not known, or there is no other.
    """
    groups = partner_groups(table)
    own = groups[groups["clip_id"] == clip_id].iloc[0]
    if own["emotion"] is None:
        raise ValueError(f"the emotion of {clip_id!r} is not known, so it cannot be compared with another emotion")
    others = groups[groups["emotion"].notna() & (groups["emotion"] != own["emotion"])]
    if others.empty:
        raise ValueError(f"every clip with a known emotion is {own['emotion']}; a pair needs two emotions")
    alike = (others["aus"] == own["aus"]) if own["aus"] else pd.Series(False, others.index)
    listed = others.assign(same=alike).sort_values("same", ascending=False, kind="stable").head(_MOST_PARTNERS)
    return [
        (f"{name} · {label}{' · same AUs' * same}", name)
        for name, label, same in listed[["clip_id", "emotion", "same"]].to_numpy()
    ]


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


def describe_selection(table: pd.DataFrame, *, of: int, hidden: int = 0) -> str:
    """Which clips are selected: how many, whose, which emotions, and the emotions of the most frequent AU sets.

    Parameters
    ----------
    table : DataFrame
        The selected rows.
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

    def chips(own: pd.Series) -> str:
        counts = own.dropna().astype(str).value_counts()
        return "".join(emotion_chip(name, count=count) for name, count in counts.items())

    parts = [f"<b>{len(table)} of {of} {'shown ' if hidden else ''}clips</b>"]
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
    return found.drop(columns=["kind", "branch", "target"])


def pair_facts(pairs: pd.DataFrame, about: pd.DataFrame | None) -> pd.DataFrame:
    """What pairs are filtered by: a category a column, as far as it is known."""
    facts: dict[str, Any] = {"aus": pairs["action_units"]}
    facts |= {name: pairs[name] for name in ("label_a", "label_b", "opposite", "verdict") if name in pairs}

    def of_clips(values: pd.Series, table: pd.DataFrame) -> list[np.ndarray]:
        of_clip = values.set_axis(table["clip_id"].to_numpy())
        return [of_clip.reindex(pairs[f"clip_{side}"]).to_numpy(dtype=object) for side in "ab"]

    if "same_subject" in pairs:
        facts["subjects"] = np.where(pairs["same_subject"], "same", "different")
    elif about is not None and "subject" in about:
        one, other = of_clips(persons(about), about)
        facts["subjects"] = np.where((one == other) & pd.notna(one), "same", "different")
    if about is not None and "dataset" in about and len(about["dataset"].unique()) > 1:
        one, other = of_clips(about["dataset"].astype(str), about)
        facts["dataset"] = np.where((one == other) & pd.notna(one), one, "two data sets")
    return pd.DataFrame({name: pd.Categorical(own, categories=_PAIRS.get(name)) for name, own in facts.items()})
