"""MMEW: Ben et al., Video-Based Facial Micro-Expression Analysis. IEEE TPAMI 44(9), 2022."""

from __future__ import annotations

import os

from medn_lab.data.layouts import MMEW
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import ClipIndex


def read_mmew(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
) -> ClipIndex:
    """The clips of MMEW as it came: 300 clips of 30 subjects, 90 frames a second.

    Parameters
    ----------
    root : path-like
        The folder with ``Micro_Expression`` and the spreadsheet somewhere below.
    spreadsheet : path-like, optional
        Which one, where several fit.
    frames : {"auto", "raw", "cropped"}
        Which frames, where there are several kinds.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``mmew/01/S01-01-001``. Emotions and AUs are in one spelling.

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
    return read_layout(MMEW, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
