"""Callback of a training: dependence and leakage after each epoch, on clips that are not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.leaks import leakage
from medn_lab.diagnose.similarity import absolute_cosine, distance_correlation, linear_cka
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN
from medn_lab.records import BranchFeatures, Clips, au_columns, people

SMALLEST = 20
"""Clips, below which a leak cannot be measured."""

_WATCHED = (linear_cka, distance_correlation, absolute_cosine)


class TrainingRun(Protocol):
    """The part of a training run that the callback reads."""

    model: MEDN
    epoch: int


def decoupling_watch(
    clips: Clips,
    *,
    every: int = 1,
    allowed: Mapping[str, ArrayLike | pd.DataFrame] | pd.DataFrame | None = None,
    label: str = "label",
    batch_size: int = 64,
    seed: int = 0,
) -> DecouplingWatch:
    """Make a callback for ``fit`` that measures how far the branches are decoupled after each epoch.

    It reads the model and changes nothing, so that a training with it gives the same weights. Its figures become
    columns of the history: ``dependence_linear_cka``, ``dependence_distance_correlation``, and
    ``dependence_absolute_cosine`` where the branches have one width; ``leak_aus_from_emotion`` and
    ``leak_emotion_from_motion`` (AUC of a linear probe on held-out subjects), each with the AUC that the branch's own
    factor would allow (``..._allowed``). They have no null; :func:`decoupling_report` has. If the epoch is chosen by
    them, these clips have been trained on: take others for the report.

    Parameters
    ----------
    clips : Clips
        Of persons that are not trained on; at least 20 clips of 2 subjects. 180 of 64 px take about 0.3 s an epoch.
    every : int
        Measure after each so many epochs alone; the others have NaN.
    allowed : mapping, optional
        The truths, as :func:`leakage` takes them.
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    batch_size : int
        Clips a forward pass.
    seed : int
        Of the probe's folds.

    Returns
    -------
    DecouplingWatch

    Raises
    ------
    ValueError
        If there are fewer than 20 clips or 2 subjects, or `every` is below 1.

    See Also
    --------
    leakage, decoupling_report, medn_lab.train.fit, medn_lab.widgets.TrainingMonitor, medn_lab.view.plot_history

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(20)], "subject": list("ab") * 10})
    >>> clips = Clips(None, np.zeros((20, 64, 64, 2), np.float32), table)
    >>> watch = decoupling_watch(clips, every=5)  # then fit(model, others, callbacks=[watch])
    >>> decoupling_watch(clips.with_table(table[:8]))
    Traceback (most recent call last):
        ...
    ValueError: watching a leak needs at least 20 clips of 2 subjects, there are 8 of 2
    """
    return DecouplingWatch(clips, every=every, allowed=allowed, label=label, batch_size=batch_size, seed=seed)


@dataclass(frozen=True, eq=False, repr=False)
class DecouplingWatch:
    """Callback that :func:`decoupling_watch` makes; a training calls its ``measure`` after each epoch.

    Attributes
    ----------
    clips, every, allowed, label, batch_size, seed
        As :func:`decoupling_watch` takes them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(20)], "subject": list("ab") * 10})
    >>> clips = Clips(None, np.zeros((20, 64, 64, 2), np.float32), table)
    >>> sorted(decoupling_watch(clips).of(BranchFeatures(*rng.normal(size=(3, 20, 4)), table)))[1:]
    ['dependence_distance_correlation', 'dependence_linear_cka']
    """

    clips: Clips
    every: int = 1
    allowed: Mapping[str, ArrayLike | pd.DataFrame] | pd.DataFrame | None = None
    label: str = "label"
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        n_subjects = len(set(people(self.clips.table)))
        if len(self.clips) < SMALLEST or n_subjects < 2:
            raise ValueError(
                f"watching a leak needs at least {SMALLEST} clips of 2 subjects, there are {len(self.clips)} of"
                f" {n_subjects}"
            )
        if self.every < 1 or self.batch_size < 1:
            raise ValueError(f"every and batch_size must be at least 1; got {self.every} and {self.batch_size}")

    def __repr__(self) -> str:
        often = "each epoch" if self.every == 1 else f"each {self.every} epochs"
        return f"DecouplingWatch: dependence and leakage on {len(self.clips)} clips, {often}"

    def measure(self, run: TrainingRun) -> dict[str, float]:
        """The figures of the model as it is after this epoch; none after an epoch that is left out."""
        if run.epoch % self.every:
            return {}
        return self.of(extract_features(run.model, self.clips, batch_size=self.batch_size))

    def of(self, features: BranchFeatures) -> dict[str, float]:
        """The same figures of features, name to value."""
        found: dict[str, float] = {}
        if features.motion is not None and features.emotion is not None:
            for measure in _WATCHED:
                if measure is not absolute_cosine or features.motion.shape[1] == features.emotion.shape[1]:
                    found[f"dependence_{measure.__name__}"] = float(measure(features.motion, features.emotion))
        if features.emotion is not None and au_columns(features.table):
            found |= self._leak(features, branch="emotion", target="aus")
        if features.motion is not None and self._column in features.table:
            found |= self._leak(features, branch="motion", target="emotion")
        return found

    @property
    def _column(self) -> str:
        return "emotion" if self.label == "label" and "label" not in self.clips.table else self.label

    def _leak(self, features: BranchFeatures, *, branch: str, target: str) -> dict[str, float]:
        row = leakage(
            features, branches=[branch], targets=[target], allowed=self.allowed, label=self._column, n_shuffles=0,
            n_resamples=0, seed=self.seed,
        ).set_index("target").loc["AUs" if target == "aus" else target]  # fmt: skip
        found = {f"leak_{target}_from_{branch}": float(row["value"])}
        if np.isfinite(row["allowed"]):
            found[f"leak_{target}_from_{branch}_allowed"] = float(row["allowed"])
        return found
