"""What each branch makes of a confusable pair, in words that name the control, the number and the direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

APART = 0.95
"""A branch tells a pair apart when at least this share of its controls lies nearer together."""

FEWEST_CONTROLS = 20
"""With fewer controls a share of .95 cannot be told from all of them."""

HOPED = {"motion": "hoped for: not apart", "emotion": "hoped for: apart"}


@dataclass(frozen=True)
class BranchVerdict:
    """Whether a branch tells the two clips of a pair apart.

    Attributes
    ----------
    branch : str
    word : str
        ``tells them apart``, ``does not tell them apart``, or that it cannot be said.
    beyond : float
        The share of the pair's controls that lie nearer together, in [0, 1]; NaN where that is not known.
    n_controls : int
    nearer : float
        The share of all pairs of clips that lie nearer together, in [0, 1]; NaN where that is not known.
    lines : tuple of str
        The figures in words.
    """

    branch: str
    word: str
    beyond: float
    n_controls: int
    nearer: float
    lines: tuple[str, ...]


def branch_verdicts(pair: pd.Series) -> list[BranchVerdict]:
    """The verdict of each branch on one row of the table of ``medn.diagnose.rank_pairs``.

    Parameters
    ----------
    pair : Series
        What is not in it is left out: without ``motion_similarity`` and ``emotion_separation`` there is no verdict.

    Returns
    -------
    list of BranchVerdict
        Motion before emotion.

    Examples
    --------
    >>> pair = pd.Series({"motion_similarity": 0.998, "motion_beyond": 0.5, "emotion_separation": 0.9,
    ...                   "emotion_beyond": 1.0, "n_controls": 34})
    >>> [verdict.word for verdict in branch_verdicts(pair)]
    ['does not tell them apart', 'tells them apart']
    """
    found = []
    for branch, column in (("motion", "motion_similarity"), ("emotion", "emotion_separation")):
        place = _number(pair.get(column))
        if np.isnan(place):
            continue
        nearer = 1 - place if branch == "motion" else place
        beyond, n = _number(pair.get(f"{branch}_beyond")), _number(pair.get("n_controls"))
        n = 0 if np.isnan(n) else int(n)
        lines = []
        if not np.isnan(beyond):
            lines.append(f"further apart than {beyond * n:.3g} of {n} controls (same AUs, one emotion)")
        lines.append(_among_all(nearer))
        found.append(BranchVerdict(branch, _word(beyond, n), beyond, n, nearer, tuple(lines)))
    return found


def _word(beyond: float, n: int) -> str:
    if np.isnan(beyond):
        return "no control: no pair of its AU set has one emotion" if n == 0 else "not known"
    if n < FEWEST_CONTROLS:
        return f"too few controls to say ({n})"
    return "tells them apart" if beyond >= APART else "does not tell them apart"


def _among_all(nearer: float) -> str:
    if nearer <= 0.5:
        return f"of all pairs of clips, among the {_percent(nearer, least=True)} nearest"
    return f"of all pairs of clips, {_percent(nearer)} lie nearer together"


def _percent(share: float, *, least: bool = False) -> str:
    if least and share < 0.001:
        return "0.1%"
    digits = 1 if 0 < share < 0.1 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}%"


def model_verdict(pair: pd.Series) -> str:
    """What the whole model said of both clips; empty where the row holds no predictions."""
    if pd.isna(pair.get("verdict")):
        return ""
    return f"predicted {pair['predicted_a']} and {pair['predicted_b']}: {pair['verdict']}"


def swap_lines(swaps: pd.DataFrame) -> list[str]:
    """What swapping one branch's input between the clips shows: the table of ``medn.diagnose.swap_branches`` in words.

    Parameters
    ----------
    swaps : DataFrame

    Returns
    -------
    list of str
        How much of the difference each branch owes, and what is predicted with the flows, then the frames swapped.

    Raises
    ------
    ValueError
        If it is not such a table.

    Examples
    --------
    >>> swaps = pd.DataFrame({"frames_of": list("aabb"), "flow_of": list("abab"), "margin": [5.0, 4.0, -4.0, -5.0],
    ...                       "predicted": ["happiness", "happiness", "others", "others"]})
    >>> for line in swap_lines(swaps):
    ...     print(line)
    10.0 logits lie between the two: +1.0 by the motion, +9.0 by the frames
    flows swapped: happiness, others (as before); frames swapped: others, happiness
    """
    motion, emotion = owed(swaps)
    said = swaps.set_index(["frames_of", "flow_of"])["predicted"].astype(str)
    own = said["a", "a"], said["b", "b"]
    lines = [
        f"{motion + emotion:.1f} logits lie between the two: {motion:+.1f} by the motion, {emotion:+.1f} by the frames"
    ]
    told = []
    for name, first, second in (("flows", ("a", "b"), ("b", "a")), ("frames", ("b", "a"), ("a", "b"))):
        now = said[first], said[second]
        told.append(f"{name} swapped: {now[0]}, {now[1]}{' (as before)' if now == own else ''}")
    return [*lines, "; ".join(told)]


def owed(swaps: pd.DataFrame) -> tuple[float, float]:
    """How much of the margin between two clips is by the motion and by the frames, in logits.

    Raises
    ------
    ValueError
        If the table lacks a mix or a column.
    """
    needed = {"frames_of", "flow_of", "margin", "predicted"}
    if not needed <= set(swaps.columns):
        missing = ", ".join(sorted(needed - set(swaps.columns)))
        raise ValueError(f"the table of swapped branches lacks {missing}; give that of medn.diagnose.swap_branches")
    margin = swaps.set_index(["frames_of", "flow_of"])["margin"]
    mixes = [(face, flow) for face in "ab" for flow in "ab"]
    if sorted(margin.index) != mixes:
        raise ValueError("the table of swapped branches must have one row for each mix of a's and b's frames and flow")
    motion = 0.5 * sum(margin[face, "a"] - margin[face, "b"] for face in "ab")
    emotion = 0.5 * sum(margin["a", flow] - margin["b", flow] for flow in "ab")
    return float(motion), float(emotion)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
