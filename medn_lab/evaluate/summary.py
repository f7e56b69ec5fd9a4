"""Results of all predictions together: the score table, the difference of two models, and the summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medn_lab.evaluate import metrics
from medn_lab.evaluate.resampling import LEVEL, Draws
from medn_lab.records import EvaluationSummary, Predictions, normalise_labels, people

if TYPE_CHECKING:
    from medn_lab.evaluate.cross_validation import CrossValidation

MEASURES: dict[Callable[..., Any], str] = {metrics.accuracy: "accuracy", metrics.uf1: "UF1", metrics.uar: "UAR"}
SCORE_COLUMNS = ("part", "measure", "value", "low", "high", "floor", "n_clips", "n_subjects")


def score_table(scored: Predictions, floor: Predictions | None, label: str, n_resamples: int = 2000) -> pd.DataFrame:
    """Accuracy, UF1 and UAR of all clips and of each data set, with intervals and the score of the floor.

    The columns are `SCORE_COLUMNS`. Bounds are NaN where a part has fewer than 2 subjects, the floor's score where it
    decides none of the clips; it is over the clips that it decides. ``.attrs["floor"]`` is the floor's name.
    """
    parts = {"all": scored}
    if "dataset" in scored.table and len(set(scored.table["dataset"])) > 1:
        groups = scored.table.groupby("dataset", sort=True)["clip_id"]
        parts |= {str(name): scored.select(ids) for name, ids in groups}
    rows, of_floor = [], pd.Series(dtype=object)
    if floor is not None:
        of_floor = pd.Series(floor.predicted, index=floor.table["clip_id"].astype(str))
    for part, own in parts.items():
        true, predicted = metrics.true_and_predicted(own, label=label)
        decided = of_floor.reindex(own.table["clip_id"].astype(str))
        known = decided.notna().to_numpy()
        n_subjects = people(own.table).nunique() if "subject" in own.table else 0
        for measure, name in MEASURES.items():
            low = high = np.nan
            if n_subjects > 1:
                found = metrics.bootstrap_interval(own, measure=measure, label=label, n_resamples=n_resamples)
                low, high = found.low, found.high
            beneath = measure(true[known], decided[known].to_numpy()) if known.any() else np.nan
            rows.append((part, name, measure(true, predicted), low, high, beneath, len(own), n_subjects))
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    if floor is not None:
        scores.attrs["floor"] = floor.source["name"]
    return scores


def unseen_line(folds: pd.DataFrame) -> str:
    """How many clips count as wrong because no training clip has their class; empty for none."""
    rows = folds[(folds["error"] == "") & (folds["n_unseen"] > 0)]
    if rows.empty:
        return ""
    names, n = sorted(set(", ".join(rows["unseen"]).split(", "))), rows["n_unseen"].sum()
    return f"{n} clip{'s count' if n > 1 else ' counts'} as wrong: no training clip is of {', '.join(names)}"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The difference of two models' scores on the same clips.

    Attributes
    ----------
    table : DataFrame
        One row: ``model_a, model_b, measure``; ``a, b`` (the scores) and their ``difference``
        (`a` minus `b`); ``low, high`` (its bounds at ``level``: Student's t with the standard error over resampled
        subjects, the same subjects for both models); ``p`` (share of the resamples in which the difference is 0 or on
        the other side of 0; 1 where it is 0); ``n_clips, n_subjects, n_resamples``; ``same_folds`` (whether the clips
        were held out in the same folds, or outside any).
    subjects : DataFrame
        ``subject, n_clips, a, b, difference``: accuracy person by person, which shows who decides.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcdef"), "subject": list("112233"), "label": list("xyxyxy")})
    >>> right = Predictions(np.eye(2)[[0, 1, 0, 1, 0, 1]], table, ("x", "y"))
    >>> wrong = Predictions(np.eye(2)[[0, 1, 0, 0, 1, 1]], table, ("x", "y"))
    >>> compare_predictions(right, wrong).table[["difference", "n_subjects"]].round(3).to_dict("list")
    {'difference': [0.333], 'n_subjects': [3]}
    """

    table: pd.DataFrame
    subjects: pd.DataFrame

    def __repr__(self) -> str:
        row = self.table.iloc[0]
        clear = "clear of 0" if row["low"] > 0 or row["high"] < 0 else "not clear of 0"
        folds = "" if row["same_folds"] else "\n  the two were not trained on the same folds"
        return (
            "{measure}: {model_a} {a:.3f}, {model_b} {b:.3f}\n  difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
            ", {clear} ({level:.0%}, {n_subjects} subjects, {n_clips} clips)\n"
            "  {other} of {n_resamples} resamples at 0 or on the other side"
        ).format(**row, clear=clear, other=round(row["p"] * row["n_resamples"])) + folds


def compare_predictions(
    a: Predictions, b: Predictions, *, measure: Callable[..., Any] = metrics.accuracy, label: str = "label",
    names: tuple[str, str] | None = None, n_resamples: int = 2000, seed: int = 0,
) -> Comparison:  # fmt: skip
    """The difference of two models' scores on the same clips, with a paired 95 % interval over subjects.

    A subject who is difficult for one model is often difficult for the other. Both models are scored on the same
    resampled subjects, so the interval of the difference is narrower than two separate intervals suggest. It describes
    other subjects, not other training runs: two seeds of one model can differ by more.

    Parameters
    ----------
    a, b : Predictions
        Of the same clips, in any order; rows are joined by ``clip_id``. The AU-only floor is such a record.
    measure : callable
        :func:`accuracy`, :func:`uf1`, :func:`uar`, or any function of (true, predicted).
    label : str
        Column of the true class.
    names : (str, str), optional
        What to call the two; by default what their source says.
    n_resamples : int
    seed : int

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the clips or their labels differ, or there are fewer than 2 subjects.

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
    answers = [metrics.true_and_predicted(one, label=label) for one in (a, b)]
    if (differ := np.flatnonzero(answers[0][0] != answers[1][0])).size:
        first = f"{a.table['clip_id'].iloc[differ[0]]!r} ({answers[0][0][differ[0]]}, {answers[1][0][differ[0]]})"
        raise ValueError(f"{len(differ)} of {len(a)} clips are labelled otherwise in a than in b, such as {first}")
    draws = Draws(a.table, n_resamples=n_resamples, seed=seed)
    of_a, of_b = (metrics.class_values(measure, *one, draws) for one in answers)
    differences = of_a - of_b
    same = np.array_equal(a.probabilities, b.probabilities)  # A model and itself differ by nothing.
    shares = not any(((values < 0) | (values > 1)).any() for values in (of_a, of_b))
    low, high = draws.bounds(differences, n_clips=len(a) if shares and not same else 0)
    defined = differences[1:][~np.isnan(differences[1:])]
    if names is None:
        own = [str(one.source.get("name", "")) for one in (a, b)]
        names = ("a", "b") if "" in own or own[0] == own[1] else (own[0], own[1])
    row = {
        "model_a": str(names[0]), "model_b": str(names[1]),
        "measure": MEASURES.get(measure, getattr(measure, "__name__", type(measure).__name__)),
        "a": of_a[0], "b": of_b[0], "difference": differences[0], "low": low, "high": high,
        "p": np.mean(defined * np.sign(differences[0]) <= 0), "level": LEVEL, "n_clips": len(a),
        "n_subjects": len(draws.names), "n_resamples": len(defined),
        # Two numberings that divide the clips in the same way have the same codes.
        "same_folds": np.array_equal(*([] if one.fold is None else pd.factorize(one.fold)[0] for one in (a, b))),
    }  # fmt: skip
    persons = pd.DataFrame({"subject": np.array(draws.names, dtype=object)[draws.person], "n_clips": 1})
    persons = persons.assign(a=answers[0][0] == a.predicted, b=answers[0][0] == b.predicted)
    persons = persons.groupby("subject").agg({"n_clips": "sum", "a": "mean", "b": "mean"}).reset_index()
    return Comparison(pd.DataFrame([row]), persons.assign(difference=persons["a"] - persons["b"]))


def evaluation_summary(
    predictions: Predictions | CrossValidation, *, floor: Predictions | None = None, ceilings: Any = None,
    label: str = "label", n_resamples: int = 2000,
) -> EvaluationSummary:  # fmt: skip
    """Scores with their intervals, persons, AUs and folds in one record, as ``medn.widgets.EvaluationPanel`` shows it.

    What cannot be scored is left out and not refused: clips without a label, or with one that the model does not
    know, are not scored; one subject has no interval; predictions without AU scores have no AU table. `notes` says so.

    Parameters
    ----------
    predictions : Predictions or CrossValidation
        Of a cross-validation, its floor, folds and label column are taken too.
    floor : Predictions, optional
        :func:`au_only_floor` of the same clips; only clips that it decides are compared with it.
    ceilings : Series or mapping of str to float, optional
        ``medn.synthme.ceilings(table)``, or accuracies by name.
    label : str
        Column of the true class.
    n_resamples : int

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
    ([1.0, 1.0, 1.0], '1 of 3 clips has no label that the model knows: not scored.')
    """
    folds, notes, aus = None, [], None
    if not isinstance(predictions, Predictions):
        floor, folds, label = floor or predictions.floor, predictions.folds, predictions.label
        predictions, wrong = predictions.predictions, unseen_line(folds)
        notes += [f"{wrong}."] * bool(wrong)
    table = predictions.table
    scores, subjects = pd.DataFrame(), pd.DataFrame()
    truth = normalise_labels(table.get(label, pd.Series(None, table.index, dtype=object)))
    keep = truth.isin(predictions.classes)
    if n := int((~keep).sum()):
        strange = ", ".join(sorted(set(truth[~keep].dropna()) - {""}))
        lacking = f"{n} of {len(keep)} clips {'has' if n == 1 else 'have'} no {label} that the model knows"
        notes.append(f"{lacking} ({strange}): not scored." if strange else f"{lacking}: not scored.")
    if keep.any():
        scored = replace(predictions, table=table.assign(**{label: truth})).select(table["clip_id"][keep])
        scores = score_table(scored, floor, label, n_resamples)
        several = "dataset" in scored.table and len(set(scored.table["dataset"])) > 1
        who = people(scored.table) if several else scored.table.get("subject")
        answers = pd.DataFrame({"true": scored.table[label], "subject": who, "held": scored.table.get("subject")})
        answers["right"] = answers["true"] == scored.predicted
        if len(set(answers["true"])) == 1:
            notes.append(f"All scored clips are of one class ({answers['true'].iloc[0]}): the scores say little.")
        known = True if floor is None else scored.table["clip_id"].isin(floor.table["clip_id"])
        if floor is not None and not np.all(known):
            notes.append(f"The {floor.source['name']} knows {np.sum(known)} of the {len(scored)} scored clips.")
        if scores["n_subjects"].iloc[0] < 2:
            notes.append("No intervals: they resample subjects, and fewer than 2 are known here.")
        missed = answers[~answers["right"]].groupby("subject")["true"].agg(lambda own: own.value_counts().index[0])
        subjects = answers.groupby("subject")["right"].agg(n_clips="size", accuracy="mean")
        subjects = subjects.assign(most_missed=missed).fillna({"most_missed": ""}).reset_index()
        if folds is None and scored.fold is not None:
            held = answers.groupby(scored.fold)
            folds = held["right"].agg(n_test="size", accuracy="mean").rename_axis("fold").reset_index()
            names = [own.iloc[0] if len(set(own)) == 1 else f"fold {fold}" for fold, own in held["held"]]
            folds = folds.assign(held_out=names, error="")
    try:
        aus = metrics.au_detection(predictions, n_resamples=n_resamples)
    except ValueError as reason:
        notes.append(f"No AU table: {reason}.")
    titles = {"au_only": "AUs alone", "cue_only": "cue alone", "joint": "AUs and cue"}
    limits = pd.Series(ceilings, dtype=float).rename(titles).to_dict()
    return EvaluationSummary(predictions, scores, subjects, aus, folds, limits, label, tuple(notes))
