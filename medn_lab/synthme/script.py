"""What happens in each clip before a pixel is drawn: AUs, emotion, cue, timing and nuisance, each clip on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.synthme.action_table import AUS, MIDLINE_AUS, PEAK_PIXELS, Side, sides_of
from medn_lab.synthme.actions import time_course
from medn_lab.synthme.cue import cue_course, cue_kinds
from medn_lab.synthme.emotions import EMOTIONS, EmotionShares, Table, check_emotions, cue_of
from medn_lab.synthme.nuisance import Disturbance

FPS = 200
"""Frames a second that the frame numbers count."""

ONE_SIDED_SHARE = 0.2
"""Of the clips whose AUs can be played on one side."""

DISTRACTOR_SHARE = 0.35
"""Of the clips in which a weak AU outside the coded set moves."""


_SIDES: dict[str, Side] = {"left": "left", "right": "right", "both": "both"}


@dataclass(frozen=True)
class Script:
    """Everything drawn for one clip but its pixels."""

    seed: int
    subject: int
    clip: int
    emotion: str
    action_units: str
    side: str
    kind: str
    state: str
    onset: int
    apex: int
    offset: int
    intensities: dict[str, str]
    pixels: dict[tuple[str, str], float]
    distractors: dict[tuple[str, str], float]
    rise: float
    fall: float
    delay: float
    disturbance: Disturbance

    @property
    def subject_name(self) -> str:
        """As :attr:`Identity.name`."""
        return f"synthme{self.seed}-s{self.subject + 1:02d}"

    @property
    def clip_id(self) -> str:
        """``synthme0-s01-c01``."""
        return f"{self.subject_name}-c{self.clip + 1:02d}"

    def strengths(self, frame: int) -> dict[tuple[str, str], float]:
        """Each AU's motion in a frame, distractors included, in pixels of a 128 px picture."""
        course = self.course(np.array([frame]))[0]
        return {key: float(course) * peak for key, peak in (self.pixels | self.distractors).items()}

    def course(self, frames: np.ndarray) -> np.ndarray:
        """Time course of the expression, 0 to 1."""
        return time_course(frames, onset=self.onset, apex=self.apex, offset=self.offset, rise=self.rise, fall=self.fall)

    def cue_course(self, frames: np.ndarray) -> np.ndarray:
        """Time course of the cue, -1 to 1."""
        marks: dict[str, Any] = {"onset": self.onset, "apex": self.apex, "offset": self.offset, "delay": self.delay}
        return cue_course(self.kind, self.state, frames, **marks)


def draw_script(
    seed: int, subject: int, clip: int, *, cue: str, cue_strength: float, noise: float, emotions: EmotionShares
) -> Script:
    """Draw one clip's script from its own stream: the same whatever else is drawn, and whatever the kind of cue."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, subject, clip)))
    names, shares, given = emotions
    chosen = int(rng.choice(len(names), p=shares))
    emotion = str(rng.choice(EMOTIONS, p=given[chosen]))
    action_units = names[chosen]
    aus = [f"AU{number}" for number in action_units.split("+")]

    one_sided = rng.random() < ONE_SIDED_SHARE and not set(aus) <= set(MIDLINE_AUS)
    chosen_side = _SIDES[str(rng.choice(("left", "right")))]
    side: Side = chosen_side if one_sided else "both"
    intensities, pixels = {}, {}
    for au in aus:
        letter = str(rng.choice(list(PEAK_PIXELS), p=(0.16, 0.30, 0.30, 0.16, 0.08)))
        intensities[au] = letter
        low, high = PEAK_PIXELS[letter]
        peak = rng.uniform(low, high)
        lopsided = rng.uniform(-0.06, 0.06)
        for half in sides_of(au, side):
            pixels[au, half] = peak * (1 - abs(lopsided) * (half == ("left" if lopsided > 0 else "right")))

    length = int(rng.integers(30, 101))
    onset = int(rng.integers(20, 160))
    apex = onset + round(length * rng.uniform(0.34, 0.52))
    offset = onset + length
    rise, fall, delay = rng.uniform(0.85, 1.5), rng.uniform(0.8, 1.3), rng.uniform(-0.06, 0.06)
    others = [au for au in AUS if au not in aus]
    weak = {}
    has_distractor = rng.random() < DISTRACTOR_SHARE
    au, half, peak = (
        str(rng.choice(others)),
        _SIDES[str(rng.choice(("left", "right", "both")))],
        rng.uniform(0.08, 0.22) * noise,
    )
    if has_distractor and noise > 0:
        weak = {(au, h): min(peak, 0.28) for h in sides_of(au, half)}
    disturbance = Disturbance.draw(rng, noise=noise, apex=apex, offset=offset)
    kinds = cue_kinds(cue)
    of_kind = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, subject, clip)))
    kind = kinds[of_kind.integers(len(kinds))]
    return Script(
        seed=seed, subject=subject, clip=clip, emotion=emotion, action_units=action_units, side=side,
        kind=kind, state=cue_of(emotion, kind) if cue_strength > 0 else "absent", onset=onset, apex=apex, offset=offset,
        intensities=intensities, pixels=pixels, distractors=weak, rise=rise, fall=fall, delay=delay,
        disturbance=disturbance,
    )  # fmt: skip


def draw_table(
    *,
    n_subjects: int = 24,
    clips_per_subject: int = 30,
    cue: str = "colour",
    cue_strength: float = 1.0,
    emotions_given_aus: Table | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The table that :func:`synthetic_clips` would return, without drawing a picture.

    Parameters
    ----------
    n_subjects, clips_per_subject : int
        At least 1 each.
    cue : str
        Kind of the implicit cue, or several, as there.
    cue_strength : float
        0 to 4; at 0 the column ``cue`` says ``absent``.
    emotions_given_aus : DataFrame, optional
        The table P(emotion | AU set), as there.
    seed : int
        As there.

    Returns
    -------
    DataFrame
        One row a clip.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> table = draw_table(n_subjects=2, clips_per_subject=3, seed=5)
    >>> table["clip_id"].tolist()[-1], table["subject"].nunique()
    ('synthme5-s02-c03', 2)
    """
    check_counts(n_subjects, clips_per_subject, cue, cue_strength, 1.0, seed)
    emotions = check_emotions(emotions_given_aus)
    scripts = [
        draw_script(seed, s, c, cue=cue, cue_strength=cue_strength, noise=1.0, emotions=emotions)
        for s in range(n_subjects)
        for c in range(clips_per_subject)
    ]
    return table_of(scripts)


def table_of(scripts: Sequence[Script]) -> pd.DataFrame:
    """The clips' table, one row a script."""
    rows = []
    for script in scripts:
        present = {f"AU{number}" for number in script.action_units.split("+")}
        rows.append(
            {
                "clip_id": script.clip_id,
                "dataset": "SynthME",
                "subject": script.subject_name,
                "onset": script.onset,
                "apex": script.apex,
                "offset": script.offset,
                "fps": FPS,
                "emotion": script.emotion,
                "label": script.emotion,
                "action_units": script.action_units,
                "side": script.side,
                "cue": script.state,
                **{au: float(au in present) for au in AUS},
            }
        )
    return pd.DataFrame(rows)


def truth_table_of(scripts: Sequence[Script], recipe: Mapping[str, Any]) -> pd.DataFrame:
    """What else was drawn, one row a script; head motion is that at the apex."""
    rows = []
    for script in scripts:
        shift = script.disturbance.slow((script.apex - script.onset) / (script.offset - script.onset))
        rows.append(
            {
                "clip_id": script.clip_id,
                "subject": script.subject_name,
                "identity": script.subject,
                "intensities": "+".join(f"{au[2:]}{letter}" for au, letter in script.intensities.items()),
                "peak_px128": max(script.pixels.values()),
                "distractors": "+".join(dict.fromkeys(au[2:] for au, _ in script.distractors)) or "none",
                "distractor_px128": max(script.distractors.values(), default=0.0),
                "cue_kind": script.kind,
                "cue_strength": recipe["cue_strength"],
                "head_x_px128": shift[0],
                "head_y_px128": shift[1],
                "head_degrees": shift[2],
                "blink_frame": -1 if script.disturbance.blink is None else script.disturbance.blink,
            }
        )
    return pd.DataFrame(rows)


def check_counts(
    n_subjects: int, clips_per_subject: int, cue: str, cue_strength: float, noise: float, seed: int
) -> None:
    """ValueError with a sentence where an argument of a corpus is out of its range."""
    for name, count in (("n_subjects", n_subjects), ("clips_per_subject", clips_per_subject)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; it is {count}")
    cue_kinds(cue)
    for name, value in (("cue_strength", cue_strength), ("noise", noise)):
        if not 0 <= value <= 4:
            raise ValueError(f"{name} must lie between 0 and 4; it is {value}")
    if seed < 0:
        raise ValueError(f"seed must not be negative; it is {seed}")
