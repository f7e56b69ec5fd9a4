"""OpenCV, with a helpful sentence where its wheel cannot be loaded; every module of this room takes it from here."""

from typing import Any

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV could not be loaded ({error}); where libGL or a display is missing, run "
        "'pip uninstall opencv-python' and then 'pip install opencv-python-headless'"
    ) from error

FROM_NOTHING: Any = None
"""No first guess of what is to be estimated; OpenCV takes None there, and its types do not say so."""

__all__ = ["FROM_NOTHING", "cv2"]
