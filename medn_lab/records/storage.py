"""Saving and loading of records, one folder a record, no pickles; and the provenance of results.

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
from functools import cache
from importlib.metadata import PackageNotFoundError, version
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
DISK_FAULTS = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL)
DISK_FAULTS |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _READ_ONLY)

_AT_FDCWD, _SWAP = -100, 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS

Parts = dict[str, dict[str, Any]]
"""``arrays`` (a .npy each), ``tables`` (a .csv each), ``documents`` (a .json each), ``meta`` (inside record.json)."""


def write_parts(path: str | os.PathLike[str], kind: str, parts: Parts) -> Path:
    """Write a record's parts as one folder, replacing a folder of the same kind, and return its path.

    `kind` is the record's class name; FileExistsError if `path` exists and is not a record of this kind: nothing of the
    user's is replaced.
    """
    target, found = Path(path), None
    if target.exists():
        with suppress(ValueError):
            found = _head(target).get("kind")
        if found != kind:
            fault = f"{target} exists and is not a saved {kind}"
            raise FileExistsError(f"{fault}; choose another path, nothing was written")
    with atomic_write(target) as draft:
        for name, array in parts.get("arrays", {}).items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        describe_parts(draft, kind=kind, parts=parts)
    return target


def describe_parts(folder: Path, *, kind: str, parts: Parts) -> None:
    """Write tables, documents and ``record.json`` into a folder that holds the arrays already, as ``.npy`` files.

    Parameters
    ----------
    folder : Path
    kind : str
        The record's class name.
    parts : dict
        ``tables`` (DataFrames, one ``.csv`` each), ``documents`` (one ``.json`` each) and ``meta`` (kept inside
        ``record.json``).

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     np.save(Path(root, "flow.npy"), np.zeros((1, 4, 4, 2)))
    ...     describe_parts(Path(root), kind="Clips", parts={"documents": {"recipe": {"size": 4}}})
    ...     noted = json.loads(Path(root, "record.json").read_text())
    >>> noted["arrays"], noted["documents"], sorted(noted["sha256"])
    (['flow'], ['recipe'], ['flow.npy', 'recipe.json'])
    """
    tables, documents = parts.get("tables", {}), parts.get("documents", {})
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1, sort_keys=True, default=_plain) + "\n")
    # Columns that hold text are read as text: subject ``01`` would become the number 1.
    is_text = pd.api.types.is_string_dtype
    text = {name: [str(n) for n, kind in table.dtypes.items() if is_text(kind)] for name, table in tables.items()}
    sums = {file.name: sha256_of_file(file) for file in sorted(folder.iterdir()) if file.is_file()}
    head = {
        "kind": kind, "format": FORMAT, "arrays": sorted(file.stem for file in folder.glob("*.npy")),
        "tables": sorted(tables), "documents": sorted(documents), "text": text, "sha256": sums,
        "meta": parts.get("meta", {}),
    }  # fmt: skip
    head = json.loads(json.dumps(head, default=_plain))
    (folder / _HEAD).write_text(json.dumps(head | {_OWN: _digest(head)}, indent=1) + "\n")


def read_parts(path: str | os.PathLike[str], kind: str, *, memory_map: bool = False, check: bool = True) -> Parts:
    """Read a folder that :func:`write_parts` wrote back, as ``arrays``, ``tables``, ``documents`` and ``meta``.

    With `memory_map` the arrays stay on the disk, read-only. With `check` every file is checked against its
    sha256, a second a gigabyte. FileNotFoundError if there is no record; ValueError if it is of another kind or a newer
    format, a file is missing, broken or not the one that was written, or one outside the folder is named.
    """
    source = Path(path)
    if not (source / _HEAD).is_file():
        raise FileNotFoundError(f"no saved {kind} at {source}: it has no {_HEAD}")
    head = _head(source)
    found, version = head.get("kind"), int(head.get("format", 0))
    if found != kind:
        raise ValueError(f"{source} holds a {found}, not a {kind}; load it with {found}.load")
    if version > FORMAT:
        raise ValueError(f"{source} has format {version}, this version reads up to {FORMAT}; upgrade medn_lab")
    readers = {
        "arrays": lambda file: np.load(file, mmap_mode="r" if memory_map else None, allow_pickle=False),
        "tables": lambda file: _read_table(file, head.get("text", {}).get(file.stem, ())),
        "documents": lambda file: json.loads(file.read_text(encoding="utf-8")),
    }
    parts: Parts = {}
    try:
        sums = head.get("sha256", {}) if check else {}
        for part, suffix in _SUFFIXES.items():
            files = {name: source / f"{name}{suffix}" for name in head[part]}
            for name, file in files.items():
                if not _PLAIN_NAME.fullmatch(name) or file.resolve().parent != source.resolve():
                    raise ValueError(f"it names {name!r} as a part, which leads out of its folder; it is not read")
                if not file.is_file():
                    raise ValueError(f"it lacks {file.name}")
                if file.name in sums and sha256_of_file(file) != sums[file.name]:
                    raise ValueError(f"{file.name} is not the file that was written: its sha256 differs")
            parts[part] = {name: readers[part](file) for name, file in files.items()}
        return parts | {"meta": dict(head["meta"])}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        fault = f"the {kind} at {source} is broken ({type(error).__name__}: {error})"
        raise ValueError(f"{fault}; make it again, or take a whole copy") from error


def is_made(folder: Path, file: str) -> bool:
    """Whether a folder holds this file; FileExistsError if it holds something else, which would be replaced."""
    if (folder / file).is_file():
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and has no {file}; choose another folder, nothing was written")
    return False


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
        if error.errno not in DISK_FAULTS:
            raise
        raise OSError(error.errno, DISK_FAULTS[error.errno].format(target)) from error


def atomic_swap(draft: Path, target: Path) -> None:
    """Let two folders of one file system change their names.

    Linux and macOS do it in one step. Elsewhere, and on file systems that cannot, it takes three renames: a kill
    between them leaves the old folder whole under a hidden name in the same folder.
    """
    one, other = os.fsencode(draft), os.fsencode(target)
    with suppress(AttributeError, OSError, TypeError):  # an old C library, or Windows, which has no such call
        library = ctypes.CDLL(None)
        if sys.platform == "linux" and library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _SWAP) == 0:
            return
        if sys.platform == "darwin" and library.renamex_np(one, other, _SWAP) == 0:
            return
    waiting = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)) / target.name
    target.rename(waiting)
    draft.rename(target)
    waiting.rename(draft)
    waiting.parent.rmdir()


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
        if os.name == "posix" and number.isdigit():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
            except (OSError, OverflowError):  # PermissionError: it runs, and is another user's
                continue


def _mark(target: Path) -> str:
    """How the hidden folders begin in which this machine writes what will be `target`; a process number follows."""
    return f".{target.name}.{re.sub(r'[^A-Za-z0-9-]', '-', platform.node()) or 'here'}."


def _head(source: Path) -> dict[str, Any]:
    try:
        head = json.loads((source / _HEAD).read_text(encoding="utf-8"))
        own, version = head.pop(_OWN, None), int(head.get("format", 0))
        if own is not None and own != _digest(head) and version <= FORMAT:
            raise ValueError("its sha256 differs: it was changed after it was written")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{source / _HEAD} cannot be read ({error}); make the record again") from error
    return head


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


def _read_table(path: Path, text: Collection[str]) -> pd.DataFrame:
    """A CSV table: the text columns stay text, empty cells of the others become NaN."""
    gaps = {name: [""] for name in pd.read_csv(path, nrows=0).columns if name not in text}
    table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps)
    return table.astype(dict.fromkeys([name for name in table if name in text], object))


def _plain(value: object) -> object:
    """What JSON can hold of a numpy number or array."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"a record's metadata holds a {type(value).__name__}, which JSON cannot; give text, numbers, lists")


# Whose versions are written down; those that are not installed are left out.
PACKAGES = ("medn-lab", "torch", "numpy", "opencv-python", "opencv-python-headless", "captum", "umap-learn")


def run_record(call: str, *, table: pd.DataFrame, **settings: Any) -> dict[str, Any]:
    """What must be known to make a result again, as JSON-ready values.

    Parameters
    ----------
    call : str
        The function's name.
    table : DataFrame
        The clips' table, of which the number and the ids' sha256 are kept.
    **settings
        The function's own arguments, JSON-ready.

    Returns
    -------
    dict
        ``call``, the settings, ``clips`` (``n``, ``sha256``), ``versions``, ``hardware`` (the system, and what kind of
        processor). No path and no name of the machine or its user is in it.

    See Also
    --------
    medn_lab.rerun

    Examples
    --------
    >>> kept = run_record("predict", table=pd.DataFrame({"clip_id": ["a", "b"]}))
    >>> kept["call"], kept["clips"]["n"], kept["clips"]["sha256"][:8], "torch" in kept["versions"]
    ('predict', 2, '7e18f737', True)
    """
    clips = {"n": len(table), "sha256": ids_sha256(table)}
    return {"call": call, **settings, "clips": clips, **{part: dict(facts) for part, facts in _surroundings().items()}}


def ids_sha256(table: pd.DataFrame) -> str:
    """The sha256 of a table's clip ids in their order, by which a run record knows its clips.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> ids_sha256(pd.DataFrame({"clip_id": ["a", "b"]}))[:8]
    '7e18f737'
    """
    return hashlib.sha256("\n".join(table["clip_id"].astype(str)).encode()).hexdigest()


def describe_source(source: Mapping[str, Any]) -> str:
    """One line on how a result was made, for a record's ``repr``; empty where nothing is known.

    Examples
    --------
    >>> run = {"versions": {"medn-lab": "0.1.0", "torch": "2.13.0"}}
    >>> run["hardware"] = {"system": "Linux", "machine": "x86_64"}
    >>> source = {"name": "tiny", "sha256": "0123456789ab", "recipe": {"corpus": "SynthME", "seed": 4}, "run": run}
    >>> describe_source(source)
    'by tiny (01234567), medn_lab 0.1.0, torch 2.13.0, Linux x86_64, on SynthME seed 4'
    """
    run = source.get("run")
    if not run:
        return ""
    name, sha, recipe = source.get("name", ""), source.get("sha256", ""), source.get("recipe") or {}
    versions, hardware, training = run.get("versions", {}), run.get("hardware", {}), source.get("training") or {}
    facts = [f"by {name} ({sha[:8]})" if isinstance(sha, str) and sha else name and f"by {name}"]
    facts += [f"seed {training['seed']}"] if "seed" in training else []
    facts += [f"medn_lab {versions.get('medn-lab', '?')}", f"torch {versions.get('torch', '?')}"]
    facts += [" ".join(str(hardware[part]) for part in ("system", "machine") if hardware.get(part))]
    facts += [str(run["device"])] if run.get("device", "cpu") != "cpu" else []
    facts += [f"on {recipe['corpus']} seed {recipe['seed']}"] if {"corpus", "seed"} <= set(recipe) else []
    return ", ".join(filter(None, facts))


@cache  # a process keeps its packages and its machine, and every prediction reads them
def _surroundings() -> dict[str, dict[str, Any]]:
    versions, processor, cpuinfo = {"python": platform.python_version()}, platform.processor(), Path("/proc/cpuinfo")
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            # What is loaded may be newer than what was installed: an editable checkout has another version.
            versions[name] = sys.modules["medn_lab"].__version__ if name == "medn-lab" else version(name)
    if cpuinfo.is_file():  # of two processors of one kind, one may sum in wider steps and end on other digits
        named = re.search(r"^model name\s*:\s*(.*?)\s*$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        processor = named[1] if named else processor
    hardware = {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()}
    return {"versions": versions, "hardware": hardware | {"processor": processor}}
