"""Prepared sets: clips for the network, made from an index of files in parallel, resumable, in constant memory.

A set is made in a hidden folder next to its final path, one file for each finished clip. Each file is synced to the
disk before it gets its name, so that a kill loses only the clips that were being made. When all clips are finished, the
set is written next to them and renamed to its path, so that a set that loads is complete. One process at a time holds
the folder's lock; the system releases the lock of a process that dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from medn_lab.data.clip_input import CropRule, input_of_clip
from medn_lab.data.crop import FaceBox
from medn_lab.data.flow import FlowRecipe
from medn_lab.data.frames import ClipError
from medn_lab.data.index import problem_table
from medn_lab.records import ClipIndex, Clips, ViewingCopy, describe_parts, frames_of_strip
from medn_lab.records.storage import DISK_FAULTS

PIPELINE = 1
"""Version of the preprocessing itself: raised when the same recipe would give other numbers."""

Finished: TypeAlias = dict[int, tuple[dict[str, Any], Path | dict[str, np.ndarray]]]
"""Row of the index to the note of its clip, and its arrays or the file that holds them."""

_BUSY = "{} is being prepared by another process right now; call again when it is done, or choose another folder"


def prepare(
    index: ClipIndex, out: str | os.PathLike[str] | None = None, *, recipe: FlowRecipe | None = None,
    crop: CropRule = "auto", landmarks: Mapping[str, np.ndarray] | None = None, viewing: int | None = None,
    n_jobs: int = 1, progress: bool = True,
) -> Clips:  # fmt: skip
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
    landmarks : mapping, optional
        Landmarks of a clip's onset in place of the detector: clip id to (k, 2) pixels (:meth:`FaceBox.of_landmarks`).
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
    recipe = FlowRecipe() if recipe is None else recipe
    if not len(index):
        raise ValueError("the index is empty: there is no clip to prepare")
    boxes = {str(name): FaceBox.of_landmarks(points) for name, points in (landmarks or {}).items()}
    marks = {str(name): np.asarray(points, dtype=float).tolist() for name, points in sorted((landmarks or {}).items())}
    settings: dict[str, Any] = {"crop": crop, "landmarks": marks}
    if marks and recipe.align == "eyes":
        settings["outline"] = "ellipse"  # 0.1.0 took that of the landmarks
    names = [name for name in ("clip_id", "onset", "apex", "offset", "frames_folder") if name in index.table]
    # What decides a set's content, so that another one is never continued or opened instead.
    identity: dict[str, Any] = {
        "pipeline": PIPELINE,
        "recipe": recipe.to_dict(),
        "clips": hashlib.sha256(index.table[names].to_csv(index=False).encode()).hexdigest(),
        "settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "detector": "centerface",
    }
    if viewing is not None:
        most = min(recipe.compute_size, 16383 // recipe.n_frames)  # the largest side of a WebP picture
        if not recipe.size <= viewing <= most:
            raise ValueError(f"viewing must be from {recipe.size} (size) to {most} px (compute_size); it is {viewing}")
        identity["viewing"] = int(viewing)
    path = None if out is None else Path(out)
    if path is not None and path.exists():
        return _opened(index, path, identity)
    finished: Finished = {}
    with nullcontext() if path is None else _growing(path, identity, finished, len(index)) as folder:
        from joblib import Parallel, delayed
        from tqdm.auto import tqdm

        work = delayed(partial(_made, recipe=recipe, crop=crop, viewing=viewing, alone=n_jobs != 1))
        rows = index.table.to_dict("records")
        waiting = [place for place in range(len(rows)) if place not in finished]
        jobs = (work(place, rows[place], box=boxes.get(rows[place]["clip_id"])) for place in waiting)
        # Results come one by one, in the order in which they are ready, so that none pile up in memory.
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        options = {"total": len(rows), "initial": len(rows) - len(waiting), "desc": "prepare", "unit": "clip"}
        try:
            for place, note, arrays in tqdm(parallel(jobs), disable=not progress, **options):
                file = None if folder is None else folder / f"{place:06d}.npz"
                if file is not None:
                    with open(file.with_name("draft"), "wb") as stream:
                        np.savez(stream, note=np.array(json.dumps(note)), **arrays)
                        stream.flush()
                        os.fsync(stream.fileno())
                    file.with_name("draft").replace(file)
                finished[place] = note, arrays if file is None else file
        except BrokenExecutor as error:
            fault = f"a worker process was killed ({type(error).__name__}), mostly because memory ran out"
            raise RuntimeError(f"{fault}; call again with a smaller n_jobs: what is in `out` is kept") from error
        return _of_finished(index, finished, recipe, identity, path)


def _made(
    place: int, row: dict[str, Any], *, alone: bool, **options: Any
) -> tuple[int, dict[str, Any], dict[str, np.ndarray]]:
    """One clip's place in the set, its note and its arrays; in a worker process OpenCV has one thread."""
    if alone:
        cv2.setNumThreads(1)
    try:
        note, arrays = input_of_clip(row, **options)
    except ClipError as error:
        return place, {"problems": [("clip", str(error), "left out")]}, {}
    return place, note | {"strip": hashlib.sha256(arrays["strip"].tobytes()).hexdigest()}, arrays


def _opened(index: ClipIndex, path: Path, identity: dict[str, Any]) -> Clips:
    """The set that is there, if it is this one, with what the index holds of its clips.

    Another coding changes no frame, and another version may have found the faces with another detector.
    """
    try:
        found = json.loads((path / "record.json").read_text())["meta"]["prepared"]
        asked = {"viewing": found.get("viewing")} | identity
        differs = [name for name in asked if name != "detector" and found.get(name) != asked[name]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileExistsError(f"{path} exists and is no prepared set; choose another folder") from error
    if differs:
        what = f"{', '.join(differs)} (settings: crop and landmarks; pipeline: the version of medn_lab)"
        raise FileExistsError(f"{path} is another set: it differs in {what}; choose another folder, or remove this one")
    shutil.rmtree(_hidden(path), ignore_errors=True)  # left by a kill just after the set was whole
    clips = Clips.load(path)
    stored = clips.table.set_index("clip_id")
    table = index.table.set_index("clip_id").loc[stored.index]
    news = [name for name in stored.columns if name == "apex" or name not in table]
    problems = problem_table([], index.problems, clips.problems).drop_duplicates(ignore_index=True)
    return replace(clips, table=table.assign(**stored[news]).reset_index(), problems=problems)


def _hidden(path: Path) -> Path:
    return path.parent / f".{path.name}.preparing"


@contextmanager
def _growing(path: Path, identity: dict[str, Any], finished: Finished, count: int) -> Iterator[Path]:
    """The hidden folder in which a set is made, for this process alone; `finished` gets its clips.

    It goes once the set is in its place. OSError with a sentence where the disk is full or read-only.
    """
    folder = _hidden(path)
    state, begun, lock = folder / "state.json", None, FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with suppress(NotImplementedError):  # a file system without locks
                lock.acquire()
        except (Timeout, FileNotFoundError) as error:
            raise FileExistsError(_BUSY.format(path)) from error
        if path.exists():  # another process made it whole before this one had the lock
            raise FileExistsError(_BUSY.format(path))
        with suppress(OSError, ValueError):  # never begun, or cut off by a full disk
            begun = json.loads(state.read_text())
        if begun != identity:
            state.unlink(missing_ok=True)  # of another attempt, before its clips go
            for file in folder.glob("*.npz"):
                file.unlink()
            state.write_text(json.dumps(identity))
        for file in sorted(folder.glob("*.npz")):
            note = json.loads(str(np.load(file)["note"]))
            if "problems" in note:  # 0.1.0 wrote other notes of clips that failed: these are tried again
                finished[int(file.stem)] = note, file
        yield folder
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        fault = DISK_FAULTS[error.errno].format(path)
        raise OSError(error.errno, f"{fault}; {len(finished)} of {count} clips are finished and kept") from error
    finally:
        lock.release()  # first: Windows keeps a lock's file as long as it is held
        if path.exists():
            shutil.rmtree(folder, ignore_errors=True)


def _of_finished(
    index: ClipIndex, finished: Finished, recipe: FlowRecipe, identity: dict[str, Any], path: Path | None
) -> Clips:
    """The clips that could be prepared, in memory or written to `path`."""
    notes = [finished[row][0] for row in range(len(index))]
    keeps = [row for row, note in enumerate(notes) if "apex" in note]
    ids, viewing = index.table["clip_id"], identity.get("viewing")
    if not keeps:
        if path is not None:
            shutil.rmtree(_hidden(path), ignore_errors=True)
        first = notes[0]["problems"][0][1]
        raise ValueError(f"no clip (of {len(notes)}) could be prepared; the first, {ids.iloc[0]}: {first}")
    found = [(clip_id, *one) for clip_id, note in zip(ids, notes, strict=True) for one in note["problems"]]
    problems = problem_table(found, index.problems)
    table = index.table.assign(apex=[note.get("apex", np.nan) for note in notes])
    table = table.assign(**pd.DataFrame([note.get("face", {}) for note in notes], index=table.index))
    table = table.iloc[keeps].reset_index(drop=True).astype({"apex": np.int64})

    def part(row: int, name: str) -> np.ndarray:
        arrays = finished[row][1]
        if isinstance(arrays, Path):
            with np.load(arrays) as file:
                return file[name]
        return arrays[name]

    if path is None:
        frames, flow = (np.stack([part(row, name) for row in keeps]) for name in ("frames", "flow"))
        strips = [part(row, "strip").tobytes() for row in keeps]
        makers = tuple(partial(frames_of_strip, strip, n_frames=recipe.n_frames) for strip in strips)
        copy = None if viewing is None else ViewingCopy(viewing, makers)
        return Clips(frames, flow, table, recipe=recipe.to_dict(), problems=problems, viewing=copy)
    documents: dict[str, Any] = {"recipe": recipe.to_dict()}
    if viewing is not None:
        sums = [notes[row]["strip"] for row in keeps]
        documents["viewing"] = {"size": viewing, "n_frames": recipe.n_frames, "sha256": sums}
    tables = {"clips": table, "problems": problems}
    parts = {"tables": tables, "documents": documents, "meta": {"prepared": identity}}
    whole = _hidden(path) / "whole"
    shutil.rmtree(whole, ignore_errors=True)  # of an attempt for which the disk was too small
    whole.mkdir()
    for name in ("frames", "flow"):  # row by row, not through a memory map: a full disk is then an error and no crash
        one = part(keeps[0], name)
        kind = {"descr": np.lib.format.dtype_to_descr(one.dtype), "fortran_order": False}
        with open(whole / f"{name}.npy", "wb") as array:
            np.lib.format.write_array_header_1_0(array, kind | {"shape": (len(keeps), *one.shape)})
            array.writelines(part(row, name).tobytes() for row in keeps)
    describe_parts(whole, kind="Clips", parts=parts)
    if viewing is not None:
        (whole / "viewing").mkdir()
        for place, row in enumerate(keeps):
            (whole / "viewing" / f"{place:06d}.webp").write_bytes(part(row, "strip").tobytes())
    for written in filter(Path.is_file, whole.rglob("*")):
        with open(written, "rb+") as stream:
            os.fsync(stream.fileno())
    whole.rename(path)  # until here a kill loses nothing: all clips are still there
    return Clips.load(path)
