"""Scores of emotion classes and of Action Units, with their intervals over subjects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.evaluate.resampling import Draws, Interval, ratio
from medn_lab.records import Predictions, check_label, normalise_labels

AU_FIGURES = ("auc", "auc_low", "auc_high", "f1", "f1_low", "f1_high")


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
    return _score(accuracy, true, predicted)


def uf1(true: ArrayLike, predicted: ArrayLike) -> float:
    """Unweighted F1: the mean over the classes in `true` of the F1 of the pooled predictions, in [0, 1].

    Every class counts the same, however rare. Pool the predictions of all folds first, then compute: the mean of the
    folds' UF1 is another, lower number.

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

    References
    ----------
    See et al.: "MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge", FG 2019.

    Examples
    --------
    >>> round(uf1(["a", "a", "b"], ["a", "b", "b"]), 4)
    0.6667
    """
    return _score(uf1, true, predicted)


def uar(true: ArrayLike, predicted: ArrayLike) -> float:
    """Unweighted average recall (balanced accuracy) over the classes in `true`, of the pooled predictions, in [0, 1].

    Parameters
    ----------
    true, predicted : (n,) array-like
        Class names or numbers of the same clips, in one spelling or another: ``"disgust "`` is ``"disgust"``.

    Returns
    -------
    float
        Chance is one over the number of classes.

    Raises
    ------
    ValueError
        If the lengths differ, a class is missing, or there are no clips.

    Examples
    --------
    >>> uar(["a", "a", "b"], ["a", "b", "b"])
    0.75
    """
    return _score(uar, true, predicted)


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
    counts = pd.crosstab(pd.Series(true, name="true"), pd.Series(predicted, name="predicted"))
    return counts.reindex(index=list(predictions.classes), columns=list(predictions.classes), fill_value=0)


def true_and_predicted(predictions: Predictions, *, label: str = "label") -> tuple[np.ndarray, np.ndarray]:
    """The true and the predicted class of each clip; ValueError where a clip has no class or an unknown one."""
    true = check_label(predictions.table, label=label).to_numpy(dtype=object)
    unknown = sorted(set(true) - set(predictions.classes))
    if unknown:
        raise ValueError(f"{label!r} holds {', '.join(unknown)}; the classes are {', '.join(predictions.classes)}")
    return true, predictions.predicted


def _by_group(true: np.ndarray, predicted: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """A confusion matrix of each group of clips, (n_groups, k, k) float; all clips are one group where None."""
    classes, codes = np.unique(np.concatenate([true, predicted]).astype(str), return_inverse=True)
    group = np.zeros(len(true), dtype=int) if group is None else group
    counts = np.zeros((group.max() + 1, len(classes), len(classes)))
    np.add.at(counts, (group, codes[: len(true)], codes[len(true) :]), 1)
    return counts


def _from_counts(measure: Callable[..., float], counts: np.ndarray) -> np.ndarray:
    """Accuracy, UF1 or UAR of many confusion matrices at once, (r, k, k) to (r,): thousands of resamples a second.

    Rows are true classes; a class without a clip in a matrix is left out of its mean.
    """
    right, true, called = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
    if measure is accuracy:
        return right.sum(axis=1) / true.sum(axis=1)
    each = 2 * right / np.maximum(true + called, 1) if measure is uf1 else right / np.maximum(true, 1)
    return np.mean(each, axis=1, where=true > 0)


def _score(measure: Callable[..., float], true: ArrayLike, predicted: ArrayLike) -> float:
    if isinstance(true, pd.Series) and isinstance(predicted, pd.Series) and not true.index.equals(predicted.index):
        raise ValueError("true and predicted have different indices; join them by clip_id first")
    both = [normalise_labels(pd.Series(values, dtype=object)).to_numpy() for values in (true, predicted)]
    if len(both[0]) != len(both[1]) or not len(both[0]):
        raise ValueError(f"there are {len(both[0])} true and {len(both[1])} predicted classes; there must be as many")
    for name, values in zip(("true", "predicted"), both, strict=True):
        if (missing := pd.isna(values) | (values == "")).any():
            raise ValueError(f"{missing.sum()} of {len(values)} {name} classes are missing; leave those clips out")
    return float(_from_counts(measure, _by_group(*both))[0])


def class_values(measure: Callable[..., float], true: np.ndarray, predicted: np.ndarray, draws: Draws) -> np.ndarray:
    """A measure of (true, predicted) in the sample and in each draw, (1 + n_resamples,).

    Accuracy, UF1 and UAR are read from one confusion matrix a person; any other measure is computed on the repeated
    clips, which takes a call a resample.
    """
    if measure in (accuracy, uf1, uar):
        return _from_counts(measure, np.tensordot(draws.counts, _by_group(true, predicted, draws.person), axes=1))
    rows = (np.repeat(np.arange(len(true)), times) for times in draws.counts.astype(int)[:, draws.person])
    return np.array([measure(true[row], predicted[row]) for row in rows], dtype=float)


def bootstrap_interval(
    predictions: Predictions, *, measure: Callable[[np.ndarray, np.ndarray], float] = accuracy, label: str = "label",
    n_resamples: int = 2000, seed: int = 0,
) -> Interval:  # fmt: skip
    """A score with a 95 % interval over persons: Student's t with the standard error of resampling whole subjects.

    Clips of one person resemble each other, so persons and not clips are drawn with replacement; with the field's 16 to
    30 subjects the interval is wide, and should be shown. A score in [0, 1] has an interval within [0, 1], which keeps
    a width where every clip is right. The interval is for other persons met under the same conditions, not for another
    data set and not for another training run. In simulations with person effects a 95 % interval of accuracy, UF1 and
    UAR covers .93 to .99 from 5 persons on, for scores of .60 to .98.

    Parameters
    ----------
    predictions : Predictions
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, or any function of (true, predicted). The three are fast; any other
        is called once a resample, and its interval is kept within [0, 1] if all its values are.
    label : str
        Column of the true class.
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
    draws = Draws(predictions.table, n_resamples=n_resamples, seed=seed)
    values = class_values(measure, true, predicted, draws)
    share = not ((values < 0) | (values > 1)).any()
    low, high = draws.bounds(values, n_clips=len(true) if share else 0, share=share)
    return Interval(float(values[0]), low, high, len(true), len(draws.names))


def au_detection(
    predictions: Predictions, *, min_positives: int = 10, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUC and F1 of each AU, with the positives behind it and a 95 % interval over subjects.

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
        If the predictions hold no AU scores, or there are fewer than 2 subjects.

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
        raise ValueError("these predictions hold no AU scores: the model has no motion branch or no AUs")
    draws = Draws(predictions.table, n_resamples=n_resamples, seed=seed)
    coded = predictions.table.reindex(columns=list(predictions.aus)).to_numpy(dtype=float, na_value=np.nan)
    rows, macro = [], []
    for au, codes, logits in zip(predictions.aus, coded.T, predictions.au_logits.T, strict=True):
        positive, negative = codes == 1, codes == 0
        n_positive, n_negative = int(positive.sum()), int(negative.sum())
        n_known, n_subjects = n_positive + n_negative, len(np.unique(draws.person[positive]))
        row: dict[str, Any] = {
            "au": au, "n_positive": n_positive, "n_negative": n_negative, "n_unknown": len(codes) - n_known,
            "n_subjects": n_subjects, **dict.fromkeys(AU_FIGURES, np.nan), "in_macro": False, "reason": "",
        }  # fmt: skip
        rows.append(row)
        if not n_positive or not n_negative:
            kind = "positive" if not n_positive else "negative"
            row["reason"] = f"no {kind} among {n_known} coded clips" if n_known else "it is coded in no clip"
            continue
        values = _auc_and_f1(logits, positive, negative, draws)
        for name, of_draws in zip(("auc", "f1"), values, strict=True):
            # The interval is over the few persons who show the AU.
            low, high = draws.bounds(of_draws, n_clips=n_known, share=True, n_people=n_subjects)
            row |= {name: float(of_draws[0]), f"{name}_low": low, f"{name}_high": high}
        if n_subjects < 2:
            row["reason"] = "all positives are of one subject: no interval"
        if n_positive >= min_positives:
            row["in_macro"] = True
            macro.append(values)
    table = pd.DataFrame(rows)
    table.attrs = {"min_positives": min_positives, "macro_auc": None, "macro_f1": None}
    for name, values in zip(("macro_auc", "macro_f1"), np.swapaxes(macro, 0, 1) if macro else (), strict=False):
        # A resample's mean is over the AUs that it holds positives (and negatives) of.
        mean = ratio(np.nan_to_num(values).sum(axis=0), (~np.isnan(values)).sum(axis=0))
        low, high = draws.bounds(mean, n_clips=len(coded), share=True)
        table.attrs[name] = Interval(float(mean[0]), low, high, len(coded), len(draws.names))
    return table


def _auc_and_f1(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, draws: Draws) -> np.ndarray:
    """AUC and F1 of an AU in the sample and in each draw, (2, 1 + n_resamples)."""
    counts, against = draws.counts, scores[negative]
    wins = np.zeros((len(draws.names),) * 2)
    for person in np.unique(draws.person[positive]):
        own = scores[positive & (draws.person == person)][:, None]
        wins[person] = draws.tally(negative, weights=((own > against) + 0.5 * (own == against)).sum(axis=0))
    drawn = counts @ draws.tally(positive)
    auc = ratio(((counts @ wins) * counts).sum(axis=1), drawn * (counts @ draws.tally(negative)))
    hits = counts @ draws.tally(positive & (scores >= 0))
    n_called = counts @ draws.tally((positive | negative) & (scores >= 0))
    return np.stack([auc, np.where(drawn > 0, 2 * hits / np.maximum(n_called + drawn, 1), np.nan)])
