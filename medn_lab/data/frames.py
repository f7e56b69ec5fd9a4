"""Frames on the disk: which numbers a folder or a video holds, and reading them, always read-only.

Every module of this room takes ``cv2`` from here, so that a wheel that cannot be loaded is explained.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV could not be loaded ({error}); where libGL or a display is missing, run "
        "'pip uninstall opencv-python' and then 'pip install opencv-python-headless'"
    ) from error

NO_GUESS: Any = None
"""No first guess of what is to be estimated; OpenCV takes None there, which its types do not show."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")

MOST_PIXELS = 100_000_000
"""No frame has as many: a still of 8K video has 33 million."""

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""How many bits cameras write into a 16-bit file."""

MOST_BYTES = 2_000_000_000
"""Of frames in memory: 13 s of full HD at 25 frames a second."""

FEWEST_BYTES = 16
"""Of a file for one frame of video; a header that promises more frames is wrong."""

MOST_FPS = 1000
"""No camera of this field is as fast; headers with a clock instead of a rate have 1000, 12800, 90000."""

Problem = dict[str, str]
"""``field, found, done`` of a row of ``problems``."""

_RUN = re.compile(r"\d+")
_UNIT = re.compile(r"\d+(?=\s?(?:fps|hz|px|bits?)(?![a-z]))", re.IGNORECASE)
_MOST_DIGITS = 15
_PNG = b"\x89PNG\r\n\x1a\n"


class ClipError(ValueError):
    """A clip cannot be prepared; it becomes a row of the problems table."""


class FrameNameError(ClipError):
    """Two files of a folder have one frame number."""


class UnreadableFrameError(ClipError):
    """A frame's file is missing, truncated or no picture."""


def problem(field: str, found: str, done: str) -> Problem:
    """What was wrong, and what was done about it."""
    return {"field": field, "found": found, "done": done}


def frame_number(name: str) -> int | None:
    """The number in a frame's file name: the last run of digits that no unit follows; None where there is none.

    In a folder the other names decide which run counts (:func:`list_frames`).

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


def _frame_numbers(names: Iterable[str]) -> dict[str, int]:
    """The frame number of each name in a folder: of the runs of digits that vary, the one with most values.

    Of several such runs it is the one with the smallest range, which counts in the smallest steps, and then the last.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if frame_number(name) is not None:
            alike.setdefault(tuple(_RUN.split(name.rpartition(".")[0].lower())), []).append(name)
    kept = None
    if 2 < len(alike) > sum(map(len, alike.values())) / 2:  # a random code in each name: runs that all names have count
        kept = min(map(len, alike)) - 1
        alike = {("",) * (kept + 1): [name for group in alike.values() for name in group]}
    numbers = {}
    chosen: dict[int, int] = {}  # by the number of runs, from the largest group of names that are alike
    for pattern, group in sorted(alike.items(), key=lambda item: -len(item[1])):
        runs = [[int(run) for run in _RUN.findall(name.rpartition(".")[0])[:kept]] for name in group]
        columns = list(zip(*runs, strict=True))
        places = [p for p, column in enumerate(columns) if len(set(column)) > 1 and max(column) < 10**_MOST_DIGITS]
        best = chosen.get(len(pattern), -1)
        if places:
            best = max(places, key=lambda p: (len(set(columns[p])), min(columns[p]) - max(columns[p]), p))
            chosen.setdefault(len(pattern), best)
        for place, name in enumerate(group):
            number = frame_number(name) if best < 0 else columns[best][place]
            if number is not None:
                numbers[name] = number
    return numbers


def list_frames(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The frames of a folder by number, rising: ``img9`` comes before ``img46``.

    The number is the run of digits that varies from name to name, so that ``f001_30fps.png``, ``f002_30fps.png`` ...
    are 1, 2 ...

    Parameters
    ----------
    folder : path-like
        Files that are no pictures, have no number in their names, or are links out of the folder, are passed over.

    Returns
    -------
    dict of int to Path

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    FrameNameError
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
    there = (entry for entry in os.scandir(folder) if not entry.name.startswith("."))
    numbers = _frame_numbers(sorted(entry.name for entry in there if stays_within(Path(entry.path), folder)))
    twice = {number: count for number, count in Counter(numbers.values()).items() if count > 1}
    if twice:
        number = min(twice)
        same = [name for name, one in numbers.items() if one == number]
        more = f", and {len(twice) - 1} more numbers are there twice" if len(twice) > 1 else ""
        raise FrameNameError(
            f"{' and '.join(sorted(same)[:3])} in {folder.name} are both frame {number}{more}; leave one file a frame, "
            "and one clip a folder"
        )
    return {number: folder / name for name, number in sorted(numbers.items(), key=lambda item: item[1])}


class FrameFiles(Sequence):
    """The pictures of a clip, each read when it is needed, all with one scale of brightness.

    Parameters
    ----------
    paths : sequence of Path
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._range: tuple[float, float] | None = None
        self._deep = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        image = _decoded(self.paths[place])
        if image.dtype == np.uint8:
            return image
        if self._range is None:
            low, high = zip(
                *[_range_of(one) for one in map(_decoded, self.paths) if one.dtype != np.uint8], strict=True
            )
            self._range, self._deep = (min(low), max(high)), image.dtype
        return _to_bytes(image, *self._range)

    def depth_problems(self) -> list[Problem]:
        """A row of ``problems`` if the brightness was scaled by other than a full 16 bits."""
        if self._range is None:
            return []
        low, high = self._range
        full = _full_scale(self._deep, high)
        if self._deep == np.uint16 and full > 2**14:
            return []
        found = f"values {f'from {low:g} to' if low else 'up to'} {high:g} in {self._deep} files"
        black = f"{low:g} taken for black and " if low else ""
        return [problem("frames", found, f"{black}{full:g} taken for white in the whole clip")]


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture from a file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Any kind that OpenCV decodes, turned upright by its EXIF; grey pictures get three equal channels. Of more
        than 8 bits, the white that the largest value suggests (10, 12, 14 or 16 bits; 1 or 255 for fractions) is 255.

    Returns
    -------
    (h, w, 3) uint8 RGB

    Raises
    ------
    UnreadableFrameError
        If the file is missing, empty, truncated, no picture, or claims more than :data:`MOST_PIXELS`.

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
    return FrameFiles([Path(path)])[0]


def _range_of(image: np.ndarray) -> tuple[float, float]:
    """The smallest (0 where none is negative) and the largest finite value."""
    finite = np.isfinite(image)
    return float(np.min(image, initial=0, where=finite)), float(np.max(image, initial=0, where=finite))


def _full_scale(kind: np.dtype, largest: float) -> float:
    if kind.kind == "f" and largest <= 1:
        return 1.0
    return next((2.0**bits - 1 for bits in BIT_DEPTHS if largest < 2**bits), largest)


def _to_bytes(image: np.ndarray, low: float, high: float) -> np.ndarray:
    scale = 255 / (_full_scale(image.dtype, high) - low)
    finite = np.nan_to_num(image.astype(np.float32), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((finite - low) * scale, 0, 255)).astype(np.uint8)


def _decoded(path: Path) -> np.ndarray:
    """A picture in the type of its file, RGB."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFrameError(f"{path.name} cannot be opened ({error.strerror})") from error
    if not content:
        raise UnreadableFrameError(f"{path.name} is empty")
    # Decoders fill the missing half of a truncated picture with grey and give no error.
    for start, end in ((b"\xff\xd8", b"\xff\xd9"), (_PNG[:4], b"IEND")):
        if content.startswith(start) and end not in content[-64:]:
            raise UnreadableFrameError(f"{path.name} is truncated after {len(content)} bytes")
    _check_head(content, path.name)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except (cv2.error, MemoryError):  # too many pixels, broken chunks
        image = None
    if image is None:
        raise UnreadableFrameError(f"{path.name} is no picture that OpenCV can read ({len(content)} bytes)")
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def _check_head(content: bytes, name: str) -> None:
    """Raise where the header claims more pixels than any camera has, or a checksum of a PNG is wrong."""
    is_png = content.startswith(_PNG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of a bomb; ours is an error
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
                if is_png:  # OpenCV may read on where a checksum is wrong, with other pixels
                    opened.verify()
    except Image.DecompressionBombError:
        raise UnreadableFrameError(f"{name} claims to have far over {MOST_PIXELS:,} pixels; it is not read") from None
    except Exception as error:  # a kind that Pillow does not know, or broken: OpenCV decides
        if is_png and isinstance(error, (SyntaxError, OSError)):
            raise UnreadableFrameError(f"{name} is damaged: a checksum in it is wrong") from error
        return
    if width * height > MOST_PIXELS:
        raise UnreadableFrameError(
            f"{name} claims to have {width}x{height} px, over {MOST_PIXELS:,} pixels; it is not read"
        )


def _is_rate(fps: object) -> bool:
    return isinstance(fps, Real) and 0 < float(fps) < MOST_FPS


def open_frames(
    source: Path, onset: int | None, offset: int | None, fps: float | None
) -> tuple[np.ndarray, Sequence[np.ndarray], float, list[Problem]]:
    """Numbers and frames of a folder or video from onset to offset, the frames a second, and rows of ``problems``."""
    if fps is not None and not _is_rate(fps):
        raise ValueError(f"fps is {fps!r}; give the frames a second of the camera, above 0 and below {MOST_FPS}")
    first, last = (0 if onset is None else onset), (math.inf if offset is None else offset)
    frames: Sequence[np.ndarray]
    problems: list[Problem] = []
    if source.is_dir():
        paths = list_frames(source)
        if not paths:
            kinds = ", ".join(IMAGE_SUFFIXES)
            raise ValueError(f"{source.name} has no picture with a number in its name; frames are {kinds}")
        numbers = [number for number in paths if first <= number <= last]
        frames, count = FrameFiles([paths[number] for number in numbers]), len(paths)
        rate = 30.0 if fps is None else float(fps)
    elif not source.is_file():
        raise FileNotFoundError(f"nothing at {source}; give a video file or a folder of frames")
    elif source.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{source.name} is no video ({', '.join(VIDEO_SUFFIXES)}); give a video or a folder of frames")
    else:
        numbers, frames, count, rate, problems = _read_video(source, max(0, first), last, fps)
    if len(numbers) < 2:
        span = f" from onset {onset} to offset {offset}" if onset is not None or offset is not None else ""
        raise ValueError(
            f"{source.name} has {len(numbers)} readable frames{span} ({count} in all); a clip needs at least 2"
        )
    return np.array(numbers), frames, rate, problems


def _read_video(
    source: Path, first: int, last: float, fps: float | None
) -> tuple[list[int], list[np.ndarray], int, float, list[Problem]]:
    """Numbers and frames of a part of a video, all frames there are, the frames a second, and rows of ``problems``.

    What the header promises is checked before a frame is read.
    """
    frames: list[np.ndarray] = []
    times: list[float] = []
    problems: list[Problem] = []
    count = 0
    video = cv2.VideoCapture(str(source))
    try:
        rate, total, width, height = (
            float(video.get(getattr(cv2, f"CAP_PROP_{name}")))
            for name in ("FPS", "FRAME_COUNT", "FRAME_WIDTH", "FRAME_HEIGHT")
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
                frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                times.append(float(video.get(cv2.CAP_PROP_POS_MSEC)))
            count += 1
    finally:
        video.release()
    if count < min(total, last + 1):
        found = f"{count} of {total:.0f} frames that the video's header promises"
        problems.append(problem("frames", found, "the others are not in the file"))
    if fps is None and not _is_rate(rate):
        found = f"{rate:g} frames a second in the video's header"
        problems.append(problem("fps", found, "30 assumed; give fps= where it is known"))
        fps = 30.0
    rate = rate if fps is None else float(fps)
    apart = np.diff(times)
    if len(apart) and 0 < 1.5 * apart.min() < apart.max():
        found = f"frames are {apart.min():.0f} to {apart.max():.0f} ms apart"
        problems.append(problem("fps", found, f"taken as evenly spaced, {rate:g} frames a second"))
    return list(range(first, first + len(frames))), frames, count, rate, problems


def _check_memory(source: Path, count: float, width: float, height: float) -> None:
    most = int(MOST_BYTES // max(1, 3 * width * height))
    if count > most:
        raise ValueError(
            f"{source.name} has more than {most} frames of {width:.0f}x{height:.0f} px to be read, which is no single"
            f" micro-expression; choose a part of it with onset= and offset=, at most {most} frames apart"
        )


def stays_within(path: Path, root: Path) -> bool:
    """Whether a file, followed through its links, lies below `root`."""
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def nearest(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted number the nearest that is there (the earlier of two); `numbers` must rise.

    Examples
    --------
    >>> nearest(np.array([1, 2, 5, 9]), np.array([2, 4, 7, 20])).tolist()
    [2, 5, 5, 9]
    """
    return numbers[np.abs(numbers[:, None] - wanted).argmin(axis=0)]
