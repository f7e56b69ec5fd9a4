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
# Entries of a legend: with more categories the rarest share the last one, which is grey.
MOST_CATEGORIES = 12
_NOT_KNOWN = (UNKNOWN, UNKNOWN_AUS, AUS_IN_DOUBT)
_GREY = (theme.GREY, "circle-open")
_STEP_COLOURS = ("#3B4CA8", "#2F7FD0", "#2BA8A0", "#86B83E", "#E0B020")
_COLUMNS = {
    "subject": "subject", "dataset": "data set", "fold": "fold", "cue": "implicit cue",
    "gate": "gate (0 all emotion, 1 all motion)", "label": "emotion", "predicted": "predicted emotion",
}  # fmt: skip
# Columns whose values are names, also where they are written as numbers.
_NAMES = ("subject", "dataset", "fold", "cue", "clip_id")


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
    own : (n,) object array of str
        The category of each clip before the rarest were folded into ``other``.
    """

    key: str
    title: str
    values: np.ndarray
    styles: Mapping[str, tuple[str, str]]
    own: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """How many clips each category has, in the order of the legend."""
        return pd.Series(self.values).value_counts().reindex(list(self.styles), fill_value=0).to_dict()

    def named(self, texts: np.ndarray) -> np.ndarray:
        """Hover texts (n,), where categories were folded each with the clip's own, unless a line names it already."""
        if (self.own == self.values).all():
            return texts
        title, named = as_text(self.title.rpartition(", ")[0]), []
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
    choices |= {name: _COLUMNS[name] for name in ("subject", "dataset", "fold", "cue", "gate") if name in table}
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
    emotions = by in ("label", "emotion", "predicted") and column in table
    looks: dict[str, tuple[str, str]] = {}
    if by == "correctness" and "predicted" in table and label_column(table):
        known, right = rightness(table)
        title, looks = "prediction", {"right": ("#2F7FD0", "circle"), "wrong": ("#E8590C", "x")}
        own = np.where(known, np.where(right, "right", "wrong"), UNKNOWN)
    elif by == "au_set":
        title, own = "AU set", au_set_names(table)
    elif by in au_columns(table):
        title, looks = by, {by: ("#E8590C", "circle"), f"no {by}": ("#6F93B8", "circle-open")}
        own = table[by].map({1: by, 0: f"no {by}"}).fillna(UNKNOWN).to_numpy()
    elif column in table:
        values, title = persons(table) if by == "subject" else table[column], _COLUMNS.get(by, by)
        numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numbers and by not in _NAMES and values.nunique() > MOST_CATEGORIES:
            fifth, cuts = pd.qcut(values, len(_STEP_COLOURS), labels=False, retbins=True, duplicates="drop")
            names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(cuts)]
            looks = {name: (colour, "circle") for name, colour in zip(names, _STEP_COLOURS, strict=False)}
            own = fifth.map(dict(enumerate(names))).fillna(UNKNOWN).to_numpy()
        else:
            text = values.astype(object).astype(str)
            own = text.mask(values.isna() | (text == ""), UNKNOWN).to_numpy()
    else:
        there = ", ".join(colour_choices(table)) or "no columns for it"
        raise ValueError(f"cannot colour by {by!r}; there are {there}")
    own = own.astype(object)
    counts = pd.Series(own).value_counts(sort=False).drop(list(_NOT_KNOWN), errors="ignore")
    names = list(counts.sort_values(ascending=False, kind="stable").index)
    names = names if len(names) <= MOST_CATEGORIES else names[: MOST_CATEGORIES - 1]
    if emotions:
        looks = {name: theme.emotion_style(name) for name in names}
    elif not looks:
        looks = {name: theme.category_style(k) for k, name in enumerate(names if by == "au_set" else sorted(names))}
        looks |= {NO_AU: (theme.GREY, "circle")} if NO_AU in looks else {}
    rest = REST if REST not in looks else f"all {REST}"
    values = np.where(np.isin(own, [*looks, *_NOT_KNOWN]), own, rest).astype(object)
    looks |= {name: _GREY for name in (rest, *_NOT_KNOWN) if name in set(values)}
    title += f", {len(names)} of {len(counts)} named" if rest in looks else ""
    return Colouring(by, title, values, looks, own)
