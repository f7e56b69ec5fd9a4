"""Finding a data set's spreadsheet, recognising which coding it is, and reading it as text, field by field."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Iterable, Mapping
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

DEPTH = 3
"""Levels of folders in which a spreadsheet is looked for: they lie near the root, and frame folders are large."""

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
    if spreadsheet is None:
        places: list[tuple[Path, str | None]] = [(file, None) for file in _candidates(root)]
    else:
        whole = os.fspath(spreadsheet)
        name, _, sheet = whole.rpartition("#")  # book.xlsx#Sheet2
        named = [(Path(whole).expanduser(), None), (root / whole, None), (Path(name).expanduser(), sheet)]
        places = [place for place in [*named, (root / name, sheet)] if place[0].is_file()][:1]
        if not places:
            raise ValueError(f"no spreadsheet at {spreadsheet}")
    found: list[Sheet] = []
    refused: list[str] = []
    for file, sheet_name in places:
        try:
            found += _read(file, layout, sheet_name)
        except ValueError as error:
            refused.append(f"{file.name}: {error}")
    if not found:
        known = " or ".join(coding.filename for coding in layout.codings)
        fault = f"it is no spreadsheet of {layout.title};"
        if spreadsheet is None:
            fault = f"no spreadsheet of {layout.title} ({known}) below {root}; give it with spreadsheet=."
        raise ValueError(f"{fault} {'; '.join(refused[:5])}")
    if len(found) > 1:
        names = ["#".join([source["spreadsheet"], *source["sheets"]]) for source, _ in found]
        known = ", ".join(f"{source['coding']} with {len(rows)} rows" for source, rows in found)
        fault = f"{len(found)} spreadsheets fit {layout.title}: {', '.join(names)} ({known})"
        raise ValueError(f"{fault}; say which with spreadsheet={names[0]!r} or another of them")
    return found[0]


def _candidates(root: Path) -> list[Path]:
    found = []
    for folder, inner, files in os.walk(root):
        deepest = len(Path(folder).relative_to(root).parts) >= DEPTH - 1
        inner[:] = [] if deepest else own_folders(inner)
        if "record.json" not in files:  # a folder that this library wrote, with its own tables of clips
            found += [Path(folder, name) for name in files if name.lower().endswith(SUFFIXES)]
    return sorted(path for path in found if not path.name.startswith(("~$", ".")))


def _read(path: Path, layout: Layout, sheet: str | None) -> list[Sheet]:
    """The sheets of a file that fit; ValueError says why none does."""
    try:
        sheets, sha256 = _sheets(path, layout.field_of_header), sha256_of_file(path)
    except Exception as error:  # openpyxl, zipfile, csv and pandas each have their own for a broken file
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error}); save it as .xlsx or .csv") from error
    if sheet is not None and sheet not in sheets:
        raise ValueError(f"it has no sheet {sheet!r}; there are {', '.join(sheets)}")
    stem, found, reasons = header_key(re.sub(r"\(\d+\)$", "", path.stem)), [], []
    for name, cells in sheets.items() if sheet is None else [(sheet, sheets[sheet])]:
        heads = [_columns(row, layout.field_of_header) for row in cells[:HEADER_SEARCH]] or [{}]
        lacking = [set(layout.required) - columns.keys() for columns in heads]
        place = min(range(len(heads)), key=lambda row: len(lacking[row]))
        columns = heads[place]
        if lacking[place] or ("action_units" in columns and not layout.has_aus):
            why = f"no row has the headers of {', '.join(sorted(lacking[place]))}"
            why = why if lacking[place] else f"it has Action Units, which {layout.title} does not"
            reasons.append(f"sheet {name}: {why}" if name else why)
            continue
        written = {header_key(cells[place][column]) for column in columns.values()}
        source: dict[str, Any] = {"spreadsheet": path.name, "sheets": [name] if name else [], "sha256": sha256}
        source["coding"] = f"unknown ({path.name}, sha256 {sha256[:8]})"
        for coding in layout.codings:
            known = map(header_key, (Path(coding.filename).stem, *coding.also))
            if stem in known and written == {header_key(header) for header, field in coding.columns if field}:
                source["coding"] = coding.name
        rows = [
            {field: row[column] if column < len(row) else "" for field, column in columns.items()}
            # Words below the table may stand in a column that is no field's; they count as a row.
            | {"row_text": " ".join(filter(None, row)), "sheet": name, "sheet_row": str(number)}
            | {"spreadsheet": path.name, "coding": source["coding"]}
            for number, row in enumerate(cells[place + 1 :], place + 2)
            if any(row)
        ]
        found.append((source, rows))
    if not found:
        raise ValueError("; ".join(reasons))
    return found


def _columns(row: Iterable[str], field_of_header: Mapping[str, str]) -> dict[str, int]:
    """Each field's column: the first of several, as ApexF1 before ApexF2."""
    columns: dict[str, int] = {}
    for place, key in enumerate(map(header_key, row)):
        if key in field_of_header:
            columns.setdefault(field_of_header[key], place)
    return columns


def _sheets(path: Path, field_of_header: Mapping[str, str]) -> dict[str, Cells]:
    """The stripped cells of every sheet; a text file is one sheet without a name."""
    with open(path, "rb") as stream:
        is_text = not stream.read(4).startswith(_WORKBOOKS)
    if is_text and path.suffix.lower() not in (".xlsx", ".xlsm", ".ods"):
        return {"": text_cells(path, field_of_header)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
        read = pd.read_excel(path, sheet_name=None, header=None, dtype=str, keep_default_na=False, na_filter=False)
    return {name: cells.fillna("").map(str.strip).values.tolist() for name, cells in read.items()}


def text_cells(path: Path, field_of_header: Mapping[str, str] = FIELD_OF_HEADER) -> Cells:
    """The stripped cells of a text table; the separator is the sign that makes most headers of a row, then cells."""
    content = path.read_bytes()
    text = content.decode("cp1252", errors="replace")
    # Encodings in which spreadsheet programs of the West and of China save; the last that fits counts.
    utf16 = ["utf-16"] if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else []
    for encoding in ["gb18030", "utf-8-sig", *utf16]:
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
    lines = list(io.StringIO(text, newline=""))

    def fit(separator: str) -> tuple[int, int]:
        rows = list(csv.reader(lines[:HEADER_SEARCH], delimiter=separator))
        most = max((len(_columns(row, field_of_header)) for row in rows), default=0)
        return most, len(next(filter(None, rows), []))

    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=max(_SEPARATORS, key=fit))]
