"""A model that answers at once: the scores, the branches, the gate and the kept tokens of a few clips in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from medn_lab.evaluate.prediction import features_of, predictions_of
from medn_lab.model import MEDN, Inputs, MEDNOutput, as_inputs, check_clips, weights_sha256
from medn_lab.model.inputs import eval_mode, torch_threads
from medn_lab.records import Clips, KeptTokens, LivePrediction

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
        return LivePrediction(answers[0], features, *(answers[1:] if both else (None, None)), kept)


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
