"""Action Units as motion: smooth displacement fields at their FACS places, the folds they make, their time courses."""

from __future__ import annotations

import cv2
import numpy as np

from medn_lab.synthme.action_table import (
    FOLDS,
    PULLS,
)
from medn_lab.synthme.faces import Face

UNIT = 2 / 128
"""One pixel of a 128 px picture in face units."""


SHADE_PER_PIXEL = 0.032
"""Relative change of brightness by a fold of height 1 at 1 px (of 128) of motion."""


def face_grid(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in face units, turned so that the line between the eyes is level, ``(size, size)`` each."""
    if "grid" not in face.cache:
        axis = ((np.arange(face.size, dtype=np.float32) + 0.5) / face.size) * 2 - 1
        x, y = np.meshgrid(axis, axis)
        ax, ay = np.array(face.landmarks.axis, np.float32)
        face.cache["grid"] = (ax * x + ay * y, ax * y - ay * x)
    return face.cache["grid"]


def bump_at(
    face: Face, side: str, place: str, offset: tuple[float, float], spread: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """A Gaussian at a landmark; `offset` is lateral and down."""
    x, y = face_grid(face)
    out = 1.0 if side == "left" else -1.0
    marks = face.landmarks
    here = marks.side(side).get(place) or marks.middle[place]
    cx, cy = here[0] * marks.axis[0] + here[1] * marks.axis[1], here[1] * marks.axis[0] - here[0] * marks.axis[1]
    s = np.float32(marks.scale)
    dx, dy = out * (x - np.float32(cx)) / s - np.float32(offset[0]), (y - np.float32(cy)) / s - np.float32(offset[1])
    if angle:
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    return np.exp(-0.5 * ((dx / np.float32(spread[0])) ** 2 + (dy / np.float32(spread[1])) ** 2))


def unit_field(face: Face, au: str, side: str) -> np.ndarray:
    """Displacement of one half of the face by one AU, (size, size, 2) float32.

    The other half is not moved: the field fades over the midline. The longest vector of both halves together is 1, so
    that of a half is 1 as well unless it lies on the midline.
    """
    key = ("field", au, side)
    if key not in face.cache:
        x, _ = face_grid(face)
        out = 1.0 if side == "left" else -1.0
        field = np.zeros((face.size, face.size, 2), np.float32)
        for pull in PULLS[au]:
            bump = bump_at(face, side, *pull[:3])
            field[..., 0] += np.float32(out * pull.towards[0]) * bump
            field[..., 1] += np.float32(pull.towards[1]) * bump
        if au == "AU25":
            upper, lower, below = lips_apart(face)
            field[..., 1] += np.where(below > 0, lower, upper)
        centre = face.landmarks.middle["glabella"]
        middle = centre[0] * face.landmarks.axis[0] + centre[1] * face.landmarks.axis[1]
        half = np.clip(0.5 + out * (x - np.float32(middle)) / np.float32(0.05 * face.landmarks.scale), 0, 1)
        peak = np.linalg.norm(field, axis=-1).max()
        field *= (half * half * (3 - 2 * half) / peak)[..., None]
        face.cache[key] = turned_back(face, field)
    return face.cache[key]


def turned_back(face: Face, field: np.ndarray) -> np.ndarray:
    """A field along the face's own axes as a field along those of the picture."""
    ax, ay = np.array(face.landmarks.axis, np.float32)
    return np.stack([ax * field[..., 0] - ay * field[..., 1], ay * field[..., 0] + ax * field[..., 1]], -1)


def lips_apart(face: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How AU25 moves the upper and the lower lip down the face, peak 1, and the distance below the mouth line.

    The two differ at the mouth line: skin is torn there, not stretched. All are (size, size) float32; the distance is
    in face units.
    """
    if "lips" not in face.cache:
        x, y = face_grid(face)
        marks = face.landmarks
        ax, ay = marks.axis
        right, mouth, left = (
            (p[0] * ax + p[1] * ay, p[1] * ax - p[0] * ay)
            for p in (marks.right["mouth_corner"], marks.middle["mouth"], marks.left["mouth_corner"])
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
        face.cache["lips"] = (upper / peak, lower / peak, below)
    return face.cache["lips"]


def unit_shade(face: Face, au: str, side: str) -> np.ndarray:
    """Relative change of brightness by the folds of an AU at 1 px (of 128), (size, size) float32."""
    key = ("shade", au, side)
    if key not in face.cache:
        relief = np.zeros((face.size, face.size), np.float32)
        for fold in FOLDS[au]:
            relief += np.float32(fold.height) * bump_at(face, side, fold.place, fold.offset, fold.spread, fold.angle)
        scale = face.size / 128 / 8
        tilt = face.light[0] * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=scale)
        tilt += face.light[1] * cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=scale)
        # A slope that rises away from the lamp turns darker; a hollow gets less of the sky as well.
        shade = -tilt + 0.12 * relief
        peak = np.abs(shade).max()
        highest = max((abs(fold.height) for fold in FOLDS[au]), default=0.0)
        face.cache[key] = (shade * np.float32(SHADE_PER_PIXEL * highest / peak)) if peak > 0 else shade
    return face.cache[key]


def au_mask(face: Face, au: str) -> np.ndarray:
    """Where an AU moves the skin by more than a fifth of its peak, (size, size) bool."""
    length = sum(np.linalg.norm(unit_field(face, au, side), axis=-1) for side in ("right", "left"))
    return length > 0.2


def time_course(
    frames: np.ndarray, *, onset: int, apex: int, offset: int, rise: float = 1.0, fall: float = 1.0
) -> np.ndarray:
    """Strength of an action in each frame: 0 at the onset, 1 at the apex, 0 at the offset.

    Parameters
    ----------
    frames : (k,) int
        Frame numbers; before the onset and after the offset nothing moves.
    onset, apex, offset : int
        With ``onset < apex < offset``.
    rise, fall : float
        Exponents of the raised cosine up and down; above 1 it lingers near zero.

    Returns
    -------
    (k,) float32 in [0, 1].

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


def expression_field(face: Face, pixels: dict[tuple[str, str], float]) -> np.ndarray:
    """Sum of AU fields, (size, size, 2) float32 in pixels of the face's own size.

    `pixels` gives each (AU, half of the face) its peak in pixels of a 128 px picture.
    """
    total = np.zeros((face.size, face.size, 2), np.float32)
    for (au, side), peak in pixels.items():
        if peak:
            total += np.float32(peak * face.size / 128) * unit_field(face, au, side)
    return total
