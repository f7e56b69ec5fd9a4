"""How every record reaches the disk and comes back: one folder a record, no pickles.

A folder holds ``record.json`` (kind, format, metadata, the sha256 of every file), one ``.npy`` an array, one ``.csv`` a
table and one ``.json`` a document. It is written beside its place and renamed into it, so that a half-written folder
never carries the name. What is read is checked against its sha256, and nothing outside the folder is opened,
whatever a stranger's ``record.json`` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.records.whole_folder import atomic_write

FORMAT = 1
"""Version of the folder layout; a reader refuses a newer one."""

_OWN = "sha256_of_this"
"""Under this name ``record.json`` holds the sha256 of everything else in it."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Names of a record's files, without their suffix: no dots, so no way out of the folder."""

TEXT_COLUMNS = (
    "clip_id", "dataset", "subject", "emotion", "label", "action_units", "cue", "frames_folder", "filename", "field",
    "found", "done", "reason", "predicted", "protocol", "side", "coding", "measure", "null", "direction",
    "action_units_coded", "action_units_sided", "action_units_intensity", "action_units_doubt",
    "spreadsheet", "sheet",
)  # fmt: skip
"""Columns that are text in every table: read as numbers, subject ``01`` would become ``1``."""


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
    ValueError
        If the name of a part is more than letters, digits, ``_`` and ``-``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     folder = write_parts(Path(root, "maps"), "Maps", Parts(arrays={"xy": np.eye(2)}))
    ...     written = sorted(path.name for path in folder.iterdir())
    >>> written
    ['record.json', 'xy.npy']
    """
    target = Path(path)
    if target.exists() and _kind_of(target) != kind:
        raise FileExistsError(f"{target} exists and is not a saved {kind}; choose another path, nothing was written")
    for name in (*parts.arrays, *parts.tables, *parts.documents):
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a part of a record; take letters, digits, _ and - alone")
    with atomic_write(target) as beside:
        for name, array in parts.arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        for name, table in parts.tables.items():
            table.to_csv(beside / f"{name}.csv", index=False)
        for name, document in parts.documents.items():
            (beside / f"{name}.json").write_text(json.dumps(document, indent=1, sort_keys=True, default=_plain) + "\n")
        head = {
            "kind": kind,
            "format": FORMAT,
            "arrays": sorted(parts.arrays),
            "tables": sorted(parts.tables),
            "documents": sorted(parts.documents),
            "text": {name: _text_columns(table) for name, table in parts.tables.items()},
            "sha256": {file.name: sha256_of_file(file) for file in sorted(beside.iterdir())},
            "meta": dict(parts.meta),
        }
        _write_head(beside, head)
    return target


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


def _write_head(folder: Path, head: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps({name: value for name, value in head.items() if name != _OWN}, default=_plain))
    (folder / "record.json").write_text(json.dumps(plain | {_OWN: _digest(plain)}, indent=1) + "\n")


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


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
    if not (source / "record.json").is_file():
        raise FileNotFoundError(f"no saved {kind} at {source}: it has no record.json")
    head = _head(source)
    if head.get("kind") != kind:
        raise ValueError(f"{source} holds a {head.get('kind')}, not a {kind}; load it with {head.get('kind')}.load")
    if head.get("format", 0) > FORMAT:
        raise ValueError(
            f"{source} was written in format {head['format']}, this version reads up to {FORMAT}; upgrade medn_lab"
        )
    mode: Literal["r"] | None = "r" if memory_map else None
    try:
        text, sums = head.get("text", {}), head.get("sha256", {}) if check else {}
        files = {
            part: {name: _file_of(source, name, suffix, sums) for name in head[part]}
            for part, suffix in (("arrays", ".npy"), ("tables", ".csv"), ("documents", ".json"))
        }
        return Parts(
            arrays={n: np.load(file, mmap_mode=mode, allow_pickle=False) for n, file in files["arrays"].items()},
            tables={n: read_table(file, text=text.get(n, ())) for n, file in files["tables"].items()},
            documents={n: json.loads(file.read_text(encoding="utf-8")) for n, file in files["documents"].items()},
            meta=dict(head["meta"]),
        )
    except RecordError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise RecordError(
            f"the {kind} at {source} is broken ({type(error).__name__}: {error}); make it again, or take a copy"
        ) from error


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


def _head(source: Path) -> dict[str, Any]:
    try:
        head = json.loads((source / "record.json").read_text(encoding="utf-8"))
        if not isinstance(head, dict) or not isinstance(head.get("format", 0), int):
            raise ValueError("it is no description of a record")
        own = head.pop(_OWN, None)
        if own is not None and own != _digest(head) and head.get("format", 0) <= FORMAT:
            raise ValueError("its sha256 differs: it was changed after it was written")
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{source / 'record.json'} cannot be read ({error}); make the record again") from error
    return head


def _file_of(source: Path, name: str, suffix: str, sums: Mapping[str, str]) -> Path:
    """A part's file, which must lie in the folder and be the one that was written."""
    file = source / f"{name}{suffix}"
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name) or file.resolve().parent != source.resolve():
        raise RecordError(f"{source} names {name!r} as a part, which leads out of its folder; it is not read")
    if not file.is_file():
        raise RecordError(f"{source} lacks {file.name}; make the record again, or take a whole copy")
    if file.name in sums and sha256_of_file(file) != sums[file.name]:
        raise RecordError(
            f"{file} is not the file that was written (its sha256 differs): it was changed, or the disk or a copy"
            " failed; make the record again, or take a whole copy"
        )
    return file


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


def _text_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table that hold text; an empty column counts as text if its name usually does."""
    return [
        str(name)
        for name, column in table.items()
        if pd.api.types.is_string_dtype(column.dtype)
        or (column.dtype == object and pd.api.types.infer_dtype(column) in ("string", "mixed"))
        or (not len(column) and name in TEXT_COLUMNS)
    ]


def read_table(path: str | os.PathLike[str], *, text: Collection[str] | None = None) -> pd.DataFrame:
    """Read a CSV table: the text columns stay text, empty cells of the others become NaN.

    Parameters
    ----------
    path : path-like
    text : collection of str, optional
        Names of the text columns; by default those of :data:`TEXT_COLUMNS`.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     file = Path(root, "clips.csv")
    ...     pd.DataFrame({"clip_id": ["a", "b"], "subject": ["01", "02"], "AU12": [1, None]}).to_csv(file)
    ...     table = read_table(file)
    >>> table["subject"].tolist(), table["AU12"].tolist()
    (['01', '02'], [1.0, nan])
    """
    named = TEXT_COLUMNS if text is None else text
    columns = pd.read_csv(path, nrows=0).columns
    texts = [name for name in columns if name in named]
    gaps = {name: [""] for name in columns if name not in named}
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=gaps)
    for name in texts:
        table[name] = table[name].astype(object)
    return table


def _kind_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / "record.json").read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        return None


def _plain(value: object) -> object:
    """What JSON can hold of a numpy number or array."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(
        f"a record's metadata holds a {type(value).__name__}, which JSON cannot; give text, numbers or lists"
    )
