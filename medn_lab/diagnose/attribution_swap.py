"""Which branch tells two clips apart: each branch is shown the other clip, and one sees what the model says then."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from medn_lab.evaluate.prediction import predict
from medn_lab.model import MEDN
from medn_lab.records import Clips, check_label, positions

_MIXES = (("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"))


def swap_branches(model: MEDN, clips: Clips, *, clip_a: str, clip_b: str, label: str = "label") -> pd.DataFrame:
    """What the model says of two clips when one branch is shown the other clip.

    The *margin* is the logit of clip a's emotion minus that of clip b's: positive, and of the two the model takes the
    clip for a's emotion. Swap the flow alone and see how far the margin moves: that much the motion branch has to say;
    swap the frames alone for the emotion branch. What each branch adds is the mean over both clips that the other may
    be shown, so that the two add up to the whole difference of the margins (the Shapley value of two players).

    A mixed clip never happened: its face does not move as its flow says. For a confusable pair that is mild, as both
    clips move by the same AUs.

    Parameters
    ----------
    model : MEDN
        With both branches; used in evaluation mode and left in the mode it was in.
    clips : Clips
        With frames and flow.
    clip_a, clip_b : str
        As ``confusable_pairs`` gives them; any two clips with different emotions will do.
    label : str
        Column of the emotion.

    Returns
    -------
    DataFrame
        Four rows: ``frames_of`` and ``flow_of`` (``a`` or ``b``: the clip that the emotion and the motion branch were
        shown), ``margin`` in logits, ``predicted``, and the probability of each class (``p_happiness``).
        ``table.attrs`` holds ``clip_a, clip_b, label_a, label_b`` and what each branch adds to the difference,
        ``motion`` and ``emotion``, in logits.

    Raises
    ------
    ValueError
        If the model lacks a branch, the clips lack its input, a clip is not there, both have one emotion, or the model
        does not know it.

    See Also
    --------
    attribute_pair : where in the clips the difference lies.
    pair_swapper : the same for one pair after another.

    References
    ----------
    Shapley: "A value for n-person games", Contributions to the Theory of Games II, 1953.

    Examples
    --------
    ``swap_branches(model, clips, clip_a="s01_c03", clip_b="s01_c09")``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> a, b = clips.table["clip_id"]
    >>> swaps = swap_branches(medn.load_pretrained("medn_tiny.synthme_v2"), clips, clip_a=a, clip_b=b)
    >>> (swaps["frames_of"] == swaps["flow_of"]).tolist()
    [True, False, False, True]
    """
    _check(model, clips, label)
    a, b = positions(clips.table, [clip_a, clip_b], owner="these clips")
    first, second = check_label(clips.table.iloc[[a, b]], label=label)
    if first == second:
        raise ValueError(f"{clip_a!r} and {clip_b!r} both are {first}; a pair to tell apart has two emotions")
    classes = list(model.config.classes)
    strange = [name for name in (first, second) if name not in classes]
    if strange:
        raise ValueError(f"the model knows no {', '.join(strange)}; its classes are {', '.join(classes)}")
    rows = {"a": a, "b": b}
    shown, moved = ([rows[mix[side]] for mix in _MIXES] for side in (0, 1))
    mixed = Clips(
        np.asarray(clips.frames)[shown],
        np.asarray(clips.flow)[moved],
        pd.DataFrame({"clip_id": [f"frames of {f}, flow of {m}" for f, m in _MIXES], "subject": "mixed"}),
        recipe=clips.recipe,
    )
    said = predict(model, mixed)
    margin = (said.logits[:, classes.index(first)] - said.logits[:, classes.index(second)]).astype(np.float64)
    found = pd.DataFrame(_MIXES, columns=["frames_of", "flow_of"]).assign(margin=margin, predicted=said.predicted)
    for place, name in enumerate(classes):
        found[f"p_{name}"] = said.probabilities[:, place]
    by_mix = dict(zip(_MIXES, margin, strict=True))
    motion = 0.5 * sum(by_mix[face, "a"] - by_mix[face, "b"] for face in "ab")
    emotion = 0.5 * sum(by_mix["a", flow] - by_mix["b", flow] for flow in "ab")
    found.attrs = {
        "clip_a": clip_a, "clip_b": clip_b, "label_a": first, "label_b": second,
        "motion": float(motion), "emotion": float(emotion),
    }  # fmt: skip
    return found


def pair_swapper(model: MEDN, clips: Clips, *, label: str = "label") -> Callable[[str, str], pd.DataFrame]:
    """:func:`swap_branches` for one pair after another: what a browser of pairs asks for each pair that is looked at.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Hold all the pairs.
    label : str
        Column of the emotion.

    Returns
    -------
    callable
        Takes two clip ids and gives the table of :func:`swap_branches`.

    Raises
    ------
    ValueError
        If the model lacks a branch, or the clips lack its input or the column.

    See Also
    --------
    swap_branches, pair_attributor, medn_lab.widgets.PairBrowser

    Examples
    --------
    ``medn.widgets.PairBrowser(ranked.table, clips=clips, swap=medn.diagnose.pair_swapper(model, clips))``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> swap = pair_swapper(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> len(swap(*clips.table["clip_id"]))
    4
    """
    _check(model, clips, label)

    def swap(clip_a: str, clip_b: str) -> pd.DataFrame:
        return swap_branches(model, clips, clip_a=clip_a, clip_b=clip_b, label=label)

    return swap


def _check(model: MEDN, clips: Clips, label: str) -> None:
    if model.config.branches != "both":
        raise ValueError(f"this model has the {model.config.branches} branch alone; there is no other to swap it with")
    lacking = [name for name in ("frames", "flow") if getattr(clips, name) is None]
    if lacking:
        raise ValueError(f"these clips have no {lacking[0]}, so one branch is shown nothing that could be swapped")
    check_label(clips.table[:0], label=label)
