"""CAS(ME)^3 on the disk.

Li et al., CAS(ME)3: A Third Generation Facial Spontaneous Micro-Expression Database. IEEE TPAMI 45(3), 2023.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import CASME3
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(CASME3, below="``part_A`` and the spreadsheet", clip_id="spNO.1/b/166")
def read_casme3(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of CAS(ME)^3 part A as it came: 860 rows of 94 subjects, 30 frames a second.

    A folder holds a whole recording and ``(Subject, Filename)`` is not unique, so the onset is part of the clip's id.
    Some clips are longer than two seconds; they are kept and listed in ``problems``.
    """
    return read_layout(CASME3, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
