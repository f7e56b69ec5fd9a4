"""One clip of one's own: a video file or a folder of frames."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.clip_input import ClipError, CropRule, face_box, input_of_frames
from medn_lab.data.crop import FaceBox, NoFaceError
from medn_lab.data.flow import usable_method
from medn_lab.data.frames import IMAGE_SUFFIXES, VIDEO_SUFFIXES, FrameFiles, UnreadableFrameError, list_frames
from medn_lab.data.landmark_model import LandmarkModel
from medn_lab.data.opencv import cv2
from medn_lab.data.recipe import FlowRecipe
from medn_lab.records import PROBLEM_COLUMNS, Clips

MOST_BYTES = 2_000_000_000
"""Of frames in memory: 13 s of full HD at 25 frames a second."""

FEWEST_BYTES = 16
"""Of a file for one frame of video; a header that promises more frames is wrong."""

MOST_FPS = 1000
"""No camera of this field is as fast; headers that give a clock instead of a rate say 1000, 12800, 90000."""


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
    landmarks: np.ndarray | str | os.PathLike[str] | None = None,
    box: FaceBox | Sequence[float] | None = None,
) -> Clips:
    """One video file or one folder of frames as a clip that the network can be asked about.

    Parameters
    ----------
    path : path-like
        A video that OpenCV reads, or a folder of numbered pictures. A video is turned upright where its header says so,
        and its frames are taken as evenly spaced; where they are not, a row of ``problems`` says so.
    onset, offset : int, optional
        Frame numbers, in a video from 0; by default its first and last frame.
    apex : int, optional
        Frame number; spotted where it is not given, and the result says how sure that is.
    fps : float, optional
        Frames a second, above 0 and below 1000. By default a video's own, and 30 for a folder or where a video's
        header gives a rate that cannot be.
    subject : str
        Who it is.
    recipe : FlowRecipe, optional
        As the network was trained with; the default recipe where none is given.
    crop : {"detect", "none"}
        Whether the face is searched on the onset, or the frames are cropped already.
    landmarks : (k, 2) array or path-like, optional
        Pixels of the face's landmarks on the onset, 3 or more, or the ``.task`` file of a MediaPipe face landmarker,
        instead of the detector.
    box : FaceBox or (x, y, side), optional
        The face's square on the onset in pixels, instead of the detector.

    Returns
    -------
    Clips
        One clip. Its table has ``apex_confidence``, 1 where the apex was given and otherwise as in
        :func:`spot_apex`; and ``face_x, face_y, face_side, face_detector, face_score, n_faces``: the square on the
        onset, what placed it, and how many faces there are.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is no video and no folder of frames, numbers are out of order or not there, two files have one number,
        it is too long for the memory, `fps` cannot be, no face is found (on the onset or the apex), or `box` or
        `landmarks` make no sense for the onset.

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
    source = Path(os.path.abspath(Path(path).expanduser()))
    if fps is not None and not _is_rate(fps):
        raise ValueError(f"fps is {fps!r}; give the frames a second of the camera, above 0 and below {MOST_FPS}")
    if landmarks is not None and box is not None:
        raise ValueError("give landmarks or a box, not both")
    numbers, frames, rate, problems = _frames_of(source, onset, offset, fps)
    first, last = int(numbers[0]), int(numbers[-1])
    if apex is not None and not first < apex <= last:
        raise ValueError(f"apex {apex} must come after the onset {first} and not after the offset {last}")
    for name, wanted, there in (("onset", onset, first), ("offset", offset, last)):
        if wanted is not None and wanted != there:
            problems.append({"field": name, "found": f"no frame {wanted}", "done": f"{there} taken"})
    clip_id = source.name if source.is_dir() else source.stem
    try:
        place = _place(frames[0], crop, landmarks, box)
        apex = None if apex is None else int(apex)
        made = input_of_frames(numbers, frames, box=place, apex=apex, recipe=recipe, look=crop != "none")
    except NoFaceError as error:
        raise ValueError(f"{source.name}: {error} (frame {first}, the onset)") from error
    except (UnreadableFrameError, ClipError) as error:
        raise ValueError(f"{source.name}: {error}") from error
    row: dict[str, Any] = {
        "clip_id": clip_id,
        "dataset": "own",
        "subject": subject,
        "onset": first,
        "apex": made.apex,
        "offset": last,
        "fps": rate,
        "emotion": "",
        "action_units": "",
        "apex_confidence": made.apex_confidence,
        **made.face,
    }
    said = [{"clip_id": clip_id, **problem, "kept": True} for problem in [*problems, *made.problems]]
    return Clips(
        frames=made.frames[None],
        flow=made.flow[None],
        table=pd.DataFrame([row]),
        recipe=recipe.to_dict(),
        problems=pd.DataFrame(said, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool}),
    )


def _place(
    onset: np.ndarray,
    crop: CropRule,
    landmarks: np.ndarray | str | os.PathLike[str] | None,
    box: FaceBox | Sequence[float] | None,
) -> FaceBox:
    if box is not None:
        if not isinstance(box, FaceBox):
            numbers = _numbers(box, "box must be a FaceBox or (x, y, side) in pixels")
            if numbers.shape != (3,):
                raise ValueError(f"box must be a FaceBox or (x, y, side), not an array of shape {numbers.shape}")
            box = FaceBox(*numbers.tolist())
        return box.check(onset)
    if isinstance(landmarks, (str, os.PathLike)):
        return face_box(onset, crop=crop, landmarks=LandmarkModel.open(landmarks))
    if landmarks is not None:
        points = _numbers(landmarks, "landmarks must be (k, 2) pixels or the path of a .task file")
        return face_box(onset, crop=crop, landmarks=points).check(onset)
    return face_box(onset, crop=crop)


def _numbers(value: Any, said: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{said}, not {value!r}") from None


def _is_rate(fps: object) -> bool:
    return isinstance(fps, Real) and 0 < float(fps) < MOST_FPS


def _frames_of(
    source: Path, onset: int | None, offset: int | None, fps: float | None
) -> tuple[np.ndarray, Sequence[np.ndarray], float, list[dict[str, str]]]:
    if source.is_dir():
        paths = list_frames(source)
        if not paths:
            kinds = ", ".join(IMAGE_SUFFIXES)
            raise ValueError(f"{source.name} has no picture with a number in its name; frames are {kinds}")
        chosen = {number: path for number, path in paths.items() if _within(number, onset, offset)}
        _check_count(source, len(chosen), len(paths), onset, offset)
        return np.array(list(chosen)), FrameFiles(list(chosen.values())), 30.0 if fps is None else float(fps), []
    if not source.is_file():
        raise FileNotFoundError(f"nothing at {source}; give a video file or a folder of frames")
    if source.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{source.name} is no video ({', '.join(VIDEO_SUFFIXES)}); give a video or a folder of frames")
    return _read_video(source, onset, offset, fps)


def _read_video(
    source: Path, onset: int | None, offset: int | None, fps: float | None
) -> tuple[np.ndarray, list[np.ndarray], float, list[dict[str, str]]]:
    """The frames of a video from onset to offset; what its header promises is checked before any is read."""
    first, last = max(0, onset or 0), math.inf if offset is None else offset
    numbers: list[int] = []
    frames: list[np.ndarray] = []
    times: list[float] = []
    count = 0
    video = cv2.VideoCapture(str(source))
    try:
        rate, total, width, height = (
            float(video.get(what))
            for what in (
                cv2.CAP_PROP_FPS,
                cv2.CAP_PROP_FRAME_COUNT,
                cv2.CAP_PROP_FRAME_WIDTH,
                cv2.CAP_PROP_FRAME_HEIGHT,
            )
        )
        if not 0 < total <= source.stat().st_size / FEWEST_BYTES:
            total = 0
        if total:
            _check_memory(source, min(last, total - 1) - first + 1, width, height)
        while count <= last and video.grab():
            if count >= first:
                read, frame = video.retrieve()
                if not read:
                    break
                _check_memory(source, len(frames) + 1, *frame.shape[1::-1])
                numbers.append(count)
                frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                times.append(float(video.get(cv2.CAP_PROP_POS_MSEC)))
            count += 1
    finally:
        video.release()
    _check_count(source, len(frames), count, onset, offset)
    problems = []
    if count < min(total, last + 1):
        found = f"{count} of {total:.0f} frames that the video's header promises"
        problems.append({"field": "frames", "found": found, "done": "the others are not in the file"})
    if fps is not None:
        rate = float(fps)
    elif not _is_rate(rate):
        found = f"{rate:g} frames a second in the video's header"
        problems.append({"field": "fps", "found": found, "done": "30 assumed; give fps= where it is known"})
        rate = 30.0
    apart = np.diff(times)
    if len(apart) and 0 < 1.5 * apart.min() < apart.max():
        found = f"frames are {apart.min():.0f} to {apart.max():.0f} ms apart"
        problems.append({"field": "fps", "found": found, "done": f"taken as evenly spaced, {rate:g} frames a second"})
    return np.array(numbers), frames, rate, problems


def _check_memory(source: Path, count: float, width: float, height: float) -> None:
    most = int(MOST_BYTES // max(1, 3 * width * height))
    if count > most:
        raise ValueError(
            f"{source.name} has more than {most} frames of {width:.0f}x{height:.0f} px to be read, which is no single"
            f" micro-expression; say which part of it with onset= and offset=, at most {most} frames apart"
        )


def _within(number: int, onset: int | None, offset: int | None) -> bool:
    return (onset is None or number >= onset) and (offset is None or number <= offset)


def _check_count(source: Path, chosen: int, there: int, onset: int | None, offset: int | None) -> None:
    if chosen < 2:
        span = f" from onset {onset} to offset {offset}" if onset is not None or offset is not None else ""
        raise ValueError(f"{source.name} has {chosen} readable frames{span} ({there} in all); a clip needs at least 2")
