"""The published table P(emotion | AU set), ours, with the ambiguity of the field in it.

In CASME II and SAMM the same AUs carry several labels: AU4 is disgust or others, AU12 happiness or repression, AU14
nearly anything. Here every AU set has three candidate emotions, each with its own state of the implicit cue, with
probabilities .42, .33 and .25 in some order. The AUs alone can therefore be right in 42 of 100 clips, and the AUs with
the cue always. The order and the shares of the sets are arranged so that the cue says next to nothing about the AUs:
the best reading of an AU from the true cue has a mean AUC of about .52.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from medn_lab.synthme.action_table import AUS, check_au
from medn_lab.synthme.cue import CUES

EMOTIONS = ("happiness", "disgust", "repression", "surprise", "others")
"""The classes of the protocol ``synthme_5class``, as in CASME II."""

_STATE_OF = {"happiness": 0, "disgust": 0, "repression": 1, "surprise": 1, "others": 2}
"""Which state of :data:`CUES` an emotion has."""

EMOTIONS_GIVEN_AUS: dict[str, tuple[float, dict[str, float]]] = {
    "1+2": (0.057, {"happiness": 0.25, "surprise": 0.42, "others": 0.33}),
    "1+2+5": (0.079, {"happiness": 0.42, "surprise": 0.33, "others": 0.25}),
    "5": (0.065, {"happiness": 0.33, "surprise": 0.42, "others": 0.25}),
    "4": (0.082, {"disgust": 0.42, "repression": 0.25, "others": 0.33}),
    "4+7": (0.088, {"disgust": 0.42, "surprise": 0.33, "others": 0.25}),
    "4+9": (0.058, {"disgust": 0.33, "repression": 0.42, "others": 0.25}),
    "9": (0.042, {"disgust": 0.42, "surprise": 0.33, "others": 0.25}),
    "10": (0.053, {"disgust": 0.33, "surprise": 0.42, "others": 0.25}),
    "10+25": (0.037, {"disgust": 0.42, "surprise": 0.33, "others": 0.25}),
    "6+7": (0.022, {"disgust": 0.25, "repression": 0.42, "others": 0.33}),
    "6+12": (0.068, {"happiness": 0.42, "repression": 0.33, "others": 0.25}),
    "12": (0.094, {"happiness": 0.42, "repression": 0.33, "others": 0.25}),
    "14": (0.067, {"happiness": 0.42, "repression": 0.33, "others": 0.25}),
    "15": (0.042, {"disgust": 0.33, "repression": 0.42, "others": 0.25}),
    "15+17": (0.029, {"disgust": 0.42, "repression": 0.25, "others": 0.33}),
    "17": (0.025, {"disgust": 0.33, "repression": 0.42, "others": 0.25}),
    "20+25": (0.063, {"happiness": 0.42, "surprise": 0.33, "others": 0.25}),
    "23+24": (0.029, {"disgust": 0.42, "repression": 0.33, "others": 0.25}),
}
"""AU set: how often it is drawn, and the probability of each emotion given it (0 for those not named)."""


Table: TypeAlias = pd.DataFrame | Mapping[str, Sequence]
"""P(emotion | AU set) with the columns of :func:`emotion_table`; a mapping of them is what a recipe keeps."""


class EmotionShares(NamedTuple):
    """A checked table: AU sets, how often each is drawn ``(n_sets,)``, P(emotion | AU set) ``(n_sets, 5)``."""

    sets: tuple[str, ...]
    shares: np.ndarray
    given: np.ndarray


def check_emotions(table: Table | None) -> EmotionShares:
    """The table checked, the published one where None; ValueError with a sentence where it is no probability table."""
    if table is None:
        return _published()
    frame = pd.DataFrame(table)
    columns = {"action_units", "share", *EMOTIONS}
    if set(frame.columns) != columns or not len(frame):
        wrong = ", ".join(sorted(map(str, columns ^ set(frame.columns)))) or "no row"
        raise ValueError(
            "emotions_given_aus must have an AU set a row and the columns of emotion_table(), action_units, share and"
            f" {', '.join(EMOTIONS)}; the difference is {wrong}"
        )
    sets = tuple(canonical_set(name) for name in frame["action_units"])
    if "" in sets or len(set(sets)) < len(sets):
        twice = next(name for name in sets if not name or sets.count(name) > 1)
        raise ValueError(
            f"emotions_given_aus must have each AU set once and none empty; it has {twice!r} twice or more"
        )
    numbers = frame[["share", *EMOTIONS]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    shares, given = numbers[:, 0], numbers[:, 1:]
    if not (numbers >= 0).all() or not 0 < shares.sum() < np.inf:
        raise ValueError("emotions_given_aus must hold shares and probabilities of 0 or more, with a share above 0")
    off = np.flatnonzero(~np.isclose(given.sum(axis=1), 1, rtol=0, atol=1e-8))
    if len(off):
        raise ValueError(
            f"P(emotion | AU set) must sum to 1 in each row of emotions_given_aus; for {sets[off[0]]} it sums to"
            f" {given[off[0]].sum():g}"
        )
    return EmotionShares(sets, shares / shares.sum(), given)


@cache
def _published() -> EmotionShares:
    return check_emotions(emotion_table())


def kept_table(table: Table | None) -> dict[str, dict[str, list]]:
    """What a recipe keeps of a table: nothing of the published one, and lists of text and numbers of another."""
    if table is None:
        return {}
    sets, shares, given = check_emotions(table)
    rows = {"action_units": list(sets), "share": shares.tolist(), **dict(zip(EMOTIONS, given.T.tolist(), strict=True))}
    return {"emotions_given_aus": rows}


def canonical_set(action_units: object) -> str:
    """An AU set in the order of :data:`AUS`, such as ``6+12``; ValueError where SynthME does not play one of them."""
    named = {check_au(part) for part in str(action_units).split("+") if part.strip()}
    return "+".join(au[2:] for au in AUS if au in named)


def cue_states() -> dict[str, set[str]]:
    """The cue states of each emotion, one a kind of cue: ``{"happiness": {"flush", "early"}, ...}``."""
    return {emotion: {states[k] for states in CUES.values()} for emotion, k in _STATE_OF.items()}


def cue_of(emotion: str, kind: str) -> str:
    """The cue's state for an emotion.

    Examples
    --------
    >>> cue_of("disgust", "colour"), cue_of("others", "timing")
    ('flush', 'still')
    """
    return CUES[kind][_STATE_OF[emotion]]


def emotion_table() -> pd.DataFrame:
    """The published table: one row an AU set.

    Returns
    -------
    DataFrame
        ``action_units``, ``share`` (how often the set is drawn; sums to 1) and one column an emotion with
        P(emotion | AU set); each row sums to 1.

    Examples
    --------
    >>> table = emotion_table().set_index("action_units")
    >>> float(table.loc["4", "disgust"])
    0.42
    """
    rows = [
        {"action_units": name, "share": share, **dict.fromkeys(EMOTIONS, 0.0), **given}
        for name, (share, given) in EMOTIONS_GIVEN_AUS.items()
    ]
    return pd.DataFrame(rows)


def allowed_emotions(
    action_units: str, *, cue: str | None = None, emotions_given_aus: Table | None = None
) -> pd.Series:
    """What the table P(emotion | AU set) allows for an AU set, alone or with a state of the cue.

    Parameters
    ----------
    action_units : str
        Such as ``"6+12"``, in any order.
    cue : str, optional
        A state of :data:`CUES`; where None, only the AUs are known.
    emotions_given_aus : DataFrame, optional
        Another table, as in :func:`synthetic_clips`; the published one where None.

    Returns
    -------
    Series
        P(emotion | AU set) or P(emotion | AU set, cue), an emotion each, adding up to 1; all NaN where the set is not
        in the table, as for a face without AUs, or where the set never occurs with that cue.

    Raises
    ------
    ValueError
        If an AU or the state of the cue is not known, or the table is no probability table.

    See Also
    --------
    emotion_table : the whole table.

    Examples
    --------
    >>> allowed_emotions("12+6").to_dict()
    {'happiness': 0.42, 'disgust': 0.0, 'repression': 0.33, 'surprise': 0.0, 'others': 0.25}
    >>> allowed_emotions("6+12", cue="pallor").idxmax()
    'repression'
    """
    states = [state for kind in CUES.values() for state in kind]
    if cue is not None and cue not in states:
        raise ValueError(f"no cue state {cue!r}; there are {', '.join(dict.fromkeys(states))}")
    sets, _, given = check_emotions(emotions_given_aus)
    named = canonical_set(action_units)
    if named not in sets:
        return pd.Series(np.nan, index=list(EMOTIONS), dtype=float)
    shares = pd.Series(given[sets.index(named)], index=list(EMOTIONS))
    if cue is None:
        return shares
    fits = pd.Series({emotion: cue in told for emotion, told in cue_states().items()})
    shares = shares.where(fits, 0.0)
    return shares / shares.sum() if shares.sum() > 0 else shares * np.nan
