"""Two folders changing places in one step, so that no kill finds the place empty."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

_AT_FDCWD = -100
_SWAP = 2
"""``RENAME_EXCHANGE`` of Linux and ``RENAME_SWAP`` of macOS."""


def atomic_swap(beside: Path, target: Path) -> None:
    """Let two folders of one file system change their names.

    Linux and macOS do it in one step. Elsewhere, and on file systems that cannot, it takes three renames: a kill
    between them leaves the old folder whole under a hidden name beside its place.

    Parameters
    ----------
    beside, target : Path
        Both must be there.

    Raises
    ------
    OSError
        If one is not there or may not be renamed.
    """
    if _in_one_step(os.fsencode(beside), os.fsencode(target)):
        return
    waiting = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)) / target.name
    target.rename(waiting)
    beside.rename(target)
    waiting.rename(beside)
    waiting.parent.rmdir()


def _in_one_step(one: bytes, other: bytes) -> bool:
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "linux":
            return library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _SWAP) == 0
        return sys.platform == "darwin" and library.renamex_np(one, other, _SWAP) == 0
    except (AttributeError, OSError, TypeError):  # an old C library, or Windows, which has no such call
        return False
