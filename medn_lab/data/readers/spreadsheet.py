"""Finding a data set's spreadsheet, recognising which coding it is, and reading it as text, field by field."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from medn_lab.data.frames import stays_within
from medn_lab.data.layout import FIELD_NAMES, Coding, Layout, header_key

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".csv")
MOST_ROWS = 20_000
"""The largest data set has under ten thousand clips; what is longer is something else, or made to fill the memory."""

MOST_COLUMNS = 1_000

MOST_BYTES = 100_000_000
"""Unpacked, of any one part of a workbook, and of a ``.csv``."""

HEADER_SEARCH = 40
"""Rows in which a header is looked for; SAMM's stands on the 14th."""

_FIELD_OF_HEADER = {header: field for field, headers in FIELD_NAMES.items() for header in headers}


class SpreadsheetError(ValueError):
    """No spreadsheet fits, several fit, or the one given cannot be read."""


@dataclass(frozen=True, eq=False)
class Spreadsheet:
    """A spreadsheet's rows as text.

    Attributes
    ----------
    path : Path
    coding : str
        Which coding it is, such as ``casme2_2019``; with ``_retyped`` behind it where its headers are not the
        official ones.
    rows : DataFrame
        Columns are fields (``subject, filename, onset ...``), cells stripped text, ``""`` where empty. Rows without any
        text are not there.
    """

    path: Path
    coding: str
    rows: pd.DataFrame


def open_spreadsheet(
    root: Path, layout: Layout, spreadsheet: str | os.PathLike[str] | None, *, word: str | None = None
) -> Spreadsheet:
    """The spreadsheet that is given, or the one below `root` that fits the data set.

    Raises
    ------
    SpreadsheetError
        If none or several fit, or it cannot be read.
    """
    if spreadsheet is not None:
        given = Path(spreadsheet)
        given = given if given.is_file() else root / given
        if not given.is_file():
            raise SpreadsheetError(f"no spreadsheet at {spreadsheet}")
        found = _read(given, layout)
        if isinstance(found, str):
            raise SpreadsheetError(f"{given.name} is no spreadsheet of {layout.title}: {found}")
        return found
    candidates = sorted(
        path
        for path in _below(root)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(("~$", ".")) and stays_within(path, root)
    )
    read = {path: _read(path, layout) for path in candidates}
    fitting = [found for found in read.values() if isinstance(found, Spreadsheet)]
    if word is not None and len(fitting) > 1:
        named = [one for one in fitting if word in one.path.stem.lower()]
        fitting = named or fitting
    if len(fitting) > 1:
        told = ", ".join(f"{one.path.name} ({one.coding}, {len(one.rows)} rows)" for one in fitting)
        raise SpreadsheetError(f"{len(fitting)} spreadsheets fit {layout.title}: {told}; say which with spreadsheet=")
    if not fitting:
        why = "; ".join(f"{path.name}: {found}" for path, found in read.items()) or "there is no .xlsx, .xls or .csv"
        raise SpreadsheetError(
            f"no spreadsheet of {layout.title} below {root} ({why}); it is called {layout.codings[0].filename} or the "
            "like, give it with spreadsheet="
        )
    return fitting[0]


def _below(root: Path, depth: int = 3) -> list[Path]:
    """Files down to a few levels: spreadsheets lie near the root, and frame folders are large."""
    found = []
    for folder, inner, files in os.walk(root):
        found += [Path(folder) / name for name in files]
        if len(Path(folder).relative_to(root).parts) >= depth - 1:
            inner.clear()
    return found


def _read(path: Path, layout: Layout) -> Spreadsheet | str:
    """The spreadsheet, or why it is none of this data set."""
    try:
        cells = _cells(path)
    except ImportError as error:
        line = "; run pip install 'medn-lab[xls]'" if path.suffix.lower() == ".xls" else ""
        return f"it needs another package to be read ({error}{line})"
    except Exception as error:  # openpyxl, zipfile and pandas each have their own for a broken file
        return f"it cannot be read ({type(error).__name__}: {error})"
    best: list[str] = []
    for place in range(min(HEADER_SEARCH, len(cells))):
        headers = [header_key(cell) for cell in cells.iloc[place]]
        fields = [_FIELD_OF_HEADER.get(header, "") for header in headers]
        if set(layout.required) <= set(fields):
            if not layout.has_aus and "action_units" in fields:
                return f"it has Action Units, which {layout.title} does not"
            return Spreadsheet(path, _coding(layout, headers, fields), _rows(cells.iloc[place + 1 :], fields))
        found = [field for field in layout.required if field in fields]
        best = max(best, found, key=len)
    lacking = ", ".join(field for field in layout.required if field not in best)
    return f"no row has the headers of {lacking}"


def _cells(path: Path) -> pd.DataFrame:
    _check_size(path)
    if path.suffix.lower() == ".csv":
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as stream:
            width = max((line.count(",") + 1 for line in islice(stream, MOST_ROWS + 1)), default=1)
        if width > MOST_COLUMNS:
            raise ValueError(f"a row has {width} cells; a coding has some twenty columns")
        cells = pd.read_csv(
            path, header=None, names=range(width), dtype=str, keep_default_na=False, encoding="utf-8-sig",
            encoding_errors="replace", skip_blank_lines=True, nrows=MOST_ROWS + 1,
        )  # fmt: skip
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
            cells = pd.read_excel(
                path, header=None, dtype=str, keep_default_na=False, na_filter=False, nrows=MOST_ROWS + 1
            )
    if len(cells) > MOST_ROWS:
        raise ValueError(f"it has more than {MOST_ROWS:,} rows; a coding has one a clip")
    return cells.fillna("").map(lambda cell: str(cell).strip())


def _check_size(path: Path) -> None:
    """Raise where reading would fill the memory: a workbook is a zip, and a small one can unpack to gigabytes."""
    sizes = [path.stat().st_size]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            sizes += [part.file_size for part in packed.infolist()]
    if max(sizes) > MOST_BYTES:
        raise ValueError(f"it unpacks to {max(sizes):,} bytes; a coding has under {MOST_BYTES:,}")


def _rows(cells: pd.DataFrame, fields: list[str]) -> pd.DataFrame:
    chosen = {}
    for place, field in enumerate(fields):
        if field and field not in chosen:  # the first of several columns of one field, as ApexF1 before ApexF2
            chosen[field] = cells.iloc[:, place]
    rows = pd.DataFrame(chosen)
    # Words below the table may stand in a column that is no field's; they count as a row, so take them along.
    rows["row_text"] = cells.apply(lambda row: " ".join(cell for cell in row if cell), axis=1)
    return rows[rows["row_text"] != ""].reset_index(drop=True)


def _coding(layout: Layout, headers: list[str], fields: list[str]) -> str:
    written = {header for header in headers if header and not re.fullmatch(r"unnamed\d*|nan", header)}

    def likeness(coding: Coding) -> tuple[int, int]:
        official = {header_key(column.header) for column in coding.columns if column.header}
        known = {column.field for column in coding.columns if column.field}
        return -len(known ^ {field for field in fields if field}), -len(official ^ written)

    best = max(layout.codings, key=likeness)
    official = {header_key(column.header) for column in best.columns if column.field}
    return best.name if official <= written else f"{best.name}_retyped"
