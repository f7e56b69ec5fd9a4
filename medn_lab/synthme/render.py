"""Pictures of a moved face: warp, folds, lids over eyeballs, cue, head motion, camera; and the script of one clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from medn_lab.synthme import actions as act
from medn_lab.synthme.identity import turned
from medn_lab.synthme.paint import Face

# Scales of the slow drifts: the head's x and y in pixels of a 128 px picture (about what `medn_lab.data.register` was
# measured to leave there) and its angle in degrees; the light's gain, slope and warmth.
DRIFTS = np.array([0.03, 0.03, 0.012, 0.012, 0.012, 0.003])

# Standard deviation of the sensor's noise per channel, in levels of 255.
SENSOR_GREYS = 1.6

# Length of a blink at 200 frames a second.
BLINK_FRAMES = 26


def draw_nuisance(rng: np.random.Generator, *, noise: float, apex: int, offset: int) -> dict[str, Any]:
    """A clip's noise, drift, blink and quality, as `Script` has them; the draws are the same whatever `noise` is."""
    drift = noise * DRIFTS * rng.standard_normal((4, 6)) / np.sqrt(1 + np.arange(4))[:, None] * 0.8
    blinks = rng.random() < 0.12 * noise and offset - apex > BLINK_FRAMES
    middle = (apex + offset) // 2 + int(rng.integers(-2, 3))
    drawn = max(round(100 - noise * rng.uniform(3, 9)), 50)
    blink, quality = middle if blinks else None, drawn if noise > 0 else None
    return {"noise": noise, "drift": drift, "blink": blink, "quality": quality}


def drift_at(drift: np.ndarray, along: float) -> np.ndarray:
    """The six drifts at a share `along` of the clip, all 0 at its start."""
    return (np.cos(np.pi * np.arange(1, 5) * along) - 1) @ drift


def head_truth(drift: np.ndarray, *, onset: int, apex: int, offset: int) -> dict[str, float]:
    """The head's drift at the apex, as the truth's table names it."""
    x, y, degrees, *_ = drift_at(drift, (apex - onset) / (offset - onset))
    return {"head_x_px128": x, "head_y_px128": y, "head_degrees": degrees}


@dataclass(frozen=True)
class Script:
    """Everything that happens in one clip, as numbers.

    `row` is the clip's row of the table without its AU columns, `truth` the truth's table without ``clip_id``
    and ``subject``. `pixels` holds each AU's peak, distractors included; `grain` is the seed of the sensor's noise,
    followed by a spawn key to which each frame's number is added. `noise` scales the nuisance: `drift` holds the
    coefficients (4, 6) of slow cosines for :data:`DRIFTS`; `blink` is the frame in the middle of a blink or None;
    `quality` the JPEG quality or None.
    """

    row: Mapping[str, Any]
    truth: Mapping[str, Any]
    pixels: act.Pixels
    grain: tuple[int, ...]
    noise: float
    drift: np.ndarray
    blink: int | None
    quality: int | None
    rise: float = 1.0
    fall: float = 1.0
    delay: float = 0.0

    @property
    def marks(self) -> dict[str, int]:
        """The three numbered frames."""
        return {name: self.row[name] for name in ("onset", "apex", "offset")}

    def cue_at(self, number: int) -> np.float32:
        """The cue in a frame at strength 1, from -1 to 1; 0 at the onset.

        Colour rises slowly (half of it by three tenths of the clip, later by `delay`) and stays; flush is positive,
        pallor negative. The timing pulse is one hump halfway between onset and apex (``early``, positive) or between
        apex and offset (``late``, negative by convention: it moves the skin the same way), exactly 0 at the onset, the
        apex and the offset. The brightness has the hump between apex and offset; ``brighten`` is positive, ``dim``
        negative.
        """
        kind, state, (onset, apex, offset) = self.truth["cue_kind"], self.row["cue"], self.marks.values()
        sign = dict(zip(act.CUES[kind], (1.0, -1.0), strict=False)).get(state, 0.0)
        if kind == "colour":
            along = np.clip((number - onset) / (offset - onset), 0, 1)
            return np.float32(sign * (1 - np.exp(-((along / (0.34 + self.delay)) ** 2))))
        start, end = (onset, apex) if state == "early" else (apex, offset)
        along = (number - start) / (end - start)
        return np.float32(sign * np.sin(np.pi * along) ** 1.5 if 0 < along < 1 else 0)

    def frame(self, face: Face, number: int) -> np.ndarray:
        """One frame at the face's size, uint8, with its nuisance; a function of the script and the arguments alone.

        AUs rise as a raised cosine from 0 at the onset to their peaks at the apex, and fall to 0 at the offset; `rise`
        and `fall` are exponents: above 1 they linger near 0.
        """
        onset, apex, offset = self.marks.values()
        up, down = (number - onset) / (apex - onset), (offset - number) / (offset - apex)
        share, power = (up, self.rise) if number <= apex else (down, self.fall)
        # Clipped, because rounding of the cosine would leave a little motion at the ends.
        rises = float(np.float32(np.clip(0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0, 1)), 0, 1) ** power))
        pixels = {key: rises * peak for key, peak in self.pixels.items()}
        level = self.truth["cue_strength"] * float(self.cue_at(number))
        away = 1.0 if self.blink is None else min(abs(number - self.blink) / (BLINK_FRAMES / 2), 1.0)
        blink = float(0.5 + 0.5 * np.cos(np.pi * away))
        drifts = drift_at(self.drift, float(np.clip((number - onset) / (offset - onset), 0, 1)))
        frame = compose(face, pixels, cue=self.truth["cue_kind"], level=level, blink=blink, head=drifts[:3].tolist())
        if self.noise:
            gain, slope, warmth = drifts[3:]
            across = np.linspace(-1, 1, frame.shape[1], dtype=np.float32)
            light = (1 + gain + slope * across)[:, None] * np.array([1 + warmth, 1, 1 - warmth])
            frame *= light.astype(np.float32)[None]
        if self.quality is None:
            return to_bytes(frame)
        rng = np.random.default_rng(np.random.SeedSequence(self.grain[0], spawn_key=(*self.grain[1:], number)))
        # The sum of two random bytes is triangular: close to a sensor's noise, and drawn eight times faster.
        pair = np.frombuffer(rng.bytes(2 * frame.size), np.uint8).reshape(2, *frame.shape)
        grain = (cv2.add(pair[0], pair[1], dtype=cv2.CV_32F) - 255) * np.float32(SENSOR_GREYS * self.noise / 104.5)
        # OpenCV keeps blue first; the order matters, because JPEG codes luminance more finely.
        noisy = cv2.cvtColor(to_bytes(frame + grain), cv2.COLOR_RGB2BGR)
        _, code = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return cv2.cvtColor(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def compose(
    face: Face, pixels: act.Pixels, *, cue: str, level: float, blink: float, head: Sequence[float]
) -> np.ndarray:
    """A frame before camera and compression, (size, size, 3) float32, sRGB 0-255.

    `pixels` is the AUs' motion now; `level` the cue now: its strength times :meth:`Script.cue_at`; `blink` goes from 0
    (open) to 1 (closed); `head` is the head's motion in pixels of a 128 px picture, and degrees.
    """
    size, scale = face.size, np.float32(face.size / 128)
    pulse = act.PULSE_PIXELS * abs(level) if cue == "timing" else 0.0
    strongest = max(map(abs, pixels.values()), default=0.0) + pulse
    steps = 0 if not strongest else 1 if strongest < 2.5 else 5
    moved = np.zeros((size, size, 2), np.float32)
    shade = np.ones((size, size), np.float32)
    parted = sum(peak for (au, _), peak in pixels.items() if au == "AU25") / 2
    for (au, side), peak in {**pixels, ("timing", "both"): pulse}.items():
        if peak:
            shade += np.float32(peak) * act.unit_shade(face, au, side)
            if au != "AU25":
                moved += np.float32(peak) * scale * act.unit_field(face, au, side)
    source, gap = _part_lips(face, moved, parted * float(scale), steps)

    # Where each pixel of the moved head was before the head moved, and then where its skin was.
    turn, middle = np.radians(head[2]), np.float32((size - 1) / 2)
    x, y = (axis - middle - np.float32(by) * scale for axis, by in zip(act.pixel_grid(face), head[:2], strict=True))
    column, row = (axis + middle for axis in turned(x, y, np.float32(np.cos(turn)), np.float32(np.sin(turn))))
    from_x, from_y = column - source[..., 0], row - source[..., 1]

    # Merged in three channels: numpy is several times slower where it stretches the last axis itself.
    frame = _take(face, face.skin, from_x, from_y) * cv2.merge([np.clip(shade, 0.72, 1.28)] * 3)
    if gap is not None:
        frame += (np.array([44, 18, 17], np.float32) - frame) * gap[..., None]  # the dark inside of the mouth
    _draw_eyes(face, frame, skin=(from_x, from_y), head=(column, row), blink=blink)
    if level and cue != "timing":
        weight = np.float32(act.CUE_GREYS * level) * act.cue_weight(face, cue)
        frame += cv2.merge([weight * way for way in (act.FLUSH if cue == "colour" else np.ones(3, np.float32))])
    return frame


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _take(face: Face, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The master's `image` at places of the picture."""
    zoom, half = np.float32(len(face.skin) / face.size), np.float32(0.5)
    return _sample(image, (x + half) * zoom - half, (y + half) * zoom - half)


def _origin(face: Face, moved: np.ndarray, steps: int) -> np.ndarray:
    """How far the skin that is now at each pixel has come.

    The field says where skin goes; a picture is drawn by asking where it came from. Fixed-point steps, one where the
    motion is that of a micro-expression, more where a slider exaggerates it.
    """
    column, row = act.pixel_grid(face)
    source = moved
    for _ in range(steps):
        source = _sample(moved, column - source[..., 0], row - source[..., 1])
    return source


def _part_lips(face: Face, moved: np.ndarray, parted: float, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Like :func:`_origin` for lips that part by `parted` pixels, and how much of each pixel is open mouth.

    A drawn mouth shows its dark inside in the gap; in a photo the skin at the line is stretched over it.
    """
    if not parted:
        return _origin(face, moved, steps), None
    column, row = act.pixel_grid(face)
    *lips, below = act.lips_apart(face)
    cos, sin = face.axis
    down = np.array([-sin, cos], np.float32)
    upper, lower = (_origin(face, moved + np.float32(parted) * lip[..., None] * down, steps) for lip in lips)
    from_upper, from_lower = (_sample(below, column - lip[..., 0], row - lip[..., 1]) for lip in (upper, lower))
    source = np.where((from_lower + from_upper > 0)[..., None], lower, upper)
    if face.eyes is None:
        return source, None
    pixel = np.float32(2 / face.size)
    opened = np.clip(np.minimum(-from_lower, from_upper) / pixel + np.float32(0.5), 0, 1)
    return source, opened * np.clip((from_upper - from_lower) / pixel, 0, 1)


def _draw_eyes(
    face: Face, frame: np.ndarray, *, skin: Sequence[np.ndarray], head: Sequence[np.ndarray], blink: float
) -> None:
    """Cut the eyeballs into a frame where the moved lids are open, and draw the lashes; a photo's move with the skin.

    `skin` and `head` are the x and y at which the skin and the head of each pixel were.
    """
    if face.eyes is None or face.lids is None:
        return
    pixel, box = np.float32(2 / face.size), []
    for place, axis, before, after in (("eye", 1, 0.11, 0.09), ("eye_outer", 0, 0.05, 0.05)):
        low, high = sorted(places[place][axis] for places in face.landmarks.values())
        low, high = (int((v + 1) / 2 * face.size) for v in (low - before, high + after))
        box.append(slice(max(low, 0), high + 1))
    eyes = tuple(box)
    patch = frame[eyes]
    upper, lower = np.moveaxis(_take(face, face.lids, *(where[eyes] for where in skin)), -1, 0)
    if blink:
        upper = upper - np.float32(1.06 * blink) * np.maximum(upper + lower, 0)
    bare = np.clip(np.minimum(upper, lower) / (np.float32(1.3) * pixel) + np.float32(0.5), 0, 1)
    patch += (_take(face, face.eyes, *(where[eyes] for where in head)) - patch) * bare[..., None]
    height = 0.0075  # half that of the upper lash line, in face units
    width = max(height, 0.55 * float(pixel))
    lash = np.exp(-(((upper + np.float32(0.15 * width)) / np.float32(width)) ** 2))
    lash *= np.clip((lower + np.float32(0.012)) / np.float32(0.016), 0, 1)
    patch *= 1 - np.float32(0.84 * min(1.0, height / width)) * lash[..., None]


def to_bytes(frame: np.ndarray) -> np.ndarray:
    """Round to uint8."""
    return np.clip(frame + np.float32(0.5), 0, 255).astype(np.uint8)


def shrunk(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture or field at `size` px, each pixel the mean of what it covers; values stay what they are."""
    return image if len(image) == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def move_face(face: Face, actions: Mapping[str, float | str] | None = None) -> np.ndarray:
    """One still of a face with AUs set by hand.

    Parameters
    ----------
    face : Face
        From :func:`draw_face`.
    actions : dict
        AU (``"AU12"`` or ``"12"``) to its peak in pixels of a 128 px picture, or to an intensity ``"A"`` to ``"E"``.
        Above 2 px the motion is exaggerated beyond a micro-expression; above 5 px skin folds over itself.

    Returns
    -------
    (size, size, 3) uint8, RGB.

    Raises
    ------
    ValueError
        If an AU or an intensity is unknown.

    See Also
    --------
    face_studio : clips of a face, with sides, cue and noise.

    Examples
    --------
    >>> from medn_lab.synthme import Identity, draw_face
    >>> face = draw_face(Identity(0, 0), size=64)
    >>> smile = move_face(face, {"AU12": "C", "AU6": 0.5})
    >>> smile.shape, bool((smile == move_face(face)).all())
    ((64, 64, 3), False)
    """
    amounts = {act.check_au(name): amount for name, amount in (actions or {}).items()}
    pixels = act.pixels_of(amounts, {})
    return to_bytes(compose(face, pixels, cue="colour", level=0.0, blink=0.0, head=(0.0, 0.0, 0.0)))
