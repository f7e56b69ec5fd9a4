"""The flow of a clip as a field of displacements, where it is one."""

from __future__ import annotations

import numpy as np

from medn_lab.records import Clips


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
        (h, w, 2) float32 in pixels and an empty text, or None and a sentence.

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
