"""SAMM on the disk.

Davison, Lansley, Costen, Tan, Yap, SAMM: A Spontaneous Micro-Facial Movement Dataset. IEEE TAFFC 9(1), 2018.
"""

from __future__ import annotations

import os

from medn_lab.data.layouts import SAMM
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import ClipIndex


def read_samm(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
) -> ClipIndex:
    """The clips of SAMM as it came: 159 clips of 29 subjects, 200 frames a second, grey.

    The spreadsheet has 13 rows of preamble. Its AU notation knows sides, asymmetry, intensities, alternatives and
    references; :func:`parse_action_units` reads them. Two rows have an apex outside onset to offset: it is spotted when
    the clip is prepared.

    Parameters
    ----------
    root : path-like
        The folder with the subjects' folders (``006/006_1_2``) and the spreadsheet somewhere below.
    spreadsheet : path-like, optional
        Which one, where several fit.
    frames : {"auto", "raw", "cropped"}
        Which frames, where there are several kinds.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``samm/006/006_1_2``. Emotions and AUs are in one spelling.

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
    ...     _ = write_dataset(drawn, root, layout="samm", fps=15, size=64)
    ...     index = read_samm(root)
    >>> index, index.table["action_units"].tolist()
    (ClipIndex: 1 clips of 1 subjects (samm 1); 0 problems, 0 rows left out, ['14'])
    """
    return read_layout(SAMM, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
