"""Small tables as HTML: escaped, aligned, sorted as asked."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.widgets.style import note

Shown = Callable[[object], str]
"""From a value to escaped HTML."""


def plain(value: object) -> str:
    """A text, escaped; nothing where it is missing."""
    return "" if value is None or (np.isscalar(value) and pd.isna(value)) else html.escape(str(value))


def number(value: Any) -> str:
    """A figure with three digits; a dash where it is missing."""
    return "–" if pd.isna(value) else f"{float(value):.3f}"


def count(value: Any) -> str:
    """A whole number; a dash where it is missing."""
    return "–" if pd.isna(value) else f"{int(value):,}"


def share(value: Any) -> str:
    """A share as a bar and a percentage; a dash where it is missing."""
    if pd.isna(value):
        return "–"
    width = f"width:{100 * min(max(float(value), 0.0), 1.0):.0f}%"
    fill = f"<span class='medn-fill' style='{width};background:#2F7FD0'></span>"
    return f"<span class='medn-track medn-short'>{fill}</span> {float(value):.0%}"


def table_html(
    table: pd.DataFrame,
    columns: Mapping[str, tuple[str, Shown]],
    *,
    by: str = "",
    ascending: bool = True,
    most: int = 400,
) -> str:
    """A table with these columns, sorted; missing values stand last.

    Parameters
    ----------
    table : DataFrame
    columns : mapping of column to (title, how a value is shown)
        Columns that the table does not have, or that say nothing in any row, are left out.
    by : str
        Sort by this column.
    ascending : bool
    most : int
        Rows shown; how many more there are is said.
    """
    there = {name: how for name, how in columns.items() if name in table and _says_anything(table[name])}
    rows = table
    if by in table:
        rows = table.sort_values(by, ascending=ascending, kind="stable", na_position="last", key=_sortable)
    left = [how is plain for _, how in there.values()]
    head = "".join(
        f"<th class='{'medn-left' if at_left else ''}'>{html.escape(title)}</th>"
        for (title, _), at_left in zip(there.values(), left, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{'medn-left' if at_left else ''}'>{how(row[name])}</td>"
            for (name, (_, how)), at_left in zip(there.items(), left, strict=True)
        )
        + "</tr>"
        for row in rows.head(most).to_dict("records")
    )
    rest = len(rows) - most
    more = note(f"{rest:,} more rows are not shown.") if rest > 0 else ""
    return f"<table class='medn-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _sortable(values: pd.Series) -> pd.Series:
    """Texts so that AU2 stands before AU10; numbers as they are."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    return values.map(lambda text: re.sub(r"\d+", lambda digits: digits[0].zfill(9), str(text)))


def _says_anything(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or bool(values.map(plain).ne("").any())
