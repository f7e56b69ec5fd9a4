"""The attribution methods: each is one function of tensors, registered by :func:`attribution_method`.

Add a function at the end: copy `bare_change`, whose docstring refers to `saliency`. It is then a method for
`compare_attributions`, `randomisation_check`, `check_attribution`, `Attributor` and the widget.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from einops import repeat
from torch import Tensor
from torch.nn import functional as F

from medn_lab.diagnose.attribution import TargetFunction, Tensors, attribution_method

# Inputs a forward pass: steps of a path, or patches, are run together.
ROWS_AT_ONCE = 64


def _of_captum(method: str, score: TargetFunction, inputs: Tensor | Tensors, fixed: Tensors, **options: Any) -> Any:
    """The maps of captum's method of this name."""
    import captum.attr

    return getattr(captum.attr, method)(score).attribute(inputs, additional_forward_args=fixed or None, **options)


@attribution_method(slopes=True)
def saliency(score: TargetFunction, inputs: Tensors, fixed: Tensors) -> Tensors:
    """The signed slope of a target at each input value.

    How much the target would rise if a value rose by one unit while all others stayed. It says what the model is
    sensitive to, not what made the score: the values add up to nothing, and multiplied with a change they are right for
    small changes alone.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    target : str
        An emotion, an AU, ``happiness - repression``, ``happiness from motion``, ``gate`` or ``norm of motion``; see
        :func:`attribution_targets`.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` per unit of [0, 1], ``flow (n, h, w, c)`` per pixel, signed; None for an input that
        the target does not read.

    Raises
    ------
    ValueError
        If the model has no such target, or the clips do not fit it.

    See Also
    --------
    integrated_gradients : adds up to the score.
    medn_lab.view.plot_attribution

    References
    ----------
    Simonyan, Vedaldi, Zisserman: "Deep inside convolutional networks", 2014; computed by captum, with its sign.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = saliency(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> maps.frames.shape, maps.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    inputs = tuple(value.detach().clone().requires_grad_() for value in inputs)
    return _of_captum("Saliency", score, inputs, fixed, abs=False)


@attribution_method(complete=True)
def integrated_gradients(score: TargetFunction, inputs: Tensors, fixed: Tensors, *, n_steps: int = 64) -> Tensors:
    """The effect of each input value on a target, from a clip in which nothing happens to the clip as it is.

    The baseline is the same face in which nothing happens: every frame is the onset, the flow is zero. A positive value
    raises the target, a negative one lowers it. The values of a clip add up to the difference between its score
    and the baseline's; how nearly they do is the *completeness error*, without which a map should not be shown. A score
    that switches suddenly on the way from baseline to clip, as a bottleneck makes it, needs many steps: on the shipped
    model 64 left a tenth of the differences unaccounted for, 128 a hundredth.

    The baseline's score is what the score tends to as the clip fades away. In perfect stillness itself all positions of
    the face tie, and what the emotion branch then keeps is arbitrary.

    Parameters
    ----------
    model, clips, target, batch_size, progress
        As in :func:`saliency`.
    n_steps : int
        Points on the path from baseline to clip (Gauss-Legendre).

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)`` in the target's unit (logits), signed; None for an input
        that the target does not read (an AU reads no frames). ``sanity["completeness_error"]`` is the share of the
        differences, summed over clips, that is not accounted for, and ``completeness_gap_95`` the 95th percentile of a
        clip's gap in the target's unit.

    Raises
    ------
    ValueError
        If the model has no such target, or the clips do not fit it.

    See Also
    --------
    attribute_pair : the same for two clips that look alike.
    check_attribution, randomisation_check, planted_mass : whether to believe the map.

    References
    ----------
    Sundararajan, Taly, Yan: "Axiomatic attribution for deep networks", 2017; computed by captum.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> maps = integrated_gradients(model, clips, target="happiness", n_steps=8)
    >>> maps.frames.shape, sorted(maps.sanity)
    ((1, 8, 64, 64, 3), ['completeness_error', 'completeness_gap_95'])
    """
    how = {"n_steps": n_steps, "internal_batch_size": max(ROWS_AT_ONCE, len(inputs[0]))}
    return _of_captum("IntegratedGradients", score, inputs, fixed, baselines=score.baselines(inputs), **how)


@attribution_method()
def grad_cam(score: TargetFunction, inputs: Tensors, fixed: Tensors) -> Tensors:
    """The contribution of the last spatial features of each branch to a target, by place, signed and coarse.

    For the flow these are the convolutional stem's grid (8 x 8 at 64 px), enlarged smoothly; for the frames SEVit's
    tokens after its last block, each put back on its place, summed over the keep rates. A token is a place with its
    whole course in time, so the map is the same in every frame; integrated gradients have a map for each frame. A place
    that no keep rate kept has exactly 0. There is no rectifier: what lowers the target is negative. The
    gradient of every place is kept, where the first Grad-CAM weighs a channel by its gradient's mean over all places:
    that is right for a network that averages its grid before it decides, and these branches do not.

    Parameters
    ----------
    model, clips, target, batch_size, progress
        As in :func:`saliency`. A branch feature's own norm works too.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)``: the value of a token or a cell spread evenly over its
        pixels and frames and colours, or components, so that sums over them give it back. The maps do not add up to
        the score.

    Raises
    ------
    ValueError
        If the model has no such target, or the clips do not fit it.

    See Also
    --------
    kept_tokens : which tokens there were.
    integrated_gradients : finer, and adds up.

    References
    ----------
    Selvaraju et al.: "Grad-CAM", ICCV 2017. Draelos and Carin: "Use HiResCAM instead of Grad-CAM", 2020. Captum's
    ``LayerGradientXActivation``, summed over channels, agrees on the grid and on tokens; it knows nothing of places.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = grad_cam(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> maps.frames.shape, maps.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    inputs = tuple(value.detach().clone().requires_grad_() for value in inputs)
    layers = {"flow": ["motion_branch.stem"], "frames": ["emotion_branch.norm", "emotion_branch"]}
    parts, branches, made = list[Any](), list[Any](), dict[str, Tensor]()

    def keep(_: object, __: object, out: Any) -> None:
        if torch.is_grad_enabled():  # a contribution also runs the model without its branch, which is not meant
            (parts if isinstance(out, Tensor) else branches).append(out)

    with ExitStack() as hooks:
        for name in [layer for read in score.reads for layer in layers[read]]:
            hooks.enter_context(score.model.get_submodule(name).register_forward_hook(keep))
        value = score(*inputs, *fixed)
    slopes = torch.autograd.grad(value.sum(), parts, allow_unused=True, materialize_grads=True)
    products = [part.detach() * slope for part, slope in zip(parts, slopes, strict=True)]
    for name, given in zip(score.reads, inputs, strict=True):
        if name == "flow":
            cells = next(one for one in products if one.ndim == 4).sum(dim=1, keepdim=True)
            enlarged = F.interpolate(cells, size=given.shape[2:], mode="bilinear", align_corners=False)
            made[name] = (enlarged * cells[0].numel() / given[0].numel()).expand_as(given)
            continue
        (b, t, _, h, w), patch = given.shape, score.model.config.patch
        places = {scale.shape[1]: scale for scale in branches[0].kept}
        on_grid = given.new_zeros(b, (h // patch) * (w // patch))
        for tokens in [one for one in products if one.ndim == 3]:
            on_grid.scatter_add_(1, places[tokens.shape[1]], tokens.sum(dim=2))
        spread = repeat(on_grid, "b (gh gw) -> b t c (gh p) (gw q)", gh=h // patch, t=t, c=3, p=patch, q=patch)
        made[name] = spread / (3 * t * patch**2)
    return tuple(made[name] for name in score.reads)


@attribution_method()
def occlusion(score: TargetFunction, inputs: Tensors, fixed: Tensors, *, patch: int = 8) -> Tensors:
    """What a target loses when one patch of one input is stilled, patch by patch.

    A patch of the frames is stilled by the onset's patch in every frame, a patch of the flow by zeros; the other input
    stays. No gradient is used. Two patches with the same information replace each other, and neither shows a
    loss.

    Parameters
    ----------
    model, clips, target, batch_size, progress
        As in :func:`saliency`.
    patch : int
        Side of the patch in pixels, at most the crop's. Patches do not overlap.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)`` in the target's unit (logits), signed: positive where the
        target loses. What a patch loses is spread evenly over its pixels, colours and the frames after the onset, so
        that the sum over a patch is its loss. The sum over all is not the score.

    Raises
    ------
    ValueError
        If the model has no such target, the clips do not fit it, or the patch does not fit into the crop.

    See Also
    --------
    frame_ablation : the same in time.

    References
    ----------
    Zeiler and Fergus: "Visualizing and understanding convolutional networks", 2014; computed by captum.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = occlusion(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness", patch=32)
    >>> maps.frames.shape, maps.params["patch"]
    ((1, 8, 64, 64, 3), 32)
    """
    side = inputs[0].shape[-1]
    if not 1 <= patch <= side:
        raise ValueError(f"a patch of {patch} px does not fit into a crop of {side} px")
    windows = tuple((*value.shape[1:-2], patch, patch) for value in inputs)
    how = {"sliding_window_shapes": windows, "strides": windows, "baselines": score.baselines(inputs)}
    at_once = max(1, ROWS_AT_ONCE // len(inputs[0]))
    losses = _of_captum("Occlusion", score, inputs, fixed, perturbations_per_eval=at_once, **how)
    for name, value in zip(score.reads, losses, strict=True):
        if name == "frames":
            value[:, 0] = 0  # the onset stands in for the others and is itself never changed
        value /= patch**2 * (3 * (value.shape[1] - 1) if name == "frames" else value.shape[1])
    return losses


@attribution_method(reads=("frames",), places=False)
def frame_ablation(score: TargetFunction, inputs: Tensors, fixed: Tensors) -> Tensors:
    """What a target loses when one frame is replaced by the onset, frame by frame: the cheap map in time.

    The flow has no time and is left as it is. A model that reads the apex from the flow may lose little without the
    apex frame.

    Parameters
    ----------
    model, clips, batch_size, progress
        As in :func:`saliency`; clips with frames.
    target : str
        One that reads frames: an emotion, ``happiness - repression``, ``happiness from emotion``, ``gate``, ``norm of
        emotion``.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` in the target's unit (logits), signed: what a frame loses is spread evenly over its
        pixels, so that ``course (n, t)`` is the loss; 0 for the onset. ``flow`` is None.

    Raises
    ------
    ValueError
        If the model has no such target, it reads no frames, or the clips do not fit the model.

    See Also
    --------
    occlusion : the same in space.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = frame_ablation(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> bool(abs(maps.frames[0, 0]).max() < 1e-6 < abs(maps.frames[0, 4]).max())
    True
    """
    frames, *others = inputs  # frames come first
    # One feature a frame; the other inputs stay as they are.
    moments = torch.arange(frames.shape[1], device=frames.device).view(1, -1, 1, 1, 1).expand(1, *frames.shape[1:])
    how = {"baselines": score.baselines(inputs)[0], "feature_mask": moments, "perturbations_per_eval": frames.shape[1]}
    losses = _of_captum("FeatureAblation", score, frames, (*others, *fixed), **how)
    return (losses / frames[0, 0].numel(), *(torch.zeros_like(value) for value in others))


@attribution_method()
def bare_change(score: TargetFunction, inputs: Tensors, fixed: Tensors) -> Tensors:
    """What changed, whatever the model: each value's departure from the clip in which nothing happens.

    The control for every other method. It uses no weight, so that a randomisation check must mark it; a map that
    falls on a planted region no more than this one shows the movement itself and not what the model made of it.

    Parameters
    ----------
    model, clips, target, batch_size, progress
        As in :func:`saliency`; the model only decides which inputs the target reads.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)``: each frame minus the onset, in [-1, 1]. ``flow (n, h, w, c)``: the flow, in pixels.

    Raises
    ------
    ValueError
        If the model has no such target, or the clips do not fit it.

    See Also
    --------
    randomisation_check, planted_mass

    Examples
    --------
    >>> import numpy as np, medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = bare_change(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> bool(np.allclose(maps.flow, clips.flow, atol=1e-5)), maps.frames.shape
    (True, (1, 8, 64, 64, 3))
    """
    return tuple(value - base for value, base in zip(inputs, score.baselines(inputs), strict=True))
