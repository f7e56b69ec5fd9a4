"""Signed heat over a face: what spoke for a target in red, what spoke against it in blue, and lines around places."""

from __future__ import annotations

import numpy as np
from PIL import Image

from medn_lab.records import Clips, au_columns, positions
from medn_lab.view.drawing import enlarge

FOR, AGAINST = (196, 40, 28), (28, 84, 196)
"""Colours of a positive and of a negative value."""

SIGNED_SCALE = ((0.0, "rgb(28, 84, 196)"), (0.5, "rgba(128, 128, 128, 0.15)"), (1.0, "rgb(196, 40, 28)"))
"""The same as a plotly colour scale: the face shows through where nothing speaks."""

LARGEST_SHARE = 0.995
"""The quantile of the absolute values that gets the full colour; a few pixels lie beyond."""


def full_colour(*heats: np.ndarray) -> float:
    """The absolute value that gets the full colour in all of some maps; 0 where they are empty or zero."""
    values = np.concatenate([np.abs(heat).ravel() for heat in heats]) if heats else np.zeros(1)
    return float(np.quantile(values, LARGEST_SHARE)) or float(values.max())


def smooth(heat: np.ndarray, sigma: float) -> np.ndarray:
    """A map (..., h, w) blurred by a Gaussian of `sigma` pixels; its sum is kept but for what leaves at the border."""
    if sigma <= 0:
        return heat
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (-2, -1):
        padded = np.moveaxis(heat, axis, -1)
        padded = np.pad(padded, [(0, 0)] * (padded.ndim - 1) + [(reach, reach)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=-1)
        heat = np.moveaxis(windows @ kernel, -1, axis)
    return heat


def draw_heat(
    face: np.ndarray | None, heat: np.ndarray, *, largest: float, size: int, outline: np.ndarray | None = None
) -> np.ndarray:
    """A face in grey with a signed map over it.

    Parameters
    ----------
    face : (h, w, 3) uint8 or None
        A plain ground where None.
    heat : (h, w) float
    largest : float
        The absolute value that gets the full colour.
    size : int
        Pixels of the picture's longer side.
    outline : (h, w) bool or None
        A region to draw a line around.

    Returns
    -------
    (h', w', 3) uint8
    """
    h, w = heat.shape
    ground = np.full((h, w, 3), 205, dtype=np.uint8) if face is None else face
    ground = enlarge(ground, size).astype(np.float32)
    grey = 60 + 0.72 * ground.mean(axis=2, keepdims=True).repeat(3, axis=2)
    height, width = grey.shape[:2]
    share = np.clip(heat / largest, -1, 1) if largest > 0 else np.zeros_like(heat)
    # Nearest neighbour: the pixels of a map are what was measured, and a patch has an edge.
    share = np.asarray(Image.fromarray(share.astype(np.float32)).resize((width, height), Image.Resampling.NEAREST))
    colour = np.where(share[..., None] >= 0, np.array(FOR), np.array(AGAINST))
    cover = 0.9 * np.abs(share[..., None]) ** 0.7
    picture = np.clip(grey * (1 - cover) + colour * cover, 0, 255).astype(np.uint8)
    return picture if outline is None else draw_outline(picture, outline)


def draw_outline(picture: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The picture with a white line, dark on both sides, around a region (h, w) bool of another size."""
    height, width = picture.shape[:2]
    mask = Image.fromarray(region.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    inside = np.asarray(mask) >= 128
    line = inside & ~_shrunk(inside)
    for _ in range(round(max(height, width) / 300)):
        line = _grown(line)
    casing = _grown(line)
    drawn = picture.copy()
    drawn[casing] = (25, 25, 30)
    drawn[line] = (255, 255, 255)
    return drawn


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return ~_grown(~np.pad(mask, 1))[1:-1, 1:-1]


def region_of(clips: Clips, clip_id: str, region: str) -> np.ndarray:
    """Where something was planted in a synthetic clip.

    Parameters
    ----------
    clips : Clips
        With truth.
    clip_id : str
    region : str
        ``cue``, an AU, or ``AUs``: wherever the clip's own AUs can move the face.

    Returns
    -------
    (h, w) bool

    Raises
    ------
    ValueError
        If the clips have no truth, or no such region was planted.
    """
    if clips.truth is None:
        raise ValueError(f"these clips have no truth to draw the region {region!r} from; only synthetic clips have one")
    if region == "cue":
        return clips.truth.cue_region(clip_id)
    if region != "AUs":
        return clips.truth.au_mask(clip_id, region)
    row = clips.table.iloc[positions(clips.table, clip_id, owner="these clips")[0]]
    shown = [name for name in au_columns(clips.table) if row[name] == 1 and name in clips.truth.aus]
    masks = [clips.truth.au_mask(clip_id, name) for name in shown]
    return np.any(masks, axis=0) if masks else np.zeros(clips.size, dtype=bool)
