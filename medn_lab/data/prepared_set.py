"""A prepared set while it grows: rows written to their place in the file, a journal of finished clips beside them.

The folder being written is hidden beside its final place and lacks ``record.json``, so that it can never be loaded;
it is renamed into place when it is whole. Rows are written to the file rather than through a memory map, because a full
disk is then an error to be caught and not a crash. One process at a time holds the folder's lock, which the system
takes back from a process that dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from medn_lab.data.clip_input import ClipInput
from medn_lab.data.crop import Detector
from medn_lab.data.recipe import FlowRecipe
from medn_lab.records import ClipIndex, Clips, Parts, note_arrays, require, write_parts

PIPELINE = 1
"""Version of the preprocessing itself: raised when the same recipe would give other numbers."""


_OTHER = {
    "pipeline": "another version of medn_lab",
    "recipe": "another recipe",
    "clips": "other clips",
    "settings": "another crop or other landmarks",
}
"""What to say where a part of the fingerprint differs."""


def fingerprint(
    index: ClipIndex, recipe: FlowRecipe, settings: Mapping[str, Any], detector: Detector
) -> dict[str, Any]:
    """What decides a prepared set's content, so that another one is never continued or opened in its stead.

    A set that was made by another detector is opened, and goes on, with that one.
    """
    names = ["clip_id", "onset", "apex", "offset", "frames_folder"]
    rows = index.table[[name for name in names if name in index.table]].to_csv(index=False)
    return {
        "pipeline": PIPELINE,
        "recipe": recipe.to_dict(),
        "clips": hashlib.sha256(rows.encode()).hexdigest(),
        "settings": hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest(),
        "detector": detector,
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
        self.types: dict[str, np.dtype] = {"frames": np.dtype(np.uint8), "flow": np.dtype(np.float32)}
        self.finished: dict[int, dict[str, Any]] = {}
        self.complete = False
        self._arrays: dict[str, np.ndarray] = {}
        self._files: dict[str, tuple[Any, int]] = {}
        self._journal: IO[bytes] | None = None
        self._lock: FileLock | None = None

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
        if path.exists() and made._is_same():
            made._open_whole()
            return made
        with made._told():
            made._take_lock()
        try:
            if path.exists():  # another process finished it between the look and the lock
                made.discard()
                made.complete = made._is_same()
            elif made._takes(made._begun_as()) and made._fits():
                made._continue()
            else:  # nothing there, or the rest of another recipe's attempt
                with made._told():
                    made._begin()
        except BaseException:
            made._release()
            raise
        return made

    def _open_whole(self) -> None:
        """The set is there; a kill just after it was finished may have left the folder it grew in."""
        self.complete = True
        if self._beside.is_dir():
            with suppress(FileExistsError, OSError):  # another process is about to take it away, or may alone do so
                self._take_lock()
                self.discard()

    def _take_lock(self) -> None:
        """Be the only process that writes the set; the lock lies in the folder being written, and goes with it.

        Raises
        ------
        FileExistsError
            If another process holds it.
        """
        while True:
            self._beside.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._beside / "lock", timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise FileExistsError(
                    f"{self.path} is being prepared by another process right now; call again when it is done,"
                    " which opens what it made, or choose another folder"
                ) from error
            except FileNotFoundError:  # taken away, between the two lines, by the process that finished it
                continue
            except NotImplementedError:  # a file system without locks
                return
            self._lock = lock
            if (self._beside / "lock").exists():
                return
            self._release()  # it was the lock of a folder that is gone

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def _folder(self) -> Path:
        return require(self.path, otherwise="this set is kept in memory; it has no folder")

    @property
    def _beside(self) -> Path:
        return self._folder.parent / f".{self._folder.name}.preparing"

    def _is_same(self) -> bool:
        try:
            head = json.loads((self._folder / "record.json").read_text())
            found = head["meta"]["prepared"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileExistsError(
                f"{self.path} exists and is no prepared set; choose another folder, nothing was written"
            ) from error
        if not self._takes(found):
            differs = [said for name, said in _OTHER.items() if found.get(name) != _plain(self.identity)[name]]
            raise FileExistsError(
                f"{self.path} was prepared with {' and '.join(differs)}; choose another folder, or remove this "
                "one to prepare anew"
            )
        return True

    def _takes(self, found: Any) -> bool:
        """Whether a fingerprint is this set's; its detector becomes this set's too."""
        if not isinstance(found, Mapping):
            return False
        found = {"detector": "lbp", **found}  # version 0.1.0 knew no other
        if found != {**_plain(self.identity), "detector": found["detector"]}:
            return False
        self.identity = {**self.identity, "detector": found["detector"]}
        return True

    def _begun_as(self) -> Any:
        """The fingerprint of what was begun; None where nothing was, or a full disk cut the note off."""
        try:
            return json.loads((self._beside / "state.json").read_text())
        except (OSError, ValueError):
            return None

    def _begin(self) -> None:
        for old in self._beside.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old.name != "lock":
                old.unlink()
        for name, shape in self.shapes.items():
            np.lib.format.open_memmap(self._beside / f"{name}.npy", mode="w+", dtype=self.types[name], shape=shape)
        (self._beside / "journal.jsonl").touch()
        (self._beside / "state.json").write_text(json.dumps(_plain(self.identity)))

    def _fits(self) -> bool:
        """Whether the files are there, with a row for every clip."""
        try:
            found = {name: np.load(self._beside / f"{name}.npy", mmap_mode="r").shape for name in self.shapes}
        except (OSError, ValueError):
            return False
        return found == self.shapes and (self._beside / "journal.jsonl").is_file()

    def _continue(self) -> None:
        for line in (self._beside / "journal.jsonl").read_text(errors="replace").splitlines():
            try:
                done = json.loads(line)
                row = done.pop("row")
                whole = "failed" in done or {"apex", "problems"} <= done.keys()
            except (ValueError, AttributeError, KeyError):  # the line that the kill cut off: that clip is made again
                continue
            if whole and isinstance(row, int) and 0 <= row < self.count:
                self.finished[row] = done

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
        with self._told():
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
        if error is not None:
            self._release()

    def put(self, row: int, made: ClipInput | str) -> None:
        """Write one clip, or why there is none, and then note that it is finished."""
        if isinstance(made, str):
            done: dict[str, Any] = {"failed": made}
        else:
            done = {"apex": made.apex, "problems": made.problems, "face": made.face}
            self._write(row, {"frames": made.frames, "flow": made.flow})
        if self._journal is not None:
            with self._told():
                _write_whole(self._journal, (json.dumps({"row": row, **done}) + "\n").encode())
        self.finished[row] = done

    def _write(self, row: int, values: Mapping[str, np.ndarray]) -> None:
        for name, value in values.items():
            if self.path is None:
                self._arrays[name][row] = value
                continue
            stream, start = self._files[name]
            content = np.ascontiguousarray(value, dtype=self.types[name]).data.cast("B")
            stream.seek(start + row * len(content))
            with self._told():
                _write_whole(stream, content)
                os.fsync(stream.fileno())  # on the disk before the journal says so

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in a sentence that the disk is full or read-only, where it is."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                said = f"{self.path} cannot be written: {self._folder.parent} is read-only or not yours"
                raise OSError(error.errno, f"{said}; choose another folder") from error
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
        try:
            with self._told():
                whole = self._described(table, problems, recipe)
                files = {name: self._beside / f"{name}.npy" for name in self.shapes}
                if len(keeps) < self.count:
                    files = {name: _keep_rows(file, whole / file.name, keeps) for name, file in files.items()}
                note_arrays(whole, files=files)
                for file in files.values():
                    _name_also(file, whole / file.name)
                for written in whole.iterdir():
                    with open(written, "rb+") as stream:
                        os.fsync(stream.fileno())
                whole.rename(self.path)  # until here a kill loses nothing: all rows and their journal are still there
        except BaseException:
            self._release()
            raise
        self.discard()
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
        return write_parts(whole, "Clips", parts)

    def discard(self) -> None:
        """Take away what was begun."""
        if self.path is not None:
            shutil.rmtree(self._beside, ignore_errors=True)
            self._release()
            shutil.rmtree(self._beside, ignore_errors=True)  # Windows keeps a lock's file as long as it is held


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _write_whole(stream: Any, content: bytes | memoryview) -> None:
    """Write to an unbuffered file until all is written; one call may stop short."""
    while len(content):
        content = content[stream.write(content) :]


def _keep_rows(file: Path, target: Path, keeps: np.ndarray) -> Path:
    """Write some rows of an array file to another, a row at a time."""
    source = np.load(file, mmap_mode="r")
    header = np.lib.format.header_data_from_array_1_0(source) | {"shape": (len(keeps), *source.shape[1:])}
    with open(target, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for row in keeps:
            stream.write(source[row].tobytes())
    return target


def _name_also(file: Path, target: Path) -> None:
    """Give a file a second name; where the file system has one name a file, move it."""
    if file == target:
        return
    try:
        target.hardlink_to(file)
    except (OSError, NotImplementedError):
        file.rename(target)
