"""CASME: Yan, Wu, Liu, Wang, Fu, CASME Database: A Dataset of Spontaneous Micro-Expressions. FG 2013."""

from __future__ import annotations

import os

from medn_lab.data.layouts import CASME
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import ClipIndex


def read_casme(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
) -> ClipIndex:
    """The clips of CASME as it came: 195 clips of 19 subjects, 60 frames a second.

    Where two apexes are coded the first is taken.

    Parameters
    ----------
    root : path-like
        The folder with the clips' folders and the spreadsheet somewhere below.
    spreadsheet : path-like, optional
        Which one, where several fit.
    frames : {"auto", "raw", "cropped"}
        Which frames, where there are several kinds.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``casme/01/EP01_01``. Emotions and AUs are in one spelling.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no spreadsheet or several fit, or no row has its frames.

    See Also
    --------
    prepare : makes clips of it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme", fps=15, size=64)
    ...     index = read_casme(root)
    >>> index
    ClipIndex: 1 clips of 1 subjects (casme 1); 0 problems, 0 rows left out
    """
    return read_layout(CASME, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
