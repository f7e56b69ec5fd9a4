"""Who a SynthME subject is: geometry, skin, hair, age and light, drawn from a seed and a number.

Places are in *face units*: the picture spans -1 to 1 in x (to the right) and y (down), so one unit is half the picture
and one pixel of a 128 px picture is 1/64. Sides are the subject's own: ``right`` lies at negative x, on the left of the
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

HairStyle = Literal["bald", "receding", "crop", "quiff", "parted", "fringe", "bob", "long", "tied", "curly"]

_SKIN = np.array(
    [
        (250, 221, 202), (241, 203, 178), (226, 180, 148), (206, 153, 116),
        (176, 121, 84), (139, 92, 63), (103, 67, 47), (74, 48, 37),
    ],
    dtype=float,
)  # fmt: skip
"""Albedo from the lightest to the deepest skin, sRGB."""

_HAIR = {
    "black": (26, 22, 22),
    "espresso": (44, 31, 26),
    "brown": (78, 53, 38),
    "chestnut": (104, 64, 41),
    "auburn": (126, 62, 36),
    "copper": (168, 92, 48),
    "dark blond": (146, 112, 74),
    "blond": (198, 163, 112),
    "grey": (136, 133, 130),
    "white": (206, 203, 198),
}
_IRIS = {
    "dark brown": (62, 38, 24),
    "brown": (98, 62, 34),
    "hazel": (122, 92, 48),
    "green": (104, 122, 84),
    "grey": (124, 138, 146),
    "blue": (96, 132, 166),
}


@dataclass(frozen=True)
class Identity:
    """One person: everything that stays the same in all their clips.

    Lengths are in face units (see the module), colours sRGB 0-255, the rest shares from 0 to 1.

    Examples
    --------
    >>> person = draw_identity(0, 3)
    >>> person.name, 0 <= person.masculine <= 1, len(person.skin)
    ('synthme0-s04', True, 3)
    """

    seed: int
    number: int
    masculine: float
    age: float
    # head
    cheek_width: float
    jaw_square: float
    jaw_taper: float
    chin_y: float
    crown_y: float
    neck_width: float
    ear_size: float
    cheek_full: float
    # eyes and brows
    eye_x: float
    eye_y: float
    eye_width: float
    lid_upper: float
    lid_lower: float
    eye_tilt: float
    lid_fold: float
    iris_size: float
    iris: tuple[float, float, float]
    brow_y: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    brow_dense: float
    brow_length: float
    # nose and mouth
    nose_y: float
    nose_width: float
    nose_bridge: float
    nose_tip: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    mouth_curve: float
    lip_red: float
    # colour and surface
    tone: float
    skin: tuple[float, float, float]
    redness: float
    freckles: float
    texture: float
    stubble: float
    beard: float
    # hair
    style: HairStyle
    hair: tuple[float, float, float]
    hairline_y: float
    hair_volume: float
    hair_wave: float
    part_x: float
    # scene
    light: tuple[float, float, float]
    cloth: tuple[float, float, float]
    backdrop: tuple[float, float, float]

    @property
    def name(self) -> str:
        """``synthme<seed>-s<number>``: people of different seeds are different people."""
        return f"synthme{self.seed}-s{self.number:02d}"

    def generator(self, purpose: int) -> np.random.Generator:
        """A generator of this person's own for one purpose, the same at every size and in every run."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, self.number, purpose)))


def draw_identity(seed: int, number: int) -> Identity:
    """The person of a seed and a number, the same however many others are drawn.

    Parameters
    ----------
    seed : int
        Of the corpus; other seeds have other people.
    number : int
        From 0; the name counts from 1.

    Returns
    -------
    Identity

    Examples
    --------
    >>> draw_identity(0, 3).name
    'synthme0-s04'
    >>> draw_identity(0, 3) == draw_identity(0, 3), draw_identity(0, 3) == draw_identity(1, 3)
    (True, False)
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, number)))

    def about(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.standard_normal(), -2, 2))

    # Alternating keeps a small corpus from being all of one sex; the rest is chance.
    masculine = float(np.clip(about(0.15 if (number + seed) % 2 else 0.85, 0.1), 0, 1))
    m = masculine
    age = float(rng.beta(1.3, 2.2))
    tone = float((number * 0.618034 + rng.uniform(0, 0.35) + 0.37 * seed) % 1.0)
    steps = tone * (len(_SKIN) - 1)
    low = min(int(steps), len(_SKIN) - 2)
    skin = _SKIN[low] + (steps - low) * (_SKIN[low + 1] - _SKIN[low])
    skin = (
        skin
        * (1 + 0.02 * np.clip(rng.standard_normal(), -1.5, 1.5))
        * (1 + 0.012 * np.clip(rng.standard_normal(3), -1.5, 1.5))
    )
    eye_y = about(-0.085, 0.012)
    mouth_y = about(0.425, 0.016)
    return Identity(
        seed=int(seed),
        number=int(number) + 1,
        masculine=masculine,
        age=age,
        cheek_width=about(0.500 + 0.012 * m, 0.014),
        jaw_square=float(np.clip(about(1.78 + 0.52 * m, 0.15), 1.55, 2.8)),
        jaw_taper=float(np.clip(about(1.86 + 0.12 * m, 0.08), 1.7, 2.2)),
        chin_y=about(0.755 + 0.025 * m, 0.016),
        crown_y=about(-0.83, 0.015),
        neck_width=about(0.235 + 0.075 * m, 0.015),
        ear_size=about(0.125 + 0.01 * m, 0.01),
        cheek_full=float(np.clip(about(0.5 - 0.15 * age, 0.2), 0, 1)),
        eye_x=about(0.212, 0.008),
        eye_y=eye_y,
        eye_width=about(0.104, 0.005),
        lid_upper=about(0.047 - 0.007 * m - 0.007 * age, 0.0045),
        lid_lower=about(0.028, 0.003),
        eye_tilt=about(0.012, 0.010),
        lid_fold=float(rng.uniform(0.15, 1.0)),
        iris_size=about(0.0555, 0.0018),
        iris=_draw_iris(rng, tone),
        brow_y=about(eye_y - 0.158 + 0.018 * m, 0.009),
        brow_thick=about(0.017 + 0.013 * m, 0.003),
        brow_arch=about(0.034 - 0.014 * m, 0.008),
        brow_tilt=about(0.004, 0.010),
        brow_dense=float(np.clip(about(0.72 + 0.12 * m, 0.12), 0.45, 1.0)),
        brow_length=about(0.150, 0.006),
        nose_y=about(0.195, 0.016),
        nose_width=float(np.clip(about(0.082 + 0.010 * m + 0.022 * tone, 0.008), 0.066, 0.125)),
        nose_bridge=about(0.9 - 0.25 * tone + 0.15 * m, 0.12),
        nose_tip=about(1.0, 0.15),
        mouth_y=mouth_y,
        mouth_width=about(0.166 + 0.010 * m, 0.009),
        lip_upper=float(np.clip(about(0.045 - 0.010 * m + 0.012 * tone - 0.010 * age, 0.005), 0.026, 0.066)),
        lip_lower=float(np.clip(about(0.066 - 0.010 * m + 0.014 * tone - 0.008 * age, 0.006), 0.042, 0.088)),
        mouth_curve=about(-0.004, 0.005),
        lip_red=float(np.clip(about(0.75 - 0.45 * m, 0.15), 0.1, 1.0)),
        tone=tone,
        skin=_triple(np.clip(skin, 25, 252)),
        redness=float(np.clip(about(0.5 - 0.3 * tone, 0.2), 0.05, 1)),
        freckles=float(rng.uniform(0.3, 1.0) if rng.random() < 0.3 and tone < 0.5 else rng.uniform(0, 0.12)),
        texture=float(rng.uniform(0.7, 1.3)),
        stubble=float(m * rng.uniform(0.15, 0.9) if m > 0.5 else 0.0),
        beard=float(rng.uniform(0.5, 1.0) if m > 0.5 and rng.random() < 0.28 else 0.0),
        style=_draw_style(rng, masculine, age, tone),
        hair=_draw_hair(rng, tone, age),
        hairline_y=about(-0.515 - 0.03 * m * age, 0.022),
        hair_volume=about(0.075, 0.018),
        hair_wave=float(rng.uniform(0, 1)),
        part_x=float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.24)),
        light=(float(rng.choice([-1, 1]) * rng.uniform(0.12, 0.5)), float(-rng.uniform(0.35, 0.62)), 0.78),
        cloth=_hsv(rng.random(), rng.uniform(0.08, 0.5), rng.uniform(0.22, 0.82)),
        backdrop=_hsv(rng.uniform(0.52, 0.68), rng.uniform(0.03, 0.2), rng.uniform(0.55, 0.84)),
    )


def _triple(colour: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = map(float, colour)
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    offsets = (np.array([5.0, 3.0, 1.0]) + 6 * hue) % 6
    rgb = value * (1 - saturation * np.clip(np.minimum(offsets, 4 - offsets), 0, 1))
    return _triple(255 * rgb)


def _draw_iris(rng: np.random.Generator, tone: float) -> tuple[float, float, float]:
    names = ["dark brown", "brown", "hazel", "green", "grey", "blue"]
    light = np.array([0.08, 0.24, 0.18, 0.14, 0.12, 0.24])
    deep = np.array([0.78, 0.20, 0.02, 0.0, 0.0, 0.0])
    share = np.clip(tone / 0.55, 0, 1)
    chosen = rng.choice(len(names), p=(1 - share) * light + share * deep)
    return _triple(np.array(_IRIS[names[chosen]]) * rng.uniform(0.88, 1.12))


def _draw_hair(rng: np.random.Generator, tone: float, age: float) -> tuple[float, float, float]:
    names = list(_HAIR)
    light = np.array([0.10, 0.16, 0.2, 0.16, 0.08, 0.06, 0.12, 0.12, 0, 0])
    deep = np.array([0.72, 0.24, 0.04, 0, 0, 0, 0, 0, 0, 0])
    share = np.clip((tone - 0.1) / 0.45, 0, 1)
    greyed = rng.random() < np.clip((age - 0.42) * 2.2, 0, 0.9)
    chosen = names[rng.choice(len(names), p=(1 - share) * light + share * deep)]
    if greyed:
        chosen = "white" if rng.random() < 1.6 * (age - 0.55) else "grey"
    return _triple(np.clip(np.array(_HAIR[chosen]) * rng.uniform(0.85, 1.15), 0, 255))


def _draw_style(rng: np.random.Generator, masculine: float, age: float, tone: float) -> HairStyle:
    if masculine > 0.5:
        styles: dict[HairStyle, float] = {
            "bald": 0.04 + 0.16 * age,
            "receding": 0.06 + 0.3 * age,
            "crop": 0.3,
            "quiff": 0.26,
            "parted": 0.24,
        }
        styles |= {"curly": 0.14, "long": 0.03}
    else:
        styles = {"parted": 0.08, "fringe": 0.18, "bob": 0.22, "long": 0.28, "tied": 0.2, "curly": 0.14}
    styles["curly"] += 0.25 * max(0.0, tone - 0.6)
    names = list(styles)
    weights = np.array([styles[name] for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]
