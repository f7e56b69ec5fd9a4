"""The head as a height field: silhouette, sockets, brow ridge, nose, cheeks, lips, chin; how light falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medn_lab.synthme.identity import Identity

WIDEST_Y = -0.06
"""Height of the cheekbones, where the head is widest."""


@dataclass(frozen=True)
class Canvas:
    """The grid a face is drawn on: pixel centres in face units, bent a little so that no face is symmetric.

    `x` and `y` are ``(n, n)`` float32; `pixel` is one pixel's width in face units.
    """

    x: np.ndarray
    y: np.ndarray
    pixel: float

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return len(self.x)

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """`image` smoothed by a Gaussian of `sigma` face units."""
        return cv2.GaussianBlur(image, (0, 0), max(sigma / self.pixel, 0.3), borderType=cv2.BORDER_REPLICATE)

    def shift(self, image: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """`image` moved by (dx, dy) face units."""
        matrix = np.array([[1, 0, dx / self.pixel], [0, 1, dy / self.pixel]], np.float32)
        return cv2.warpAffine(
            image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def soft(self, distance: np.ndarray, width: float = 0.0) -> np.ndarray:
        """0 to 1 across the line ``distance = 0``, over `width` face units but never less than a pixel."""
        t = np.clip(distance / max(width, 1.2 * self.pixel) + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def noise(self, rng: np.random.Generator, cells: int, *, across: int | None = None) -> np.ndarray:
        """Smooth noise of unit variance, `cells` grains over the picture; the same pattern at every size."""
        grid = rng.standard_normal((cells, across or cells)).astype(np.float32)
        coarse = max(grid.shape) > self.size
        return cv2.resize(grid, (self.size, self.size), interpolation=cv2.INTER_AREA if coarse else cv2.INTER_CUBIC)


def canvas(person: Identity, size: int) -> Canvas:
    """The drawing grid of `person` at `size` pixels."""
    rng = person.generator(1)
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    x, y = np.meshgrid(axis, axis)
    flat = Canvas(x, y, 2 / size)
    bend_x, bend_y = flat.noise(rng, 5), flat.noise(rng, 5)
    return Canvas(x + 0.0055 * bend_x, y + 0.0045 * bend_y, 2 / size)


def blob(c: Canvas, x: float, y: float, sx: float, sy: float, *, angle: float = 0.0, sides: bool = False) -> np.ndarray:
    """A Gaussian hill at (x, y) with spreads (sx, sy), turned by `angle`; `sides` mirrors it to -x as well."""
    px = np.abs(c.x) if sides else c.x
    dx, dy = px - x, c.y - y
    if angle:
        cos, sin = np.cos(angle), np.sin(angle)
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    return np.exp(-0.5 * ((dx / sx) ** 2 + (dy / sy) ** 2))


def groove(c: Canvas, points: np.ndarray, width: float) -> np.ndarray:
    """A soft line through `points` (k, 2), mirrored to both sides: 1 on the line, fading over `width`."""
    image = np.zeros(c.x.shape, np.float32)
    for side in (-1, 1):
        pixels = (points * (side, 1) + 1) / c.pixel * 16
        cv2.polylines(
            image, [np.rint(pixels).astype(np.int32)], False, 1.0, max(1, round(width / c.pixel)), cv2.LINE_AA, 4
        )
    image = c.blur(image, width * 0.6)
    peak = image.max()
    return image / peak if peak > 0 else image


def half_width(person: Identity, y: np.ndarray | np.floating) -> np.ndarray:
    """Half the width of the head at height `y`; 0 above the crown and below the chin."""
    up = np.clip((WIDEST_Y - y) / (WIDEST_Y - person.crown_y), 0, 1)
    down = np.clip((y - WIDEST_Y) / (person.chin_y - WIDEST_Y), 0, 1)
    skull = np.maximum(1 - up**2.5, 0) ** 0.5
    jaw = np.maximum(1 - down**person.jaw_square, 0) ** (1 / person.jaw_taper)
    return person.cheek_width * np.where(y < WIDEST_Y, skull, jaw)


def mouth_lines(person: Identity, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Upper border, mouth line, lower border of the lips at `x`; how far inside the corners (1 centre, 0 there)."""
    s = np.abs(x) / person.mouth_width
    line = (
        person.mouth_y
        + person.mouth_curve * s**2
        + 0.007 * np.exp(-((x / 0.035) ** 2))
        - 0.004 * np.exp(-(((s - 0.45) / 0.2) ** 2))
    )
    inside = np.clip(1 - s, 0, 1)
    bow = 1 - 0.20 * np.exp(-((s / 0.14) ** 2)) + 0.06 * np.exp(-(((s - 0.24) / 0.12) ** 2))
    upper = line - person.lip_upper * (1 - np.clip(s, 0, 1) ** 1.6) * bow
    lower = line + person.lip_lower * (1 - np.clip(s, 0, 1) ** 2.4) ** 0.85
    return upper, line, lower, inside


def lid_lines(person: Identity, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper and lower lid margin at `x` (either eye), and the place along the eye (0 inner, 1 outer corner)."""
    t = (np.abs(x) - (person.eye_x - person.eye_width)) / (2 * person.eye_width)
    inside = np.clip(t, 0, 1)
    base = person.eye_y + 0.012 - (0.012 + person.eye_tilt) * inside
    high = inside**0.86
    low = inside**1.22
    upper = base - person.lid_upper * (4 * high * (1 - high)) ** 0.68
    lower = base + person.lid_lower * (4 * low * (1 - low)) ** 0.8
    beyond = np.maximum(np.abs(t - 0.5) - 0.5, 0)
    return upper + 0.3 * beyond, lower - 0.3 * beyond, t


def brow_line(person: Identity, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The right-hand brow's middle line from its head (t = 0) to its tail (1), as |x| and y."""
    x = 0.085 + 2 * person.brow_length * t
    y = (
        person.brow_y
        + 0.012
        - person.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.25)
        - person.brow_tilt * t
        + 0.014 * t**3
    )
    return x, y


def head_height(person: Identity, c: Canvas, grain: np.ndarray) -> np.ndarray:
    """Height of the skin towards the viewer in face units; `grain` is fine noise that becomes pores."""
    p, m, age = person, person.masculine, person.age
    across = np.abs(c.x) / np.maximum(half_width(p, c.y), 1e-3)
    under = np.clip((c.y - 0.42) / (p.chin_y + 0.030 - 0.42), 0, 1)
    z = 0.50 * np.sqrt(np.clip(1 - np.minimum(across, 1) ** 2.3 - under**6, 0.004, 1))
    z -= 0.30 * np.clip(-0.34 - c.y, 0, 1) ** 2 + 0.05 * np.clip(c.y - 0.35, 0, 1) ** 1.5
    z += 0.020 * blob(c, 0, -0.42, 0.24, 0.11)  # forehead
    z += 0.012 * blob(c, 0.14, -0.44, 0.10, 0.09, sides=True)
    z += (0.018 + 0.026 * m) * blob(c, 0.17, p.brow_y + 0.005, 0.13, 0.045, angle=-0.1, sides=True)  # brow ridge
    z -= (0.055 + 0.015 * m + 0.012 * age) * blob(c, 0.165, p.eye_y - 0.015, 0.105, 0.066, sides=True)  # sockets
    z += 0.040 * blob(c, p.eye_x, p.eye_y, 0.078, 0.054, sides=True)  # eyeballs under the lids
    z += (0.042 + 0.012 * (1 - age)) * blob(c, 0.335, 0.075, 0.10, 0.080, angle=-0.45, sides=True)  # cheekbones
    z += (0.010 + 0.028 * p.cheek_full) * blob(c, 0.265, 0.24, 0.12, 0.12, sides=True)
    z -= (0.014 + 0.026 * (1 - p.cheek_full)) * blob(
        c, 0.34, 0.36, 0.07, 0.12, angle=0.35, sides=True
    )  # hollow of the cheek
    z += _nose(p, c)
    z += _mouth(p, c)
    z += (0.020 + 0.010 * m) * blob(c, 0, p.chin_y - 0.105, 0.105 + 0.02 * m, 0.060)  # chin
    z -= 0.020 * blob(c, 0, p.mouth_y + p.lip_lower + 0.045, 0.10, 0.026)
    z += _lines_of_age(p, c)
    return z + 0.00016 * p.texture * (1 + age) * grain


def _nose(p: Identity, c: Canvas) -> np.ndarray:
    root, tip = p.eye_y - 0.04, p.nose_y
    along = np.clip((c.y - root) / (tip - root), 0, 1)
    width = 0.044 + (0.40 * p.nose_width) * along**1.8
    rise = (0.030 * p.nose_bridge + (0.105 - 0.012 * p.tone) * along**1.25) * (1 + 0.05 * p.masculine)
    below = 1 - c.soft(c.y - (tip + 0.034), 0.105)
    above = c.soft(c.y - (root - 0.02), 0.20)
    ridge = rise * np.exp(-0.5 * (c.x / width) ** 2) * below * above
    tip_ball = 0.046 * p.nose_tip * blob(c, 0, tip + 0.004, 0.36 * p.nose_width + 0.014, 0.036)
    wings = 0.058 * blob(c, p.nose_width * 0.84, tip + 0.024, 0.020 + 0.14 * p.nose_width, 0.030, sides=True)
    crease = 0.012 * blob(c, p.nose_width * 1.36, tip + 0.020, 0.016, 0.034, sides=True)
    return ridge + tip_ball + wings - crease


def _mouth(p: Identity, c: Canvas) -> np.ndarray:
    upper, line, lower, inside = mouth_lines(p, c.x)
    z = 0.042 * blob(c, 0, p.mouth_y - 0.01, 0.17, 0.085)
    on_upper = np.clip((line - c.y) / np.maximum(line - upper, 1e-3), 0, 1)
    on_lower = np.clip((c.y - line) / np.maximum(lower - line, 1e-3), 0, 1)
    fade = np.clip(inside * 2.2, 0, 1)
    z += 0.017 * np.abs(np.sin(np.pi * on_upper)) ** 0.8 * fade * (on_upper < 1)
    z += 0.026 * np.abs(np.sin(np.pi * on_lower)) ** 0.7 * fade * (on_lower < 1)
    z -= 0.018 * np.exp(-(((c.y - line) / 0.010) ** 2)) * np.clip(inside * 4, 0, 1)
    z -= 0.007 * blob(c, 0, (p.nose_y + 0.06 + p.mouth_y - p.lip_upper) / 2, 0.019, 0.045)  # philtrum
    z += 0.0035 * blob(c, 0.034, (p.nose_y + 0.06 + p.mouth_y - p.lip_upper) / 2, 0.014, 0.045, sides=True)
    z -= 0.012 * blob(c, p.mouth_width * 1.05, p.mouth_y + 0.006, 0.022, 0.022, sides=True)
    return z


def _lines_of_age(p: Identity, c: Canvas) -> np.ndarray:
    age = p.age
    wing = (p.nose_width * 1.32, p.nose_y + 0.02)
    corner = (p.mouth_width * 1.28, p.mouth_y - 0.005)
    t = np.linspace(0, 1, 12)[:, None]
    bow = np.array([0.022, -0.01]) * np.sin(np.pi * t)
    fold = np.array(wing) + t * (np.array(corner) - wing) + bow
    z = -(0.004 + 0.012 * age**1.2) * groove(c, fold, 0.018)
    bag = np.stack(
        [p.eye_x + p.eye_width * np.linspace(-0.8, 0.6, 9), p.eye_y + 0.066 + 0.014 * np.sin(np.linspace(0.2, 2.9, 9))],
        1,
    )
    z -= (0.0015 + 0.006 * age) * groove(c, bag, 0.012)
    if age > 0.3:
        deep = 0.0042 * (age - 0.3)
        for k, y in enumerate((-0.335, -0.385, -0.435)):
            x = np.linspace(0, 0.22 - 0.02 * k, 12)
            z -= deep * groove(c, np.stack([x, y + 0.012 * np.sin(9 * x + k)], 1), 0.010)
        for k in (-1, 0, 1):
            start = np.array([p.eye_x + p.eye_width * 1.12, p.eye_y + 0.014 * k])
            z -= deep * groove(c, start + t * np.array([0.06, 0.028 * k]), 0.008)
    return z


def light_skin(person: Identity, c: Canvas, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light reaching the skin, (n, n, 3) linear, red wrapping furthest round the terminator; and the gloss, (n, n)."""
    normal = normals(c, z)
    key = np.array(person.light) / np.linalg.norm(person.light)
    facing = normal @ key.astype(np.float32)
    wrap = np.array([0.40, 0.25, 0.18], np.float32)
    diffuse = np.clip((facing[..., None] + wrap) / (1 + wrap), 0, 1) ** 1.25
    fill = np.clip(normal @ np.array([-0.75 * np.sign(key[0]), -0.1, 0.65], np.float32), 0, 1)
    sky = 0.5 - 0.5 * normal[..., 1]
    hollow = np.clip(1 - 3.2 * (c.blur(z, 0.055) - z) - 3.0 * (c.blur(z, 0.016) - z), 0.46, 1.14)
    bounce = np.clip(normal[..., 1], 0, 1)[..., None] * np.array([0.10, 0.075, 0.06], np.float32)
    light = (
        0.92 * diffuse + (0.09 * fill + 0.15 * sky + 0.10)[..., None] * np.array([0.97, 1.0, 1.05], np.float32) + bounce
    )
    half = key + np.array([0, 0, 1.0])
    shine = np.clip(normal @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1)
    # The underside of the nose is small and close to lit skin: without its glow it would be one dark wedge.
    glow = blob(c, 0, person.nose_y + 0.052, 0.75 * person.nose_width, 0.019)
    light = light * hollow[..., None] * (1 + 0.75 * glow)[..., None]
    return light, shine**22 * 0.8 + 0.5 * shine**60


def normals(c: Canvas, z: np.ndarray) -> np.ndarray:
    """Unit normals (n, n, 3) of a height field; slopes are eased so that the silhouette does not turn black."""
    zx = cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=3, scale=1 / (8 * c.pixel))
    zy = cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=3, scale=1 / (8 * c.pixel))
    steep = np.sqrt(zx * zx + zy * zy) + 1e-6
    eased = np.tanh(steep / 1.9) * 1.9 / steep
    normal = np.stack([-zx * eased, -zy * eased, np.ones_like(z)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)
