"""A model that answers at once: one clip in, its scores, its branches, its gate and what it kept out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from medn_lab.model import MEDN, Inputs, MEDNOutput, SEVitOutput, as_inputs, check_clips, weights_sha256
from medn_lab.model.inputs import torch_threads
from medn_lab.records import BranchFeatures, Clips, KeptTokens, LivePrediction, Predictions

FEW = 4
"""Clips for which one thread is best: there is too little to share, and threads wait for each other; beside any other
load they cost a slider many times its time."""


class LivePredictor:
    """A model ready to answer to a few clips without delay; made by `live_predictor`.

    Parameters
    ----------
    model : MEDN

    Attributes
    ----------
    classes, aus : tuple of str
        What it tells apart.
    name : str
        The model's.

    Examples
    --------
    >>> from medn_lab.model import MEDNConfig
    >>> from medn_lab.synthme import face_studio
    >>> answer = live_predictor(MEDN(MEDNConfig(), seed=0))
    >>> answer(face_studio()({"aus": {"AU4": "C"}})).flow_alone.logits.shape
    (1, 5)
    """

    def __init__(self, model: MEDN) -> None:
        self._model = model
        self.classes, self.aus, self.name = model.config.classes, model.config.aus, model.name
        self._sha256 = weights_sha256(model)

    def __repr__(self) -> str:
        return f"LivePredictor of {self.name}: {', '.join(self.classes)}"

    def __call__(self, clips: Clips) -> LivePrediction:
        """Answer to some clips in one pass.

        Parameters
        ----------
        clips : Clips
            A few: all are read at once, and with both inputs each is read three times.

        Returns
        -------
        LivePrediction

        Raises
        ------
        ValueError
            If the clips do not fit the model.
        """
        model, config = self._model, self._model.config
        check_clips(config, clips)
        inputs = as_inputs(config, clips, rows=np.arange(len(clips)), device=next(model.parameters()).device)
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            with torch.inference_mode(), torch_threads(1 if len(clips) <= FEW else None):
                thrice = _thrice(inputs)
                output = model(*(inputs if thrice is None else thrice))
        finally:
            for module, mode in modes.items():
                module.training = mode
        return self._answers(output, clips, both=thrice is not None)

    def _answers(self, output: MEDNOutput, clips: Clips, *, both: bool) -> LivePrediction:
        count, table = len(clips), clips.table
        source: dict[str, Any] = {
            "name": self.name, "sha256": self._sha256, "recipe": dict(clips.recipe),
            "decoupling": self._model.config.decoupling,
        }  # fmt: skip
        au_logits = output.au_logits if self.aus else None
        seen = output.sevit_output

        def said(part: int) -> Predictions:
            rows = slice(part * count, (part + 1) * count)
            return Predictions(
                logits=_array(output.logits[rows]),
                au_logits=None if au_logits is None else _array(au_logits[rows]),
                aus=() if au_logits is None else self.aus,
                table=table,
                classes=self.classes,
                source=source,
            )

        features: dict[str, Any] = {
            name: None if (value := getattr(output, name)) is None else _array(value[:count])
            for name in ("motion", "emotion", "fused", "gate", "nats")
        }
        return LivePrediction(
            predictions=said(0),
            features=BranchFeatures(**features, table=table, source=source),
            frames_alone=said(1) if both else None,
            flow_alone=said(2) if both else None,
            kept=None if seen is None else self._kept(seen, clips, source),
        )

    def _kept(self, seen: SEVitOutput, clips: Clips, source: dict[str, Any]) -> KeptTokens:
        config, count = self._model.config, len(clips)
        grid = config.size // config.patch
        masks = np.zeros((count, len(seen.kept), grid * grid), dtype=bool)
        for scale, places in enumerate(seen.kept):
            np.put_along_axis(masks[:, scale], places[:count].cpu().numpy(), True, axis=1)
        return KeptTokens(
            masks=masks.reshape(count, -1, grid, grid),
            scores=_array(seen.scores[:count]).reshape(count, grid, grid),
            mix=_array(seen.mix[:count]),
            table=clips.table,
            keep_rates=config.keep_rates,
            kept_shares=tuple(float(share) for share in masks[0].mean(axis=1)),
            source={name: source[name] for name in ("name", "sha256")},
        )


def live_predictor(model: MEDN) -> LivePredictor:
    """A callable that answers to a few clips at once, for sliders and other live questions.

    Unlike `predict` it keeps no queue and makes no batches: all that the model says of a clip comes from one pass, in a
    few milliseconds for a tiny model. Beside the whole answer it asks twice more, each time with one input that shows
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
        Call it with `Clips`; it returns `LivePrediction`.

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


def _thrice(inputs: Inputs) -> Inputs | None:
    """The clips whole, with a flow of zeros, and with frames that all are the onset; None without both inputs."""
    frames, flow = inputs
    if frames is None or flow is None:
        return None
    still = frames[:, :1].expand_as(frames)
    return Inputs(torch.cat([frames, frames, still]), torch.cat([flow, torch.zeros_like(flow), flow]))


def _array(value: Tensor) -> np.ndarray:
    return value.float().cpu().numpy()
