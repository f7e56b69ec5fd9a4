"""Which clips stand in which cell of a confusion matrix, also where labels are missing or strange to the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medn_lab.records import Predictions

UNLABELLED = "no label"
"""The row of clips whose class is not known."""


@dataclass(frozen=True, eq=False)
class ConfusionCells:
    """The cells of a confusion matrix with the clips in them.

    Attributes
    ----------
    true, predicted : (n,) object arrays of str
        Of each clip, in the order of the predictions.
    rows : tuple of str
        The model's classes, then labels that it does not know, then `UNLABELLED` if there are such clips.
    columns : tuple of str
        The model's classes.
    counts : (n_rows, n_columns) int
    """

    true: np.ndarray
    predicted: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Share of each cell in its row, in [0, 1]; NaN in a row without clips."""
        totals = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, totals, out=np.full(self.counts.shape, np.nan), where=totals > 0)

    def places(self, true: str | None, predicted: str | None) -> np.ndarray:
        """Positions of the clips of a cell, (k,) int; None stands for a whole row or column.

        Raises
        ------
        ValueError
            If there is no such row or column.
        """
        inside = np.ones(len(self.true), dtype=bool)
        for what, name, values, known in (
            ("true class", true, self.true, self.rows),
            ("predicted class", predicted, self.predicted, self.columns),
        ):
            if name is None:
                continue
            if name not in known:
                raise ValueError(f"no {what} {name!r} here; there are {', '.join(known)}")
            inside &= values == name
        return np.flatnonzero(inside)


def confusion_cells(predictions: Predictions, *, label: str = "label") -> ConfusionCells:
    """Put each clip into its cell; nothing is refused.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true class; without it every clip stands in the row `UNLABELLED`.

    Returns
    -------
    ConfusionCells
    """
    known = tuple(map(str, predictions.classes))
    truth = np.full(len(predictions), UNLABELLED, dtype=object)
    if label in predictions.table:
        given = predictions.table[label]
        truth = np.where(given.notna(), given.astype(str), UNLABELLED).astype(object)
    strange = sorted(set(truth) - set(known) - {UNLABELLED})
    rows = (*known, *strange, *([UNLABELLED] if (truth == UNLABELLED).any() else []))
    predicted = predictions.predicted if len(predictions) else np.array([], dtype=object)
    counts = np.zeros((len(rows), len(known)), dtype=int)
    place = {name: number for number, name in enumerate(rows)}
    for true, said in zip(truth, predicted, strict=True):
        counts[place[true], place[str(said)]] += 1
    return ConfusionCells(truth, predicted.astype(str).astype(object), rows, known, counts)
