"""How a data set comes: the parts of which a description of its folders and spreadsheets consists."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medn_lab.records import normalise_text

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
    "onset2": ("onset2f",),
    "offset2": ("offset2f",),
    "onset3": ("onset3f",),
    "offset3": ("offset3f",),
}
"""Field to the headers that stand for it, written without blanks, case and punctuation."""


def header_key(text: object) -> str:
    """A header without blanks, case, punctuation and Chinese signs, as in ``FIELD_NAMES``.

    Examples
    --------
    >>> header_key("Onset Frame"), header_key("sub_ID"), header_key("ＯｎｓｅｔＦ（帧）")
    ('onsetframe', 'subid', 'onsetf')
    """
    return re.sub(r"[^a-z0-9]", "", normalise_text(text).lower())


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
    also : tuple of str
        Other names under which the same file circulates, without suffix.
    """

    name: str
    filename: str
    columns: tuple[Column, ...]
    preamble: int = 0
    closing: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def header_of(self, field: str) -> str | None:
        """The header of a field, or None where this coding has none."""
        return next((column.header for column in self.columns if column.field == field), None)


@dataclass(frozen=True)
class FrameTree:
    """One arrangement of frame folders.

    Attributes
    ----------
    name : str
        ``raw``, ``cropped`` or ``clips``.
    folder : str
        Template of a clip's folder below the root.
    frame : str
        Template of a frame's file name.
    marker : str
        Part of a folder's name that this tree alone has; of several that fit the longest counts.
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
    cameras : tuple of str
        Cameras that filmed the same clips, each in a tree, a spreadsheet, a sheet or columns with its name.
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
    cameras: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Fields without which a spreadsheet cannot be this data set's."""
        return ("subject", "filename", "onset", "emotion", *(["action_units"] if self.has_aus else []))

    @property
    def spotted(self) -> tuple[str, ...]:
        """Fields that are worked out where a spreadsheet has no column for them."""
        return ("apex", "offset") if self.has_apex else ("offset",)
