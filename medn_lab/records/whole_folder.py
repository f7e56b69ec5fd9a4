"""A folder that is there whole or not at all: written beside its place, brought to the disk, and moved in one step."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medn_lab.records.exchange import atomic_swap

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Write a folder beside its place and move it there when it is whole.

    Parameters
    ----------
    target : Path
        Where the folder shall stand; its parent is made, and a folder already there goes only when the new one has
        taken its place.

    Yields
    ------
    Path
        The empty folder to write into. If the block raises, it is removed and `target` stays as it was.

    Raises
    ------
    OSError
        If the disk is full, or the folder around `target` is read-only: a sentence says which.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     with atomic_write(Path(root, "run")) as beside:
    ...         _ = (beside / "note.txt").write_text("whole or not at all")
    ...         before = Path(root, "run").exists()
    ...     after = Path(root, "run", "note.txt").read_text()
    >>> before, after
    (False, 'whole or not at all')
    """
    with _told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        beside = Path(tempfile.mkdtemp(prefix=f"{_mark(target)}{os.getpid()}.", dir=target.parent))
        with _moved_when_whole(beside, target):
            yield beside


def _mark(target: Path) -> str:
    """How the hidden folders begin in which this machine writes what will be `target`; a process number follows."""
    return f".{target.name}.{re.sub(r'[^A-Za-z0-9-]', '-', platform.node()) or 'here'}."


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes of this machine left beside `target`; what running ones write stays.

    Parameters
    ----------
    target : Path
        A folder that :func:`atomic_write` writes; it need not be there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     with atomic_write(Path(root, "run")):
    ...         remove_leftovers(Path(root, "run"))  # this process runs: its folder stays
    ...         waiting = len(list(Path(root).iterdir()))
    >>> waiting
    1
    """
    if os.name != "posix":
        return
    mark = _mark(target)
    for left in [path for path in target.parent.iterdir() if path.name.startswith(mark)]:
        number = left.name.removeprefix(mark).partition(".")[0]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Say in a sentence that a disk is full or read-only, where it is."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            said = (
                f"the disk is full; {target} was not written, and what was there before stays. Make room and try again"
            )
        elif error.errno in READ_ONLY:
            said = f"{target} cannot be written: {target.parent} is read-only or not yours; choose another folder"
        else:
            raise
        raise OSError(error.errno, said) from error


@contextmanager
def _moved_when_whole(beside: Path, target: Path) -> Iterator[None]:
    try:
        yield
        for written in beside.rglob("*"):
            if written.is_file():
                with open(written, "rb+") as stream:
                    os.fsync(stream.fileno())
        beside.chmod(0o755)
        try:
            beside.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            atomic_swap(beside, target)  # in one step: a kill leaves either the old folder in its place or the new one
            shutil.rmtree(beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
