"""Maps on demand: for one clip after another, and for pairs of clips that the model takes for two emotions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from medn_lab.diagnose.attribution import attribute, attribution_targets, find_method, registered_methods
from medn_lab.diagnose.attribution_branches import kept_tokens, two_emotions
from medn_lab.diagnose.attribution_checks import check_attribution, planted_mass, randomisation_check
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, KeptTokens

DEFAULT = "integrated_gradients"

# Maps that are kept; a clip's map of 8 frames at 64 px takes 0.5 MB.
REMEMBERED = 96


def attribute_pair(
    model: MEDN,
    clips: Clips,
    *,
    clip_a: str,
    clip_b: str,
    label: str = "label",
    method: str = DEFAULT,
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
    swap_branches : which branch makes the difference.
    medn_lab.evaluate.pair_auc, medn_lab.view.plot_attribution, medn_lab.view.plot_pair

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> pair = medn.diagnose.confusable_pairs(clips.table).loc[0, ["clip_a", "clip_b"]]
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> attribute_pair(model, clips, **pair, method="saliency").frames.shape
    (2, 8, 64, 64, 3)
    """
    first, second = two_emotions(clips, clip_a, clip_b, label)
    both, target = clips.select([clip_a, clip_b]), f"{first} - {second}"
    return attribute(model, both, target=target, method=method, params=params, batch_size=2)


def pair_attributor(
    model: MEDN, clips: Clips, *, label: str = "label", method: str = DEFAULT, params: Mapping[str, Any] | None = None
) -> Callable[[str, str], Attribution]:
    """:func:`attribute_pair` as a function of two clip ids, as a browser of pairs takes it.

    Parameters
    ----------
    model : MEDN
    clips : Clips
        Hold all the pairs.
    label, method, params
        As in :func:`attribute_pair`.

    Returns
    -------
    callable
        Takes two clip ids and gives the Attribution of the difference between them. It remembers nothing.

    Raises
    ------
    ValueError
        If there is no such method; with two ids, as :func:`attribute_pair`.

    See Also
    --------
    attribute_pair, pair_swapper, medn_lab.widgets.PairBrowser

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> attribute = pair_attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips, method="saliency")
    >>> attribute(*clips.table["clip_id"]).flow.shape
    (2, 64, 64, 2)
    """
    find_method(method, params)
    return lambda a, b: attribute_pair(model, clips, clip_a=a, clip_b=b, label=label, method=method, params=params)


class Attributor:
    """Maps of one model over some clips, made when they are requested and remembered.

    It is called with a clip, a target and a method. The quick figures come with each map: whether it adds up, and on
    synthetic clips how much of it falls on the planted region, and the region's area. The slow ones (infidelity,
    sensitivity, random weights) come with ``.check(...)``.

    Parameters
    ----------
    model : MEDN
        As it is now: maps that were made before a further training are remembered as they were.
    clips : Clips
    params : mapping of str to mapping, optional
        By method, its own arguments, such as ``{"integrated_gradients": {"n_steps": 64}}``.
    n_checked : int
        Clips of which the randomised-weights check is made.

    Attributes
    ----------
    methods : tuple of str
        Those that can attribute to an input that this model and these clips have.
    targets : tuple of str
        As `attribution_targets` lists them.

    Raises
    ------
    ValueError
        If a method or its argument is not known.

    See Also
    --------
    integrated_gradients, attribute_pair, check_attribution, randomisation_check
    medn_lab.widgets.AttributionViewer

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=22)
    >>> make = Attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> found = make(clips.table["clip_id"][0], target="gate", method="saliency")
    >>> found.target, found.frames.shape
    ('gate', (1, 8, 64, 64, 3))
    """

    def __init__(
        self, model: MEDN, clips: Clips, *, params: Mapping[str, Mapping[str, Any]] | None = None, n_checked: int = 4
    ) -> None:
        self._model, self._clips, self._params, self._n_checked = model, clips, dict(params or {}), n_checked
        for name, own in self._params.items():
            find_method(name, own)
        unread = {"motion": "frames", "emotion": "flow"}.get(model.config.branches)
        reads = {name for name in ("frames", "flow") if getattr(clips, name) is not None} - {unread}
        self.methods = tuple(name for name, one in registered_methods().items() if reads & set(one.reads))
        self.targets = tuple(attribution_targets(model))
        self._label = "label" if "label" in clips.table else "emotion"
        self._made: dict[tuple[str, ...], Attribution] = {}
        self._random: dict[tuple[str, str], dict[str, float]] = {}

    def __call__(self, clip_id: str, *, target: str = "", method: str = DEFAULT, partner: str = "") -> Attribution:
        """The map of one clip, or of a pair.

        Parameters
        ----------
        clip_id : str
        target : str
            One of `targets`, or the difference of two emotions; not read for a pair.
        method : str
            One of `methods`.
        partner : str
            A clip of another emotion: the map is then of the difference, in both clips, as by `attribute_pair`.

        Returns
        -------
        Attribution
            Of one clip, or two. ``sanity`` holds what is quick: ``completeness_error`` where the method claims
            completeness, and on synthetic clips ``planted_frames`` (the share on the cue) and ``area_frames`` (the
            cue's share of the face, which is chance), ``planted_flow`` (on the AU that is the target, or else on the
            clip's AUs) and ``area_flow``; and whatever `check` has measured before.

        Raises
        ------
        ValueError
            If there is no such clip, target or method, or the method says nothing of the target.
        """
        key = (clip_id, "" if partner else target, method, partner)
        if key not in self._made:
            how: dict[str, Any] = {"method": method, "params": self._params.get(method)}
            if partner:
                how |= {"clip_a": clip_id, "clip_b": partner, "label": self._label}
                found = attribute_pair(self._model, self._clips, **how)
            else:
                found = attribute(self._model, self._clips.select([clip_id]), target=target, batch_size=1, **how)
            inputs: tuple[Literal["frames", "flow"], ...] = ("frames", "flow")
            for of in inputs if find_method(method)[0].places else ():
                if self._clips.truth is None or getattr(found, of) is None:
                    continue
                mass = planted_mass(found, truth=self._clips.truth, of=of).query("planted")
                if len(mass):
                    figures = {f"planted_{of}": mass["share"].mean(), f"area_{of}": mass["chance"].mean()}
                    found = found.with_sanity(figures)
            self._made[key] = found
        self._made[key] = self._made.pop(key)  # the last that was shown goes to the end
        if len(self._made) > REMEMBERED:
            del self._made[next(iter(self._made))]
        return self._made[key]

    def check(self, clip_id: str, *, target: str = "", method: str = DEFAULT, partner: str = "") -> Attribution:
        """The same map with the slow figures in ``sanity``.

        Parameters
        ----------
        clip_id, target, method, partner : str
            As in a call.

        Returns
        -------
        Attribution
            With ``infidelity`` and ``sensitivity`` of this map, and ``randomised_frames``, ``randomised_flow``,
            ``randomised_threshold`` and ``randomised_clips`` of `n_checked` clips, this one first: whether the method
            draws the same for this target when the weights are random. That is measured once for a target and method.
        """
        found = self(clip_id, target=target, method=method, partner=partner)
        if "infidelity" not in found.sanity and "sensitivity" not in found.sanity:
            found = check_attribution(found, model=self._model, clips=self._clips, n_draws=1)
        which = (found.target, method)
        if which not in self._random:
            # The clips of the map, and others of the same emotion until there are enough; other persons first.
            table, own = self._clips.table, list(found.table["clip_id"])
            others = table[~table["clip_id"].isin(own)]
            if self._label in table:
                others = others[others[self._label].isin(found.table[self._label].dropna())]
            turn = others.groupby("subject").cumcount().sort_values(kind="stable")
            few = [*own, *others["clip_id"][turn.index][: max(0, self._n_checked - len(own))]]
            how: dict[str, Any] = {"target": found.target, "method": method, "params": self._params.get(method)}
            alike = randomisation_check(self._model, self._clips.select(few), n_draws=1, **how)
            largest = alike.set_index("input")[["spearman", "spearman_absolute"]].max(axis=1).add_prefix("randomised_")
            sizes = {"randomised_threshold": alike.attrs["threshold"], "randomised_clips": float(len(few))}
            self._random[which] = largest.to_dict() | sizes
        key = (clip_id, "" if partner else target, method, partner)
        self._made[key] = found.with_sanity(self._random[which])
        return self._made[key]

    def kept(self, clip_id: str) -> KeptTokens | None:
        """The places that the emotion branch kept of a clip, with their cover of the cue where the truth is known.

        Returns
        -------
        KeptTokens or None
            None where the model has no emotion branch, or the clips no frames.

        Raises
        ------
        ValueError
            If there is no such clip.
        """
        if self._model.config.branches == "motion" or self._clips.frames is None:
            return None
        return kept_tokens(self._model, self._clips.select([clip_id]), truth=self._clips.truth, n_draws=0)
