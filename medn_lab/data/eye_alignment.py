"""Face crops turned so that the eyes are level, as one recipe of the field makes them."""

from __future__ import annotations

import numpy as np

from medn_lab.data.opencv import cv2

ENLARGED = 2.5
"""The crop's side over the larger extent of eyes, nose tip and mouth corners."""

BACKGROUND = (128.0, 128.0, 128.0)
"""Grey of what lies outside the frame."""

_FIVE_OF = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    468: ((33, 133), (362, 263), (1,), (61,), (291,)),
    478: ((33, 133), (362, 263), (1,), (61,), (291,)),
}
"""Number of landmarks to those of the eye at the picture's left, the other eye, nose tip and mouth corners."""

_BROWS = slice(17, 27)


def five_points(landmarks: np.ndarray | None) -> np.ndarray | None:
    """The centres of both eyes, the tip of the nose and the corners of the mouth, (5, 2) in pixels.

    Parameters
    ----------
    landmarks : (k, 2) array or None
        5 points in this order (either eye first), the 68 of dlib, or the 468 or 478 of MediaPipe.

    Returns
    -------
    (5, 2) float array, or None
        The eye at the picture's left is first. None where there are no landmarks, or their number is another.

    Examples
    --------
    >>> five_points(np.zeros((68, 2))).shape, five_points(np.zeros((7, 2)))
    ((5, 2), None)
    """
    groups = None if landmarks is None else _FIVE_OF.get(len(landmarks))
    if landmarks is None or groups is None:
        return None
    points = np.array([np.asarray(landmarks, dtype=float)[list(group)].mean(axis=0) for group in groups])
    return points if points[0, 0] <= points[1, 0] else points[[1, 0, 2, 4, 3]]


def eye_alignment(points: np.ndarray, *, size: int) -> np.ndarray:
    """The affine map from a frame to a square crop in which the eyes are level.

    Parameters
    ----------
    points : (5, 2) array
        As :func:`five_points` gives them.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    (2, 3) float array
        As ``cv2.warpAffine`` takes it. The turned points' larger extent spans 1 / 2.5 of the crop, in its middle.

    Examples
    --------
    >>> tilted = np.array([[40, 40], [60, 60], [45, 65], [30, 60], [45, 75]])
    >>> left, right = transform_points(tilted, eye_alignment(tilted, size=100))[:2]
    >>> bool(np.isclose(left[1], right[1]))
    True
    """
    across, down = points[1] - points[0]
    length = float(np.hypot(across, down))
    if not np.isfinite(points).all() or length == 0:
        raise ValueError(f"the eyes lie at {points[0].tolist()} and {points[1].tolist()}; they must be two places")
    turn = np.array([[across, down], [-down, across]]) / length
    turned = points @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = (size - 1) / (ENLARGED * float((high - low).max()))
    shift = (size - 1) / 2 - scale * (low + high) / 2
    return np.column_stack([scale * turn, shift])


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (k, 2) after an affine map (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def face_outline(landmarks: np.ndarray, *, size: int) -> np.ndarray | None:
    """The region of a crop inside the face's outline: the jaw, and the brows moved up by a tenth of the crop.

    Parameters
    ----------
    landmarks : (k, 2) array
        In pixels of the crop.
    size : int
        Side of the crop.

    Returns
    -------
    (size, size) float32 of 0 and 1, or None
        None where the landmarks have no outline (fewer than 68).
    """
    if len(landmarks) < 68:
        return None
    points = np.array(landmarks, dtype=float)
    if len(points) == 68:
        points[_BROWS, 1] -= size // 10
    hull = cv2.convexHull(np.rint(points).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros((size, size), np.float32), hull, (1.0,))
