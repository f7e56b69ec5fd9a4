"""Landmarks from a model file of the user's own: MediaPipe's face landmarker, an optional way to place the crop.

MediaPipe ships no model any more; its users download a ``.task`` file and agree to its terms. The package is imported
when such a file is given and at no other time.

References
----------
.. [1] Y. Kartynnik, A. Ablavatski, I. Grishchenko, M. Grundmann: Real-time Facial Surface Geometry from Monocular Video
   on Mobile GPUs. arXiv 1907.06724, 2019.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medn_lab.data.crop import NoFaceError

TASK_SUFFIX = ".task"


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
        model = cls(str(file), hashlib.sha256(file.read_bytes()).hexdigest())
        _landmarker(model.path)
        return model

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
        mediapipe = _mediapipe().root
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        faces = _landmarker(self.path).detect(picture).face_landmarks
        if not faces:
            raise NoFaceError(f"{Path(self.path).name} found no face in a frame of {width}x{height} px")
        return np.array([(point.x * width, point.y * height) for point in faces[0]], dtype=np.float64)


@lru_cache(maxsize=2)
def _landmarker(path: str) -> Any:
    names = _mediapipe()
    options = names.vision.FaceLandmarkerOptions(
        base_options=names.base.BaseOptions(model_asset_path=path), num_faces=1
    )
    try:
        return names.vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{Path(path).name} is no face landmarker that MediaPipe can read: {error}") from error


class _MediaPipe(NamedTuple):
    """The parts of MediaPipe that are used."""

    root: Any
    base: Any
    vision: Any


def _mediapipe() -> _MediaPipe:
    try:
        return _MediaPipe(*map(import_module, ("mediapipe", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")))
    except ImportError as error:
        raise ImportError(
            "a .task file needs MediaPipe, which is not installed: run pip install 'medn-lab[landmarks]', or leave the "
            "file away and the built-in detector finds the face"
        ) from error
