"""The published table P(emotion | AU set), ours, with the ambiguity of the field in it.

In CASME II and SAMM the same AUs carry several labels: AU4 is disgust or others, AU12 happiness or repression, AU14
nearly anything. Here every AU set has three candidate emotions, each with its own state of the implicit cue, with
probabilities .42, .33 and .25 in some order. The AUs alone can therefore be right in 42 of 100 clips, and the AUs with
the cue always. The order and the shares of the sets are arranged so that the cue says next to nothing about the AUs:
the best reading of an AU from the true cue has a mean AUC of about .52.
"""

from __future__ import annotations

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


def allowed_emotions(action_units: str, *, cue: str | None = None) -> pd.Series:
    """What the published table allows for an AU set, alone or with a state of the cue.

    Parameters
    ----------
    action_units : str
        Such as ``"6+12"``, in any order.
    cue : str, optional
        A state of :data:`CUES`; where None, the AUs alone speak.

    Returns
    -------
    Series
        P(emotion | AU set) or P(emotion | AU set, cue), an emotion each, adding up to 1; all NaN where the set is not
        in the table, as for a face at rest.

    Raises
    ------
    ValueError
        If an AU or the state of the cue is not known.

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
    named = {check_au(part) for part in str(action_units).split("+") if part.strip()}
    given = EMOTIONS_GIVEN_AUS.get("+".join(au[2:] for au in AUS if au in named))
    if given is None:
        return pd.Series(np.nan, index=list(EMOTIONS), dtype=float)
    shares = pd.Series({emotion: given[1].get(emotion, 0.0) for emotion in EMOTIONS})
    if cue is None:
        return shares
    fits = pd.Series({emotion: cue in told for emotion, told in cue_states().items()})
    shares = shares.where(fits, 0.0)
    return shares / shares.sum() if shares.sum() > 0 else shares * np.nan
