"""Finding a data set's spreadsheet, recognising which coding it is, and reading it as text, field by field."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from medn_lab.data.layouts import FIELD_OF_HEADER, Layout, header_key
from medn_lab.records import sha256_of_file

AnyPath: TypeAlias = str | os.PathLike[str]
Cells: TypeAlias = list[list[str]]
Sheet: TypeAlias = tuple[dict[str, Any], list[dict[str, str]]]
"""Where a sheet is from (``spreadsheet, sheets, sha256, coding``), and its rows.

``coding`` is such as ``casme2_2019``, or ``unknown (file name, sha256 ...)`` where name and columns are those of none
that is known. A row is field to stripped text, ``""`` where empty, with ``row_text`` (all cells), ``spreadsheet,
coding, sheet`` and ``sheet_row`` (as a spreadsheet program counts). Rows without any text are not there.
"""

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods", *TEXT_SUFFIXES)

HEADER_SEARCH = 40
"""Rows in which a header is looked for; SAMM's stands on the 14th."""

_SEPARATORS = ",;\t|，"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls; a file without them is text, whatever its suffix."""

_SYSTEM = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
"""Folders that systems and network drives make, besides those whose names begin with a dot."""


def own_folders(names: list[str]) -> list[str]:
    """The folders that people made, in order: none that is hidden or a system's."""
    return [name for name in sorted(names) if name[0] != "." and name.lower() not in _SYSTEM]


def open_spreadsheet(root: Path, layout: Layout, spreadsheet: AnyPath | None) -> Sheet:
    """The spreadsheet that is given, or the one below `root` that fits; ValueError where none or several fit.

    Every sheet of a workbook is looked at. What is returned is described at ``Sheet``.
    """
    path, sheet = (None, None) if spreadsheet is None else _given(root, spreadsheet)
    found: list[Sheet] = []
    refused: list[str] = []
    for file in _candidates(root) if path is None else [path]:
        try:
            found += _read(file, layout, sheet)
        except ValueError as error:
            refused.append(f"{file.name}: {error}")
    why = "; ".join(refused[:5])
    if not found and path is not None:
        raise ValueError(f"it is no spreadsheet of {layout.title}; {why}")
    if not found:
        known = " or ".join(coding.filename for coding in layout.codings)
        raise ValueError(f"no spreadsheet of {layout.title} ({known}) below {root}; give it with spreadsheet=. {why}")
    if len(found) > 1:
        names = ["#".join([source["spreadsheet"], *source["sheets"]]) for source, _ in found]
        known = ", ".join(f"{source['coding']} with {len(rows)} rows" for source, rows in found)
        fault = f"{len(found)} spreadsheets fit {layout.title}: {', '.join(names)} ({known})"
        raise ValueError(f"{fault}; say which with spreadsheet={names[0]!r} or another of them")
    return found[0]


def _given(root: Path, spreadsheet: AnyPath) -> tuple[Path, str | None]:
    """The file and the sheet of ``book.xlsx#Sheet2``."""
    whole = os.fspath(spreadsheet)
    name, _, sheet = whole.rpartition("#")
    for text, chosen in ((whole, None), (name, sheet)):
        for path in (Path(text).expanduser(), root / text):
            if path.is_file():
                return path, chosen
    raise ValueError(f"no spreadsheet at {spreadsheet}")


def _candidates(root: Path, depth: int = 3) -> list[Path]:
    """Spreadsheets down to a few levels: they lie near the root, and frame folders are large."""
    found = []
    for folder, inner, files in os.walk(root):
        deepest = len(Path(folder).relative_to(root).parts) >= depth - 1
        inner[:] = [] if deepest else own_folders(inner)
        if "record.json" not in files:  # a folder that this library wrote, with its own tables of clips
            found += [Path(folder, name) for name in files if name.lower().endswith(SUFFIXES)]
    return sorted(path for path in found if not path.name.startswith(("~$", ".")))


def _read(path: Path, layout: Layout, sheet: str | None) -> list[Sheet]:
    """The sheets of a file that fit; ValueError says why none does."""
    try:
        sheets, sha256 = _sheets(path), sha256_of_file(path)
    except Exception as error:  # openpyxl, zipfile, csv and pandas each have their own for a broken file
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error}); save it as .xlsx or .csv") from error
    if sheet is not None and sheet not in sheets:
        raise ValueError(f"it has no sheet {sheet!r}; there are {', '.join(sheets)}")
    found, reasons = [], {}
    for name, cells in sheets.items() if sheet is None else [(sheet, sheets[sheet])]:
        try:
            place, columns = _fitting(cells, layout)
        except ValueError as error:
            reasons[name] = f"sheet {name}: {error}" if name else str(error)
            continue
        coding = _coding(layout, path, {cells[place][column] for column in columns.values()}, sha256)
        rows = [
            {field: row[column] if column < len(row) else "" for field, column in columns.items()}
            # Words below the table may stand in a column that is no field's; they count as a row.
            | {"row_text": " ".join(filter(None, row)), "sheet": name, "sheet_row": str(number)}
            | {"spreadsheet": path.name, "coding": coding}
            for number, row in enumerate(cells[place + 1 :], place + 2)
            if any(row)
        ]
        sheets_of = [name] if name else []
        found.append(({"spreadsheet": path.name, "sheets": sheets_of, "sha256": sha256, "coding": coding}, rows))
    if not found:
        raise ValueError("; ".join(reasons.values()))
    return found


def _fitting(cells: Cells, layout: Layout) -> tuple[int, dict[str, int]]:
    """The header's place and each field's column; ValueError says why this is no table of the data set."""
    lacking = set(layout.required)
    for place, row in enumerate(cells[:HEADER_SEARCH]):
        columns = _columns(row)
        missing = set(layout.required) - columns.keys()
        if not missing and (layout.has_aus or "action_units" not in columns):
            return place, columns
        if not missing:
            raise ValueError(f"it has Action Units, which {layout.title} does not")
        lacking = min(lacking, missing, key=len)
    raise ValueError(f"no row has the headers of {', '.join(sorted(lacking))}")


def _columns(row: Iterable[str]) -> dict[str, int]:
    """Each field's column: the first of several, as ApexF1 before ApexF2."""
    columns: dict[str, int] = {}
    for place, key in enumerate(map(header_key, row)):
        if key in FIELD_OF_HEADER:
            columns.setdefault(FIELD_OF_HEADER[key], place)
    return columns


def _coding(layout: Layout, path: Path, headers: set[str], sha256: str) -> str:
    """The name of the known coding with this file name and these headers."""
    stem, written = header_key(re.sub(r"\(\d+\)$", "", path.stem)), set(map(header_key, headers))
    for coding in layout.codings:
        names = map(header_key, (Path(coding.filename).stem, *coding.also))
        if stem in names and written == {header_key(column.header) for column in coding.columns if column.field}:
            return coding.name
    return f"unknown ({path.name}, sha256 {sha256[:8]})"


def _sheets(path: Path) -> dict[str, Cells]:
    """The stripped cells of every sheet; a text file is one sheet without a name."""
    with open(path, "rb") as stream:
        is_text = not stream.read(4).startswith(_WORKBOOKS)
    if is_text and path.suffix.lower() not in (".xlsx", ".xlsm", ".ods"):
        return {"": text_cells(path)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
        read = pd.read_excel(path, sheet_name=None, header=None, dtype=str, keep_default_na=False, na_filter=False)
    return {name: _stripped(cells.fillna("").values.tolist()) for name, cells in read.items()}


def text_cells(path: Path) -> Cells:
    """The stripped cells of a text table; the separator is the sign that makes most headers of a row, then cells."""
    lines = list(io.StringIO(_decoded(path.read_bytes()), newline=""))

    def fit(separator: str) -> tuple[int, int]:
        rows = list(csv.reader(lines[:HEADER_SEARCH], delimiter=separator))
        return max((len(_columns(row)) for row in rows), default=0), len(next(filter(None, rows), []))

    return _stripped(csv.reader(lines, delimiter=max(_SEPARATORS, key=fit)))


def _decoded(content: bytes) -> str:
    """The text of a file in the encodings in which spreadsheet programs of the West and of China save."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    for encoding in ("utf-8-sig", "gb18030"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return content.decode("cp1252", errors="replace")


def _stripped(rows: Iterable[list[str]]) -> Cells:
    return [[str(cell).strip() for cell in row] for row in rows]
