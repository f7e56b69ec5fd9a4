"""The field's scores of emotion classes: accuracy, UF1, UAR, and the confusion matrix behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.records import Predictions, check_label, normalise_labels


def accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Share of clips given the right class, in [0, 1].

    Parameters
    ----------
    true, predicted : (n,) array-like
        Class names or numbers of the same clips, in one spelling or another: ``"disgust "`` is ``"disgust"``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ, a class is missing, or there are no clips.

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
        Class names or numbers of the same clips, in one spelling or another: ``"disgust "`` is ``"disgust"``.
    classes : sequence, optional
        The classes to average over; by default those in `true`. A class without clips and without predictions counts
        as 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ, a class is missing, or there are no clips.

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
        Class names or numbers of the same clips, in one spelling or another: ``"disgust "`` is ``"disgust"``.
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
        If there is no such column, a clip has no class, or it has one that the predictions do not know.

    See Also
    --------
    medn_lab.view.plot_confusion_matrix

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "label": list("xyy")})
    >>> confusion_matrix(Predictions(np.eye(2)[[0, 1, 0]], table, ("x", "y")))
    predicted  x  y
    true
    x          1  0
    y          1  1
    """
    true, predicted = true_and_predicted(predictions, label=label)
    classes = pd.Index(predictions.classes)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (classes.get_indexer(true), classes.get_indexer(predicted)), 1)
    return pd.DataFrame(counts, index=classes.rename("true"), columns=classes.rename("predicted"))


def true_and_predicted(predictions: Predictions, *, label: str = "label") -> tuple[np.ndarray, np.ndarray]:
    """The true and the predicted class of each clip, in the table's order.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true class.

    Returns
    -------
    true, predicted : (n,) object arrays of str

    Raises
    ------
    ValueError
        If there is no such column, a clip has no class, or it has one that the predictions do not know.
    """
    true = check_label(predictions.table, label=label).to_numpy(dtype=object)
    strange = sorted(set(true) - set(predictions.classes))
    if strange:
        raise ValueError(
            f"column {label!r} holds {', '.join(strange)}; the classes are {', '.join(predictions.classes)}"
        )
    return true, predictions.predicted


def _accuracy_of(counts: np.ndarray) -> np.ndarray:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))


def _uf1_of(counts: np.ndarray) -> np.ndarray:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    meant, said = counts.sum(axis=2), counts.sum(axis=1)
    scores = np.divide(2 * hits, meant + said, out=np.zeros_like(meant), where=meant + said > 0)
    return np.mean(scores, axis=1, where=meant > 0)


def _uar_of(counts: np.ndarray) -> np.ndarray:
    hits, meant = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2)
    recalls = np.divide(hits, meant, out=np.zeros_like(meant), where=meant > 0)
    return np.mean(recalls, axis=1, where=meant > 0)


FROM_COUNTS: dict[Callable[..., float], Callable[[np.ndarray], np.ndarray]] = {
    accuracy: _accuracy_of,
    uf1: _uf1_of,
    uar: _uar_of,
}
"""The same scores read from many confusion matrices at once, (r, k, k) float to (r,): thousands of resamples a second.

Rows are true classes; as in the scores themselves, a class without a clip in a matrix is left out of its mean.
"""


def _validate(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(true, pd.Series) and isinstance(predicted, pd.Series) and not true.index.equals(predicted.index):
        raise ValueError("true and predicted have different indices; join them by clip_id first")
    shapes = np.shape(true), np.shape(predicted)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise ValueError(f"true has shape {shapes[0]} but predicted {shapes[1]}; both must be (n,)")
    true, predicted = (_names(values) for values in (true, predicted))
    if not len(true):
        raise ValueError("there are no clips to score")
    for name, values in (("true", true), ("predicted", predicted)):
        if (missing := pd.isna(values) | (values == "")).any():
            raise ValueError(f"{missing.sum()} of {len(values)} {name} classes are missing; leave those clips out")
    return true, predicted


def _names(values: ArrayLike | Sequence[object]) -> np.ndarray:
    return normalise_labels(pd.Series(values, dtype=object)).to_numpy()


def _classes(true: np.ndarray, classes: Sequence[object] | None) -> Sequence[object]:
    return sorted(set(true)) if classes is None else list(_names(classes))
