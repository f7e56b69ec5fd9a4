"""A long list of pairs: which of them pass some filters, and in which order. Arrays alone, for a million pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from medn_lab.view.sheets import check_columns, counted

NEEDED = ("clip_a", "clip_b", "action_units", "label_a", "label_b")

ORDERS = {
    "ranked": "as ranked",
    "alike": "most alike in motion first",
    "apart": "most apart in emotion first",
    "missed": "alike in motion, least apart in emotion first",
    "leaks": "most apart in motion, beyond controls, first",
}
"""Key and title of each order; those whose columns are missing are left out."""

_MOST_SETS = 300

SUBJECTS = {"same": "one subject", "different": "two subjects"}
VERDICTS = ("both right", "one right", "swapped", "both wrong")


class PairList:
    """The pairs of a table, ready to be filtered and sorted.

    Parameters
    ----------
    pairs : DataFrame
        As ``medn.diagnose.rank_pairs`` or ``medn.diagnose.confusable_pairs`` give them.
    about : DataFrame or None
        A table of the clips, with ``clip_id``: adds the data set and the subject where the pairs do not tell.

    Attributes
    ----------
    table : DataFrame
        The pairs with a label on both sides, their index (the rank) kept.
    unlabelled : int
        How many were left out because one has none.
    aus, emotions, datasets : dict
        What can be chosen, with its number of pairs; the commonest first. A list of AU sets ends after 300.
    orders : dict
        Key to title.

    Raises
    ------
    ValueError
        If a column is missing.
    """

    def __init__(self, pairs: pd.DataFrame, about: pd.DataFrame | None) -> None:
        check_columns(pairs, NEEDED, "rank_pairs")
        labelled = (pairs["label_a"].notna() & pairs["label_b"].notna()).to_numpy()
        self.unlabelled = int((~labelled).sum())
        self.table = pairs if not self.unlabelled else pairs[labelled]
        self._sets, names = pd.factorize(self.table["action_units"].to_numpy(dtype=object))
        self.aus = _counted(self._sets, names, most=_MOST_SETS)
        self._set_code = {str(name): code for code, name in enumerate(names)}
        both = np.concatenate([self.table[f"label_{side}"].to_numpy(dtype=object) for side in "ab"])
        codes, emotions = pd.factorize(both)
        self._labels = codes.reshape(2, -1)
        self._label_code = {str(name): code for code, name in enumerate(emotions)}
        self.emotions = _counted(codes, emotions)
        self._where(about)
        self.orders = {key: title for key, title in ORDERS.items() if self._key(key) is not None}
        self._sorted: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.table)

    def has(self, column: str) -> bool:
        """Whether the pairs can be filtered by this: ``opposite``, ``same_subject``, ``verdict``, ``dataset``."""
        return column in self._flags

    def rows(self, chosen: Mapping[str, object], *, order: str, only: np.ndarray | None = None) -> np.ndarray:
        """The positions in `table` of the pairs that pass, in order.

        Parameters
        ----------
        chosen : mapping
            ``aus``, ``emotion``, ``against``, ``dataset``, ``subjects``, ``verdict`` (texts, empty for all) and
            ``opposite`` (bool).
        order : str
            A key of `orders`.
        only : int array or None
            Positions to choose among.

        Returns
        -------
        (m,) int64

        Raises
        ------
        ValueError
            If a choice names something that is not there.
        """
        keep = np.ones(len(self), dtype=bool)
        if only is not None:
            keep[:] = False
            keep[only] = True
        if chosen.get("aus"):
            keep &= self._sets == self._code(self._set_code, chosen["aus"], "AU set")
        one, other = (chosen.get(name) or "" for name in ("emotion", "against"))
        for name in filter(None, (one, other)):
            has = self._labels == self._code(self._label_code, name, "emotion")
            keep &= has.all(axis=0) if one == other else has.any(axis=0)
        if chosen.get("opposite") and self.has("opposite"):
            keep &= self._flags["opposite"]
        if chosen.get("subjects"):
            same = self._flag("same_subject", chosen["subjects"], SUBJECTS)
            keep &= same if chosen["subjects"] == "same" else ~same
        if chosen.get("verdict"):
            keep &= self._flag("verdict", chosen["verdict"], VERDICTS) == chosen["verdict"]
        if chosen.get("dataset"):
            keep &= self._flag("dataset", chosen["dataset"], self.datasets) == chosen["dataset"]
        ordered = self._in_order(order)
        return ordered[keep[ordered]]

    def find(self, clip_a: str, clip_b: str) -> int | None:
        """The position of a pair, named in either order; None where there is none."""
        a, b = (self.table[f"clip_{side}"].to_numpy(dtype=object) for side in "ab")
        here = np.flatnonzero(((a == clip_a) & (b == clip_b)) | ((a == clip_b) & (b == clip_a)))
        return int(here[0]) if len(here) else None

    def _where(self, about: pd.DataFrame | None) -> None:
        table = self.table
        self._flags = {name: table[name].to_numpy(dtype=bool) for name in ("opposite", "same_subject") if name in table}
        if "verdict" in table:
            self._flags["verdict"] = table["verdict"].to_numpy(dtype=object)
        self.datasets: dict[str, int] = {}
        if about is None:
            return
        places = [pd.Index(about["clip_id"]).get_indexer(table[f"clip_{side}"]) for side in "ab"]
        known = (places[0] >= 0) & (places[1] >= 0)
        if "same_subject" not in self._flags and "subject" in about:
            who = about["subject"].astype(str).to_numpy()
            if "dataset" in about:
                who = who + "\0" + about["dataset"].astype(str).to_numpy()
            self._flags["same_subject"] = known & (who[places[0]] == who[places[1]])
        if "dataset" in about and len(about["dataset"].unique()) > 1:
            codes, names = pd.factorize(about["dataset"].astype(str))
            first, second = (codes[place] for place in places)
            titles = np.array([*names, "two data sets"], dtype=object)
            of_pair = np.where(known & (first == second), first, len(names))
            self._flags["dataset"] = titles[of_pair]
            self.datasets = _counted(of_pair, titles)

    def _flag(self, column: str, choice: object, there: Collection[str]) -> np.ndarray:
        if not self.has(column):
            raise ValueError(f"these pairs do not tell the {column.replace('_', ' ')}, so none can be chosen by it")
        if choice not in there:
            raise ValueError(f"there is no choice {choice!r} here; there are {', '.join(map(str, there))}")
        return self._flags[column]

    @staticmethod
    def _code(codes: Mapping[str, int], name: object, what: str) -> int:
        if str(name) not in codes:
            shown = ", ".join(list(codes)[:12])
            raise ValueError(f"no pair has the {what} {name!r}; there are {shown or 'none'}")
        return codes[str(name)]

    def _in_order(self, order: str) -> np.ndarray:
        if order not in self._sorted:
            key = self._key(order) if order in self.orders else None
            if key is None:
                raise ValueError(f"there is no order {order!r} here; there are {', '.join(self.orders)}")
            self._sorted[order] = np.argsort(-np.nan_to_num(key, nan=-np.inf), kind="stable")
        return self._sorted[order]

    def _key(self, order: str) -> np.ndarray | None:
        """What is sorted by, the largest first; None where a column is missing."""
        table = self.table
        if order == "ranked":
            return np.zeros(len(table))
        columns = {
            "alike": ["motion_similarity"], "apart": ["emotion_separation"],
            "missed": ["motion_similarity", "emotion_separation"], "leaks": ["motion_beyond"],
        }[order]  # fmt: skip
        if not set(columns) <= set(table.columns) or table[columns].isna().all(axis=None):
            return None
        first, *rest = (table[name].to_numpy(dtype=float) for name in columns)
        return first - rest[0] if rest else first


def _counted(codes: np.ndarray, names: np.ndarray, *, most: int | None = None) -> dict[str, int]:
    """Each name with how often its code is there, the commonest first."""
    counts = np.bincount(codes, minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:most]
    return {str(names[place]): int(counts[place]) for place in order if counts[place]}


def said_of(rows: int, of: int, *, unlabelled: int) -> str:
    """How many pairs pass, in words."""
    told = counted(of, "pair") if rows == of else f"{rows} of {counted(of, 'pair')}"
    return told + (f"; {unlabelled} without a label on both sides left out" if unlabelled else "")
