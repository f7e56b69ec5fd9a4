"""Finding a data set's spreadsheet, recognising which coding it is, and reading it as text, field by field."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from medn_lab.data.frames import stays_within
from medn_lab.data.layouts import FIELD_OF_HEADER, Layout, header_key, name_key
from medn_lab.records import sha256_of_file

AnyPath: TypeAlias = str | os.PathLike[str]
Cells: TypeAlias = list[list[str]]

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
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls; a file without them is text, whatever its suffix."""

_SYSTEM = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
"""Folders that systems and network drives make, besides those whose names begin with a dot."""

_COPY = re.compile(
    r"^(?:copy of |kopie von )?(.+?)(?: ?[-–] ?(?:copy|kopie|copie|copia|副本)| copy(?: \d+)?)?(?: ?\(\d+\))?$",
    re.IGNORECASE,
)


def original_name(name: str) -> str:
    """The name of which a file manager made this one when it copied.

    Examples
    --------
    >>> original_name("coding - Copy (2)"), original_name("Copy of coding"), original_name("coding (1)")
    ('coding', 'coding', 'coding')
    """
    found = _COPY.match(name)
    return found[1] if found else name


def without_copies(names: list[str]) -> list[str]:
    """The folders that people made, in order: none that is hidden, a system's, or a copy of another one here.

    Examples
    --------
    >>> without_copies(["sub01", "sub01 - Copy", ".ipynb_checkpoints", "__MACOSX", "sub02 (1)"])
    ['sub01', 'sub02 (1)']
    """
    own = [name for name in sorted(names) if name[0] != "." and name.lower() not in _SYSTEM]
    return [name for name in own if original_name(name) == name or original_name(name) not in names]


def words_of(name: str) -> set[str]:
    """The words of a name, in small letters.

    Examples
    --------
    >>> sorted(words_of("SMIC-HS-E_annotation_2019"))
    ['annotation', 'e', 'hs', 'smic']
    """
    return set(re.findall(r"[a-z]+", name.lower()))


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
        Field to stripped text, ``""`` where empty, with ``row_text`` (all cells), ``spreadsheet``, ``coding``,
        ``sheet`` and ``sheet_row`` (as a spreadsheet program counts). Rows without any text are not there.
    """

    path: Path
    sheets: tuple[str, ...]
    coding: str
    sha256: str
    fields: frozenset[str]
    rows: list[dict[str, str]]

    @property
    def name(self) -> str:
        """What ``spreadsheet=`` takes for its first sheet."""
        return self.path.name + (f"#{self.sheets[0]}" if self.sheets[0] else "")


def open_spreadsheet(
    root: Path, layout: Layout, spreadsheet: AnyPath | None, *, camera: str | None = None
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
    ValueError
        If none or several fit, or it cannot be read.
    """
    path, sheet = (None, None) if spreadsheet is None else _given(root, spreadsheet)
    found: list[Spreadsheet] = []
    refused: dict[Path, str] = {}
    for file in _candidates(root) if path is None else [path]:
        try:
            found += _read(file, layout, camera, sheet)
        except ValueError as error:
            refused[file] = str(error)
    if camera is not None and sheet is None:
        filmed = [(table, _cameras(table, layout, by_file=path is None)) for table in found]
        refused |= {t.path: f"it is for camera {', '.join(sorted(named))}, not {camera}" for t, named in filmed}
        own = [table for table, named in filmed if camera in named]
        found = own or [table for table, named in filmed if not named]
    if not found and path is not None:
        raise ValueError(f"{path.name} is no spreadsheet of {layout.title}: {refused[path]}")
    if not found:
        why = "; ".join(f"{path.name}: {reason}" for path, reason in list(refused.items())[:5])
        names = [coding.filename for coding in layout.codings]
        likely = next((name for name in names if camera in words_of(name)), names[0])
        raise ValueError(
            f"no spreadsheet of {layout.title} below {root} ({why or 'there is no .xlsx, .xls or .csv'}); it is called "
            f"{likely} or the like, give it with spreadsheet="
        )
    # A list without apexes next to the whole coding is somebody's extract; two equal files are one coding.
    spotted = {"offset", "apex"} if layout.has_apex else {"offset"}
    lacks: dict[Path, int] = {}
    for table in found:
        lacks[table.path] = min(len(spotted - table.fields), lacks.get(table.path, len(spotted)))
    whole = [table for table in found if lacks[table.path] == min(lacks.values())]
    return _joined(list({(table.sha256, table.sheets): table for table in reversed(whole)}.values())[::-1], layout)


def _given(root: Path, spreadsheet: AnyPath) -> tuple[Path, str | None]:
    """The file and the sheet of ``book.xlsx#Sheet2``."""
    whole = os.fspath(spreadsheet)
    name, mark, sheet = whole.rpartition("#")
    for text, chosen in ((whole, None), (name, sheet)) if mark else ((whole, None),):
        for path in (Path(text).expanduser(), root / text):
            if path.is_file():
                return path, chosen
    raise ValueError(f"no spreadsheet at {spreadsheet}")


def _candidates(root: Path, depth: int = 3) -> list[Path]:
    """Spreadsheets down to a few levels: they lie near the root, and frame folders are large."""
    found = []
    for folder, inner, files in os.walk(root):
        deepest = len(Path(folder).relative_to(root).parts) >= depth - 1
        inner[:] = [] if deepest else without_copies(inner)
        if "record.json" not in files:  # a folder that this library wrote, with its own tables of clips
            found += [Path(folder, name) for name in files if name.lower().endswith(SUFFIXES)]
    return sorted(path for path in found if not path.name.startswith(("~$", ".")) and stays_within(path, root))


def _cameras(table: Spreadsheet, layout: Layout, *, by_file: bool) -> set[str]:
    """The cameras that a sheet's name has, or else its file's."""
    names = [table.sheets[0], *([table.path.stem] if by_file else [])]
    return next((named for name in names if (named := words_of(name) & set(layout.cameras))), set())


def _joined(found: list[Spreadsheet], layout: Layout) -> Spreadsheet:
    """The one table that was found, or the sheets of one workbook that share no clip as one table."""
    first = found[0]
    rows = [row for table in found for row in table.rows]
    clips = [_clips(table, layout) for table in found]
    if len({table.path for table in found}) == 1 and len(set().union(*clips)) == sum(map(len, clips)):
        sheets = tuple(sheet for table in found for sheet in table.sheets)
        return replace(first, sheets=sheets, fields=frozenset().union(*(table.fields for table in found)), rows=rows)
    listed = ", ".join(f"{table.name} ({table.coding}, {len(table.rows)} rows)" for table in found)
    raise ValueError(
        f"{len(found)} spreadsheets fit {layout.title}: {listed}; say which with spreadsheet={first.name!r} or another "
        "of them"
    )


def _clips(table: Spreadsheet, layout: Layout) -> set[tuple[str, ...]]:
    """What names the clips of a table, whichever way subjects are spelled."""
    named = [row | {"subject": layout.subject_name(row["subject"])} for row in table.rows if row["subject"]]
    return {tuple(name_key(row[name]) for name in layout.key) for row in named if row["filename"]}


def _read(path: Path, layout: Layout, camera: str | None, sheet: str | None) -> list[Spreadsheet]:
    """The sheets of a file that fit; ValueError says why none does."""
    try:
        sheets, sha256 = _sheets(path), sha256_of_file(path)
    except ImportError as error:
        line = "run pip install 'medn-lab[xls]', or " if path.suffix.lower() == ".xls" else ""
        raise ValueError(f"it needs another package to be read ({error}); {line}save it as .xlsx or .csv") from error
    except Exception as error:  # openpyxl, zipfile, csv and pandas each have their own for a broken file
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error})") from error
    if sheet is not None and sheet not in sheets:
        raise ValueError(f"it has no sheet {sheet!r}; there are {', '.join(sheets)}")
    found, reasons = [], {}
    for name, cells in sheets.items() if sheet is None else [(sheet, sheets[sheet])]:
        try:
            place, columns = _fitting(cells, layout, camera)
        except ValueError as error:
            reasons[name] = str(error)
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
        found.append(Spreadsheet(path, (name,), coding, sha256, frozenset(columns), rows))
    if not found:
        raise ValueError(
            "; ".join(f"sheet {name}: {why}" if len(reasons) > 1 else why for name, why in reasons.items())
        )
    return found


def _fitting(cells: Cells, layout: Layout, camera: str | None) -> tuple[int, dict[str, int]]:
    """The header's place and each field's column; ValueError says why this is no table of the data set."""
    best: set[str] = set()
    for place, row in enumerate(cells[:HEADER_SEARCH]):
        columns = _columns(row, camera)
        if columns.keys() >= set(layout.required):
            if not layout.has_aus and "action_units" in columns:
                raise ValueError(f"it has Action Units, which {layout.title} does not")
            return place, columns
        best = max(best, columns.keys() & set(layout.required), key=len)
    raise ValueError(f"no row has the headers of {', '.join(field for field in layout.required if field not in best)}")


def _columns(row: Iterable[str], camera: str | None = None) -> dict[str, int]:
    """Each field's column: the first of several, as ApexF1 before ApexF2, but ``OnsetF NIR`` first for that camera."""
    plain: dict[str, int] = {}
    own: dict[str, int] = {}
    for place, key in enumerate(map(header_key, row)):
        if key in FIELD_OF_HEADER:
            plain.setdefault(FIELD_OF_HEADER[key], place)
        elif camera and key.endswith(camera) and key.removesuffix(camera) in FIELD_OF_HEADER:
            own.setdefault(FIELD_OF_HEADER[key.removesuffix(camera)], place)
    return plain | own


def _coding(layout: Layout, path: Path, headers: set[str], sha256: str) -> str:
    """The name of the known coding with this file name and these headers."""
    stem, written = header_key(original_name(path.stem)), set(map(header_key, headers))
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
    _check_size(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
        read = pd.read_excel(
            path, sheet_name=None, header=None, dtype=str, keep_default_na=False, na_filter=False, nrows=MOST_ROWS + 1
        )
    return {name: _stripped(cells.fillna("").values.tolist()) for name, cells in read.items()}


def text_cells(path: Path) -> Cells:
    """The stripped cells of a text table; the separator is the sign that makes most headers of a row, then cells."""
    _check_size(path)
    text = _decoded(path.read_bytes())

    def split(separator: str, count: int) -> Cells:
        return list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), count))

    def fit(separator: str) -> tuple[int, int]:
        rows = split(separator, HEADER_SEARCH)
        return max((len(_columns(row)) for row in rows), default=0), len(next(filter(None, rows), []))

    rows = split(max(_SEPARATORS, key=fit), MOST_ROWS + 1)
    widest = max(map(len, rows), default=0)
    if widest > MOST_COLUMNS:
        raise ValueError(f"a row has {widest} cells; a coding has some twenty columns")
    return _stripped(rows)


def _stripped(rows: Cells) -> Cells:
    if len(rows) > MOST_ROWS:
        raise ValueError(f"it has more than {MOST_ROWS:,} rows; a coding has one a clip")
    return [[str(cell).strip() for cell in row] for row in rows]


def _decoded(content: bytes) -> str:
    """The text of a file in the encodings in which spreadsheet programs of the West and of China save."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if content[:200].count(0) * 4 > len(content[:200]):  # UTF-16 without its mark: every other byte of a header is 0
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", errors="replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = "".join(sign for sign in text if sign > "\x7f")
        # Western letters in pairs are Chinese signs too, but rare ones, which GB 2312 does not have.
        if encoding == "utf-8-sig" or len(foreign.encode("gb2312", "ignore")) > 1.8 * len(foreign):
            return text
    return content.decode("cp1252", errors="replace")


def _check_size(path: Path) -> None:
    """Raise where reading would fill the memory: a workbook is a zip, and a small one can unpack to gigabytes."""
    sizes = [path.stat().st_size]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            sizes += [part.file_size for part in packed.infolist()]
    if max(sizes) > MOST_BYTES:
        raise ValueError(f"it unpacks to {max(sizes):,} bytes; a coding has under {MOST_BYTES:,}")
