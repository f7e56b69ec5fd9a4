"""What spoke for a target: signed values in the input's shape, a record of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.results import _ClipRecord
from medn_lab.records.run import describe_source


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(_ClipRecord):
    """How much each input value spoke for a target, signed, in the input's shape.

    Attributes
    ----------
    frames : (n, t, h, w, 3) float32 or None
    flow : (n, h, w, c) float32 or None
        None for an input that the target does not see.
    table : DataFrame
    target, branch, method : str
        What was attributed, through which branch (``both``, ``motion`` or ``emotion``), and how.
    sanity : dict
        Completeness error, infidelity, sensitivity, randomisation check, as far as they were measured.
    scores, baseline_scores : (n,) float32 or None
        The target's value for each clip, and for the same clip in which nothing happens.
    params : dict
        The method's own arguments: with them the map can be made again.
    source : dict
        Model name, weights' sha256, recipe, run record.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"]})
    >>> flow = np.full((1, 4, 4, 2), 0.5)
    >>> Attribution(None, flow, table, "disgust", "motion", "saliency", sanity={"completeness": 0.01})
    Attribution of disgust (motion, saliency): 1 clips; completeness 0.010
    """

    frames: np.ndarray | None
    flow: np.ndarray | None
    table: pd.DataFrame
    target: str
    branch: str
    method: str
    sanity: Mapping[str, float] = field(default_factory=dict)
    scores: np.ndarray | None = None
    baseline_scores: np.ndarray | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    _arrays = ("frames", "flow", "scores", "baseline_scores")
    _meta = ("target", "branch", "method", "sanity", "params", "source")

    def __post_init__(self) -> None:
        self._check()
        if self.frames is None and self.flow is None:
            raise ValueError("an Attribution needs values for frames, flow or both; neither was given")

    def __repr__(self) -> str:
        checked = ", ".join(f"{name} {value:.3f}" for name, value in self.sanity.items()) or "unchecked"
        what = f"Attribution of {self.target} ({self.branch}, {self.method}): {len(self)} clips"
        return "; ".join(filter(None, [what, checked, describe_source(self.source)]))

    def with_sanity(self, figures: Mapping[str, float]) -> Attribution:
        """The same maps with more sanity figures beside them; a figure of the same name is replaced."""
        return replace(self, sanity={**self.sanity, **figures})

    @property
    def totals(self) -> np.ndarray:
        """The sum of all values of each clip, (n,) float64; a complete map adds up to score minus baseline score."""
        given = [array for array in (self.frames, self.flow) if array is not None]
        return sum(array.reshape(len(array), -1).sum(axis=1, dtype=np.float64) for array in given)

    @property
    def frames_heat(self) -> np.ndarray | None:
        """Frames' values summed over colour, (n, t, h, w), signed; None without frames."""
        return None if self.frames is None else self.frames.sum(axis=-1)

    @property
    def flow_heat(self) -> np.ndarray | None:
        """Flow's values summed over its components, (n, h, w), signed; None without flow."""
        return None if self.flow is None else self.flow.sum(axis=-1)

    @property
    def course(self) -> np.ndarray | None:
        """What each frame spoke for the target, (n, t), signed: its values summed over space; None without frames."""
        return None if self.frames is None else self.frames.sum(axis=(2, 3, 4))
