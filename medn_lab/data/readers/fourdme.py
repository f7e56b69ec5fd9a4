"""4DME: Li et al., 4DME: A Spontaneous 4D Micro-Expression Dataset With Multimodalities. IEEE TAFFC 14(4), 2023."""

from __future__ import annotations

import os

from medn_lab.data.layouts import FOURDME
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(FOURDME, below="the clips' folders and the labelling spreadsheet", clip_id="1/1_01")
def read_4dme(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The micro-expression clips of 4DME (grey video) as it came, 60 frames a second."""
    return read_layout(FOURDME, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
