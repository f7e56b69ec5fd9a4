"""DFME on the disk.

Zhao et al., DFME: A New Benchmark for Dynamic Facial Micro-Expression Recognition. IEEE TAFFC 15(3), 2024.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import DFME
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import ClipIndex


def read_dfme(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
) -> ClipIndex:
    """The clips of DFME as it came; frames a second differ by part and are in the list.

    Parameters
    ----------
    root : path-like
        The folder with the clips' folders and the ``.csv`` list somewhere below.
    spreadsheet : path-like, optional
        Which one, where several fit.
    frames : {"auto", "raw", "cropped"}
        Which frames, where there are several kinds.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``dfme/sub0001/a_1``. Emotions and AUs are in one spelling.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no spreadsheet or several fit, or no row has its frames.

    See Also
    --------
    prepare : makes clips of it.
    """
    return read_layout(DFME, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
