"""Grad-CAM on the motion branch's convolutional grid and on the emotion branch's kept tokens, put back in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from einops import repeat
from torch import Tensor
from torch.nn import functional as F

from medn_lab.diagnose.attribution_contract import Maker, attribute
from medn_lab.diagnose.attribution_explained import Explained, Tensors
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips, require


def grad_cam(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    weights: Literal["each", "mean"] = "each",
    batch_size: int = 16,
    progress: bool = False,
) -> Attribution:
    """Where the last spatial features that each branch has speak for a target, signed and coarse.

    For the flow these are the convolutional stem's grid (8 x 8 at 64 px), enlarged smoothly; for the frames SEVit's
    tokens after its last block, each put back on its place, summed over the keep rates. A token is a place with its
    whole course in time, so the map is the same in every frame; integrated gradients have a map for each frame. A place
    that no keep rate kept has exactly 0. There is no rectifier: what speaks against the target is negative.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in; no hook stays behind.
    clips : Clips
    target : str
        As in :func:`saliency`. A branch feature's own norm works too.
    weights : {"each", "mean"}
        ``each`` keeps the gradient of every place (HiResCAM). ``mean`` weighs a channel by its gradient's mean over
        all places, as the first Grad-CAM does: right for a network that averages its grid before it decides. These
        branches do not; of a network that reads a single patch the mean shows that patch and all others.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` and ``flow (n, h, w, c)``: the value of a token or a cell spread evenly over its
        pixels and frames and colours, or components, so that sums over them give it back. The maps do not add up to
        the score.

    Raises
    ------
    ValueError
        If the model has no such target, the clips do not fit it, or `weights` is another word.

    See Also
    --------
    kept_tokens : which tokens there were to speak.
    integrated_gradients : finer, and adds up.

    References
    ----------
    Selvaraju et al.: "Grad-CAM", ICCV 2017. Draelos and Carin: "Use HiResCAM instead of Grad-CAM", 2020. Captum's
    ``LayerGradCam`` agrees on the grid; on tokens it would average over the wrong axis, and knows nothing of places.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = grad_cam(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> maps.frames.shape, maps.flow.shape
    ((1, 8, 64, 64, 3), (1, 64, 64, 2))
    """
    return attribute(
        model,
        clips,
        target=target,
        method="grad_cam",
        params={"weights": weights},
        batch_size=batch_size,
        progress=progress,
    )


def _grad_cam(weights: str) -> Maker:
    if weights not in ("each", "mean"):
        raise ValueError(f"weights must be each or mean; got {weights!r}")

    def make(explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        inputs = tuple(value.detach().clone().requires_grad_() for value in inputs)
        with _layers(explained) as seen:
            value = explained(*inputs, *beside)
        layers = [*seen["grid"], *seen["tokens"]]
        slopes = torch.autograd.grad(value.sum(), layers, allow_unused=True, materialize_grads=True)
        pairs = [(layer.detach(), slope) for layer, slope in zip(layers, slopes, strict=True)]
        first = len(seen["grid"])
        grids = [_weighted(layer.movedim(1, -1), slope.movedim(1, -1), weights) for layer, slope in pairs[:first]]
        tokens = [_weighted(layer, slope, weights) for layer, slope in pairs[first:]]
        made = {}
        for name, given in zip(explained.reads, inputs, strict=True):
            if name == "flow":
                made[name] = _over_flow(grids[0], given)
            else:
                made[name] = _over_frames(tokens, seen["kept"][0], given, explained.model.config.patch)
        return tuple(made[name] for name in explained.reads)

    return make


def _weighted(layer: Tensor, slope: Tensor, weights: str) -> Tensor:
    """Channels (b, ..., d) and their gradients to one signed value a place, (b, ...)."""
    if weights == "mean":
        slope = slope.mean(dim=tuple(range(1, slope.ndim - 1)), keepdim=True)
    return (layer * slope).sum(dim=-1)


def _over_flow(cam: Tensor, flow: Tensor) -> Tensor:
    """A grid (b, gh, gw) over (b, c, h, w), every component with the same share."""
    cells = flow[0, 0].numel() / cam[0].numel()
    enlarged = F.interpolate(cam.unsqueeze(1), size=flow.shape[2:], mode="bilinear", align_corners=False)
    return (enlarged / (cells * flow.shape[1])).expand_as(flow)


def _over_frames(cams: list[Tensor], kept: tuple[Tensor, ...], frames: Tensor, patch: int) -> Tensor:
    """Tokens (b, k) of each keep rate at their places (b, k), over (b, t, 3, h, w)."""
    b, t, _, h, w = frames.shape
    places = {scale.shape[1]: scale for scale in kept}
    on_grid = frames.new_zeros(b, (h // patch) * (w // patch))
    for cam in cams:
        on_grid.scatter_add_(1, places[cam.shape[1]], cam)
    spread = repeat(on_grid, "b (gh gw) -> b t c (gh p) (gw q)", gh=h // patch, t=t, c=3, p=patch, q=patch)
    return spread / (3 * t * patch**2)


@contextmanager
def _layers(explained: Explained) -> Iterator[dict[str, list[Any]]]:
    """What the layers looked at put out while gradients are on, and which positions were kept."""
    seen: dict[str, list[Any]] = {"grid": [], "tokens": [], "kept": []}

    def keep(name: str, read: Callable[[Any], Any] = lambda out: out) -> Callable[..., None]:
        def hook(_: object, __: object, out: Any) -> None:
            if torch.is_grad_enabled():  # a contribution also runs the model without its branch, which is not meant
                seen[name].append(read(out))

        return hook

    model, handles = explained.model, []
    try:
        if "flow" in explained.reads:
            motion = require(model.motion_branch, otherwise="this model has no motion branch, which reads flow")
            handles.append(motion.stem.register_forward_hook(keep("grid")))
        if "frames" in explained.reads:
            emotion = require(model.emotion_branch, otherwise="this model has no emotion branch, which reads frames")
            handles.append(emotion.norm.register_forward_hook(keep("tokens")))
            handles.append(emotion.register_forward_hook(keep("kept", lambda out: out.kept)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


MAKERS = {"grad_cam": _grad_cam}
