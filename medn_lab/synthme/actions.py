"""Action Units as motion, and the implicit cue: fields at their FACS places, folds, colours, time courses.

Every AU is a handful of *pulls* (a Gaussian patch of skin moving one way) and *folds* (a crease or bulge that changes
the shading), anchored to landmarks. Directions are lateral (away from the midline) and down, so that one description
serves both sides.

The implicit emotion cue is tied to the emotion, independent of the AUs given the emotion, and not visible in the flow
from onset to apex (its course: :meth:`medn_lab.synthme.render.Script.cue_at`).
``colour``: facial blood flow [2]_, an isoluminant change of chroma over cheeks and forehead with a slow course.
``timing``: the wings of the nose pulse before the apex, after it, or not at all. ``brightness``: the chin grows
brighter or darker between apex and offset, in grey as much as in colour. The last two are exactly 0 at the onset, the
apex and the offset.

References
----------
.. [1] P. Ekman, W. V. Friesen, J. C. Hager: Facial Action Coding System. The Manual. 2002.
.. [2] C. F. Benitez-Quiroz, R. Srinivasan, A. M. Martinez: Facial color is an efficient mechanism to visually transmit
   emotion. PNAS 115 (14), 3581-3586, 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Literal

import cv2
import numpy as np

from medn_lab.records.table import one_of
from medn_lab.synthme.identity import read_table, turned
from medn_lab.synthme.paint import Face, place_of

CueKind = Literal["colour", "timing", "brightness"]

# (AU, half of the face) to the peak of its motion, in pixels of a 128 px picture.
Pixels = dict[tuple[str, str], float]

AUS = ("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10",
       "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25")  # fmt: skip
"""The AUs that SynthME plays and codes, as columns of the table."""

# AUs that are never played on one side alone.
MIDLINE_AUS = ("AU9", "AU17", "AU23", "AU24", "AU25")

# How far the skin moves at the apex for each intensity, in pixels of a 128 px picture.
PEAK_PIXELS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}

CUES: dict[str, tuple[str, str, str]] = {
    "colour": ("flush", "pallor", "still"),
    "timing": ("early", "late", "still"),
    "brightness": ("brighten", "dim", "still"),
}
"""The states of each kind: the first goes with happiness and disgust, the second with repression and surprise, the
third with others."""

# The direction of a flush in RGB, weighing nothing in the grey of OpenCV; pallor is its opposite.
FLUSH = np.array([1.0, -0.5, -(0.299 - 0.5 * 0.587) / 0.114], np.float32)

# Change of red (colour) or of all channels (brightness) at the centre of the cue's place, at full course and strength
# 1, in levels of 255.
CUE_GREYS = 5.0

# Peak of the timing pulse at strength 1, in pixels of a 128 px picture.
PULSE_PIXELS = 1.1

_CHEEK = ("cheek", 0.045, 0.04, 0.085, 0.085)
# Places of the cues that change colours: the patches of `bump_at`.
CUE_PATCHES: dict[str, tuple[tuple, ...]] = {
    "colour": (("right", *_CHEEK), ("left", *_CHEEK), ("left", "forehead", 0.0, 0.02, 0.14, 0.055)),
    "brightness": (("left", "chin", 0.0, -0.08, 0.21, 0.12),),
}


@cache
def read_patches(what: Literal["pulls", "folds"]) -> dict[str, list[tuple]]:
    """The rows of ``au_pulls.csv`` or ``au_folds.csv`` by AU.

    A pull is a landmark, the offset of the patch from it, its width, and its direction. A fold is a landmark,
    the offset from it, its length and width, its angle, and its height, negative for a crease and positive for a
    bulge. AU25 has no row: the lips parting is a tear along the mouth line and made in :func:`unit_field`. The timing
    cue pulls as an AU does.
    """
    by_au = read_table(f"au_{what}").groupby(level=0)
    return {str(au): list(rows.itertuples(index=False, name=None)) for au, rows in by_au}


def check_range(low: float, high: float, **values: float) -> None:
    """ValueError unless each of the values is a number between `low` and `high`."""
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be between {low} and {high}; it is {value!r}")


def check_au(name: str) -> str:
    """`name` as a column name, ``AU12`` or ``12`` alike; ValueError where SynthME does not play it."""
    return one_of(f"AU{str(name).strip().upper().removeprefix('AU')}", AUS, "an AU")


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


def sides_of(au: str, side: str) -> tuple[str, ...]:
    """The halves of the face that an AU plays on; midline AUs always on both."""
    return ("right", "left") if side == "both" or au in MIDLINE_AUS else (side,)


def pixels_of(amounts: Mapping[str, float | str], sides: Mapping[str, str]) -> Pixels:
    """The peaks of AUs that move on the sides given, both where none is; a letter is the middle of its range."""
    pixels: Pixels = {}
    for au, amount in amounts.items():
        peak = sum(PEAK_PIXELS[one_of(amount, PEAK_PIXELS, "intensity")]) / 2 if isinstance(amount, str) else amount
        if peak:
            pixels |= {(au, half): float(peak) for half in sides_of(au, sides.get(au, "both"))}
    return pixels


def kept(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make`, computed once for each face and its other arguments."""

    def get(face: Face, *args: Any) -> Any:
        key = (make.__name__, *args)
        if key not in face.cache:
            face.cache[key] = make(face, *args)
        return face.cache[key]

    return get


@kept
def pixel_grid(face: Face) -> tuple[np.ndarray, ...]:
    """Column and row of each pixel, (size, size) float32 each."""
    return tuple(np.indices((face.size, face.size), np.float32)[::-1])


@kept
def face_grid(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in face units, turned so that the line between the eyes is level, ``(size, size)`` each."""
    x, y = (((place + 0.5) / face.size) * 2 - 1 for place in pixel_grid(face))
    return turned(x, y, *face.axis)


def bump_at(
    face: Face, side: str, place: str, lateral: float, down: float, wide: float, high: float, angle: float = 0.0
) -> np.ndarray:
    """A Gaussian `wide` and `high`, off a landmark."""
    x, y = face_grid(face)
    out, scale = (1.0 if side == "left" else -1.0), np.float32(face.scale)
    cx, cy = place_of(face, side=side, name=place)
    dx, dy = out * (x - np.float32(cx)) / scale - np.float32(lateral), (y - np.float32(cy)) / scale - np.float32(down)
    if angle:
        dx, dy = turned(dx, dy, np.float32(np.cos(angle)), np.float32(np.sin(angle)))
    return np.exp(-0.5 * ((dx / np.float32(wide)) ** 2 + (dy / np.float32(high)) ** 2))


@kept
def unit_field(face: Face, name: str, side: str) -> np.ndarray:
    """Displacement of one half of the face by an AU, or of both by the timing cue, (size, size, 2) float32.

    An AU does not move the other half: the field fades over the midline. The longest vector of both halves together is
    1, so that of a half is 1 as well unless it is on the midline. The timing cue spreads the wings of the nose.
    """
    field = np.zeros((face.size, face.size, 2), np.float32)
    for half in ("right", "left") if side == "both" else (side,):
        out = 1.0 if half == "left" else -1.0
        for *patch, lateral, down in read_patches("pulls").get(name, ()):
            field += bump_at(face, half, *patch)[..., None] * np.array([out * lateral, down], np.float32)
    if name == "timing":
        return field / np.linalg.norm(field, axis=-1).max()
    if name == "AU25":
        upper, lower, below = lips_apart(face)
        field[..., 1] += np.where(below > 0, lower, upper)
    across = face_grid(face)[0] - np.float32(place_of(face, side=side, name="glabella")[0])
    share = np.clip(0.5 + out * across / np.float32(0.05 * face.scale), 0, 1)
    field *= (share * share * (3 - 2 * share) / np.linalg.norm(field, axis=-1).max())[..., None]
    cos, sin = np.array(face.axis, np.float32)
    return np.stack(turned(field[..., 0], field[..., 1], cos, -sin), -1)  # along the axes of the picture


@kept
def lips_apart(face: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How AU25 moves the upper and the lower lip down the face, peak 1, and the distance below the mouth line.

    The two differ at the mouth line: skin is torn there, not stretched. All are (size, size) float32; the distance is
    in face units.
    """
    x, y = face_grid(face)
    right, left = (place_of(face, side=side, name="mouth_corner") for side in ("right", "left"))
    mouth = place_of(face, side="left", name="mouth")
    along = (x - np.float32(mouth[0])) / np.float32((left[0] - right[0]) / 2)
    below = y - np.float32(mouth[1]) - np.float32((right[1] + left[1]) / 2 - mouth[1]) * along**2
    opening = np.clip(1 - along**2, 0, 1)
    # The corners stay together.
    held = opening + (1 - opening) * np.clip(np.abs(below) / np.float32(0.07 * face.scale), 0, 1)
    bump = partial(bump_at, face, "left", "mouth", 0.0)
    lower = (bump(0.03, 0.12, 0.075) + 0.6 * bump(0.16, 0.14, 0.10)) * held
    upper = -0.45 * bump(-0.02, 0.10, 0.050) * held
    return upper / lower.max(), lower / lower.max(), below


@kept
def unit_shade(face: Face, au: str, side: str) -> np.ndarray:
    """Relative change of brightness by the folds of an AU at 1 px (of 128), (size, size) float32."""
    folds = read_patches("folds").get(au, ())
    relief = sum((np.float32(height) * bump_at(face, side, *patch) for *patch, height in folds), face.mask * 0)
    slopes = (cv2.Sobel(relief, cv2.CV_32F, 1 - k, k, ksize=3, scale=face.size / 128 / 8) for k in (0, 1))
    # A slope that rises away from the lamp turns darker; a hollow gets less of the sky as well.
    shade = 0.12 * relief - sum(way * slope for way, slope in zip(face.light, slopes, strict=False))
    highest = max((abs(fold[-1]) for fold in folds), default=0.0)
    # A fold of height 1 changes the brightness by 0.032 at 1 px of motion.
    return shade * np.float32(0.032 * highest / max(np.abs(shade).max(), 1e-12))


@kept
def cue_weight(face: Face, kind: str) -> np.ndarray:
    """How strongly the colour or the brightness cue shows at each place, (size, size) float32 from 0 to 1."""
    weight = sum(bump_at(face, *patch) for patch in CUE_PATCHES[kind])
    # A known boundary: nothing at all below a tenth of the peak, nor on hair over the forehead.
    return np.clip((weight - 0.1) / 0.9, 0, 1) * face.mask
