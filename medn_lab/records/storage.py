"""How every record reaches the disk and comes back: one folder a record, no pickles.

A folder holds ``record.json`` (kind, format, metadata), one ``.npy`` an array, one ``.csv`` a table and one ``.json`` a
document. It is written beside its place and renamed into it, so that a half-written folder never carries the name.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FORMAT = 1
"""Version of the folder layout; a reader refuses a newer one."""

TEXT_COLUMNS = (
    "clip_id", "dataset", "subject", "emotion", "label", "action_units", "cue", "frames_folder", "filename", "field",
    "found", "done", "reason", "predicted", "protocol", "side", "coding", "measure", "null", "direction",
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
    """
    target = Path(path)
    if target.exists() and _kind_of(target) != kind:
        raise FileExistsError(f"{target} exists and is not a saved {kind}; choose another path, nothing was written")
    with whole_folder(target) as beside:
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
            "meta": dict(parts.meta),
        }
        (beside / "record.json").write_text(json.dumps(head, indent=1, default=_plain) + "\n")
    return target


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
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
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield beside
        for written in beside.rglob("*"):
            if written.is_file():
                with open(written, "rb+") as stream:
                    os.fsync(stream.fileno())
        beside.chmod(0o755)
        if target.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            target.rename(replaced / target.name)
            beside.rename(target)
            shutil.rmtree(replaced)
        else:
            beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def read_parts(path: str | os.PathLike[str], kind: str, *, memory_map: bool = False) -> Parts:
    """Read a record's folder back.

    Parameters
    ----------
    path : path-like
        A folder written by :func:`write_parts`.
    kind : str
        The class name expected.
    memory_map : bool
        Open the arrays read-only on the disk instead of loading them.

    Returns
    -------
    Parts

    Raises
    ------
    FileNotFoundError
        If there is no record at `path`.
    ValueError
        If the folder holds another kind of record, or one of a newer format.
    """
    source = Path(path)
    if not (source / "record.json").is_file():
        raise FileNotFoundError(f"no saved {kind} at {source}: it has no record.json")
    head = json.loads((source / "record.json").read_text())
    if head.get("kind") != kind:
        raise ValueError(f"{source} holds a {head.get('kind')}, not a {kind}; load it with {head.get('kind')}.load")
    if head.get("format", 0) > FORMAT:
        raise ValueError(
            f"{source} was written in format {head['format']}, this version reads up to {FORMAT}; upgrade medn_lab"
        )
    mode = "r" if memory_map else None
    text = head.get("text", {})
    return Parts(
        arrays={n: np.load(source / f"{n}.npy", mmap_mode=mode, allow_pickle=False) for n in head["arrays"]},
        tables={n: read_table(source / f"{n}.csv", text=text.get(n, ())) for n in head["tables"]},
        documents={n: json.loads((source / f"{n}.json").read_text()) for n in head["documents"]},
        meta=head["meta"],
    )


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
