"""How clips reach the processes that work on folds: memory-mapped files by name, everything else once."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records import Clips, no_problems


class SharedClips:
    """Clips of which every fold takes its part.

    A prepared set stays on the disk: only the names of its files travel, and each worker opens them for itself. (loky
    does the same with arrays in memory, through a temporary file.) What is true of synthetic clips does not travel.

    Parameters
    ----------
    clips : Clips
    table : DataFrame
        The rows that take part, with their labels; its clip ids are among those of `clips`.
    """

    def __init__(self, clips: Clips, table: pd.DataFrame) -> None:
        self.clips = replace(clips, truth=None, problems=no_problems())
        self.table = table.reset_index(drop=True)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, clip_ids: Iterable[str]) -> Clips:
        """The named clips in the order of the table, with its labels."""
        return self.clips.with_table(self.table[self.table["clip_id"].isin(set(clip_ids))])

    def fingerprint(self) -> str:
        """The sha256 of the table and of every pixel that takes part."""
        digest = hashlib.sha256(self.table.to_csv(index=False).encode())
        rows = pd.Index(self.clips.table["clip_id"]).get_indexer(self.table["clip_id"])
        for array in (self.clips.frames, self.clips.flow):
            if array is None:
                digest.update(b"none")
                continue
            digest.update(f"{array.dtype} {array.shape[1:]}".encode())
            for start in range(0, len(rows), 64):
                digest.update(np.ascontiguousarray(array[rows[start : start + 64]]).tobytes())
        return digest.hexdigest()

    def doubles(self) -> list[list[str]]:
        """Clips whose pixels and flow are the same to the last bit, the ids of each group."""
        rows = pd.Index(self.clips.table["clip_id"]).get_indexer(self.table["clip_id"])
        arrays = [array for array in (self.clips.frames, self.clips.flow) if array is not None]
        alike: dict[bytes, list[str]] = {}
        for name, row in zip(self.table["clip_id"], rows, strict=True):
            digest = hashlib.sha256(b"".join(np.ascontiguousarray(array[row]).tobytes() for array in arrays)).digest()
            alike.setdefault(digest, []).append(name)
        return [names for names in alike.values() if len(names) > 1]

    def __getstate__(self) -> dict[str, Any]:
        arrays = {name: _by_name(getattr(self.clips, name)) for name in ("frames", "flow")}
        return {"arrays": arrays, "clips": self.clips.table, "recipe": dict(self.clips.recipe), "table": self.table}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays: dict[str, Any] = {name: _opened(value) for name, value in state["arrays"].items()}
        self.clips = Clips(**arrays, table=state["clips"], recipe=state["recipe"])
        self.table = state["table"]


def _by_name(array: np.ndarray | None) -> np.ndarray | dict[str, Any] | None:
    """A whole memory-mapped file as its name and layout; any other array as it is."""
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or array.filename is None:
        return array  # a part of a file, or no file
    if not array.flags["C_CONTIGUOUS"]:
        return array
    return {"filename": str(array.filename), "dtype": array.dtype.str, "shape": array.shape, "offset": array.offset}


def _opened(value: np.ndarray | dict[str, Any] | None) -> np.ndarray | None:
    return np.memmap(mode="r", **value) if isinstance(value, dict) else value
