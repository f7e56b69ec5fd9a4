"""What is drawn in each clip: the published table P(emotion | AU set), scripts drawn from it, and its exact ceilings.

In CASME II and SAMM the same AUs carry several labels: AU4 is disgust or others, AU12 happiness or repression, AU14
nearly anything. Here every AU set has three candidate emotions, each with its own state of the implicit cue, with
probabilities .42, .33 and .25 in some order. The AUs alone can therefore be right in 42 of 100 clips, and the AUs with
the cue always. The order and the shares of the sets are arranged so that the cue says next to nothing about the AUs:
the best reading of an AU from the true cue has a mean AUC of about .52.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from medn_lab.synthme import actions as act
from medn_lab.synthme.identity import read_table
from medn_lab.synthme.render import Script, draw_nuisance, head_truth

# Frames a second that the frame numbers count.
FPS = 200

# Which state of `CUES` an emotion has.
STATE_OF = {"happiness": 0, "disgust": 0, "repression": 1, "surprise": 1, "others": 2}

EMOTIONS = tuple(STATE_OF)
"""The classes of the protocol ``synthme_5class``, as in CASME II."""

# Whether a clip of an emotion (column) can show a state of the cue (row); the states of all kinds, and no cue at all.
PLACES = {state: place for states in act.CUES.values() for place, state in enumerate(states)}
ALLOWS = pd.DataFrame({state: pd.Series(STATE_OF) == place for state, place in PLACES.items()} | {"absent": True}).T

# P(emotion | AU set) with the columns of `emotion_table`; a mapping of them is what a recipe keeps.
Table: TypeAlias = pd.DataFrame | Mapping[str, Sequence]


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
    return read_table("emotion_table").reset_index()


def check_emotions(table: Table | None) -> pd.DataFrame:
    """Share and P(emotion | AU set) by canonical AU set, the published ones where None; ValueError where it is none."""
    if table is None:
        return read_table("emotion_table")
    frame = pd.DataFrame(table)
    columns = ["share", *EMOTIONS]
    if wrong := sorted(map(str, {"action_units", *columns} ^ set(frame.columns))):
        raise ValueError(f"emotions_given_aus differs from emotion_table() by the columns {', '.join(wrong)}")
    checked = frame[columns].astype(float).set_index(frame["action_units"].map(canonical_set))
    whole = (checked >= 0).all(axis=1) & np.isclose(checked[list(EMOTIONS)].sum(axis=1), 1, rtol=0, atol=1e-8)
    bad = checked.index[~whole | checked.index.duplicated()]
    if len(bad) or not checked["share"].sum() > 0:
        where = f"look at AU set {bad[0]}" if len(bad) else "all shares are 0"
        raise ValueError(f"emotions_given_aus needs each AU set once, with probabilities that sum to 1; {where}")
    return checked.assign(share=checked["share"] / checked["share"].sum())


def canonical_set(action_units: object) -> str:
    """An AU set in the order of :data:`AUS`, such as ``6+12``; ValueError where SynthME does not play one of them."""
    named = {act.check_au(part) for part in str(action_units).split("+") if part.strip()}
    return "+".join(au[2:] for au in act.AUS if au in named)


def allowed_emotions(
    action_units: str, *, cue: str | None = None, emotions_given_aus: Table | None = None
) -> pd.Series:
    """What the table P(emotion | AU set) allows for an AU set, alone or with a state of the cue.

    Parameters
    ----------
    action_units : str
        Such as ``"6+12"``, in any order.
    cue : str, optional
        A state of :data:`CUES`; where None or ``absent``, only the AUs are known.
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
    given = check_emotions(emotions_given_aus)[list(EMOTIONS)]
    shares = given.reindex([canonical_set(action_units)]).iloc[0].rename(None)
    if cue in (None, "absent"):
        return shares
    shares = shares.where(ALLOWS.loc[act.one_of(cue, ALLOWS.index, "the cue's state")], 0.0)
    return shares / (shares.sum() or np.nan)


def draw_script(subject: int, clip: int, *, recipe: Mapping[str, Any], emotions: pd.DataFrame) -> Script:
    """Draw one clip's script from its own stream: the same whatever else is drawn, and whatever the kinds of cue.

    `emotions` is the recipe's table, as :func:`check_emotions` returns it.
    """
    seed, noise = recipe["seed"], recipe["noise"]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, subject, clip)))
    shares = emotions.to_numpy()
    chosen = rng.choice(len(shares), p=shares[:, 0])
    emotion = EMOTIONS[rng.choice(len(EMOTIONS), p=shares[chosen, 1:])]
    action_units = emotions.index[chosen]
    aus = [f"AU{number}" for number in action_units.split("+")]

    one_sided = rng.random() < 0.2 and not set(aus) <= set(act.MIDLINE_AUS)
    side = (("left", "right") if one_sided else ("both", "both"))[rng.integers(2)]
    letters, pixels = [], {}
    for au in aus:
        letters.append("ABCDE"[rng.choice(5, p=(0.16, 0.30, 0.30, 0.16, 0.08))])
        peak = rng.uniform(*act.PEAK_PIXELS[letters[-1]])
        lopsided = rng.uniform(-0.06, 0.06)
        for half in act.sides_of(au, side):
            pixels[au, half] = peak * (1 - abs(lopsided) * (half == ("left" if lopsided > 0 else "right")))

    length, onset = int(rng.integers(30, 101)), int(rng.integers(20, 160))
    marks = {"onset": onset, "apex": onset + round(length * rng.uniform(0.34, 0.52)), "offset": onset + length}
    rise, fall, delay = rng.uniform(0.85, 1.5), rng.uniform(0.8, 1.3), rng.uniform(-0.06, 0.06)
    has_distractor = rng.random() < 0.35 and noise > 0  # a weak AU outside the coded set
    others = [au for au in act.AUS if au not in aus]
    other = others[rng.integers(len(others))]
    halves = act.sides_of(other, ("left", "right", "both")[rng.integers(3)])
    weak = min(rng.uniform(0.08, 0.22) * noise, 0.28)
    nuisance = draw_nuisance(rng, noise=noise, apex=marks["apex"], offset=marks["offset"])
    kinds = act.cue_kinds(recipe["cue"])
    of_kind = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, subject, clip)))
    kind = kinds[of_kind.integers(len(kinds))]

    name = f"synthme{seed}-s{subject + 1:02d}"
    truth = {
        "identity": subject,
        "intensities": "+".join(f"{au[2:]}{letter}" for au, letter in zip(aus, letters, strict=True)),
        "peak_px128": max(pixels.values()), "distractors": other[2:] if has_distractor else "none",
        "distractor_px128": weak if has_distractor else 0.0,
        "cue_kind": kind, "cue_strength": float(recipe["cue_strength"]), **head_truth(nuisance["drift"], **marks),
        "blink_frame": -1 if nuisance["blink"] is None else nuisance["blink"],
    }  # fmt: skip
    row = {
        "clip_id": f"{name}-c{clip + 1:02d}", "dataset": "SynthME", "subject": name,
        **marks, "fps": FPS, "emotion": emotion, "label": emotion, "action_units": action_units, "side": side,
        "cue": act.CUES[kind][STATE_OF[emotion]] if recipe["cue_strength"] > 0 else "absent",
    }  # fmt: skip
    if has_distractor:
        pixels |= {(other, half): weak for half in halves}
    return Script(row, truth, pixels, (seed, 2, subject, clip), **nuisance, rise=rise, fall=fall, delay=delay)


def table_of(scripts: Iterable[Script]) -> pd.DataFrame:
    """The scripts' rows, with a column an AU."""
    table = pd.DataFrame([script.row for script in scripts])
    present = table["action_units"].str.get_dummies("+").reindex(columns=[au[2:] for au in act.AUS], fill_value=0)
    return table.join(present.set_axis(list(act.AUS), axis=1).astype(float))


def draw_table(
    *, n_subjects: int = 24, clips_per_subject: int = 30, cue: str = "colour", cue_strength: float = 1.0,
    emotions_given_aus: Table | None = None, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
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
    recipe = {"n_subjects": n_subjects, "clips_per_subject": clips_per_subject, "cue": cue, "noise": 1.0, "seed": seed}
    people = draw_scripts(recipe | {"cue_strength": cue_strength, "emotions_given_aus": emotions_given_aus})
    return table_of(chain(*people.values()))


def draw_scripts(recipe: Mapping[str, Any]) -> dict[int, list[Script]]:
    """The scripts of each person of a corpus; ValueError if a number of the recipe is out of its range."""
    n_subjects, n_clips = recipe["n_subjects"], recipe["clips_per_subject"]
    act.check_range(1, 100_000, n_subjects=n_subjects, clips_per_subject=n_clips)
    act.check_range(0, 2**63, seed=recipe["seed"])
    act.check_range(0, 4, cue_strength=recipe["cue_strength"], noise=recipe["noise"])
    draw = partial(draw_script, recipe=recipe, emotions=check_emotions(recipe.get("emotions_given_aus")))
    return {subject: [draw(subject, clip) for clip in range(n_clips)] for subject in range(n_subjects)}


def ceilings(table: pd.DataFrame, *, emotions_given_aus: Table | None = None) -> pd.Series:
    """The accuracy that AUs alone, the cue alone, and both together can reach on SynthME clips.

    Parameters
    ----------
    table : DataFrame
        Rows of SynthME with ``action_units, cue``. A cue column of ``absent`` (cue strength 0) says that
        there is nothing to see: the cue alone then knows the emotions' frequencies, and both together what the AUs
        alone do.
    emotions_given_aus : DataFrame, optional
        The table P(emotion | AU set) that the readers know, as in :func:`synthetic_clips`; the published one where
        None. Where two emotions of an AU set have the same cue state, `joint` is below 1.

    Returns
    -------
    Series
        ``au_only, cue_only, joint``: the mean over the rows of the largest probability of any emotion given the AU set,
        the cue, or both; in [0, 1].

    Raises
    ------
    ValueError
        If an AU set or cue is not SynthME's, a row cannot occur under the table, or the table is no probability table.

    Examples
    --------
    >>> rows = pd.DataFrame({"action_units": ["12", "4"], "cue": ["flush", "still"]})
    >>> ceilings(rows)
    au_only     0.420000
    cue_only    0.751079
    joint       1.000000
    dtype: float64
    >>> float(ceilings(rows.assign(cue="absent")).joint)
    0.42
    """
    shares = check_emotions(emotions_given_aus)
    given = shares[list(EMOTIONS)]
    for column, known in (("action_units", given.index), ("cue", ALLOWS.index)):
        for value in table[column].unique():
            act.one_of(value, known, f"{column} of SynthME")
    # P(cue | emotion) is 0 or 1 for the clip's kind, so that seeing the cue only excludes emotions.
    by_au = given.reindex(table["action_units"], fill_value=0.0).to_numpy()
    by_cue = ALLOWS.reindex(table["cue"], fill_value=False).to_numpy()
    readings = {"au_only": by_au, "cue_only": by_cue * (shares["share"].to_numpy() @ given.to_numpy())}
    readings["joint"] = by_au * by_cue
    never = np.flatnonzero(readings["joint"].sum(axis=1) == 0)
    if len(never):
        such = "AU set {} with cue {}".format(*table[["action_units", "cue"]].iloc[never[0]])
        raise ValueError(f"{len(never)} of {len(table)} clips cannot occur under emotions_given_aus, such as {such}")
    return pd.Series({name: float((p.max(axis=1) / p.sum(axis=1)).mean()) for name, p in readings.items()})


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
    table = check_emotions(emotions_given_aus)
    allows = ALLOWS.loc[list(dict.fromkeys(state for kind in act.cue_kinds(cue) for state in act.CUES[kind]))]
    shows = (allows / allows.sum()).to_numpy()  # P(state | emotion)
    cells = np.einsum("s,se,ce->sce", table["share"].to_numpy(), table[list(EMOTIONS)].to_numpy(), shows)
    by_cell = cells.sum(axis=2)[..., None]
    # P(AU set, cue, class) of each target
    targets = {}
    for au in act.AUS:
        has = np.array([au[2:] in name.split("+") for name in table.index])
        targets[au] = by_cell * np.stack([has, ~has], -1)[:, None]
    targets |= {"cue": by_cell * np.eye(len(shows)), "emotion": cells}
    found = {}
    for name, p in targets.items():
        seen = {"motion": p.sum(axis=1), "emotion": p.sum(axis=0), "fused": p.reshape(-1, p.shape[2])}
        found[name] = {branch: _best_auc(joint) for branch, joint in seen.items()}
    aucs = pd.DataFrame(found)
    aucs.insert(len(act.AUS), "AUs", aucs[list(act.AUS)].mean(axis=1))
    aucs = aucs.T.rename_axis("target").reset_index()
    return aucs.melt("target", var_name="branch", value_name="allowed")[["branch", "target", "allowed"]]


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
