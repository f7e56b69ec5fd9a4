"""Checks of a map that need no planted truth: infidelity, sensitivity, and maps of randomised weights."""

from __future__ import annotations

import copy
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
from medn_lab.evaluate.resampling import ratio
from medn_lab.model import MEDN, check_clips
from medn_lab.records import Attribution, Clips, require

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
    predicts them exactly, 1 not at all. So maps without a unit can be compared with those that have one. Where a score
    is so sure that no single square is missed, or two squares stand in for each other, no map that adds up can predict
    the losses: the figure then says how far the model is from a sum, and is best compared between methods on the same
    clips. The control is the method's map of a random model, the same architecture with all weights drawn at random:
    its infidelity to this model is what the method reaches without training.

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
    method, params = find_method(attribution.method, attribution.params)
    found = completeness(attribution) if method.complete else {}
    clips = clips.select(attribution.table["clip_id"])
    check_clips(model.config, clips)
    scores = require(attribution.scores, otherwise="the attribution holds no scores, by which its model is recognised")
    how: dict[str, Any] = {"target": attribution.target, "method": attribution.method, "params": params}
    compared = [
        attribution,
        *(attribute(random_model(model, seed=seed + draw), clips, **how) for draw in range(n_draws)),
    ]
    score, rows = TargetFunction(model, attribution.target, clips), []
    with differentiable(model):
        for row in range(len(clips)):
            inputs, fixed = score.tensors(clips, np.array([row]))
            with torch.no_grad():
                now, then = float(score(*inputs, *fixed)[0]), float(scores[row])
            if abs(now - then) > 1e-3 * max(1.0, abs(then)):
                changed = f"{attribution.target} of {clips.table['clip_id'][row]!r} was {then:.3f} and is {now:.3f}"
                raise ValueError(f"the attribution was not made of this model and these clips: {changed}")
            maps: list[Tensor | None] = []  # of each input all maps, (n_maps, ...) in its layout
            for name, value in zip(score.reads, inputs, strict=True):
                arrays = [getattr(one, name) for one in compared]
                given = None if arrays[0] is None else torch.tensor(np.stack([array[row] for array in arrays]))
                maps.append(None if given is None else given.to(value.device).movedim(-1, CHANNELS[name]).contiguous())
            generator = torch.Generator().manual_seed(seed)
            noisy = tuple(
                value + NOISE[name] * (2 * torch.rand((N_NOISY, *value.shape[1:]), generator=generator) - 1).to(value)
                for name, value in zip(score.reads, inputs, strict=True)
            )
            with torch.enable_grad():
                again = method.compute(score, noisy, _copies(fixed, N_NOISY), **params)
            changes = [
                float((value.detach() - of_input[0]).flatten(1).norm(dim=1).max() / of_input[0].norm())
                for value, of_input in zip(again, maps, strict=True)
                if of_input is not None
            ]
            infidelity = _infidelity(score, inputs, fixed, maps, slopes=method.slopes, seed=seed)
            rows.append([max(changes) if np.isfinite(max(changes)) else np.nan, *infidelity])
    median = pd.DataFrame(rows, columns=["sensitivity", "infidelity", *range(n_draws)]).median()  # over clips
    found |= median[["infidelity", "sensitivity"]].dropna().to_dict()
    if n_draws and "infidelity" in found:
        draws = median[list(range(n_draws))]
        found |= {"random_infidelity": float(draws.mean()), "random_draws": float(n_draws)}
        found |= {"random_infidelity_low": float(draws.min()), "random_infidelity_high": float(draws.max())}
    return attribution.with_sanity(found)


def _copies(inputs: Tensors, n: int) -> Tensors:
    """Inputs of one clip as those of n."""
    return tuple(value.expand(n, *value.shape[1:]) for value in inputs)


def _infidelity(
    score: TargetFunction, inputs: Tensors, fixed: Tensors, maps: list[Tensor | None], *, slopes: bool, seed: int
) -> np.ndarray:
    """The infidelity of each map of one clip on the same squares, (n_maps,)."""
    stilled: list[Tensor] = []
    generator, predicted = torch.Generator().manual_seed(seed), torch.zeros(1, dtype=torch.float64)
    for value, base, of_input in zip(inputs, score.baselines(inputs), maps, strict=True):
        side = value.shape[-1]
        patch = max(1, side // 4)
        top, left = (torch.randint(side - patch + 1, (N_SQUARES, 1, 1), generator=generator) for _ in range(2))
        rows, columns = torch.arange(side).view(1, -1, 1), torch.arange(side).view(1, 1, -1)
        mask = (rows >= top) & (rows < top + patch) & (columns >= left) & (columns < left + patch)
        mask = mask.view(N_SQUARES, *[1] * (value.ndim - 3), side, side).to(value.device)
        if of_input is None:  # the method says nothing about this input, which stays as it is
            stilled.extend(_copies((value,), N_SQUARES))
            continue
        stilled.append(torch.where(mask, base, value))
        effect = of_input * (value - base) if slopes else of_input
        of_squares = mask.expand(N_SQUARES, *value.shape[1:]).flatten(1).to(effect)
        predicted = predicted.to(value.device) + (effect.flatten(1) @ of_squares.T).double()
    with torch.no_grad():
        lost = (score(*inputs, *fixed) - score(*stilled, *_copies(fixed, N_SQUARES))).double()
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
    progress: bool = False,
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
        A dozen do.
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
    progress
        As in :func:`saliency`.

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
    how: dict[str, Any] = {"target": target, "method": method, "params": params, "progress": progress}
    own, fresh = attribute(model, clips, **how), [random_model(model, seed=seed + draw) for draw in range(n_draws)]
    modules = list(dict.fromkeys(name.partition(".")[0] for name in model.state_dict()))[::-1]
    stages = []
    for place in range(0 if randomise == "modules" else len(modules) - 1, len(modules)):
        maps, random = [], set(modules[: place + 1])
        for one in fresh:
            changed = copy.deepcopy(model)
            weights = {name: value for name, value in one.state_dict().items() if name.partition(".")[0] in random}
            changed.load_state_dict(weights, strict=False)
            maps.append(attribute(changed, clips, **how))
        stage = "all weights" if place == len(modules) - 1 else f"{modules[place]}{' and above' if place else ''}"
        stages.append(similarity(own, maps).assign(stage=stage))
    found = pd.concat(stages, ignore_index=True)
    found.insert(0, "stage", found.pop("stage"))
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
            signed = _rank_correlation(mine.sum(axis=axes), other.sum(axis=axes))
            rows.append((name, signed, _rank_correlation(np.abs(mine).sum(axis=axes), np.abs(other).sum(axis=axes))))
    found = pd.DataFrame(rows, columns=["input", "spearman", "spearman_absolute"])
    found = found.groupby("input", sort=False).mean().reset_index()
    survives = found[["spearman", "spearman_absolute"]].max(axis=1) >= THRESHOLD
    return found.assign(survives=survives, n_clips=len(own), n_draws=len(others))


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over clips of the rank correlation of two pictures, where neither is the same everywhere."""
    from scipy.stats import rankdata

    x, y = (rankdata(pictures.reshape(len(pictures), -1), axis=1) for pictures in (a, b))
    x, y = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (x, y))
    found = ratio((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))
    return float(pd.Series(found).mean())
