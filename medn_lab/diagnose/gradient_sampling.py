"""Gradients at random points between stillness and the clip, each with a little noise."""

from __future__ import annotations

import torch

from medn_lab.diagnose.attribution_contract import Maker, attribute
from medn_lab.diagnose.attribution_explained import Explained, Tensors
from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips

GREY_LEVELS = 255


def gradient_shap(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    n_samples: int = 64,
    frames_noise: float = 0.5,
    flow_noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = False,
) -> Attribution:
    """Integrated gradients by sampling, with noise on the clip: maps that hang less on single pixels.

    Each sample adds noise to the clip, goes to a random point between the clip in which nothing happens and this one,
    and takes the gradient there. In expectation the values add up to the noisy clips' mean score minus the baseline's.
    The points are stratified, one in each of `n_samples` equal steps of the path: free points, as in the paper, left
    ten times as much unaccounted for. A score that switches suddenly, as a bottleneck makes it, needs hundreds of them.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    target : str
        As in :func:`saliency`.
    n_samples : int
        Random points a clip.
    frames_noise : float
        Standard deviation of the noise on frames, in grey levels of 255.
    flow_noise : float
        Standard deviation of the noise on the flow, in pixels.
    seed : int
        Of noise and points; no other random generator is touched.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        As :func:`integrated_gradients` gives it. Its completeness error holds what sampling and noise cost.

    Raises
    ------
    ValueError
        If the model has no such target, the clips do not fit it, there is no sample, or a noise is negative.

    See Also
    --------
    integrated_gradients : without chance.

    References
    ----------
    Lundberg and Lee: "A unified approach to interpreting model predictions", 2017. The background is one
    clip and not a set: this face with nothing happening, as for every other method here. Captum's ``GradientShap`` with
    that background has the same expectation.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = gradient_shap(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness", n_samples=4)
    >>> maps.frames.shape, maps.method
    ((1, 8, 64, 64, 3), 'gradient_shap')
    """
    params = {"n_samples": n_samples, "frames_noise": frames_noise, "flow_noise": flow_noise, "seed": seed}
    found = attribute(
        model, clips, target=target, method="gradient_shap", params=params, batch_size=batch_size, progress=progress
    )
    return found.with_sanity(claimed_completeness(found))


def _gradient_shap(n_samples: int, frames_noise: float, flow_noise: float, seed: int) -> Maker:
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1; got {n_samples}")
    if min(frames_noise, flow_noise) < 0:
        raise ValueError(f"noise must not be negative; got {frames_noise} grey levels and {flow_noise} px")
    spread = {"frames": frames_noise / GREY_LEVELS, "flow": flow_noise}

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        # Clip by clip with the same draws, so that a clip's map does not hang on the clips beside it.
        made = [
            _of_one_clip(
                explained,
                tuple(value[row : row + 1] for value in inputs),
                tuple(value[row : row + 1] for value in beside),
                noise=[spread[name] for name in explained.reads],
                n_samples=n_samples,
                seed=seed,
            )
            for row in range(len(inputs[0]))
        ]
        return tuple(torch.cat(parts) for parts in zip(*made, strict=True))

    return make


def _of_one_clip(
    explained: Explained, inputs: Tensors, beside: Tensors, *, noise: list[float], n_samples: int, seed: int
) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    # One random point in each of n equal steps of the path: where a score switches suddenly, free points miss it.
    along = (torch.arange(n_samples) + torch.rand(n_samples, generator=generator)) / n_samples
    points, departures = [], []
    for value, base, deviation in zip(inputs, explained.baselines(inputs), noise, strict=True):
        drawn = torch.randn((n_samples, *value.shape[1:]), generator=generator).to(value.device)
        departures.append(value + deviation * drawn - base)
        share = along.to(value.device).view(-1, *[1] * (value.ndim - 1))
        points.append((base + share * departures[-1]).requires_grad_())
    others = tuple(value.expand(n_samples, *value.shape[1:]) for value in beside)
    slopes = torch.autograd.grad(explained(*points, *others).sum(), points)
    return tuple((step * slope).mean(dim=0, keepdim=True) for step, slope in zip(departures, slopes, strict=True))


MAKERS = {"gradient_shap": _gradient_shap}
