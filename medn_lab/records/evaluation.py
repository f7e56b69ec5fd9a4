"""Everything that is said of a model's predictions in one record: scores with intervals, persons, AUs, folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medn_lab.records.results import Predictions
from medn_lab.records.run import describe_source


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationSummary:
    """What a model scores, and what stands behind the score.

    Made by ``medn.evaluate.evaluation_summary``; what could not be worked out is None or empty, and `notes` says why.

    Attributes
    ----------
    predictions : Predictions
        All clips, also those without a label.
    scores : DataFrame
        ``part, measure, value, low, high, floor, n_clips, n_subjects``: accuracy, UF1 and UAR of all clips and of each
        data set, with the interval over resampled subjects and the AU-only floor (NaN where there is none).
        ``.attrs["floor"]`` names the floor.
    subjects : DataFrame
        A person a row: ``subject, n_clips, accuracy, most_missed`` (the class of theirs that was missed most often).
    aus : DataFrame or None
        An AU a row, as ``medn.evaluate.au_detection(...)``.
    folds : DataFrame or None
        ``fold, held_out, n_test, accuracy, error``.
    ceilings : dict of str to float
        The best accuracy that a perfect reader can expect, by what it reads.
    label : str
        Column of the true class.
    notes : tuple of str
        What is missing, a sentence each.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "label": ["x", "y"]})
    >>> EvaluationSummary(Predictions(np.eye(2), table, ("x", "y")), ceilings={"AUs alone": 0.42})
    EvaluationSummary: 2 clips, 2 classes
      ceilings: AUs alone 0.420
    """

    predictions: Predictions
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    subjects: pd.DataFrame = field(default_factory=pd.DataFrame)
    aus: pd.DataFrame | None = None
    folds: pd.DataFrame | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)
    label: str = "label"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [f"EvaluationSummary: {len(self.predictions)} clips, {len(self.predictions.classes)} classes"]
        for row in self.scores.itertuples():
            bounds = "no interval" if np.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
            floor = (
                "" if np.isnan(row.floor) else f"   {self.scores.attrs.get('floor', 'AU-only floor')} {row.floor:.3f}"
            )
            part = "" if row.part == "all" else f"{row.part}: "
            lines.append(f"  {part}{row.measure:<9}{row.value:.3f} {bounds}{floor}")
        if self.ceilings:
            lines.append("  ceilings: " + ", ".join(f"{name} {value:.3f}" for name, value in self.ceilings.items()))
        made = describe_source(self.predictions.source)
        lines += [f"  {made}"] if made else []
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])
