"""Frames on the disk: which numbers a folder or a video holds, and reading them, always read-only."""

from __future__ import annotations

import io
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from medn_lab.data.opencv import cv2

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")

MOST_PIXELS = 100_000_000
"""No frame has as many: a still of 8K video has 33 million."""

_TRAILING_NUMBER = re.compile(r"(\d+)\D*$")


class UnreadableFrameError(ValueError):
    """A frame's file is missing, truncated or no picture."""


def frame_number(name: str) -> int | None:
    """The number in a frame's file name: the last run of digits before the suffix; None where there is none.

    Examples
    --------
    >>> frame_number("reg_img46.jpg"), frame_number("006_05562.jpg"), frame_number("Thumbs.db")
    (46, 5562, None)
    """
    stem, _, suffix = name.rpartition(".")
    found = _TRAILING_NUMBER.search(stem) if f".{suffix.lower()}" in IMAGE_SUFFIXES else None
    return int(found[1]) if found else None


def list_frames(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The frames of a folder by number, rising: ``img9`` comes before ``img46``.

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
    numbered = {}
    for entry in os.scandir(folder):
        number = frame_number(entry.name)
        if number is not None and not entry.name.startswith(".") and stays_within(Path(entry.path), folder):
            numbered[number] = Path(entry.path)
    return dict(sorted(numbered.items()))


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture from a file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Whatever OpenCV decodes; grey pictures get three equal channels.

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
    path = Path(path)
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
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError):  # what it cannot bear: too many pixels, broken chunks
        image = None
    if image is None:
        raise UnreadableFrameError(f"{path.name} is no picture that OpenCV can read ({len(content)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
