"""Frames on the disk: which numbers a folder or a video holds, and reading them, always read-only."""

from __future__ import annotations

import io
import os
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from medn_lab.data.opencv import cv2

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")

MOST_PIXELS = 100_000_000
"""No frame has as many: a still of 8K video has 33 million."""

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""How many bits cameras write into a 16-bit file."""

NEARLY_BLACK = 16
"""A clip of 8-bit frames with no larger value lost its picture before it came here."""

_RUN = re.compile(r"\d+")
_UNIT = re.compile(r"\d+(?=\s?(?:fps|hz|px|bits?)(?![a-z]))", re.IGNORECASE)
_MOST_DIGITS = 15


class FrameNameError(ValueError):
    """Two files of a folder are the same frame by their names."""


class UnreadableFrameError(ValueError):
    """A frame's file is missing, truncated or no picture."""


def frame_number(name: str) -> int | None:
    """The number in a frame's file name: the last run of digits that no unit follows; None where there is none.

    In a folder the other names say which run counts (:func:`list_frames`).

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


def _numbers_of(names: Iterable[str]) -> dict[str, int]:
    """The frame number of each name in a folder: of the runs of digits that vary, the one that tells most names apart.

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
        columns = list(
            zip(*([int(run) for run in _RUN.findall(name.rpartition(".")[0])[:kept]] for name in group), strict=True)
        )
        places = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        places = [place for place in places if max(columns[place]) < 10**_MOST_DIGITS]
        if places:
            best = max(places, key=lambda p: (len(set(columns[p])), min(columns[p]) - max(columns[p]), p))
            chosen.setdefault(len(pattern), best)
        else:
            best = chosen.get(len(pattern), -1)
        for place, name in enumerate(group):
            alone = frame_number(name) if best < 0 else columns[best][place]
            if alone is not None:
                numbers[name] = alone
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
    names = sorted(entry.name for entry in there if stays_within(Path(entry.path), folder))
    numbers = _numbers_of(names)
    twice = {number: count for number, count in Counter(numbers.values()).items() if count > 1}
    if twice:
        number = min(twice)
        same = [name for name in names if numbers.get(name) == number]
        more = f", and {len(twice) - 1} more numbers are there twice" if len(twice) > 1 else ""
        raise FrameNameError(
            f"{' and '.join(same[:3])} in {folder.name} are both frame {number}{more}; leave one file a frame, and one "
            "clip a folder"
        )
    return {number: folder / name for name, number in sorted(numbers.items(), key=lambda item: item[1])}


class FrameFiles(Sequence):
    """The pictures of a clip, each read when it is asked for, all with one scale of brightness.

    Parameters
    ----------
    paths : sequence of Path
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._range: tuple[float, float] | None = None
        self._deep = ""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]  # one frame, no slices
        image = _decoded(self.paths[place])
        if image.dtype != np.uint8:
            if self._range is None:
                ranges = [_range_of(one) for one in map(_decoded, self.paths) if one.dtype != np.uint8]
                self._range = min(low for low, _ in ranges), max(high for _, high in ranges)
                self._deep = str(image.dtype)
            return _to_bytes(image, *self._range)
        return image

    def depth_problems(self) -> list[dict[str, str]]:
        """What is said of frames whose brightness was scaled by other than a full 16 bits."""
        if self._range is None:
            return []
        low, high = self._range
        full = _full_scale(np.dtype(self._deep), high)
        if self._deep == "uint16" and full > 2**14:
            return []
        found = f"values {f'from {low:g} to' if low else 'up to'} {high:g} in {self._deep} files"
        black = f"{low:g} taken for black and " if low else ""
        return [{"field": "frames", "found": found, "done": f"{black}{full:g} taken for white in the whole clip"}]


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture from a file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Whatever OpenCV decodes, turned upright where its EXIF says so; grey pictures get three equal channels. Of more
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
    image = _decoded(Path(path))
    return image if image.dtype == np.uint8 else _to_bytes(image, *_range_of(image))


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
    if not _is_whole(content):
        raise UnreadableFrameError(f"{path.name} is truncated after {len(content)} bytes")
    if not _is_sound(content):
        raise UnreadableFrameError(f"{path.name} is damaged: a checksum in it is wrong")
    _check_size(content, path.name)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except (cv2.error, MemoryError):  # what it cannot bear: too many pixels, broken chunks
        image = None
    if image is None:
        raise UnreadableFrameError(f"{path.name} is no picture that OpenCV can read ({len(content)} bytes)")
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def _check_size(content: bytes, name: str) -> None:
    """Raise where the header promises more pixels than any camera has; a small file may ask for all memory there is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of a bomb; ours is an error
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
    except Image.DecompressionBombError:
        raise UnreadableFrameError(f"{name} claims to have far over {MOST_PIXELS:,} pixels; it is not read") from None
    except Exception:  # a kind that Pillow does not know, or broken: OpenCV shall say
        return
    if width * height > MOST_PIXELS:
        raise UnreadableFrameError(
            f"{name} claims to have {width}x{height} px, over {MOST_PIXELS:,} pixels; it is not read"
        )


def _is_whole(content: bytes) -> bool:
    """Whether a JPEG or PNG has its end; decoders fill the missing half of a truncated one with grey in silence."""
    if content.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in content[-64:]
    if content.startswith(b"\x89PNG"):
        return b"IEND" in content[-64:]
    return True


def _is_sound(content: bytes) -> bool:
    """Whether the checksums of a PNG are right; a decoder may go on where they are wrong, with other pixels."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return True
    place = 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        end = place + 8 + length
        if zlib.crc32(content[place + 4 : end]) != int.from_bytes(content[end : end + 4]):
            return False
        if content[place + 4 : place + 8] == b"IEND":
            return True
        place = end + 4
    return False


def stays_within(path: Path, root: Path) -> bool:
    """Whether a file, followed through its links, lies below `root`: a data set has no business elsewhere."""
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def nearest(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted number the nearest that is there (the earlier of two); `numbers` must rise.

    Examples
    --------
    >>> nearest(np.array([1, 2, 5, 9]), np.array([2, 4, 7, 20])).tolist()
    [2, 5, 5, 9]
    """
    after = np.searchsorted(numbers, wanted).clip(1, max(1, len(numbers) - 1))
    if len(numbers) == 1:
        return np.full(len(wanted), numbers[0])
    left, right = numbers[after - 1], numbers[after]
    return np.where(wanted - left <= right - wanted, left, right)
