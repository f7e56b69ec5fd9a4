"""Prepared sets: from an index of files to clips ready for the network, in parallel, resumable, in constant memory.

A set grows in a hidden folder next to its final place, which lacks ``record.json``, so that it can never be loaded;
the whole set is renamed into place. Each clip's arrays are written to their rows in the files and brought to the disk
before a line of the journal marks the clip as finished. They are written to the file rather than through a memory
map, because a full disk is then an error to be caught and not a crash. One process at a time holds the folder's lock,
which the system takes back from a process that dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from medn_lab.data.clip_input import ClipInput, CropRule, input_of_clip
from medn_lab.data.face_finders import LandmarkModel
from medn_lab.data.flow import FlowRecipe
from medn_lab.data.frames import ClipError, cv2
from medn_lab.records import ClipIndex, Clips, Parts, ViewingCopy, frames_of_strip, note_arrays, write_parts

PIPELINE = 1
"""Version of the preprocessing itself: raised when the same recipe would give other numbers."""

_PARTS = {
    "pipeline": "another version of medn_lab",
    "recipe": "another recipe",
    "clips": "other clips",
    "settings": "another crop or other landmarks",
    "viewing": "no viewing copy, or another",
}
"""Parts of a set's identity, and the fault where one differs."""

_LONGEST = 16383
"""The largest side of a WebP picture in pixels."""

OwnLandmarks = Mapping[str, np.ndarray] | str | os.PathLike[str]


def prepare(
    index: ClipIndex,
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: FlowRecipe | None = None,
    crop: CropRule = "auto",
    landmarks: OwnLandmarks | None = None,
    viewing: int | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> Clips:
    """Crop, register, compute flow, sample frames, and write a *prepared set*.

    The face is found once a clip, on its onset, and every frame cropped by that one box; frames are then registered to
    the onset, so that what moves is the face's expression and not its head. The box and the detector are in the table
    (``face_x, face_y, face_side, face_detector, face_score, n_faces``). Frames without a face and faces too many are
    rows of ``problems``; a clip whose onset or apex has no face is left out. Originals are opened read-only.

    The set is written clip by clip next to its place and moved there when it is whole, so that a set that loads is
    complete. After a kill the same call goes on where it stopped. A set that is already there is opened and nothing
    computed; labels, AUs and all else that the index holds of a clip are then the index's.

    Parameters
    ----------
    index : ClipIndex
        From one of the readers (``read_casme2`` ...).
    out : path-like, optional
        Folder of the prepared set. Without one the clips stay in memory, which suits a few hundred.
    recipe : FlowRecipe, optional
        The default recipe where none is given.
    crop : {"auto", "detect", "none"}
        ``auto`` searches the face where the index does not mark frames as cropped already.
    landmarks : mapping or path-like, optional
        Landmarks of each clip's onset instead of a detector: clip id to (k, 2) pixels, or a CSV with the columns
        ``clip_id, x, y``; or the ``.task`` file of a MediaPipe face landmarker, which then finds them (it needs ``pip
        install 'medn-lab[landmarks]'``).
    viewing : int, optional
        Side in pixels of larger frames for people, from the recipe's ``size`` to its ``compute_size``; 256 suits. The
        network never reads them; players and figures show them. A clip of 8 frames takes about 40 kB more on the disk.
        Faces that are smaller in the originals are not enlarged.
    n_jobs : int
        Processes; -1 for one a core. Inside of ``joblib.parallel_config(backend="dask")`` the clips are made by the
        cluster's workers, which must see the originals at the same paths; the set is written by the calling process.
    progress : bool
        Show a bar with clips per second.

    Returns
    -------
    Clips
        Memory-mapped and read-only where `out` is given. Clips that could not be prepared are in ``problems`` with
        ``kept`` false.

    Raises
    ------
    FileExistsError
        If `out` is another set, or no set at all, or another process is preparing it right now.
    ValueError
        If no clip at all could be prepared.
    OSError
        If the disk fills up or is read-only; what is done is kept for the next call.
    RuntimeError
        If a worker process dies; what is done is kept for the next call.

    See Also
    --------
    FlowRecipe : how frames and flow are made.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.data import read_casme2
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme2", fps=15, size=64)
    ...     clips = prepare(read_casme2(root), crop="none", progress=False)
    >>> clips.frames.shape, clips.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    recipe = (FlowRecipe() if recipe is None else recipe).usable()
    if not len(index):
        raise ValueError("the index is empty: there is no clip to prepare")
    marks, source = _landmarks(landmarks, index.table["clip_id"])
    identity = _identity(index, recipe, {"crop": crop, "landmarks": source})
    if viewing is not None:
        most = min(recipe.compute_size, _LONGEST // recipe.n_frames)
        if not recipe.size <= viewing <= most:
            raise ValueError(f"viewing must be from {recipe.size} (size) to {most} px (compute_size); it is {viewing}")
        identity["viewing"] = int(viewing)
    with PreparedSet(None if out is None else Path(out), len(index), recipe, identity) as store:
        if store.complete:
            return _coded_as(index, Clips.load(str(out)))
        from joblib import Parallel, delayed
        from tqdm.auto import tqdm

        work = delayed(partial(_made, recipe=recipe, crop=crop, viewing=viewing, alone=n_jobs != 1))
        rows = index.table.to_dict("records")
        waiting = [place for place in range(len(rows)) if place not in store.finished]
        jobs = (work(place, rows[place], landmarks=marks.get(rows[place]["clip_id"])) for place in waiting)
        # Results come one by one, in the order in which they are ready, so that none pile up in memory.
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        options = {"total": len(rows), "initial": len(rows) - len(waiting), "desc": "prepare", "unit": "clip"}
        try:
            for place, made in tqdm(parallel(jobs), disable=not progress, **options):
                store.put(place, made)
        except BrokenExecutor as error:
            raise RuntimeError(
                f"a worker process was killed, mostly for want of memory ({type(error).__name__}); with a folder what "
                "is done is kept: call prepare again, with a smaller n_jobs, which needs less"
            ) from error
        return store.close(index)


def _made(place: int, row: dict[str, Any], *, alone: bool, **options: Any) -> tuple[int, ClipInput | str]:
    """One clip's place in the set with its input, or why there is none; in a worker process OpenCV has one thread."""
    if alone:
        cv2.setNumThreads(1)
    try:
        return place, input_of_clip(row, **options)
    except ClipError as error:
        return place, str(error)


def _landmarks(given: OwnLandmarks | None, clip_ids: Iterable[str]) -> tuple[dict[str, Any], Any]:
    """Landmarks by clip id, or what finds them, and the plain values or the checksum that they are known by."""
    if isinstance(given, (str, os.PathLike)) and Path(given).suffix == ".task":
        model = LandmarkModel.open(given)
        return dict.fromkeys(clip_ids, model), model.sha256
    if isinstance(given, (str, os.PathLike)):
        table = pd.read_csv(given, dtype={"clip_id": str})
        missing = [name for name in ("clip_id", "x", "y") if name not in table]
        if missing:
            raise ValueError(f"{given} lacks {', '.join(missing)}; landmarks need the columns clip_id, x, y")
        given = {name: points[["x", "y"]].to_numpy(float) for name, points in table.groupby("clip_id")}
    points = {str(name): np.asarray(points, dtype=float) for name, points in (given or {}).items()}
    return points, {name: place.tolist() for name, place in sorted(points.items())}


def _identity(index: ClipIndex, recipe: FlowRecipe, settings: dict[str, Any]) -> dict[str, Any]:
    """What decides a set's content, so that another one is never continued or opened instead."""
    names = ["clip_id", "onset", "apex", "offset", "frames_folder"]
    rows = index.table[[name for name in names if name in index.table]].to_csv(index=False)
    identity = {
        "pipeline": PIPELINE,
        "recipe": recipe.to_dict(),
        "clips": hashlib.sha256(rows.encode()).hexdigest(),
        "settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "detector": "centerface",
    }
    return json.loads(json.dumps(identity))


def _coded_as(index: ClipIndex, clips: Clips) -> Clips:
    """A set that was there already, with what the index holds of its clips: another coding changes no frame."""
    stored = clips.table.set_index("clip_id")
    table = index.table.set_index("clip_id").loc[stored.index]
    for name in stored.columns:
        if name == "apex" or name not in table:
            table[name] = stored[name]
    problems = _joined(index.problems, clips.problems).drop_duplicates(ignore_index=True)
    return replace(clips, table=table.reset_index(), problems=problems)


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


class PreparedSet:
    """A set being prepared, on the disk or, without a path, in memory; used as a context manager.

    Attributes
    ----------
    identity : dict
        What decides the set's content.
    finished : dict
        Row to what is known of it (``apex, problems, face``, or ``failed``).
    complete : bool
        The set was already there, whole.
    """

    def __init__(self, path: Path | None, count: int, recipe: FlowRecipe, identity: dict[str, Any]) -> None:
        size = recipe.size
        self.count, self.recipe, self.identity = count, recipe, identity
        self.shapes = {"frames": (count, recipe.n_frames, size, size, 3), "flow": (count, size, size, recipe.channels)}
        self.types: dict[str, np.dtype] = {"frames": np.dtype(np.uint8), "flow": np.dtype(np.float32)}
        self.viewing: int | None = identity.get("viewing")
        self.finished: dict[int, dict[str, Any]] = {}
        self._strips: dict[int, bytes] = {}
        self.complete, self.in_memory = False, path is None
        self._lock: FileLock | None = None
        if path is None:
            self._arrays = {name: np.zeros(shape, self.types[name]) for name, shape in self.shapes.items()}
        else:
            self.path, self._growing = path, path.parent / f".{path.name}.preparing"
            self._journal = self._growing / "journal.jsonl"

    def __enter__(self) -> PreparedSet:
        """Open what is there, go on with what was begun, or begin; FileExistsError if it is something else."""
        if self.in_memory:
            return self
        try:
            if self.path.exists():
                self._open()
                if self._growing.is_dir():  # left by a kill just after the set was whole
                    with suppress(OSError):  # another process removes it just now, or only another user may
                        self._take_lock()
                        self._discard()
                return self
            with self._explained():
                self._take_lock()
                if self.path.exists():  # another process made it whole before this one had the lock
                    self._discard()
                    self._open()
                elif not self._goes_on():
                    self._begin()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _open(self) -> None:
        """See that the set which is there is this one, though another version may have found the faces otherwise."""
        try:
            found = json.loads((self.path / "record.json").read_text())["meta"]["prepared"]
            asked = {"viewing": found.get("viewing")} | self.identity
            differs = [fault for name, fault in _PARTS.items() if found.get(name) != asked[name]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileExistsError(
                f"{self.path} exists and is no prepared set; choose another folder, nothing was written"
            ) from error
        if differs or found.keys() - asked.keys():
            raise FileExistsError(
                f"{self.path} was prepared with {' and '.join(differs or [_PARTS['pipeline']])}; choose another folder,"
                " or remove this one to prepare anew"
            )
        self.complete = True

    def _take_lock(self) -> None:
        """Be the only process that writes the set; the lock lies in the folder being written, and goes with it."""
        busy = FileExistsError(
            f"{self.path} is being prepared by another process right now; call again when it is done, which opens what "
            "it made, or choose another folder"
        )
        self._growing.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._growing / "lock", timeout=0)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError) as error:
            raise busy from error
        except NotImplementedError:  # a file system without locks
            return
        self._lock = lock
        if not (self._growing / "lock").exists():  # the process that made the set whole has just removed the folder
            raise busy

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _discard(self) -> None:
        """Remove what was begun."""
        if not self.in_memory:
            shutil.rmtree(self._growing, ignore_errors=True)
            self._release()
            shutil.rmtree(self._growing, ignore_errors=True)  # Windows keeps a lock's file as long as it is held

    def _goes_on(self) -> bool:
        """Whether this very set was begun here; the finished rows of the journal are then read."""
        try:
            shapes = {name: np.load(self._growing / f"{name}.npy", mmap_mode="r").shape for name in self.shapes}
            text = self._journal.read_text(errors="replace")
            if shapes != self.shapes or json.loads((self._growing / "state.json").read_text()) != self.identity:
                return False
        except (FileNotFoundError, EOFError, ValueError):  # never begun, or cut off by a full disk
            return False
        for line in text.splitlines():
            with suppress(ValueError, AttributeError, KeyError):  # a line that a kill cut off: that clip is made again
                note = json.loads(line)
                row = note.pop("row")
                if row in range(self.count) and ("failed" in note or {"apex", "problems"} <= note.keys()):
                    self.finished[row] = note
        if text and not text.endswith("\n"):
            _write(self._journal, b"\n")
        return True

    def _begin(self) -> None:
        state = self._growing / "state.json"
        state.unlink(missing_ok=True)  # of another attempt, before its rows go
        for name, shape in self.shapes.items():
            np.lib.format.open_memmap(self._growing / f"{name}.npy", mode="w+", dtype=self.types[name], shape=shape)
        (self._growing / "viewing").mkdir(exist_ok=True)
        self._journal.write_bytes(b"")
        state.write_text(json.dumps(self.identity))

    def put(self, row: int, made: ClipInput | str) -> None:
        """Write one clip, or why there is none, and then note that it is finished."""
        note: dict[str, Any] = {"failed": made}
        values: dict[str, np.ndarray] = {}
        if isinstance(made, ClipInput):
            note = {"apex": made.apex, "problems": made.problems, "face": made.face}
            if made.strip:
                note["strip"] = hashlib.sha256(made.strip).hexdigest()
            values = {name: np.ascontiguousarray(getattr(made, name), kind) for name, kind in self.types.items()}
        strip = made.strip if isinstance(made, ClipInput) else b""
        if self.in_memory:
            for name, value in values.items():
                self._arrays[name][row] = value
            if strip:
                self._strips[row] = strip
        else:
            with self._explained():
                if strip:
                    file = _strip_file(self._growing, row)
                    file.unlink(missing_ok=True)  # half of it, left by a kill
                    _write(file, strip)
                for name, value in values.items():
                    file = self._growing / f"{name}.npy"
                    _write(file, value.data.cast("B"), at=np.load(file, mmap_mode="r").offset + row * value.nbytes)
                _write(self._journal, (json.dumps({"row": row, **note}) + "\n").encode())
        self.finished[row] = note

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise OSError with a sentence where the disk is full or read-only."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                fault = f"{self.path} cannot be written: {self.path.parent} is read-only or not yours"
                raise OSError(error.errno, f"{fault}; choose another folder") from error
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            needed = sum(math.prod(shape) * self.types[name].itemsize for name, shape in self.shapes.items())
            raise OSError(
                errno.ENOSPC,
                f"the disk is full after {len(self.finished)} of {self.count} clips; the whole set needs "
                f"{math.ceil(needed / 1e6)} MB. Make room and call prepare again: what is done is kept",
            ) from error

    def close(self, index: ClipIndex) -> Clips:
        """The clips that could be prepared; on the disk the folder gets its name now."""
        notes = [self.finished[row] for row in range(self.count)]
        keeps = np.array([row for row, note in enumerate(notes) if "failed" not in note], dtype=int)
        if not len(keeps):
            self._discard()
            raise ValueError(
                f"none of {self.count} clips could be prepared; the first, {index.table['clip_id'].iloc[0]}: "
                f"{notes[0]['failed']}"
            )
        problems = [
            {"clip_id": clip_id, **problem, "kept": "failed" not in note}
            for clip_id, note in zip(index.table["clip_id"], notes, strict=True)
            for problem in note.get("problems", [{"field": "clip", "found": note.get("failed"), "done": "left out"}])
        ]
        table = index.table.assign(apex=[note.get("apex", np.nan) for note in notes])
        faces = pd.DataFrame([note.get("face", {}) for note in notes], index=table.index)
        table[list(faces)] = faces
        table = table.iloc[keeps].reset_index(drop=True).astype({"apex": np.int64})
        tables = {"clips": table, "problems": _joined(index.problems, pd.DataFrame(problems))}
        if self.in_memory:
            parts: dict[str, Any] = {name: array[keeps] for name, array in self._arrays.items()}
            if self.viewing is not None:
                strips = (self._strips[row] for row in keeps)
                makers = tuple(partial(frames_of_strip, strip, n_frames=self.recipe.n_frames) for strip in strips)
                parts["viewing"] = ViewingCopy(self.viewing, makers)
            return Clips(**parts, table=table, recipe=self.recipe.to_dict(), problems=tables["problems"])
        with self._explained():
            self._make_whole(keeps, tables)
        self._discard()
        return Clips.load(self.path)

    def _make_whole(self, keeps: np.ndarray, tables: dict[str, pd.DataFrame]) -> None:
        whole = self._growing / "whole"
        shutil.rmtree(whole, ignore_errors=True)  # of an attempt for which the disk was too small
        documents, meta = {"recipe": self.recipe.to_dict()}, {"prepared": self.identity}
        if self.viewing is not None:
            sums = [self.finished[row]["strip"] for row in keeps]
            documents["viewing"] = {"size": self.viewing, "n_frames": self.recipe.n_frames, "sha256": sums}
        write_parts(whole, "Clips", Parts(tables=tables, documents=documents, meta=meta))
        files = {name: self._growing / f"{name}.npy" for name in self.shapes}
        if len(keeps) < self.count:
            files = {name: _keep_rows(file, whole / file.name, keeps) for name, file in files.items()}
        note_arrays(whole, files=files)
        for file in files.values():
            if file.parent != whole:
                _link(file, whole / file.name)
        if self.viewing is not None:
            (whole / "viewing").mkdir()
            for place, row in enumerate(keeps):
                _link(_strip_file(self._growing, row), _strip_file(whole, place))
        for written in filter(Path.is_file, whole.iterdir()):
            with open(written, "rb+") as stream:
                os.fsync(stream.fileno())
        whole.rename(self.path)  # until here a kill loses nothing: all rows and their journal are still there


def _strip_file(folder: Path, row: int) -> Path:
    return folder / "viewing" / f"{row:06d}.webp"


def _link(file: Path, target: Path) -> None:
    """Give a file a second name."""
    try:
        target.hardlink_to(file)
    except (OSError, NotImplementedError):  # the file system has one name a file
        file.rename(target)


def _write(file: Path, content: bytes | memoryview, *, at: int | None = None) -> None:
    """Write to a place in a file, or to its end, and bring it to the disk."""
    with open(file, "ab" if at is None else "r+b") as stream:
        if at is not None:
            stream.seek(at)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _keep_rows(file: Path, target: Path, keeps: np.ndarray) -> Path:
    """Write some rows of an array file to another, a row at a time."""
    source = np.load(file, mmap_mode="r")
    header = np.lib.format.header_data_from_array_1_0(source) | {"shape": (len(keeps), *source.shape[1:])}
    with open(target, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for row in keeps:
            stream.write(source[row].tobytes())
    return target
