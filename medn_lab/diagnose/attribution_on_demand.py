"""Maps on demand: a clip, target and method at a time, remembered, with the figures that say whether to believe it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from medn_lab.diagnose.attribution_contract import METHODS, attribute, check_method
from medn_lab.diagnose.attribution_pair import attribute_pair
from medn_lab.diagnose.attribution_target import attribution_targets
from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.diagnose.planted import planted_mass
from medn_lab.diagnose.randomisation import method_params, randomisation_check
from medn_lab.diagnose.sanity import check_attribution
from medn_lab.diagnose.tokens_kept import kept_tokens
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, KeptTokens, positions

REMEMBERED = 96
"""Maps that are kept; a clip's map of 8 frames at 64 px takes 0.5 MB."""


class Attributor:
    """Maps of one model over some clips, made when they are asked for; made by `attributor`.

    Parameters
    ----------
    model : MEDN
    clips : Clips
    params : mapping of str to mapping, optional
        By method, its own arguments.
    n_checked : int
        Clips of which the randomised-weights check is made.
    seed : int
        Of the checks.

    Attributes
    ----------
    methods : tuple of str
        Those that have something to say of this model.
    targets : tuple of str
        As `attribution_targets` lists them.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> make = Attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips=clips)
    >>> "saliency" in make.methods, "gate" in make.targets
    (True, True)
    """

    def __init__(
        self,
        model: MEDN,
        *,
        clips: Clips,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        n_checked: int = 4,
        seed: int = 0,
    ) -> None:
        if n_checked < 1:
            raise ValueError(f"n_checked must be at least 1; got {n_checked}")
        self._model, self._clips, self._seed, self._n_checked = model, clips, seed, n_checked
        for name in params or {}:
            check_method(name)
        reads = {"both": ("frames", "flow"), "motion": ("flow",), "emotion": ("frames",)}[model.config.branches]
        there = [name for name in reads if getattr(clips, name) is not None]
        self.methods = tuple(name for name, method in METHODS.items() if set(method.inputs) & set(there))
        self.targets = tuple(attribution_targets(model))
        self._params = {name: method_params(name, (params or {}).get(name)) for name in self.methods}
        self._made: OrderedDict[tuple[str, ...], Attribution] = OrderedDict()
        self._random: dict[tuple[str, str], dict[str, float]] = {}
        self._kept: dict[str, KeptTokens | None] = {}

    def __repr__(self) -> str:
        return (
            f"Attributor of {self._model.name} over {len(self._clips)} clips: {len(self.targets)} targets,"
            f" {len(self.methods)} methods; {len(self._made)} maps made"
        )

    def __call__(
        self, clip_id: str, *, target: str = "", method: str = "integrated_gradients", partner: str = ""
    ) -> Attribution:
        """The map of one clip, or of a pair.

        Parameters
        ----------
        clip_id : str
        target : str
            One of `targets`, or the difference of two emotions; not read for a pair.
        method : str
            One of `methods`.
        partner : str
            A clip of another emotion: the map then is of what tells the two apart, in both, as by `attribute_pair`.

        Returns
        -------
        Attribution
            Of one clip, or two. ``sanity`` holds what is quick: ``completeness_error`` where the method claims
            completeness, and on synthetic clips ``planted_frames`` (the share on the cue) beside ``area_frames`` (the
            cue's share of the face, which is chance), ``planted_flow`` (on the AU that was asked for, or else on the
            clip's AUs) beside ``area_flow``; and whatever `check` has measured before.

        Raises
        ------
        ValueError
            If there is no such clip, target or method, or the method says nothing of the target.
        """
        key = self._key(clip_id, target, method, partner)
        if key not in self._made:
            self._remember(key, self._with_planted(self._make(*key)))
        self._made.move_to_end(key)
        return self._made[key]

    def is_made(
        self, clip_id: str, *, target: str = "", method: str = "integrated_gradients", partner: str = ""
    ) -> bool:
        """Whether this map is remembered, so that it comes at once; its arguments are those of a call.

        Parameters
        ----------
        clip_id, target, method, partner : str
            As in a call.
        """
        return (clip_id, "" if partner else target, method, partner) in self._made

    def check(
        self, clip_id: str, *, target: str = "", method: str = "integrated_gradients", partner: str = ""
    ) -> Attribution:
        """The same map with the slow figures beside it.

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

        Raises
        ------
        ValueError
            As a call does.
        """
        key = self._key(clip_id, target, method, partner)
        found = self(clip_id, target=target, method=method, partner=partner)
        if "infidelity" not in found.sanity and "sensitivity" not in found.sanity:
            found = check_attribution(
                found, model=self._model, clips=self._clips.select(found.table["clip_id"]), seed=self._seed
            )
        asked = (found.target, method)
        if asked not in self._random:
            few = self._few(found)
            checked = randomisation_check(
                self._model, few, target=found.target, method=method, params=self._params[method], n_draws=1,
                seed=self._seed,
            )  # fmt: skip
            figures = {name: value for name, value in checked.attribution.sanity.items() if name.startswith("random")}
            self._random[asked] = {**figures, "randomised_clips": float(len(few))}
        self._remember(key, found.with_sanity(self._random[asked]))
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
        positions(self._clips.table, clip_id, owner="these clips")
        if self._model.config.branches == "motion" or self._clips.frames is None:
            return None
        if clip_id not in self._kept:
            one = self._clips.select([clip_id])
            self._kept[clip_id] = kept_tokens(self._model, one, truth=one.truth)
        return self._kept[clip_id]

    def _key(self, clip_id: str, target: str, method: str, partner: str) -> tuple[str, str, str, str]:
        if method not in self.methods:
            raise ValueError(f"there is no method {method!r} for this model; there are {', '.join(self.methods)}")
        return str(clip_id), "" if partner else target, method, str(partner)

    def _make(self, clip_id: str, target: str, method: str, partner: str) -> Attribution:
        if partner:
            column = "label" if "label" in self._clips.table else "emotion"
            return attribute_pair(
                self._model, self._clips, clip_a=clip_id, clip_b=partner, label=column, method=method,
                params=self._params[method],
            )  # fmt: skip
        one = self._clips.select([clip_id])
        found = attribute(
            self._model, one, target=target, method=method, params=self._params[method], batch_size=1, progress=False
        )
        return found.with_sanity(claimed_completeness(found))

    def _with_planted(self, found: Attribution) -> Attribution:
        truth = self._clips.select(found.table["clip_id"]).truth
        if truth is None:
            return found
        figures = {}
        regions: dict[Literal["frames", "flow"], str] = {
            "frames": "cue",
            "flow": found.target if found.target in truth.aus else "AUs",
        }
        for of, region in regions.items():
            if getattr(found, of) is None or not METHODS[found.method].places:
                continue
            mass = planted_mass(found, truth=truth, region=region, of=of)
            if mass.planted.any():
                figures[f"planted_{of}"] = float(mass.share[mass.planted].mean())
                figures[f"area_{of}"] = float(mass.chance[mass.planted].mean())
        return found.with_sanity(figures)

    def _few(self, found: Attribution) -> Clips:
        """The clips of a map, and others of the same emotion until there are enough; other persons first."""
        table, own = self._clips.table, list(found.table["clip_id"])
        others = table[~table["clip_id"].isin(own)]
        alike = [name for name in ("label", "emotion") if name in table][:1]
        for name in alike:
            same = others[others[name].isin(set(found.table[name].dropna()))]
            others = same if len(same) else others
        turn = others.groupby("subject").cumcount().to_numpy() if "subject" in others else np.zeros(len(others))
        chosen = others["clip_id"].iloc[np.argsort(turn, kind="stable")][: max(0, self._n_checked - len(own))]
        return self._clips.select([*own, *chosen])

    def _remember(self, key: tuple[str, ...], found: Attribution) -> None:
        self._made[key] = found
        self._made.move_to_end(key)
        if len(self._made) > REMEMBERED:
            self._made.popitem(last=False)


def attributor(
    model: MEDN,
    clips: Clips,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    n_checked: int = 4,
    seed: int = 0,
) -> Attributor:
    """A callable that makes the map of any clip, for any target, by any method, and remembers it.

    What is quick to know of a map comes with it: whether it adds up, and on synthetic clips how much of it falls on
    what was planted, beside chance. What takes longer (infidelity, sensitivity, random weights) comes with
    ``.check(...)``.

    Parameters
    ----------
    model : MEDN
        As it is now: maps that were made before a further training are remembered as they were.
    clips : Clips
    params : mapping of str to mapping, optional
        By method, its own arguments, such as ``{"integrated_gradients": {"n_steps": 64}}``.
    n_checked : int
        Clips of which the randomised-weights check is made.
    seed : int
        Of the checks.

    Returns
    -------
    Attributor

    Raises
    ------
    ValueError
        If a method or its argument is not known, or `n_checked` is below 1.

    See Also
    --------
    integrated_gradients, attribute_pair, check_attribution, randomisation_check
    medn_lab.widgets.AttributionViewer

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=22)
    >>> make = attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> found = make(clips.table["clip_id"][0], target="gate", method="saliency")
    >>> found.target, found.frames.shape
    ('gate', (1, 8, 64, 64, 3))
    """
    return Attributor(model, clips=clips, params=params, n_checked=n_checked, seed=seed)
