"""How far a map can be believed without knowing the truth: does it foretell what the model does, and hold still."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medn_lab.diagnose.attribution_contract import METHODS, maker_of
from medn_lab.diagnose.attribution_explained import Explained, Tensors, as_tensor
from medn_lab.diagnose.attribution_rest import at_rest
from medn_lab.diagnose.attribution_target import parse_target
from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.model import MEDN, check_clips
from medn_lab.records import Attribution, Clips

GREY_LEVELS = 255


def infidelity(
    attribution: Attribution,
    *,
    model: MEDN,
    clips: Clips,
    patch: int | None = None,
    n_samples: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """How badly a map foretells what the target loses when a random square of the face is stilled.

    In each sample a square of each input is stilled at a random place of its own: the frames' by the onset, the flow's
    by zeros. The map foretells the sum of its values there (slopes are multiplied with what was taken away). The
    figure is what is left of the losses' mean square after the best scaling of the map: 0 foretells them exactly, 1 not
    at all. So maps without a unit can be compared with those that have one. Where a score is so sure that no single
    square is missed, or two squares stand in for each other, no map that adds up can foretell the losses: the figure
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
    explained, clips = _of_same(attribution, model, clips)
    side = clips.size[0]
    patch = max(1, side // 4) if patch is None else patch
    if not 1 <= patch <= side or n_samples < 2:
        raise ValueError(f"patch must be from 1 to {side} px and n_samples at least 2; got {patch} and {n_samples}")
    slopes = METHODS[attribution.method].slopes
    figures = []
    with at_rest(model), torch.no_grad():
        for row in range(len(clips)):
            inputs, beside = explained.tensors(clips, np.array([row]))
            still = explained.baselines(inputs)
            masks = squares(explained.reads, inputs, patch=patch, n_samples=n_samples, seed=seed)
            foretold = torch.zeros(n_samples, device=inputs[0].device)
            stilled = []
            for name, value, base, mask in zip(explained.reads, inputs, still, masks, strict=True):
                array = getattr(attribution, name)
                if array is None:  # the method says nothing about this input, which stays as it is
                    stilled.append(value.expand(n_samples, *value.shape[1:]))
                    continue
                stilled.append(torch.where(mask, base, value))
                spoke = as_tensor(name, array[row : row + 1]).to(value.device)
                spoke = spoke * (value - base) if slopes else spoke
                foretold += (spoke * mask).flatten(1).sum(dim=1)
            others = tuple(value.expand(n_samples, *value.shape[1:]) for value in beside)
            lost = explained(*inputs, *beside) - explained(*stilled, *others)
            figures.append(_unexplained(foretold.double(), lost.double()))
    return np.array(figures)


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
    attribution : Attribution
        Its ``params`` say how it is made again.
    model : MEDN
        The one that it was made of.
    clips : Clips
        Hold the attribution's clips.
    frames_radius : float
        In grey levels of 255.
    flow_radius : float
        In pixels.
    n_samples : int
        Noisy copies of each clip, at least 1; each costs a run of the method.
    seed : int

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
        raise ValueError(
            f"n_samples must be at least 1 and no radius negative; got {n_samples}, {frames_radius} and {flow_radius}"
        )
    explained, clips = _of_same(attribution, model, clips)
    make = maker_of(attribution.method, attribution.params)
    radius = {"frames": frames_radius / GREY_LEVELS, "flow": flow_radius}
    figures = []
    with at_rest(model):
        for row in range(len(clips)):
            inputs, beside = explained.tensors(clips, np.array([row]))
            generator = torch.Generator().manual_seed(seed)
            noisy = tuple(
                value
                + radius[name] * (2 * torch.rand((n_samples, *value.shape[1:]), generator=generator) - 1).to(value)
                for name, value in zip(explained.reads, inputs, strict=True)
            )
            others = tuple(value.expand(n_samples, *value.shape[1:]) for value in beside)
            with torch.enable_grad():
                again = make(explained, noisy, others)
            changes = []
            for name, value in zip(explained.reads, again, strict=True):
                array = getattr(attribution, name)
                if array is not None:
                    first = as_tensor(name, array[row : row + 1]).to(value.device).flatten(1)
                    changes.append((value.detach().flatten(1) - first).norm(dim=1).max() / first.norm())
            figures.append(max(float(change) for change in changes) if changes else np.nan)
    return np.where(np.isinf(figures), np.nan, figures)


def check_attribution(attribution: Attribution, *, model: MEDN, clips: Clips, seed: int = 0) -> Attribution:
    """The same maps with infidelity, sensitivity and, where the method claims it, completeness beside them.

    Parameters
    ----------
    attribution : Attribution
    model : MEDN
        The one that it was made of.
    clips : Clips
        Hold the attribution's clips.
    seed : int

    Returns
    -------
    Attribution
        ``sanity`` with the median over clips of ``infidelity`` and ``sensitivity``, at these functions' own radii.

    Raises
    ------
    ValueError
        If the attribution was not made of this model and these clips.

    See Also
    --------
    infidelity, sensitivity, randomisation_check

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = check_attribution(medn.diagnose.saliency(model, clips, target="happiness"), model=model, clips=clips)
    >>> sorted(maps.sanity)
    ['infidelity', 'sensitivity']
    """
    found = claimed_completeness(attribution)
    for name, measure in (("infidelity", infidelity), ("sensitivity", sensitivity)):
        values = measure(attribution, model=model, clips=clips, seed=seed)
        if not np.isnan(values).all():
            found[name] = float(np.nanmedian(values))
    return attribution.with_sanity(found)


def squares(names: tuple[str, ...], inputs: Tensors, *, patch: int, n_samples: int, seed: int) -> tuple[Tensor, ...]:
    """Random squares of one clip's inputs, (n_samples, ..., h, w) bool, another place for each sample and input."""
    generator = torch.Generator().manual_seed(seed)
    masks = []
    for _, value in zip(names, inputs, strict=True):
        h, w = value.shape[-2:]
        top = torch.randint(h - patch + 1, (n_samples, 1, 1), generator=generator)
        left = torch.randint(w - patch + 1, (n_samples, 1, 1), generator=generator)
        rows, columns = torch.arange(h).view(1, -1, 1), torch.arange(w).view(1, 1, -1)
        inside = (rows >= top) & (rows < top + patch) & (columns >= left) & (columns < left + patch)
        between = [1] * (value.ndim - 3)
        masks.append(inside.view(n_samples, *between, h, w).expand(n_samples, *value.shape[1:]).to(value.device))
    return tuple(masks)


def _unexplained(foretold: Tensor, lost: Tensor) -> float:
    """The share of the losses' sum of squares that the best multiple of what was foretold leaves."""
    whole = float(lost.square().sum())
    if whole == 0:
        return np.nan
    size = float(foretold.square().sum())
    if size == 0:
        return 1.0
    scale = float((foretold * lost).sum()) / size
    return float((lost - scale * foretold).square().sum()) / whole


def _of_same(attribution: Attribution, model: MEDN, clips: Clips) -> tuple[Explained, Clips]:
    """The target as a function and the attribution's own clips, after checking that both belong together."""
    clips = clips.select(attribution.table["clip_id"])
    check_clips(model.config, clips)
    explained = Explained(model, parse_target(model, attribution.target), clips)
    if attribution.scores is None:
        raise ValueError("the attribution holds no scores, so it cannot be told which model it was made of")
    with at_rest(model), torch.no_grad():
        inputs, beside = explained.tensors(clips, np.array([0]))
        now = float(explained(*inputs, *beside)[0])
    then = float(attribution.scores[0])
    if abs(now - then) > 1e-3 * max(1.0, abs(then)):
        raise ValueError(
            f"the attribution was not made of this model and these clips: {attribution.target} of"
            f" {attribution.table['clip_id'].iloc[0]!r} was {then:.3f} and is {now:.3f}"
        )
    return explained, clips
