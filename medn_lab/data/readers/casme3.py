"""CAS(ME)^3 on the disk.

Li et al., CAS(ME)3: A Third Generation Facial Spontaneous Micro-Expression Database. IEEE TPAMI 45(3), 2023.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import CASME3
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import ClipIndex


def read_casme3(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
) -> ClipIndex:
    """The clips of CAS(ME)^3 part A as it came: 860 rows of 94 subjects, 30 frames a second.

    A folder holds a whole recording and ``(Subject, Filename)`` is not unique, so the onset is part of the clip's id.
    Some clips are longer than two seconds; they are kept and listed in ``problems``.

    Parameters
    ----------
    root : path-like
        The folder with ``part_A`` and the spreadsheet somewhere below.
    spreadsheet : path-like, optional
        Which one, where several fit.
    frames : {"auto", "raw", "cropped"}
        Which frames, where there are several kinds.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``casme3/spNO.1/b/166``. Emotions and AUs are in one spelling.

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
    ...     _ = write_dataset(drawn, root, layout="casme3", fps=15, size=64)
    ...     index = read_casme3(root)
    >>> index
    ClipIndex: 1 clips of 1 subjects (casme3 1); 0 problems, 0 rows left out
    """
    return read_layout(CASME3, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
