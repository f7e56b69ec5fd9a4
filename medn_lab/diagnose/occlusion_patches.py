"""Occlusion: what a target loses when nothing happens in one patch of the face."""

from __future__ import annotations

from medn_lab.diagnose.attribution_contract import Maker, attribute
from medn_lab.diagnose.attribution_explained import Explained, Tensors
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips

ROWS_AT_ONCE = 64


def occlusion(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    patch: int = 8,
    stride: int | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> Attribution:
    """What a target loses when one patch of one input is stilled, patch by patch.

    A patch of the frames is stilled by the onset's patch in every frame, a patch of the flow by zeros; the other input
    stays. No gradient is asked, so that nothing can be hidden from it; but two patches that say the same stand in for
    each other, and neither is missed.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    target : str
        As in :func:`saliency`.
    patch : int
        Side of the patch in pixels, at most the crop's.
    stride : int or None
        Pixels from a patch to the next; `patch` where None, so that patches do not overlap. Where they do, a pixel has
        the mean of its patches.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)`` in the target's unit (logits), signed: positive where the
        target loses. What a patch loses is spread evenly over its pixels, colours and the frames after the onset, so
        that without overlap the sum over a patch is its loss. The sum over all is not the score.

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
    params = {"patch": patch, "stride": stride}
    return attribute(
        model, clips, target=target, method="occlusion", params=params, batch_size=batch_size, progress=progress
    )


def _occlusion(patch: int, stride: int | None) -> Maker:
    from captum.attr import Occlusion

    stride = patch if stride is None else stride
    if not 1 <= stride <= patch:
        raise ValueError(f"patch is {patch} px and stride {stride}; 1 <= stride <= patch, or pixels would be left out")

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        side = inputs[0].shape[-1]
        if patch > side:
            raise ValueError(f"a patch of {patch} px does not fit into a crop of {side} px")
        windows = {"frames": (*inputs[0].shape[1:3], patch, patch), "flow": (inputs[-1].shape[1], patch, patch)}
        steps = {"frames": (*inputs[0].shape[1:3], stride, stride), "flow": (inputs[-1].shape[1], stride, stride)}
        found = Occlusion(explained).attribute(
            inputs,
            sliding_window_shapes=tuple(windows[name] for name in explained.reads),
            strides=tuple(steps[name] for name in explained.reads),
            baselines=explained.baselines(inputs),
            additional_forward_args=beside or None,
            perturbations_per_eval=max(1, ROWS_AT_ONCE // len(inputs[0])),
        )
        made = []
        for name, value in zip(explained.reads, found, strict=True):
            if name == "flow":
                made.append(value / (value.shape[1] * patch**2))
            else:
                value = value / (3 * (value.shape[1] - 1) * patch**2)
                value[:, 0] = 0  # the onset stands in for the others and is itself never changed
                made.append(value)
        return tuple(made)

    return make


MAKERS = {"occlusion": _occlusion}
