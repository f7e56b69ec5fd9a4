"""SAMM on the disk.

Davison, Lansley, Costen, Tan, Yap, SAMM: A Spontaneous Micro-Facial Movement Dataset. IEEE TAFFC 9(1), 2018.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import SAMM
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(SAMM, below="the subjects' folders (``006/006_1_2``) and the spreadsheet", clip_id="006/006_1_2")
def read_samm(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of SAMM as it came: 159 clips of 29 subjects, 200 frames a second, grey.

    The spreadsheet has 13 rows of preamble. Its AU notation knows sides, asymmetry, intensities, alternatives and
    references; :func:`parse_action_units` reads them. Two rows have an apex outside onset to offset: it is spotted when
    the clip is prepared.
    """
    return read_layout(SAMM, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
