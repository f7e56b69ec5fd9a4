"""One call that works out everything there is to say of a model's predictions, and says what cannot be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from medn_lab.evaluate.au_detection import au_detection
from medn_lab.evaluate.cross_validation import MEASURES, CrossValidation, unseen_line
from medn_lab.evaluate.floors import Floor
from medn_lab.evaluate.intervals import bootstrap_interval
from medn_lab.records import EvaluationSummary, Predictions, normalise_labels, people

SCORE_COLUMNS = ("part", "measure", "value", "low", "high", "floor", "n_clips", "n_subjects")
FOLD_COLUMNS = ("fold", "held_out", "n_test", "accuracy", "error")


class _Ceilings(Protocol):
    """What ``medn.synthme.ceilings`` returns."""

    au_only: float
    cue_only: float
    joint: float


def evaluation_summary(
    predictions: Predictions | CrossValidation,
    *,
    floor: Floor | None = None,
    ceilings: _Ceilings | Mapping[str, float] | None = None,
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
    ceilings : optional
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
    >>> told = evaluation_summary(Predictions(np.eye(3, 2), table, ("x", "y")))
    >>> told.scores["value"].tolist(), told.notes[0]
    ([1.0, 1.0, 1.0], '1 of 3 clips has no label and is not scored.')
    """
    folds = None
    if isinstance(predictions, CrossValidation):
        floor, folds, label = floor or predictions.floor, predictions.folds, predictions.label
        predictions = predictions.predictions
    settings: dict[str, Any] = {"level": level, "n_resamples": n_resamples, "seed": seed}
    scored, notes = _scored(predictions, label)
    scores, told = _scores(scored, floor, label, settings)
    notes += told
    aus = None
    try:
        aus = au_detection(predictions, min_positives=min_positives, **settings).table
    except ValueError as reason:
        notes.append(f"No AU table: {reason}.")
    if folds is None and scored is not None and scored.fold is not None:
        folds = _folds(scored, label, scored.fold)
    if folds is not None and unseen_line(folds):
        notes.append(f"{unseen_line(folds)}.")
    return EvaluationSummary(
        predictions=predictions,
        scores=scores,
        subjects=_subjects(scored, label),
        aus=aus,
        folds=None if folds is None else folds[[name for name in FOLD_COLUMNS if name in folds]],
        ceilings=_named(ceilings),
        label=label,
        notes=tuple(notes),
    )


def _scored(predictions: Predictions, label: str) -> tuple[Predictions | None, list[str]]:
    """The clips that can be scored (None without any), and what was left out."""
    if not len(predictions):
        return None, ["There are no clips."]
    if label not in predictions.table:
        return None, [f"The table has no column {label!r}: nothing can be scored."]
    truth, notes = normalise_labels(predictions.table[label]), []
    unlabelled = (truth.isna() | (truth == "")).to_numpy()
    strange = ~unlabelled & ~truth.isin(predictions.classes).to_numpy()
    of = f"of {len(truth)} clips"
    if unlabelled.any():
        n = int(unlabelled.sum())
        notes.append(f"{n} {of} {'has' if n == 1 else 'have'} no label and {'is' if n == 1 else 'are'} not scored.")
    if strange.any():
        names = ", ".join(sorted(set(truth[strange].astype(str))))
        known = ", ".join(predictions.classes)
        notes.append(
            f"{int(strange.sum())} {of} are labelled {names}, which this model does not know (its classes are {known});"
            " they are not scored."
        )
    keep = ~(unlabelled | strange)
    if not keep.any():
        return None, [*notes, "No clip is left to be scored."]
    if len(set(truth[keep])) == 1:
        notes.append(f"All scored clips are of one class ({truth[keep].iloc[0]}): the scores say little.")
    table = predictions.table.assign(**{label: truth})
    return replace(predictions, table=table).select(table["clip_id"][keep]), notes


def _scores(
    scored: Predictions | None, floor: Floor | None, label: str, settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, list[str]]:
    """A row a measure and part; the columns of :attr:`EvaluationSummary.scores`."""
    if scored is None:
        return pd.DataFrame(columns=list(SCORE_COLUMNS)), []
    notes = []
    parts = {"all": scored}
    if "dataset" in scored.table and len(set(scored.table["dataset"])) > 1:
        groups = scored.table.groupby("dataset", sort=True)["clip_id"]
        parts |= {str(name): scored.select(ids) for name, ids in groups}
    rows = []
    for part, own in parts.items():
        beneath, told = _beneath(own, floor, label)
        if part == "all" and told:
            notes.append(told)
        n_subjects = people(own.table).nunique() if "subject" in own.table else 0
        if part == "all" and n_subjects < 2:
            notes.append("No intervals: they resample subjects, and fewer than 2 are known here.")
        for name, measure in MEASURES.items():
            low = high = np.nan
            if n_subjects > 1:
                found = bootstrap_interval(own, measure=measure, label=label, **settings)
                low, high = found.low, found.high
            value = measure(own.table[label].to_numpy(dtype=object), own.predicted)
            under = np.nan if beneath is None else measure(*beneath)
            row = (part, name, value, low, high, under, len(own), n_subjects)
            rows.append(dict(zip(SCORE_COLUMNS, row, strict=True)))
    scores = pd.DataFrame(rows)
    if floor is not None:
        scores.attrs["floor"] = floor.name
        if floor.n_doubtful:
            notes.append(f"{floor.n_doubtful} clips with AUs in doubt count as unknown in the {floor.name}.")
    return scores, notes


def _beneath(own: Predictions, floor: Floor | None, label: str) -> tuple[tuple[np.ndarray, np.ndarray] | None, str]:
    """Truth and the floor's decision of the clips that it decides; and a sentence if those are not all."""
    if floor is None:
        return None, "No AU-only floor was given."
    truth = own.table.set_index("clip_id")[label]
    both = [clip_id for clip_id in truth.index if clip_id in floor.predicted.index]
    if not both:
        return None, f"The {floor.name} is of other clips."
    told = "" if len(both) == len(truth) else f"The {floor.name} knows {len(both)} of the {len(truth)} scored clips."
    return (truth[both].to_numpy(dtype=object), floor.predicted[both].to_numpy(dtype=object)), told


def _subjects(scored: Predictions | None, label: str) -> pd.DataFrame:
    columns = ["subject", "n_clips", "accuracy", "most_missed"]
    if scored is None or "subject" not in scored.table:
        return pd.DataFrame(columns=columns)
    several = "dataset" in scored.table and len(set(scored.table["dataset"])) > 1
    who = people(scored.table) if several else scored.table["subject"]
    rows = []
    truth, right = scored.table[label].to_numpy(dtype=object), scored.predicted == scored.table[label].to_numpy()
    for name in sorted(set(who)):
        own = (who == name).to_numpy()
        missed = pd.Series(truth[own & ~right]).value_counts()
        rows.append((name, int(own.sum()), float(right[own].mean()), missed.index[0] if len(missed) else ""))
    return pd.DataFrame(rows, columns=columns)


def _folds(scored: Predictions, label: str, fold: np.ndarray) -> pd.DataFrame:
    """What each fold that held clips out scored."""
    right = scored.predicted == scored.table[label].to_numpy()
    rows = []
    for number in np.unique(fold):
        own = fold == number
        held = scored.table["subject"][own].unique() if "subject" in scored.table else []
        rows.append((number, held[0] if len(held) == 1 else f"fold {number}", int(own.sum()), right[own].mean(), ""))
    return pd.DataFrame(rows, columns=list(FOLD_COLUMNS))


def _named(ceilings: _Ceilings | Mapping[str, float] | None) -> dict[str, float]:
    if ceilings is None:
        return {}
    if isinstance(ceilings, Mapping):
        return {str(name): float(value) for name, value in ceilings.items()}
    return {"AUs alone": ceilings.au_only, "cue alone": ceilings.cue_only, "AUs and cue": ceilings.joint}
