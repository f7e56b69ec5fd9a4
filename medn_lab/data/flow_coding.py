"""What the network is shown of a displacement field: the field itself, its strain, or a colour picture."""

from __future__ import annotations

import numpy as np

from medn_lab.data.flow import resize_flow
from medn_lab.data.opencv import cv2
from medn_lab.data.recipe import FlowCoding


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


def flow_colours(flow: np.ndarray, *, longest: float | None = None) -> np.ndarray:
    """A colour picture of a field: hue is the direction, value the length.

    Parameters
    ----------
    flow : (h, w, 2) float
        Displacement in pixels.
    longest : float, optional
        The length that is shown at full value; by default the longest of the field.

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
    top = float(length.max()) if longest is None else longest
    hsv = np.ones((*length.shape, 3), np.float32)
    hsv[..., 0] = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360.0
    hsv[..., 2] = np.clip(length / top, 0.0, 1.0) if top > 0 else 0.0
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def code_flow(flow: np.ndarray, *, coding: FlowCoding, size: int, face: np.ndarray | None = None) -> np.ndarray:
    """A field at the computing resolution as the network's flow input.

    Parameters
    ----------
    flow : (h, w, 2) float32
        Displacement in pixels at (h, w).
    coding : {"uv", "uv_strain", "hsv"}
        As in :class:`FlowRecipe`.
    size : int
        Side of the result.
    face : (h, w) float, optional
        1 inside the face, 0 outside. No colour outside is then brighter than three times their mean.

    Returns
    -------
    (size, size, 2 or 3) float32
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
