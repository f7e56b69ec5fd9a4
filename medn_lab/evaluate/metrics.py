"""Scores of emotion classes and of Action Units, with their intervals over subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.evaluate.resampling import Draws, Interval, draw_subjects, ratio
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
        total = np.sum(true == name) + np.sum(predicted == name)
        scores.append(2 * hits / total if total else 0.0)
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
        raise ValueError(f"none of {len(true)} clips is of the classes given")
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
    """The true and the predicted class of each clip; ValueError where a clip has no class or an unknown one."""
    true = check_label(predictions.table, label=label).to_numpy(dtype=object)
    unknown = sorted(set(true) - set(predictions.classes))
    if unknown:
        raise ValueError(
            f"column {label!r} holds {', '.join(unknown)}; the classes are {', '.join(predictions.classes)}"
        )
    return true, predictions.predicted


def _accuracy_of(counts: np.ndarray) -> np.ndarray:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))


def _uf1_of(counts: np.ndarray) -> np.ndarray:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    meant, called = counts.sum(axis=2), counts.sum(axis=1)
    scores = np.divide(2 * hits, meant + called, out=np.zeros_like(meant), where=meant + called > 0)
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


def class_values(
    measure: Callable[[np.ndarray, np.ndarray], float], true: np.ndarray, predicted: np.ndarray, *, draws: Draws
) -> np.ndarray:
    """A measure of (true, predicted) in the sample and in each draw, (1 + n_resamples,).

    Accuracy, UF1 and UAR are read from one confusion matrix a person; any other measure is computed on the repeated
    clips, which takes a call a resample.
    """
    if measure not in FROM_COUNTS:
        rows = (np.repeat(np.arange(len(true)), times) for times in draws.counts.astype(int)[:, draws.person])
        return np.array([measure(true[row], predicted[row]) for row in rows], dtype=float)
    classes, codes = np.unique(np.concatenate([true, predicted]).astype(str), return_inverse=True)
    k, n_people = len(classes), len(draws.names)
    by_person = np.zeros((n_people, k, k))
    np.add.at(by_person, (draws.person, codes[: len(true)], codes[len(true) :]), 1)
    return FROM_COUNTS[measure]((draws.counts @ by_person.reshape(n_people, k * k)).reshape(-1, k, k))


def bootstrap_interval(
    predictions: Predictions,
    *,
    measure: Callable[[np.ndarray, np.ndarray], float] = accuracy,
    label: str = "label",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A score with an interval over persons: Student's t with the standard error of resampling whole subjects.

    Clips of one person resemble each other, so persons and not clips are drawn with replacement; with the field's 16 to
    30 subjects the interval is wide, and should be shown. A score in [0, 1] has an interval within [0, 1], which keeps
    a width where every clip is right. The interval is for other persons met under the same conditions, not for another
    data set and not for another training run (:func:`interval_over_seeds`). In simulations with person effects a 95 %
    interval of accuracy, UF1 and UAR covers .93 to .99 from 5 persons on, for scores of .60 to .98.

    Parameters
    ----------
    predictions : Predictions
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, or any function of (true, predicted). The three are fast; any other
        is called once a resample, and its interval is kept within [0, 1] if all its values are.
    label : str
        Column of the true class.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
        Draws of subjects, whose spread is the standard error.
    seed : int

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than 2 subjects: nothing can be resampled.

    See Also
    --------
    interval_over_seeds : of several trainings.
    compare_predictions : the difference of two models on the same clips, which is surer than two intervals suggest.

    References
    ----------
    Efron, Tibshirani: "An Introduction to the Bootstrap", 1993, chapters 8 and 13.

    Examples
    --------
    ``bootstrap_interval(predictions, measure=medn.evaluate.uf1)`` prints as ``0.912 [0.871, 0.949] (95%, ...)``.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "label": list("xyxyxy")})
    >>> predictions = Predictions(np.eye(2)[[0, 1, 0, 1, 1, 1]], table, ("x", "y"))
    >>> bootstrap_interval(predictions)
    0.833 [0.154, 0.993] (95%, 3 subjects, 6 clips)
    """
    true, predicted = true_and_predicted(predictions, label=label)
    draws = draw_subjects(predictions.table, n_resamples=n_resamples, level=level, seed=seed)
    values = class_values(measure, true, predicted, draws=draws)
    share = not ((values < 0) | (values > 1)).any()
    low, high = draws.bounds(values, n_clips=len(true) if share else 0, share=share)
    return Interval(float(values[0]), low, high, level, len(true), len(draws.names))


def au_detection(
    predictions: Predictions,
    *,
    min_positives: int = 10,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """AUC and F1 of each AU, with the positives behind it and an interval over subjects.

    AUC is the probability that a clip with the AU is scored above one without it; 0.5 is chance. F1 calls an AU present
    at a probability of one half; its chance depends on how rare the AU is. AUs are rare in the field's data (in SAMM
    four have 15 positives or more), so no figure should be read without its positives. An AU without positives, or
    without negatives, gets none.

    Parameters
    ----------
    predictions : Predictions
        With ``au_logits``; the table's AU columns hold 1, 0, or NaN where it is unknown, and such clips are left out
        of that AU's figures.
    min_positives : int
        AUs with fewer are shown, but do not enter the macro means.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    DataFrame
        One row an AU: ``au, n_positive, n_negative, n_unknown, n_subjects`` (with a positive), ``auc, auc_low,
        auc_high, f1, f1_low, f1_high, in_macro, reason`` (why a figure or its interval is missing).
        ``.attrs["macro_auc"]`` and ``.attrs["macro_f1"]`` are the unweighted means over the AUs with at least
        ``.attrs["min_positives"]`` positives, each an :class:`Interval`; None where there are no such AUs.

    Raises
    ------
    ValueError
        If the predictions hold no AU scores, there are fewer than 2 subjects, or `min_positives` is below 1.

    See Also
    --------
    medn_lab.view.plot_au_detection

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "AU12": [1, 0, 1, 0, 1, 0]})
    >>> scores = np.array([[2.0], [-1.0], [1.0], [-2.0], [-3.0], [0.0]])
    >>> predictions = Predictions(np.zeros((6, 1)), table, ("x",), au_logits=scores, aus=("AU12",))
    >>> found = au_detection(predictions, min_positives=3)
    >>> round(float(found["auc"][0]), 3), int(found["n_positive"][0])
    (0.667, 3)
    >>> found.attrs["macro_auc"]
    0.667 [0.046, 0.988] (95%, 3 subjects, 6 clips)
    """
    if predictions.au_logits is None or not predictions.aus:
        raise ValueError(
            "these predictions hold no AU scores: the model was made without a motion branch or without AUs"
        )
    if min_positives < 1:
        raise ValueError(f"min_positives must be at least 1; got {min_positives}")
    draws = draw_subjects(predictions.table, n_resamples=n_resamples, level=level, seed=seed)
    coded = predictions.table.reindex(columns=list(predictions.aus)).to_numpy(dtype=float, na_value=np.nan)
    rows, macro = [], []
    for column, au in enumerate(predictions.aus):
        row, values = _one_au(coded[:, column], predictions.au_logits[:, column], draws=draws)
        if values is not None and row["n_positive"] >= min_positives:
            row["in_macro"] = True
            macro.append(values)
        rows.append({"au": au} | row)
    table = pd.DataFrame(rows)
    table.attrs = {"min_positives": min_positives, "macro_auc": None, "macro_f1": None}
    for name, values in zip(("macro_auc", "macro_f1"), np.swapaxes(macro, 0, 1) if macro else (), strict=False):
        # A resample's mean is over the AUs that it holds positives (and negatives) of.
        mean = ratio(np.nan_to_num(values).sum(axis=0), (~np.isnan(values)).sum(axis=0))
        low, high = draws.bounds(mean, n_clips=len(coded), share=True)
        table.attrs[name] = Interval(float(mean[0]), low, high, level, len(coded), len(draws.names))
    return table


def _one_au(coded: np.ndarray, logits: np.ndarray, *, draws: Draws) -> tuple[dict[str, Any], np.ndarray | None]:
    """The row of an AU, and its AUC and F1 in the sample and in each draw, (2, 1 + n_resamples); None without any."""
    positive, negative = coded == 1, coded == 0
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    n_known, n_subjects = n_positive + n_negative, len(np.unique(draws.person[positive]))
    row: dict[str, Any] = {
        "n_positive": n_positive, "n_negative": n_negative, "n_unknown": len(coded) - n_known, "n_subjects": n_subjects,
        **dict.fromkeys(("auc", "auc_low", "auc_high", "f1", "f1_low", "f1_high"), np.nan),
        "in_macro": False, "reason": "",
    }  # fmt: skip
    if not n_positive or not n_negative:
        kind = "positive" if not n_positive else "negative"
        row["reason"] = f"no {kind} among {n_known} coded clips" if n_known else "it is coded in no clip"
        return row, None
    called = logits >= 0
    hits = draws.counts @ draws.tally(positive & called)
    n_called = draws.counts @ draws.tally((positive | negative) & called)
    drawn = draws.counts @ draws.tally(positive)
    f1 = np.where(drawn > 0, 2 * hits / np.maximum(n_called + drawn, 1), np.nan)
    values = np.stack([_auc_values(logits, positive, negative, draws), f1])
    for name, of_draws in zip(("auc", "f1"), values, strict=True):
        # The interval is over the few persons who show the AU.
        low, high = draws.bounds(of_draws, n_clips=n_known, share=True, n_people=n_subjects)
        row |= {name: float(of_draws[0]), f"{name}_low": low, f"{name}_high": high}
    if n_subjects < 2:
        row["reason"] = "all positives are of one subject: no interval"
    return row, values


def _auc_values(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, draws: Draws) -> np.ndarray:
    wins, against = np.zeros((len(draws.names), len(draws.names))), scores[negative]
    for person in np.unique(draws.person[positive]):
        own = scores[positive & (draws.person == person)][:, None]
        wins[person] = draws.tally(negative, weights=((own > against) + 0.5 * (own == against)).sum(axis=0))
    pairs = (draws.counts @ draws.tally(positive)) * (draws.counts @ draws.tally(negative))
    return ratio(((draws.counts @ wins) * draws.counts).sum(axis=1), pairs)


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
