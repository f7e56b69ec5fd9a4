"""The implicit emotion cue: tied to the emotion, independent of the AUs given the emotion, unseen by onset->apex flow.

Three kinds. ``colour``: facial blood flow, an isoluminant change of chroma over cheeks and forehead with its own slow
course. ``timing``: the wings of the nose pulse before the apex, after it, or not at all. ``brightness``: the chin grows
brighter or darker between apex and offset, in grey as much as in colour. The last two are exactly 0 at the onset, the
apex and the offset.

References
----------
.. [1] C. F. Benitez-Quiroz, R. Srinivasan, A. M. Martinez: Facial color is an efficient mechanism to visually transmit
   emotion. PNAS 115 (14), 3581-3586, 2018.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from medn_lab.synthme.actions import bump_at
from medn_lab.synthme.faces import Face

CueKind = Literal["colour", "timing", "brightness"]

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

FLUSH_GREYS = 5.0
"""Change of red at the centre of the region, at full course and strength 1, in levels of 255."""

PULSE_PIXELS = 1.1
"""Peak of the timing pulse at strength 1, in pixels of a 128 px picture."""


BRIGHT_GREYS = 5.0
"""Change of all three channels at the centre of the chin, at full course and strength 1, in levels of 255."""


def check_cue(kind: str) -> None:
    """ValueError unless `kind` is one of :data:`CUES`."""
    if kind not in CUES:
        raise ValueError(f"no cue {kind!r}; there are {', '.join(CUES)}")


def cue_kinds(cue: str) -> tuple[str, ...]:
    """The kinds of a corpus, in the order of :data:`CUES`.

    Examples
    --------
    >>> cue_kinds("mixed"), cue_kinds("brightness+colour")
    (('colour', 'timing'), ('colour', 'brightness'))
    """
    named = ["colour", "timing"] if cue == "mixed" else str(cue).split("+")
    if not set(named) <= set(CUES) or len(set(named)) < len(named):
        raise ValueError(f"no cue {cue!r}; there are {', '.join(CUES)}, two or three of them joined by +, and mixed")
    return tuple(kind for kind in CUES if kind in named)


def colour_weight(face: Face) -> np.ndarray:
    """How strongly blood flow shows at each place, (size, size) float32 from 0 to 1."""
    if "flush" not in face.cache:
        weight = np.zeros((face.size, face.size), np.float32)
        for side in ("right", "left"):
            weight += bump_at(face, side, "cheek", (0.045, 0.04), (0.085, 0.085))
        weight += bump_at(face, "left", "forehead", (0.0, 0.02), (0.14, 0.055))
        # A known boundary: nothing at all below a tenth of the peak, nor on the hair that lies over the forehead.
        face.cache["flush"] = np.clip((weight - 0.1) / 0.9, 0, 1) * face.mask
    return face.cache["flush"]


def pulse_field(face: Face) -> np.ndarray:
    """The timing cue's displacement, (size, size, 2) float32, longest vector 1: the wings of the nose spread."""
    if "pulse" not in face.cache:
        field = np.zeros((face.size, face.size, 2), np.float32)
        for side, out in (("right", -1.0), ("left", 1.0)):
            bump = bump_at(face, side, "nose_wing", (0.008, -0.004), (0.034, 0.036))
            field[..., 0] += np.float32(out) * bump
            field[..., 1] -= np.float32(0.25) * bump
        face.cache["pulse"] = field / np.linalg.norm(field, axis=-1).max()
    return face.cache["pulse"]


def bright_weight(face: Face) -> np.ndarray:
    """How strongly the brightness changes at each place, (size, size) float32 from 0 to 1: the chin."""
    if "bright" not in face.cache:
        bump = bump_at(face, "left", "chin", (0.0, -0.08), (0.21, 0.12))
        face.cache["bright"] = np.clip((bump - 0.1) / 0.9, 0, 1) * face.mask
    return face.cache["bright"]


def cue_mask(face: Face, kind: str) -> np.ndarray:
    """Where the cue lies, (size, size) bool: where it has more than a fifth of its peak."""
    if kind == "timing":
        return np.linalg.norm(pulse_field(face), axis=-1) > 0.2
    return (colour_weight(face) if kind == "colour" else bright_weight(face)) > 0.2


def cue_course(
    kind: str, state: str, frames: np.ndarray, *, onset: int, apex: int, offset: int, delay: float = 0.0
) -> np.ndarray:
    """Strength of the cue in each frame, signed, 0 at the onset.

    Colour rises slowly (half of it by three tenths of the clip) and stays; flush is positive, pallor negative. The
    timing pulse is one hump halfway between onset and apex (``early``, positive) or between apex and offset (``late``,
    negative by convention: it moves the skin the same way), exactly 0 at the onset, the apex and the offset. The
    brightness has the hump between apex and offset; ``brighten`` is positive, ``dim`` negative.

    Parameters
    ----------
    kind : {"colour", "timing", "brightness"}
    state : str
        One of ``CUES[kind]``, or ``absent``.
    frames : (k,) int
        Frame numbers.
    onset, apex, offset : int
    delay : float
        Shifts the slow course, as a share of the clip, -0.1 to 0.1.

    Returns
    -------
    (k,) float32 in [-1, 1].

    Examples
    --------
    >>> numbers = np.array([0, 10, 20, 40, 60])
    >>> cue_course("timing", "early", numbers, onset=0, apex=20, offset=60).round(2).tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0]
    >>> flush = cue_course("colour", "flush", numbers, onset=0, apex=20, offset=60)
    >>> [f"{level:.2f}" for level in flush]
    ['0.00', '0.21', '0.62', '0.98', '1.00']
    """
    check_cue(kind)
    frames = np.asarray(frames, float)
    if state in ("still", "absent"):
        return np.zeros(len(frames), np.float32)
    if state not in CUES[kind]:
        raise ValueError(f"the cue {kind} has no state {state!r}; it has {', '.join(CUES[kind])}")
    sign = 1.0 if state == CUES[kind][0] else -1.0
    if kind == "colour":
        along = np.clip((frames - onset) / (offset - onset), 0, 1)
        raised = 1 - np.exp(-((along / (0.34 + delay)) ** 2))
        return (sign * raised).astype(np.float32)
    start, end = (onset, apex) if state == "early" else (apex, offset)
    inside = (frames > start) & (frames < end)
    hump = np.sin(np.pi * np.clip((frames - start) / (end - start), 0, 1)) ** 1.5
    return np.where(inside, sign * hump, 0.0).astype(np.float32)
