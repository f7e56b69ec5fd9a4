"""What each data set's folders and spreadsheets look like: described once, used for reading and for writing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

LayoutName = Literal["casme2", "samm", "smic", "casme3", "mmew", "4dme", "casme", "dfme"]

FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "subid", "sub", "subjectid"),
    "filename": ("filename", "foldname", "clip", "video", "sequence", "filenameo"),
    "onset": ("onsetframe", "onset", "onsetf"),
    "apex": ("apexframe", "apex", "apexf", "apexf1"),
    "offset": ("offsetframe", "offset", "offsetf"),
    "action_units": ("actionunits", "aus", "au", "actionunit"),
    "emotion": ("estimatedemotion", "emotion", "emotionlabel", "label"),
    "objective_class": ("objectiveclasses", "objectiveclass"),
    "fps": ("fps", "framerate"),
}
"""Field to the headers that stand for it, written without blanks, case and punctuation."""


def header_key(text: object) -> str:
    """A header without blanks, case and punctuation, as in ``FIELD_NAMES``.

    Examples
    --------
    >>> header_key("Onset Frame"), header_key("sub_ID")
    ('onsetframe', 'subid')
    """
    return re.sub(r"[^a-z0-9]", "", str(text).lower())


@dataclass(frozen=True)
class Column:
    """One column of a spreadsheet: its header and the field it holds (``""`` for one that is only passed over)."""

    header: str
    field: str = ""


@dataclass(frozen=True)
class Coding:
    """One spreadsheet as it is distributed.

    Attributes
    ----------
    name : str
        How the coding is called in the table's column ``coding``.
    filename : str
    columns : tuple of Column
        In their order; a blank header is a blank column.
    preamble : int
        Rows above the header.
    closing : tuple of str
        Text rows below the last clip.
    """

    name: str
    filename: str
    columns: tuple[Column, ...]
    preamble: int = 0
    closing: tuple[str, ...] = ()

    def header_of(self, field: str) -> str | None:
        """The header of a field, or None where this coding has none."""
        return next((column.header for column in self.columns if column.field == field), None)


@dataclass(frozen=True)
class FrameTree:
    """One arrangement of frame folders.

    Attributes
    ----------
    name : str
        ``raw`` or ``cropped``.
    folder : str
        Template of a clip's folder below the root.
    frame : str
        Template of a frame's file name.
    marker : str
        The folder by which this tree is told from the others.
    tail : int
        How many of the last parts of `folder` name the clip.
    """

    name: str
    folder: str
    frame: str
    marker: str
    tail: int = 2

    @property
    def cropped(self) -> bool:
        """Whether its frames are cropped to the face."""
        return self.name == "cropped"


@dataclass(frozen=True)
class Layout:
    """A data set as it comes.

    Attributes
    ----------
    dataset : str
    title : str
        As its authors write it.
    fps : float
    codings : tuple of Coding
        The first is written by default.
    trees : tuple of FrameTree
        In order of preference when several are there.
    subject : str
        Template of a subject's name in spreadsheet and table, from a number.
    clip : str
        Template of a clip's name in the spreadsheet, from ``subject`` and ``number``.
    key : tuple of str
        Fields that together name a clip.
    shared_folders : bool
        Whether a folder holds a whole recording and not one clip.
    has_aus, has_apex : bool
    """

    dataset: str
    title: str
    fps: float
    codings: tuple[Coding, ...]
    trees: tuple[FrameTree, ...]
    subject: str = "{number:02d}"
    clip: str = "EP{number:02d}_01"
    key: tuple[str, ...] = ("subject", "filename")
    shared_folders: bool = False
    has_aus: bool = True
    has_apex: bool = True

    @property
    def required(self) -> tuple[str, ...]:
        """Fields without which a spreadsheet cannot be this data set's."""
        fields = ["subject", "filename", "onset", "offset", "emotion"]
        return tuple(fields + ["apex"] * self.has_apex + ["action_units"] * self.has_aus)


def _columns(*pairs: tuple[str, str] | str) -> tuple[Column, ...]:
    return tuple(Column(pair) if isinstance(pair, str) else Column(*pair) for pair in pairs)


_SUBJECT, _FILENAME = ("Subject", "subject"), ("Filename", "filename")

_CASME2_COMMON = (
    _SUBJECT,
    _FILENAME,
    "",
    ("OnsetFrame", "onset"),
    ("ApexFrame", "apex"),
    ("OffsetFrame", "offset"),
    "",
    ("Action Units", "action_units"),
    ("Estimated Emotion", "emotion"),
)

CASME2 = Layout(
    dataset="casme2",
    title="CASME II",
    fps=200.0,
    codings=(
        Coding("casme2_2014", "CASME2-coding-20140508.xlsx", _columns(*_CASME2_COMMON)),
        Coding(
            "casme2_2019",
            "CASME2-coding-20190701.xlsx",
            _columns(*_CASME2_COMMON, ("Objective Classes", "objective_class")),
        ),
    ),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_img{number}.jpg", "cropped"),
        FrameTree("raw", "CASME2_RAW_selected/sub{subject}/{filename}", "img{number}.jpg", "raw"),
    ),
)

SAMM = Layout(
    dataset="samm",
    title="SAMM",
    fps=200.0,
    codings=(
        Coding(
            "samm_v2",
            "SAMM_Micro_FACS_Codes_v2.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                "Inducement Code",
                ("Onset Frame", "onset"),
                ("Apex Frame", "apex"),
                ("Offset Frame", "offset"),
                "Duration",
                "Micro",
                ("Action Units", "action_units"),
                ("Estimated Emotion", "emotion"),
                ("Objective Classes", "objective_class"),
                "Notes",
            ),
            preamble=13,
        ),
    ),
    trees=(FrameTree("raw", "SAMM/{subject}/{filename}", "{subject}_{number:05d}.jpg", "samm"),),
    subject="{number:03d}",
    clip="{subject}_{number}_1",
)

SMIC = Layout(
    dataset="smic",
    title="SMIC",
    fps=100.0,
    codings=(
        Coding(
            "smic_hs",
            "SMIC-HS-E_annotation.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                "",
                ("OnsetF", "onset"),
                ("OffsetF", "offset"),
                "Onset2F",
                "Offset2F",
                "Onset3F",
                "Offset3F",
                "",
                "FirstF",
                "LastF",
                "TotalMF1",
                "TotalMF2",
                "TotalMF3",
                "TotalVL",
                ("Emotion", "emotion"),
            ),
            closing=("Onset and offset are frame numbers of the original recording.",),
        ),
    ),
    trees=(
        FrameTree(
            "cropped",
            "SMIC_all_cropped/HS/s{subject}/micro/{emotion}/{filename}",
            "reg_image{number:06d}.bmp",
            "cropped",
            tail=1,
        ),
        FrameTree("raw", "HS/s{subject:0>2}/{filename}", "image{number:06d}.bmp", "hs", tail=1),
    ),
    subject="{number}",
    clip="s{subject}_{short}_{number:02d}",
    has_aus=False,
    has_apex=False,
)

CASME3 = Layout(
    dataset="casme3",
    title="CAS(ME)^3 part A",
    fps=30.0,
    codings=(
        Coding(
            "casme3_a_v2",
            "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                ("Onset", "onset"),
                ("Apex", "apex"),
                ("Offset", "offset"),
                ("AU", "action_units"),
                ("Objective class", "objective_class"),
                ("emotion", "emotion"),
            ),
        ),
    ),
    trees=(FrameTree("raw", "part_A/{subject}/{filename}/color", "{number}.jpg", "part_a", tail=3),),
    subject="spNO.{number}",
    clip="{letter}",
    key=("subject", "filename", "onset"),
    shared_folders=True,
)

MMEW = Layout(
    dataset="mmew",
    title="MMEW",
    fps=90.0,
    codings=(
        Coding(
            "mmew",
            "MMEW_Micro_Exp.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                ("OnsetFrame", "onset"),
                ("ApexFrame", "apex"),
                ("OffsetFrame", "offset"),
                ("Action Units", "action_units"),
                ("Estimated Emotion", "emotion"),
                "remarks",
            ),
        ),
    ),
    trees=(FrameTree("raw", "Micro_Expression/{emotion}/{filename}", "{number}.jpg", "micro_expression", tail=1),),
    clip="S{subject}-{number:02d}-001",
)

FOURDME = Layout(
    dataset="4dme",
    title="4DME",
    fps=60.0,
    codings=(
        Coding(
            "4dme_v1",
            "4DME_Labelling_Micro_release v1.xlsx",
            _columns(
                ("sub_ID", "subject"),
                ("fold_name", "filename"),
                ("Onset", "onset"),
                ("Apex", "apex"),
                ("Offset", "offset"),
                ("AUs", "action_units"),
                ("Emotion", "emotion"),
                "Positive",
                "Negative",
                "Surprise",
                "Repression",
                "Others",
            ),
        ),
    ),
    trees=(FrameTree("raw", "gray_micro/{filename}", "{number}.jpg", "micro", tail=1),),
    subject="{number}",
    clip="{subject}_{number:02d}",
)

CASME = Layout(
    dataset="casme",
    title="CASME",
    fps=60.0,
    codings=(
        Coding(
            "casme",
            "CASME-coding.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                ("OnsetF", "onset"),
                ("ApexF1", "apex"),
                "ApexF2",
                ("OffsetF", "offset"),
                ("AU", "action_units"),
                ("Emotion", "emotion"),
            ),
        ),
    ),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_{filename}-{number:03d}.jpg", "cropped"),
        FrameTree("raw", "raw/sub{subject}/{filename}", "{filename}-{number:03d}.jpg", "raw"),
    ),
)

DFME = Layout(
    dataset="dfme",
    title="DFME",
    fps=200.0,
    codings=(
        Coding(
            "dfme",
            "DFME_annotations.csv",
            _columns(
                ("subject", "subject"),
                ("filename", "filename"),
                ("fps", "fps"),
                ("onset", "onset"),
                ("apex", "apex"),
                ("offset", "offset"),
                ("AUs", "action_units"),
                ("emotion", "emotion"),
            ),
        ),
    ),
    trees=(FrameTree("raw", "DFME/{subject}/{filename}", "{number}.png", "dfme"),),
    subject="sub{number:04d}",
    clip="{letter}_{number}",
)

LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout for layout in (CASME2, SAMM, SMIC, CASME3, MMEW, FOURDME, CASME, DFME)
}
"""Every layout by the data set's name."""
