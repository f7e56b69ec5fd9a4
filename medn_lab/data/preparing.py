"""From an index of files to clips ready for the network: in parallel, resumable, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.clip_input import ClipError, ClipInput, CropRule, input_of_clip
from medn_lab.data.crop import Detector, default_detector
from medn_lab.data.flow import usable_method
from medn_lab.data.landmark_model import TASK_SUFFIX, LandmarkModel
from medn_lab.data.prepared_set import PreparedSet, fingerprint
from medn_lab.data.recipe import FlowRecipe
from medn_lab.records import ClipIndex, Clips

Landmarks = Mapping[str, np.ndarray]


def prepare(
    index: ClipIndex,
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: FlowRecipe | None = None,
    crop: CropRule = "auto",
    landmarks: Landmarks | str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> Clips:
    """Crop, register, compute flow, sample frames, and write a *prepared set*.

    The face is found once a clip, on its onset, and every frame cropped by that one box; frames are then registered to
    the onset, so that what moves is the face's expression and not its head. The box and the detector are in the table
    (``face_x, face_y, face_side, face_detector, face_score, n_faces``). Frames without a face and faces too many are
    rows of ``problems``; a clip whose onset or apex has no face is left out. Originals are opened read-only.

    The set is written clip by clip beside its place and moved there when it is whole, so that a set that loads is
    complete. After a kill the same call goes on where it stopped. Asked for a set that is already there, it is
    opened and nothing computed; labels, AUs and whatever else the index says of a clip are then the index's.

    Parameters
    ----------
    index : ClipIndex
        From one of the readers (``read_casme2`` ...).
    out : path-like, optional
        Folder of the prepared set. Without one the clips stay in memory, which suits a few hundred.
    recipe : FlowRecipe, optional
        The default recipe where none is given.
    crop : {"auto", "detect", "none"}
        ``auto`` searches the face where the index does not say that frames are cropped already.
    landmarks : mapping or path-like, optional
        Own landmarks of each clip's onset instead of a detector: clip id to (k, 2) pixels, or a CSV with the columns
        ``clip_id, x, y``; or the ``.task`` file of a MediaPipe face landmarker, which then finds them (it needs ``pip
        install 'medn-lab[landmarks]'``).
    n_jobs : int
        Processes; -1 for one a core. Inside of ``joblib.parallel_config(backend="dask")`` the clips are made by the
        cluster's workers, which must see the originals at the same paths; the set is written here.
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
    recipe = replace(recipe, method=usable_method(recipe.method))
    if not len(index):
        raise ValueError("the index is empty: there is no clip to prepare")
    points = _landmarks(landmarks)
    if out is not None:
        if isinstance(points, LandmarkModel):
            told: Any = points.sha256
        else:
            told = {name: place.tolist() for name, place in sorted(points.items())}
        identity = fingerprint(index, recipe, {"crop": crop, "landmarks": told}, default_detector())
        store = PreparedSet.open(Path(out), len(index), recipe, identity)
        if store.complete:
            return _coded_as(index, Clips.load(out))
    else:
        store = PreparedSet.in_memory(len(index), recipe)
    detector = store.identity.get("detector") or default_detector()  # a set that was begun goes on with its own
    waiting = [place for place in range(len(index)) if place not in store.finished]
    rows = index.table.to_dict("records")
    jobs = (
        (place, rows[place], recipe, crop, _landmarks_of(points, rows[place]["clip_id"]), detector) for place in waiting
    )
    with store, _bar(len(index), len(index) - len(waiting), progress) as bar:
        for place, made in _results(jobs, n_jobs):
            store.put(place, made)
            bar.update()
    return _finished(store, index, recipe)


def _work(
    place: int,
    row: dict[str, Any],
    recipe: FlowRecipe,
    crop: CropRule,
    points: np.ndarray | LandmarkModel | None,
    detector: Detector,
) -> tuple[int, ClipInput | str]:
    try:
        return place, input_of_clip(row, recipe=recipe, crop=crop, landmarks=points, detector=detector)
    except ClipError as error:
        return place, str(error)


def _results(jobs: Iterator[tuple], n_jobs: int) -> Iterator[tuple[int, ClipInput | str]]:
    if n_jobs == 1:
        for job in jobs:
            yield _work(*job)
        return
    from joblib import Parallel, delayed

    # Results are handed over one by one, in the order in which they are ready, so that none pile up in memory.
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
    try:
        yield from parallel(delayed(_work_alone)(*job) for job in jobs)
    except BrokenExecutor as error:
        raise RuntimeError(
            f"a worker process was killed, mostly for want of memory ({type(error).__name__}); with a folder what is"
            " done is kept: call prepare again, with a smaller n_jobs, which needs less"
        ) from error


def _work_alone(*job: Any) -> tuple[int, ClipInput | str]:
    from medn_lab.data.opencv import cv2

    cv2.setNumThreads(1)  # one thread a process: more only get in each other's way
    return _work(*job)


def _bar(total: int, initial: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=initial, desc="prepare", unit="clip", disable=not progress)


def _landmarks(landmarks: Landmarks | str | os.PathLike[str] | None) -> dict[str, np.ndarray] | LandmarkModel:
    if landmarks is None:
        return {}
    if isinstance(landmarks, Mapping):
        return {str(name): np.asarray(points, dtype=float) for name, points in landmarks.items()}
    if Path(landmarks).suffix == TASK_SUFFIX:
        return LandmarkModel.open(landmarks)
    table = pd.read_csv(landmarks, dtype={"clip_id": str})
    missing = [name for name in ("clip_id", "x", "y") if name not in table]
    if missing:
        raise ValueError(f"{landmarks} lacks {', '.join(missing)}; landmarks need the columns clip_id, x, y")
    return {name: points[["x", "y"]].to_numpy(float) for name, points in table.groupby("clip_id")}


def _landmarks_of(points: dict[str, np.ndarray] | LandmarkModel, clip_id: str) -> np.ndarray | LandmarkModel | None:
    return points if isinstance(points, LandmarkModel) else points.get(clip_id)


def _finished(store: PreparedSet, index: ClipIndex, recipe: FlowRecipe) -> Clips:
    table, problems = index.table.copy(), [index.problems]
    failed = []
    for place, done in sorted(store.finished.items()):
        clip_id = table["clip_id"].iloc[place]
        if "failed" in done:
            failed.append(place)
            found = {"field": "clip", "found": done["failed"], "done": "left out"}
            problems.append(pd.DataFrame([{"clip_id": clip_id, **found, "kept": False}]))
        elif done["problems"]:
            problems.append(pd.DataFrame([{"clip_id": clip_id, **one, "kept": True} for one in done["problems"]]))
    if len(failed) == len(index):
        store.discard()
        raise ValueError(
            f"none of {len(index)} clips could be prepared; the first, {table['clip_id'].iloc[0]}: "
            f"{store.finished[0]['failed']}"
        )
    table["apex"] = [store.finished[place].get("apex", np.nan) for place in range(len(index))]
    faces = pd.DataFrame([store.finished[place].get("face", {}) for place in range(len(index))], index=table.index)
    table[list(faces)] = faces
    keeps = np.setdiff1d(np.arange(len(index)), failed)
    table = table.iloc[keeps].reset_index(drop=True)
    table["apex"] = table["apex"].astype(np.int64)
    return store.close(keeps, table, _joined(problems), recipe.to_dict())


def _coded_as(index: ClipIndex, clips: Clips) -> Clips:
    """A set that was there already, with what the index says of its clips: another coding changes no frame."""
    stored = clips.table.set_index("clip_id")
    table = index.table.set_index("clip_id").loc[stored.index]
    for name in stored.columns:
        if name == "apex" or name not in table:
            table[name] = stored[name]
    problems = pd.concat([part for part in (index.problems, clips.problems) if len(part)] or [index.problems])
    return replace(clips, table=table.reset_index(), problems=problems.drop_duplicates(ignore_index=True))


def _joined(problems: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in problems if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else problems[0]
