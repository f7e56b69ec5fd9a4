"""What a face is told to do: a small mapping, checked once, with what it leaves out filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medn_lab.synthme.action_table import PEAK_PIXELS, check_au

MOST = 4.0
"""The largest strength of the cue, of noise and of drift, as in ``synthetic_clips``."""

MOST_PIXELS = 5.0
"""The largest motion that may be asked for, in pixels of a 128 px picture; beyond it skin folds over itself."""

STATE = {"aus": {}, "sides": {}, "cue": "still", "cue_strength": 1.0, "noise": 1.0, "drift": 1.0}
"""What a state says, and what holds for what it leaves out."""


def whole_state(state: Mapping[str, Any] | None, *, cues: Sequence[str]) -> dict[str, Any]:
    """The state with everything in it that it left out, AUs named as columns.

    Parameters
    ----------
    state : mapping or None
        As a :class:`FaceStudio` is called with.
    cues : sequence of str
        The states of the cue that there are.

    Returns
    -------
    dict
        With the keys of :data:`STATE`.

    Raises
    ------
    ValueError
        If it names something that is not there, or a value is out of its range.

    Examples
    --------
    >>> whole_state({"aus": {"12": "C"}}, cues=("flush", "still"))["aus"]
    {'AU12': 'C'}
    """
    given = dict(state or {})
    unknown = [name for name in given if name not in STATE]
    if unknown:
        raise ValueError(f"a state has no {unknown[0]!r}; it has {', '.join(STATE)}")
    whole = {**STATE, **given}
    whole["aus"] = {check_au(au): _amount(au, amount) for au, amount in dict(whole["aus"]).items()}
    whole["sides"] = {check_au(au): side for au, side in dict(whole["sides"]).items()}
    for au, side in whole["sides"].items():
        if side not in ("both", "left", "right"):
            raise ValueError(f"the side of {au} must be both, left or right; it is {side!r}")
    if whole["cue"] not in cues:
        raise ValueError(f"no cue state {whole['cue']!r}; this face has {', '.join(cues)}")
    for name in ("cue_strength", "noise", "drift"):
        whole[name] = _within(name, whole[name])
    return whole


def _amount(au: str, amount: object) -> float | str:
    """A letter, or a number of pixels."""
    if isinstance(amount, str):
        if not re.fullmatch("[A-E]", amount):
            raise ValueError(f"the intensity of {au} must be A to E, or pixels; it is {amount!r}")
        return amount
    if not isinstance(amount, (int, float, np.number)) or not 0 <= amount <= MOST_PIXELS:
        raise ValueError(f"the motion of {au} must lie between 0 and {MOST_PIXELS:g} px of 128; it is {amount!r}")
    return float(amount)


def _within(name: str, value: object) -> float:
    if not isinstance(value, (int, float, np.number)) or not 0 <= value <= MOST:
        raise ValueError(f"{name} must lie between 0 and {MOST:g}; it is {value!r}")
    return float(value)


def letter_of(amount: float | str) -> str:
    """The intensity whose range a number of pixels falls into.

    Examples
    --------
    >>> letter_of(0.5), letter_of(0.6), letter_of("D")
    ('A', 'B', 'D')
    """
    if isinstance(amount, str):
        return amount
    return next((letter for letter, (_, high) in PEAK_PIXELS.items() if amount <= high), "E")
