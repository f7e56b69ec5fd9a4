"""SMIC: Li, Pfister, Huang, Zhao, Pietikäinen, A Spontaneous Micro-Expression Database. FG 2013."""

from __future__ import annotations

import dataclasses
import os
from typing import Literal, get_args

from medn_lab.data.layouts import SMIC
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex

Camera = Literal["hs", "vis", "nir"]


def read_smic(
    root: str | os.PathLike[str],
    *,
    camera: Camera = "hs",
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of SMIC as it came: 164 clips of 16 subjects by the fast camera, 71 each by the two others.

    SMIC has neither AUs nor apexes: the table has no AU columns, and the apex is spotted when a clip is prepared.

    Parameters
    ----------
    root : path-like
        The folder with ``HS``, ``HS_long``, ``VIS`` ..., ``SMIC_all_raw`` or ``SMIC_all_cropped``, and the spreadsheet
        somewhere below.
    camera : {"hs", "vis", "nir"}
        The fast camera (100 frames a second), the usual one or the infrared one (25 each).
    spreadsheet : path-like, optional
        Which one, where several fit (``book.xlsx#Sheet2`` for one sheet of a workbook); otherwise the file and the
        sheet whose name has the camera's.
    frames : {"auto", "raw", "cropped"} or str
        ``auto`` prefers the authors' cropped frames. Where two folders fit a clip, the name of a folder that only one
        of them lies in, such as ``HS_long``.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.
    alternatives : {"leave_out", "first", "all", "common"}
        As in the other readers. SMIC has no AUs, so it changes nothing.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``smic/3/s3_ne_03``; emotions are negative, positive, surprise. A second and a third expression
        in a row are clips too, ``smic/3/s3_ne_03/2`` and ``/3``, with a row of ``problems`` that names them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the camera is unknown, no spreadsheet or several fit, or no row has its frames.

    See Also
    --------
    prepare : makes clips of it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="smic", fps=15, size=64)
    ...     index = read_smic(root)
    >>> index
    ClipIndex: 1 clips of 1 subjects (smic 1); 1 problems, 1 rows left out
    """
    if camera not in get_args(Camera):
        raise ValueError(f"no camera {camera!r} in SMIC; there are {', '.join(get_args(Camera))}")
    layout = SMIC if camera == "hs" else dataclasses.replace(SMIC, fps=25.0)
    return read_layout(
        layout, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives, camera=camera
    )
