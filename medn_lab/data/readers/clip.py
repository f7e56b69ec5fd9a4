"""One clip of one's own: a video file or a folder of frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.clip_input import ClipError, CropRule, input_of_frames
from medn_lab.data.crop import FaceBox, NoFaceError, find_face
from medn_lab.data.flow import usable_method
from medn_lab.data.frames import VIDEO_SUFFIXES, UnreadableFrameError, list_frames, read_image
from medn_lab.data.opencv import cv2
from medn_lab.data.recipe import FlowRecipe
from medn_lab.records import PROBLEM_COLUMNS, Clips

MOST_BYTES = 4_000_000_000
"""Of frames in memory: 26 s of full HD at 25 frames a second."""


def read_clip(
    path: str | os.PathLike[str],
    *,
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
    fps: float | None = None,
    subject: str = "own",
    recipe: FlowRecipe | None = None,
    crop: CropRule = "detect",
) -> Clips:
    """One video file or one folder of frames as a clip that the network can be asked about.

    Parameters
    ----------
    path : path-like
        A video that OpenCV reads, or a folder of numbered pictures.
    onset, offset : int, optional
        Frame numbers, in a video from 0; by default its first and last frame.
    apex : int, optional
        Frame number; spotted where it is not given, and the result says how sure that is.
    fps : float, optional
        Frames a second; a video knows it, a folder is taken for 30.
    subject : str
        Who it is.
    recipe : FlowRecipe, optional
        As the network was trained with; the default recipe where none is given.
    crop : {"detect", "none"}
        Whether the face is searched on the onset, or the frames are cropped already.

    Returns
    -------
    Clips
        One clip. Its table has ``apex_confidence``, 1 where the apex was given and otherwise as in
        :func:`spot_apex`.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is no video and no folder of frames, numbers are out of order or not there, or no face is found.

    See Also
    --------
    medn_lab.evaluate.predict : asks a network about it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from medn_lab.synthme import synthetic_clips
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as folder:
    ...     for number, frame in enumerate(drawn.frames[0]):
    ...         Image.fromarray(frame).save(f"{folder}/{number}.png")
    ...     clip = read_clip(folder, onset=0, apex=4, offset=7, fps=30, crop="none")
    >>> clip.frames.shape, clip.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    recipe = FlowRecipe() if recipe is None else recipe
    recipe = replace(recipe, method=usable_method(recipe.method))
    source = Path(path).expanduser()
    numbers, frames, rate = _frames_of(source, onset, offset)
    rate = float(fps if fps is not None else rate if rate else 30.0)
    first, last = int(numbers[0]), int(numbers[-1])
    if apex is not None and not first < apex <= last:
        raise ValueError(f"apex {apex} must come after the onset {first} and not after the offset {last}")
    try:
        box = FaceBox.around(frames[0]) if crop == "none" else find_face(frames[0])
        made = input_of_frames(numbers, frames, box=box, apex=apex, recipe=recipe)
    except (NoFaceError, UnreadableFrameError, ClipError) as error:
        raise ValueError(f"{source.name}: {error}") from error
    row: dict[str, Any] = {
        "clip_id": source.stem,
        "dataset": "own",
        "subject": subject,
        "onset": first,
        "apex": made.apex,
        "offset": last,
        "fps": rate,
        "emotion": "",
        "action_units": "",
        "apex_confidence": made.apex_confidence,
    }
    problems = [{"clip_id": source.stem, **problem, "kept": True} for problem in made.problems]
    return Clips(
        frames=made.frames[None],
        flow=made.flow[None],
        table=pd.DataFrame([row]),
        recipe=recipe.to_dict(),
        problems=pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool}),
    )


def _frames_of(source: Path, onset: int | None, offset: int | None) -> tuple[np.ndarray, Sequence[np.ndarray], float]:
    if source.is_dir():
        paths = list_frames(source)
        chosen = {number: path for number, path in paths.items() if _within(number, onset, offset)}
        _check_count(source, len(chosen), len(paths), onset, offset)
        return np.array(list(chosen)), LateFrames(list(chosen.values())), 0.0
    if not source.is_file():
        raise FileNotFoundError(f"nothing at {source}; give a video file or a folder of frames")
    if source.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{source.name} is no video ({', '.join(VIDEO_SUFFIXES)}); give a video or a folder of frames")
    video = cv2.VideoCapture(str(source))
    numbers: list[int] = []
    frames: list[np.ndarray] = []
    count = 0
    try:
        rate = float(video.get(cv2.CAP_PROP_FPS))
        while True:
            read, frame = video.read()
            if not read or (offset is not None and count > offset):
                break
            if _within(count, onset, offset):
                _check_memory(source, len(numbers) + 1, frame)
                numbers.append(count)
                frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            count += 1
    finally:
        video.release()
    _check_count(source, len(frames), count, onset, offset)
    return np.array(numbers), frames, rate


def _check_memory(source: Path, count: int, frame: np.ndarray) -> None:
    if count * frame.nbytes > MOST_BYTES:
        height, width = frame.shape[:2]
        raise ValueError(
            f"{source.name} has more than {count - 1} frames of {width}x{height} px, which is no single"
            " micro-expression; say which part of it with onset= and offset="
        )


def _within(number: int, onset: int | None, offset: int | None) -> bool:
    return (onset is None or number >= onset) and (offset is None or number <= offset)


def _check_count(source: Path, chosen: int, there: int, onset: int | None, offset: int | None) -> None:
    if chosen < 2:
        span = f" from onset {onset} to offset {offset}" if onset is not None or offset is not None else ""
        raise ValueError(f"{source.name} has {chosen} readable frames{span} ({there} in all); a clip needs at least 2")


class LateFrames(Sequence):
    """Pictures that are read when they are asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        return read_image(self.paths[place])
