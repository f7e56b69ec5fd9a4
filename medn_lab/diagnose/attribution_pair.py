"""Why a model tells two clips apart that move alike: one question asked of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medn_lab.diagnose.attribution_contract import attribute
from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.diagnose.randomisation import method_params
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, check_label


def attribute_pair(
    model: MEDN,
    clips: Clips,
    *,
    clip_a: str,
    clip_b: str,
    label: str = "label",
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
) -> Attribution:
    """Attribute the difference between two clips' emotions in both of them.

    The target is one number for both clips: the logit of the first clip's emotion minus that of the second's. In clip
    a, what is positive makes it clip a's emotion; in clip b, what is negative makes it clip b's. With a complete method
    the sum over clip a minus the sum over clip b is how much further apart the model puts the two than their baselines,
    and as stillness looks the same to the model on every face, that is how far apart it puts them.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Hold both.
    clip_a, clip_b : str
        As ``confusable_pairs`` gives them; any two clips with different emotions will do.
    label : str
        Column of the emotion.
    method : str
        A method by its function's name.
    params : mapping, optional
        The method's own arguments.

    Returns
    -------
    Attribution
        Two clips, a and b; the target is written ``happiness - repression``.

    Raises
    ------
    ValueError
        If a clip is not there, both have one emotion, or the model does not know it.

    See Also
    --------
    pair_attributor : the same for one pair after another.
    swap_branches : which branch the difference is owed to.
    medn_lab.evaluate.pair_auc : how often the model tells such pairs apart.
    medn_lab.view.plot_attribution, medn_lab.view.plot_pair

    Examples
    --------
    ``attribute_pair(model, clips, **pairs.loc[0, ["clip_a", "clip_b"]])``, where the pairs are those of
    ``confusable_pairs(clips.table)``.

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> pair = medn.diagnose.confusable_pairs(clips.table).loc[0, ["clip_a", "clip_b"]]
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> attribute_pair(model, clips, **pair, method="saliency").frames.shape
    (2, 8, 64, 64, 3)
    """
    both = clips.select([clip_a, clip_b])
    first, second = check_label(both.table, label=label)
    if first == second:
        raise ValueError(f"{clip_a!r} and {clip_b!r} both are {first}; a pair to tell apart has two emotions")
    found = attribute(
        model,
        both,
        target=f"{first} - {second}",
        method=method,
        params=method_params(method, params),
        batch_size=2,
        progress=False,
    )
    return found.with_sanity(claimed_completeness(found))


def pair_attributor(
    model: MEDN,
    clips: Clips,
    *,
    label: str = "label",
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
) -> Callable[[str, str], Attribution]:
    """:func:`attribute_pair` for one pair after another: what a browser of pairs asks for each pair that is looked at.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Hold all the pairs.
    label : str
        Column of the emotion.
    method : str
        A method by its function's name.
    params : mapping, optional
        The method's own arguments.

    Returns
    -------
    callable
        Takes two clip ids and gives the Attribution of the difference between them. It remembers nothing.

    Raises
    ------
    ValueError
        If there is no such method, or the clips have no such column.

    See Also
    --------
    attribute_pair, pair_swapper, medn_lab.widgets.PairBrowser

    Examples
    --------
    ``medn.widgets.PairBrowser(ranked.table, clips=clips, attribute=medn.diagnose.pair_attributor(model, clips))``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> attribute = pair_attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips, method="saliency")
    >>> attribute(*clips.table["clip_id"]).flow.shape
    (2, 64, 64, 2)
    """
    own = method_params(method, params)
    check_label(clips.table[:0], label=label)

    def attribute_difference(clip_a: str, clip_b: str) -> Attribution:
        return attribute_pair(model, clips, clip_a=clip_a, clip_b=clip_b, label=label, method=method, params=own)

    return attribute_difference
