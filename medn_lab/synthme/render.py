"""One frame of a moved face: warp, folds, lids over eyeballs, blood flow, head motion; a pure function."""

from __future__ import annotations

import cv2
import numpy as np

from medn_lab.synthme.action_table import Side, check_au, check_intensity, peak_of, sides_of
from medn_lab.synthme.actions import lips_apart, turned_back, unit_field, unit_shade
from medn_lab.synthme.cue import (
    BRIGHT_GREYS,
    FLUSH,
    FLUSH_GREYS,
    PULSE_PIXELS,
    CueKind,
    bright_weight,
    check_cue,
    colour_weight,
    pulse_field,
)
from medn_lab.synthme.faces import Face

LASH_WIDTH = 0.0075
"""Half the height of the upper lash line in face units."""

MOUTH_INSIDE = np.array([44, 18, 17], np.float32)
"""What parted lips show, sRGB."""


def compose(
    face: Face,
    pixels: dict[tuple[str, str], float],
    *,
    cue: str = "colour",
    level: float = 0.0,
    blink: float = 0.0,
    head: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """A frame before camera and compression, (size, size, 3) float32, sRGB 0-255.

    Parameters
    ----------
    face : Face
    pixels : dict of (AU, half of the face) to float
        Peak of each AU's motion now, in pixels of a 128 px picture.
    cue : {"colour", "timing", "brightness"}
    level : float
        The cue now: its strength times its course, as :func:`medn_lab.synthme.cue.cue_course` signs it.
    blink : float
        0 open to 1 closed.
    head : (x, y, angle)
        The head's motion: pixels of a 128 px picture, and degrees.
    """
    size, scale = face.size, np.float32(face.size / 128)
    pulse = PULSE_PIXELS * abs(level) if cue == "timing" else 0.0
    field = np.zeros((size, size, 2), np.float32)
    shade = np.ones((size, size), np.float32)
    parted = 0.0
    for (au, side), peak in pixels.items():
        if not peak:
            continue
        shade += np.float32(peak) * unit_shade(face, au, side)
        if au == "AU25":
            parted += peak / 2
        else:
            field += np.float32(peak) * scale * unit_field(face, au, side)
    if pulse:
        field += np.float32(pulse) * scale * pulse_field(face)
    strongest = max((abs(v) for v in pixels.values()), default=0.0) + abs(pulse)
    steps = 0 if not strongest else 1 if strongest < 2.5 else 5

    column, row = _pixel_grid(face)
    gap = None
    if parted:
        source, gap = _part_lips(face, field, parted * float(scale), column, row, steps)
    else:
        source = _origin(field, column, row, steps)
    turned_x, turned_y = _unturned(column, row, size, head, scale)
    from_x, from_y = turned_x - source[..., 0], turned_y - source[..., 1]

    zoom = len(face.skin) / size
    frame = _take(face.skin, from_x, from_y, zoom) * np.clip(shade, 0.72, 1.28)[..., None]
    if gap is not None:
        frame += (MOUTH_INSIDE - frame) * gap[..., None]
    _open_lids(face, frame, from_x, from_y, turned_x, turned_y, zoom, blink)
    if level and cue == "colour":
        frame += (np.float32(FLUSH_GREYS * level) * colour_weight(face))[..., None] * FLUSH
    elif level and cue == "brightness":
        frame += (np.float32(BRIGHT_GREYS * level) * bright_weight(face))[..., None]
    return frame


def _origin(field: np.ndarray, column: np.ndarray, row: np.ndarray, steps: int) -> np.ndarray:
    """How far the skin that is now at each pixel has come.

    The field says where skin goes; a picture is drawn by asking where it came from. Fixed-point steps, one where the
    motion is that of a micro-expression, more where a slider exaggerates it.
    """
    source = field
    for _ in range(steps):
        source = cv2.remap(
            field, column - source[..., 0], row - source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return source


def _part_lips(
    face: Face, field: np.ndarray, parted: float, column: np.ndarray, row: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Like :func:`_origin` for lips that part by `parted` pixels, and how much of each pixel is open mouth.

    A drawn mouth shows its dark inside in the gap; in a photo the skin at the line is stretched over it.
    """
    upper, lower, below = lips_apart(face)
    down = turned_back(face, np.stack([np.zeros_like(below), np.ones_like(below)], -1))
    by_upper = _origin(field + np.float32(parted) * upper[..., None] * down, column, row, steps)
    by_lower = _origin(field + np.float32(parted) * lower[..., None] * down, column, row, steps)
    pixel = np.float32(2 / face.size)
    from_lower, from_upper = (
        cv2.remap(below, column - s[..., 0], row - s[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for s in (by_lower, by_upper)
    )
    source = np.where((from_lower + from_upper > 0)[..., None], by_lower, by_upper)
    if face.eyes is None:
        return source, None
    open_here = np.clip(np.minimum(-from_lower, from_upper) / pixel + np.float32(0.5), 0, 1)
    return source, open_here * np.clip((from_upper - from_lower) / pixel, 0, 1)


def _pixel_grid(face: Face) -> tuple[np.ndarray, np.ndarray]:
    if "pixels" not in face.cache:
        axis = np.arange(face.size, dtype=np.float32)
        face.cache["pixels"] = tuple(np.ascontiguousarray(g) for g in np.meshgrid(axis, axis))
    return face.cache["pixels"]


def _unturned(
    column: np.ndarray, row: np.ndarray, size: int, head: tuple[float, float, float], scale: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the moved head was before the head moved."""
    dx, dy, angle = head
    if not (dx or dy or angle):
        return column, row
    cos, sin, middle = (
        np.float32(np.cos(np.radians(angle))),
        np.float32(np.sin(np.radians(angle))),
        np.float32((size - 1) / 2),
    )
    x, y = column - middle - np.float32(dx) * scale, row - middle - np.float32(dy) * scale
    return cos * x + sin * y + middle, cos * y - sin * x + middle


def _take(image: np.ndarray, x: np.ndarray, y: np.ndarray, zoom: float) -> np.ndarray:
    z = np.float32(zoom)
    return cv2.remap(
        image,
        (x + np.float32(0.5)) * z - np.float32(0.5),
        (y + np.float32(0.5)) * z - np.float32(0.5),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _open_lids(
    face: Face,
    frame: np.ndarray,
    from_x: np.ndarray,
    from_y: np.ndarray,
    still_x: np.ndarray,
    still_y: np.ndarray,
    zoom: float,
    blink: float,
) -> None:
    """Cut the eyeballs into `frame` where the moved lids leave them bare, and draw the lashes; the eyes' rows only."""
    if face.eyes is None or face.lids is None:  # a photo: its eyes move with the skin
        return
    rows, columns = _eye_box(face)
    lids = _take(face.lids, from_x[rows, columns], from_y[rows, columns], zoom)
    eyes = _take(face.eyes, still_x[rows, columns], still_y[rows, columns], zoom)
    upper, lower = lids[..., 0], lids[..., 1]
    if blink:
        upper = upper - np.float32(1.06 * blink) * np.maximum(upper + lower, 0)
    pixel = np.float32(2 / face.size)
    bare = np.clip(np.minimum(upper, lower) / (np.float32(1.3) * pixel) + np.float32(0.5), 0, 1)
    patch = frame[rows, columns]
    patch += (eyes - patch) * bare[..., None]
    width = max(LASH_WIDTH, 0.55 * float(pixel))
    lash = np.exp(-(((upper + np.float32(0.15 * width)) / np.float32(width)) ** 2))
    lash *= np.clip((lower + np.float32(0.012)) / np.float32(0.016), 0, 1)
    patch *= 1 - np.float32(0.84 * min(1.0, LASH_WIDTH / width)) * lash[..., None]


def bare_eyes(face: Face) -> np.ndarray:
    """How much of each pixel shows an eyeball at rest, (size, size) float32: there skin does not move, the lids do."""
    if face.lids is None:
        return np.zeros((face.size, face.size), np.float32)
    bare = (face.lids.min(axis=-1) > 0).astype(np.float32)
    return cv2.resize(bare, (face.size, face.size), interpolation=cv2.INTER_AREA)


def _eye_box(face: Face) -> tuple[slice, slice]:
    marks = face.landmarks
    xs = [marks.right["eye_outer"][0], marks.left["eye_outer"][0]]
    ys = [marks.right["eye"][1], marks.left["eye"][1]]
    x0, x1, y0, y1 = min(xs) - 0.05, max(xs) + 0.05, min(ys) - 0.11, max(ys) + 0.09
    low, high = (
        (lambda v: max(int((v + 1) / 2 * face.size), 0)),
        (lambda v: min(int((v + 1) / 2 * face.size) + 1, face.size)),
    )
    return slice(low(y0), high(y1)), slice(low(x0), high(x1))


def to_bytes(frame: np.ndarray) -> np.ndarray:
    """Round to uint8."""
    return np.clip(frame + np.float32(0.5), 0, 255).astype(np.uint8)


def shrunk(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture or field at `size` px, each pixel the mean of what it covers; values stay what they are."""
    return image if len(image) == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def shrunk_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A square bool mask at `size` px: pixels of which at least half is covered."""
    return shrunk(mask.astype(np.float32), size) >= 0.5


def move_face(
    face: Face,
    actions: dict[str, float | str] | None = None,
    *,
    side: Side = "both",
    cue: CueKind = "colour",
    cue_level: float = 0.0,
    blink: float = 0.0,
) -> np.ndarray:
    """One still of a face with AUs and cue set by hand; fast enough for sliders.

    Parameters
    ----------
    face : Face
        From :func:`draw_face`.
    actions : dict
        AU (``"AU12"`` or ``"12"``) to its peak in pixels of a 128 px picture, or to an intensity ``"A"`` to ``"E"``.
        Above 2 px the motion is exaggerated beyond a micro-expression; above 5 px skin folds over itself.
    side : {"both", "left", "right"}
        The subject's own side; midline AUs play on both whatever is said.
    cue : {"colour", "timing", "brightness"}
    cue_level : float
        -1 (pallor, dim) to 1 (flush, brighten) for colour and brightness; 0 to 1 of the pulse for timing.
    blink : float
        0 open to 1 closed.

    Returns
    -------
    (size, size, 3) uint8, RGB.

    Raises
    ------
    ValueError
        If an AU, an intensity, the side or the cue is unknown.

    Examples
    --------
    >>> from medn_lab.synthme import draw_face, draw_identity
    >>> face = draw_face(draw_identity(0, 0), size=64)
    >>> smile = move_face(face, {"AU12": "C", "AU6": 0.5})
    >>> smile.shape, bool((smile == move_face(face)).all())
    ((64, 64, 3), False)
    """
    check_cue(cue)
    if side not in ("both", "left", "right"):
        raise ValueError(f"side must be both, left or right; it is {side!r}")
    pixels = {}
    for name, amount in (actions or {}).items():
        au = check_au(name)
        if isinstance(amount, str):
            check_intensity(amount)
        for half in sides_of(au, side):
            pixels[au, half] = float(peak_of(amount))
    return to_bytes(compose(face, pixels, cue=cue, level=cue_level, blink=blink))
