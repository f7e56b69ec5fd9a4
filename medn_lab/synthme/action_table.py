"""What each Action Unit pulls and folds, and how far.

Every AU is a handful of *pulls* (a Gaussian patch of skin moving one way) and *folds* (a crease or bulge that changes
the shading), anchored to landmarks. Directions are lateral (away from the midline) and down, so that one description
serves both sides.

References
----------
.. [1] P. Ekman, W. V. Friesen, J. C. Hager: Facial Action Coding System. The Manual. 2002.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Side = Literal["both", "left", "right"]


AUS = (
    "AU1",
    "AU2",
    "AU4",
    "AU5",
    "AU6",
    "AU7",
    "AU9",
    "AU10",
    "AU12",
    "AU14",
    "AU15",
    "AU17",
    "AU20",
    "AU23",
    "AU24",
    "AU25",
)
"""The AUs that SynthME plays and codes, as columns of the table."""


MIDLINE_AUS = ("AU9", "AU17", "AU23", "AU24", "AU25")
"""AUs that are never played on one side alone."""


PEAK_PIXELS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}
"""How far the skin moves at the apex for each intensity, in pixels of a 128 px picture."""


class Pull(NamedTuple):
    """A patch of skin that moves: where, how wide, which way (lateral, down)."""

    place: str
    offset: tuple[float, float]
    spread: tuple[float, float]
    towards: tuple[float, float]


class Fold(NamedTuple):
    """A crease (negative) or bulge (positive) of the relief: where, how long and wide, its angle, how high."""

    place: str
    offset: tuple[float, float]
    spread: tuple[float, float]
    angle: float
    height: float


PULLS: dict[str, tuple[Pull, ...]] = {
    "AU1": (Pull("brow_inner", (0.01, -0.01), (0.075, 0.085), (-0.10, -1.0)),),
    "AU2": (Pull("brow_outer", (-0.03, -0.01), (0.095, 0.085), (0.12, -1.0)),),
    "AU4": (
        Pull("brow_inner", (0.01, 0.0), (0.075, 0.07), (-0.62, 0.80)),
        Pull("brow_mid", (0.0, 0.0), (0.08, 0.06), (-0.25, 0.50)),
    ),
    "AU5": (Pull("lid_upper", (0.0, -0.012), (0.080, 0.046), (0.0, -1.0)),),
    "AU6": (
        Pull("cheek", (0.02, -0.03), (0.12, 0.085), (-0.10, -1.0)),
        Pull("eye_outer", (0.05, 0.015), (0.05, 0.05), (-0.65, 0.0)),
    ),
    "AU7": (
        Pull("lid_lower", (0.0, 0.020), (0.090, 0.046), (-0.15, -1.0)),
        Pull("lid_upper", (0.0, -0.022), (0.080, 0.036), (0.0, 0.55)),
    ),
    "AU9": (
        Pull("nose_side", (0.0, 0.03), (0.055, 0.10), (-0.15, -1.0)),
        Pull("nose_wing", (0.01, -0.01), (0.045, 0.05), (0.0, -0.75)),
        Pull("brow_inner", (-0.02, 0.03), (0.06, 0.05), (-0.40, 0.55)),
        Pull("lip_top", (0.01, -0.02), (0.05, 0.04), (0.05, -0.40)),
    ),
    "AU10": (
        Pull("lip_top", (0.02, -0.01), (0.07, 0.045), (0.10, -1.0)),
        Pull("nose_wing", (0.06, 0.04), (0.06, 0.06), (0.18, -0.60)),
    ),
    "AU12": (
        Pull("mouth_corner", (0.012, -0.008), (0.082, 0.070), (0.78, -0.63)),
        Pull("cheek", (0.0, 0.06), (0.10, 0.08), (0.22, -0.42)),
    ),
    "AU14": (
        Pull("mouth_corner", (-0.015, 0.0), (0.060, 0.055), (0.90, -0.12)),
        Pull("mouth_corner", (0.11, 0.0), (0.055, 0.065), (-0.62, 0.0)),
    ),
    "AU15": (Pull("mouth_corner", (-0.005, 0.012), (0.070, 0.062), (0.18, 1.0)),),
    "AU17": (
        Pull("chin", (0.0, 0.02), (0.125, 0.065), (0.0, -1.0)),
        Pull("lip_lower", (0.0, 0.0), (0.12, 0.034), (0.0, -0.62)),
    ),
    "AU20": (Pull("mouth_corner", (0.02, 0.012), (0.105, 0.075), (1.0, 0.16)),),
    "AU23": (
        Pull("lip_upper", (0.0, -0.016), (0.095, 0.042), (0.0, 0.85)),
        Pull("lip_lower", (0.0, 0.022), (0.095, 0.046), (0.0, -1.0)),
        Pull("mouth_corner", (0.005, 0.0), (0.055, 0.055), (-0.80, 0.0)),
    ),
    "AU24": (
        Pull("lip_upper", (0.0, -0.030), (0.13, 0.052), (0.0, 0.95)),
        Pull("lip_lower", (0.0, 0.040), (0.13, 0.056), (0.0, -1.0)),
    ),
    "AU25": (),
}
"""What each AU moves; the lips parting (AU25) is a tear along the mouth line and made in :func:`unit_field`."""


FOLDS: dict[str, tuple[Fold, ...]] = {
    "AU1": tuple(Fold("brow_inner", (0.03, -y), (0.085, 0.010), 0.08, -1.0) for y in (0.075, 0.115)),
    "AU2": tuple(Fold("brow_outer", (-0.03, -y), (0.080, 0.010), -0.25, -0.8) for y in (0.075, 0.110)),
    "AU4": (
        Fold("brow_inner", (-0.045, 0.0), (0.010, 0.050), 0.15, -1.3),
        Fold("brow_inner", (-0.012, -0.005), (0.022, 0.040), 0.15, 0.7),
    ),
    "AU5": (Fold("lid_upper", (0.0, -0.030), (0.080, 0.009), 0.0, -0.6),),
    "AU6": (
        Fold("cheek", (0.02, -0.045), (0.10, 0.035), -0.15, 1.0),
        Fold("eye_outer", (0.05, 0.012), (0.035, 0.008), -0.35, -0.8),
        Fold("lid_lower", (0.02, 0.048), (0.085, 0.010), 0.1, -0.8),
    ),
    "AU7": (Fold("lid_lower", (0.0, 0.024), (0.080, 0.012), 0.0, 0.7),),
    "AU9": (
        Fold("nose_side", (-0.035, -0.035), (0.030, 0.009), 0.5, -1.0),
        Fold("nose_side", (-0.030, -0.005), (0.030, 0.009), 0.5, -1.0),
        Fold("nose_wing", (0.045, 0.015), (0.016, 0.070), -0.55, -0.9),
    ),
    "AU10": (Fold("nose_wing", (0.050, 0.045), (0.016, 0.085), -0.55, -1.2),),
    "AU12": (
        Fold("mouth_corner", (0.045, -0.065), (0.015, 0.085), -0.50, -1.2),
        Fold("cheek", (0.02, 0.05), (0.075, 0.060), 0.0, 0.9),
    ),
    "AU14": (
        Fold("mouth_corner", (0.040, 0.0), (0.014, 0.030), 0.1, -1.3),
        Fold("mouth_corner", (0.078, 0.0), (0.022, 0.04), 0.1, 0.7),
    ),
    "AU15": (Fold("mouth_corner", (0.014, 0.045), (0.012, 0.050), 0.25, -1.1),),
    "AU17": (
        Fold("chin", (0.0, -0.005), (0.075, 0.040), 0.0, 1.0),
        Fold("lip_lower", (0.0, 0.040), (0.085, 0.012), 0.0, -0.9),
    ),
    "AU20": (Fold("mouth_corner", (0.055, 0.0), (0.012, 0.060), -0.1, -0.9),),
    "AU23": (
        Fold("lip_lower", (0.0, 0.012), (0.08, 0.014), 0.0, 0.4),
        Fold("lip_upper", (0.0, -0.012), (0.08, 0.012), 0.0, 0.35),
    ),
    "AU24": (
        Fold("lip_lower", (0.0, 0.030), (0.10, 0.020), 0.0, 0.5),
        Fold("lip_upper", (0.0, -0.030), (0.10, 0.020), 0.0, 0.45),
    ),
    "AU25": (),
}
"""What each AU folds."""


def check_au(name: str) -> str:
    """`name` as a column name, ``AU12`` or ``12`` alike; ValueError where SynthME does not play it."""
    text = str(name).strip().upper()
    text = text if text.startswith("AU") else f"AU{text}"
    if text not in AUS:
        raise ValueError(f"SynthME does not play AU {name!r}; it plays {', '.join(a[2:] for a in AUS)}")
    return text


def sides_of(au: str, side: Side) -> tuple[str, ...]:
    """The halves of the face that an AU plays on; midline AUs always on both."""
    return ("right", "left") if side == "both" or au in MIDLINE_AUS else (side,)


def check_intensity(letter: str) -> str:
    """The letter itself; ValueError unless it is one of :data:`PEAK_PIXELS`."""
    if letter not in PEAK_PIXELS:
        raise ValueError(f"intensity must be one of {', '.join(PEAK_PIXELS)}; it is {letter!r}")
    return letter


def peak_of(amount: float | str) -> float:
    """The peak of an intensity in pixels of a 128 px picture: the middle of a letter's range."""
    return sum(PEAK_PIXELS[amount]) / 2 if isinstance(amount, str) else amount
