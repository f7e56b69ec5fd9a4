"""Colouring of points on a map: which category each clip is in, and how each category looks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.records import au_columns
from medn_lab.view import theme
from medn_lab.view.rows import AUS_IN_DOUBT, NO_AU, UNKNOWN_AUS, au_set_names, label_column, persons, rightness
from medn_lab.view.theme import as_text

UNKNOWN, REST = "unknown", "other"
MOST_CATEGORIES = 12
"""Entries of a legend: with more categories the rarest share the last one, which is grey."""

_NOT_KNOWN = (UNKNOWN, UNKNOWN_AUS, AUS_IN_DOUBT)
_GREY = (theme.GREY, "circle-open")
_STEP_COLOURS = ("#3B4CA8", "#2F7FD0", "#2BA8A0", "#86B83E", "#E0B020")
_COLUMNS = {
    "subject": "subject", "dataset": "data set", "fold": "fold", "cue": "implicit cue",
    "gate": "gate (0 all emotion, 1 all motion)",
}  # fmt: skip
_NAMES = ("subject", "dataset", "fold", "cue", "clip_id")
"""Columns whose values are names, also where they are written as numbers."""


@dataclass(frozen=True)
class Colouring:
    """Which category each clip is in, and how each category looks.

    Attributes
    ----------
    key, title : str
        The column or property, and its title in the legend. Where the rarest categories are folded into ``other``, the
        title says how many of how many have an entry.
    values : (n,) object array of str
    styles : mapping of str to (colour, marker symbol)
        In the order of the legend; every value is a key.
    own : (n,) object array of str, or None
        The category of each clip before the rarest were folded into ``other``; None where none was.
    """

    key: str
    title: str
    values: np.ndarray
    styles: Mapping[str, tuple[str, str]]
    own: np.ndarray | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many clips each category has, in the order of the legend."""
        return pd.Series(self.values).value_counts().reindex(list(self.styles), fill_value=0).to_dict()

    def named(self, texts: np.ndarray) -> np.ndarray:
        """Hover texts (n,), where categories were folded each with the clip's own, unless a line names it already."""
        if self.own is None:
            return texts
        title = as_text(self.title.rpartition(", ")[0])
        named = []
        for text, own in zip(texts, map(as_text, self.own), strict=True):
            there = any(f" {line}".endswith(f" {own}") for line in text.split("<br>"))
            named.append(text if there else f"{text}<br>{title} {own}")
        return np.asarray(named, dtype=object)


def colour_choices(table: pd.DataFrame) -> dict[str, str]:
    """What the clips of this table can be coloured by: key to title.

    Examples
    --------
    >>> list(colour_choices(pd.DataFrame(columns=["clip_id", "subject", "label", "AU4"])))
    ['label', 'subject', 'au_set', 'AU4']
    """
    label, aus = label_column(table), au_columns(table)
    choices = {label: "emotion"} if label else {}
    if "predicted" in table:
        choices |= {"predicted": "predicted emotion"} | ({"correctness": "right or wrong"} if label else {})
    choices |= {name: title for name, title in _COLUMNS.items() if name in table}
    if "dataset" in choices and table["dataset"].nunique(dropna=False) < 2:
        del choices["dataset"]
    return choices | ({"au_set": "AU set"} if aus or "action_units" in table else {}) | dict(zip(aus, aus, strict=True))


def colouring(table: pd.DataFrame, by: str = "label") -> Colouring:
    """Colour the clips of a table.

    Parameters
    ----------
    table : DataFrame
    by : str
        A key of :func:`colour_choices`, or any column. ``label`` falls back on ``emotion``; a numeric column with many
        values is cut at its quintiles. Of more than 12 categories the 11 most frequent are named, the others share the
        entry ``other``.

    Returns
    -------
    Colouring

    Raises
    ------
    ValueError
        If the table has nothing of that name.

    Examples
    --------
    >>> colouring(pd.DataFrame({"clip_id": ["a", "b"], "AU4": [1, 0]}), "AU4").values.tolist()
    ['AU4', 'no AU4']
    """
    column = label_column(table) if by == "label" else by
    if by in ("label", "emotion", "predicted") and column in table:
        title = "predicted emotion" if by == "predicted" else "emotion"
        return _by_category(by, title, _texts(table[column]))
    if by == "correctness" and "predicted" in table and label_column(table):
        known, right = rightness(table)
        looks = {"right": ("#2F7FD0", "circle"), "wrong": ("#E8590C", "x")}
        return _of_two(by, "prediction", known, right, looks)
    if by == "au_set":
        return _by_category(by, "AU set", au_set_names(table))
    if by in au_columns(table):
        coded = table[by].to_numpy(dtype=float)
        looks = {by: ("#E8590C", "circle"), f"no {by}": ("#6F93B8", "circle-open")}
        return _of_two(by, by, ~np.isnan(coded), coded == 1, looks)
    if by in table:
        values, title = persons(table) if by == "subject" else table[by], _COLUMNS.get(by, by)
        numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numbers and by not in _NAMES and values.nunique() > MOST_CATEGORIES:
            return _by_quintile(by, title, values)
        return _by_category(by, title, _texts(values))
    raise ValueError(f"cannot colour by {by!r}; there are {', '.join(colour_choices(table)) or 'no columns for it'}")


def _texts(values: pd.Series) -> np.ndarray:
    text = values.astype(object).astype(str).to_numpy(dtype=object)
    return np.where(values.isna().to_numpy() | (text == ""), UNKNOWN, text).astype(object)


def _by_category(key: str, title: str, own: np.ndarray) -> Colouring:
    """An entry for each of the most frequent categories; the others share a grey one."""
    counts = pd.Series(own).value_counts(sort=False).drop(list(_NOT_KNOWN), errors="ignore")
    names = list(counts.sort_values(ascending=False, kind="stable").index)
    names = names if len(names) <= MOST_CATEGORIES else names[: MOST_CATEGORIES - 1]
    if key in ("label", "emotion", "predicted"):
        styles = {name: theme.emotion_style(name) for name in names}
    else:
        names = names if key == "au_set" else sorted(names)
        styles = {name: theme.category_style(place) for place, name in enumerate(names)}
        styles |= {NO_AU: (theme.GREY, "circle")} if NO_AU in styles else {}
    rest = REST if REST not in styles else f"all {REST}"
    values = np.where(np.isin(own, [*styles, *_NOT_KNOWN]), own, rest).astype(object)
    folded = len(counts) - len(styles)
    if folded:
        title = f"{title}, {len(styles)} of {len(counts)} named"
    return Colouring(key, title, values, _with_grey(styles, values, rest), own if folded else None)


def _with_grey(styles: Mapping[str, tuple[str, str]], values: np.ndarray, *rest: str) -> dict[str, tuple[str, str]]:
    """The styles and a grey entry for the rest and for what is not known, where a clip has that value."""
    return {**styles, **{name: _GREY for name in (*rest, *_NOT_KNOWN) if name in set(values)}}


def _of_two(key: str, title: str, known: np.ndarray, first: np.ndarray, looks: dict[str, tuple[str, str]]) -> Colouring:
    """Two categories, the first of `looks` where `first` is true."""
    yes, no = looks
    values = np.where(~known, UNKNOWN, np.where(first, yes, no)).astype(object)
    return Colouring(key, title, values, _with_grey(looks, values))


def _by_quintile(key: str, title: str, values: pd.Series) -> Colouring:
    step, cuts = pd.qcut(values, len(_STEP_COLOURS), labels=False, retbins=True, duplicates="drop")
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(cuts)]
    text = np.asarray([UNKNOWN if np.isnan(one) else names[int(one)] for one in step], dtype=object)
    styles = {name: (colour, "circle") for name, colour in zip(names, _STEP_COLOURS, strict=False)}
    return Colouring(key, title, text, _with_grey(styles, text))
