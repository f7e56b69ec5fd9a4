"""The field's scores, and how far a handful of subjects lets them be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.data.protocols import people
from medn_lab.records import Predictions


def accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Share of clips given the right class, in [0, 1].

    Parameters
    ----------
    true, predicted : (n,) array-like
        Class names or numbers of the same clips.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ or there are no clips.

    Examples
    --------
    >>> accuracy(["a", "a", "b"], ["a", "b", "b"])
    0.666...
    """
    true, predicted = _validate(true, predicted)
    return float((true == predicted).mean())


def uf1(true: ArrayLike, predicted: ArrayLike, *, classes: Sequence[object] | None = None) -> float:
    """Unweighted F1: the mean over classes of the F1 of the pooled predictions, in [0, 1].

    Every class counts the same, however rare. Pool the predictions of all folds first, then compute: the mean of the
    folds' UF1 is another, lower number.

    Parameters
    ----------
    true, predicted : (n,) array-like
        Class names or numbers of the same clips.
    classes : sequence, optional
        The classes to average over; by default those in `true`. A class without clips and without predictions counts
        as 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ or there are no clips.

    References
    ----------
    See et al.: "MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge", FG 2019.

    Examples
    --------
    >>> round(uf1(["a", "a", "b"], ["a", "b", "b"]), 4)
    0.6667
    """
    true, predicted = _validate(true, predicted)
    scores = []
    for name in _classes(true, classes):
        hits = np.sum((true == name) & (predicted == name))
        said_or_meant = np.sum(true == name) + np.sum(predicted == name)
        scores.append(2 * hits / said_or_meant if said_or_meant else 0.0)
    return float(np.mean(scores))


def uar(true: ArrayLike, predicted: ArrayLike, *, classes: Sequence[object] | None = None) -> float:
    """Unweighted average recall (balanced accuracy) of the pooled predictions, in [0, 1].

    Parameters
    ----------
    true, predicted : (n,) array-like
        Class names or numbers of the same clips.
    classes : sequence, optional
        The classes to average over; by default those in `true`. A class without clips is left out of the mean.

    Returns
    -------
    float
        Chance is one over the number of classes.

    Raises
    ------
    ValueError
        If the lengths differ, or there are no clips of any of the classes.

    Examples
    --------
    >>> uar(["a", "a", "b"], ["a", "b", "b"])
    0.75
    """
    true, predicted = _validate(true, predicted)
    recalls = [np.mean(predicted[true == name] == name) for name in _classes(true, classes) if np.any(true == name)]
    if not recalls:
        raise ValueError(f"none of {len(true)} clips is of the classes asked for")
    return float(np.mean(recalls))


def confusion_matrix(predictions: Predictions, *, label: str = "label") -> pd.DataFrame:
    """Counts of clips by true class (rows) and predicted class (columns), in the order of the classes.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true class.

    Returns
    -------
    DataFrame
        (n_classes, n_classes) of int.

    Raises
    ------
    ValueError
        If there is no such column, or it holds a class that the predictions do not know.

    See Also
    --------
    medn_lab.view.plot_confusion_matrix
    """
    true, predicted = _of(predictions, label)
    classes = pd.Index(predictions.classes)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (classes.get_indexer(true), classes.get_indexer(predicted)), 1)
    return pd.DataFrame(counts, index=classes.rename("true"), columns=classes.rename("predicted"))


@dataclass(frozen=True)
class Interval:
    """A score and the interval that its subjects leave open.

    Attributes
    ----------
    value : float
        The score of all clips pooled.
    low, high : float
        Percentile bounds over resampled subjects.
    level : float
        Coverage aimed at, such as 0.95.
    n_clips, n_subjects : int
    """

    value: float
    low: float
    high: float
    level: float
    n_clips: int
    n_subjects: int

    def __repr__(self) -> str:
        return (
            f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {self.n_subjects} subjects,"
            f" {self.n_clips} clips)"
        )


def bootstrap_interval(
    predictions: Predictions,
    *,
    measure: Callable[[np.ndarray, np.ndarray], float] = accuracy,
    label: str = "label",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A score with an interval from resampling whole subjects.

    Clips of one person resemble each other, so persons and not clips are drawn with replacement; with the field's 16 to
    30 subjects the interval is wide, and should be shown.

    Parameters
    ----------
    predictions : Predictions
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, or any function of (true, predicted).
    label : str
        Column of the true class.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than 2 subjects: nothing can be resampled.

    Examples
    --------
    ``bootstrap_interval(predictions, measure=medn.evaluate.uf1)`` prints as ``0.912 [0.871, 0.949] (95%, ...)``.
    """
    true, predicted = _of(predictions, label)
    _, person = np.unique(people(predictions.table).to_numpy(dtype=str), return_inverse=True)
    n_subjects = person.max() + 1
    if n_subjects < 2:
        raise ValueError("an interval needs at least 2 subjects to resample, there is 1")
    rows = [np.flatnonzero(person == i) for i in range(n_subjects)]
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(n_resamples):
        drawn = np.concatenate([rows[i] for i in generator.integers(n_subjects, size=n_subjects)])
        values.append(measure(true[drawn], predicted[drawn]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(measure(true, predicted), float(low), float(high), level, len(true), int(n_subjects))


def _of(predictions: Predictions, label: str) -> tuple[np.ndarray, np.ndarray]:
    if label not in predictions.table:
        raise ValueError(f"the predictions' table has no column {label!r} to compare with")
    true = predictions.table[label].to_numpy(dtype=object)
    strange = sorted({str(name) for name in true} - set(predictions.classes))
    if strange:
        raise ValueError(
            f"column {label!r} holds {', '.join(strange)}; the classes are {', '.join(predictions.classes)}"
        )
    return true, predictions.predicted


def _validate(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(true, pd.Series) and isinstance(predicted, pd.Series) and not true.index.equals(predicted.index):
        raise ValueError("true and predicted have different indices; join them by clip_id first")
    true, predicted = np.asarray(true, dtype=object), np.asarray(predicted, dtype=object)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true has shape {true.shape} but predicted {predicted.shape}; both must be (n,)")
    if not len(true):
        raise ValueError("there are no clips to score")
    return true, predicted


def _classes(true: np.ndarray, classes: Sequence[object] | None) -> Sequence[object]:
    return sorted(set(true), key=str) if classes is None else classes
