"""A SynthME face, drawn once per subject: skin, features, body and hair laid on the relief of the head."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from medn_lab.synthme import identity
from medn_lab.synthme.identity import WIDEST_Y, Canvas, Identity, bell, hump, turned

# The master is drawn this much finer than the pictures taken from it.
OVERSAMPLING = 2

_rgb = partial(np.array, dtype=np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """A face ready to be moved.

    Attributes
    ----------
    size : int
        Side of the pictures taken from it, in pixels.
    skin : (m, m, 3) float32
        The picture without its eyeballs, sRGB 0-255, `m` = :data:`OVERSAMPLING` times `size` for drawn faces.
    eyes : (m, m, 3) float32 or None
        What is behind the lids; None for a photo, whose eyes move with the skin.
    lids : (m, m, 2) float32 or None
        Signed distance below the upper and above the lower lid margin, in face units: both positive where the eye
        shows.
    landmarks : dict of str to dict
        Side, ``right`` (the subject's: low x) and ``left``, to the (x, y) of each named place in face units, which AU
        fields, masks and cues are anchored to; both hold the places on the midline.
    light : (3,) tuple
        Direction towards the lamp (x right, y down, z to the viewer).
    name : str
        Whose face it is.
    mask : (size, size) float32
        Where the face's skin is, 0 to 1.
    scale : float
        Distance between the eyes over that of an average drawn face.
    axis : (2,) tuple
        Unit vector from the right eye to the left: (1, 0) for an upright face.
    cache : dict
        Fields and maps already made for this face.

    Examples
    --------
    >>> from medn_lab.synthme import Identity
    >>> face = draw_face(Identity(0, 0), size=64)
    >>> face.skin.shape, face.mask.shape, face.name
    ((128, 128, 3), (64, 64), 'synthme0-s01')
    """

    size: int
    skin: np.ndarray
    eyes: np.ndarray | None
    lids: np.ndarray | None
    landmarks: dict[str, dict[str, tuple[float, float]]]
    light: tuple[float, float, float]
    name: str
    mask: np.ndarray
    scale: float
    axis: tuple[float, float] = (1.0, 0.0)
    cache: dict = field(default_factory=dict)


def place_of(face: Face, *, side: str, name: str) -> tuple[float, float]:
    """A landmark of one side, along the face's axes, in which the line between the eyes is level."""
    return turned(*face.landmarks[side][name], *face.axis)


def draw_face(person: Identity, *, size: int) -> Face:
    """Draw a person.

    Parameters
    ----------
    person : Identity
        Whose face.
    size : int
        Side of the pictures in pixels, 32 to 1024.

    Returns
    -------
    Face
        The same face at every size.

    See Also
    --------
    move_face : a picture of it.

    Examples
    --------
    >>> from medn_lab.synthme import Identity
    >>> draw_face(Identity(0, 0), size=64).skin.shape
    (128, 128, 3)
    """
    p = person
    c = Canvas(p, OVERSAMPLING * size)
    head = c.soft(p.half_width(c.y) - np.abs(c.x), 0.010) * (c.y > p.crown_y) * (c.y < p.chin_y)
    head = c.blur(head.astype(np.float32), 0.004)
    hair, hair_behind, hair_front = _hair(p, c)

    albedo, vermilion, grain = _skin(p, c)
    light, gloss = identity.light_skin(p, c, grain)
    hair_shadow = c.shift(c.blur(hair_front, 0.022), -0.03 * np.sign(p.light[0]), 0.035)
    light = light * (1 - 0.42 * hair_shadow)[..., None] ** _rgb((0.85, 1.0, 1.05))
    # As in a camera, the exposure follows the brightness of the skin, but only in part.
    exposure = 1.12 * (0.42 * 255 / float(np.mean(p.skin))) ** 0.35
    oily = 0.018 * (1 - vermilion) * (c.blob(0, -0.35, 0.2, 0.1) + c.blob(0, p.nose_y, 0.06, 0.1))
    shine = (0.030 + oily + 0.06 * vermilion + 0.02 * p.tone) * gloss * (1 - 0.8 * hair_shadow)
    colour = albedo * light * exposure + shine[..., None] * _rgb((1.0, 0.98, 0.95))
    colour = _brows(p, c, _lids(p, c, _nostrils_and_beard(p, c, colour, light)))

    wall = 1.02 - 0.16 * c.y + 0.10 * np.sign(p.light[0]) * c.x - 0.22 * (c.x**2 + c.y**2)
    wall = wall + 0.012 * c.noise(p.generator(9), 4)
    dimmed = hair * (1 - 0.45 * c.blur(head, 0.05))[..., None]
    scene = _mix(_linear(p.backdrop) * wall[..., None], dimmed, hair_behind)
    scene = _mix(_mix(_body(p, c, scene, head), colour, head), hair, hair_front)

    eyes = _eyeballs(p, c) * np.clip(light.mean(-1, keepdims=True) * 0.5 + 0.62, 0.55, 1.1) * exposure**0.5
    upper, lower, _ = p.lid_lines(c.x)
    eyes = eyes * (1 - 0.48 * np.exp(-np.clip(c.y - upper, 0, 1) / 0.013))[..., None]  # the shadow of the lid
    lids = np.stack([c.y - upper, lower - c.y], -1).astype(np.float32)
    # Every second pixel of the master is read: without this fine grain would flicker as the skin moves.
    skin = cv2.GaussianBlur(_srgb(scene), (0, 0), 0.75)
    mask = np.clip(cv2.resize(head * (1 - hair_front), (size, size), interpolation=cv2.INTER_AREA), 0, 1)
    marks, scale = identity.landmarks_of(p), 2 * p.eye_x / 0.424  # the average distance between the eyes
    return Face(size, skin, _srgb(eyes.astype(np.float32)), lids, marks, p.light, p.name, mask, scale)


def _linear(colour: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """SRGB 0-255 to linear light 0-1."""
    return (np.asarray(colour, np.float32) / 255) ** 2.2


def _srgb(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB, float32, with a soft shoulder; white is 246, so that a flush is not clipped."""
    light, knee = np.maximum(light, 0), 0.78
    light = np.where(light < knee, light, knee + (1 - knee) * np.tanh((light - knee) / (1 - knee)))
    return (246.0 * light ** (1 / 2.2)).astype(np.float32)


def _mix(base: np.ndarray, over: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`over` laid on `base` with opacity `share` (n, n)."""
    return base + (over - base) * share[..., None]


def _skin(p: Identity, c: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reflectance of skin and lips (n, n, 3) linear, the lips' mask, and the fine grain that the relief makes pores."""
    rng = p.generator(2)
    blood = 0.9 * c.blob(0.27, 0.17, 0.12, 0.10) + 0.9 * c.blob(0, p.nose_y, 0.07, 0.05)
    blood = blood + 0.35 * c.blob(0, p.chin_y - 0.10, 0.09, 0.06) + 0.25 * c.blob(0, -0.33, 0.2, 0.08)
    blood = blood + 0.35 * c.blob(p.eye_x, p.eye_y + 0.045, 0.09, 0.03)
    shade = 0.55 * c.blob(p.eye_x - 0.03, p.eye_y + 0.055, 0.075, 0.024)
    shade = shade + 0.6 * c.blob(p.eye_x - 0.10, p.eye_y - 0.01, 0.035, 0.05)
    shade = shade + 0.30 * c.blob(p.eye_x, p.eye_y - 0.05, 0.10, 0.028)
    mottle = 0.5 * c.noise(rng, 14) + 0.6 * c.noise(rng, 34) + 0.9 * c.noise(rng, 70)
    grain = c.noise(rng, 128) + c.noise(rng, 256)
    pigment = 0.022 * mottle + 0.020 * grain + 0.022 * c.noise(rng, 104)
    blood = (0.20 + 0.35 * p.redness) * blood + 0.035 * c.noise(rng, 24)
    absorb = blood[..., None] * _rgb((0.10, 0.62, 0.48)) * (1 - 0.45 * p.tone)
    absorb += ((0.16 + 0.12 * p.age) * shade)[..., None] * _rgb((0.9, 1.1, 0.95))
    absorb += (pigment * p.texture)[..., None] * _rgb((0.8, 1.0, 1.15))

    spots = [(rng.normal(0, 0.25), rng.normal(0.10, 0.14), rng.uniform(0.003, 0.0075), rng.uniform(0.25, 0.9))
             for _ in range(int(8 + 260 * p.freckles))]  # fmt: skip
    spots += [(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.65), rng.uniform(0.006, 0.011), rng.uniform(0.8, 1.6))
              for _ in range(int(rng.integers(1, 6)))]  # fmt: skip
    freckles = np.zeros_like(c.x)
    for x, y, radius, dark in spots:  # each is computed on its few pixels
        reach = max(3 * radius / c.pixel, 2)
        middle = (y + 1) / c.pixel, (x + 1) / c.pixel
        near = tuple(slice(max(int(v - reach), 0), max(int(v + reach) + 2, 0)) for v in middle)
        freckles[near] += dark * np.exp(-0.5 * ((c.x[near] - x) ** 2 + (c.y[near] - y) ** 2) / radius**2)
    absorb += c.blur(freckles, 0.003)[..., None] * _rgb((0.30, 0.55, 0.75))
    if p.stubble:
        stubble = p.stubble * (0.5 - 0.25 * p.tone) * _beard_region(p, c) * (0.55 + 0.22 * c.noise(rng, 300))
        absorb += stubble[..., None] * _rgb((1.0, 0.95, 0.82))
    albedo = _linear(p.skin) * np.exp(-absorb)

    upper, line, lower, inside = p.mouth_lines(c.x)
    vermilion = c.soft(c.y - upper, 0.014) * c.soft(lower - c.y, 0.018) * np.clip(inside * 9, 0, 1)
    rose = _linear(p.skin) * _rgb((0.88, 0.47, 0.52)) ** (0.62 + 0.75 * p.lip_red - 0.25 * p.tone)
    tint = rose * (1 - 0.10 * (c.y < line)[..., None] + 0.045 * c.noise(p.generator(3), 10, across=150)[..., None])
    albedo = _mix(albedo, tint.astype(np.float32), 0.88 * vermilion)
    dark = 0.86 * (hump(c.y - line, 0.0075) * np.clip(inside * 7, 0, 1) ** 0.5)
    dark = np.clip(dark + 0.40 * c.blob(p.mouth_width * 0.985, p.mouth_y + p.mouth_curve, 0.013, 0.010), 0, 0.93)
    return _mix(albedo, _linear(p.skin) * _rgb((0.16, 0.07, 0.07)), dark), vermilion, grain


def _beard_region(p: Identity, c: Canvas) -> np.ndarray:
    """Where a beard grows: jaw, chin and upper lip, 0 to 1."""
    upper, _, lower, inside = p.mouth_lines(c.x)
    across = np.abs(c.x) / np.maximum(p.half_width(c.y), 1e-3)
    edge = 0.31 - 0.30 * np.clip(across - 0.45, 0, 1) ** 1.1
    jaw = c.soft(c.y - edge - 0.10 * hump(across - 0.52, 0.2), 0.10)
    centre = np.clip(1.5 - np.abs(c.x) / (p.mouth_width * 1.15), 0, 1)
    jaw = jaw * (1 - 0.55 * c.blob(0, p.mouth_y + p.lip_lower + 0.025, 0.10, 0.016))
    above_lip = c.soft(c.y - (p.nose_y + 0.085), 0.03) * centre
    lips = c.soft(c.y - upper + 0.006, 0.012) * c.soft(lower + 0.004 - c.y, 0.012) * np.clip(inside * 8, 0, 1)
    cheeks = c.soft(across - 0.50 - 0.25 * np.clip((p.mouth_y - c.y) * 2, 0, 1), 0.25) + (c.y > p.mouth_y)
    region = np.maximum(jaw * np.clip(cheeks, 0, 1), above_lip * (c.y < p.mouth_y + 0.03))
    return np.clip(region, 0, 1) * (1 - lips)


def _nostrils_and_beard(p: Identity, c: Canvas, colour: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Two dark openings under the tip of the nose, its shadow, and a short beard of fine strands, on the lit skin."""
    hole = c.blob(p.nose_width * 0.53, p.nose_y + 0.046, 0.010 + 0.15 * p.nose_width, 0.0105, angle=0.28)
    shadow = 0.20 * c.blob(0, p.nose_y + 0.072, p.nose_width * 0.95, 0.020)
    shadow = shadow + 0.24 * c.blob(p.nose_width * 1.16, p.nose_y + 0.036, 0.010, 0.026, angle=-0.25)
    colour = colour * (1 - shadow)[..., None] ** _rgb((0.8, 1.0, 1.0))
    colour = _mix(colour, colour * _rgb((0.16, 0.09, 0.08)), 0.92 * np.clip(1.8 * hole - 0.35, 0, 1))
    if p.beard == 0:
        return colour
    fine = c.noise(p.generator(8), 130, across=320)
    share = np.clip(p.beard * _beard_region(p, c) * (0.88 + 0.20 * fine), 0, 0.95)
    tint = _linear(p.hair) * 0.85 * np.exp(0.22 * fine)[..., None] * (0.25 + 0.75 * light.mean(-1, keepdims=True))
    return _mix(colour, tint.astype(np.float32), share)


def _brows(p: Identity, c: Canvas, colour: np.ndarray) -> np.ndarray:
    """Eyebrows of single hairs over a soft base."""
    rng = p.generator(4)
    hairs, base, count = np.zeros_like(c.x), np.zeros_like(c.x), int(340 * p.brow_dense)

    def width(t: np.ndarray) -> np.ndarray:
        return p.brow_thick * (0.72 + 0.75 * t) * np.clip((1 - t) * 2.4, 0.18, 1)

    for side in (-1, 1):
        t, across = rng.uniform(0, 1, count) ** 0.9, np.clip(rng.normal(0, 0.55, count), -1.1, 1.1)
        x, y = p.brow_line(t)
        y = y + across * (width(t) * np.clip(0.55 + 4 * t, 0, 1))
        lean = -1.25 + 1.25 * np.clip(t * 1.5, 0, 1) + 0.35 * across * np.clip(t * 2, 0, 1) + rng.normal(0, 0.16, count)
        length = 0.029 * rng.uniform(0.7, 1.25, count) * np.clip(1.25 - 0.5 * t, 0, 1)
        ends = np.array([[side * x, y], [side * (x + length * np.cos(lean)), y + length * np.sin(lean)]])
        for line, shade in zip(ends.transpose(2, 0, 1), rng.uniform(0.5, 1.0, count), strict=True):
            c.stroke(hairs, line, 0.0034, float(shade))
        t = np.linspace(0.02, 0.97, 40)
        points = np.stack(p.brow_line(t), 1) * (side, 1)
        for k, broad in enumerate(width(t[:-1]) * 1.5):
            c.stroke(base, points[k : k + 2], broad)
    share = np.clip(0.42 * p.brow_dense * c.blur(base, 0.012) + 0.80 * c.blur(hairs, 0.0022), 0, 0.93)
    # Brows keep more of their colour than the hair does, on the fair and the grey alike.
    pale = float(np.mean(p.hair)) / 255
    tint = _linear(np.array(p.hair) * (0.76 - 0.42 * pale) + np.array(p.skin) * 0.06)
    light = colour.mean(-1, keepdims=True) / max(float(_linear(p.skin).mean()), 1e-3)
    return _mix(colour, (tint * np.clip(0.45 + 0.6 * light, 0.4, 1.2)).astype(np.float32), share)


def _lids(p: Identity, c: Canvas, colour: np.ndarray) -> np.ndarray:
    """Crease of the upper lid, lid margins and the roots of the lower lashes, on the lit skin."""
    upper, lower, t = p.lid_lines(c.x)
    along = np.clip(np.minimum(t + 0.06, 1.10 - t) * 5, 0, 1)
    gap = 0.016 + 0.018 * p.lid_fold + 0.01 * np.clip(t, 0, 1)
    crease = bell(c.y - (upper - gap), 0.0062) * along
    glow = bell(c.y - (upper - 0.5 * gap), 0.4 * gap) * along
    margin = bell(c.y - lower - 0.006, 0.0055) * along
    roots = bell(c.y - lower - 0.015, 0.006) * along * np.clip(t, 0, 1)
    hollow = bell(c.y - lower - 0.044, 0.010) * along
    dark = 0.44 * (0.5 + 0.5 * p.lid_fold) * crease + 0.17 * roots + (0.05 + 0.12 * p.age) * hollow
    colour = colour * (1 - dark)[..., None] ** _rgb((0.85, 1.0, 1.0)) * (1 + 0.07 * glow)[..., None]
    return _mix(colour, colour * _rgb((1.16, 1.0, 0.98)) + 0.01, 0.55 * margin)


def _eyeballs(p: Identity, c: Canvas) -> np.ndarray:
    """What is behind the lids, (n, n, 3) linear: sclera, iris, pupil and catchlights; the lids cut it out."""
    rng = p.generator(5)
    gaze_x, gaze_y = rng.normal(0, 0.004), rng.normal(0, 0.002)
    r, way, lamp = p.iris_size, np.sign(c.x), np.sign(p.light[0])
    dx, dy = np.abs(c.x) - p.eye_x - way * gaze_x + 0.004, c.y - (p.eye_y - 0.011) - gaze_y
    radius, angle = np.hypot(dx, dy) / r, np.arctan2(dy, dx * way)
    sclera = 0.64 * (_linear((236, 229, 222)) * (1 - 0.1 * p.tone))
    eye = sclera * np.clip(1 - 0.30 * (radius / 2.1) ** 2.4, 0.45, 1)[..., None]
    pink = c.blob(p.eye_x - p.eye_width * 0.93, p.eye_y + 0.014, 0.018, 0.016)
    eye = _mix(eye, _linear((206, 140, 126)) * 0.8 * np.ones_like(eye), 0.75 * pink)
    spokes = np.interp(angle, np.linspace(-np.pi, np.pi, 97), np.resize(rng.normal(0, 1, 96), 97)).astype(np.float32)
    ring = 1 - 0.62 * np.clip((radius - 0.70) / 0.28, 0, 1) ** 1.5
    depth = 0.72 + 0.75 * np.clip(dy / r * 0.55 + 0.35, 0, 1)  # light pools on the side away from the lamp
    flower = 1 + 0.30 * hump(radius - 0.5, 0.16) + 0.16 * spokes * np.clip(radius * 1.6 - 0.5, 0, 1)
    iris = (_linear(p.iris) * (ring * depth * flower)[..., None]).astype(np.float32)
    eye = _mix(eye, iris, c.soft((1 - radius) * r, 0.009))
    eye = _mix(eye, np.zeros_like(eye) + 0.004, c.soft((0.43 - radius) * r, 0.008))
    spot = np.hypot((c.x - way * p.eye_x) - lamp * 0.32 * r, dy + 0.30 * r)
    eye = _mix(eye, np.ones_like(eye) * 0.95, 0.92 * c.soft(0.20 * r - spot, 0.010))
    spot = np.hypot((c.x - way * p.eye_x) + lamp * 0.34 * r, dy - 0.40 * r)
    return eye + (0.10 * c.soft(0.24 * r - spot, 0.02))[..., None]


def _body(p: Identity, c: Canvas, scene: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Neck, clothes and ears laid on the backdrop; the head comes later."""
    rng = p.generator(6)
    lamp, skin, ax = np.sign(p.light[0]), _linear(p.skin), np.abs(c.x)
    width = p.neck_width + 0.30 * np.clip(c.y - 0.80, 0, 1) ** 1.35 + 0.02 * np.clip(0.7 - c.y, 0, 1)
    wide = np.maximum(width, 0.05)
    lit = 0.30 + 0.42 * np.sqrt(np.clip(1 - (ax / wide) ** 2.2, 0, 1)) + 0.16 * lamp * c.x / wide
    shadow = c.shift(c.blur(head, 0.030), -0.05 * lamp, 0.085)
    lit = lit * (1 - 0.70 * shadow) * (1 - 0.12 * c.blob(0, 0.93, 0.05, 0.07))
    tendons = 1 + 0.10 * c.blob(0.14, 0.92, 0.03, 0.12, angle=0.35)
    neck = skin * _rgb((1.0, 0.93, 0.90)) * (lit * tendons)[..., None]
    scene = _mix(scene, neck, c.soft(width - ax, 0.008) * (c.y > 0.2))

    slope = 0.865 + 0.20 * np.clip(ax - 0.36, 0, 1) ** 1.1 - 0.05 * hump(ax - 0.36, 0.09)
    collar = 0.985 - 0.34 * np.clip(ax / 0.42, 0, 1) ** 2.4
    body = c.soft(c.y - np.where(ax < 0.40, np.maximum(collar, slope - 0.02), slope), 0.012)
    weave = 1 + 0.03 * c.noise(rng, 200) + 0.05 * c.noise(rng, 7)
    cloth = _linear(p.cloth) * ((0.62 + 0.2 * lamp * c.x) * weave * (1 - 0.45 * shadow))[..., None]
    edge = bell(c.y - collar - 0.018, 0.008) * (ax < 0.42)
    scene = _mix(scene, (cloth * (1 - 0.25 * edge)[..., None]).astype(np.float32), body)

    dx, dy = ax - (float(p.half_width(np.float32(0.02))) + 0.012), c.y - 0.035
    tall, lean = p.ear_size * (1 + 0.1 * p.age), dx + 0.22 * dy
    reach = np.hypot(lean / (0.42 * tall), dy / tall)
    bowl = bell(np.hypot((lean + 0.008) / (0.20 * tall), (dy + 0.01) / (0.52 * tall)), 1)
    lit = 0.58 + 0.20 * bell(reach - 0.80, 0.12) - 0.34 * bowl + 0.14 * lamp * np.sign(c.x)
    ear = (skin * _rgb((1.03, 0.86, 0.82)) * lit[..., None]).astype(np.float32)
    return _mix(scene, ear, c.soft((1 - reach) * 0.06, 0.012))


def _hair(p: Identity, c: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hair's lit colour (n, n, 3) linear, the mask of what hangs behind the head, and of what is in front of it."""
    rng = p.generator(7)
    bend = c.noise(rng, 9)
    locks, fine, edge = (rng.standard_normal(cells).astype(np.float32) for cells in ((7, 90), (9, 420), (4, 150)))
    curls = 0.75 * c.noise(rng, 46) + 0.6 * c.noise(rng, 90)
    if p.style in ("parted", "bob", "long"):  # from a parting over the sides; the others run out from the crown
        wide, high = p.cheek_width + 0.1, WIDEST_Y - p.crown_y + 0.1
        dx = c.x - p.part_x * np.clip((0.2 - c.y) / 0.8, 0, 1)
        above, below = np.minimum(c.y - WIDEST_Y, 0), np.maximum(c.y - WIDEST_Y, 0)
        u = np.hypot(dx / wide, above / high) * 0.5 + 0.004 * np.sign(dx) * np.clip(np.abs(dx) * 8, 0, 1)
        v = np.clip(np.arctan2(np.abs(dx) / wide, -above / high + 1e-3) / np.pi + below * 0.35, 0, 1)
        band = bell(v - 0.24, 0.07) + 0.35 * bell(v - 0.78, 0.10)
        u = u + (0.010 + 0.030 * p.hair_wave) * bend * np.clip(v * 1.5, 0.1, 1)
    else:
        back, place = (-0.35, 0.36) if p.style == "quiff" else (-0.05, 0.20)
        dx, dy = c.x - 0.5 * p.part_x, c.y - (p.crown_y + back)
        u = np.arctan2(dx, dy + 0.06) / (2 * np.pi) + 0.5
        v = np.clip(np.hypot(dx, dy) / 1.25, 0, 1)
        band = bell(v - place, 0.06)
        u = u + (0.004 + 0.010 * p.hair_wave) * bend

    def read(grid: np.ndarray) -> np.ndarray:
        across, along = (u * (grid.shape[1] - 1)).astype(np.float32), (v * (len(grid) - 1)).astype(np.float32)
        return cv2.remap(grid, across, along, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)

    # Brightness of strands (about unit variance), the band of gloss, and the raggedness of the hair's edges.
    if p.style == "curly":
        big = c.noise(rng, 26)
        strands, ragged = 0.9 * curls + 0.3 * big, 0.9 * big + 0.4 * curls
        gloss = np.clip(0.25 + 0.3 * curls, 0, 1) * np.clip(-c.y, 0, 1)
    else:
        strands, ragged = 0.8 * read(locks) + 0.75 * read(fine), read(edge) + 0.5 * read(fine)
        gloss = band * np.clip(0.65 + 0.40 * read(fine[::-1].copy()), 0, 1.6)
    behind, front = _hair_regions(p, c, ragged)
    lamp, hair = np.sign(p.light[0]), _linear(p.hair)
    dome = np.clip(1 - (c.x / 0.66) ** 2 - 0.55 * np.clip(c.y + 0.45, 0, 2) ** 2, 0, 1)
    lit = 0.34 + 0.50 * dome**0.7 + 0.16 * lamp * c.x - 0.10 * c.y
    colour = hair * np.exp(0.40 * strands)[..., None] * np.clip(lit, 0.16, 1.2)[..., None]
    shine = gloss * (0.05 + 0.22 * hair.mean() ** 0.5) * (1 + 0.28 * lamp * c.x)
    shine = shine[..., None] * (0.55 + 0.45 * hair / max(float(hair.max()), 1e-3))
    return (colour + shine).astype(np.float32), behind, front


def _hair_regions(p: Identity, c: Canvas, ragged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the hair behind the head and before it."""
    ax, man = np.abs(c.x), p.masculine > 0.5
    if p.style == "bald":
        return np.zeros_like(c.x), np.zeros_like(c.x)
    side, top, rough, end, flare = identity.read_table("styles").loc[p.style].tolist()
    if man and p.style in ("curly", "parted"):
        side *= 0.45
    wide, high = p.cheek_width + side, WIDEST_Y - p.crown_y + (top or p.hair_volume)
    up = np.clip((WIDEST_Y - c.y) / high, 0, 2)
    outline = np.where(c.y < WIDEST_Y, (1 - np.hypot(np.abs(ax / wide) ** 1.2, up**1.2)) * 0.45, wide - ax)
    outer = c.soft(outline + rough * ragged, 0.014)

    parted = c.x - p.part_x
    line = p.hairline_y + 0.045 * (ax / 0.3) ** 2
    if p.style == "receding":
        line = line - 0.09 - 0.10 * hump(ax - 0.24, 0.10) + 0.05 * hump(ax, 0.12)
    else:
        line = line - 0.045 * hump(ax - 0.27, 0.07) if man else line + 0.015 * hump(ax, 0.05)
    if p.style == "quiff":
        line = line - 0.03 + 0.05 * (ax / 0.3) ** 2
    if p.style == "parted":
        line = line + 0.075 * np.clip(np.where(p.part_x < 0, parted, -parted) * 2.2, 0, 1) ** 0.8 - 0.02
    if p.style == "fringe":
        line = p.brow_y - 0.035 + 0.035 * (ax / 0.4) ** 2 + 0.010 * ragged
    if p.style in ("bob", "long"):
        line = p.hairline_y - 0.03 + 0.34 * np.clip(np.abs(parted) / 0.50, 0, 1) ** 1.5
    edge = (0.425 if p.style == "receding" else 0.400) + 0.085 * np.clip((c.y - p.hairline_y) / 0.46, 0, 1) ** 0.75
    temple = c.soft(ax - edge + 0.004 * ragged, 0.06)
    line = line + temple * np.maximum((0.10 if man else 0.02) - line, 0)
    front = outer * c.soft(line - c.y + 0.9 * rough * ragged, 0.022)
    if p.style in ("bob", "long", "fringe"):  # falls before the ears and behind the neck
        head, low = c.y < WIDEST_Y, np.clip((c.y - WIDEST_Y) / 0.8, 0, 1.4)
        within = np.clip(low, 0, 1)
        reach = wide + flare * np.sin(np.pi * within) - (0.07 * low**2 if p.style == "bob" else 0.0 * low)
        waves = np.sin(c.y * (9 + 5 * p.hair_wave) + 1.3 * np.sign(c.x))
        reach = reach + (0.012 + 0.012 * p.hair_wave) * waves * within
        end = end + 0.05 * (p.hair_volume - 0.075) / 0.02
        fall = c.soft(reach - ax + 0.006 * ragged, 0.014)
        fall = fall * c.soft(end - c.y + 0.02 * ragged - 0.05 * (ax / 0.6 - 0.5), 0.03)
        inner = p.half_width(np.clip(c.y, -0.3, 0.42)) - 0.050 + 0.06 * np.clip(c.y - 0.25, 0, 1)
        curtain = np.where(head, outer, fall) * c.soft(ax - inner + 0.008 * ragged, 0.024) * c.soft(c.y + 0.42, 0.14)
        return np.maximum(outer * head, fall * ~head), np.maximum(front, curtain)
    cloud = p.style == "curly" and not man
    behind = outer * c.soft((0.30 if cloud else -0.02) - c.y + 0.4 * rough * ragged, 0.05)
    if cloud:
        reach = np.hypot(c.x / (wide + 0.07), (c.y + 0.18) / 0.72)
        behind = np.maximum(behind, c.soft((1 - reach) * 0.5 + 0.017 * ragged, 0.016))
    return behind, front
