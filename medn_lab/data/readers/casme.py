"""CASME: Yan, Wu, Liu, Wang, Fu, CASME Database: A Dataset of Spontaneous Micro-Expressions. FG 2013."""

from __future__ import annotations

import os

from medn_lab.data.layouts import CASME
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(CASME, below="the clips' folders and the spreadsheet", clip_id="01/EP01_01")
def read_casme(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of CASME as it came: 195 clips of 19 subjects, 60 frames a second.

    Where two apexes are coded the first is taken.
    """
    return read_layout(CASME, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
