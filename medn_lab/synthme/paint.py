"""What lies on the relief: skin, lips, brows, eyes, ears, neck and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from medn_lab.synthme.identity import Identity
from medn_lab.synthme.relief import Canvas, blob, brow_line, half_width, lid_lines, mouth_lines

CAMERA_WHITE = 246.0
"""The camera's white: room above it keeps a flush on bright skin from being clipped."""


def to_linear(colour: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    """SRGB 0-255 to linear light 0-1."""
    return (np.asarray(colour, np.float32) / 255) ** 2.2


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0-255, float32, with a soft shoulder in place of a hard clip."""
    light = np.maximum(light, 0)
    knee = 0.78
    light = np.where(light < knee, light, knee + (1 - knee) * np.tanh((light - knee) / (1 - knee)))
    return (CAMERA_WHITE * light ** (1 / 2.2)).astype(np.float32)


def mix(base: np.ndarray, over: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`over` laid on `base` with opacity `share` (n, n)."""
    return base + (over - base) * share[..., None]


def skin_albedo(p: Identity, c: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of the bare skin, (n, n, 3) linear, and the fine grain that the relief turns into pores."""
    rng = p.generator(2)
    base = to_linear(p.skin)
    blood = (
        0.9 * blob(c, 0.27, 0.17, 0.12, 0.10, sides=True)
        + 0.9 * blob(c, 0, p.nose_y, 0.07, 0.05)
        + 0.35 * blob(c, 0, p.chin_y - 0.10, 0.09, 0.06)
        + 0.25 * blob(c, 0, -0.33, 0.2, 0.08)
        + 0.35 * blob(c, p.eye_x, p.eye_y + 0.045, 0.09, 0.03, sides=True)
    )
    shade = (
        0.55 * blob(c, p.eye_x - 0.03, p.eye_y + 0.055, 0.075, 0.024, sides=True)
        + 0.6 * blob(c, p.eye_x - 0.10, p.eye_y - 0.01, 0.035, 0.05, sides=True)
        + 0.30 * blob(c, p.eye_x, p.eye_y - 0.05, 0.10, 0.028, sides=True)
    )
    mottle = 0.5 * c.noise(rng, 14) + 0.6 * c.noise(rng, 34) + 0.9 * c.noise(rng, 70)
    grain = c.noise(rng, 128) + c.noise(rng, 256)
    pigment = 0.022 * mottle + 0.020 * grain + 0.022 * c.noise(rng, 104)
    blood = (0.20 + 0.35 * p.redness) * blood + 0.035 * c.noise(rng, 24)
    absorb = np.stack([0.10 * blood, 0.62 * blood, 0.48 * blood], -1) * (1 - 0.45 * p.tone)
    shade = (0.16 + 0.12 * p.age) * shade
    absorb += shade[..., None] * np.array([0.9, 1.1, 0.95], np.float32)
    absorb += (pigment * p.texture)[..., None] * np.array([0.8, 1.0, 1.15], np.float32)
    absorb += _freckles(p, c, rng)[..., None] * np.array([0.30, 0.55, 0.75], np.float32)
    absorb += _stubble(p, c, rng)[..., None] * np.array([1.0, 0.95, 0.82], np.float32)
    return base * np.exp(-absorb), grain


def _freckles(p: Identity, c: Canvas, rng: np.random.Generator) -> np.ndarray:
    image = np.zeros_like(c.x)
    for _ in range(int(8 + 260 * p.freckles)):
        x, y = rng.normal(0, 0.25), rng.normal(0.10, 0.14)
        radius, dark = rng.uniform(0.003, 0.0075), rng.uniform(0.25, 0.9)
        _dot(image, c, x, y, radius, dark)
    for _ in range(int(rng.integers(1, 6))):
        _dot(
            image, c, rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.65), rng.uniform(0.006, 0.011), rng.uniform(0.8, 1.6)
        )
    return c.blur(image, 0.003)


def _dot(image: np.ndarray, c: Canvas, x: float, y: float, radius: float, dark: float) -> None:
    """Add one soft spot; computed on its own few pixels."""
    px, py, reach = (x + 1) / c.pixel, (y + 1) / c.pixel, max(3 * radius / c.pixel, 2)
    x0, x1 = max(int(px - reach), 0), min(int(px + reach) + 2, c.size)
    y0, y1 = max(int(py - reach), 0), min(int(py + reach) + 2, c.size)
    if x0 >= x1 or y0 >= y1:
        return
    gx, gy = c.x[y0:y1, x0:x1] - x, c.y[y0:y1, x0:x1] - y
    image[y0:y1, x0:x1] += dark * np.exp(-0.5 * (gx**2 + gy**2) / radius**2)


def _stubble(p: Identity, c: Canvas, rng: np.random.Generator) -> np.ndarray:
    dots = c.noise(rng, 300)
    if p.stubble == 0:
        return np.zeros_like(c.x)
    return p.stubble * (0.5 - 0.25 * p.tone) * beard_region(p, c) * (0.55 + 0.22 * dots)


def beard_region(p: Identity, c: Canvas) -> np.ndarray:
    """Where a beard grows: jaw, chin and upper lip, 0 to 1."""
    upper, _, lower, inside = mouth_lines(p, c.x)
    across = np.abs(c.x) / np.maximum(half_width(p, c.y), 1e-3)
    edge = 0.31 - 0.30 * np.clip(across - 0.45, 0, 1) ** 1.1
    jaw = c.soft(c.y - edge - 0.10 * np.exp(-(((across - 0.52) / 0.2) ** 2)), 0.10)
    moustache_top = p.nose_y + 0.085
    centre = np.clip(1.5 - np.abs(c.x) / (p.mouth_width * 1.15), 0, 1)
    jaw = jaw * (1 - 0.55 * blob(c, 0, p.mouth_y + p.lip_lower + 0.025, 0.10, 0.016))
    above_lip = c.soft(c.y - moustache_top, 0.03) * centre
    lips = c.soft(c.y - upper + 0.006, 0.012) * c.soft(lower + 0.004 - c.y, 0.012) * np.clip(inside * 8, 0, 1)
    cheeks = c.soft(across - 0.50 - 0.25 * np.clip((p.mouth_y - c.y) * 2, 0, 1), 0.25) + (c.y > p.mouth_y)
    region = np.maximum(jaw * np.clip(cheeks, 0, 1), above_lip * (c.y < p.mouth_y + 0.03))
    return np.clip(region, 0, 1) * (1 - lips)


def paint_lips(p: Identity, c: Canvas, albedo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vermilion laid on the skin, and its mask (n, n)."""
    rng = p.generator(3)
    upper, line, lower, inside = mouth_lines(p, c.x)
    ends = np.clip(inside * 9, 0, 1)
    vermilion = c.soft(c.y - upper, 0.014) * c.soft(lower - c.y, 0.018) * ends
    rose = to_linear(p.skin) * np.array([0.88, 0.47, 0.52], np.float32) ** (0.62 + 0.75 * p.lip_red - 0.25 * p.tone)
    wrinkles = c.noise(rng, 10, across=150)
    tint = rose * (1 - 0.10 * (c.y < line)[..., None] + 0.045 * wrinkles[..., None])
    albedo = mix(albedo, tint.astype(np.float32), 0.88 * vermilion)
    gap = np.exp(-(((c.y - line) / 0.0075) ** 2)) * np.clip(inside * 7, 0, 1) ** 0.5
    corners = blob(c, p.mouth_width * 0.985, p.mouth_y + p.mouth_curve, 0.013, 0.010, sides=True)
    dark = np.clip(0.86 * gap + 0.40 * corners, 0, 0.93)
    return mix(albedo, to_linear(p.skin) * np.array([0.16, 0.07, 0.07], np.float32), dark), vermilion


def paint_nostrils(p: Identity, c: Canvas, colour: np.ndarray) -> np.ndarray:
    """Two dark openings under the tip of the nose, and its shadow, on the lit skin."""
    hole = blob(c, p.nose_width * 0.53, p.nose_y + 0.046, 0.010 + 0.15 * p.nose_width, 0.0105, angle=0.28, sides=True)
    hole = np.clip(1.8 * hole - 0.35, 0, 1)
    under = blob(c, 0, p.nose_y + 0.072, p.nose_width * 0.95, 0.020)
    rim = blob(c, p.nose_width * 1.16, p.nose_y + 0.036, 0.010, 0.026, angle=-0.25, sides=True)
    colour = colour * (1 - (0.20 * under + 0.24 * rim))[..., None] ** np.array([0.8, 1.0, 1.0], np.float32)
    return mix(colour, colour * np.array([0.16, 0.09, 0.08], np.float32), 0.92 * hole)


def paint_brows(p: Identity, c: Canvas, colour: np.ndarray) -> np.ndarray:
    """Eyebrows of single hairs over a soft base."""
    rng = p.generator(4)
    hairs = np.zeros_like(c.x)
    base = np.zeros_like(c.x)
    count = int(340 * p.brow_dense)
    scale = 16 / c.pixel
    thick = max(1, round(0.0034 / c.pixel))
    for side in (-1, 1):
        t = rng.uniform(0, 1, count) ** 0.9
        across = np.clip(rng.normal(0, 0.55, count), -1.1, 1.1)
        x, y = brow_line(p, t)
        width = p.brow_thick * (0.72 + 0.75 * t) * np.clip((1 - t) * 2.4, 0.18, 1) * np.clip(0.55 + 4 * t, 0, 1)
        y = y + across * width
        lean = -1.25 + 1.25 * np.clip(t * 1.5, 0, 1) + 0.35 * across * np.clip(t * 2, 0, 1) + rng.normal(0, 0.16, count)
        length = 0.029 * rng.uniform(0.7, 1.25, count) * np.clip(1.25 - 0.5 * t, 0, 1)
        ends = np.stack([side * (x + length * np.cos(lean)), y + length * np.sin(lean)], 1)
        starts = np.stack([side * x, y], 1)
        for a, b, shade in zip(starts, ends, rng.uniform(0.5, 1.0, count), strict=True):
            layer = [np.rint((q + 1) * scale).astype(int).tolist() for q in (a, b)]
            cv2.line(hairs, layer[0], layer[1], float(shade), thick, cv2.LINE_AA, 4)
        tt = np.linspace(0.02, 0.97, 40)
        bx, by = brow_line(p, tt)
        for q in range(len(tt) - 1):
            w = p.brow_thick * (0.72 + 0.75 * tt[q]) * np.clip((1 - tt[q]) * 2.4, 0.18, 1) * 1.5
            a, b = (np.rint((np.array([side * bx[k], by[k]]) + 1) * scale).astype(int).tolist() for k in (q, q + 1))
            cv2.line(base, a, b, 1.0, max(1, round(w / c.pixel)), cv2.LINE_AA, 4)
    share = np.clip(0.42 * p.brow_dense * c.blur(base, 0.012) + 0.80 * c.blur(hairs, 0.0022), 0, 0.93)
    # Brows keep more of their colour than the hair does, on the fair and the grey alike.
    pale = float(np.mean(p.hair)) / 255
    tint = to_linear(np.array(p.hair) * (0.76 - 0.42 * pale) + np.array(p.skin) * 0.06)
    light = colour.mean(-1, keepdims=True) / max(float(to_linear(p.skin).mean()), 1e-3)
    return mix(colour, (tint * np.clip(0.45 + 0.6 * light, 0.4, 1.2)).astype(np.float32), share)


def paint_lids(p: Identity, c: Canvas, colour: np.ndarray) -> np.ndarray:
    """Crease of the upper lid, lid margins and the roots of the lower lashes, on the lit skin."""
    upper, lower, t = lid_lines(p, c.x)
    along = np.clip(np.minimum(t + 0.06, 1.10 - t) * 5, 0, 1)
    gap = 0.016 + 0.018 * p.lid_fold + 0.01 * np.clip(t, 0, 1)
    crease = np.exp(-0.5 * ((c.y - (upper - gap)) / 0.0062) ** 2) * along
    glow = np.exp(-0.5 * ((c.y - (upper - 0.5 * gap)) / (0.4 * gap)) ** 2) * along
    margin = np.exp(-0.5 * ((c.y - lower - 0.006) / 0.0055) ** 2) * along
    roots = np.exp(-0.5 * ((c.y - lower - 0.015) / 0.006) ** 2) * along * np.clip(t, 0, 1)
    hollow = np.exp(-0.5 * ((c.y - lower - 0.044) / 0.010) ** 2) * along
    dark = 0.44 * (0.5 + 0.5 * p.lid_fold) * crease + 0.17 * roots + (0.05 + 0.12 * p.age) * hollow
    colour = colour * (1 - dark)[..., None] ** np.array([0.85, 1.0, 1.0], np.float32)
    colour = colour * (1 + 0.07 * glow)[..., None]
    return mix(colour, colour * np.array([1.16, 1.0, 0.98], np.float32) + 0.01, 0.55 * margin)


def paint_eyeballs(p: Identity, c: Canvas) -> np.ndarray:
    """What lies behind the lids, (n, n, 3) linear: sclera, iris, pupil and catchlights; the lids cut it out."""
    rng = p.generator(5)
    gaze_x, gaze_y = rng.normal(0, 0.004), rng.normal(0, 0.002)
    r = p.iris_size
    dx, dy = np.abs(c.x) - p.eye_x - np.sign(c.x) * gaze_x + 0.004, c.y - (p.eye_y - 0.011) - gaze_y
    radius = np.hypot(dx, dy) / r
    angle = np.arctan2(dy, dx * np.sign(c.x))
    sclera = to_linear((236, 229, 222)) * (1 - 0.1 * p.tone)
    round_off = np.clip(1 - 0.30 * (radius / 2.1) ** 2.4, 0.45, 1)
    pink = blob(c, p.eye_x - p.eye_width * 0.93, p.eye_y + 0.014, 0.018, 0.016, sides=True)
    eye = 0.64 * sclera * round_off[..., None]
    eye = mix(eye, to_linear((206, 140, 126)) * 0.8 * np.ones_like(eye), 0.75 * pink)
    spokes = np.interp(angle, np.linspace(-np.pi, np.pi, 97), np.resize(rng.normal(0, 1, 96), 97)).astype(np.float32)
    colour = to_linear(p.iris)
    ring = 1 - 0.62 * np.clip((radius - 0.70) / 0.28, 0, 1) ** 1.5
    depth = 0.72 + 0.75 * np.clip(dy / r * 0.55 + 0.35, 0, 1)  # light pools on the side away from the lamp
    flower = 1 + 0.30 * np.exp(-(((radius - 0.5) / 0.16) ** 2)) + 0.16 * spokes * np.clip(radius * 1.6 - 0.5, 0, 1)
    iris = colour * (ring * depth * flower)[..., None]
    eye = mix(eye, iris.astype(np.float32), c.soft((1 - radius) * r, 0.009))
    eye = mix(eye, np.zeros_like(eye) + 0.004, c.soft((0.43 - radius) * r, 0.008))
    side = np.sign(p.light[0])
    spot = np.hypot((c.x - np.sign(c.x) * p.eye_x) - side * 0.32 * r, dy + 0.30 * r)
    eye = mix(eye, np.ones_like(eye) * 0.95, 0.92 * c.soft(0.20 * r - spot, 0.010))
    spot = np.hypot((c.x - np.sign(c.x) * p.eye_x) + side * 0.34 * r, dy - 0.40 * r)
    return eye + (0.10 * c.soft(0.24 * r - spot, 0.02))[..., None]


def paint_backdrop(p: Identity, c: Canvas) -> np.ndarray:
    """A plain studio wall, (n, n, 3) linear, brighter towards the lamp."""
    cloud = c.noise(p.generator(9), 4)
    fall = 1.02 - 0.16 * c.y + 0.10 * np.sign(p.light[0]) * c.x - 0.22 * (c.x**2 + c.y**2) + 0.012 * cloud
    return to_linear(p.backdrop) * fall[..., None]


def paint_body(p: Identity, c: Canvas, scene: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Neck, clothes and ears laid on the backdrop; the head comes later."""
    rng = p.generator(6)
    side = np.sign(p.light[0])
    skin = to_linear(p.skin)
    width = p.neck_width + 0.30 * np.clip(c.y - 0.80, 0, 1) ** 1.35 + 0.02 * np.clip(0.7 - c.y, 0, 1)
    neck_mask = c.soft(width - np.abs(c.x), 0.008) * (c.y > 0.2)
    round_neck = np.sqrt(np.clip(1 - (np.abs(c.x) / np.maximum(width, 0.05)) ** 2.2, 0, 1))
    lit = 0.30 + 0.42 * round_neck + 0.16 * side * c.x / np.maximum(width, 0.05)
    shadow = c.shift(c.blur(head, 0.030), -0.05 * side, 0.085)
    lit = lit * (1 - 0.70 * shadow) * (1 - 0.12 * blob(c, 0, 0.93, 0.05, 0.07))
    tendons = 1 + 0.10 * blob(c, 0.14, 0.92, 0.03, 0.12, angle=0.35, sides=True)
    neck = skin * np.array([1.0, 0.93, 0.90], np.float32) * (lit * tendons)[..., None]
    scene = mix(scene, neck, neck_mask)

    slope = (
        0.865 + 0.20 * np.clip(np.abs(c.x) - 0.36, 0, 1) ** 1.1 - 0.05 * np.exp(-(((np.abs(c.x) - 0.36) / 0.09) ** 2))
    )
    collar = 0.985 - 0.34 * np.clip(np.abs(c.x) / 0.42, 0, 1) ** 2.4
    body = c.soft(c.y - np.where(np.abs(c.x) < 0.40, np.maximum(collar, slope - 0.02), slope), 0.012)
    weave = 1 + 0.03 * c.noise(rng, 200) + 0.05 * c.noise(rng, 7)
    cloth = to_linear(p.cloth) * ((0.62 + 0.2 * side * c.x) * weave * (1 - 0.45 * shadow))[..., None]
    edge = np.exp(-0.5 * ((c.y - collar - 0.018) / 0.008) ** 2) * (np.abs(c.x) < 0.42)
    scene = mix(scene, (cloth * (1 - 0.25 * edge)[..., None]).astype(np.float32), body)

    ear_x = float(half_width(p, np.float32(0.02))) + 0.012
    dx, dy = np.abs(c.x) - ear_x, c.y - 0.035
    tall = p.ear_size * (1 + 0.1 * p.age)
    lean = dx - 0.22 * dy * -1
    reach = np.hypot(lean / (0.42 * tall), dy / tall)
    ear_mask = c.soft((1 - reach) * 0.06, 0.012)
    rim = np.exp(-0.5 * ((reach - 0.80) / 0.12) ** 2)
    bowl = np.exp(-0.5 * (np.hypot((lean + 0.008) / (0.20 * tall), (dy + 0.01) / (0.52 * tall))) ** 2)
    ear_light = 0.58 + 0.20 * rim - 0.34 * bowl + 0.14 * side * np.sign(c.x)
    ear = skin * np.array([1.03, 0.86, 0.82], np.float32) * ear_light[..., None]
    return mix(scene, ear.astype(np.float32), ear_mask)
