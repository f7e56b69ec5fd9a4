"""The folders and spreadsheets of each data set, for reading and writing; reading of spreadsheets."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from medn_lab.records import normalise_text, sha256_of_file

LayoutName: TypeAlias = str
"""The name of a data set in ``LAYOUTS``."""

FIELD_NAMES = {
    "subject": "subject subid sub subjectid",
    "filename": "filename foldname clip video sequence filenameo",
    "onset": "onsetframe onset onsetf",
    "apex": "apexframe apex apexf apexf1",
    "offset": "offsetframe offset offsetf",
    "action_units": "actionunits aus au actionunit",
    "emotion": "estimatedemotion emotion emotionlabel label",
    "objective_class": "objectiveclasses objectiveclass",
    "fps": "fps framerate",
}
"""Field to its headers in every data set (see ``header_key``); one that a data set alone has is in its coding."""

FIELD_OF_HEADER = {header: name for name, headers in FIELD_NAMES.items() for header in headers.split()}


def header_key(text: object) -> str:
    """A header without blanks, case, punctuation and Chinese signs, as in ``FIELD_NAMES``.

    Examples
    --------
    >>> header_key("Onset Frame"), header_key("sub_ID"), header_key("ＯｎｓｅｔＦ（帧）")
    ('onsetframe', 'subid', 'onsetf')
    """
    return re.sub(r"[^a-z0-9]", "", normalise_text(text).lower())


def name_key(name: str) -> str:
    """A name without case and leading zeros: ``spNo.01`` and ``spNO.1`` are one.

    Examples
    --------
    >>> name_key("S03_ne_03") == name_key("s3_NE_3")
    True
    """
    return re.sub(r"\d+", lambda number: str(int(number[0])), normalise_text(name).lower())


@dataclass(frozen=True)
class Coding:
    """One spreadsheet as it is distributed.

    Attributes
    ----------
    name : str
        How the coding is called in the table's column ``coding``.
    filename : str
    headers : str
        The headers in their order, separated by commas; a blank header is a blank column. A header holds the field
        that ``FIELD_NAMES`` gives it, or that it names itself (``Onset2F=onset2``); without either it is not read.
    preamble : int
        Rows above the header.
    closing : tuple of str
        Text rows below the last clip.
    also : tuple of str
        Other names under which the same file circulates, without suffix.

    Examples
    --------
    >>> coding = Coding("mine", "mine.xlsx", "Person=subject, Clip, Onset, Apex, Offset, AU, Emotion, Remarks")
    >>> coding.columns[:2], coding.columns[-1]
    ((('Person', 'subject'), ('Clip', 'filename')), ('Remarks', ''))
    """

    name: str
    filename: str
    headers: str
    preamble: int = 0
    closing: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Header and field of each column in their order; the field is ``""`` for one that is not read."""
        parts = [header.strip().partition("=") for header in self.headers.split(",")]
        return tuple((header, field or FIELD_OF_HEADER.get(header_key(header), "")) for header, _, field in parts)


@dataclass(frozen=True)
class FrameTree:
    """One arrangement of frame folders.

    Attributes
    ----------
    name : str
        ``raw``, ``clips``, or ``cropped`` for frames that are cropped to the face.
    folder : str
        Template of a clip's folder below the root.
    frame : str
        Template of a frame's file name.
    marker : str
        Part of a folder's name, in lower case, that this tree alone has; of several that fit the longest counts.
    tail : int
        How many of the last parts of `folder` name the clip.

    Examples
    --------
    >>> tree = FrameTree("raw", "frames/{subject}/{filename}", "{number:04d}.png", "frames")
    >>> tree.folder.format(subject="01", filename="smile")
    'frames/01/smile'
    """

    name: str
    folder: str
    frame: str
    marker: str
    tail: int = 2


@dataclass(frozen=True)
class Layout:
    """A data set as it is distributed.

    Attributes
    ----------
    dataset : str
        Its name in ``LAYOUTS``, in the table and in front of each clip's id.
    title : str
        As its authors write it.
    fps : float
        Frames a second, where neither the spreadsheet nor the camera gives another.
    codings : tuple of Coding
        The first is written by default, and says whether the data set codes AUs and apexes.
    trees : tuple of FrameTree
        In order of preference when several are there.
    subject : str
        Template of a subject's name in spreadsheet and table, from a number.
    clip : str
        Template of a clip's name in the spreadsheet, from ``subject``, ``number``, ``letter`` (a, b ...) and ``short``
        (``po``, ``ne``, ``sur`` for the emotion).
    key : tuple of str
        Fields that together name a clip; with ``onset`` where a folder holds a whole recording and not one clip.
    cameras : dict
        Frames a second of each camera that filmed the same clips, by the word that names it in folders and files.

    Examples
    --------
    >>> LAYOUTS["samm"].title, LAYOUTS["samm"].subject_name("sub6"), LAYOUTS["smic"].has_aus
    ('SAMM', '006', False)
    """

    dataset: str
    title: str
    fps: float
    codings: tuple[Coding, ...]
    trees: tuple[FrameTree, ...]
    subject: str = "{number:02d}"
    clip: str = "EP{number:02d}_01"
    key: tuple[str, ...] = ("subject", "filename")
    cameras: Mapping[str, float] = field(default_factory=dict)

    def camera(self, name: str | Path) -> str:
        """The camera that a folder or a file names; empty for none."""
        return next((word for word in re.findall("[a-z]+", str(name).lower()) if word in self.cameras), "")

    @cached_property
    def field_of_header(self) -> dict[str, str]:
        """The field of each header that is read, as :func:`header_key` gives it."""
        own = {header_key(header): field for coding in self.codings for header, field in coding.columns if field}
        return FIELD_OF_HEADER | own

    @cached_property
    def has_aus(self) -> bool:
        """Whether AUs are coded."""
        return "action_units" in dict(self.codings[0].columns).values()

    @cached_property
    def has_apex(self) -> bool:
        """Whether apexes are coded."""
        return "apex" in dict(self.codings[0].columns).values()

    def subject_name(self, text: str) -> str:
        """A subject as the data set writes it: ``1``, ``sub01`` and ``01`` are all ``01``."""
        digits = re.findall(r"(?<!\d)\d{1,9}(?!\d)", text.removesuffix(".0"))
        return self.subject.format(number=int(digits[-1])) if digits else text


# fmt: off
_CASME2 = "Subject, Filename, , OnsetFrame, ApexFrame, OffsetFrame, , Action Units, Estimated Emotion"
CASME2 = Layout(
    "casme2", "CASME II", 200.0,
    codings=(
        Coding("casme2_2014", "CASME2-coding-20140508.xlsx", _CASME2),
        Coding("casme2_2019", "CASME2-coding-20190701.xlsx", f"{_CASME2}, Objective Classes"),
        Coding("casme2_label_ver_2", "CASME2_label_Ver_2.xls", _CASME2),
    ),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_img{number}.jpg", "crop"),
        FrameTree("raw", "CASME2_RAW_selected/sub{subject}/{filename}", "img{number}.jpg", "raw"),
    ),
)

_SAMM = (
    "Subject, Filename, Inducement Code, Onset Frame, Apex Frame, Offset Frame, Duration, Micro, Action Units, "
    "Estimated Emotion, Objective Classes, Notes"
)
SAMM = Layout(
    "samm", "SAMM", 200.0, subject="{number:03d}", clip="{subject}_{number}_1",
    codings=(
        Coding("samm_v2", "SAMM_Micro_FACS_Codes_v2.xlsx", _SAMM, preamble=13),
        Coding("samm_v2_20181215", "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", _SAMM),
    ),
    trees=(FrameTree("raw", "SAMM/{subject}/{filename}", "{subject}_{number:05d}.jpg", "samm"),),
)

_SMIC = (
    "Subject, Filename, , OnsetF, OffsetF, Onset2F=onset2, Offset2F=offset2, Onset3F=onset3, Offset3F=offset3, , "
    "FirstF, LastF, TotalMF1, TotalMF2, TotalMF3, TotalVL, Emotion"
)
_SMIC_2019 = _SMIC.replace("OnsetF,", "OnsetF, ApexF,", 1)
_SMIC_NOTE = ("Onset and offset are frame numbers of the original recording.",)
_SMIC_CROPPED = "SMIC_all_cropped/HS/s{subject}/micro/{emotion}/{filename}"
_HS = "SMIC-HS-E_annotation"
SMIC = Layout(
    "smic", "SMIC", 100.0, subject="{number}", clip="s{subject}_{short}_{number:02d}",
    codings=(
        Coding("smic_hs", f"{_HS}.xlsx", _SMIC, closing=_SMIC_NOTE),
        Coding("smic_hs_2019", f"{_HS}_2019.xlsx", _SMIC_2019, closing=_SMIC_NOTE, also=(_HS,)),
        Coding("smic_vis", "SMIC-VIS-E_annotation.xlsx", _SMIC),
        Coding("smic_nir", "SMIC-NIR-E_annotation.xlsx", _SMIC),
    ),
    trees=(
        FrameTree("cropped", _SMIC_CROPPED, "reg_image{number:06d}.bmp", "crop", 1),
        FrameTree("raw", "HS/s{subject:0>2}/{filename}", "image{number:06d}.bmp", "hs", 1),
    ),
    cameras={"hs": 100.0, "vis": 25.0, "nir": 25.0},
)

_CASME3 = "Subject, Filename, Onset, Apex, Offset, AU, Objective class, emotion"
CASME3 = Layout(
    "casme3", "CAS(ME)^3 part A", 30.0, subject="spNO.{number}", clip="{letter}", key=("subject", "filename", "onset"),
    codings=(
        Coding("casme3_a_v2", "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", _CASME3),
        Coding("casme3_a_v1", "cas(me)3_part_A_ME_label_JpgIndex_v1.xls", _CASME3),
    ),
    trees=(
        FrameTree("raw", "part_A/{subject}/{filename}/color", "{number}.jpg", "part_a", tail=3),
        FrameTree("clips", "Part_A_ME_clip/frame/{subject}_{filename}_{onset}", "{number}.jpg", "me_clip"),
    ),
)

_MMEW = "Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units, Estimated Emotion, remarks"
MMEW = Layout(
    "mmew", "MMEW", 90.0, clip="S{subject}-{number:02d}-001", codings=(Coding("mmew", "MMEW_Micro_Exp.xlsx", _MMEW),),
    trees=(FrameTree("raw", "Micro_Expression/{emotion}/{filename}", "{number}.jpg", "micro_expression", tail=1),),
)

_4DME = "sub_ID, fold_name, Onset, Apex, Offset, AUs, Emotion, Positive, Negative, Surprise, Repression, Others"
FOURDME = Layout(
    "4dme", "4DME", 60.0, codings=(Coding("4dme_v1", "4DME_Labelling_Micro_release v1.xlsx", _4DME),),
    trees=(FrameTree("raw", "gray_micro/{filename}", "{number}.jpg", "micro", tail=1),),
    subject="{number}", clip="{subject}_{number:02d}",
)

_CASME = "Subject, Filename, OnsetF, ApexF1, ApexF2, OffsetF, AU, Emotion"
CASME = Layout(
    "casme", "CASME", 60.0, codings=(Coding("casme", "CASME-coding.xlsx", _CASME),),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_{filename}-{number:03d}.jpg", "crop"),
        FrameTree("raw", "raw/sub{subject}/{filename}", "{filename}-{number:03d}.jpg", "raw"),
    ),
)

_DFME = "subject, filename, fps, onset, apex, offset, AUs, emotion"
DFME = Layout(
    "dfme", "DFME", 200.0, codings=(Coding("dfme", "DFME_annotations.csv", _DFME),),
    trees=(FrameTree("raw", "DFME/{subject}/{filename}", "{number}.png", "dfme"),),
    subject="sub{number:04d}", clip="{letter}_{number}",
)

# fmt: on

_ALL = (CASME2, SAMM, SMIC, CASME3, MMEW, FOURDME, CASME, DFME)
LAYOUTS: dict[str, Layout] = {layout.dataset: layout for layout in _ALL}
"""Every layout by the data set's name; enter another one here, its classes as a protocol."""

# --- spreadsheets -----------------------------------------------------------------------------------------------------

AnyPath: TypeAlias = str | os.PathLike[str]
Cells: TypeAlias = list[list[str]]
Sheet: TypeAlias = tuple[dict[str, Any], list[dict[str, Any]]]
"""Where a sheet is from, and its rows; described at :func:`open_spreadsheet`."""

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods", *TEXT_SUFFIXES)

HEADER_SEARCH = 40
"""Rows in which a header is looked for; SAMM's is the 14th."""

_SEPARATORS = ",;\t|，"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls; a file without them is text, whatever its suffix."""

_SYSTEM = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
"""Folders that systems and network drives make; those whose names begin with a dot are left out too."""


def own_folders(names: list[str]) -> list[str]:
    """The folders that people made, in order: none that is hidden or a system's."""
    return [name for name in sorted(names) if name[0] != "." and name.lower() not in _SYSTEM]


def open_spreadsheet(root: Path, layout: Layout, spreadsheet: AnyPath | None) -> Sheet:
    """The spreadsheet that is given, or the one below `root` that fits; ValueError where none or several fit.

    Every sheet of a workbook is looked at. Where it is from is ``spreadsheet, sheets, sha256, coding``; the coding is
    such as ``casme2_2019``, or ``unknown (file name, sha256 ...)`` where name and columns are those of none that is
    known. A row is field to stripped text, ``""`` where empty, with ``row_text`` (all cells), ``spreadsheet, coding,
    sheet`` and ``sheet_row`` (a number, as a spreadsheet program counts). Rows without any text are not there.
    """
    if spreadsheet is None:
        places: list[tuple[Path, str | None]] = [(file, None) for file in _candidates(root)]
    else:
        whole = os.fspath(spreadsheet)
        name, _, sheet = whole.rpartition("#")  # book.xlsx#Sheet2
        texts = ((whole, None), (name, sheet))
        named = [(folder / Path(text).expanduser(), one) for text, one in texts for folder in (Path(), root)]
        places = [place for place in named if place[0].is_file()][:1]
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
        below = f" below {root}; give it with spreadsheet=" if spreadsheet is None else ""
        raise ValueError(f"no spreadsheet of {layout.title} ({known}){below}; {'; '.join(refused[:5])}")
    if len(found) > 1:
        names = ["#".join([source["spreadsheet"], *source["sheets"]]) for source, _ in found]
        listed = ", ".join(f"{name} ({source['coding']})" for name, (source, _) in zip(names, found, strict=True))
        fault = f"{len(found)} spreadsheets fit {layout.title}: {listed}"
        raise ValueError(f"{fault}; say which with spreadsheet={names[0]!r} or another of them")
    return found[0]


def _candidates(root: Path) -> list[Path]:
    found = []
    for folder, inner, files in os.walk(root):
        # Three levels: spreadsheets are near the root, and frame folders are large.
        inner[:] = [] if len(Path(folder).relative_to(root).parts) >= 2 else own_folders(inner)
        if "record.json" not in files:  # a folder that this library wrote, with its own tables of clips
            found += [Path(folder, name) for name in files if name.lower().endswith(SUFFIXES)]
    return sorted(path for path in found if not path.name.startswith(("~$", ".")))


def _read(path: Path, layout: Layout, sheet: str | None) -> list[Sheet]:
    """The sheets of a file that fit; ValueError says why none does."""
    try:
        sha256 = sha256_of_file(path)
        with open(path, "rb") as stream:
            is_text = not stream.read(4).startswith(_WORKBOOKS)
        if is_text and path.suffix.lower() not in (".xlsx", ".xlsm", ".ods"):
            sheets = {"": text_cells(path, layout.field_of_header)}
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
                tables = pd.read_excel(path, sheet_name=None, header=None, dtype=str, na_filter=False)
            # A cell of an error (#N/A) is NaN.
            sheets = {name: cells.fillna("").map(str.strip).values.tolist() for name, cells in tables.items()}
    except Exception as error:  # openpyxl, zipfile, csv and pandas each have their own for a broken file
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error}); save it as .xlsx or .csv") from error
    if sheet is not None and sheet not in sheets:
        raise ValueError(f"it has no sheet {sheet!r}; there are {', '.join(sheets)}")
    required = {"subject", "filename", "onset", "emotion", *(["action_units"] if layout.has_aus else [])}
    stem, found, reasons = header_key(re.sub(r"\(\d+\)$", "", path.stem)), [], []
    for name, cells in sheets.items() if sheet is None else [(sheet, sheets[sheet])]:
        heads = [_columns(row, layout.field_of_header) for row in cells[:HEADER_SEARCH]] or [{}]
        columns = max(heads, key=lambda columns: len(required & columns.keys()))
        place, lacking = heads.index(columns), sorted(required - columns.keys())
        if lacking or ("action_units" in columns and not layout.has_aus):
            why = f"no row has the headers of {', '.join(lacking)}"
            why = why if lacking else f"it has Action Units, which {layout.title} does not"
            reasons.append(f"sheet {name}: {why}" if name else why)
            continue
        written = {header_key(cells[place][column]) for column in columns.values()}
        source: dict[str, Any] = {"spreadsheet": path.name, "sheets": [name] if name else [], "sha256": sha256}
        source["coding"] = f"unknown ({path.name}, sha256 {sha256[:8]})"
        for coding in layout.codings:
            known = map(header_key, (Path(coding.filename).stem, *coding.also))
            if stem in known and written == {header_key(header) for header, field in coding.columns if field}:
                source["coding"] = coding.name
        below = pd.DataFrame(cells).iloc[place + 1 :]
        rows = below[list(columns.values())].set_axis(list(columns), axis=1)
        rows["row_text"] = [" ".join(filter(None, row)) for row in below.to_numpy()]
        rows = rows.assign(sheet=name, sheet_row=rows.index + 1, spreadsheet=path.name, coding=source["coding"])
        # Words below the table may be in a column that is no field's; they count as a row.
        found.append((source, rows[rows["row_text"] != ""].to_dict("records")))
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

    cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=max(_SEPARATORS, key=fit))]
    width = max(map(len, cells), default=0)
    return [row + [""] * (width - len(row)) for row in cells]
