"""Motion magnification: the same clip with its motion made larger, so that an eye can follow it.

Why warping and not frame differences: multiplying ``frame - onset`` amplifies light and noise as much as motion and
leaves double edges beyond a factor of three or four. Here each frame is pushed further along the clip's own
onset-to-apex flow, so that edges stay edges; a clip without flow falls back on frame differences.
"""

from __future__ import annotations

import numpy as np

from medn_lab.view.drawing import enlarge, flow_magnitude, resize_field

MOST = 20.0
"""The largest factor that widgets offer."""


def time_course(frames: np.ndarray, apex: int | None, *, flow: np.ndarray | None = None) -> np.ndarray:
    """How far each frame is on the way from onset (0) to apex (1).

    The difference of each frame from the onset is projected on the apex's difference, over the pixels that the flow
    says move. It is an estimate from the pictures, so it falls back to 0 after the apex as the face does.

    Parameters
    ----------
    frames : (t, h, w, 3) uint8
    apex : int or None
        Position of the apex among the frames; None takes the frame that differs most from the onset.
    flow : (h, w, 2) float or None
        Onset to apex, in pixels.

    Returns
    -------
    (t,) float in [-0.25, 1.25]; 0 at the onset, 1 at the apex. All 0 where nothing changes.

    Examples
    --------
    >>> frames = np.stack([np.full((4, 4, 3), v, np.uint8) for v in (10, 20, 30, 20)])
    >>> time_course(frames, 2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    differences = (frames.astype(np.float32) - frames[0].astype(np.float32)).mean(axis=-1)
    if flow is not None and flow.shape[:2] == differences.shape[1:]:
        differences = differences * flow_magnitude(flow)
    if apex is None:
        apex = int((differences**2).sum(axis=(1, 2)).argmax())
    whole = float((differences[apex] ** 2).sum())
    if whole == 0:
        return np.zeros(len(frames))
    course = (differences * differences[apex]).sum(axis=(1, 2)) / whole
    return np.clip(course, -0.25, 1.25).astype(float)


class Magnifier:
    """One clip, ready to show any of its frames with the motion made larger.

    Parameters
    ----------
    frames : (t, h, w, 3) uint8
    flow : (h, w, 2) float or None
        Onset to apex, pixels at the frames' size. None amplifies frame differences instead.
    apex : int or None
        Position of the apex among the frames.
    size : int or None
        Enlarge the longer side to this many pixels; done before warping, which keeps edges smooth.
    """

    def __init__(
        self, frames: np.ndarray, flow: np.ndarray | None, *, apex: int | None = None, size: int | None = None
    ) -> None:
        self._frames = frames
        self._size = size or max(frames.shape[1:3])
        self._motion: tuple[np.ndarray, np.ndarray] | None = None
        if flow is not None:
            self._motion = steady(flow[..., :2].astype(np.float32)), time_course(frames, apex, flow=flow)

    def frame(self, place: int, factor: float) -> np.ndarray:
        """The frame at `place` with its motion made `factor` times as large, (h', w', 3) uint8.

        Raises
        ------
        ValueError
            If the factor is below 1.
        """
        if not factor >= 1:
            raise ValueError(f"the motion can be magnified by 1 or more, not by {factor}")
        image = enlarge(self._frames[place], self._size)
        if factor == 1:
            return image
        if self._motion is None:
            onset = enlarge(self._frames[0], self._size).astype(np.float32)
            return np.clip(onset + factor * (image.astype(np.float32) - onset), 0, 255).astype(np.uint8)
        field, course = self._motion
        step = (factor - 1) * course[place]
        return image if abs(step) < 1e-3 else _push(image, field, step)


def magnify_clip(
    frames: np.ndarray, *, flow: np.ndarray | None, factor: float, apex: int | None = None, size: int | None = None
) -> np.ndarray:
    """A clip with its motion made `factor` times as large.

    Parameters
    ----------
    frames : (t, h, w, 3) uint8
    flow : (h, w, 2) float or None
        Onset to apex, pixels at the frames' size. None amplifies frame differences instead.
    factor : float
        1 leaves the clip as it is; up to 20 or so is meaningful.
    apex : int or None
        Position of the apex among the frames.
    size : int or None
        Enlarge the longer side to this many pixels.

    Returns
    -------
    (t, h', w', 3) uint8

    Raises
    ------
    ValueError
        If the factor is below 1.

    Examples
    --------
    >>> frames = np.stack([np.full((8, 8, 3), v, np.uint8) for v in (10, 20, 30, 20)])
    >>> magnify_clip(frames, flow=np.zeros((8, 8, 2)), factor=10).shape
    (4, 8, 8, 3)
    """
    magnifier = Magnifier(frames, flow, apex=apex, size=size)
    return np.stack([magnifier.frame(place, factor) for place in range(len(frames))])


def steady(flow: np.ndarray) -> np.ndarray:
    """The flow without what a large factor would tear: blurred, and still where it hardly moved."""
    h, w = flow.shape[:2]
    smooth = _blur(flow, max(h, w) / 40)
    magnitude = flow_magnitude(smooth)
    quiet = 0.1 * float(magnitude.max())
    return smooth * np.clip((magnitude - quiet) / max(quiet, 1e-6), 0, 1)[..., None]


def _blur(field: np.ndarray, sigma: float) -> np.ndarray:
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(field, [(reach, reach) if a == axis else (0, 0) for a in range(field.ndim)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        field = windows @ kernel
    return field


def _push(image: np.ndarray, flow: np.ndarray, factor: float) -> np.ndarray:
    """The image with every point moved by ``factor * flow``."""
    h, w = flow.shape[:2]
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    # A pixel looks up where it came from: the displacement d with d(p) = factor * flow(p - d(p)), by iteration. Half
    # steps keep the iteration calm where a large factor makes the field steep.
    back = factor * flow
    for _ in range(8):
        back = 0.5 * back + 0.5 * factor * _sample(flow, columns - back[..., 0], rows - back[..., 1])
    height, width = image.shape[:2]
    back = resize_field(back, height, width) * (width / w)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = _sample(image.astype(np.float32), columns - back[..., 0], rows - back[..., 1])
    return np.clip(moved + 0.5, 0, 255).astype(np.uint8)


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of `image` (h, w, k) at positions (x, y), the border repeated."""
    h, w = image.shape[:2]
    x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    left, top = np.minimum(x.astype(np.int32), w - 2), np.minimum(y.astype(np.int32), h - 2)
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - right_share) + image[top, left + 1] * right_share
    lower = image[top + 1, left] * (1 - right_share) + image[top + 1, left + 1] * right_share
    return upper * (1 - lower_share) + lower * lower_share
