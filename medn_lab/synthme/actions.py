"""Action Units as motion, and the implicit cue: fields at their FACS places, folds, colours, time courses.

Every AU is a handful of *pulls* (a Gaussian patch of skin moving one way) and *folds* (a crease or bulge that changes
the shading), anchored to landmarks. Directions are lateral (away from the midline) and down, so that one description
serves both sides.

The implicit emotion cue is tied to the emotion, independent of the AUs given the emotion, and not visible in the flow
from onset to apex. ``colour``: facial blood flow [2]_, an isoluminant change of chroma over cheeks and forehead with a
slow course. ``timing``: the wings of the nose pulse before the apex, after it, or not at all. ``brightness``: the chin
grows brighter or darker between apex and offset, in grey as much as in colour. The last two are exactly 0 at the onset,
the apex and the offset.

References
----------
.. [1] P. Ekman, W. V. Friesen, J. C. Hager: Facial Action Coding System. The Manual. 2002.
.. [2] C. F. Benitez-Quiroz, R. Srinivasan, A. M. Martinez: Facial color is an efficient mechanism to visually transmit
   emotion. PNAS 115 (14), 3581-3586, 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, TypeVar

import cv2
import numpy as np

from medn_lab.synthme.paint import Face

Side = Literal["both", "left", "right"]
CueKind = Literal["colour", "timing", "brightness"]
Pixels = dict[tuple[str, str], float]
"""(AU, half of the face) to the peak of its motion, in pixels of a 128 px picture."""

AUS = ("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10",
       "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25")  # fmt: skip
"""The AUs that SynthME plays and codes, as columns of the table."""

MIDLINE_AUS = ("AU9", "AU17", "AU23", "AU24", "AU25")
"""AUs that are never played on one side alone."""

PEAK_PIXELS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}
"""How far the skin moves at the apex for each intensity, in pixels of a 128 px picture."""

SHADE_PER_PIXEL = 0.032
"""Relative change of brightness by a fold of height 1 at 1 px (of 128) of motion."""

CUES: dict[str, tuple[str, str, str]] = {
    "colour": ("flush", "pallor", "still"),
    "timing": ("early", "late", "still"),
    "brightness": ("brighten", "dim", "still"),
}
"""The states of each kind: the first goes with happiness and disgust, the second with repression and surprise, the
third with others."""

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""How OpenCV weighs red, green and blue into grey."""

FLUSH = np.array([1.0, -0.5, -(0.299 - 0.5 * 0.587) / 0.114], np.float32)
"""The direction of a flush in RGB, weighing nothing in grey; pallor is its opposite."""

CUE_GREYS = 5.0
"""Change of red (colour) or of all channels (brightness) at the centre of the cue's place, at full course and strength
1, in levels of 255."""

PULSE_PIXELS = 1.1
"""Peak of the timing pulse at strength 1, in pixels of a 128 px picture."""

Pull = tuple[str, tuple[float, float], tuple[float, float], tuple[float, float]]
PULLS: dict[str, tuple[Pull, ...]] = {
    "AU1": (("brow_inner", (0.01, -0.01), (0.075, 0.085), (-0.1, -1.0)),),
    "AU2": (("brow_outer", (-0.03, -0.01), (0.095, 0.085), (0.12, -1.0)),),
    "AU4": (("brow_inner", (0.01, 0.0), (0.075, 0.07), (-0.62, 0.8)),
            ("brow_mid", (0.0, 0.0), (0.08, 0.06), (-0.25, 0.5)),),
    "AU5": (("lid_upper", (0.0, -0.012), (0.08, 0.046), (0.0, -1.0)),),
    "AU6": (("cheek", (0.02, -0.03), (0.12, 0.085), (-0.1, -1.0)),
            ("eye_outer", (0.05, 0.015), (0.05, 0.05), (-0.65, 0.0)),),
    "AU7": (("lid_lower", (0.0, 0.02), (0.09, 0.046), (-0.15, -1.0)),
            ("lid_upper", (0.0, -0.022), (0.08, 0.036), (0.0, 0.55)),),
    "AU9": (("nose_side", (0.0, 0.03), (0.055, 0.1), (-0.15, -1.0)),
            ("nose_wing", (0.01, -0.01), (0.045, 0.05), (0.0, -0.75)),
            ("brow_inner", (-0.02, 0.03), (0.06, 0.05), (-0.4, 0.55)),
            ("lip_top", (0.01, -0.02), (0.05, 0.04), (0.05, -0.4)),),
    "AU10": (("lip_top", (0.02, -0.01), (0.07, 0.045), (0.1, -1.0)),
            ("nose_wing", (0.06, 0.04), (0.06, 0.06), (0.18, -0.6)),),
    "AU12": (("mouth_corner", (0.012, -0.008), (0.082, 0.07), (0.78, -0.63)),
            ("cheek", (0.0, 0.06), (0.1, 0.08), (0.22, -0.42)),),
    "AU14": (("mouth_corner", (-0.015, 0.0), (0.06, 0.055), (0.9, -0.12)),
            ("mouth_corner", (0.11, 0.0), (0.055, 0.065), (-0.62, 0.0)),),
    "AU15": (("mouth_corner", (-0.005, 0.012), (0.07, 0.062), (0.18, 1.0)),),
    "AU17": (("chin", (0.0, 0.02), (0.125, 0.065), (0.0, -1.0)),
            ("lip_lower", (0.0, 0.0), (0.12, 0.034), (0.0, -0.62)),),
    "AU20": (("mouth_corner", (0.02, 0.012), (0.105, 0.075), (1.0, 0.16)),),
    "AU23": (("lip_upper", (0.0, -0.016), (0.095, 0.042), (0.0, 0.85)),
            ("lip_lower", (0.0, 0.022), (0.095, 0.046), (0.0, -1.0)),
            ("mouth_corner", (0.005, 0.0), (0.055, 0.055), (-0.8, 0.0)),),
    "AU24": (("lip_upper", (0.0, -0.03), (0.13, 0.052), (0.0, 0.95)),
            ("lip_lower", (0.0, 0.04), (0.13, 0.056), (0.0, -1.0)),),
    "AU25": (),
}  # fmt: skip
"""What each AU moves: a landmark, where the patch lies off it, how wide it is, which way it goes (all lateral, down).
The lips parting (AU25) is a tear along the mouth line and made in :func:`unit_field`."""

Fold = tuple[str, tuple[float, float], tuple[float, float], float, float]
FOLDS: dict[str, tuple[Fold, ...]] = {
    "AU1": (("brow_inner", (0.03, -0.075), (0.085, 0.01), 0.08, -1.0),
            ("brow_inner", (0.03, -0.115), (0.085, 0.01), 0.08, -1.0),),
    "AU2": (("brow_outer", (-0.03, -0.075), (0.08, 0.01), -0.25, -0.8),
            ("brow_outer", (-0.03, -0.11), (0.08, 0.01), -0.25, -0.8),),
    "AU4": (("brow_inner", (-0.045, 0.0), (0.01, 0.05), 0.15, -1.3),
            ("brow_inner", (-0.012, -0.005), (0.022, 0.04), 0.15, 0.7),),
    "AU5": (("lid_upper", (0.0, -0.03), (0.08, 0.009), 0.0, -0.6),),
    "AU6": (("cheek", (0.02, -0.045), (0.1, 0.035), -0.15, 1.0),
            ("eye_outer", (0.05, 0.012), (0.035, 0.008), -0.35, -0.8),
            ("lid_lower", (0.02, 0.048), (0.085, 0.01), 0.1, -0.8),),
    "AU7": (("lid_lower", (0.0, 0.024), (0.08, 0.012), 0.0, 0.7),),
    "AU9": (("nose_side", (-0.035, -0.035), (0.03, 0.009), 0.5, -1.0),
            ("nose_side", (-0.03, -0.005), (0.03, 0.009), 0.5, -1.0),
            ("nose_wing", (0.045, 0.015), (0.016, 0.07), -0.55, -0.9),),
    "AU10": (("nose_wing", (0.05, 0.045), (0.016, 0.085), -0.55, -1.2),),
    "AU12": (("mouth_corner", (0.045, -0.065), (0.015, 0.085), -0.5, -1.2),
            ("cheek", (0.02, 0.05), (0.075, 0.06), 0.0, 0.9),),
    "AU14": (("mouth_corner", (0.04, 0.0), (0.014, 0.03), 0.1, -1.3),
            ("mouth_corner", (0.078, 0.0), (0.022, 0.04), 0.1, 0.7),),
    "AU15": (("mouth_corner", (0.014, 0.045), (0.012, 0.05), 0.25, -1.1),),
    "AU17": (("chin", (0.0, -0.005), (0.075, 0.04), 0.0, 1.0),
            ("lip_lower", (0.0, 0.04), (0.085, 0.012), 0.0, -0.9),),
    "AU20": (("mouth_corner", (0.055, 0.0), (0.012, 0.06), -0.1, -0.9),),
    "AU23": (("lip_lower", (0.0, 0.012), (0.08, 0.014), 0.0, 0.4),
            ("lip_upper", (0.0, -0.012), (0.08, 0.012), 0.0, 0.35),),
    "AU24": (("lip_lower", (0.0, 0.03), (0.1, 0.02), 0.0, 0.5),
            ("lip_upper", (0.0, -0.03), (0.1, 0.02), 0.0, 0.45),),
    "AU25": (),
}  # fmt: skip
"""What each AU folds: a landmark, where the fold lies off it, how long and wide it is, its angle, and its height, which
is negative for a crease and positive for a bulge."""

CUE_PATCHES: dict[str, tuple[tuple[str, str, tuple[float, float], tuple[float, float]], ...]] = {
    "colour": (
        ("right", "cheek", (0.045, 0.04), (0.085, 0.085)),
        ("left", "cheek", (0.045, 0.04), (0.085, 0.085)),
        ("left", "forehead", (0.0, 0.02), (0.14, 0.055)),
    ),
    "brightness": (("left", "chin", (0.0, -0.08), (0.21, 0.12)),),
}
"""Where the cues that change colours lie: side, landmark, offset and width."""

P = ParamSpec("P")
T = TypeVar("T")


def one_of(value: str, choices: Iterable[str], name: str) -> str:
    """The value itself; ValueError unless it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; it is {value!r}")
    return value


def check_range(value: object, name: str, low: float, high: float = np.inf) -> None:
    """ValueError unless a number lies between `low` and `high`."""
    if not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        limits = f"at least {low:g}" if high == np.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be {limits}; it is {value!r}")


def check_au(name: str) -> str:
    """`name` as a column name, ``AU12`` or ``12`` alike; ValueError where SynthME does not play it."""
    text = str(name).strip().upper()
    return one_of(text if text.startswith("AU") else f"AU{text}", AUS, "an AU that SynthME plays")


def cue_kinds(cue: str) -> tuple[str, ...]:
    """The kinds of a corpus, in the order of :data:`CUES`; ValueError where one is unknown or named twice.

    Examples
    --------
    >>> cue_kinds("mixed"), cue_kinds("brightness+colour")
    (('colour', 'timing'), ('colour', 'brightness'))
    """
    named = ["colour", "timing"] if cue == "mixed" else str(cue).split("+")
    if not set(named) <= set(CUES) or len(set(named)) < len(named):
        raise ValueError(f"no cue {cue!r}; there are {', '.join(CUES)}, two or three of them joined by +, and mixed")
    return tuple(kind for kind in CUES if kind in named)


def kind_of_state(state: str) -> str:
    """The first kind of cue that has a state; ValueError where none has it."""
    kinds = {word: kind for kind in reversed(CUES) for word in CUES[kind]}
    return kinds[one_of(state, kinds, "the cue's state")]


def sides_of(au: str, side: str) -> tuple[str, ...]:
    """The halves of the face that an AU plays on; midline AUs always on both."""
    return ("right", "left") if side == "both" or au in MIDLINE_AUS else (side,)


def peak_of(amount: float | str) -> float:
    """The peak of an intensity in pixels of a 128 px picture: the middle of a letter's range."""
    return sum(PEAK_PIXELS[one_of(amount, PEAK_PIXELS, "intensity")]) / 2 if isinstance(amount, str) else amount


def pixels_of(amounts: Mapping[str, float | str], sides: Mapping[str, str]) -> Pixels:
    """The peaks of AUs that move, by letters or pixels, on the sides given, both where none is."""
    peaks = {au: float(peak_of(amount)) for au, amount in amounts.items()}
    return {(au, half): peak for au, peak in peaks.items() if peak for half in sides_of(au, sides.get(au, "both"))}


def kept(make: Callable[Concatenate[Face, P], T]) -> Callable[Concatenate[Face, P], T]:
    """`make`, computed once for each face and its other arguments."""

    @wraps(make)
    def get(face: Face, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (make.__name__, *args)
        if key not in face.cache:
            face.cache[key] = make(face, *args, **kwargs)
        return face.cache[key]

    return get


@kept
def face_grid(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in face units, turned so that the line between the eyes is level, ``(size, size)`` each."""
    axis = ((np.arange(face.size, dtype=np.float32) + 0.5) / face.size) * 2 - 1
    return face.landmarks.level(*np.meshgrid(axis, axis))


def bump_at(
    face: Face, side: str, place: str, offset: tuple[float, float], spread: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """A Gaussian at a landmark; `offset` is lateral and down."""
    x, y = face_grid(face)
    out, scale = (1.0 if side == "left" else -1.0), np.float32(face.landmarks.scale)
    cx, cy = face.landmarks.place(side, place)
    dx, dy = out * (x - np.float32(cx)) / scale - np.float32(offset[0]), (y - np.float32(cy)) / scale
    dy = dy - np.float32(offset[1])
    if angle:
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    return np.exp(-0.5 * ((dx / np.float32(spread[0])) ** 2 + (dy / np.float32(spread[1])) ** 2))


@kept
def unit_field(face: Face, au: str, side: str) -> np.ndarray:
    """Displacement of one half of the face by one AU, (size, size, 2) float32.

    The other half is not moved: the field fades over the midline. The longest vector of both halves together is 1, so
    that of a half is 1 as well unless it lies on the midline.
    """
    x, _ = face_grid(face)
    out = 1.0 if side == "left" else -1.0
    field = np.zeros((face.size, face.size, 2), np.float32)
    for place, offset, spread, (lateral, down) in PULLS[au]:
        bump = bump_at(face, side, place, offset, spread)
        field[..., 0] += np.float32(out * lateral) * bump
        field[..., 1] += np.float32(down) * bump
    if au == "AU25":
        upper, lower, below = lips_apart(face)
        field[..., 1] += np.where(below > 0, lower, upper)
    middle, _ = face.landmarks.place(side, "glabella")
    half = np.clip(0.5 + out * (x - np.float32(middle)) / np.float32(0.05 * face.landmarks.scale), 0, 1)
    field *= (half * half * (3 - 2 * half) / np.linalg.norm(field, axis=-1).max())[..., None]
    return turned_back(face, field)


def turned_back(face: Face, field: np.ndarray) -> np.ndarray:
    """A field along the face's axes as a field along those of the picture."""
    ax, ay = np.array(face.landmarks.axis, np.float32)
    return np.stack([ax * field[..., 0] - ay * field[..., 1], ay * field[..., 0] + ax * field[..., 1]], -1)


@kept
def lips_apart(face: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How AU25 moves the upper and the lower lip down the face, peak 1, and the distance below the mouth line.

    The two differ at the mouth line: skin is torn there, not stretched. All are (size, size) float32; the distance is
    in face units.
    """
    x, y = face_grid(face)
    marks = face.landmarks
    right, mouth, left = (
        marks.place(side, name) for side, name in (("right", "mouth_corner"), ("", "mouth"), ("left", "mouth_corner"))
    )
    along = (x - np.float32(mouth[0])) / np.float32((left[0] - right[0]) / 2)
    corners = (right[1] + left[1]) / 2
    below = y - np.float32(mouth[1]) - np.float32(corners - mouth[1]) * along**2
    opening = np.clip(1 - along**2, 0, 1)
    far = np.clip(np.abs(below) / np.float32(0.07 * marks.scale), 0, 1)
    held = opening + (1 - opening) * far  # the corners stay together
    lower = bump_at(face, "left", "mouth", (0.0, 0.03), (0.12, 0.075))
    lower += 0.6 * bump_at(face, "left", "mouth", (0.0, 0.16), (0.14, 0.10))
    upper = -0.45 * bump_at(face, "left", "mouth", (0.0, -0.02), (0.10, 0.050)) * held
    lower *= held
    peak = lower.max()
    return upper / peak, lower / peak, below


@kept
def unit_shade(face: Face, au: str, side: str) -> np.ndarray:
    """Relative change of brightness by the folds of an AU at 1 px (of 128), (size, size) float32."""
    relief = np.zeros((face.size, face.size), np.float32)
    for place, offset, spread, angle, height in FOLDS[au]:
        relief += np.float32(height) * bump_at(face, side, place, offset, spread, angle)
    scale = face.size / 128 / 8
    tilt = face.light[0] * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=scale)
    tilt += face.light[1] * cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=scale)
    # A slope that rises away from the lamp turns darker; a hollow gets less of the sky as well.
    shade = -tilt + 0.12 * relief
    peak = np.abs(shade).max()
    highest = max((abs(fold[-1]) for fold in FOLDS[au]), default=0.0)
    return (shade * np.float32(SHADE_PER_PIXEL * highest / peak)) if peak > 0 else shade


def au_mask(face: Face, au: str) -> np.ndarray:
    """Where an AU moves the skin by more than a fifth of its peak, (size, size) bool."""
    return sum(np.linalg.norm(unit_field(face, au, side), axis=-1) for side in ("right", "left")) > 0.2


def expression_field(face: Face, pixels: Pixels) -> np.ndarray:
    """Sum of AU fields, (size, size, 2) float32 in pixels of the face's size."""
    total = np.zeros((face.size, face.size, 2), np.float32)
    for (au, side), peak in pixels.items():
        if peak:
            total += np.float32(peak * face.size / 128) * unit_field(face, au, side)
    return total


@kept
def cue_weight(face: Face, kind: str) -> np.ndarray:
    """How strongly the colour or the brightness cue shows at each place, (size, size) float32 from 0 to 1."""
    weight = sum(bump_at(face, *patch) for patch in CUE_PATCHES[kind])
    # A known boundary: nothing at all below a tenth of the peak, nor on the hair that lies over the forehead.
    return np.clip((weight - 0.1) / 0.9, 0, 1) * face.mask


@kept
def pulse_field(face: Face) -> np.ndarray:
    """The timing cue's displacement, (size, size, 2) float32, longest vector 1: the wings of the nose spread."""
    field = np.zeros((face.size, face.size, 2), np.float32)
    for side, out in (("right", -1.0), ("left", 1.0)):
        bump = bump_at(face, side, "nose_wing", (0.008, -0.004), (0.034, 0.036))
        field[..., 0] += np.float32(out) * bump
        field[..., 1] -= np.float32(0.25) * bump
    return field / np.linalg.norm(field, axis=-1).max()


def cue_mask(face: Face, kind: str) -> np.ndarray:
    """Where the cue has more than a fifth of its peak, (size, size) bool."""
    return (np.linalg.norm(pulse_field(face), axis=-1) if kind == "timing" else cue_weight(face, kind)) > 0.2


def time_course(
    frames: np.ndarray, *, onset: int, apex: int, offset: int, rise: float = 1.0, fall: float = 1.0
) -> np.ndarray:
    """Strength of an action in each of `frames`, (k,) float32: 0 at the onset, 1 at the apex, 0 at the offset.

    `rise` and `fall` are exponents of the raised cosine up and down; above 1 it lingers near zero.

    Examples
    --------
    >>> time_course(np.array([10, 15, 20, 35, 50]), onset=10, apex=20, offset=50).round(2).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    frames = np.asarray(frames, float)
    up = np.clip((frames - onset) / (apex - onset), 0, 1)
    down = np.clip((offset - frames) / (offset - apex), 0, 1)
    # cos(pi) is a hair off -1, so that a clip keeps the ends exactly still
    rising = np.clip(0.5 - 0.5 * np.cos(np.pi * up), 0, 1) ** rise
    falling = np.clip(0.5 - 0.5 * np.cos(np.pi * down), 0, 1) ** fall
    return np.where(frames <= apex, rising, falling).astype(np.float32)


def cue_course(
    kind: str, state: str, frames: np.ndarray, *, onset: int, apex: int, offset: int, delay: float = 0.0
) -> np.ndarray:
    """Strength of the cue in each of `frames`, (k,) float32 from -1 to 1, 0 at the onset.

    Colour rises slowly (half of it by three tenths of the clip, later by `delay`) and stays; flush is positive, pallor
    negative. The timing pulse is one hump halfway between onset and apex (``early``, positive) or between apex and
    offset (``late``, negative by convention: it moves the skin the same way), exactly 0 at the onset, the apex and the
    offset. The brightness has the hump between apex and offset; ``brighten`` is positive, ``dim`` negative.

    Examples
    --------
    >>> numbers = np.array([0, 10, 20, 40, 60])
    >>> cue_course("timing", "early", numbers, onset=0, apex=20, offset=60).round(2).tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0]
    >>> flush = cue_course("colour", "flush", numbers, onset=0, apex=20, offset=60)
    >>> [f"{level:.2f}" for level in flush]
    ['0.00', '0.21', '0.62', '0.98', '1.00']
    """
    frames = np.asarray(frames, float)
    if state in ("still", "absent"):
        return np.zeros(len(frames), np.float32)
    sign = 1.0 if state == CUES[kind][0] else -1.0
    if kind == "colour":
        along = np.clip((frames - onset) / (offset - onset), 0, 1)
        return (sign * (1 - np.exp(-((along / (0.34 + delay)) ** 2)))).astype(np.float32)
    start, end = (onset, apex) if state == "early" else (apex, offset)
    inside = (frames > start) & (frames < end)
    hump = np.sin(np.pi * np.clip((frames - start) / (end - start), 0, 1)) ** 1.5
    return np.where(inside, sign * hump, 0.0).astype(np.float32)
