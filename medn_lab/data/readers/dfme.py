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

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="dfme", fps=15, size=64)
    ...     index = read_dfme(root)
    >>> index
    ClipIndex: 1 clips of 1 subjects (dfme 1); 0 problems, 0 rows left out
    """
    return read_layout(DFME, root, spreadsheet=spreadsheet, frames=frames, repair=repair)
