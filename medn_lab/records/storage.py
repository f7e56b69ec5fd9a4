"""How every record reaches the disk and comes back: one folder a record, no pickles.

A folder holds ``record.json`` (kind, format, metadata, the sha256 of every file), one ``.npy`` an array, one ``.csv`` a
table and one ``.json`` a document. It is written under a hidden name and renamed when it is whole, so that a
half-written folder never carries the name. What is read is checked against its sha256, and nothing outside the folder
is opened, whatever ``record.json`` names.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FORMAT = 1  # of the folder layout; a reader refuses a newer one
_HEAD = "record.json"
_OWN = "sha256_of_this"  # the name under which record.json holds the sha256 of everything else in it
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")  # of a record's file, without its suffix: no dots, so no way out
_SUFFIXES = {"arrays": ".npy", "tables": ".csv", "documents": ".json"}

_FULL = "the disk is full; {0} was not written, and what was there before stays. Make room and try again"
_READ_ONLY = "{0} cannot be written: {0.parent} is read-only or not yours; choose another folder"
_DISK_FAULTS = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL)
_DISK_FAULTS |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _READ_ONLY)

_AT_FDCWD, _SWAP = -100, 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


class RecordError(ValueError):
    """A record's folder is broken, or its files are not those that were written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     folder = write_parts(Path(root, "maps"), "Maps", Parts(arrays={"xy": np.eye(2)}))
    ...     _ = (folder / "xy.npy").write_bytes(b"torn")
    ...     try:
    ...         read_parts(folder, "Maps")
    ...     except RecordError as error:
    ...         print(str(error).partition("/maps")[2])
    /xy.npy is not the file that was written (its sha256 differs): it was changed, or the disk or a copy ...
    """


@dataclass(frozen=True)
class Parts:
    """What a record is made of, ready to be written or just read.

    Attributes
    ----------
    arrays : dict of ndarray
        One ``.npy`` each.
    tables : dict of DataFrame
        One ``.csv`` each.
    documents : dict
        One ``.json`` each.
    meta : dict
        Kept inside ``record.json``.

    Examples
    --------
    >>> Parts(arrays={"flow": np.zeros((2, 4, 4, 2))}, meta={"seed": 0}).arrays["flow"].shape
    (2, 4, 4, 2)
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


def write_parts(path: str | os.PathLike[str], kind: str, parts: Parts) -> Path:
    """Write a record's parts as one folder, replacing a folder of the same kind.

    Parameters
    ----------
    path : path-like
        The folder to make. Its parent is made too.
    kind : str
        The record's class name, kept in ``record.json``.
    parts : Parts
        Arrays, tables, documents and metadata.

    Returns
    -------
    Path
        The folder written.

    Raises
    ------
    FileExistsError
        If `path` exists and is not a record of this kind: nothing of the user's is replaced.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     folder = write_parts(Path(root, "maps"), "Maps", Parts(arrays={"xy": np.eye(2)}))
    ...     written = sorted(path.name for path in folder.iterdir())
    >>> written
    ['record.json', 'xy.npy']
    """
    target, found = Path(path), None
    if target.exists():
        with suppress(RecordError):
            found = _head(target).get("kind")
    if target.exists() and found != kind:
        raise FileExistsError(f"{target} exists and is not a saved {kind}; choose another path, nothing was written")
    with atomic_write(target) as draft:
        for name, array in parts.arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        for name, table in parts.tables.items():
            table.to_csv(draft / f"{name}.csv", index=False)
        for name, document in parts.documents.items():
            (draft / f"{name}.json").write_text(json.dumps(document, indent=1, sort_keys=True, default=_plain) + "\n")
        head = {"kind": kind, "format": FORMAT}
        head |= {part: sorted(getattr(parts, part)) for part in _SUFFIXES}
        # Columns that hold text are read as text: subject ``01`` would become the number 1.
        head["text"] = {
            name: [str(n) for n, dtype in table.dtypes.items() if pd.api.types.is_string_dtype(dtype)]
            for name, table in parts.tables.items()
        }
        head["sha256"] = {file.name: sha256_of_file(file) for file in sorted(draft.iterdir())}
        _write_head(draft, head | {"meta": dict(parts.meta)})
    return target


def read_parts(path: str | os.PathLike[str], kind: str, *, memory_map: bool = False, check: bool = True) -> Parts:
    """Read a record's folder back.

    Parameters
    ----------
    path : path-like
        A folder written by :func:`write_parts`.
    kind : str
        The class name expected.
    memory_map : bool
        Open the arrays read-only on the disk instead of loading them.
    check : bool
        Whether every file is read once and held against its sha256. A gigabyte takes about a second.

    Returns
    -------
    Parts

    Raises
    ------
    FileNotFoundError
        If there is no record at `path`.
    ValueError
        If the folder holds another kind of record or one of a newer format, a file of it is missing, broken or not the
        one that was written, or its ``record.json`` names files outside the folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     folder = write_parts(Path(root, "maps"), "Maps", Parts(arrays={"xy": np.eye(2)}, meta={"seed": 3}))
    ...     parts = read_parts(folder, "Maps")
    >>> parts.arrays["xy"].tolist(), parts.meta["seed"]
    ([[1.0, 0.0], [0.0, 1.0]], 3)
    """
    source = Path(path)
    if not (source / _HEAD).is_file():
        raise FileNotFoundError(f"no saved {kind} at {source}: it has no {_HEAD}")
    head = _head(source)
    found, version = head.get("kind"), head.get("format", 0)
    if found != kind:
        raise ValueError(f"{source} holds a {found}, not a {kind}; load it with {found}.load")
    if version > FORMAT:
        raise ValueError(f"{source} has format {version}, this version reads up to {FORMAT}; upgrade medn_lab")
    try:
        text, sums = head.get("text", {}), head.get("sha256", {}) if check else {}
        arrays, tables, documents = (
            {name: _file_of(source, name, suffix, sums) for name in head[part]} for part, suffix in _SUFFIXES.items()
        )
        return Parts(
            {n: np.load(file, mmap_mode="r" if memory_map else None, allow_pickle=False) for n, file in arrays.items()},
            {n: _read_table(file, text.get(n, ())) for n, file in tables.items()},
            {n: json.loads(file.read_text(encoding="utf-8")) for n, file in documents.items()},
            dict(head["meta"]),
        )
    except RecordError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        fault = f"the {kind} at {source} is broken ({type(error).__name__}: {error})"
        raise RecordError(f"{fault}; make it again, or take a copy") from error


def note_arrays(folder: Path, *, files: Mapping[str, Path]) -> None:
    """Enter arrays that were written elsewhere, and will be moved into a record's folder, in its ``record.json``.

    Parameters
    ----------
    folder : Path
        Written by :func:`write_parts`.
    files : dict of Path
        Where each array lies now.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> with TemporaryDirectory() as root:
    ...     folder = write_parts(Path(root, "whole"), "Clips", Parts())
    ...     np.save(Path(root, "flow.npy"), np.zeros((1, 4, 4, 2)))
    ...     note_arrays(folder, files={"flow": Path(root, "flow.npy")})
    ...     noted = json.loads((folder / "record.json").read_text())["arrays"]
    >>> noted
    ['flow']
    """
    head = _head(folder)
    head["arrays"] = sorted({*head["arrays"], *files})
    head["sha256"] |= {f"{name}.npy": sha256_of_file(file) for name, file in files.items()}
    _write_head(folder, head)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's bytes, read piece by piece.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     file = Path(root, "weights")
    ...     _ = file.write_bytes(b"")
    ...     sha256_of_file(file)[:12]
    'e3b0c44298fc'
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Write a folder under a hidden name and rename it when it is whole.

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
        If the disk is full, or the folder around `target` is read-only.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     with atomic_write(Path(root, "run")) as draft:
    ...         _ = (draft / "note.txt").write_text("whole or not at all")
    ...         before = Path(root, "run").exists()
    ...     after = Path(root, "run", "note.txt").read_text()
    >>> before, after
    (False, 'whole or not at all')
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        draft = Path(tempfile.mkdtemp(prefix=f"{_mark(target)}{os.getpid()}.", dir=target.parent))
        try:
            yield draft
            for written in filter(Path.is_file, draft.rglob("*")):
                with open(written, "rb+") as stream:
                    os.fsync(stream.fileno())
            draft.chmod(0o755)
            try:
                draft.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                atomic_swap(draft, target)  # a kill leaves the old folder or the new one in its place
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        if error.errno not in _DISK_FAULTS:
            raise
        raise OSError(error.errno, _DISK_FAULTS[error.errno].format(target)) from error


def atomic_swap(draft: Path, target: Path) -> None:
    """Let two folders of one file system change their names.

    Linux and macOS do it in one step. Elsewhere, and on file systems that cannot, it takes three renames: a kill
    between them leaves the old folder whole under a hidden name in the same folder.

    Parameters
    ----------
    draft, target : Path
        Both must be there.

    Raises
    ------
    OSError
        If one is not there or may not be renamed.
    """
    if _in_one_step(os.fsencode(draft), os.fsencode(target)):
        return
    waiting = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)) / target.name
    target.rename(waiting)
    draft.rename(target)
    waiting.rename(draft)
    waiting.parent.rmdir()


def _in_one_step(one: bytes, other: bytes) -> bool:
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "linux":
            return library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _SWAP) == 0
        return sys.platform == "darwin" and library.renamex_np(one, other, _SWAP) == 0
    except (AttributeError, OSError, TypeError):  # an old C library, or Windows, which has no such call
        return False


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes of this machine left next to `target`; what running ones write stays.

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
    mark = _mark(target)
    for left in [path for path in target.parent.iterdir() if path.name.startswith(mark)]:
        number = left.name.removeprefix(mark).partition(".")[0]
        if os.name != "posix" or not number.isdigit():
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (OSError, OverflowError):  # PermissionError: it runs, and is another user's
            continue


def _mark(target: Path) -> str:
    """How the hidden folders begin in which this machine writes what will be `target`; a process number follows."""
    return f".{target.name}.{re.sub(r'[^A-Za-z0-9-]', '-', platform.node()) or 'here'}."


def _write_head(folder: Path, head: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(head, default=_plain))
    (folder / _HEAD).write_text(json.dumps(plain | {_OWN: _digest(plain)}, indent=1) + "\n")


def _head(source: Path) -> dict[str, Any]:
    try:
        head = json.loads((source / _HEAD).read_text(encoding="utf-8"))
        if not isinstance(head, dict) or not isinstance(head.get("format", 0), int):
            raise ValueError("it is no description of a record")
        own = head.pop(_OWN, None)
        if own is not None and own != _digest(head) and head.get("format", 0) <= FORMAT:
            raise ValueError("its sha256 differs: it was changed after it was written")
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{source / _HEAD} cannot be read ({error}); make the record again") from error
    return head


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


def _file_of(source: Path, name: str, suffix: str, sums: Mapping[str, str]) -> Path:
    """A part's file, which must lie in the folder and be the one that was written."""
    file, mend = source / f"{name}{suffix}", "make the record again, or take a whole copy"
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name) or file.resolve().parent != source.resolve():
        raise RecordError(f"{source} names {name!r} as a part, which leads out of its folder; it is not read")
    if not file.is_file():
        raise RecordError(f"{source} lacks {file.name}; {mend}")
    if file.name in sums and sha256_of_file(file) != sums[file.name]:
        fault = "(its sha256 differs): it was changed, or the disk or a copy failed"
        raise RecordError(f"{file} is not the file that was written {fault}; {mend}")
    return file


def _read_table(path: Path, text: Collection[str]) -> pd.DataFrame:
    """A CSV table: the text columns stay text, empty cells of the others become NaN."""
    gaps = {name: [""] for name in pd.read_csv(path, nrows=0).columns if name not in text}
    table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps)
    return table.astype(dict.fromkeys([name for name in table if name in text], object))


def _plain(value: object) -> object:
    """What JSON can hold of a numpy number or array."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    name = type(value).__name__
    raise TypeError(f"a record's metadata holds a {name}, which JSON cannot; give text, numbers or lists")
