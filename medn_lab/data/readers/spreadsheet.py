"""Finding a data set's spreadsheet, recognising which coding it is, and reading it as text, field by field."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pandas as pd

from medn_lab.data.frames import stays_within
from medn_lab.data.layout import FIELD_NAMES, Layout, header_key
from medn_lab.data.readers.folders import name_key, original_name, without_copies, words_of
from medn_lab.records import sha256_of_file

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods", *TEXT_SUFFIXES)
MOST_ROWS = 20_000
"""The largest data set has under ten thousand clips; what is longer is something else, or made to fill the memory."""

MOST_COLUMNS = 1_000

MOST_BYTES = 100_000_000
"""Unpacked, of any one part of a workbook, and of a text file."""

HEADER_SEARCH = 40
"""Rows in which a header is looked for; SAMM's stands on the 14th."""

_SEPARATORS = ",;\t|，"
_FIELD_OF_HEADER = {header: field for field, headers in FIELD_NAMES.items() for header in headers}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls; a file without them is text, whatever its suffix."""


class SpreadsheetError(ValueError):
    """No spreadsheet fits, several fit, or the one given cannot be read."""


@dataclass(frozen=True, eq=False)
class Spreadsheet:
    """A spreadsheet's rows as text.

    Attributes
    ----------
    path : Path
    sheets : tuple of str
        The sheets of the workbook that were read; ``("",)`` for a text file.
    coding : str
        Which coding it is, such as ``casme2_2019``; ``unknown (file name, sha256 ...)`` where its name and columns are
        those of none that is known.
    sha256 : str
        Of the file.
    fields : frozenset of str
        Fields that it has a column for.
    rows : list of dict
        Field to stripped text, ``""`` where empty, with ``row_text`` (all cells), ``sheet`` and ``sheet_row`` (as a
        spreadsheet program counts). Rows without any text are not there.
    """

    path: Path
    sheets: tuple[str, ...]
    coding: str
    sha256: str
    fields: frozenset[str]
    rows: list[dict[str, str]]

    def __str__(self) -> str:
        name = self.path.name + (f"#{self.sheets[0]}" if self.sheets[0] else "")
        return f"{name} ({self.coding}, {len(self.rows)} rows)"


def open_spreadsheet(
    root: Path, layout: Layout, spreadsheet: str | os.PathLike[str] | None, *, camera: str | None = None
) -> Spreadsheet:
    """The spreadsheet that is given, or the one below `root` that fits the data set.

    Every sheet of a workbook is looked at. Sheets of one workbook are read as one where no clip is in two of them.

    Parameters
    ----------
    root : Path
    layout : Layout
    spreadsheet : path-like, optional
        A file, from here or from `root`; ``book.xlsx#Sheet2`` for one sheet of a workbook.
    camera : str, optional
        One of the layout's: files, sheets and columns with another camera's name are passed over.

    Raises
    ------
    SpreadsheetError
        If none or several fit, or it cannot be read.
    """
    if spreadsheet is not None:
        path, sheet = _given(root, spreadsheet)
        read = {path: _read(path, layout, camera, sheet)}
    else:
        read = {path: _read(path, layout, camera) for path in _candidates(root)}
    found = [table for tables in read.values() if not isinstance(tables, str) for table in tables]
    refused = {path: why for path, why in read.items() if isinstance(why, str)}
    if camera is not None and (spreadsheet is None or sheet is None):
        cameras = [_cameras(table, layout, by_file=spreadsheet is None) for table in found]
        refused |= {
            table.path: f"it is for camera {', '.join(sorted(named))}, not {camera}"
            for table, named in zip(found, cameras, strict=True)
        }
        found = [table for table, named in zip(found, cameras, strict=True) if camera in named] or [
            table for table, named in zip(found, cameras, strict=True) if not named
        ]
    if not found and spreadsheet is not None:
        raise SpreadsheetError(f"{path.name} is no spreadsheet of {layout.title}: {refused[path]}")
    if not found:
        why = "; ".join(f"{path.name}: {reason}" for path, reason in list(refused.items())[:5])
        names = [coding.filename for coding in layout.codings]
        raise SpreadsheetError(
            f"no spreadsheet of {layout.title} below {root} ({why or 'there is no .xlsx, .xls or .csv'}); it is called "
            f"{next((name for name in names if camera in words_of(name)), names[0])} or the like, give it with "
            "spreadsheet="
        )
    # A list without apexes next to the whole coding is somebody's extract; two equal files are one coding.
    lacks = {table.path: len(layout.spotted) for table in found}
    for table in found:
        lacks[table.path] = min(lacks[table.path], len(set(layout.spotted) - table.fields))
    found = [table for table in found if lacks[table.path] == min(lacks.values())]
    return _joined(list({(table.sha256, table.sheets): table for table in reversed(found)}.values())[::-1], layout)


def _given(root: Path, spreadsheet: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The file and the sheet of ``book.xlsx#Sheet2``."""
    whole = os.fspath(spreadsheet)
    name, mark, sheet = whole.rpartition("#")
    for text, chosen in ((whole, None), (name, sheet)) if mark else ((whole, None),):
        for path in (Path(text).expanduser(), root / text):
            if path.is_file():
                return path, chosen
    raise SpreadsheetError(f"no spreadsheet at {spreadsheet}")


def _candidates(root: Path, depth: int = 3) -> list[Path]:
    """Spreadsheets down to a few levels: they lie near the root, and frame folders are large."""
    found = []
    for folder, inner, files in os.walk(root):
        inner[:] = without_copies(inner)
        if "record.json" not in files:  # a folder that this library wrote, with its own tables of clips
            found += [Path(folder, name) for name in files if name.lower().endswith(SUFFIXES)]
        if len(Path(folder).relative_to(root).parts) >= depth - 1:
            inner.clear()
    return sorted(path for path in found if not path.name.startswith(("~$", ".")) and stays_within(path, root))


def _cameras(table: Spreadsheet, layout: Layout, *, by_file: bool) -> set[str]:
    """The cameras that a sheet's name has, or else its file's."""
    names = [table.sheets[0], *([table.path.stem] if by_file else [])]
    return next((named for name in names if (named := words_of(name) & set(layout.cameras))), set())


def _joined(found: list[Spreadsheet], layout: Layout) -> Spreadsheet:
    """The one table that was found, or the sheets of one workbook that share no clip as one table."""
    first = found[0]
    clips = [_clips(table, layout) for table in found]
    if len({table.path for table in found}) == 1 and len(set().union(*clips)) == sum(map(len, clips)):
        return replace(
            first,
            sheets=tuple(sheet for table in found for sheet in table.sheets),
            fields=frozenset().union(*(table.fields for table in found)),
            rows=[row for table in found for row in table.rows],
        )
    one = first.path.name + (f"#{first.sheets[0]}" if first.sheets[0] else "")
    raise SpreadsheetError(
        f"{len(found)} spreadsheets fit {layout.title}: {', '.join(map(str, found))}; say which with "
        f"spreadsheet={one!r} or another of them"
    )


def _clips(table: Spreadsheet, layout: Layout) -> set[tuple[str, ...]]:
    """What names the clips of a table, however subjects are spelled."""
    return {
        tuple(
            "".join(re.findall(r"\d+", row[name])[-1:]) if name == "subject" else name_key(row[name])
            for name in layout.key
        )
        for row in table.rows
        if row["subject"] and row["filename"]
    }


def _read(path: Path, layout: Layout, camera: str | None, sheet: str | None = None) -> list[Spreadsheet] | str:
    """The sheets of a file that fit, or why none does."""
    try:
        sheets = _sheets(path)
        sha256 = sha256_of_file(path)
    except ImportError as error:
        line = "run pip install 'medn-lab[xls]', or " if path.suffix.lower() == ".xls" else ""
        return f"it needs another package to be read ({error}); {line}save it as .xlsx or .csv"
    except Exception as error:  # openpyxl, zipfile, csv and pandas each have their own for a broken file
        return f"it cannot be read ({type(error).__name__}: {error})"
    if sheet is not None and sheet not in sheets:
        return f"it has no sheet {sheet!r}; there are {', '.join(sheets)}"
    found, reasons = [], {}
    for name, cells in sheets.items():
        if sheet in (None, name):
            fits = _fitting(cells, layout, camera)
            if isinstance(fits, str):
                reasons[name] = fits
                continue
            place, columns = fits
            rows = [
                {field: row[column] if column < len(row) else "" for field, column in columns.items()}
                # Words below the table may stand in a column that is no field's; they count as a row.
                | {"row_text": " ".join(filter(None, row)), "sheet": name, "sheet_row": str(number)}
                for number, row in enumerate(cells[place + 1 :], place + 2)
                if any(row)
            ]
            coding = _coding(layout, path, cells[place], columns, sha256)
            found.append(Spreadsheet(path, (name,), coding, sha256, frozenset(columns), rows))
    if found:
        return found
    return "; ".join(f"sheet {name}: {why}" if len(reasons) > 1 else why for name, why in reasons.items())


def _fitting(cells: list[list[str]], layout: Layout, camera: str | None) -> tuple[int, dict[str, int]] | str:
    """The header's place and each field's column, or why this is no table of the data set."""
    best: list[str] = []
    for place, row in enumerate(cells[:HEADER_SEARCH]):
        columns = _columns(row, layout.cameras, camera)
        found = [field for field in layout.required if field in columns]
        if len(found) == len(layout.required):
            if not layout.has_aus and "action_units" in columns:
                return f"it has Action Units, which {layout.title} does not"
            return place, columns
        best = max(best, found, key=len)
    return f"no row has the headers of {', '.join(field for field in layout.required if field not in best)}"


def _columns(row: Iterable[str], cameras: Collection[str] = (), camera: str | None = None) -> dict[str, int]:
    """Each field's column: the first of several, as ApexF1 before ApexF2, but ``OnsetF NIR`` first for that camera."""
    plain: dict[str, int] = {}
    own: dict[str, int] = {}
    for place, cell in enumerate(row):
        key = header_key(cell)
        if key in _FIELD_OF_HEADER:
            plain.setdefault(_FIELD_OF_HEADER[key], place)
        for name in cameras:
            field = _FIELD_OF_HEADER.get(key.removesuffix(name), "") if key.endswith(name) else ""
            if field and name == camera:
                own.setdefault(field, place)
    return plain | own


def _sheets(path: Path) -> dict[str, list[list[str]]]:
    """The cells of every sheet as stripped text; a text file is one sheet without a name."""
    _check_size(path)
    with open(path, "rb") as stream:
        is_text = not stream.read(4).startswith(_WORKBOOKS)
    if is_text and path.suffix.lower() not in (".xlsx", ".xlsm", ".ods"):
        sheets = {"": _text_rows(_decoded(path.read_bytes()))}
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
            read = pd.read_excel(
                path, sheet_name=None, header=None, dtype=str, keep_default_na=False, na_filter=False,
                nrows=MOST_ROWS + 1,
            )  # fmt: skip
        sheets = {name: cells.fillna("").values.tolist() for name, cells in read.items()}
    if max(map(len, sheets.values()), default=0) > MOST_ROWS:
        raise ValueError(f"it has more than {MOST_ROWS:,} rows; a coding has one a clip")
    return {name: [[str(cell).strip() for cell in row] for row in rows] for name, rows in sheets.items()}


def _decoded(content: bytes) -> str:
    """The text of a file in the encodings in which spreadsheet programs of the West and of China save."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if content[:200].count(0) * 4 > len(content[:200]):  # UTF-16 without its mark: every other byte of a header is 0
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("gb18030")
        foreign = "".join(sign for sign in text if sign > "\x7f")
        # Western letters in pairs are Chinese signs too, but rare ones, which GB 2312 does not have.
        if len(foreign.encode("gb2312", "ignore")) > 1.8 * len(foreign):
            return text
    except UnicodeDecodeError:
        pass
    return content.decode("cp1252", errors="replace")


def _text_rows(text: str) -> list[list[str]]:
    """The rows of a text file, split by the sign that makes most headers of a row."""

    def split(separator: str, count: int) -> list[list[str]]:
        return list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), count))

    def headers(separator: str) -> int:
        return max((len(_columns(row)) for row in split(separator, HEADER_SEARCH)), default=0)

    rows = split(max(_SEPARATORS, key=headers), MOST_ROWS + 1)
    widest = max(map(len, rows), default=0)
    if widest > MOST_COLUMNS:
        raise ValueError(f"a row has {widest} cells; a coding has some twenty columns")
    return rows


def _check_size(path: Path) -> None:
    """Raise where reading would fill the memory: a workbook is a zip, and a small one can unpack to gigabytes."""
    sizes = [path.stat().st_size]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            sizes += [part.file_size for part in packed.infolist()]
    if max(sizes) > MOST_BYTES:
        raise ValueError(f"it unpacks to {max(sizes):,} bytes; a coding has under {MOST_BYTES:,}")


def _coding(layout: Layout, path: Path, header: list[str], columns: dict[str, int], sha256: str) -> str:
    """The name of the known coding with this file name and these columns."""
    stem = header_key(original_name(path.stem))
    written = {header_key(header[place]) for place in columns.values()}
    for coding in layout.codings:
        names = (Path(coding.filename).stem, *coding.also)
        official = {header_key(column.header) for column in coding.columns if column.field}
        if stem in map(header_key, names) and written == official:
            return coding.name
    return f"unknown ({path.name}, sha256 {sha256[:8]})"
