"""Pairs that a reader has marked, with a note each, and the way to take them along as a file."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pandas as pd

from medn_lab.view.sheets import counted


class Bookmarks:
    """The marked pairs of a table, in the order in which they were marked.

    Parameters
    ----------
    columns : Index
        Of the table of pairs.
    """

    def __init__(self, columns: pd.Index) -> None:
        self._columns = [*columns, "note"]
        self._rows: dict[int, pd.Series] = {}
        self._notes: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, place: int) -> bool:
        return place in self._rows

    @property
    def places(self) -> list[int]:
        """The positions of the marked pairs in their table."""
        return list(self._rows)

    def note(self, place: int) -> str:
        """The note on a pair; empty where it is not marked."""
        return self._notes.get(place, "")

    def put(self, place: int, row: pd.Series, *, note: str) -> None:
        """Mark a pair, or change its note."""
        self._rows[place], self._notes[place] = row, note

    def drop(self, place: int) -> None:
        """Take the mark off."""
        self._rows.pop(place, None)
        self._notes.pop(place, None)

    def table(self) -> pd.DataFrame:
        """A row a marked pair: the columns of the pairs, and ``note``."""
        rows = [{**row.to_dict(), "note": self._notes[place]} for place, row in self._rows.items()]
        return pd.DataFrame(rows, columns=self._columns)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as a csv file.

        Raises
        ------
        ValueError
            If nothing is marked, the folder does not exist, or the name does not end in ``.csv``.
        """
        target = Path(path)
        if not self._rows:
            raise ValueError("no pair is bookmarked, so there is nothing to export")
        if target.suffix.lower() != ".csv":
            raise ValueError(f"bookmarks are exported as .csv; {target.name!r} ends otherwise")
        if not target.parent.is_dir():
            raise ValueError(f"there is no folder {str(target.parent)!r} to export the bookmarks to")
        self.table().to_csv(target, index=False)
        return target

    def link(self) -> str:
        """A link by which the browser saves the table; nothing is written on the kernel's machine."""
        if not self._rows:
            return "<span class='medn-note'>No pair is bookmarked yet.</span>"
        payload = base64.b64encode(self.table().to_csv(index=False).encode()).decode()
        told = counted(len(self), "bookmark")
        look = "class='medn-line medn-download' style='text-decoration:underline'"
        hint = "Save the bookmarked pairs and their notes as a csv file"
        where = f"download='confusable_pairs.csv' href='data:text/csv;base64,{payload}'"
        return f"<a {look} {where} title='{hint}'>↓ save {told} as csv</a>"
