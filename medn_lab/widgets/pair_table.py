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

ORDERS = {
    "ranked": ("as ranked", "", ""),
    "alike": ("most alike in motion first", "motion_similarity", ""),
    "apart": ("most apart in emotion first", "emotion_separation", ""),
    "missed": ("alike in motion, least apart in emotion first", "motion_similarity", "emotion_separation"),
    "leaks": ("most apart in motion, beyond controls, first", "motion_beyond", ""),
}
"""Title of each order, the column of which the largest value comes first, and the column that is subtracted before."""

FILTERS: dict[str, tuple[Any, str, str]] = {
    "aus": ("", "AUs", "Only pairs of this AU set"),
    "emotion": ("", "emotion", "Only pairs in which one clip has this emotion"),
    "against": ("", "against", "... and the other clip this one"),
    "subjects": ("", "subjects", "Pairs of one person show the same face: the fairer comparison"),
    "verdict": ("", "model", "What the model predicted for the two clips"),
    "dataset": ("", "data set", "Only pairs of this data set"),
    "opposite": (False, "opposite valence", "Only pairs of a positive and a negative emotion"),
    "bookmarked": (False, "bookmarked", "Only pairs with a bookmark"),
}
"""By name: the value that lets all pairs pass, the label and the hint of the control."""
NO_FILTERS = {name: none for name, (none, _, _) in FILTERS.items()}
_NEEDED = ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
_VERDICTS = ["both right", "one right", "swapped", "both wrong"]


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
    unlabelled : int
        How many pairs were left out because a label is missing.
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
        self.unlabelled = int((~labelled).sum())
        self.table = pairs[labelled & ~pairs.duplicated(["clip_a", "clip_b"])]
        self._facts = _facts(self.table, about)
        self._keys = {order: self._key(first, second) for order, (_, first, second) in ORDERS.items()}
        self.orders = {order: ORDERS[order][0] for order, key in self._keys.items() if not np.isnan(key).all()}
        if self.table.empty:
            self.orders = {"ranked": ORDERS["ranked"][0]}

    def __len__(self) -> int:
        return len(self.table)

    def has(self, name: str) -> bool:
        """Whether the pairs can be filtered by this."""
        return name in ("emotion", "against", "bookmarked") or name in self._facts

    def options(self, name: str, *, most: int = 300) -> list[tuple[str, str]]:
        """Title with the number of pairs, and value, of what can be chosen by a filter, the commonest first."""
        if not self.has(name):
            return []
        if name in ("emotion", "against"):
            counts = self._facts["label_a"].value_counts().add(self._facts["label_b"].value_counts(), fill_value=0)
        else:
            counts = self._facts[name].value_counts()
        counts = counts.sort_values(ascending=False, kind="stable").head(most)
        mark = "AU " if name == "aus" else ""
        return [(f"{mark}{value} ({int(n)})", str(value)) for value, n in counts.items()]

    def passing(
        self, filters: Mapping[str, Any], *, order: str = "ranked", bookmarked: Collection[int] = ()
    ) -> np.ndarray:
        """Positions of the pairs that pass, (m,) int64, in order; ValueError where a choice is not there."""
        if order not in self.orders:
            raise ValueError(f"there is no order {order!r} here; there are {', '.join(self.orders)}")
        unknown = set(filters) - set(NO_FILTERS)
        if unknown:
            raise ValueError(f"there is no filter {', '.join(unknown)}; there are {', '.join(NO_FILTERS)}")
        keep = np.ones(len(self), dtype=bool)
        for name in ("aus", "subjects", "verdict", "dataset"):
            if filters.get(name):
                keep &= self._equal([name], filters[name], name)
        emotions = [filters[name] for name in ("emotion", "against") if filters.get(name)]
        for name in emotions:
            keep &= self._equal(["label_a", "label_b"], name, "emotion")
        if len(emotions) == 2 and emotions[0] == emotions[1]:
            keep[:] = False  # a confusable pair has two emotions
        if filters.get("opposite"):
            keep &= self._equal(["opposite"], True, "opposite")
        if filters.get("bookmarked"):
            keep &= np.isin(np.arange(len(self)), list(bookmarked))
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
        tables = [] if about is None else [about]
        for side in "ab":
            own = self.table[[f"clip_{side}", f"label_{side}", "action_units"]]
            tables.append(own.set_axis(["clip_id", "label", "action_units"], axis=1))
        return pd.concat(tables).drop_duplicates("clip_id")

    def count_text(self, n: int) -> str:
        """How many of the pairs pass, in words."""
        whole = counted(len(self), "pair")
        left_out = f"; {self.unlabelled} without a label on both sides left out" if self.unlabelled else ""
        return (whole if n == len(self) else f"{n} of {whole}") + left_out

    def why_none(self) -> str:
        """Why no pair passes."""
        if len(self):
            return f"no pair passes these filters; without them there are {len(self)}"
        none = self.table.attrs.get("none") or "none here, because no two clips share an AU set and differ in emotion"
        left_out = f" ({self.unlabelled} pairs lack a label)" if self.unlabelled else ""
        return f"No confusable pairs: {none}{left_out}."

    def _equal(self, columns: list[str], value: object, what: str) -> np.ndarray:
        """Whether one of the columns holds the value; ValueError where none ever does."""
        missing = set(columns) - set(self._facts)
        if missing:
            raise ValueError(f"these pairs have no column {what} to choose by")
        there = sorted({name for column in columns for name in self._facts[column].cat.categories})
        if value not in there:
            raise ValueError(f"no pair has the {what} {value!r}; there are {', '.join(map(str, there[:12])) or 'none'}")
        return (self._facts[columns] == value).any(axis=1).to_numpy()

    def _key(self, first: str, second: str) -> np.ndarray:
        """What an order sorts by; NaN where a column is missing."""
        if not first:
            return np.zeros(len(self))
        values = self.table.reindex(columns=[first, second or first]).to_numpy(dtype=float)
        return values[:, 0] - values[:, 1] if second else values[:, 0]


def pair_line(row: Mapping[Any, Any]) -> str:
    """A pair as one line of text: AU set, emotions, verdict, clips."""
    verdict = [str(row["verdict"])] if row.get("verdict") else []
    parts = [f"AU {row['action_units']}", f"{row['label_a']} / {row['label_b']}", *verdict]
    return "  ·  ".join([*parts, f"{row['clip_a']} / {row['clip_b']}"])


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
    """What pairs are filtered by: a category or a bool a column."""
    named = {"aus": "action_units", "label_a": "label_a", "label_b": "label_b"}
    facts = pd.DataFrame({name: pairs[column].astype("category") for name, column in named.items()})
    if "opposite" in pairs:
        facts["opposite"] = pd.Categorical(pairs["opposite"].astype(bool), categories=[False, True])
    if "verdict" in pairs:
        facts["verdict"] = pd.Categorical(pairs["verdict"], categories=_VERDICTS)
    same = pairs["same_subject"].to_numpy(dtype=bool) if "same_subject" in pairs else None
    if about is not None and same is None and "subject" in about:
        same = _alike(pairs, persons(about), about)[0]
    if same is not None:
        facts["subjects"] = pd.Categorical(np.where(same, "same", "different"), categories=["same", "different"])
    if about is not None and "dataset" in about and len(about["dataset"].unique()) > 1:
        alike, names = _alike(pairs, about["dataset"].astype(str), about)
        facts["dataset"] = pd.Categorical(np.where(alike, names, "two data sets"))
    return facts


def _alike(pairs: pd.DataFrame, values: pd.Series, about: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether both clips of a pair have the same known value, and the value of the first."""
    of_clip = values.set_axis(about["clip_id"].to_numpy())
    one, other = (of_clip.reindex(pairs[f"clip_{side}"]).to_numpy(dtype=object) for side in "ab")
    return (one == other) & pd.notna(one), one
