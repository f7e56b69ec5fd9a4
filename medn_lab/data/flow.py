"""Dense optical flow from the onset to the apex, and how a clip becomes the network's flow input.

Resolution beats algorithm: flow is computed at the resolution of its images, and only then pooled to the network's
size, so callers give renderings or crops of at least twice that size.

References
----------
.. [1] T. Kroeger, R. Timofte, D. Dai, L. Van Gool: Fast Optical Flow using Dense Inverse Search. ECCV 2016.
.. [2] G. Farnebäck: Two-Frame Motion Estimation Based on Polynomial Expansion. SCIA 2003.
.. [3] C. Zach, T. Pock, H. Bischof: A Duality Based Approach for Realtime TV-L1 Optical Flow. DAGM 2007.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import cv2
import numpy as np

from medn_lab.data.frames import NO_GUESS
from medn_lab.records.table import one_of

FlowMethod = Literal["dis", "farneback", "tvl1", "tvl1_skimage"]
FlowCoding = Literal["uv", "uv_strain", "hsv"]
FaceAlign = Literal["box", "eyes"]
RecipeName = Literal["default", "hsv_tvl1", "uv_strain_28", "uv_strain_48"]

SMALLEST_SIDE = 16
"""Pixels; dense inverse search refuses images that are smaller than its patches at the coarsest scale."""

_local = threading.local()


def optical_flow(
    onset: np.ndarray, apex: np.ndarray, *, method: FlowMethod = "dis", size: int | None = None,
    mask: np.ndarray | None = None, blur: float | None = None,
) -> np.ndarray:  # fmt: skip
    """Displacement of the skin from the onset frame to the apex frame, in pixels at `size`.

    ``flow[y, x]`` is how far the point at (x, y) of the onset frame has moved in the apex frame. It is
    computed at the resolution of the images, blurred lightly, masked, and pooled to `size`. Pooling a field that was
    computed at twice the size or more halves its error against one that was computed at `size`.

    Parameters
    ----------
    onset, apex : (h, w) or (h, w, 3) uint8
        Grey or RGB, 0-255, both of one shape, at least 16 px a side, registered to each other.
    method : {"dis", "farneback", "tvl1", "tvl1_skimage"}
        ``dis`` is dense inverse search down to single pixels, the most accurate and the default; ``farneback`` finds
        less false motion on flat areas; ``tvl1`` is OpenCV's TV-L1, for reproducing others (it needs the wheel
        ``opencv-contrib-python``); ``tvl1_skimage`` is scikit-image's, always there; its last digits differ.
    size : int, optional
        Side of the field returned. By default that of the images.
    mask : (h, w) bool or float, optional
        Where the face is: weights in [0, 1] at the images' resolution by which the field is multiplied.
    blur : float, optional
        Sigma of the Gaussian by which the field is smoothed, in pixels at the images' resolution. By default 3 px at
        256 px for ``dis`` and none for the others. The mask keeps motion outside the face from being blurred into
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
        If the method is ``tvl1`` and this OpenCV has no contrib modules.

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
    estimate = _ESTIMATORS[one_of(method, _ESTIMATORS, "the flow method")]
    height, width = onset.shape[:2]
    uint8 = onset.dtype == apex.dtype == np.uint8 and onset.shape[2:] in ((), (3,))
    if onset.shape != apex.shape or not uint8 or min(height, width) < SMALLEST_SIDE:
        found = f"onset is {onset.dtype} {onset.shape} and apex {apex.dtype} {apex.shape}"
        raise ValueError(f"{found}; both must be uint8, grey or RGB, of one shape, {SMALLEST_SIDE} px a side or more")
    field: np.ndarray = np.asarray(estimate(grey(onset), grey(apex)), dtype=np.float32)
    weights = None if mask is None else mask.astype(np.float32)
    if weights is not None and (weights.shape != (height, width) or not 0 <= weights.min() <= weights.max() <= 1):
        found = f"{weights.shape}, from {weights.min():g} to {weights.max():g}"
        raise ValueError(f"the mask must have weights from 0 to 1 and shape {(height, width)}; it is {found}")
    sigma = blur if blur is not None else (3.0 / 256.0 * max(height, width) if method == "dis" else 0.0)
    if sigma > 0:
        mean = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_REFLECT)
        if weights is None:
            field = mean(field)
        else:  # weighted by the mask, so that motion outside the face stays outside
            field = mean(field * weights[..., None]) / np.maximum(mean(weights), 1e-6)[..., None]
    if weights is not None:
        field = field * weights[..., None]
    return field if size is None else resize_flow(field, size=size)


def resize_flow(flow: np.ndarray, *, size: int) -> np.ndarray:
    """A field at another resolution: average-pooled where it shrinks, and its pixels counted in the new size."""
    height, width = flow.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(flow)
    how = cv2.INTER_AREA if size <= min(height, width) else cv2.INTER_LINEAR
    return cv2.resize(flow, (size, size), interpolation=how) * np.array((size / width, size / height), np.float32)


def grey(image: np.ndarray) -> np.ndarray:
    """A grey image of a grey or RGB one."""
    return np.ascontiguousarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def dis_flow(onset: np.ndarray, apex: np.ndarray, *, finest: int = 0) -> np.ndarray:
    """Displacement (h, w, 2) in pixels between two grey images by dense inverse search.

    With `finest` 1 it is computed at half the resolution, in a quarter of the time. A similarity fitted to this field
    is as accurate as one fitted to the full field: the fit averages over thousands of points, and the finest scale adds
    only noise. OpenCV's presets stop at half or quarter resolution, which loses small motion.
    """
    # An estimator keeps buffers of the last images it saw, so no two threads may share one.
    if not hasattr(_local, f"dis{finest}"):
        setattr(_local, f"dis{finest}", cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    estimator = getattr(_local, f"dis{finest}")
    # Set at each call: for a small image the estimator chooses other scales, and would keep them for the next image.
    estimator.setFinestScale(finest)
    estimator.setPatchSize(8)
    return estimator.calc(onset, apex, NO_GUESS)


def _tvl1(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    try:  # hasattr is not enough: stubs of the module exist in wheels that lack it
        return cv2.optflow.DualTVL1OpticalFlow_create().calc(onset, apex, NO_GUESS)  # type: ignore[attr-defined]
    except (AttributeError, cv2.error) as error:
        wheel = "replace the package opencv-python by opencv-contrib-python"
        raise ImportError(f"this OpenCV has no TV-L1; {wheel}, or choose method='tvl1_skimage'") from error


def _tvl1_skimage(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    rows, columns = optical_flow_tvl1(onset.astype(np.float32) / 255.0, apex.astype(np.float32) / 255.0)
    return np.stack([columns, rows], axis=-1)


_ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "dis": dis_flow,
    "farneback": lambda onset, apex: cv2.calcOpticalFlowFarneback(onset, apex, NO_GUESS, 0.5, 5, 13, 10, 5, 1.1, 0),
    "tvl1": _tvl1,
    "tvl1_skimage": _tvl1_skimage,
}


def optical_strain(flow: np.ndarray) -> np.ndarray:
    """How strongly the skin is stretched and sheared: the Frobenius norm of the symmetric gradient of the flow.

    ``sqrt(u_x**2 + v_y**2 + (u_y + v_x)**2 / 2)`` with central differences; 0 for a shift, and to first order for a
    rotation.

    Parameters
    ----------
    flow : (h, w, 2) float
        Displacement in pixels.

    Returns
    -------
    (h, w) float32, at least 0, without unit.

    Examples
    --------
    >>> stretched = np.zeros((4, 4, 2))
    >>> stretched[..., 0] = 0.1 * np.arange(4)  # 10 % longer along x
    >>> round(float(optical_strain(stretched)[1, 1]), 3)
    0.1
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2.0).astype(np.float32)


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """A colour picture of a field: hue is the direction, value the length over the longest of the field.

    Parameters
    ----------
    flow : (h, w, 2) float
        Displacement in pixels.

    Returns
    -------
    (h, w, 3) float32 RGB in [0, 1]
        Right is red, down is yellow-green, left is cyan, up is violet; no movement is black.

    Examples
    --------
    >>> flow = np.zeros((2, 2, 2))
    >>> flow[0, 0] = 1.0, 0.0
    >>> flow_colours(flow).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    """
    length = np.linalg.norm(flow, axis=-1).astype(np.float32)
    top = float(length.max())
    hsv = np.ones((*length.shape, 3), np.float32)
    hsv[..., 0] = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360.0
    hsv[..., 2] = length / (top or 1.0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def code_flow(flow: np.ndarray, *, coding: FlowCoding, size: int, face: np.ndarray | None = None) -> np.ndarray:
    """A field at the computing resolution as the network's flow input, (size, size, 2 or 3) float32.

    `face` is 1 inside the face and 0 outside; no colour outside is then brighter than three times their mean.
    """
    if coding == "hsv":  # the picture is made first and then resized, as its authors do
        colours = flow_colours(flow)
        outside = np.zeros(colours.shape[:2], dtype=bool) if face is None else face < 0.5
        if outside.any():
            colours[outside] = np.minimum(colours[outside], 3.0 * colours[outside].mean())
        return cv2.resize(colours, (size, size), interpolation=cv2.INTER_AREA)
    small = resize_flow(flow, size=size)
    if coding == "uv":
        return small
    return np.concatenate([small, optical_strain(small)[..., None]], axis=-1)


@dataclasses.dataclass(frozen=True)
class FlowRecipe:
    """Everything about how frames and flow are made.

    Attributes
    ----------
    name : str
        What to call it; changes nothing.
    method : {"dis", "farneback", "tvl1", "tvl1_skimage"}
        As in :func:`optical_flow`.
    compute_size : int
        Side of the face crop in pixels at which flow is computed, where the frames have that many. Coarser faces are
        computed at their own resolution, or at twice `size` if that is more.
    size : int
        Side of what the network gets, frames and flow alike.
    n_frames : int
        Frames a clip, spread from onset to offset, one of them the apex.
    coding : {"uv", "uv_strain", "hsv"}
        ``uv``: displacement in pixels at `size`, 2 channels. ``uv_strain``: with the optical strain as a third channel,
        ``sqrt(u_x**2 + v_y**2 + (u_y + v_x)**2 / 2)``, the Frobenius norm of the symmetric gradient, without unit.
        ``hsv``: a colour picture, 3 channels in [0, 1]: hue the direction, value the length over the clip's longest.
        Lengths of two clips cannot be compared then, and values are no pixels.
    outside : float
        Weight of the flow outside the face, from 0 (masked) to 1 (kept).
    blur : float or None
        As in :func:`optical_flow`.
    register : bool
        Whether frames are moved onto the onset (shift, rotation, scale) before flow is computed.
    align : {"box", "eyes"}
        ``box``: the square of the detector or around the landmarks. ``eyes``: frames are turned until the onset's eyes
        are level and cropped to 2.5 times the extent of eyes, nose tip and mouth corners; where these are unknown the
        crop is the box, and a row of ``problems`` reports it.

    Examples
    --------
    >>> FlowRecipe.named("uv_strain_28").size
    28
    >>> FlowRecipe(**FlowRecipe(size=96).to_dict()) == FlowRecipe(size=96)
    True
    """

    name: str = "default"
    method: FlowMethod = "dis"
    compute_size: int = 256
    size: int = 64
    n_frames: int = 8
    coding: FlowCoding = "uv"
    outside: float = 0.0
    blur: float | None = None
    register: bool = True
    align: FaceAlign = "box"

    def __post_init__(self) -> None:
        for name, allowed in (("method", FlowMethod), ("coding", FlowCoding), ("align", FaceAlign)):
            one_of(getattr(self, name), get_args(allowed), name)
        if not 8 <= self.size <= self.compute_size:
            raise ValueError(f"size must be from 8 to compute_size ({self.compute_size}), not {self.size}")
        if self.n_frames < 2:
            raise ValueError(f"a clip needs at least 2 frames, n_frames is {self.n_frames}")

    @classmethod
    def named(cls, name: RecipeName) -> FlowRecipe:
        """A recipe of this library or of the field.

        ``default`` has the flow that is nearest to the truth (``tests/benchmarks/bench_data.py``).

        ``hsv_tvl1`` is that of the public preprocessing tool of MEDN's first author; whether the paper used it is not
        known. A 256 px crop with level eyes, 2.5 times as large as eyes, nose tip and mouth corners; dual TV-L1 from
        onset to apex; flow outside the face's outline divided by 3; colours whose brightness is the length over the
        clip's longest; 128 px. It differs from the tool in three ways. The tool aligns onset and apex by landmarks of
        their own, here one alignment serves the clip and frames are registered. The outline is an ellipse. It needs
        OpenCV's contrib modules; ``tvl1_skimage`` is nearly the same and always there. On SynthME both branches had an
        accuracy of .875 with it, of .847 with ``default``, both at 64 px: a difference of .03, 95 % interval -.00 to
        .06 (288 clips, 24 persons, 3 trainings, measured with version 0.1.0).

        ``uv_strain_28`` and ``uv_strain_48`` are the field's small inputs: u, v and optical strain, in pixels here. In
        the packs that circulate each channel is scaled clip by clip (:func:`read_flow_pack`).
        """
        return RECIPES[one_of(name, RECIPES, "the recipe")]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; `align` only where it is not ``box``, as earlier versions wrote recipes."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if (name, value) != ("align", "box")}


_RECIPES = (
    FlowRecipe(),
    FlowRecipe(name="hsv_tvl1", method="tvl1", size=128, coding="hsv", outside=1.0 / 3.0, align="eyes"),
    FlowRecipe(name="uv_strain_28", size=28, coding="uv_strain"),
    FlowRecipe(name="uv_strain_48", size=48, coding="uv_strain"),
)
RECIPES = {recipe.name: recipe for recipe in _RECIPES}
"""The recipes known by name."""
