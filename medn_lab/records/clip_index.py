"""An index of clips on disk: what spreadsheet and folders hold, and what was wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from medn_lab.records.action_units import au_doubt
from medn_lab.records.rows import au_columns, check_table
from medn_lab.records.storage import Parts, read_parts, write_parts

PROBLEM_COLUMNS = ("clip_id", "field", "found", "done", "kept")


def no_problems() -> pd.DataFrame:
    """An empty table of problems.

    Returns
    -------
    DataFrame
        No rows; the columns of :data:`PROBLEM_COLUMNS`.

    Examples
    --------
    >>> list(no_problems().columns), len(no_problems())
    (['clip_id', 'field', 'found', 'done', 'kept'], 0)
    """
    return pd.DataFrame(columns=list(PROBLEM_COLUMNS))


def tally(table: pd.DataFrame, column: str) -> str:
    """How often each value of a column occurs, the most frequent first; empty where there is no such column."""
    counts = table[column].value_counts() if column in table else pd.Series(dtype=int)
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def doubt_tally(table: pd.DataFrame) -> str:
    """How many clips take part in no pair and no AU figure because their AUs are in doubt; empty for none."""
    n = int((au_doubt(table) != "").sum()) if "action_units" in table or au_columns(table) else 0
    return f"{n} clips with AUs in doubt" if n else ""


@dataclass(frozen=True, eq=False, repr=False)
class ClipIndex:
    """What a data set's spreadsheet and folders hold, before any frame is read.

    Attributes
    ----------
    table : DataFrame
        One row a clip: ``clip_id, dataset, subject, onset, apex, offset, fps, emotion, action_units, AU1 ...,
        frames_folder``. Frame numbers are those of the files. ``action_units_coded, action_units_sided,
        action_units_intensity, action_units_doubt`` hold what the coder wrote, as
        :func:`medn_lab.records.au_codings` reads it.
    problems : DataFrame
        One row a fault: ``clip_id, field, found, done, kept`` (what was found, what was done, whether the clip is
        kept).
    source : dict
        Which root, spreadsheet and coding this was read from.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "dataset": "own", "subject": ["01", "02"]})
    >>> ClipIndex(table, no_problems())
    ClipIndex: 2 clips of 2 subjects (own 2); 0 problems, 0 rows left out
    """

    table: pd.DataFrame
    problems: pd.DataFrame = field(default_factory=no_problems)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", check_table(self.table, owner="ClipIndex", required=("clip_id", "subject")))
        missing = [name for name in PROBLEM_COLUMNS if name not in self.problems.columns]
        if missing:
            raise ValueError(f"the problems of a ClipIndex lack {', '.join(missing)}")

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kept = self.problems["kept"].astype(bool)
        doubt = doubt_tally(self.table)
        return (
            f"ClipIndex: {len(self)} clips of {self.table['subject'].nunique()} subjects"
            f" ({tally(self.table, 'dataset') or 'no data set named'}); {len(self.problems)} problems,"
            f" {self.problems.loc[~kept, 'clip_id'].nunique()} rows left out" + (f", {doubt}" if doubt else "")
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the index as a folder; see :mod:`medn_lab.records.storage`."""
        tables = {"clips": self.table, "problems": self.problems}
        return write_parts(path, "ClipIndex", Parts(tables=tables, documents={"source": dict(self.source)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClipIndex:
        """Read an index that :meth:`save` wrote."""
        parts = read_parts(path, "ClipIndex")
        return cls(parts.tables["clips"], parts.tables["problems"], parts.documents["source"])
