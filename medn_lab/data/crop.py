"""Where the face is: one box a clip, a crop of it, and the region inside it that counts as face.

Landmarks and boxes found anew in each frame jitter by as much as a micro-expression moves, so a box is found once, on
the onset, and used for every frame of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from medn_lab.data.opencv import cv2

if TYPE_CHECKING:
    from skimage.feature import Cascade

SEARCHES = ((320, 1.1), (240, 1.05), (400, 1.05))
"""Longer side in pixels of the picture searched, and the step between sizes; the next where one finds nothing."""

MARGIN = 1.1
"""The crop's side over the detector's, whose box ends at the brows and the lower lip on many faces."""


class NoFaceError(ValueError):
    """No face was found in a frame.

    Examples
    --------
    >>> find_face(np.zeros((64, 64, 3), np.uint8))
    Traceback (most recent call last):
        ...
    medn_lab.data.crop.NoFaceError: no face was found in a frame of 64x64 px; if the frames are cropped to ...
    """


@dataclass(frozen=True)
class FaceBox:
    """A square in a frame, in that frame's pixels; it may reach over the edge.

    Attributes
    ----------
    x, y : float
        Left and upper edge.
    side : float

    Examples
    --------
    >>> box = FaceBox(10.0, 20.0, 64.0)
    >>> box.side, crop_face(np.zeros((100, 100, 3), np.uint8), box=box).shape
    (64.0, (64, 64, 3))
    """

    x: float
    y: float
    side: float

    @classmethod
    def around(cls, frame: np.ndarray) -> FaceBox:
        """The smallest square that holds a whole frame, for frames that are cropped to the face already."""
        height, width = frame.shape[:2]
        side = max(height, width)
        return cls((width - side) / 2, (height - side) / 2, side)

    @classmethod
    def of_landmarks(cls, points: np.ndarray, *, margin: float = 1.25) -> FaceBox:
        """The square around landmarks.

        Parameters
        ----------
        points : (k, 2) array
            x, y in pixels; 3 or more.
        margin : float
            The square's side over the landmarks' larger extent.
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"landmarks must be (k, 2) finite pixels with k of 3 or more; these are {points.shape}")
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max() * margin)
        x, y = (low + high) / 2 - side / 2
        return cls(float(x), float(y), side)


def find_face(image: np.ndarray) -> FaceBox:
    """The largest face of a frame, by scikit-image's LBP cascade.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
        Grey or RGB.

    Returns
    -------
    FaceBox
        The detector's square, enlarged by a tenth.

    Raises
    ------
    NoFaceError
        If none is found.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> box = find_face(astronaut())
    >>> print(f"{box.side:.0f} px wide, centre at {box.x + box.side / 2:.0f}, {box.y + box.side / 2:.0f}")
    125 px wide, centre at 225, 118
    """
    height, width = image.shape[:2]
    for longer, factor in SEARCHES:
        scale = longer / max(height, width)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=how)
        found = _cascade().detect_multi_scale(
            img=small, scale_factor=factor, step_ratio=1, min_size=(longer // 5, longer // 5), max_size=small.shape[:2]
        )
        if found:
            break
    else:
        raise NoFaceError(
            f"no face was found in a frame of {width}x{height} px; if the frames are cropped to the face already, say "
            "crop='none', or give landmarks"
        )
    best = max(found, key=lambda box: box["width"])
    side = best["width"] / scale
    wide = side * MARGIN
    x, y = best["c"] / scale + (side - wide) / 2, best["r"] / scale + (side - wide) / 2
    return FaceBox(x, y, wide)


def crop_face(image: np.ndarray, *, box: FaceBox | None = None, size: int | None = None) -> np.ndarray:
    """A square picture of the face.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
        Grey or RGB.
    box : FaceBox, optional
        Where the face is. By default it is searched; hand over one box for all frames of a clip.
    size : int, optional
        Side of the result in pixels; by default the box's own.

    Returns
    -------
    (size, size) or (size, size, 3) uint8
        Parts of the box outside the frame repeat its edge.

    Raises
    ------
    NoFaceError
        If no box is given and no face found.

    Examples
    --------
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> crop_face(frame, box=FaceBox(30.0, 10.0, 100.0), size=64).shape
    (64, 64, 3)
    """
    box = find_face(image) if box is None else box
    left, top, side = round(box.x), round(box.y), max(1, round(box.side))
    height, width = image.shape[:2]
    if left >= width or top >= height or left + side <= 0 or top + side <= 0:
        raise ValueError(f"the box at ({left}, {top}) of {side} px lies outside the frame of {width}x{height} px")
    over = max(0, -left, -top, left + side - width, top + side - height)
    if over:
        image = cv2.copyMakeBorder(image, over, over, over, over, cv2.BORDER_REPLICATE)
        left, top = left + over, top + over
    part = image[top : top + side, left : left + side]
    if size is None or size == side:
        return np.ascontiguousarray(part)
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_CUBIC)


@lru_cache(maxsize=16)
def face_mask(size: int) -> np.ndarray:
    """The region of a face crop that counts as face: an upright ellipse with a soft edge.

    Parameters
    ----------
    size : int
        Side of the crop in pixels.

    Returns
    -------
    (size, size) float32
        1 inside, 0 outside, falling over a tenth of the radius. Read-only.

    Examples
    --------
    >>> mask = face_mask(64)
    >>> mask.shape, float(mask[32, 32]), float(mask[0, 0])
    ((64, 64), 1.0, 0.0)
    """
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    radius = np.hypot((x - 0.5) / 0.46, (y - 0.52) / 0.52)
    mask = np.clip((1.05 - radius) / 0.1, 0.0, 1.0).astype(np.float32)
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=1)
def _cascade() -> Cascade:
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())
