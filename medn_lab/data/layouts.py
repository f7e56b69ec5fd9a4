"""How each data set comes: its folders and spreadsheets, described once, used for reading and for writing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from medn_lab.records import normalise_text

LayoutName: TypeAlias = str
"""The name of a data set in ``LAYOUTS``."""

FIELD_NAMES = {
    "subject": "subject sub subjectid",
    "filename": "filename clip video sequence filenameo",
    "onset": "onsetframe onset onsetf",
    "apex": "apexframe apex apexf",
    "offset": "offsetframe offset offsetf",
    "action_units": "actionunits aus au actionunit",
    "emotion": "estimatedemotion emotion emotionlabel label",
    "objective_class": "objectiveclasses objectiveclass",
    "fps": "fps framerate",
}
"""Field to the headers that stand for it, in lower case without blanks and punctuation, for every data set.

A header that one data set alone has names its field in that data set's coding.
"""

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
    """A data set as it comes.

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
        Template of a clip's name in the spreadsheet, from ``subject`` and ``number``.
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

    @property
    def required(self) -> tuple[str, ...]:
        """Fields without which a spreadsheet cannot be this data set's."""
        return ("subject", "filename", "onset", "emotion", *(["action_units"] if self.has_aus else []))

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
    "samm", "SAMM", 200.0,
    codings=(
        Coding("samm_v2", "SAMM_Micro_FACS_Codes_v2.xlsx", _SAMM, preamble=13),
        Coding("samm_v2_20181215", "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", _SAMM),
    ),
    trees=(FrameTree("raw", "SAMM/{subject}/{filename}", "{subject}_{number:05d}.jpg", "samm"),),
    subject="{number:03d}", clip="{subject}_{number}_1",
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
    "smic", "SMIC", 100.0,
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
    subject="{number}", clip="s{subject}_{short}_{number:02d}",
    cameras={"hs": 100.0, "vis": 25.0, "nir": 25.0},
)

_CASME3 = "Subject, Filename, Onset, Apex, Offset, AU, Objective class, emotion"
CASME3 = Layout(
    "casme3", "CAS(ME)^3 part A", 30.0,
    codings=(
        Coding("casme3_a_v2", "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", _CASME3),
        Coding("casme3_a_v1", "cas(me)3_part_A_ME_label_JpgIndex_v1.xls", _CASME3),
    ),
    trees=(
        FrameTree("raw", "part_A/{subject}/{filename}/color", "{number}.jpg", "part_a", tail=3),
        FrameTree("clips", "Part_A_ME_clip/frame/{subject}_{filename}_{onset}", "{number}.jpg", "me_clip"),
    ),
    subject="spNO.{number}", clip="{letter}", key=("subject", "filename", "onset"),
)

_MMEW = "Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units, Estimated Emotion, remarks"
MMEW = Layout(
    "mmew", "MMEW", 90.0,
    codings=(Coding("mmew", "MMEW_Micro_Exp.xlsx", _MMEW),),
    trees=(FrameTree("raw", "Micro_Expression/{emotion}/{filename}", "{number}.jpg", "micro_expression", tail=1),),
    clip="S{subject}-{number:02d}-001",
)

_4DME = (
    "sub_ID=subject, fold_name=filename, Onset, Apex, Offset, AUs, Emotion, Positive, Negative, Surprise, Repression, "
    "Others"
)
FOURDME = Layout(
    "4dme", "4DME", 60.0,
    codings=(Coding("4dme_v1", "4DME_Labelling_Micro_release v1.xlsx", _4DME),),
    trees=(FrameTree("raw", "gray_micro/{filename}", "{number}.jpg", "micro", tail=1),),
    subject="{number}", clip="{subject}_{number:02d}",
)

_CASME = "Subject, Filename, OnsetF, ApexF1=apex, ApexF2, OffsetF, AU, Emotion"
CASME = Layout(
    "casme", "CASME", 60.0,
    codings=(Coding("casme", "CASME-coding.xlsx", _CASME),),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_{filename}-{number:03d}.jpg", "crop"),
        FrameTree("raw", "raw/sub{subject}/{filename}", "{filename}-{number:03d}.jpg", "raw"),
    ),
)

_DFME = "subject, filename, fps, onset, apex, offset, AUs, emotion"
DFME = Layout(
    "dfme", "DFME", 200.0,
    codings=(Coding("dfme", "DFME_annotations.csv", _DFME),),
    trees=(FrameTree("raw", "DFME/{subject}/{filename}", "{number}.png", "dfme"),),
    subject="sub{number:04d}", clip="{letter}_{number}",
)

# fmt: on

LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout for layout in (CASME2, SAMM, SMIC, CASME3, MMEW, FOURDME, CASME, DFME)
}
"""Every layout by the data set's name; enter another one here, its classes as a protocol."""
