"""A prepared set while it grows: rows written to their place in the file, a journal of finished clips beside them.

The folder being written is hidden beside its final place and lacks ``record.json``, so that it can never be loaded;
it is renamed into place when it is whole. Rows are written to the file rather than through a memory map, because a full
disk is then an error to be caught and not a crash.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.clip_input import ClipInput
from medn_lab.data.recipe import FlowRecipe
from medn_lab.records import ClipIndex, Clips, Parts, write_parts

PIPELINE = 1
"""Version of the preprocessing itself: raised when the same recipe would give other numbers."""


_OTHER = {
    "pipeline": "another version of medn_lab",
    "recipe": "another recipe",
    "clips": "other clips",
    "settings": "another crop or other landmarks",
}
"""What to say where a part of the fingerprint differs."""


def fingerprint(index: ClipIndex, recipe: FlowRecipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a prepared set's content, so that another one is never continued or opened in its stead."""
    names = ["clip_id", "onset", "apex", "offset", "frames_folder"]
    rows = index.table[[name for name in names if name in index.table]].to_csv(index=False)
    return {
        "pipeline": PIPELINE,
        "recipe": recipe.to_dict(),
        "clips": hashlib.sha256(rows.encode()).hexdigest(),
        "settings": hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest(),
    }


class PreparedSet:
    """Arrays of a set being prepared, on the disk or in memory; used as a context manager.

    Attributes
    ----------
    finished : dict
        Row to what is known of it (``apex, problems``, or ``failed``).
    complete : bool
        The set was already there, whole.
    """

    def __init__(self, path: Path | None, count: int, recipe: FlowRecipe, identity: Mapping[str, Any]) -> None:
        size = recipe.size
        self.path, self.count, self.identity = path, count, identity
        self.shapes = {"frames": (count, recipe.n_frames, size, size, 3), "flow": (count, size, size, recipe.channels)}
        self.types = {"frames": np.dtype(np.uint8), "flow": np.dtype(np.float32)}
        self.finished: dict[int, dict[str, Any]] = {}
        self.complete = False
        self._arrays: dict[str, np.ndarray] = {}
        self._files: dict[str, tuple[Any, int]] = {}
        self._journal = None

    @classmethod
    def in_memory(cls, count: int, recipe: FlowRecipe) -> PreparedSet:
        """A set that never reaches the disk."""
        made = cls(None, count, recipe, {})
        made._arrays = {name: np.zeros(shape, made.types[name]) for name, shape in made.shapes.items()}
        return made

    @classmethod
    def open(cls, path: Path, count: int, recipe: FlowRecipe, identity: Mapping[str, Any]) -> PreparedSet:
        """A set at `path`: already whole, begun and to be continued, or new.

        Raises
        ------
        FileExistsError
            If something else is at `path`: another recipe's set, other clips', or no set at all.
        """
        made = cls(path, count, recipe, identity)
        if path.exists():
            made.complete = made._is_same()
            return made
        if made._begun_as() == _plain(identity) and made._fits():
            made._continue()
        else:  # nothing there, or the rest of another recipe's attempt
            shutil.rmtree(made._beside, ignore_errors=True)
            with made._enough_room():
                made._begin()
        return made

    @property
    def _beside(self) -> Path:
        return self.path.parent / f".{self.path.name}.preparing"

    def _is_same(self) -> bool:
        try:
            head = json.loads((self.path / "record.json").read_text())
            found = head["meta"]["prepared"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileExistsError(
                f"{self.path} exists and is no prepared set; choose another folder, nothing was written"
            ) from error
        if found != _plain(self.identity):
            differs = [_OTHER[name] for name in self.identity if found.get(name) != _plain(self.identity)[name]]
            raise FileExistsError(
                f"{self.path} was prepared with {' and '.join(differs)}; choose another folder, or remove this "
                "one to prepare anew"
            )
        return True

    def _begun_as(self) -> Any:
        """The fingerprint of what was begun; None where nothing was, or a full disk cut the note off."""
        try:
            return json.loads((self._beside / "state.json").read_text())
        except (OSError, ValueError):
            return None

    def _begin(self) -> None:
        self._beside.mkdir(parents=True)
        for name, shape in self.shapes.items():
            np.lib.format.open_memmap(self._beside / f"{name}.npy", mode="w+", dtype=self.types[name], shape=shape)
        (self._beside / "journal.jsonl").touch()
        (self._beside / "state.json").write_text(json.dumps(_plain(self.identity)))

    def _fits(self) -> bool:
        """Whether the files still have a row for every clip; a kill while leaving rows out may have shortened one."""
        files = {name: self._beside / f"{name}.npy" for name in self.shapes}
        return all(file.is_file() and np.load(file, mmap_mode="r").shape == self.shapes[n] for n, file in files.items())

    def _continue(self) -> None:
        for line in (self._beside / "journal.jsonl").read_text().splitlines():
            try:
                done = json.loads(line)
            except ValueError:  # the line that the kill cut off: that clip is made again
                continue
            self.finished[done.pop("row")] = done

    def __enter__(self) -> PreparedSet:
        if self.path is None:
            return self
        for name in self.shapes:
            stream = open(self._beside / f"{name}.npy", "r+b", buffering=0)
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            self._files[name] = (stream, stream.tell())
        journal, anew = self._beside / "journal.jsonl", self._beside / "journal.anew"
        whole = "".join(json.dumps({"row": row, **done}) + "\n" for row, done in self.finished.items())
        with self._enough_room():
            anew.write_text(whole)  # without a line that was cut off
        anew.replace(journal)
        self._journal = open(journal, "ab", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream, _ in self._files.values():
            stream.close()
        self._files = {}
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def put(self, row: int, made: ClipInput | str) -> None:
        """Write one clip, or why there is none, and then note that it is finished."""
        if isinstance(made, str):
            done: dict[str, Any] = {"failed": made}
        else:
            done = {"apex": made.apex, "problems": made.problems}
            self._write(row, {"frames": made.frames, "flow": made.flow})
        if self._journal is not None:
            with self._enough_room():
                _write_whole(self._journal, (json.dumps({"row": row, **done}) + "\n").encode())
        self.finished[row] = done

    def _write(self, row: int, values: Mapping[str, np.ndarray]) -> None:
        for name, value in values.items():
            if self.path is None:
                self._arrays[name][row] = value
                continue
            stream, start = self._files[name]
            content = memoryview(np.ascontiguousarray(value, dtype=self.types[name])).cast("B")
            stream.seek(start + row * len(content))
            with self._enough_room():
                _write_whole(stream, content)
                os.fsync(stream.fileno())  # on the disk before the journal says so

    @contextmanager
    def _enough_room(self) -> Iterator[None]:
        """Say in a sentence that the disk is full, where it is."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            needed = sum(int(np.prod(shape)) * self.types[name].itemsize for name, shape in self.shapes.items())
            raise OSError(
                errno.ENOSPC,
                f"the disk is full after {len(self.finished)} of {self.count} clips; the whole set needs "
                f"{math.ceil(needed / 1e6)} MB. Make room and call prepare again: what is done is kept",
            ) from error

    def close(self, keeps: np.ndarray, table: pd.DataFrame, problems: pd.DataFrame, recipe: Mapping[str, Any]) -> Clips:
        """The rows that are kept as Clips; on the disk the folder gets its name now."""
        if self.path is None:
            arrays = {name: array[keeps] for name, array in self._arrays.items()}
            return Clips(**arrays, table=table, recipe=recipe, problems=problems)
        with self._enough_room():
            whole = self._described(table, problems, recipe)
            if len(keeps) < self.count:
                for name in self.shapes:
                    _keep_rows(self._beside / f"{name}.npy", keeps)
        (self._beside / "state.json").unlink()  # from here on there is nothing to be continued
        for name in self.shapes:
            (self._beside / f"{name}.npy").rename(whole / f"{name}.npy")
        for written in whole.iterdir():
            with open(written, "rb+") as stream:
                os.fsync(stream.fileno())
        whole.rename(self.path)
        shutil.rmtree(self._beside)
        return Clips.load(self.path)

    def _described(self, table: pd.DataFrame, problems: pd.DataFrame, recipe: Mapping[str, Any]) -> Path:
        """A folder with all of the record but its arrays."""
        parts = Parts(
            tables={"clips": table, "problems": problems},
            documents={"recipe": dict(recipe)},
            meta={"prepared": _plain(self.identity)},
        )
        whole = self._beside / "whole"
        shutil.rmtree(whole, ignore_errors=True)  # of an attempt for which the disk was too small
        write_parts(whole, "Clips", parts)
        head = json.loads((whole / "record.json").read_text())
        head["arrays"] = sorted(self.shapes)
        (whole / "record.json").write_text(json.dumps(head, indent=1) + "\n")
        return whole

    def discard(self) -> None:
        """Take away what was begun."""
        if self.path is not None:
            shutil.rmtree(self._beside, ignore_errors=True)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _write_whole(stream: Any, content: bytes | memoryview) -> None:
    """Write to an unbuffered file until all is written; one call may stop short."""
    while len(content):
        content = content[stream.write(content) :]


def _keep_rows(file: Path, keeps: np.ndarray) -> None:
    """Rewrite an array file with some of its rows, a row at a time."""
    source = np.load(file, mmap_mode="r")
    beside = file.with_suffix(".kept")
    header = np.lib.format.header_data_from_array_1_0(source) | {"shape": (len(keeps), *source.shape[1:])}
    with open(beside, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for row in keeps:
            stream.write(source[row].tobytes())
    del source
    beside.replace(file)
