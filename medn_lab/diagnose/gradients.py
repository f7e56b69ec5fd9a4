"""Integrated gradients: how much each input value spoke for an emotion or an AU, against a clip without any change."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from medn_lab.model import MEDN, as_inputs, check_clips
from medn_lab.records import Attribution, Clips


def integrated_gradients(
    model: MEDN, clips: Clips, *, target: str, n_steps: int = 32, batch_size: int = 16, progress: bool = False
) -> Attribution:
    """Attribute an emotion or AU logit to the pixels of frames and flow.

    The baseline is the same face in which nothing happens: every frame is the onset, the flow is zero. A positive value
    spoke for the target, a negative one against it. The values of a clip add up to the difference between its logit and
    the baseline's; how nearly they do is the *completeness error*, without which a map should not be shown. SEVit keeps
    and drops tokens along the way from baseline to clip, so the error is never quite zero: raise `n_steps` to lower it.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    target : str
        One of the model's classes, or one of its AUs (``AU12``).
    n_steps : int
        Points on the path from baseline to clip.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Attribution
        ``frames (n, t, h, w, 3)`` per unit of [0, 1], ``flow (n, h, w, c)`` per pixel, signed, None for an input that
        the model or the clips lack, or that the target does not see (an AU sees no frames).
        ``sanity["completeness_error"]`` is the median over the clips of the share of the logit's difference that is
        not accounted for, with its 95th percentile beside it.

    Raises
    ------
    ValueError
        If the target is neither a class nor an AU of the model, or the clips do not fit it.

    References
    ----------
    Sundararajan, Taly, Yan: "Axiomatic attribution for deep networks", 2017; computed by captum.
    """
    from captum.attr import IntegratedGradients

    check_clips(model.config, clips)
    logit = _Logit(model, target, clips)
    explain = IntegratedGradients(logit)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts: dict[str, list[np.ndarray]] = {"frames": [], "flow": []}
    errors: list[np.ndarray] = []
    try:
        for start in tqdm(range(0, len(clips), batch_size), desc="attributing", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            inputs = as_inputs(model.config, clips, rows=rows, device=device)
            given = {name: getattr(inputs, name) for name in logit.reads}
            still = {"frames": lambda x: x[:, :1].expand_as(x).contiguous(), "flow": torch.zeros_like}
            baselines = tuple(still[name](x) for name, x in given.items())
            values = explain.attribute(
                tuple(given.values()), baselines=baselines, n_steps=n_steps, internal_batch_size=64
            )
            with torch.no_grad():
                difference = logit(*given.values()) - logit(*baselines)
            total = sum(value.flatten(1).sum(dim=1) for value in values)
            errors.append(((total - difference).abs() / difference.abs().clamp_min(1e-6)).cpu().numpy())
            for name, value in zip(given, values, strict=True):
                order = (0, 1, 3, 4, 2) if name == "frames" else (0, 2, 3, 1)
                parts[name].append(value.detach().permute(order).float().cpu().numpy())
    finally:
        model.train(was_training)
        model.zero_grad(set_to_none=True)
    error = np.concatenate(errors)
    return Attribution(
        frames=np.concatenate(parts["frames"]) if parts["frames"] else None,
        flow=np.concatenate(parts["flow"]) if parts["flow"] else None,
        table=clips.table,
        target=target,
        branch=model.config.branches,
        method="integrated_gradients",
        sanity={
            "completeness_error": float(np.median(error)),
            "completeness_error_95": float(np.quantile(error, 0.95)),
        },
    )


class _Logit(nn.Module):
    """One logit of a model as a function of the inputs that there are."""

    def __init__(self, model: MEDN, target: str, clips: Clips) -> None:
        super().__init__()
        self.model = model
        classes, aus = model.config.classes, model.config.aus
        if target in classes:
            self.column, self.of_au = classes.index(target), False
        elif target in aus and model.motion_branch is not None:
            self.column, self.of_au = aus.index(target), True
        else:
            known = ", ".join([*classes, *(aus if model.motion_branch is not None else ())])
            raise ValueError(f"{target!r} is no logit of this model; there are {known}")
        sees_frames = model.config.branches != "motion" and not self.of_au
        self.reads = ["frames"] * (sees_frames and clips.frames is not None)
        self.reads += ["flow"] * (model.config.branches != "emotion" and clips.flow is not None)

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.reads, inputs, strict=True))
        output = self.model(given.get("frames"), given.get("flow"))
        return (output.au_logits if self.of_au else output.logits)[:, self.column]
