"""Gradients: the slope of a target at the clip, its integral from a clip without any change, and no gradient at all."""

from __future__ import annotations

import torch

from medn_lab.diagnose.attribution_contract import Maker, attribute
from medn_lab.diagnose.attribution_explained import Explained, Tensors
from medn_lab.diagnose.completeness import claimed_completeness
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips

ROWS_AT_ONCE = 64
"""Inputs a pass: the steps of a path are run together."""


def saliency(model: MEDN, clips: Clips, *, target: str, batch_size: int = 16, progress: bool = False) -> Attribution:
    """The signed slope of a target at each input value.

    How much the target would rise if a value rose by one unit while all others stayed. It says what the model is
    touchy about, not what made the score: the values add up to nothing, and multiplied with a change they are right for
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
        the target does not see.

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
    return attribute(
        model, clips, target=target, method="saliency", params={}, batch_size=batch_size, progress=progress
    )


def integrated_gradients(
    model: MEDN, clips: Clips, *, target: str, n_steps: int = 64, batch_size: int = 16, progress: bool = False
) -> Attribution:
    """What each input value did for a target, from a clip in which nothing happens to the clip as it is.

    The baseline is the same face in which nothing happens: every frame is the onset, the flow is zero. A positive value
    spoke for the target, a negative one against it. The values of a clip add up to the difference between its score and
    the baseline's; how nearly they do is the *completeness error*, without which a map should not be shown. A score
    that switches suddenly on the way from baseline to clip, as a bottleneck makes it, needs many steps: on the shipped
    model 64 left a tenth of the differences unaccounted for, 128 a hundredth.

    The baseline's score is what the score tends to as the clip fades away. In perfect stillness itself all positions of
    the face tie, and what the emotion branch then keeps is arbitrary.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    target : str
        As in :func:`saliency`.
    n_steps : int
        Points on the path from baseline to clip (Gauss-Legendre).
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)`` in the target's unit (logits), signed; None for an input
        that the target does not see (an AU sees no frames). ``sanity["completeness_error"]`` is the share of the
        differences, summed over clips, that is not accounted for, and ``completeness_gap_95`` the 95th percentile of a
        clip's gap in the target's unit.

    Raises
    ------
    ValueError
        If the model has no such target, the clips do not fit it, or there is no step.

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
    params = {"n_steps": n_steps}
    found = attribute(
        model,
        clips,
        target=target,
        method="integrated_gradients",
        params=params,
        batch_size=batch_size,
        progress=progress,
    )
    return found.with_sanity(claimed_completeness(found))


def bare_change(model: MEDN, clips: Clips, *, target: str, batch_size: int = 16, progress: bool = False) -> Attribution:
    """What changed, whatever the model: each value's departure from the clip in which nothing happens.

    The control beside every other method. It looks at no weight, so that a randomisation check must mark it; a map that
    falls on a planted region no more than this one shows the movement itself and not what the model made of it.

    Parameters
    ----------
    model : MEDN
        Only decides which inputs the target sees.
    clips : Clips
    target : str
        As in :func:`saliency`.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

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
    >>> import numpy as np
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = bare_change(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> bool(np.allclose(maps.flow, clips.flow, atol=1e-5)), maps.frames.shape
    (True, (1, 8, 64, 64, 3))
    """
    return attribute(
        model, clips, target=target, method="bare_change", params={}, batch_size=batch_size, progress=progress
    )


def _saliency() -> Maker:
    from captum.attr import Saliency

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        inputs = tuple(value.detach().clone().requires_grad_() for value in inputs)
        return Saliency(explained).attribute(inputs, abs=False, additional_forward_args=beside or None)

    return make


def _integrated_gradients(n_steps: int) -> Maker:
    from captum.attr import IntegratedGradients

    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1; got {n_steps}")

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        return IntegratedGradients(explained).attribute(
            inputs,
            baselines=explained.baselines(inputs),
            additional_forward_args=beside or None,
            n_steps=n_steps,
            internal_batch_size=max(ROWS_AT_ONCE, len(inputs[0])),
        )

    return make


def _bare_change() -> Maker:
    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        with torch.no_grad():
            still = explained.baselines(inputs)
            return tuple(value - base for value, base in zip(inputs, still, strict=True))

    return make


MAKERS = {
    "saliency": _saliency,
    "integrated_gradients": _integrated_gradients,
    "bare_change": _bare_change,
}
