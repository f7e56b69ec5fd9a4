"""DFME on the disk.

Zhao et al., DFME: A New Benchmark for Dynamic Facial Micro-Expression Recognition. IEEE TAFFC 15(3), 2024.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import DFME
from medn_lab.data.readers.docstrings import reader_of
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


@reader_of(DFME, below="the clips' folders and the ``.csv`` list", clip_id="sub0001/a_1")
def read_dfme(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of DFME as it came; frames a second differ by part and are in the list."""
    return read_layout(DFME, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
