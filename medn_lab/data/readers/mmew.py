"""MMEW: Ben et al., Video-Based Facial Micro-Expression Analysis. IEEE TPAMI 44(9), 2022."""

from __future__ import annotations

import os

from medn_lab.data.layouts import MMEW
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(MMEW, below="``Micro_Expression`` and the spreadsheet", clip_id="01/S01-01-001")
def read_mmew(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of MMEW as it came: 300 clips of 30 subjects, 90 frames a second."""
    return read_layout(MMEW, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
