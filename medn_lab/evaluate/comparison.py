"""Two models on the same clips: the difference of their scores, and whether other subjects might turn it round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.evaluate.metrics import accuracy, true_and_predicted, uar, uf1
from medn_lab.evaluate.pairs import confusable_pairs, pair_auc, pair_statistic, pairs_within_folds
from medn_lab.evaluate.resampling import Draws, class_statistic, draw_subjects
from medn_lab.records import Predictions

_TITLES = {accuracy: "accuracy", uf1: "UF1", uar: "UAR", pair_auc: "pair AUC"}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The difference of two models' scores on the same clips.

    Attributes
    ----------
    measure : str
        What was measured.
    names : (str, str)
        The two models.
    a, b : float
        Their scores.
    difference : float
        `a` minus `b`.
    low, high : float
        Bounds of the difference at `level`: Student's t with the standard error over resampled subjects, the same
        subjects for both models.
    p : float
        Share of the resamples in which the difference is 0 or on the other side of 0; 1 where it is 0.
    level : float
    n_resamples, n_clips, n_subjects : int
    same_folds : bool
        Whether the clips were held out in the same folds, or outside any.
    subjects : DataFrame
        ``subject, n_clips, a, b, difference``: accuracy person by person, so that one can see who decides.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "label": list("xyxyxy")})
    >>> right = Predictions(np.eye(2)[[0, 1, 0, 1, 0, 1]], table, ("x", "y"))
    >>> wrong = Predictions(np.eye(2)[[0, 1, 0, 0, 1, 1]], table, ("x", "y"))
    >>> found = compare_predictions(right, wrong)
    >>> round(found.difference, 3), found.n_subjects
    (0.333, 3)
    """

    measure: str
    names: tuple[str, str]
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    level: float
    n_resamples: int
    n_clips: int
    n_subjects: int
    same_folds: bool
    subjects: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """All but the subjects as one row, to be put under others."""
        row = {name: getattr(self, name) for name in ("measure", "a", "b", "difference", "low", "high", "p", "level")}
        row |= {"n_clips": self.n_clips, "n_subjects": self.n_subjects}
        return pd.DataFrame([{"model_a": self.names[0], "model_b": self.names[1]} | row])

    def __repr__(self) -> str:
        other = round(self.p * self.n_resamples)
        clear = "clear of 0" if self.low > 0 or self.high < 0 else "not clear of 0"
        folds = "" if self.same_folds else "\n  the two were not trained on the same folds"
        return (
            f"{self.measure}: {self.names[0]} {self.a:.3f}, {self.names[1]} {self.b:.3f}\n"
            f"  difference {self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}], {clear}"
            f" ({self.level:.0%}, {self.n_subjects} subjects, {self.n_clips} clips)\n"
            f"  {other} of {self.n_resamples} resamples at 0 or on the other side{folds}"
        )


def compare_predictions(
    a: Predictions,
    b: Predictions,
    *,
    measure: Callable[..., Any] = accuracy,
    label: str = "label",
    names: tuple[str, str] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """The difference of two models' scores on the same clips, with a paired interval over subjects.

    A person who is hard for one model is mostly hard for the other, so the difference is far surer than two intervals
    side by side suggest: both models are scored on the same resampled subjects. The interval speaks of other subjects,
    not of other training runs: two seeds of one model can differ by more than it allows.

    Parameters
    ----------
    a, b : Predictions
        Of the same clips, in any order; rows are joined by ``clip_id``. The AU-only floor's ``predictions`` are such
        too.
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, :func:`pair_auc` (pairs within the folds of both models), or any
        function of (true, predicted).
    label : str
        Column of the true class.
    names : (str, str), optional
        What to call the two; by default what their source says.
    level : float
        Coverage, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the clips or their labels differ, there are fewer than 2 subjects, or with :func:`pair_auc` there is no pair.

    See Also
    --------
    bootstrap_interval, medn_lab.view.plot_comparison

    References
    ----------
    Efron, Tibshirani: "An Introduction to the Bootstrap", 1993, chapter 16.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "label": list("xyxyxy")})
    >>> right = Predictions(np.eye(2)[[0, 1, 0, 1, 0, 1]], table, ("x", "y"))
    >>> wrong = Predictions(np.eye(2)[[0, 1, 0, 0, 1, 1]], table, ("x", "y"))
    >>> compare_predictions(right, wrong, names=("ours", "theirs"))
    accuracy: ours 1.000, theirs 0.667
      difference +0.333 [-0.686, +1.000], not clear of 0 (95%, 3 subjects, 6 clips)
      76 of 2000 resamples at 0 or on the other side
    """
    b = _aligned(a, b, label=label)
    draws = draw_subjects(a.table, n_resamples=n_resamples, level=level, seed=seed)
    if measure is pair_auc:
        pairs = _pairs_of_both(a, b, label=label)
        first, second = (pair_statistic(p, pairs, draws=draws) for p in (a, b))
    else:
        answers = (true_and_predicted(p, label=label) for p in (a, b))
        first, second = (class_statistic(measure, true, said, draws=draws) for true, said in answers)
    of_a, of_b = first(draws.counts), second(draws.counts)
    value_a, value_b = float(of_a[0]), float(of_b[0])
    differences = of_a - of_b
    same = np.array_equal(a.probabilities, b.probabilities)  # a model and itself differ by nothing
    low, high = draws.bounds(differences, n_clips=0 if same or not _shares(of_a, of_b) else len(a))
    defined = differences[1:][~np.isnan(differences[1:])]
    side = np.sign(value_a - value_b)
    return Comparison(
        measure=_TITLES.get(measure, getattr(measure, "__name__", type(measure).__name__)),
        names=_names(a, b) if names is None else (str(names[0]), str(names[1])),
        a=value_a,
        b=value_b,
        difference=value_a - value_b,
        low=low,
        high=high,
        p=float(np.mean(defined * side <= 0)),
        level=level,
        n_resamples=len(defined),
        n_clips=len(a),
        n_subjects=len(draws.names),
        same_folds=_same_partition(a.fold, b.fold),
        subjects=_by_subject(a, b, draws, label=label),
    )


def _aligned(a: Predictions, b: Predictions, *, label: str) -> Predictions:
    ids_a, ids_b = set(a.table["clip_id"]), set(b.table["clip_id"])
    if ids_a != ids_b:
        raise ValueError(
            f"a holds {len(ids_a)} clips and b {len(ids_b)}, of which {len(ids_a & ids_b)} are in both;"
            " choose those with predictions.select before comparing"
        )
    b = b.select(a.table["clip_id"])
    true_a, true_b = (true_and_predicted(predictions, label=label)[0] for predictions in (a, b))
    differ = true_a != true_b
    if differ.any():
        place = int(np.flatnonzero(differ)[0])
        raise ValueError(
            f"{differ.sum()} of {len(a)} clips are labelled otherwise in a than in b, such as"
            f" {a.table['clip_id'].iloc[place]!r} ({true_a[place]}, {true_b[place]});"
            " both must come from one table and one protocol"
        )
    return b


def _pairs_of_both(a: Predictions, b: Predictions, *, label: str) -> pd.DataFrame:
    every = confusable_pairs(a.table, label=label)
    pairs = pairs_within_folds(pairs_within_folds(every, a), b)
    if not len(pairs):
        apart = f"none of {len(every)} pairs was held out together in both; compare by another measure"
        raise ValueError(apart if len(every) else repr(pair_auc(a, label=label)))
    return pairs


def _shares(*values: np.ndarray) -> bool:
    return not any(((one < 0) | (one > 1)).any() for one in values)


def _names(a: Predictions, b: Predictions) -> tuple[str, str]:
    told = [str(predictions.source.get("name", "")) for predictions in (a, b)]
    return (told[0], told[1]) if all(told) and told[0] != told[1] else ("a", "b")


def _same_partition(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two numberings divide the clips in the same way; the numbers themselves may differ."""
    if a is None or b is None:
        return a is None and b is None
    together = len(set(zip(a.tolist(), b.tolist(), strict=True)))
    return together == len(np.unique(a)) == len(np.unique(b))


def _by_subject(a: Predictions, b: Predictions, draws: Draws, *, label: str) -> pd.DataFrame:
    true, said_a = true_and_predicted(a, label=label)
    said_b = b.predicted
    rows = pd.DataFrame({"subject": np.array(draws.names, dtype=object)[draws.person]})
    rows = rows.assign(n_clips=1, a=true == said_a, b=true == said_b)
    by = rows.groupby("subject").agg(n_clips=("n_clips", "sum"), a=("a", "mean"), b=("b", "mean")).reset_index()
    return by.assign(difference=by["a"] - by["b"])
