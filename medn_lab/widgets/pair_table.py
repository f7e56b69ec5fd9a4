"""A table of pairs that is filtered and sorted by whole columns, quick enough for a million pairs."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.view.marks import counted, need
from medn_lab.view.pair import pair_place
from medn_lab.view.rows import persons
from medn_lab.widgets.panel import note

ORDERS: dict[str, tuple[str, dict[str, float]]] = {
    "ranked": ("as ranked", {}),
    "alike": ("most alike in motion first", {"motion_similarity": 1}),
    "apart": ("most apart in emotion first", {"emotion_separation": 1}),
    "missed": ("alike in motion, least apart in emotion first", {"motion_similarity": 1, "emotion_separation": -1}),
    "leaks": ("most apart in motion compared with controls first", {"motion_beyond": 1}),
}
"""Title of each order, and the columns with their weights in the sum of which the largest comes first."""

FILTERS: dict[str, tuple[Any, str, str]] = {
    "aus": ("", "AUs", "Only pairs of this AU set"),
    "emotion": ("", "emotion", "Only pairs in which one clip has this emotion"),
    "against": ("", "other emotion", "Only pairs in which the other clip has this emotion"),
    "subjects": ("", "subjects", "Pairs of one person show the same face: the fairer comparison"),
    "verdict": ("", "predictions", "What the model predicted for the two clips"),
    "dataset": ("", "data set", "Only pairs of this data set"),
    "opposite": (False, "opposite valence", "Only pairs of a positive and a negative emotion"),
    "bookmarked": (False, "bookmarked", "Only pairs with a bookmark"),
}
"""By name: the value that lets all pairs pass, the label and the hint of the control."""
NO_FILTERS = {name: none for name, (none, _, _) in FILTERS.items()}
_NEEDED = ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
_CHOICES: dict[str, list[Any]] = {
    "verdict": ["both right", "one right", "swapped", "both wrong"],
    "subjects": ["same", "different"],
    "opposite": [False, True],
}
_COLUMNS = {name: ["label_a", "label_b"] for name in ("emotion", "against")}
_MOST_OPTIONS = 300


class PairTable:
    """The pairs with a label on both sides, each once.

    Parameters
    ----------
    pairs : DataFrame
        As ``medn.diagnose.rank_pairs`` or ``medn.diagnose.confusable_pairs`` return them.
    about : DataFrame or None
        A table of the clips: adds the data set, and the subjects where the pairs lack them.

    Attributes
    ----------
    table : DataFrame
        With the index of `pairs`, which is the rank.
    orders : dict
        Title of each order whose columns are there, by key.

    Raises
    ------
    ValueError
        If a column is missing.
    """

    def __init__(self, pairs: pd.DataFrame, about: pd.DataFrame | None) -> None:
        if len(pairs) or not set(_NEEDED) <= set(pairs.columns):
            need(pairs, _NEEDED, maker="diagnose.rank_pairs")
        labelled = pairs[["label_a", "label_b"]].notna().all(axis=1)
        left_out = int((~labelled).sum())
        self._left_out = f"; {left_out} without a label on both sides left out" if left_out else ""
        table = self.table = pairs[labelled & ~pairs.duplicated(["clip_a", "clip_b"])]
        self._facts = _facts(table, about)
        self._keys = {
            order: table.reindex(columns=list(weights)).to_numpy(dtype=float) @ np.array(list(weights.values()))
            for order, (_, weights) in ORDERS.items()
        }
        known = [order for order, key in self._keys.items() if order == "ranked" or not np.isnan(key).all()]
        self.orders = {order: ORDERS[order][0] for order in known}

    def __len__(self) -> int:
        return len(self.table)

    def has(self, name: str) -> bool:
        """Whether the pairs can be filtered by this."""
        return name == "bookmarked" or _COLUMNS.get(name, [name])[0] in self._facts

    def options(self, name: str) -> list[tuple[str, str]]:
        """Title with the number of pairs, and value, of what can be chosen by a filter, the commonest first."""
        if not self.has(name):
            return []
        counts = pd.concat([self._facts[own] for own in _COLUMNS.get(name, [name])]).value_counts()
        mark = "AU " if name == "aus" else ""
        return [(f"{mark}{value} ({n})", str(value)) for value, n in counts.head(_MOST_OPTIONS).items()]

    def passing(
        self, filters: Mapping[str, Any], *, order: str = "ranked", bookmarked: Collection[int] = ()
    ) -> np.ndarray:
        """Positions of the pairs that pass, (m,) int64, in order; ValueError where a choice is not there."""
        if order not in self.orders:
            raise ValueError(f"there is no order {order!r} here; there are {', '.join(self.orders)}")
        if unknown := set(filters) - set(NO_FILTERS):
            raise ValueError(f"there is no filter {', '.join(unknown)}; there are {', '.join(NO_FILTERS)}")
        chosen = {name: value for name, value in filters.items() if value}
        keep = np.ones(len(self), dtype=bool)
        if chosen.pop("bookmarked", False):
            keep &= np.isin(np.arange(len(self)), list(bookmarked))
        for name, value in chosen.items():
            keep &= self._equal(name, value)
        if "against" in chosen and chosen["against"] == chosen.get("emotion"):
            keep[:] = False  # a confusable pair has two emotions
        rows = np.flatnonzero(keep)
        return rows[np.argsort(-self._keys[order][rows], kind="stable")]

    def find(self, clip_a: str, clip_b: str) -> int:
        """Position of the pair of these two clips, in either order; ValueError where there is none."""
        place = pair_place(self.table, clip_a, clip_b)
        if place is None:
            raise ValueError(f"{clip_a!r} and {clip_b!r} are not among the {len(self)} pairs of this browser")
        return place

    def clips(self, about: pd.DataFrame | None) -> pd.DataFrame:
        """What is known of the clips: `about`, and of the clips that it lacks what the pairs hold."""
        names = ["clip_id", "label", "action_units"]
        own = [self.table[[f"clip_{one}", f"label_{one}", "action_units"]].set_axis(names, axis=1) for one in "ab"]
        return pd.concat([about, *own]).drop_duplicates("clip_id")

    def count_text(self, n: int) -> str:
        """How many of the pairs pass, in words."""
        return ("" if n == len(self) else f"{n} of ") + counted(len(self), "pair") + self._left_out

    def why_none(self) -> str:
        """Why no pair passes."""
        if len(self):
            return f"no pair passes these filters; without filters there are {len(self)} pairs"
        none = self.table.attrs.get("none") or "none here, because no two clips share an AU set and differ in emotion"
        return f"No confusable pairs: {none}{self._left_out}."

    def _equal(self, name: str, value: object) -> np.ndarray:
        """Whether a pair has this value; ValueError where none ever does."""
        if not self.has(name):
            raise ValueError(f"these pairs have no column {name} to choose by")
        facts = self._facts[_COLUMNS.get(name, [name])]
        there = sorted({one for column in facts for one in facts[column].cat.categories})
        if value not in there:
            raise ValueError(f"no pair has the {name} {value!r}; there are {', '.join(map(str, there[:12])) or 'none'}")
        return (facts == value).any(axis=1).to_numpy()


def pair_line(row: Mapping[Any, Any]) -> str:
    """A pair as one line of text: AU set, emotions, verdict, clips."""
    emotions, clips = (f"{row[f'{what}_a']} / {row[f'{what}_b']}" for what in ("label", "clip"))
    return "  ·  ".join(filter(None, [f"AU {row['action_units']}", emotions, row.get("verdict"), clips]))


def csv_link(bookmarks: pd.DataFrame) -> str:
    """A link by which the page saves the bookmarks; nothing is written on the kernel's machine."""
    if bookmarks.empty:
        return note("No pair is bookmarked yet.")
    payload = base64.b64encode(bookmarks.to_csv(index=False).encode()).decode()
    return (
        "<a class='medn-line medn-download' style='text-decoration:underline' download='confusable_pairs.csv'"
        f" href='data:text/csv;base64,{payload}' title='Save the bookmarked pairs and their notes'>"
        f"↓ save {counted(len(bookmarks), 'bookmark')} as csv</a>"
    )


def _facts(pairs: pd.DataFrame, about: pd.DataFrame | None) -> pd.DataFrame:
    """What pairs are filtered by: a category a column."""
    facts: dict[str, Any] = {"aus": pairs["action_units"]}
    facts |= {name: pairs[name] for name in ("label_a", "label_b", "opposite", "verdict") if name in pairs}
    if "same_subject" in pairs:
        facts["subjects"] = np.where(pairs["same_subject"], "same", "different")
    elif about is not None and "subject" in about:
        facts["subjects"] = np.where(_alike(pairs, persons(about), about)[0], "same", "different")
    if about is not None and "dataset" in about and len(about["dataset"].unique()) > 1:
        facts["dataset"] = np.where(*_alike(pairs, about["dataset"].astype(str), about), "two data sets")
    return pd.DataFrame({name: pd.Categorical(own, categories=_CHOICES.get(name)) for name, own in facts.items()})


def _alike(pairs: pd.DataFrame, values: pd.Series, about: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether both clips of a pair have the same known value, and the value of the first."""
    of_clip = values.set_axis(about["clip_id"].to_numpy())
    one, other = (of_clip.reindex(pairs[f"clip_{side}"]).to_numpy(dtype=object) for side in "ab")
    return (one == other) & pd.notna(one), one
