"""Confusable partners: the clip that moves most alike and means something else."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medn_lab.records import au_doubt, au_set_text, au_sets, positions
from medn_lab.view.rows import label_column


def same_au_set(table: pd.DataFrame, clip_id: str) -> list[str]:
    """The ids of all clips with the AU set of this one, itself included.

    Raises
    ------
    ValueError
        If the clip is unknown, or its AU set is unknown or in doubt.
    """
    row = int(positions(table, clip_id, owner="this explorer")[0])
    sets = au_sets(table)
    if sets[row] is None:
        doubt = au_doubt(table)[row]
        why = f"in doubt ({doubt})" if doubt else "not known"
        raise ValueError(f"the AUs of {clip_id!r} are {why}, so no clip can be said to share them")
    return table.loc[[one == sets[row] for one in sets], "clip_id"].tolist()


def confusable_partner(
    table: pd.DataFrame, clip_id: str, *, places: np.ndarray, among: np.ndarray | None = None
) -> tuple[str, float]:
    """The clip with the same AU set and another emotion that lies nearest.

    Parameters
    ----------
    table : DataFrame
        With ``label`` or ``emotion`` and AUs.
    clip_id : str
    places : (n, d) float
        Where each clip lies: motion features, or positions on the motion map. Each dimension is scaled to unit
        variance first.
    among : (n,) bool or None
        The clips that may be the partner: those that a filter leaves. All where None.

    Returns
    -------
    clip_id, distance
        The distance in standard deviations.

    Raises
    ------
    ValueError
        If the clip is unknown, its AUs or emotion are not known, no AU is coded in it, no such clip exists, or none is
        in `among`.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "AU4": [1, 1, 1], "label": ["disgust", "others", "others"]})
    >>> confusable_partner(table, "a", places=np.array([[0.0], [9.0], [1.0]]))[0]
    'c'
    """
    row = int(positions(table, clip_id, owner="this explorer")[0])
    column = label_column(table)
    if column is None or pd.isna(table[column].iloc[row]):
        raise ValueError(f"the emotion of {clip_id!r} is not known, so it has no confusable partner")
    alike = table["clip_id"].isin(same_au_set(table, clip_id)).to_numpy()
    aus = au_sets(table)[row]
    if not aus:
        raise ValueError(f"no confusable partner here: no AU is coded in {clip_id!r} that another clip could share")
    emotion = table[column].iloc[row]
    other = alike & (table[column].notna() & (table[column] != emotion)).to_numpy()
    if not other.any():
        raise ValueError(
            f"no confusable partner here: all {int(alike.sum())} clips with the AU set {au_set_text(aus)} are labelled"
            f" {emotion!r}"
        )
    if among is not None:
        if not (other & among).any():
            n = int(other.sum())
            partners = "the only confusable partner" if n == 1 else f"all {n} confusable partners"
            raise ValueError(
                f"{partners} of {clip_id!r} {'is' if n == 1 else 'are'} hidden by the filter; show all clips"
            )
        other = other & among
    scaled = _scaled(places)
    distance = np.linalg.norm(scaled - scaled[row], axis=1)
    nearest = int(np.where(other, distance, np.inf).argmin())
    return str(table["clip_id"].iloc[nearest]), float(distance[nearest])


def all_partners(table: pd.DataFrame, *, places: np.ndarray) -> np.ndarray:
    """The row of each clip's confusable partner as :func:`confusable_partner` finds it, (n,) int; -1 where none is.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "AU4": [1, 1, 1], "label": ["disgust", "others", "others"]})
    >>> all_partners(table, places=np.array([[0.0], [9.0], [1.0]])).tolist()
    [2, 0, 0]
    """
    found = np.full(len(table), -1)
    column = label_column(table)
    if column is None:
        return found
    scaled = _scaled(places)
    keys = np.array([" ".join(sorted(one)) if one else "" for one in au_sets(table)], dtype=object)
    labels = table[column].to_numpy(dtype=object)
    for key in set(keys) - {""}:
        rows = np.flatnonzero((keys == key) & table[column].notna().to_numpy())
        for row in rows:
            others = rows[labels[rows] != labels[row]]
            if len(others):
                found[row] = others[np.linalg.norm(scaled[others] - scaled[row], axis=1).argmin()]
    return found


def _scaled(places: np.ndarray) -> np.ndarray:
    """Places in standard deviations of each dimension."""
    spread = places.std(axis=0)
    return places / np.where(spread > 0, spread, 1.0)
