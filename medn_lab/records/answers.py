"""What a model answers to a few clips, whole and through one input at a time."""

from __future__ import annotations

from dataclasses import dataclass

from medn_lab.records.kept import KeptTokens
from medn_lab.records.results import BranchFeatures, Predictions


@dataclass(frozen=True, eq=False, repr=False)
class LivePrediction:
    """A model's answers to clips, and what it says when one of its inputs shows nothing.

    Attributes
    ----------
    predictions : Predictions
        Of the whole model.
    features : BranchFeatures
        Of the same pass, the gate among them.
    frames_alone : Predictions or None
        What the whole model says when the flow is zero everywhere: the frames speak through the emotion branch, and
        nothing is seen to move. None for a model or clips without one of the two inputs.
    flow_alone : Predictions or None
        What it says when every frame is the onset: the flow speaks through the motion branch, and the face neither
        changes colour nor moves.
    kept : KeptTokens or None
        The places that the emotion branch kept; None without one.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": ["a", "b"]})
    >>> said = Predictions(np.eye(2), table, ("happiness", "disgust"))
    >>> LivePrediction(said, BranchFeatures(None, None, np.zeros((2, 4)), table))
    LivePrediction of an unnamed model to 2 clips: a happiness, b disgust
    """

    predictions: Predictions
    features: BranchFeatures
    frames_alone: Predictions | None = None
    flow_alone: Predictions | None = None
    kept: KeptTokens | None = None

    def __post_init__(self) -> None:
        whole = list(self.predictions.table["clip_id"])
        for name in ("features", "frames_alone", "flow_alone", "kept"):
            part = getattr(self, name)
            if part is not None and list(part.table["clip_id"]) != whole:
                raise ValueError(f"{name} and predictions of these predictions are of different clips")

    def __len__(self) -> int:
        return len(self.predictions)

    def __repr__(self) -> str:
        said = [
            f"{clip} {emotion}"
            for clip, emotion in zip(self.predictions.table["clip_id"], self.predictions.predicted, strict=True)
        ]
        more = f" and {len(said) - 3} more" if len(said) > 3 else ""
        model = self.predictions.source.get("name", "an unnamed model")
        return f"LivePrediction of {model} to {len(self)} clips: {', '.join(said[:3])}{more}"
