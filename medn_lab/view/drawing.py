"""Pixels: enlarging a face, drawing flow over it, amplifying its motion, and packing frames for a page.

Only numpy and Pillow; every image is (h, w, 3) uint8 and every flow (h, w, 2) in pixels at its own size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from medn_lab.view import theme

ARROWS_ACROSS = 13
_ARROW_COLOUR = (255, 226, 64)
_ARROW_CASING = (20, 16, 32)


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """The image with its longer side at `size` pixels, smoothly interpolated.

    Parameters
    ----------
    image : (h, w, 3) uint8
    size : int
        Pixels of the longer side.

    Returns
    -------
    (h', w', 3) uint8
    """
    h, w = image.shape[:2]
    scale = size / max(h, w)
    width, height = max(1, round(w * scale)), max(1, round(h * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BICUBIC))


def resize_field(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """A field of floats, (h, w) or (h, w, k), at another size, smoothly interpolated; its values are kept."""
    layers = field[..., None] if field.ndim == 2 else field
    scaled = [
        np.asarray(Image.fromarray(layer.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
        for layer in np.moveaxis(layers, -1, 0)
    ]
    return scaled[0] if field.ndim == 2 else np.stack(scaled, axis=-1)


def flow_magnitude(flow: np.ndarray) -> np.ndarray:
    """Length of the displacement at each pixel, (..., h, w) in pixels."""
    return np.hypot(flow[..., 0], flow[..., 1]).astype(np.float32)


def arrow_grid(
    flow: np.ndarray, *, across: int = ARROWS_ACROSS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Where to draw arrows over a flow, and how much longer than the motion.

    Each arrow is the mean displacement of its cell; cells that hardly move get none.

    Parameters
    ----------
    flow : (h, w, 2) float
        In pixels.
    across : int
        Cells along the longer side.

    Returns
    -------
    x, y, dx, dy : (k,) float
        Feet of the arrows and the displacement, in pixels of the flow.
    gain : float
        By how much to lengthen: the longest arrow then spans a little more than a cell.
    """
    h, w = flow.shape[:2]
    cell = max(1, round(max(h, w) / across))
    rows, columns = h // cell, w // cell
    blocks = flow[: rows * cell, : columns * cell, :2].reshape(rows, cell, columns, cell, 2).mean(axis=(1, 3))
    lengths = np.hypot(blocks[..., 0], blocks[..., 1])
    longest = float(lengths.max(initial=0.0))
    moving = lengths > max(0.15 * longest, 1e-3)
    row, column = np.nonzero(moving)
    gain = 1.2 * cell / longest if longest > 1e-3 else 1.0
    gain = float(np.clip(round(gain) if gain >= 2 else round(gain, 1), 1.0, 50.0))
    offset_y, offset_x = (h - rows * cell) / 2, (w - columns * cell) / 2
    x = column * cell + cell / 2 + offset_x
    y = row * cell + cell / 2 + offset_y
    return x, y, blocks[row, column, 0], blocks[row, column, 1], gain


def common_scale(flows: Sequence[np.ndarray]) -> tuple[float, float]:
    """One scale for several flows, so that they can be compared: the brightest magnitude in pixels, and arrows' gain.

    Parameters
    ----------
    flows : sequence of (h, w, 2) float
        In pixels, at least one.

    Returns
    -------
    largest, gain
        As :func:`draw_magnitude` and :func:`draw_arrows` take them: no arrow is longer than it would be by itself.

    Examples
    --------
    >>> common_scale([np.full((4, 4, 2), 3.0), np.full((4, 4, 2), 0.3)])[0]
    4.242640495300293
    """
    largest = max(float(flow_magnitude(flow).max()) for flow in flows)
    return largest, min(arrow_grid(flow)[-1] for flow in flows if np.any(flow)) if largest > 0 else 1.0


def draw_arrows(image: np.ndarray, flow: np.ndarray, *, gain: float | None = None) -> tuple[np.ndarray, float]:
    """The image with the flow as arrows over it.

    Parameters
    ----------
    image : (h', w', 3) uint8
    flow : (h, w, 2) float
        In pixels at its own size, which may differ from the image's.
    gain : float or None
        How many times longer than the motion the arrows are; so many that the longest spans a cell where None.

    Returns
    -------
    (h', w', 3) uint8, and how many times longer than the motion the arrows are.
    """
    x, y, dx, dy, own = arrow_grid(flow)
    gain = own if gain is None else gain
    fine = 2  # drawn at twice the size and shrunk: Pillow's lines have hard edges
    height, width = image.shape[:2]
    scale = fine * width / flow.shape[1]
    canvas = Image.fromarray(np.ascontiguousarray(image)).resize(
        (fine * width, fine * height), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(canvas)
    unit = fine * max(width, height) / 320
    for colour, border in ((_ARROW_CASING, 0.9 * unit), (_ARROW_COLOUR, 0.0)):
        for foot_x, foot_y, step_x, step_y in zip(x, y, dx * gain, dy * gain, strict=True):
            foot = np.array([foot_x, foot_y]) * scale
            tip = foot + np.array([step_x, step_y]) * scale
            _draw_arrow(pen, foot, tip, colour, unit=unit, border=border)
    return np.asarray(canvas.resize((width, height), Image.Resampling.LANCZOS)), gain


def _draw_arrow(
    pen: ImageDraw.ImageDraw,
    foot: np.ndarray,
    tip: np.ndarray,
    colour: tuple[int, int, int],
    *,
    unit: float,
    border: float,
) -> None:
    """One arrow; `border` widens it on all sides, for the dark casing that lifts it off the skin."""
    along = tip - foot
    length = float(np.hypot(*along))
    if length < 1:
        return
    along, across = along / length, np.array([-along[1], along[0]]) / length
    head = min(0.5 * length, 7.0 * unit)
    neck = tip - along * head
    pen.line([tuple(foot - along * border), tuple(neck)], fill=colour, width=max(1, round(1.5 * unit + 2 * border)))
    wing = across * (0.5 * head + 1.3 * border)
    back = along * border
    pen.polygon([tuple(tip + 2 * back), tuple(neck - back + wing), tuple(neck - back - wing)], fill=colour)


def draw_magnitude(image: np.ndarray, flow: np.ndarray, *, largest: float | None = None) -> tuple[np.ndarray, float]:
    """The image, greyed, with the flow's magnitude glowing over it.

    Parameters
    ----------
    image : (h', w', 3) uint8
    flow : (h, w, 2) float
        In pixels.
    largest : float or None
        The magnitude that gets the brightest colour, in pixels; the flow's own largest where None.

    Returns
    -------
    (h', w', 3) uint8, and the magnitude of the brightest colour in pixels.
    """
    magnitude = flow_magnitude(flow)
    largest = float(magnitude.max()) if largest is None else largest
    height, width = image.shape[:2]
    share = np.clip(resize_field(magnitude / max(largest, 1e-6), height, width), 0, 1)[..., None]
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.75
    mixed = grey * (1 - 0.8 * np.sqrt(share)) + magnitude_colours(share[..., 0]) * 0.8 * np.sqrt(share)
    return np.clip(mixed, 0, 255).astype(np.uint8), largest


def magnitude_colours(share: np.ndarray) -> np.ndarray:
    """Colours of the magnitude scale, (..., 3) float from 0 to 255, for shares in [0, 1]."""
    stops = np.array([stop for stop, _ in theme.MAGNITUDE_SCALE])
    colours = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for _, code in theme.MAGNITUDE_SCALE])
    return np.stack([np.interp(share, stops, colours[:, channel]) for channel in range(3)], axis=-1)


def to_webp(images: Sequence[np.ndarray], *, milliseconds: Sequence[float] | float = 120.0, quality: int = 82) -> bytes:
    """One image, or an endlessly looping animation, as a WebP file.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
    milliseconds : float or sequence of float
        How long each image stays.
    quality : int
        1 to 100.

    Returns
    -------
    bytes
    """
    stream = io.BytesIO()
    pages = [Image.fromarray(np.ascontiguousarray(image)) for image in images]
    if len(pages) == 1:
        pages[0].save(stream, "WEBP", quality=quality, method=2)
    else:
        each = list(milliseconds) if isinstance(milliseconds, Sequence) else [milliseconds] * len(pages)
        stays = [max(20, round(stay)) for stay in each]
        pages[0].save(
            stream, "WEBP", save_all=True, append_images=pages[1:], duration=stays, loop=0, quality=quality, method=1
        )
    return stream.getvalue()


def data_uri(payload: bytes) -> str:
    """A WebP file's bytes as a ``data:`` address that a page can show without asking anyone."""
    return f"data:image/webp;base64,{base64.b64encode(payload).decode()}"
