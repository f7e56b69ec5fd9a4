"""What a perfect reader of AUs, of the cue, or of both can score: exact, from the published table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.synthme.action_table import AUS
from medn_lab.synthme.cue import CUES, cue_kinds
from medn_lab.synthme.emotions import EMOTIONS, Table, check_emotions, cue_of, cue_states


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


def ceilings(table: pd.DataFrame, *, emotions_given_aus: Table | None = None) -> Ceilings:
    """The accuracy that AUs alone, the cue alone, and both together can reach on SynthME clips.

    Parameters
    ----------
    table : DataFrame
        Rows of SynthME with ``clip_id, action_units, cue``. A cue column of ``absent`` (cue strength 0) says that
        there is nothing to see: the cue alone then knows the emotions' frequencies, and both together what the AUs
        alone do.
    emotions_given_aus : DataFrame, optional
        The table P(emotion | AU set) that the readers know, as in :func:`synthetic_clips`; the published one where
        None. Where two emotions of an AU set have the same cue state, `joint` is below 1.

    Returns
    -------
    Ceilings

    Raises
    ------
    ValueError
        If a column is missing, there are no rows, an AU set or cue is not SynthME's, a row cannot occur under the
        table, or the table is no probability table.

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
    sets, shares, given = check_emotions(emotions_given_aus)
    unknown = sorted(set(table["action_units"]) - set(sets))
    if unknown:
        raise ValueError(f"AU set {unknown[0]!r} is not one of SynthME's: {', '.join(sets)}")
    states = cue_states()
    known = set().union(*states.values()) | {"absent"}
    strange = sorted(set(table["cue"]) - known)
    if strange:
        raise ValueError(f"cue {strange[0]!r} is not one of SynthME's: {', '.join(sorted(known))}")

    # P(cue | emotion) is 0 or 1, so that seeing the cue only strikes emotions out.
    allows = np.array([[cue == "absent" or cue in states[e] for e in EMOTIONS] for cue in table["cue"]])
    by_au = given[[sets.index(name) for name in table["action_units"]]]
    readings = {"au_only": by_au, "cue_only": allows * (shares @ given), "joint": by_au * allows}
    never = np.flatnonzero(readings["joint"].sum(axis=1) == 0)
    if len(never):
        row = table.iloc[never[0]]
        raise ValueError(
            f"{len(never)} of {len(table)} clips cannot occur under this table, such as AU set {row['action_units']}"
            f" with cue {row['cue']}; give the table that the clips were drawn from"
        )
    figures, decisions = {}, {"clip_id": table["clip_id"].to_numpy()}
    for name, weight in readings.items():
        posterior = weight / weight.sum(axis=1, keepdims=True)
        figures[name] = float(posterior.max(axis=1).mean())
        decisions[name] = np.array(EMOTIONS, dtype=object)[posterior.argmax(axis=1)]
    return Ceilings(**figures, decisions=pd.DataFrame(decisions))


def allowed_auc(emotions_given_aus: Table | None = None, *, cue: str = "colour") -> pd.DataFrame:
    """The AUC that a perfect reader of each branch's factor reaches on every target, exact from the table.

    The motion branch should hold the AU set, the emotion branch the cue, the fused features both. A reader that knows
    its factor and P(emotion | AU set) scores a clip by the probability of the target; more than it reaches is a leak.

    Parameters
    ----------
    emotions_given_aus : DataFrame, optional
        As in :func:`synthetic_clips`; the published table where None.
    cue : str
        The kinds of cue of the corpus, as in :func:`synthetic_clips`: they are the classes of the target ``cue``.

    Returns
    -------
    DataFrame
        ``branch, target, allowed``. Targets are each AU, ``AUs`` (their mean), ``cue`` and ``emotion``. For targets of
        several classes the mean of the AUCs of each class against the rest, as :func:`medn_lab.diagnose.leakage`
        averages. Ties count 1/2. NaN for an AU that every AU set of the table has, or none.

    Raises
    ------
    ValueError
        If the table is no probability table, or the cue is unknown.

    See Also
    --------
    ceilings : the same readers' accuracy.
    medn_lab.diagnose.leakage : what each branch really holds.

    Examples
    --------
    >>> found = allowed_auc().set_index(["branch", "target"])["allowed"]
    >>> [round(float(found[pair]), 3) for pair in (("motion", "cue"), ("emotion", "AUs"), ("motion", "AUs"))]
    [0.549, 0.517, 1.0]
    """
    sets, shares, given = check_emotions(emotions_given_aus)
    kinds = cue_kinds(cue)
    states = list(dict.fromkeys(state for kind in kinds for state in CUES[kind]))
    shows = np.zeros((len(states), len(EMOTIONS)))  # P(cue | emotion)
    for place, emotion in enumerate(EMOTIONS):
        for kind in kinds:
            shows[states.index(cue_of(emotion, kind)), place] += 1 / len(kinds)
    cells = np.einsum("s,se,ce->sce", shares, given, shows)
    has = np.array([[au[2:] in name.split("+") for au in AUS] for name in sets])
    by_cell = cells.sum(axis=2)
    targets = {au: by_cell[..., None] * np.stack([has[:, k], ~has[:, k]], -1)[:, None] for k, au in enumerate(AUS)}
    targets |= {"cue": by_cell[..., None] * np.eye(len(states)), "emotion": cells}
    rows = []
    for branch, unknown in {"motion": 1, "emotion": 0, "fused": None}.items():
        # (AU set, cue, class) to (what the branch knows, class)
        known = {
            name: joint.reshape(-1, joint.shape[2]) if unknown is None else joint.sum(axis=unknown)
            for name, joint in targets.items()
        }
        found = {name: _best_auc(joint) for name, joint in known.items()}
        found["AUs"] = float(pd.Series([found[au] for au in AUS]).mean())
        rows += [{"branch": branch, "target": name, "allowed": found[name]} for name in (*AUS, "AUs", "cue", "emotion")]
    return pd.DataFrame(rows)


def _best_auc(joint: np.ndarray) -> float:
    """The best AUC of P(observation, class) ``(n, k)``: the mean over classes of each against the rest."""
    aucs = []
    for of_class in joint.T:
        rest = joint.sum(axis=1) - of_class
        if of_class.sum() < 1e-12 or rest.sum() < 1e-12:
            continue
        order = np.argsort(of_class / np.maximum(of_class + rest, 1e-300))
        positive, negative = of_class[order] / of_class.sum(), rest[order] / rest.sum()
        # Equal ratios need no care: whichever comes first, their pairs count 1/2 in sum.
        aucs.append(positive @ (np.cumsum(negative) - negative / 2))
    return min(float(np.mean(aucs)), 1.0) if aucs else np.nan  # the shares may add up to more in the last digit
