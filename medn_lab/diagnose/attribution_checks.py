"""Checks of maps: infidelity, sensitivity, maps of random weights, planted regions; methods compared by them."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medn_lab.diagnose.attribution import (
    CHANNELS,
    TargetFunction,
    Tensors,
    attribute,
    completeness,
    differentiable,
    find_method,
    random_model,
)
from medn_lab.diagnose.interventions import person_means
from medn_lab.evaluate.resampling import ratio, t_bounds
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, Truth, au_columns, positions, require

# Stilled squares of a clip, whose side is a quarter of the crop, and noisy copies of it.
N_SQUARES, N_NOISY = 32, 4

# Less than a camera would notice: a grey level, and a fiftieth of a pixel.
NOISE = {"frames": 1 / 255, "flow": 0.02}

# From which rank correlation with all weights random a map is marked.
THRESHOLD = 0.5


def check_attribution(
    attribution: Attribution, *, model: MEDN, clips: Clips, n_draws: int = 3, seed: int = 0
) -> Attribution:
    """The same maps with infidelity, its control, sensitivity and, where the method claims it, completeness.

    *Infidelity*: how badly a map predicts what the target loses when a random square of the face is stilled, the
    frames' by the onset, the flow's by zeros. The map predicts the sum of its values there (slopes are multiplied with
    what was taken away). The figure is what is left of the losses' mean square after the best scaling of the map: 0
    predicts them exactly, 1 not at all. So maps without a unit can be compared with those that have one. Where no
    single square changes the score, or two squares replace each other, no map that adds up can predict the losses: the
    figure then says how far the model is from a sum, and is best compared between methods on the same clips. The
    control is the method's map of a random model, the same architecture with all weights drawn at random: its
    infidelity to this model is what the method reaches without training.

    *Sensitivity*: how much a map changes when the clip changes by less than a camera would notice, uniform noise within
    a grey level and 0.02 px. The figure is the largest relative change of the map (Frobenius norm) over four noisy
    copies and over frames and flow: 0 stays the same, 1 changes by its own size.

    Parameters
    ----------
    attribution : Attribution
    model : MEDN
        The one that it was made of.
    clips : Clips
        Hold the attribution's clips.
    n_draws : int
        Random models, 0 for none; each costs the maps once more, where the sensitivity costs them four times.
    seed : int
        Of squares, noise and random weights.

    Returns
    -------
    Attribution
        ``sanity`` with the median over clips of ``infidelity``, in [0, 1], and ``sensitivity``, from 0 up, and the mean
        and range of the infidelity over ``random_draws`` random models: ``random_infidelity``, with ``_low`` and
        ``_high``. A figure that no clip has is left out: the infidelity of a target that loses nothing whatever is
        stilled, the sensitivity of a map that is zero.

    Raises
    ------
    ValueError
        If the attribution was not made of this model and these clips.

    See Also
    --------
    randomisation_check

    References
    ----------
    Yeh et al.: "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019: the square removal, of which the
    numerator is captum's ``infidelity`` with ``normalize=True`` and the division is ours; and captum's
    ``sensitivity_max``, taken of each input by itself, since slopes of frames and of flow have other units. Adebayo et
    al.: "Sanity checks for saliency maps", NeurIPS 2018, the random model.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = medn.diagnose.saliency(model, clips, target="happiness")
    >>> sorted(check_attribution(maps, model=model, clips=clips, n_draws=1).sanity)[:3]
    ['infidelity', 'random_draws', 'random_infidelity']
    """
    scores = require(attribution.scores, otherwise="the attribution holds no scores, by which its model is recognised")
    method, params = find_method(attribution.method, attribution.params)
    found = completeness(attribution) if method.complete else {}
    clips = clips.select(attribution.table["clip_id"])
    how: dict[str, Any] = {"target": attribution.target, "method": attribution.method, "params": params}
    random = [attribute(random_model(model, seed=seed + draw), clips, **how) for draw in range(n_draws)]
    score, rows = TargetFunction(model, attribution.target, clips), []
    with differentiable(model):
        for row in range(len(clips)):
            inputs, fixed = score.tensors(clips, np.array([row]))
            with torch.no_grad():
                now, then = float(score(*inputs, *fixed)[0]), float(scores[row])
            if abs(now - then) > 1e-3 * max(1.0, abs(then)):
                changed = f"{attribution.target} of {clips.table['clip_id'][row]!r} was {then:.3f} and is {now:.3f}"
                raise ValueError(f"the attribution was not made of this model and these clips: {changed}")
            maps, noisy, generator = {}, [], torch.Generator().manual_seed(seed)
            for name, value in zip(score.reads, inputs, strict=True):
                noise = 2 * torch.rand((N_NOISY, *value.shape[1:]), generator=generator) - 1
                noisy.append(value + NOISE[name] * noise.to(value))
                if getattr(attribution, name) is not None:  # of each input all maps, (n_maps, ...) in its layout
                    stacked = np.stack([getattr(one, name)[row] for one in (attribution, *random)])
                    maps[name] = torch.tensor(stacked).to(value.device).movedim(-1, CHANNELS[name]).contiguous()
            with torch.enable_grad():
                copies = tuple(value.expand(N_NOISY, *value.shape[1:]) for value in fixed)
                noisy_maps = method.compute(score, tuple(noisy), copies, **params)
            again = dict(zip(score.reads, noisy_maps, strict=True))
            pairs = [(again[name].detach(), own[0]) for name, own in maps.items()]
            change = max(float((value - own).flatten(1).norm(dim=1).max() / own.norm()) for value, own in pairs)
            infidelity = _infidelity(score, inputs, fixed, maps, slopes=method.slopes, seed=seed)
            rows.append([change if np.isfinite(change) else np.nan, *infidelity])
    median = pd.DataFrame(rows, columns=["sensitivity", "infidelity", *range(n_draws)]).median()  # over clips
    found |= median[["infidelity", "sensitivity"]].dropna().to_dict()
    if n_draws and "infidelity" in found:
        draws = median[list(range(n_draws))]
        found |= {"random_infidelity": float(draws.mean()), "random_draws": float(n_draws)}
        found |= {"random_infidelity_low": float(draws.min()), "random_infidelity_high": float(draws.max())}
    return attribution.with_sanity(found)


def _infidelity(
    score: TargetFunction, inputs: Tensors, fixed: Tensors, maps: dict[str, Tensor], *, slopes: bool, seed: int
) -> np.ndarray:
    """The infidelity of each map of one clip on the same squares, (n_maps,)."""
    stilled: list[Tensor] = []
    generator, predicted = torch.Generator().manual_seed(seed), torch.zeros(1, dtype=torch.float64)
    for name, value, base in zip(score.reads, inputs, score.baselines(inputs), strict=True):
        side, patch = value.shape[-1], max(1, value.shape[-1] // 4)
        place, first = torch.arange(side), torch.randint(side - patch + 1, (2, N_SQUARES, 1), generator=generator)
        rows, columns = (place >= first) & (place < first + patch)  # (N_SQUARES, side) each
        mask = rows.unsqueeze(2) & columns.unsqueeze(1)
        mask = mask.view(N_SQUARES, *[1] * (value.ndim - 3), side, side).to(value.device)
        stilled.append(torch.where(mask & (name in maps), base, value))  # an input without a map stays as it is
        if name not in maps:
            continue
        effect = maps[name] * (value - base) if slopes else maps[name]
        of_squares = mask.expand(N_SQUARES, *value.shape[1:]).flatten(1).to(effect)
        predicted = predicted.to(value.device) + (effect.flatten(1) @ of_squares.T).double()
    with torch.no_grad():
        copies = (value.expand(N_SQUARES, *value.shape[1:]) for value in fixed)
        lost = (score(*inputs, *fixed) - score(*stilled, *copies)).double()
    size = predicted.square().sum(dim=1)
    scale = torch.where(size > 0, (predicted @ lost) / size, 0)  # the best multiple of each map
    return ((lost - scale[:, None] * predicted).square().sum(dim=1) / lost.square().sum()).cpu().numpy()


def randomisation_check(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
    randomise: Literal["all", "modules"] = "all",
    n_draws: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a method's maps with those that it gives when the network's weights are random.

    Maps are summed over time and colour (or the flow's components) to one picture a clip, signed and absolute; of
    :func:`frame_ablation` the course over time is compared. A map that ranks the pixels the same way without anything
    learned shows the clip's own movement, or the places that SEVit keeps by its measured, unlearned part, and not what
    the model made of them: it is *marked*.

    Parameters
    ----------
    model : MEDN
        Left as it was; its copies are randomised.
    clips : Clips
        A dozen are enough.
    target : str
        As in :func:`saliency`.
    method : str
        A method by its function's name, such as ``integrated_gradients`` or ``grad_cam``.
    params : mapping, optional
        The method's own arguments; the others have the method's defaults.
    randomise : {"all", "modules"}
        All weights at once; or a cascade from the output down, module by module, whose last stage is all weights.
    n_draws : int
        Sets of random weights.
    seed : int
        Of the random weights.

    Returns
    -------
    DataFrame
        One row a stage and input: ``stage`` (what was randomised, from the output down), ``input``, ``spearman`` and
        ``spearman_absolute`` (rank correlation in [-1, 1] over pixels of the signed and of the absolute map, mean over
        clips and draws; near 0 for maps that learning made), ``survives`` (whether one of the two rank correlations
        reaches 0.5), ``n_clips``, ``n_draws``. ``.attrs`` holds ``threshold``, the 0.5.

    Raises
    ------
    ValueError
        If the model has no such target, there is no such method, or an argument is out of its range.

    See Also
    --------
    bare_change : a map that must be marked.
    compare_attributions : several methods, and planted regions.
    medn_lab.view.plot_randomisation

    References
    ----------
    Adebayo et al.: "Sanity checks for saliency maps", NeurIPS 2018. Layers draw their weights by their own
    initialisation, other parameters from a normal distribution with their trained mean and spread. The threshold is
    ours.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> found = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    >>> found[["stage", "input", "n_clips"]].iloc[0].astype(str).tolist()
    ['all weights', 'frames', '1']
    """
    if randomise not in ("all", "modules") or n_draws < 1:
        raise ValueError(f"randomise must be all or modules, n_draws at least 1; got {randomise!r} and {n_draws}")
    how: dict[str, Any] = {"target": target, "method": method, "params": params}
    own, fresh = attribute(model, clips, **how), [random_model(model, seed=seed + draw) for draw in range(n_draws)]
    modules = list(dict.fromkeys(name.partition(".")[0] for name in model.state_dict()))[::-1]
    stages = {}
    for place in range(0 if randomise == "modules" else len(modules) - 1, len(modules)):
        maps, random = [], set(modules[: place + 1])
        for one in fresh:
            changed = copy.deepcopy(model)
            weights = {name: value for name, value in one.state_dict().items() if name.partition(".")[0] in random}
            changed.load_state_dict(weights, strict=False)
            maps.append(attribute(changed, clips, **how))
        stage = "all weights" if place == len(modules) - 1 else f"{modules[place]}{' and above' if place else ''}"
        stages[stage] = similarity(own, maps)
    found = pd.concat(stages, names=["stage"]).reset_index("stage").reset_index(drop=True)
    found.attrs = {"threshold": THRESHOLD}
    return found


def similarity(own: Attribution, others: Sequence[Attribution]) -> pd.DataFrame:
    """How alike a map and others of the same clips are, a row an input, as :func:`randomisation_check` describes it."""
    places, rows = find_method(own.method)[0].places, []
    for name, axes in (("frames", (1, 4) if places else (2, 3, 4)), ("flow", (3,))):
        if getattr(own, name) is None:
            continue
        first = 1 if name == "frames" else 0  # all frames are measured against the onset: its slope takes back theirs
        mine, *of_others = (getattr(one, name)[:, first:].astype(np.float64) for one in (own, *others))
        for other in of_others:
            found: list[Any] = [name]
            for pair in ((mine, other), (np.abs(mine), np.abs(other))):
                x, y = (pd.DataFrame(one.sum(axis=axes).reshape(len(one), -1).T).rank() for one in pair)
                found.append(float(x.corrwith(y).mean()))  # over clips, where neither picture is the same everywhere
            rows.append(found)
    names = ["spearman", "spearman_absolute"]
    alike = pd.DataFrame(rows, columns=["input", *names]).groupby("input", sort=False, as_index=False).mean()
    return alike.assign(survives=alike[names].max(axis=1) >= THRESHOLD, n_clips=len(own), n_draws=len(others))


def planted_mass(
    attribution: Attribution, *, truth: Truth, of: Literal["frames", "flow"], region: str | None = None
) -> pd.DataFrame:
    """The share of an attribution that falls where SynthME planted a movement or the cue.

    The sign does not count. Frames are summed over time and colour, the flow over its components. Compare it with the
    same figure of :func:`bare_change`, as a map may fall on a region because that is where something moved, and of
    random models, as :func:`compare_attributions` does.

    Parameters
    ----------
    attribution : Attribution
        Of synthetic clips.
    truth : Truth
        The clips' truth.
    of : {"frames", "flow"}
        Which input's attribution.
    region : str or None
        ``cue``, where the clip's own kind of cue lies; an AU such as ``AU12``; or ``AUs``, where any of the clip's own
        AUs can move the face. None is the cue for frames, and for the flow the AU that is the target, or ``AUs``.

    Returns
    -------
    DataFrame
        The clips' table with ``share``, of the absolute attribution, in [0, 1], 0 of a clip without any; ``chance``,
        the region's share of the picture's area: what a map without any place would score; and ``planted``, whether the
        region was in use: the clip shows that AU, or its cue changes. Means are of these clips. A share above chance
        says that the map points there. ``.attrs`` holds ``region``.

    Raises
    ------
    ValueError
        If the attribution lacks that input, the region is not known, or a clip is not in the truth.

    See Also
    --------
    bare_change, randomisation_check
    compare_attributions : the mean share with its interval over subjects

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> maps = medn.diagnose.saliency(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="others")
    >>> planted_mass(maps, truth=clips.truth, of="frames")[["chance", "planted"]].round(2).to_dict("list")
    {'chance': [0.04, 0.04], 'planted': [True, False]}
    """
    values = require(getattr(attribution, of), otherwise=f"the attribution has no {of}, so that nothing can lie on it")
    if region is None:
        region = "cue" if of == "frames" else attribution.target if attribution.target in truth.aus else "AUs"
    masks, planted = planted_regions(attribution.table, truth=truth, region=region)
    heat = np.abs(values).sum(axis=(1, 4) if of == "frames" else 3, dtype=np.float64)  # (n, h, w)
    total, inside = (one.sum(axis=(1, 2)) for one in (heat, heat * masks))
    shares = {"share": np.nan_to_num(ratio(inside, total)), "chance": masks.mean(axis=(1, 2))}
    found = attribution.table.assign(**shares, planted=planted)
    found.attrs = {"region": region}
    return found


def planted_regions(table: pd.DataFrame, *, truth: Truth, region: str) -> tuple[np.ndarray, np.ndarray]:
    """Where `region` was planted, (n, h, w) bool, and whether each clip shows the AU or its cue changes, (n,) bool."""
    if region not in ("cue", "AUs", *truth.aus):
        raise ValueError(f"no region {region!r} was planted; there are cue, AUs, {', '.join(truth.aus)}")
    ids = table["clip_id"]
    if region == "cue":
        changes = np.abs(truth.cue_course).max(axis=1) > 0
        return np.stack([truth.cue_region(one) for one in ids]), changes[positions(truth.table, ids, owner="Truth")]
    aus = [name for name in au_columns(table) if name in truth.aus] if region == "AUs" else [region]
    shown = [[name for name in aus if row.get(name) == 1] for row in table.to_dict("records")]
    masks = np.zeros((len(table), *truth.au_masks.shape[2:]), dtype=bool)
    for mask, clip_id, own in zip(masks, ids, shown, strict=True):
        for name in own if region == "AUs" else aus:
            mask |= truth.au_mask(clip_id, name)
    return masks, np.array([bool(own) for own in shown])


def compare_attributions(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    methods: Sequence[str],
    params: Mapping[str, Mapping[str, Any]] | None = None,
    truth: Truth | None = None,
    n_draws: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare methods on the same clips and the same target, and each with its maps of random models.

    A random model is the same architecture with all weights drawn at random. Two figures of each map. How alike are the
    maps of the model and of the random models? And on synthetic clips, where the place is known: how much of the map
    falls on the planted region, against the region's share of the area and against the same method on random models?
    Neither alone is enough. A map that shows where something moved does well at the second without using a single
    weight (`bare_change`).

    Parameters
    ----------
    model : MEDN
    clips : Clips
        One dozen to two that show the target: clips of that emotion, or with that AU.
    target : str
        As in :func:`saliency`.
    methods : sequence of str
        Methods by their functions' names, `bare_change` among them.
    params : mapping of str to mapping, optional
        A method's own arguments, by its name.
    truth : Truth, optional
        Of synthetic clips. Frames are compared with the cue's region; flow with that of the AU that is the target, or
        of any of the clip's AUs where the target is no AU.
    n_draws : int
        Random models, at least 1; each costs as much as the model's own maps. The deviation of a share over random
        models is 0.01 to 0.07 on SynthME, so 3 give its mean to 0.04 and the run takes four times that of the maps.
    seed : int
        Of the random weights.

    Returns
    -------
    DataFrame
        One row a method and input: ``method``, ``input``, ``target``, ``spearman`` and ``spearman_absolute`` with the
        maps of random models, ``survives``, ``threshold``, ``completeness_error`` (NaN where a method promises none),
        ``seconds`` (of all its maps, those of random models too), ``n_clips``, ``n_draws``; with a truth also
        ``region``, ``share``, ``low``, ``high`` (95 %, subjects resampled; NaN for one subject), ``area``,
        ``random_share``, ``random_low``, ``random_high`` (mean, lowest and highest of the random models), and
        ``n_planted``; NaN where the region was planted in no clip.

    Raises
    ------
    ValueError
        If a method is unknown, or the model has no such target.

    See Also
    --------
    randomisation_check, planted_mass
    medn_lab.view.plot_attribution_comparison

    References
    ----------
    Adebayo et al.: "Sanity checks for saliency maps", NeurIPS 2018, the random model.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> methods = ["bare_change", "saliency"]
    >>> table = compare_attributions(model, clips, target="happiness", methods=methods, n_draws=1)
    >>> table.loc[table["method"] == "bare_change", "survives"].tolist()
    [True, True]
    """
    models = [model, *(random_model(model, seed=seed + draw) for draw in range(n_draws))]
    rows: list[dict[str, Any]] = []
    for method in methods:
        began = time.perf_counter()
        how: dict[str, Any] = {"target": target, "method": method, "params": (params or {}).get(method)}
        own, *random = (attribute(one, clips, **how) for one in models)
        alike, error = similarity(own, random), own.sanity.get("completeness_error", np.nan)
        about = {"threshold": THRESHOLD, "seconds": time.perf_counter() - began, "completeness_error": error}
        for row in alike.to_dict("records"):
            rows.append({"method": method, "target": own.target, **row, **about})
            if truth is None:
                continue
            mass, *of_random = (planted_mass(maps, truth=truth, of=row["input"]) for maps in (own, *random))
            shown = mass["planted"].to_numpy()
            share, area = mass.loc[shown, ["share", "chance"]].mean()
            drawn, low, high = pd.Series([one["share"][shown].mean() for one in of_random]), np.nan, np.nan
            if shown.any():
                means, n = person_means(mass[shown], mass["share"][shown], n_resamples=2000, seed=0)
                low, high = t_bounds(means, n_units=n, n_clips=shown.sum(), level=0.95, share=True)
            rows[-1] |= {
                "region": mass.attrs["region"], "n_planted": shown.sum(), "share": share, "low": low, "high": high,
                "area": area, "random_share": drawn.mean(), "random_low": drawn.min(), "random_high": drawn.max(),
            }  # fmt: skip
    return pd.DataFrame(rows)
