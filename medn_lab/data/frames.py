"""Frames on the disk: which numbers a folder or a video holds, and reading them, always read-only."""

from __future__ import annotations

import io
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from PIL import Image

NO_GUESS: Any = None
"""No first guess of what is to be estimated; OpenCV takes None there, which its types do not show."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")

MOST_BYTES = 2_000_000_000
"""Of frames in memory: 13 s of full HD at 25 frames a second."""

MOST_FPS = 1000
"""No camera of this field is as fast; headers with a clock instead of a rate have 1000, 12800, 90000."""

Problem: TypeAlias = tuple[str, str, str]
"""``field, found, done`` of a row of ``problems``."""

_RUN = re.compile(r"\d+")
_UNIT = re.compile(r"\d+(?=\s?(?:fps|hz|px|bits?)(?![a-z]))", re.IGNORECASE)
_MOST_DIGITS = 15


class ClipError(ValueError):
    """A clip cannot be prepared; it becomes a row of the problems table."""


def frame_number(name: str) -> int | None:
    """The number in a frame's file name: the last run of digits that no unit follows; None where there is none.

    Examples
    --------
    >>> frame_number("reg_img46.jpg"), frame_number("006_05562.jpg"), frame_number("f001_30fps.png")
    (46, 5562, 1)
    >>> frame_number("Thumbs.db") is None
    True
    """
    stem, _, suffix = name.rpartition(".")
    if f".{suffix.lower()}" not in IMAGE_SUFFIXES:
        return None
    runs = [run for run in _RUN.findall(_UNIT.sub("", stem)) or _RUN.findall(stem) if len(run) <= _MOST_DIGITS]
    return int(runs[-1]) if runs else None


def list_frames(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The frames of a folder by number, rising: ``img9`` comes before ``img46``.

    The number is the last run of digits that no unit follows, so that ``f001_30fps.png`` is 1.

    Parameters
    ----------
    folder : path-like
        Files that are no pictures or have no number in their names are skipped.

    Returns
    -------
    dict of int to Path

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ClipError
        If two files have one number, such as ``img1.png`` and ``img01.png``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("img46.png", "img9.png", "Thumbs.db"):
    ...         Path(folder, name).touch()
    ...     numbers = list(list_frames(folder))
    >>> numbers
    [9, 46]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of frames at {folder}")
    numbers = {name: frame_number(name) for name in sorted(os.listdir(folder)) if name[0] != "."}
    found = {name: number for name, number in numbers.items() if number is not None}
    twice = [number for number, count in Counter(found.values()).items() if count > 1]
    if twice:
        same = " and ".join([name for name, one in found.items() if one == min(twice)][:3])
        fault = f"{same} in {folder.name} are both frame {min(twice)} ({len(twice)} numbers are there twice)"
        rule = "the last number of a name must be the frame's, one file a frame and one clip a folder"
        raise ClipError(f"{fault}; {rule}")
    return {number: folder / name for name, number in sorted(found.items(), key=lambda item: item[1])}


class FrameFiles(Sequence):
    """The pictures of a clip, each read when it is needed."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        return read_image(self.paths[place])


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture from a file; a truncated or damaged file is refused.

    Parameters
    ----------
    path : path-like
        Any kind that OpenCV decodes, with 8 bits a channel, turned upright by its EXIF; grey pictures get three equal
        channels.

    Returns
    -------
    (h, w, 3) uint8 RGB

    Raises
    ------
    ClipError
        If the file is missing, empty, truncated, damaged, no picture, or has more than 8 bits a channel.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "img1.png")
    ...     Image.new("RGB", (160, 120)).save(file)
    ...     shape = read_image(file).shape
    >>> shape
    (120, 160, 3)
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        # Decoders fill the missing half of a truncated picture with grey, or read on past a wrong checksum.
        if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content[-64:]:
            raise ValueError("it is truncated")
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            with Image.open(io.BytesIO(content)) as opened:
                opened.verify()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if image is None:
            raise ValueError("it is no picture that OpenCV can read")
        if image.dtype != np.uint8:  # which of its values is white is not known
            raise ValueError(f"its values are {image.dtype}; save it with 8 bits a channel")
    except (OSError, ValueError, SyntaxError, cv2.error) as error:  # Pillow has SyntaxError for a broken chunk
        raise ClipError(f"{path.name} cannot be read: {error}") from error
    return np.ascontiguousarray(image[..., ::-1])


def open_frames(
    source: Path, onset: int | None, offset: int | None, fps: float | None
) -> tuple[np.ndarray, Sequence[np.ndarray], float, list[Problem]]:
    """Numbers and frames of a folder or video from onset to offset, the frames a second, and rows of ``problems``."""
    if fps is not None and not 0 < fps < MOST_FPS:
        raise ValueError(f"fps is {fps!r}; give the frames a second of the camera, above 0 and below {MOST_FPS}")
    first, last = (0 if onset is None else onset), (math.inf if offset is None else offset)
    frames: Sequence[np.ndarray]
    problems: list[Problem] = []
    rate = 30.0
    if source.is_dir():
        paths = list_frames(source)
        numbers = [number for number in paths if first <= number <= last]
        frames = FrameFiles([paths[number] for number in numbers])
    elif not source.is_file():
        raise FileNotFoundError(f"nothing at {source}; give a video file or a folder of frames")
    elif source.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{source.name} is no video ({', '.join(VIDEO_SUFFIXES)}); give a video or a folder of frames")
    else:
        first = max(0, first)
        frames, rate = _read_video(source, first, last)
        numbers = list(range(first, first + len(frames)))
        if fps is None and not 0 < rate < MOST_FPS:
            found = f"{rate:g} frames a second in the video's header"
            problems.append(("fps", found, "30 assumed; give fps= where it is known"))
            rate = 30.0
    if len(numbers) < 2:
        found = f"{len(numbers)} readable frames with a number from {first} to {last}"
        raise ValueError(f"{source.name} has {found}; a clip needs at least 2")
    return np.array(numbers), frames, rate if fps is None else float(fps), problems


def _read_video(source: Path, first: int, last: float) -> tuple[list[np.ndarray], float]:
    """The frames of a part of a video, and the frames a second that its header has."""
    frames: list[np.ndarray] = []
    count = 0
    video = cv2.VideoCapture(str(source))
    try:
        while count <= last and video.grab():
            if count >= first:
                read, frame = video.retrieve()
                if not read:
                    break
                frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                if len(frames) * frame.nbytes > MOST_BYTES:
                    fault = f"{source.name} is longer than {len(frames) - 1} frames"
                    raise ValueError(f"{fault}; choose a part of it with onset= and offset=")
            count += 1
        return frames, video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()


def nearest(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted number the nearest that is there (the earlier of two); `numbers` must rise."""
    return numbers[np.abs(numbers[:, None] - wanted).argmin(axis=0)]
