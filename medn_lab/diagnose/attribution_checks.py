"""Checks of a map that need no planted truth: infidelity, sensitivity, and maps of randomised weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    eval_mode,
    find_method,
    find_target,
    random_model,
)
from medn_lab.diagnose.attribution_methods import GREY_LEVELS
from medn_lab.model import MEDN, check_clips
from medn_lab.records import Attribution, Clips, require


def infidelity(
    attribution: Attribution, *, model: MEDN, clips: Clips, patch: int | None = None, n_samples: int = 32, seed: int = 0
) -> np.ndarray:
    """How badly a map predicts what the target loses when a random square of the face is stilled.

    In each sample a square of each input is stilled at a random place: the frames' by the onset, the flow's
    by zeros. The map predicts the sum of its values there (slopes are multiplied with what was taken away). The
    figure is what is left of the losses' mean square after the best scaling of the map: 0 predicts them exactly, 1 not
    at all. So maps without a unit can be compared with those that have one. Where a score is so sure that no single
    square is missed, or two squares stand in for each other, no map that adds up can predict the losses: the figure
    then says how far the model is from a sum, and is best compared between methods on the same clips.

    Parameters
    ----------
    attribution : Attribution
    model : MEDN
        The one that it was made of.
    clips : Clips
        Hold the attribution's clips.
    patch : int or None
        Side of the square in pixels; a quarter of the crop where None.
    n_samples : int
        Squares a clip, at least 2.
    seed : int

    Returns
    -------
    (n,) float64 array
        In [0, 1]; NaN for a clip whose target loses nothing whatever is stilled.

    Raises
    ------
    ValueError
        If the attribution was not made of this model and these clips, or an argument is out of its range.

    See Also
    --------
    check_attribution

    References
    ----------
    Yeh et al.: "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019, the square removal; the numerator
    is captum's ``infidelity`` with ``normalize=True``, with which a test agrees. The division is ours.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = medn.diagnose.saliency(model, clips, target="happiness")
    >>> infidelity(maps, model=model, clips=clips, n_samples=4).shape
    (1,)
    """
    side = clips.size[0]
    patch = max(1, side // 4) if patch is None else patch
    if not 1 <= patch <= side or n_samples < 2:
        raise ValueError(f"patch must be from 1 to {side} px and n_samples at least 2; got {patch} and {n_samples}")
    return _infidelity([attribution], model, clips, patch=patch, n_samples=n_samples, seed=seed)[0]


def _infidelity(
    compared: Sequence[Attribution], model: MEDN, clips: Clips, *, patch: int, n_samples: int = 32, seed: int
) -> np.ndarray:
    """The infidelity of maps by one method, the first of them of this model, on the same squares: (n_maps, n)."""
    method, _ = find_method(compared[0].method)
    figures = []
    for row, (score, inputs, fixed, _) in enumerate(_clip_by_clip(compared[0], model, clips)):
        generator = torch.Generator().manual_seed(seed)
        predicted = torch.zeros(len(compared), n_samples, device=inputs[0].device)
        stilled = []
        for name, value, base in zip(score.reads, inputs, score.baselines(inputs), strict=True):
            mask = _random_squares(value, patch=patch, n_samples=n_samples, generator=generator)
            maps = _maps_of(compared, row, name, like=value)
            if maps is None:  # the method says nothing about this input, which stays as it is
                stilled.append(value.expand(n_samples, *value.shape[1:]))
                continue
            stilled.append(torch.where(mask, base, value))
            effect = maps * (value - base) if method.slopes else maps
            predicted += effect.flatten(1) @ mask.flatten(1).to(effect).T
        others = (value.expand(n_samples, *value.shape[1:]) for value in fixed)
        with torch.no_grad():
            lost = (score(*inputs, *fixed) - score(*stilled, *others)).double()
        predicted = predicted.double()
        size = predicted.square().sum(dim=1)
        scale = torch.where(size > 0, (predicted @ lost) / size, 0)  # the best multiple of each map
        figures.append((lost - scale[:, None] * predicted).square().sum(dim=1) / lost.square().sum())
    return torch.stack(figures, dim=1).cpu().numpy()


def sensitivity(
    attribution: Attribution,
    *,
    model: MEDN,
    clips: Clips,
    frames_radius: float = 1.0,
    flow_radius: float = 0.02,
    n_samples: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """How much a map changes when the clip changes by less than a camera would notice.

    The method is run again on the clip with uniform noise within the radius. The figure is the largest relative change
    of the map (Frobenius norm) over the samples and over frames and flow: 0 stays the same, 1 changes by its own size.

    Parameters
    ----------
    attribution, model, clips, seed
        As in :func:`infidelity`; the attribution's ``params`` say how it is made again.
    frames_radius : float
        In grey levels of 255.
    flow_radius : float
        In pixels.
    n_samples : int
        Noisy copies of each clip, at least 1; each costs a run of the method.

    Returns
    -------
    (n,) float64 array
        From 0 up; NaN for a clip whose map is zero.

    Raises
    ------
    ValueError
        If the attribution was not made of this model and these clips, or an argument is out of its range.

    See Also
    --------
    check_attribution

    References
    ----------
    Yeh et al.: "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019: captum's ``sensitivity_max``, with
    which a test agrees, but taken of each input by itself, since slopes of frames and of flow have other units.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = medn.diagnose.saliency(model, clips, target="happiness")
    >>> sensitivity(maps, model=model, clips=clips, n_samples=1).shape
    (1,)
    """
    if n_samples < 1 or min(frames_radius, flow_radius) < 0:
        got = f"{n_samples}, {frames_radius} and {flow_radius}"
        raise ValueError(f"n_samples must be at least 1 and no radius negative; got {got}")
    method, params = find_method(attribution.method, attribution.params)
    radius = {"frames": frames_radius / GREY_LEVELS, "flow": flow_radius}
    figures = []
    for score, inputs, fixed, maps in _clip_by_clip(attribution, model, clips):
        generator = torch.Generator().manual_seed(seed)
        noisy = tuple(
            value + radius[name] * (2 * torch.rand((n_samples, *value.shape[1:]), generator=generator) - 1).to(value)
            for name, value in zip(score.reads, inputs, strict=True)
        )
        others = tuple(value.expand(n_samples, *value.shape[1:]) for value in fixed)
        with torch.enable_grad():
            again = method.compute(score, noisy, others, **params)
        changes = [
            float((value.detach() - first).flatten(1).norm(dim=1).max() / first.norm())
            for value, first in zip(again, maps, strict=True)
            if first is not None
        ]
        figures.append(max(changes, default=np.nan))
    return np.where(np.isinf(figures), np.nan, figures)


def check_attribution(
    attribution: Attribution, *, model: MEDN, clips: Clips, n_draws: int = 3, seed: int = 0
) -> Attribution:
    """The same maps with infidelity, its control, sensitivity and, where the method claims it, completeness.

    The control is the method's map of a random model (Adebayo et al. 2018), the same architecture with all weights
    drawn at random: its infidelity to this model is what the method reaches without training.

    Parameters
    ----------
    attribution, model, clips, seed
        As in :func:`infidelity`; the seed is that of the random weights too.
    n_draws : int
        Random models, 0 for none; each costs the maps once more, where the sensitivity costs them four times.

    Returns
    -------
    Attribution
        ``sanity`` with the median over clips of ``infidelity`` and ``sensitivity``, at these functions' own radii, and
        its mean and range over ``random_draws`` random models: ``random_infidelity``, with ``_low`` and ``_high``.

    Raises
    ------
    ValueError
        If the attribution was not made of this model and these clips, or `n_draws` is negative.

    See Also
    --------
    infidelity, sensitivity, randomisation_check

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = medn.diagnose.saliency(model, clips, target="happiness")
    >>> sorted(check_attribution(maps, model=model, clips=clips, n_draws=1).sanity)[:3]
    ['infidelity', 'random_draws', 'random_infidelity']
    """
    if n_draws < 0:
        raise ValueError(f"n_draws must be at least 0; got {n_draws}")
    method, params = find_method(attribution.method, attribution.params)
    found = completeness(attribution) if method.complete else {}
    own = clips.select(attribution.table["clip_id"])
    how: dict[str, Any] = {"target": attribution.target, "method": attribution.method, "params": params}
    random = [attribute(random_model(model, seed=seed + draw), own, **how) for draw in range(n_draws)]
    of_all = _infidelity([attribution, *random], model, clips, patch=max(1, clips.size[0] // 4), seed=seed)
    measured = {"infidelity": of_all[0]}
    measured["sensitivity"] = sensitivity(attribution, model=model, clips=clips, seed=seed)
    found |= {name: float(np.nanmedian(values)) for name, values in measured.items() if not np.isnan(values).all()}
    if n_draws and "infidelity" in found:
        draws = np.nanmedian(of_all[1:], axis=1)
        found |= {"random_infidelity": float(draws.mean()), "random_draws": float(n_draws)}
        found |= {"random_infidelity_low": float(draws.min()), "random_infidelity_high": float(draws.max())}
    return attribution.with_sanity(found)


def _clip_by_clip(
    attribution: Attribution, model: MEDN, clips: Clips
) -> Iterator[tuple[TargetFunction, Tensors, Tensors, list[Tensor | None]]]:
    """For each clip the target's function, its inputs, those kept fixed, and the clip's maps in the inputs' layout."""
    clips = clips.select(attribution.table["clip_id"])
    check_clips(model.config, clips)
    score = TargetFunction(model, find_target(model, attribution.target), clips)
    scores = require(attribution.scores, otherwise="the attribution holds no scores, by which its model is recognised")
    with eval_mode(model):
        for row in range(len(clips)):
            inputs, fixed = score.tensors(clips, np.array([row]))
            if row == 0:
                with torch.no_grad():
                    now, then = float(score(*inputs, *fixed)[0]), float(scores[0])
                if abs(now - then) > 1e-3 * max(1.0, abs(then)):
                    changed = f"{attribution.target} of {clips.table['clip_id'][0]!r} was {then:.3f} and is {now:.3f}"
                    raise ValueError(f"the attribution was not made of this model and these clips: {changed}")
            pairs = zip(score.reads, inputs, strict=True)
            yield score, inputs, fixed, [_maps_of([attribution], row, name, like=value) for name, value in pairs]


def _maps_of(compared: Sequence[Attribution], row: int, name: str, *, like: Tensor) -> Tensor | None:
    """Maps of a clip's input in the layout of the input, (n_maps, ...); None where the method says nothing of it."""
    if getattr(compared[0], name) is None:
        return None
    arrays = np.stack([getattr(attribution, name)[row] for attribution in compared])
    return torch.tensor(arrays, device=like.device).movedim(-1, CHANNELS[name]).contiguous()


def _random_squares(value: Tensor, *, patch: int, n_samples: int, generator: torch.Generator) -> Tensor:
    """Random squares of an input (1, ..., h, w), another place for each sample: (n_samples, ..., h, w) bool."""
    h, w = value.shape[-2:]
    top = torch.randint(h - patch + 1, (n_samples, 1, 1), generator=generator)
    left = torch.randint(w - patch + 1, (n_samples, 1, 1), generator=generator)
    rows, columns = torch.arange(h).view(1, -1, 1), torch.arange(w).view(1, 1, -1)
    inside = (rows >= top) & (rows < top + patch) & (columns >= left) & (columns < left + patch)
    inside = inside.view(n_samples, *[1] * (value.ndim - 3), h, w)
    return inside.expand(n_samples, *value.shape[1:]).to(value.device)


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """How alike the maps of a model and of the same network with random weights are.

    Attributes
    ----------
    table : DataFrame
        One row a stage and input: ``stage`` (what was randomised, from the output down), ``input``, ``spearman`` and
        ``spearman_absolute`` (rank correlation over pixels of the signed and of the absolute map, mean over clips and
        draws), ``ssim`` (structural similarity of the absolute maps, NaN of courses in time), ``n_clips``, ``n_draws``.
    threshold : float
        From which rank correlation with all weights random a map is marked.
    attribution : Attribution
        The model's own map, with the outcome among its sanity figures.
    randomised : tuple of Attribution
        The maps with all weights random, one a draw: the control for :func:`planted_mass`.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> check = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    >>> check.table[["stage", "input", "n_clips"]].iloc[0].astype(str).tolist()
    ['all weights', 'frames', '1']
    """

    table: pd.DataFrame
    threshold: float
    attribution: Attribution
    randomised: tuple[Attribution, ...]

    @property
    def last(self) -> pd.DataFrame:
        """The rows of the network whose weights are all random."""
        return self.table[self.table["stage"] == "all weights"]

    @property
    def surviving(self) -> tuple[str, ...]:
        """The inputs whose map survives random weights and should not be read as what the model has learned."""
        alike = self.last[["spearman", "spearman_absolute"]].max(axis=1) >= self.threshold
        return tuple(self.last["input"][alike])

    def __repr__(self) -> str:
        parts = []
        for row in self.last.itertuples():
            word = "SURVIVES" if row.input in self.surviving else "changes with"
            ranks = f"rank correlation {row.spearman:.2f} signed, {row.spearman_absolute:.2f} absolute"
            structure = "" if np.isnan(row.ssim) else f"; SSIM {row.ssim:.2f}"
            found = f"{word} random weights ({ranks}{structure})"
            if np.isnan(row.spearman) and np.isnan(row.spearman_absolute):
                found = "is 0 everywhere, so it cannot be compared"
            parts.append(f"the map of the {row.input} {found}")
        n = f"{len(self.attribution)} clips, marked from {self.threshold:g}"
        return f"RandomisationCheck of {self.attribution.method} for {self.attribution.target}: {'; '.join(parts)}; {n}"


def randomisation_check(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
    randomise: Literal["all", "modules", "layers"] = "all",
    n_draws: int = 2,
    threshold: float = 0.5,
    seed: int = 0,
    progress: bool = False,
) -> RandomisationCheck:
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
    randomise : {"all", "modules", "layers"}
        All weights at once; or a cascade from the output down, module by module or layer by layer, whose last stage
        is all weights.
    n_draws : int
        Sets of random weights.
    threshold : float
        In (0, 1].
    seed : int
        Of the random weights.
    progress
        As in :func:`saliency`.

    Returns
    -------
    RandomisationCheck
        Rank correlations in [-1, 1], near 0 for maps that learning made. ``attribution`` holds the larger of the two
        as ``randomised_frames`` and ``randomised_flow``, and the threshold.

    Raises
    ------
    ValueError
        If the model has no such target, there is no such method, or an argument is out of its range.

    See Also
    --------
    bare_change : a map that must be marked.
    planted_mass

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
    >>> check = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    >>> bool((check.table["spearman_absolute"] <= 1).all())
    True
    """
    if randomise not in ("all", "modules", "layers"):
        raise ValueError(f"randomise must be all, modules or layers; got {randomise!r}")
    if n_draws < 1 or not 0 < threshold <= 1:
        raise ValueError(f"n_draws must be at least 1 and threshold in (0, 1]; got {n_draws} and {threshold}")
    how: dict[str, Any] = {"target": target, "method": method, "params": params, "progress": progress}
    own = attribute(model, clips, **how)
    rows, randomised = [], []
    for draw in range(n_draws):
        for stage, changed in _randomised(model, randomise, seed=seed + draw):
            other = attribute(changed, clips, **how)
            rows += [{"stage": stage, "input": name, **figures} for name, figures in _alike(own, other)]
        randomised.append(other)
    table = pd.DataFrame(rows).groupby(["stage", "input"], sort=False).mean().reset_index()
    table = table.assign(n_clips=len(own), n_draws=n_draws)
    last = table[table["stage"] == "all weights"].set_index("input")[["spearman", "spearman_absolute"]].max(axis=1)
    figures = {f"randomised_{name}": float(alike) for name, alike in last.items()}
    marked = own.with_sanity({**figures, "randomised_threshold": threshold})
    return RandomisationCheck(table, threshold, marked, tuple(randomised))


def _randomised(model: MEDN, randomise: str, *, seed: int) -> Iterator[tuple[str, MEDN]]:
    """The stages of one draw: what is random by now, and the network in which it is."""
    fresh = random_model(model, seed=seed)
    if randomise == "all":
        yield "all weights", fresh
        return
    depth = 1 if randomise == "modules" else 2
    state = fresh.state_dict()
    groups = list(dict.fromkeys(".".join(name.split(".")[:depth]) for name in state))[::-1]
    changed = copy.deepcopy(model)
    for place, group in enumerate(groups):
        inside = {name: value for name, value in state.items() if f"{name}.".startswith(f"{group}.")}
        changed.load_state_dict(inside, strict=False)
        yield "all weights" if place == len(groups) - 1 else f"{group} and above" if place else group, changed


def _alike(own: Attribution, other: Attribution) -> Iterator[tuple[str, dict[str, float]]]:
    """For each input the mean similarity over clips, over those that have one; NaN where none has."""
    summed: dict[str, tuple[int, ...]] = {"frames": (1, 4), "flow": (3,)}
    for name, axes in summed.items():
        pair = [getattr(own, name), getattr(other, name)]
        if pair[0] is None:
            continue
        if name == "frames":  # all others are measured against the onset: its slope takes back theirs
            pair = [values[:, 1:] for values in pair]
            axes = axes if find_method(own.method)[0].places else (2, 3, 4)
        signed = [values.sum(axis=axes, dtype=np.float64) for values in pair]
        absolute = [np.abs(values).sum(axis=axes, dtype=np.float64) for values in pair]
        measured = [
            (_spearman(*signed_pair), _spearman(*absolute_pair), _ssim(*absolute_pair))
            for signed_pair, absolute_pair in zip(zip(*signed, strict=True), zip(*absolute, strict=True), strict=True)
        ]
        columns = [[value for value in column if np.isfinite(value)] for column in zip(*measured, strict=True)]
        means = [float(np.mean(known)) if known else np.nan for known in columns]
        yield name, dict(zip(("spearman", "spearman_absolute", "ssim"), means, strict=True))


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures, each in shares of its largest value; NaN of courses and empty pictures."""
    from skimage.metrics import structural_similarity

    if a.ndim < 2 or not (a.any() and b.any()):
        return np.nan
    window = min(7, (min(a.shape) - 1) // 2 * 2 + 1)
    return float(structural_similarity(a / a.max(), b / b.max(), win_size=window, data_range=1.0))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two pictures; NaN where one is the same everywhere, of which scipy's `spearmanr` warns."""
    from scipy.stats import rankdata

    centred = [ranks - ranks.mean() for ranks in (rankdata(picture.ravel()) for picture in (a, b))]
    size = np.sqrt(np.square(centred[0]).sum() * np.square(centred[1]).sum())
    return float(centred[0] @ centred[1] / size) if size > 0 else np.nan
