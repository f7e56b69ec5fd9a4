"""OpenCV, with a helpful sentence where its wheel cannot be loaded; every module of this room takes it from here."""

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV could not be loaded ({error}); where libGL or a display is missing, run "
        "'pip uninstall opencv-python' and then 'pip install opencv-python-headless'"
    ) from error

__all__ = ["cv2"]
