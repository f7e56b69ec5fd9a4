"""The flow of a clip as a field of displacements, where it is one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medn_lab.records import Clips

SCALED_NOTE = "scaled clip by clip: no pixels, and 0 is not no motion"


def motion_field(clips: Clips, place: int) -> tuple[np.ndarray | None, str]:
    """The displacement from onset to apex of the clip at `place`, or why there is none.

    Some recipes give flow as a colour picture, from which lengths in pixels can no longer be read.

    Parameters
    ----------
    clips : Clips
    place : int
        Row of the clip.

    Returns
    -------
    field, why_not
        (h, w, 2) float32 in pixels (:func:`scaled_by_clip` says where it is not) and an empty text, or None and a
        sentence.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": ["a"], "subject": ["s01"]})
    >>> motion_field(Clips(None, np.zeros((1, 4, 4, 3)), table, recipe={"coding": "hsv"}), 0)[1]
    'The flow of these clips is coded as colours, which no longer tell how many pixels something moved.'
    """
    if clips.flow is None:
        return None, "These clips have no flow."
    if clips.recipe.get("coding") == "hsv":
        return (
            None,
            "The flow of these clips is coded as colours, which no longer tell how many pixels something moved.",
        )
    return np.asarray(clips.flow[place][..., :2], dtype=np.float32), ""


def scaled_by_clip(recipe: Mapping[str, object]) -> bool:
    """Whether each channel of the flow was scaled clip by clip, as in the packs that circulate.

    Examples
    --------
    >>> scaled_by_clip({"name": "flow pack"}), scaled_by_clip({"name": "default"})
    (True, False)
    """
    return "scaled" in recipe or recipe.get("name") == "flow pack"
