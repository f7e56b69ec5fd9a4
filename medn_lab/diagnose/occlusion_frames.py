"""Frame ablation: what a target loses when one moment of the clip is taken out."""

from __future__ import annotations

import torch

from medn_lab.diagnose.attribution_contract import Maker, attribute
from medn_lab.diagnose.attribution_explained import Explained, Tensors
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips


def frame_ablation(
    model: MEDN, clips: Clips, *, target: str, batch_size: int = 16, progress: bool = False
) -> Attribution:
    """What a target loses when one frame is replaced by the onset, frame by frame.

    The cheap map in time. The flow has no time and is left as it is; a model that was shown the apex by the flow may
    not miss it in the frames.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
        With frames.
    target : str
        One that sees frames: an emotion, ``happiness - repression``, ``happiness from emotion``, ``gate``, ``norm of
        emotion``.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` in the target's unit (logits), signed: what a frame loses is spread evenly over its
        pixels, so that ``course (n, t)`` is the loss; 0 for the onset. ``flow`` is None.

    Raises
    ------
    ValueError
        If the model has no such target, it sees no frames, or the clips do not fit the model.

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
    return attribute(
        model,
        clips,
        target=target,
        method="frame_ablation",
        params={},
        batch_size=batch_size,
        progress=progress,
    )


def _frame_ablation() -> Maker:
    from captum.attr import FeatureAblation

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        place = explained.reads.index("frames")
        frames = inputs[place]
        # One feature a frame; any other input is beside, as it is.
        moments = torch.arange(frames.shape[1], device=frames.device).view(1, -1, 1, 1, 1).expand(1, *frames.shape[1:])
        others = tuple(value for number, value in enumerate(inputs) if number != place)

        def alone(given: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            whole = list(rest[: len(others)])
            whole.insert(place, given)
            return explained(*whole, *rest[len(others) :])

        loss = FeatureAblation(alone).attribute(
            frames,
            baselines=explained.baselines(inputs)[place],
            feature_mask=moments,
            additional_forward_args=(*others, *beside) or None,
            perturbations_per_eval=frames.shape[1],
        )
        made = [torch.zeros_like(value) for value in inputs]
        made[place] = loss / frames[0, 0].numel()
        return tuple(made)

    return make


MAKERS = {"frame_ablation": _frame_ablation}
