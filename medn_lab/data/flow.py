"""Dense optical flow from the onset to the apex.

Resolution beats algorithm: flow is computed at the resolution that it is given, and only then pooled to the network's
size, so callers hand over renderings or crops of at least twice that size.

References
----------
.. [1] T. Kroeger, R. Timofte, D. Dai, L. Van Gool: Fast Optical Flow using Dense Inverse Search. ECCV 2016.
.. [2] G. Farnebäck: Two-Frame Motion Estimation Based on Polynomial Expansion. SCIA 2003.
.. [3] C. Zach, T. Pock, H. Bischof: A Duality Based Approach for Realtime TV-L1 Optical Flow. DAGM 2007.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from medn_lab.data.opencv import FROM_NOTHING, cv2

FlowMethod = Literal["dis", "farneback", "tvl1", "tvl1_skimage"]

SMALLEST_SIDE = 16
"""Pixels; dense inverse search refuses images that are smaller than its patches at the coarsest scale."""

BLUR_SHARE = 3.0 / 256.0
"""Default blur of the field (its sigma) as a share of the longer side: 3 px at 256 px."""

_local = threading.local()


def optical_flow(
    onset: np.ndarray,
    apex: np.ndarray,
    *,
    method: FlowMethod = "dis",
    size: int | tuple[int, int] | None = None,
    mask: np.ndarray | None = None,
    blur: float | None = None,
) -> np.ndarray:
    """Displacement of the skin from the onset frame to the apex frame, in pixels at `size`.

    ``flow[y, x]`` says how far the point that is at (x, y) in the onset frame has moved in the apex frame. It is
    computed at the resolution of the images, blurred lightly, masked, and pooled to `size`. Pooling a field that was
    computed at twice the size or more halves its error against one that was computed at `size`.

    Parameters
    ----------
    onset, apex : (h, w) or (h, w, 3) uint8
        Grey or RGB, 0-255, both of one shape, at least 16 px a side, registered to each other.
    method : {"dis", "farneback", "tvl1", "tvl1_skimage"}
        ``dis`` is dense inverse search down to single pixels, the most accurate and the default; ``farneback`` invents
        less motion on flat ground; ``tvl1`` is OpenCV's TV-L1, for reproducing others (it needs the wheel
        ``opencv-contrib-python``); ``tvl1_skimage`` is scikit-image's, always there and not the same to the last digit.
    size : int or (int, int), optional
        Side, or height and width, of the field returned. By default that of the images.
    mask : (h, w) bool or float, optional
        Where the face is: weights in [0, 1] at the images' resolution by which the field is multiplied.
    blur : float, optional
        Sigma of the Gaussian by which the field is smoothed, in pixels at the images' resolution. By default 3 px at
        256 px for ``dis`` and none for the others. The mask keeps what lies outside the face from being blurred into
        it.

    Returns
    -------
    (h', w', 2) float32
        x to the right and y down, in pixels at `size`.

    Raises
    ------
    ValueError
        If the images differ in shape, are not uint8 or are too small, or the mask does not fit them.
    ImportError
        If ``tvl1`` is asked for and this OpenCV has no contrib modules.

    See Also
    --------
    FlowRecipe : everything about how a clip becomes a network's flow input.
    register : takes out the head's motion first.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (80, 80)).astype(np.float32)
    >>> skin = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.uint8)
    >>> moved = np.roll(skin, 2, axis=1)
    >>> flow = optical_flow(skin, moved, size=40)
    >>> flow.shape, np.round(np.median(flow, axis=(0, 1))).tolist()
    ((40, 40, 2), [1.0, 0.0])
    """
    _check_images(onset, apex, method)
    height, width = onset.shape[:2]
    estimate = _ESTIMATORS[method]
    field = np.asarray(estimate(_grey(onset), _grey(apex)), dtype=np.float32)
    weights = None if mask is None else _weights(mask, (height, width))
    sigma = blur if blur is not None else (BLUR_SHARE * max(height, width) if method == "dis" else 0.0)
    if sigma > 0:
        field = _blurred(field, weights, sigma)
    if weights is not None:
        field = field * weights[..., None]
    return field if size is None else resize_flow(field, size=size)


def resize_flow(flow: np.ndarray, *, size: int | tuple[int, int]) -> np.ndarray:
    """A field at another resolution: average-pooled where it shrinks, and its pixels counted in the new size.

    Parameters
    ----------
    flow : (h, w, 2) float32
        Displacement in pixels at (h, w).
    size : int or (int, int)
        Side, or height and width, of the result.

    Returns
    -------
    (h', w', 2) float32 in pixels at `size`.
    """
    height, width = (size, size) if isinstance(size, (int, np.integer)) else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be positive, {height} x {width} was asked for")
    from_height, from_width = flow.shape[:2]
    if (height, width) == (from_height, from_width):
        return np.ascontiguousarray(flow)
    shrinks = height <= from_height and width <= from_width
    pooled = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return pooled * np.array((width / from_width, height / from_height), np.float32)


def _check_images(onset: np.ndarray, apex: np.ndarray, method: str) -> None:
    if method not in get_args(FlowMethod):
        raise ValueError(f"no flow method {method!r}; there are {', '.join(get_args(FlowMethod))}")
    if onset.shape != apex.shape:
        raise ValueError(f"onset is {onset.shape} and apex {apex.shape}; both must have one shape")
    if onset.dtype != np.uint8 or apex.dtype != np.uint8:
        raise ValueError(f"onset is {onset.dtype} and apex {apex.dtype}; both must be uint8 from 0 to 255")
    if onset.ndim not in (2, 3) or (onset.ndim == 3 and onset.shape[2] != 3):
        raise ValueError(f"frames must be grey (h, w) or RGB (h, w, 3); these are {onset.shape}")
    if min(onset.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"frames of {onset.shape[1]}x{onset.shape[0]} px are too small for flow; "
            f"render or enlarge them to {SMALLEST_SIDE} px a side or more"
        )


def _grey(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _weights(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if mask.shape != shape:
        raise ValueError(f"the mask is {mask.shape} but the frames are {shape}; give it at the frames' resolution")
    weights = mask.astype(np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() > 1:
        raise ValueError("the mask must be bool, or weights from 0 to 1")
    return weights


def _blurred(field: np.ndarray, weights: np.ndarray | None, sigma: float) -> np.ndarray:
    """Gaussian mean of the field, weighted by the mask, so that motion invented outside the face stays outside."""
    if weights is None:
        return cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    held = cv2.GaussianBlur(weights, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    total = cv2.GaussianBlur(field * weights[..., None], (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return total / np.maximum(held, 1e-6)[..., None]


def _dis(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    # The presets stop at half or quarter resolution, which loses small motion.
    return _dis_estimator(0).calc(onset, apex, FROM_NOTHING)


def half_resolution_flow(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    """Displacement (h, w, 2) in pixels, found at half the resolution of two grey images.

    A similarity fitted to it lies as near to the truth as one that is fitted to the full field, for a quarter of the
    time: of a field that is averaged over thousands of points, the finest scale only brings noise.
    """
    return _dis_estimator(1).calc(onset, apex, FROM_NOTHING)


def _dis_estimator(finest: int) -> cv2.DISOpticalFlow:
    # An estimator keeps buffers of the last images it saw, so no two threads may share one.
    if not hasattr(_local, f"dis{finest}"):
        setattr(_local, f"dis{finest}", cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    estimator = getattr(_local, f"dis{finest}")
    # Anew each time: for an image too small for its scales it chooses others, and would keep them for the next image.
    estimator.setFinestScale(finest)
    estimator.setPatchSize(8)
    return estimator


def _farneback(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    return cv2.calcOpticalFlowFarneback(onset, apex, FROM_NOTHING, 0.5, 5, 13, 10, 5, 1.1, 0)


def usable_method(method: FlowMethod) -> FlowMethod:
    """The method itself, or scikit-image's TV-L1 with a warning where this OpenCV has no TV-L1."""
    if method != "tvl1":
        return method
    try:
        _tvl1(np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8))
    except ImportError:
        warnings.warn(
            "this OpenCV has no TV-L1, so scikit-image's is computed (tvl1_skimage), which is not the same to the last"
            " digit; OpenCV's own is in the wheel opencv-contrib-python, which replaces opencv-python",
            stacklevel=3,
        )
        return "tvl1_skimage"
    return method


def _tvl1(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    try:  # asking with hasattr is not enough: stubs of the module exist in wheels that lack it
        estimator = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]
        return estimator.calc(onset, apex, FROM_NOTHING)
    except (AttributeError, cv2.error) as error:
        raise ImportError(
            "TV-L1 is in OpenCV's contrib modules only: run 'pip uninstall opencv-python' and then "
            "'pip install opencv-contrib-python', or choose method='tvl1_skimage', which needs neither"
        ) from error


def _tvl1_skimage(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    rows, columns = optical_flow_tvl1(onset.astype(np.float32) / 255.0, apex.astype(np.float32) / 255.0)
    return np.stack([columns, rows], axis=-1)


_ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "dis": _dis,
    "farneback": _farneback,
    "tvl1": _tvl1,
    "tvl1_skimage": _tvl1_skimage,
}
