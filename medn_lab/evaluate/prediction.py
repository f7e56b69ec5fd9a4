"""Predictions of a model: scores, features of its branches, activations of its layers, and live predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from medn_lab.model import MEDN, Inputs, MEDNOutput, as_inputs, check_clips, device_name, weights_sha256
from medn_lab.model.inputs import eval_mode, torch_threads
from medn_lab.records import BranchFeatures, Clips, KeptTokens, LivePrediction, Predictions, run_record


def predict(model: MEDN, clips: Clips, *, batch_size: int = 64, progress: bool = False) -> Predictions:
    """Emotion and AU scores of every clip.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    batch_size : int
        Clips a forward pass; the scores do not depend on it beyond rounding.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Predictions
        One row a clip, in the order of `clips`. ``au_logits`` is None where the model or the clips have no flow.

    Raises
    ------
    ValueError
        If the clips do not fit the model or hold NaN.

    Warns
    -----
    UserWarning
        If the clips lack what one of the model's two branches reads, so that the other decides alone.

    See Also
    --------
    extract_features, medn_lab.view.plot_au_scores

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> predictions = medn.predict(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> predictions.logits.shape, predictions.au_logits.shape, predictions.table["label"].tolist()
    ((2, 5), (2, 16), ['repression', 'others'])
    """
    outputs = list(_outputs(model, clips, batch_size=batch_size, progress=progress))
    return predictions_of(model, outputs, clips.table, source_of(model, clips, call="predict", batch_size=batch_size))


def extract_features(model: MEDN, clips: Clips, *, batch_size: int = 64, progress: bool = False) -> BranchFeatures:
    """The features of both branches, the fused one and the gate, from one pass over the clips.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in.
    clips : Clips
    batch_size : int
        Clips a forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BranchFeatures
        ``motion (n, d)``, ``emotion (n, d)`` or ``(n, code_dim)`` under the bottleneck, ``fused (n, d)``, ``gate
        (n, d)``, ``nats (n,)``; a part that the model or the clips lack is None.

    Raises
    ------
    ValueError
        If the clips do not fit the model or hold NaN.

    See Also
    --------
    predict, medn_lab.diagnose.umap

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> features = medn.extract_features(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> features.fused.shape, features.gate.shape, len(features.table)
    ((2, 64), (2, 64), 2)
    """
    outputs = list(_outputs(model, clips, batch_size=batch_size, progress=progress))
    return features_of(outputs, clips.table, source_of(model, clips, call="extract_features", batch_size=batch_size))


def layer_features(
    model: MEDN, clips: Clips, *, layers: Sequence[str], batch_size: int = 64, progress: bool = False
) -> dict[str, pd.DataFrame]:
    """The activations of any layers, one row a clip, averaged over space, time and tokens.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in; no hook stays behind.
    clips : Clips
    layers : sequence of str
        Modules by their name in ``model.named_modules()``, such as ``motion_branch.stem`` or ``emotion_branch.norm``.
    batch_size : int
        Clips a forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict of DataFrame
        By layer, (n, d), index the clip ids. A layer of 2-d convolutions or pooling keeps its channels, any other its
        last axis; one that runs several times a pass (once a scale) is averaged over its runs.

    Raises
    ------
    AttributeError
        If there is no such layer.
    ValueError
        If it does not run for these clips, or gives something other than one tensor.

    See Also
    --------
    extract_features : the branches' own features.
    medn_lab.diagnose.umap

    Examples
    --------
    >>> from medn_lab import synthetic_clips
    >>> from medn_lab.model import MEDNConfig
    >>> clips = synthetic_clips(n_subjects=2, clips_per_subject=2, seed=0)
    >>> found = layer_features(MEDN(MEDNConfig()), clips, layers=["motion_branch.stem"])
    >>> found["motion_branch.stem"].index.tolist() == clips.table["clip_id"].tolist()
    True
    """
    modules = {name: model.get_submodule(name) for name in layers}
    runs: dict[str, list[Any]] = {name: [] for name in layers}
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_hook(lambda _, __, out, name=name: runs[name].append(out)))
        for output in _outputs(model, clips, batch_size=batch_size, progress=progress):
            n = len(output.logits)
            for name, of_pass in runs.items():
                if not of_pass:
                    raise ValueError(f"layer {name!r} does not run for these clips; name one inside it, or another")
                for out in of_pass:
                    if not isinstance(out, Tensor) or out.ndim < 2 or len(out) % n:
                        raise ValueError(f"layer {name!r} does not give a row a clip; name one inside it, or another")
                flat = any(type(part).__name__.endswith("2d") for part in modules[name].modules())
                each = [out.movedim(1, -1) if flat and out.ndim == 4 else out for out in of_pass]
                # The first axis may hold frames or positions too: (b t) ... c.
                means = [out.reshape(n, -1, out.shape[-1]).mean(dim=1) for out in each]
                rows[name].append(torch.stack(means).mean(dim=0))
                of_pass.clear()
    ids = pd.Index(clips.table["clip_id"].to_numpy(dtype=object), name="clip_id")
    return {name: pd.DataFrame(torch.cat(parts).float().cpu().numpy(), index=ids) for name, parts in rows.items()}


def _outputs(model: MEDN, clips: Clips, *, batch_size: int, progress: bool) -> Iterator[MEDNOutput]:
    check_clips(model.config, clips)
    lacking = [name for name in ("frames", "flow") if getattr(clips, name) is None]
    if model.config.branches == "both" and lacking:
        alone = f"the {'motion' if lacking == ['frames'] else 'emotion'} branch decides alone"
        warnings.warn(f"the clips have no {lacking[0]}: {alone}, which this model was not trained for", stacklevel=3)
    device = next(model.parameters()).device
    with eval_mode(model):
        for start in tqdm(range(0, len(clips), batch_size), desc="reading clips", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            with torch.inference_mode():
                output = model(*as_inputs(model.config, clips, rows=rows, device=device))
            parts = [part for part in (output.logits, output.au_logits, output.fused) if part is not None]
            broken = ~torch.stack([part.isfinite().flatten(1).all(dim=1) for part in parts]).all(dim=0)
            if broken.any():  # The network overflowed, on numbers that no face could move.
                n, name = int(broken.sum()), clips.table["clip_id"].iloc[rows[int(broken.int().argmax())]]
                raise ValueError(f"the scores of {n} of {len(rows)} clips are not numbers, such as those of {name!r}")
            yield output


def predictions_of(model: MEDN, outputs: list[MEDNOutput], table: pd.DataFrame, source: dict[str, Any]) -> Predictions:
    """The record of what a model returned, batch by batch."""
    logits: Any = _stack(outputs, "logits")
    au_logits = _stack(outputs, "au_logits") if model.config.aus else None
    aus = () if au_logits is None else model.config.aus
    return Predictions(logits, table, model.config.classes, au_logits=au_logits, aus=aus, source=source)


def features_of(outputs: list[MEDNOutput], table: pd.DataFrame, source: dict[str, Any]) -> BranchFeatures:
    """The record of the features that a model returned, batch by batch."""
    parts: dict[str, Any] = {name: _stack(outputs, name) for name in ("motion", "emotion", "fused", "gate", "nats")}
    return BranchFeatures(**parts, table=table, source=source)


def _stack(outputs: list[MEDNOutput], name: str) -> np.ndarray | None:
    parts = [part for output in outputs if (part := getattr(output, name)) is not None]
    return torch.cat(parts).float().cpu().numpy() if parts else None


def source_of(model: MEDN, clips: Clips, *, call: str, **settings: Any) -> dict[str, Any]:
    """The provenance of a result: the model, the clips, and the call with its own arguments (JSON-ready)."""
    # The order of sums, and with it the last digits, depends on the number of threads.
    where = {"device": device_name(next(model.parameters()).device), "threads": torch.get_num_threads()}
    run = run_record(call, table=clips.table, **where, **settings)
    name = {"name": model.name, "sha256": weights_sha256(model)}
    return name | {"recipe": dict(clips.recipe), "decoupling": model.config.decoupling, "run": run}


# Clips for which one thread is best: there is too little to share, and under any other load threads that wait for each
# other cost a slider many times its time.
FEW = 4


def live_predictor(model: MEDN) -> Callable[[Clips], LivePrediction]:
    """A callable that predicts a few clips at once, for sliders and other live displays.

    Unlike `predict` it keeps no queue and makes no batches: the whole prediction of a clip comes from one pass, in
    tens of milliseconds for a tiny model. The pass also holds the clip twice more, each time with one input that shows
    nothing: a flow of zeros, and frames that all are the onset. That is an intervention and not a branch by itself. A
    face whose colour does not change has a cue too where *still* is a state of the cue, so *flow alone* is read as
    *these AUs, and a cue that is still*.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode, each of its modules afterwards in the mode it was in.

    Returns
    -------
    callable
        Takes `Clips` and returns `LivePrediction`, or raises ValueError if the clips do not fit the model.

    See Also
    --------
    predict, extract_features : for many clips.
    medn_lab.widgets.FaceLab

    Examples
    --------
    >>> from medn_lab.model import MEDN, MEDNConfig
    >>> from medn_lab.synthme import face_studio
    >>> answer = live_predictor(MEDN(MEDNConfig()))
    >>> answers = answer(face_studio()({"aus": {"AU12": "C"}}))
    >>> answers.predictions.logits.shape, answers.features.gate.shape
    ((1, 5), (1, 64))
    """
    config, facts = model.config, {"name": model.name, "sha256": weights_sha256(model)}

    def answer(clips: Clips) -> LivePrediction:
        count, n_parts = len(clips), 1
        check_clips(config, clips)
        frames, flow = as_inputs(config, clips, rows=np.arange(count), device=next(model.parameters()).device)
        if frames is not None and flow is not None:  # Whole, with a flow of zeros, with frames that all are the onset.
            still, n_parts = frames[:, :1].expand_as(frames), 3
            frames, flow = torch.cat([frames, frames, still]), torch.cat([flow, torch.zeros_like(flow), flow])
        with eval_mode(model), torch.inference_mode(), torch_threads(1 if count <= FEW else None):
            output = model(*Inputs(frames, flow))
        parts = [
            MEDNOutput._make(value[start : start + count] if isinstance(value, Tensor) else None for value in output)
            for start in range(0, n_parts * count, count)
        ]
        source = facts | {"recipe": dict(clips.recipe), "decoupling": config.decoupling}
        answers = [predictions_of(model, [part], clips.table, source) for part in parts]
        tokens, kept = output.sevit_output, None
        if tokens is not None:
            grid = config.size // config.patch
            masks = np.zeros((count, len(tokens.kept), grid * grid), dtype=bool)
            for scale, places in enumerate(tokens.kept):
                np.put_along_axis(masks[:, scale], places[:count].cpu().numpy(), True, axis=1)
            scores, mix = (part[:count].float().cpu().numpy() for part in (tokens.scores, tokens.mix))
            shares = tuple(float(share) for share in masks[0].mean(axis=1))
            maps = masks.reshape(count, -1, grid, grid), scores.reshape(count, grid, grid), mix
            kept = KeptTokens(*maps, clips.table, config.keep_rates, shares, source=facts)
        features = features_of(parts[:1], clips.table, source)
        frames_alone, flow_alone = answers[1:] or (None, None)
        return LivePrediction(answers[0], features, frames_alone, flow_alone, kept)

    return answer
