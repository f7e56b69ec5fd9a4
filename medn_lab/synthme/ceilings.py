"""What a perfect reader of AUs, of the cue, or of both can score: exact, from the published table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.synthme.emotions import EMOTIONS, cue_states, emotion_table


@dataclass(frozen=True, eq=False, repr=False)
class Ceilings:
    """The best accuracy that can be expected on the rows of a table.

    Attributes
    ----------
    au_only, cue_only, joint : float
        Mean over the rows of the largest probability of any emotion given the AU set, the cue, or both; in [0, 1].
    decisions : DataFrame
        ``clip_id, au_only, cue_only, joint``: the emotion that each reader decides for, row by row. Their accuracy on
        drawn labels agrees with the figures up to sampling error.

    Examples
    --------
    >>> rows = pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["4", "4"], "cue": ["flush", "still"]})
    >>> found = ceilings(rows)
    >>> found.au_only, found.joint
    (0.42, 1.0)
    """

    au_only: float
    cue_only: float
    joint: float
    decisions: pd.DataFrame

    def __repr__(self) -> str:
        return (
            f"Ceilings of {len(self.decisions)} clips: AU-only {self.au_only:.3f}, cue-only {self.cue_only:.3f},"
            f" joint {self.joint:.3f}"
        )


def ceilings(table: pd.DataFrame) -> Ceilings:
    """The accuracy that AUs alone, the cue alone, and both together can reach on SynthME clips.

    Parameters
    ----------
    table : DataFrame
        Rows of SynthME with ``clip_id, action_units, cue``. A cue column of ``absent`` (cue strength 0) says that
        there is nothing to see: the cue alone then knows the emotions' frequencies, and both together what the AUs
        alone do.

    Returns
    -------
    Ceilings

    Raises
    ------
    ValueError
        If a column is missing, there are no rows, or an AU set or cue is not SynthME's.

    Examples
    --------
    >>> rows = pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["12", "4"], "cue": ["flush", "still"]})
    >>> ceilings(rows).joint
    1.0
    >>> ceilings(rows.assign(cue="absent")).joint == ceilings(rows).au_only
    True
    """
    missing = [name for name in ("clip_id", "action_units", "cue") if name not in table]
    if missing:
        raise ValueError(f"ceilings need the columns clip_id, action_units and cue; {', '.join(missing)} missing")
    if not len(table):
        raise ValueError("ceilings need at least one clip; the table is empty")
    published = emotion_table().set_index("action_units")
    prior_of_set = published["share"].to_numpy()
    given_set = published[list(EMOTIONS)]
    unknown = sorted(set(table["action_units"]) - set(given_set.index))
    if unknown:
        raise ValueError(f"AU set {unknown[0]!r} is not one of SynthME's: {', '.join(given_set.index)}")
    states = cue_states()
    known = set().union(*states.values()) | {"absent"}
    strange = sorted(set(table["cue"]) - known)
    if strange:
        raise ValueError(f"cue {strange[0]!r} is not one of SynthME's: {', '.join(sorted(known))}")

    # P(cue | emotion) is 0 or 1, so that seeing the cue only strikes emotions out.
    allows = np.array([[cue == "absent" or cue in states[e] for e in EMOTIONS] for cue in table["cue"]])
    by_au = given_set.loc[table["action_units"]].to_numpy()
    readings = {"au_only": by_au, "cue_only": allows * (prior_of_set @ given_set.to_numpy()), "joint": by_au * allows}
    figures, decisions = {}, {"clip_id": table["clip_id"].to_numpy()}
    for name, weight in readings.items():
        posterior = weight / weight.sum(axis=1, keepdims=True)
        figures[name] = float(posterior.max(axis=1).mean())
        decisions[name] = np.array(EMOTIONS, dtype=object)[posterior.argmax(axis=1)]
    return Ceilings(**figures, decisions=pd.DataFrame(decisions))
