"""How a data set comes: the parts of which a description of its folders and spreadsheets consists."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
