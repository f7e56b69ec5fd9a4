"""What the docstrings of the readers have in common, written once: a reader says only what is its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from medn_lab.data.layout import Layout

Reader = TypeVar("Reader", bound=Callable[..., object])

SHARED = """

Parameters
----------
root : path-like
    The folder with {below} somewhere below.
spreadsheet : path-like, optional
    Which one, where several fit; ``book.xlsx#Sheet2`` for one sheet of a workbook.
frames : {{"auto", "raw", "cropped"}} or str
    Which frames, where there are several kinds; ``auto`` prefers those that are cropped. Where two folders fit a clip,
    the name of a folder that only one of them lies in.
repair : bool
    Whether faulty rows are repaired, each repair a row of ``problems``, or left out.
alternatives : {{"leave_out", "first", "all", "common"}}
    What a disputed or incomplete AU set (``12 or 14``, ``4?``, ``4+ref(7)``) becomes. ``leave_out``: the clip is kept,
    its AU columns are NaN, it takes part in no pair and no floor, and it is a row of ``problems``. The other rules let
    it in with the set that :func:`parse_action_units` reads by them.

Returns
-------
ClipIndex
    ``clip_id`` is ``{dataset}/{clip_id}``. Emotions and AUs are in one spelling. ``coding, spreadsheet, sheet`` and
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

Examples
--------
>>> from tempfile import TemporaryDirectory
>>> from medn_lab.synthme import synthetic_clips, write_dataset
>>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
>>> with TemporaryDirectory() as root:
...     _ = write_dataset(drawn, root, layout="{dataset}", fps=15, size=64)
...     index = {name}(root)
>>> index
ClipIndex: 1 clips of 1 subjects ({dataset} 1); 0 problems, 0 rows left out
"""


def reader_of(layout: Layout, *, below: str, clip_id: str) -> Callable[[Reader], Reader]:
    """Complete the docstring of a reader that takes what ``read_layout`` takes.

    Parameters
    ----------
    layout : Layout
    below : str
        What has to lie below the root.
    clip_id : str
        A clip's id behind the data set's name.

    Returns
    -------
    Callable
        A decorator that returns the function itself.
    """

    def complete(function: Reader) -> Reader:
        own = inspect.getdoc(function)
        if own is not None:  # Under ``python -OO`` there is none.
            shared = SHARED.format(dataset=layout.dataset, below=below, clip_id=clip_id, name=function.__name__)
            function.__doc__ = own + shared
        return function

    return complete
