"""CASME II: Yan et al., CASME II: An Improved Spontaneous Micro-Expression Database. PLoS ONE 9(1), 2014."""

from __future__ import annotations

import os

from medn_lab.data.layouts import CASME2
from medn_lab.data.readers.index import FrameChoice, read_layout
from medn_lab.records import AlternativeRule, ClipIndex


def read_casme2(
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:
    """The clips of CASME II as it came: 255 clips of 26 subjects, 200 frames a second.

    Two codings circulate (2014 and 2019) and differ in the AUs of about a fifth of the clips; which one was read is in
    the column ``coding``. The one row without an apex, and the one whose apex is its onset, get theirs spotted when
    they are prepared.

    Parameters
    ----------
    root : path-like
        The folder with ``Cropped`` or ``CASME2_RAW_selected``, and the spreadsheet somewhere below.
    spreadsheet : path-like, optional
        Which one, where both codings are there; ``book.xlsx#Sheet2`` for one sheet of a workbook.
    frames : {"auto", "raw", "cropped"} or str
        ``auto`` prefers the authors' cropped frames. Where two folders fit a clip, the name of a folder that only one
        of them lies in, such as ``CASME2_RAW_selected``.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.
    alternatives : {"leave_out", "first", "all", "common"}
        What a disputed or incomplete AU set (``12 or 14``, ``4?``, ``4+ref(7)``) becomes. ``leave_out``: the clip is
        kept, its AU columns are NaN, it takes part in no pair and no floor, and it is a row of ``problems``. The other
        rules let it in with the set that :func:`parse_action_units` reads by them.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``casme2/01/EP02_01f``. Emotions and AUs are in one spelling. ``coding, spreadsheet, sheet`` and
        ``sheet_row`` say where a clip comes from.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no spreadsheet or several fit, or no row has its frames.

    See Also
    --------
    prepare : makes clips of it.
    compare_codings : where two codings differ.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme2", fps=15, size=64, faults=["apex_slash"])
    ...     index = read_casme2(root)
    >>> index
    ClipIndex: 2 clips of 1 subjects (casme2 2); 1 problems, 0 rows left out
    >>> index.problems[["field", "found", "kept"]]
      field found  kept
    0  apex   '/'  True
    """
    return read_layout(CASME2, root, spreadsheet=spreadsheet, frames=frames, repair=repair, alternatives=alternatives)
