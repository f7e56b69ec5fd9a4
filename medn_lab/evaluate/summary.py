"""What is read from predictions as a whole: the score table, the difference of two models, and the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medn_lab.evaluate.metrics import (
    accuracy,
    au_detection,
    bootstrap_interval,
    class_values,
    true_and_predicted,
    uar,
    uf1,
)
from medn_lab.evaluate.pairs import Floor, confusable_pairs, pair_auc, pair_values, pairs_within_folds
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.records import EvaluationSummary, Predictions, normalise_labels, people

if TYPE_CHECKING:
    from medn_lab.evaluate.cross_validation import CrossValidation

MEASURES = {"accuracy": accuracy, "UF1": uf1, "UAR": uar}
SCORE_COLUMNS = ("part", "measure", "value", "low", "high", "floor", "n_clips", "n_subjects")
SUBJECT_COLUMNS = ("subject", "n_clips", "accuracy", "most_missed")
FOLD_COLUMNS = ("fold", "held_out", "n_test", "accuracy", "error")


def score_table(predictions: Predictions, floor: Floor | None, *, label: str, **settings: Any) -> pd.DataFrame:
    """Accuracy, UF1 and UAR of all clips and of each data set, with intervals and the score of the floor.

    The columns are `SCORE_COLUMNS`. Bounds are NaN where a part has fewer than 2 subjects, the floor's score where it
    decides none of the clips; it is over the clips that it decides. ``.attrs["floor"]`` is the floor's name; `settings`
    are those of :func:`bootstrap_interval`.
    """
    parts = {"all": predictions}
    if "dataset" in predictions.table and len(set(predictions.table["dataset"])) > 1:
        groups = predictions.table.groupby("dataset", sort=True)["clip_id"]
        parts |= {str(name): predictions.select(ids) for name, ids in groups}
    rows = []
    for part, own in parts.items():
        true, predicted = true_and_predicted(own, label=label)
        decided = _decided(floor, own)
        known = decided.notna().to_numpy()
        n_subjects = people(own.table).nunique() if "subject" in own.table else 0
        for name, measure in MEASURES.items():
            low = high = np.nan
            if n_subjects > 1:
                found = bootstrap_interval(own, measure=measure, label=label, **settings)
                low, high = found.low, found.high
            beneath = measure(true[known], decided[known].to_numpy()) if known.any() else np.nan
            rows.append((part, name, measure(true, predicted), low, high, beneath, len(own), n_subjects))
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    if floor is not None:
        scores.attrs["floor"] = floor.name
    return scores


def _decided(floor: Floor | None, own: Predictions) -> pd.Series:
    """The floor's class of each clip; NaN where it has none."""
    decided = pd.Series(dtype=object) if floor is None else floor.predicted
    return decided.reindex(own.table["clip_id"].astype(str))


def unseen_line(folds: pd.DataFrame) -> str:
    """How many clips count as wrong because no training clip has their class; empty for none."""
    rows = folds[(folds["error"] == "") & (folds["n_unseen"] > 0)] if "n_unseen" in folds else folds[:0]
    if not len(rows):
        return ""
    names, n = sorted({name for text in rows["unseen"] for name in text.split(", ")}), int(rows["n_unseen"].sum())
    return f"{n} clip{'s count' if n > 1 else ' counts'} as wrong: no training clip is of {', '.join(names)}"


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
    ids_a, ids_b = set(a.table["clip_id"]), set(b.table["clip_id"])
    if ids_a != ids_b:
        both = len(ids_a & ids_b)
        raise ValueError(f"a holds {len(ids_a)} clips and b {len(ids_b)}, of which {both} are in both; select those")
    b = b.select(a.table["clip_id"])
    answers = [true_and_predicted(one, label=label) for one in (a, b)]
    if (differ := np.flatnonzero(answers[0][0] != answers[1][0])).size:
        first = f"{a.table['clip_id'].iloc[differ[0]]!r} ({answers[0][0][differ[0]]}, {answers[1][0][differ[0]]})"
        raise ValueError(f"{len(differ)} of {len(a)} clips are labelled otherwise in a than in b, such as {first}")
    draws = draw_subjects(a.table, n_resamples=n_resamples, level=level, seed=seed)
    if measure is pair_auc:
        every = confusable_pairs(a.table, label=label)
        pairs = pairs_within_folds(pairs_within_folds(every, a), b)
        if not len(pairs):
            apart = f"none of {len(every)} pairs was held out together in both; compare by another measure"
            raise ValueError(apart if len(every) else repr(pair_auc(a, label=label)))
        of_a, of_b = (pair_values(one, pairs, draws=draws) for one in (a, b))
    else:
        of_a, of_b = (class_values(measure, *one, draws=draws) for one in answers)
    differences = of_a - of_b
    same = np.array_equal(a.probabilities, b.probabilities)  # A model and itself differ by nothing.
    shares = not any(((values < 0) | (values > 1)).any() for values in (of_a, of_b))
    low, high = draws.bounds(differences, n_clips=len(a) if shares and not same else 0)
    defined = differences[1:][~np.isnan(differences[1:])]
    if names is None:
        own = [str(one.source.get("name", "")) for one in (a, b)]
        names = ("a", "b") if "" in own or own[0] == own[1] else (own[0], own[1])
    titles = {accuracy: "accuracy", uf1: "UF1", uar: "UAR", pair_auc: "pair AUC"}
    persons = pd.DataFrame({"subject": np.array(draws.names, dtype=object)[draws.person], "n_clips": 1})
    persons = persons.assign(a=answers[0][0] == a.predicted, b=answers[0][0] == b.predicted)
    persons = persons.groupby("subject").agg({"n_clips": "sum", "a": "mean", "b": "mean"}).reset_index()
    return Comparison(
        measure=titles.get(measure, getattr(measure, "__name__", type(measure).__name__)),
        names=(str(names[0]), str(names[1])),
        a=float(of_a[0]),
        b=float(of_b[0]),
        difference=float(differences[0]),
        low=low,
        high=high,
        p=float(np.mean(defined * np.sign(differences[0]) <= 0)),
        level=level,
        n_resamples=len(defined),
        n_clips=len(a),
        n_subjects=len(draws.names),
        same_folds=_same_partition(a.fold, b.fold),
        subjects=persons.assign(difference=persons["a"] - persons["b"]),
    )


def _same_partition(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two numberings divide the clips in the same way; the numbers themselves may differ."""
    if a is None or b is None:
        return a is None and b is None
    together = len(set(zip(a.tolist(), b.tolist(), strict=True)))
    return together == len(np.unique(a)) == len(np.unique(b))


def evaluation_summary(
    predictions: Predictions | CrossValidation,
    *,
    floor: Floor | None = None,
    ceilings: Any = None,
    label: str = "label",
    min_positives: int = 10,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> EvaluationSummary:
    """Scores with their intervals, persons, AUs and folds in one record, as ``medn.widgets.EvaluationPanel`` shows it.

    Nothing here is refused that can be left out instead: clips without a label, or with one that the model does not
    know, are not scored; one subject has no interval; predictions without AU scores have no AU table. `notes` says so.

    Parameters
    ----------
    predictions : Predictions or CrossValidation
        Of a cross-validation, its floor, folds and label column are taken too.
    floor : Floor, optional
        :func:`au_only_floor` of the same clips; only clips that it decides are compared with it.
    ceilings : Series or mapping of str to float, optional
        ``medn.synthme.ceilings(table)``, or accuracies by name.
    label : str
        Column of the true class.
    min_positives : int
        As :func:`au_detection` takes it.
    level : float
        Coverage of the intervals, in (0, 1).
    n_resamples : int
    seed : int

    Returns
    -------
    EvaluationSummary

    See Also
    --------
    bootstrap_interval, au_only_floor, au_detection, medn_lab.view.plot_evaluation

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", "1", "2"], "label": ["x", "y", None]})
    >>> summary = evaluation_summary(Predictions(np.eye(3, 2), table, ("x", "y")))
    >>> summary.scores["value"].tolist(), summary.notes[0]
    ([1.0, 1.0, 1.0], '1 of 3 clips has no label and is not scored.')
    """
    folds = None
    if not isinstance(predictions, Predictions):
        floor, folds, label = floor or predictions.floor, predictions.folds, predictions.label
        predictions = predictions.predictions
    settings: dict[str, Any] = {"level": level, "n_resamples": n_resamples, "seed": seed}
    scored, notes = _scored(predictions, label)
    scores, subjects = pd.DataFrame(columns=list(SCORE_COLUMNS)), pd.DataFrame(columns=list(SUBJECT_COLUMNS))
    if scored is not None:
        scores, subjects = score_table(scored, floor, label=label, **settings), _subjects(scored, label)
        if floor is None:
            notes.append("No AU-only floor was given.")
        elif (n := int(_decided(floor, scored).notna().sum())) < len(scored):
            notes.append(f"The {floor.name} knows {n} of the {len(scored)} scored clips.")
        if scores["n_subjects"].iloc[0] < 2:
            notes.append("No intervals: they resample subjects, and fewer than 2 are known here.")
        if folds is None and scored.fold is not None:
            folds = _folds(scored, label, scored.fold)
    aus = None
    try:
        aus = au_detection(predictions, min_positives=min_positives, **settings)
    except ValueError as reason:
        notes.append(f"No AU table: {reason}.")
    if folds is not None:
        notes += [f"{line}." for line in (unseen_line(folds),) if line]
        folds = folds[[name for name in FOLD_COLUMNS if name in folds]]
    if ceilings is not None and not isinstance(ceilings, Mapping):
        ceilings = {"AUs alone": ceilings.au_only, "cue alone": ceilings.cue_only, "AUs and cue": ceilings.joint}
    named = {str(name): float(value) for name, value in (ceilings or {}).items()}
    return EvaluationSummary(predictions, scores, subjects, aus, folds, named, label, tuple(notes))


def _scored(predictions: Predictions, label: str) -> tuple[Predictions | None, list[str]]:
    """The clips that can be scored (None without any), and a note for each reason why others are left out."""
    if label not in predictions.table:
        return None, [f"The table has no column {label!r}: nothing can be scored."]
    truth = normalise_labels(predictions.table[label])
    missing = (truth.isna() | (truth == "")).to_numpy()
    unknown = ~missing & ~truth.isin(predictions.classes).to_numpy()
    notes, of = [], f"of {len(truth)} clips"
    if n := int(missing.sum()):
        notes.append(f"{n} {of} {'has' if n == 1 else 'have'} no label and {'is' if n == 1 else 'are'} not scored.")
    if unknown.any():
        notes.append(
            f"{unknown.sum()} {of} are labelled {', '.join(sorted(set(truth[unknown].astype(str))))}, which this model"
            f" does not know (its classes are {', '.join(predictions.classes)}); they are not scored."
        )
    table, keep = predictions.table.assign(**{label: truth}), ~(missing | unknown)
    if len(set(truth[keep])) == 1:
        notes.append(f"All scored clips are of one class ({truth[keep].iloc[0]}): the scores say little.")
    return (replace(predictions, table=table).select(table["clip_id"][keep]) if keep.any() else None), notes


def _subjects(scored: Predictions, label: str) -> pd.DataFrame:
    """A row a person, with the class of theirs that was missed most often."""
    table = scored.table
    if "subject" not in table:
        return pd.DataFrame(columns=list(SUBJECT_COLUMNS))
    several = "dataset" in table and len(set(table["dataset"])) > 1
    answers = pd.DataFrame({"true": table[label], "right": scored.predicted == table[label].to_numpy()})
    rows = []
    for name, own in answers.groupby((people(table) if several else table["subject"]).to_numpy()):
        missed = own["true"][~own["right"]].value_counts()
        rows.append((name, len(own), float(own["right"].mean()), missed.index[0] if len(missed) else ""))
    return pd.DataFrame(rows, columns=list(SUBJECT_COLUMNS))


def _folds(scored: Predictions, label: str, fold: np.ndarray) -> pd.DataFrame:
    """A row a fold: whom it held out, and the accuracy."""
    answers = scored.table.assign(right=scored.predicted == scored.table[label].to_numpy())
    rows = []
    for number, own in answers.groupby(fold):
        held = own["subject"].unique() if "subject" in own else []
        rows.append((number, held[0] if len(held) == 1 else f"fold {number}", len(own), own["right"].mean(), ""))
    return pd.DataFrame(rows, columns=list(FOLD_COLUMNS))
