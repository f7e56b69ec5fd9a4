"""A model run over clips: its scores, the features of its branches, the activations of its layers, live answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
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
    source = source_of(model, clips, call="extract_features", batch_size=batch_size)
    return features_of(outputs, clips.table, source)


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
    ValueError
        If there is no such layer, it does not run for these clips, or gives something other than one tensor.

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
    modules = dict(model.named_modules())
    if unknown := [name for name in layers if name not in modules or not name]:
        alike = [name for name in modules if name and name.split(".")[0] == unknown[0].split(".")[0]]
        raise ValueError(f"no layer {unknown[0]!r}; there are {', '.join(alike or [n for n in modules if n][:8])} ...")
    runs: dict[str, list[Tensor]] = {name: [] for name in layers}
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    n_clips = 0

    def begin(_: nn.Module, inputs: tuple) -> None:
        nonlocal n_clips
        n_clips = len(next(part for part in inputs if part is not None))

    def take(name: str, module: nn.Module, _: object, out: object) -> None:
        """Average one run over its places at once: all tokens of all clips would not fit into memory."""
        if not isinstance(out, Tensor) or out.ndim < 2 or len(out) % n_clips:
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"layer {name!r} gives {shape} for {n_clips} clips and not a row a clip; name one inside")
        if out.ndim == 4 and any(type(part).__name__.endswith("2d") for part in module.modules()):
            out = out.movedim(1, -1)
        # The first axis may hold frames or positions too: (b t) ... c.
        runs[name].append(out.detach().reshape(n_clips, -1, out.shape[-1]).mean(dim=1))

    def end(*_: object) -> None:
        for name, of_pass in runs.items():
            if not of_pass:
                raise ValueError(f"layer {name!r} does not run for these clips; name a module inside it, or another")
            rows[name].append(torch.stack(of_pass).mean(dim=0))
            of_pass.clear()

    hooks = [modules[name].register_forward_hook(partial(take, name)) for name in layers]
    hooks += [model.register_forward_pre_hook(begin), model.register_forward_hook(end)]
    try:
        extract_features(model, clips, batch_size=batch_size, progress=progress)
    finally:
        for hook in hooks:
            hook.remove()
    ids = pd.Index(clips.table["clip_id"].to_numpy(dtype=object), name="clip_id")
    return {name: pd.DataFrame(torch.cat(parts).float().cpu().numpy(), index=ids) for name, parts in rows.items()}


def _outputs(model: MEDN, clips: Clips, *, batch_size: int, progress: bool) -> Iterator[MEDNOutput]:
    check_clips(model.config, clips)
    lacking = [name for name in ("frames", "flow") if getattr(clips, name) is None]
    if model.config.branches == "both" and lacking:
        warnings.warn(
            f"the clips have no {lacking[0]}: the {'motion' if lacking == ['frames'] else 'emotion'} branch decides"
            " alone, which this model was not trained for",
            UserWarning,
            stacklevel=3,
        )
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


def predictions_of(
    model: MEDN, outputs: Sequence[MEDNOutput], table: pd.DataFrame, source: dict[str, Any]
) -> Predictions:
    """The record of what a model returned, batch by batch."""
    logits: Any = _stack(outputs, "logits")
    au_logits = _stack(outputs, "au_logits") if model.config.aus else None
    aus = () if au_logits is None else model.config.aus
    return Predictions(logits, table, model.config.classes, au_logits=au_logits, aus=aus, source=source)


def features_of(outputs: Sequence[MEDNOutput], table: pd.DataFrame, source: dict[str, Any]) -> BranchFeatures:
    """The record of the features that a model returned, batch by batch."""
    parts: dict[str, Any] = {name: _stack(outputs, name) for name in ("motion", "emotion", "fused", "gate", "nats")}
    return BranchFeatures(**parts, table=table, source=source)


def _stack(outputs: Sequence[MEDNOutput], name: str) -> np.ndarray | None:
    parts = [part for output in outputs if (part := getattr(output, name)) is not None]
    return torch.cat(parts).float().cpu().numpy() if parts else None


def source_of(model: MEDN, clips: Clips, *, call: str, **settings: Any) -> dict[str, Any]:
    """The provenance of a result: the model, the clips, and the call with its own arguments (JSON-ready)."""
    # The order of sums, and with it the last digits, depends on the number of threads.
    where = {"device": device_name(next(model.parameters()).device), "threads": torch.get_num_threads()}
    return {
        "name": model.name,
        "sha256": weights_sha256(model),
        "recipe": dict(clips.recipe),
        "decoupling": model.config.decoupling,
        "run": run_record(call, table=clips.table, **where, **settings),
    }


FEW = 4
"""Clips for which one thread is best: there is too little to share, and threads wait for each other; under any other
load they cost a slider many times its time."""


class LivePredictor:
    """A model ready to answer to a few clips without delay; made by :func:`live_predictor`.

    Attributes
    ----------
    classes, aus : tuple of str
        What it tells apart.
    name : str
        The model's.
    """

    def __init__(self, model: MEDN) -> None:
        self._model = model
        self.classes, self.aus, self.name = model.config.classes, model.config.aus, model.name
        self._sha256 = weights_sha256(model)

    def __repr__(self) -> str:
        return f"LivePredictor of {self.name}: {', '.join(self.classes)}"

    def __call__(self, clips: Clips) -> LivePrediction:
        """Answer to some clips in one pass; all are read at once, and with both inputs each is read three times."""
        model, config, count = self._model, self._model.config, len(clips)
        check_clips(config, clips)
        frames, flow = as_inputs(config, clips, rows=np.arange(count), device=next(model.parameters()).device)
        both = frames is not None and flow is not None
        if frames is not None and flow is not None:  # Whole, with a flow of zeros, with frames that all are the onset.
            still = frames[:, :1].expand_as(frames)
            frames, flow = torch.cat([frames, frames, still]), torch.cat([flow, torch.zeros_like(flow), flow])
        with eval_mode(model), torch.inference_mode(), torch_threads(1 if count <= FEW else None):
            output = model(*Inputs(frames, flow))
        source: dict[str, Any] = {
            "name": self.name, "sha256": self._sha256, "recipe": dict(clips.recipe), "decoupling": config.decoupling,
        }  # fmt: skip
        parts = [
            MEDNOutput._make(value[start : start + count] if isinstance(value, Tensor) else None for value in output)
            for start in range(0, 3 * count if both else count, count)
        ]
        answers = [predictions_of(model, [part], clips.table, source) for part in parts]
        tokens, kept = output.sevit_output, None
        if tokens is not None:
            grid = config.size // config.patch
            masks = np.zeros((count, len(tokens.kept), grid * grid), dtype=bool)
            for scale, places in enumerate(tokens.kept):
                np.put_along_axis(masks[:, scale], places[:count].cpu().numpy(), True, axis=1)
            kept = KeptTokens(
                masks=masks.reshape(count, -1, grid, grid),
                scores=tokens.scores[:count].float().cpu().numpy().reshape(count, grid, grid),
                mix=tokens.mix[:count].float().cpu().numpy(),
                table=clips.table,
                keep_rates=config.keep_rates,
                kept_shares=tuple(float(share) for share in masks[0].mean(axis=1)),
                source={name: source[name] for name in ("name", "sha256")},
            )
        features = features_of(parts[:1], clips.table, source)
        frames_alone, flow_alone = answers[1:] if both else (None, None)
        return LivePrediction(answers[0], features, frames_alone, flow_alone, kept)


def live_predictor(model: MEDN) -> LivePredictor:
    """A callable that answers to a few clips at once, for sliders and other live questions.

    Unlike `predict` it keeps no queue and makes no batches: the whole prediction of a clip comes from one pass, in a
    few milliseconds for a tiny model. The pass also holds the clip twice more, each time with one input that shows
    nothing: a flow of zeros, and frames that all are the onset. That is an intervention and not a branch by itself. A
    face whose colour stands still is itself a statement where a still cue means something, so *flow alone* is read as
    *these AUs, and a cue that is still*.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode, each of its modules afterwards in the mode it was in.

    Returns
    -------
    LivePredictor
        Call it with `Clips`; it returns `LivePrediction`, or raises ValueError if the clips do not fit the model.

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
    return LivePredictor(model)
