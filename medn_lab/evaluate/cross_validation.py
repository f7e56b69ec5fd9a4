"""What a cross-validation found: pooled predictions, a row a fold, scores with intervals beside their floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.protocols import Fold
from medn_lab.evaluate.floors import Floor, au_only_floor
from medn_lab.evaluate.fold_store import FoldOutcome
from medn_lab.evaluate.folds import Plan, classes_unseen
from medn_lab.evaluate.intervals import bootstrap_interval
from medn_lab.evaluate.metrics import accuracy, true_and_predicted, uar, uf1
from medn_lab.records import Predictions, au_columns, people, require, run_record
from medn_lab.records.provenance import describe_source

MEASURES = {"accuracy": accuracy, "UF1": uf1, "UAR": uar}

DEFAULTS: dict[str, Any] = {"level": 0.95, "n_resamples": 2000, "seed": 0}
"""How the intervals are made that a cross-validation prints."""

CALLS = {"leave one subject out": "evaluate_loso", "leave one data set out": "evaluate_cross_dataset"}
"""Which function makes folds in this way."""


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The result of :func:`evaluate_loso` and its kin.

    Attributes
    ----------
    predictions : Predictions
        Every held-out clip once, in the order of the clips' table, with its ``fold`` and the ``protocol``.
    folds : DataFrame
        One row a fold: ``fold, held_out, dataset, subject, n_train, n_test``, ``n_<class>`` (held-out clips of each
        class), ``accuracy, seconds, error, unseen, n_unseen``; where a fold failed, `error` is the sentence and the
        accuracy NaN. `unseen` names the classes that the fold tests and does not train; their `n_unseen` clips count
        as wrong.
    floor : Floor
        What AUs alone score on the same clips and the same folds.
    dropped : DataFrame
        Rows that the protocol drops or whose class is left out, with the reason.
    split : str
        How the folds were made.
    label : str
        Column of the true class in the predictions' table.

    Examples
    --------
    >>> from medn_lab.evaluate import au_only_floor
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> table["action_units"] = "4"
    >>> said = Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y"))
    >>> folds = pd.DataFrame({"held_out": ["1", "2"], "n_test": 2, "accuracy": [1.0, 0.5], "error": ""})
    >>> CrossValidation(said, folds, au_only_floor(table), table[:0], "leave one subject out", "label")
    leave one subject out, no protocol: 2 of 2 folds finished, 4 clips of 2 subjects
      accuracy 0.750 [0.010, 0.999]   AU-only floor 0.500
      UF1      0.733 [0.006, 0.999]   AU-only floor 0.333
      UAR      0.750 [0.010, 0.999]   AU-only floor 0.500
      last epoch of each fold; intervals: 95%, over resampled subjects
    """

    predictions: Predictions
    folds: pd.DataFrame
    floor: Floor
    dropped: pd.DataFrame
    split: str
    label: str

    def scores(self, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
        """Accuracy, UF1 and UAR with their intervals over subjects, of all clips and of each data set.

        Parameters
        ----------
        level : float
            Coverage, in (0, 1).
        n_resamples : int
        seed : int

        Returns
        -------
        DataFrame
            ``part, measure, value, low, high, floor, n_clips, n_subjects``; `part` is ``all`` or, where there are
            several, a data set's name. The bounds are NaN where a part has one subject. ``.attrs["floor"]`` is the
            floor's name.
        """
        settings: dict[str, Any] = {"level": level, "n_resamples": n_resamples, "seed": seed}
        if settings == DEFAULTS:
            return self._scores.copy()
        return score_table(self.predictions, self.floor, label=self.label, **settings)

    @cached_property
    def _scores(self) -> pd.DataFrame:
        return score_table(self.predictions, self.floor, label=self.label, **DEFAULTS)

    def __repr__(self) -> str:
        table = self.predictions.table
        failed = self.folds[self.folds["error"] != ""]
        lines = [
            f"{self.split}, {self.predictions.protocol or 'no protocol'}: {len(self.folds) - len(failed)} of"
            f" {len(self.folds)} folds finished, {len(table)} clips of {people(table).nunique()} subjects"
        ]
        lines += score_lines(self._scores)
        lines.append("  last epoch of each fold; intervals: 95%, over resampled subjects")
        told_of = unseen_line(self.folds)
        lines += [f"  {told_of}"] if told_of else []
        if len(failed):
            lines.append(f"  {int(failed['n_test'].sum())} clips of {len(failed)} failed folds are not scored")
        made = describe_source(self.predictions.source)
        lines += [f"  {made}"] if made else []
        shown = [f"  failed: {row.held_out} ({row.error})" for row in failed.itertuples()]
        lines += shown[:5] + ([f"  and {len(shown) - 5} more, see folds"] if len(shown) > 5 else [])
        return "\n".join(lines)


def unseen_line(folds: pd.DataFrame) -> str:
    """How many clips count as wrong because no training clip has their class; empty for none."""
    if "n_unseen" not in folds:
        return ""
    rows = folds[(folds["error"] == "") & (folds["n_unseen"] > 0)]
    names = sorted({name for text in rows["unseen"] for name in text.split(", ")})
    n = int(rows["n_unseen"].sum())
    return (
        f"{n} clip{'s count' if n > 1 else ' counts'} as wrong: no training clip is of {', '.join(names)}" if n else ""
    )


def score_table(
    predictions: Predictions, floor: Floor, *, label: str, level: float, n_resamples: int, seed: int
) -> pd.DataFrame:
    """The scores of a model, part by part, beside the floor's; the columns of :meth:`CrossValidation.scores`."""
    parts = {"all": predictions.table["clip_id"]}
    if "dataset" in predictions.table:
        named = {str(name): rows["clip_id"] for name, rows in predictions.table.groupby("dataset", sort=True)}
        parts |= named if len(named) > 1 else {}
    rows = []
    for part, clip_ids in parts.items():
        scored, beneath = predictions.select(clip_ids), floor.predictions.select(clip_ids)
        true, _ = true_and_predicted(scored, label=label)
        n_subjects = people(scored.table).nunique()
        for name, measure in MEASURES.items():
            low = high = np.nan
            if n_subjects > 1:
                found = bootstrap_interval(
                    scored, measure=measure, label=label, level=level, n_resamples=n_resamples, seed=seed
                )
                low, high = found.low, found.high
            rows.append(
                {
                    "part": part,
                    "measure": name,
                    "value": measure(true, scored.predicted),
                    "low": low,
                    "high": high,
                    "floor": measure(true, beneath.predicted),
                    "n_clips": len(scored),
                    "n_subjects": n_subjects,
                }
            )
    scores = pd.DataFrame(rows)
    scores.attrs["floor"] = floor.name
    return scores


def score_lines(scores: pd.DataFrame) -> list[str]:
    """A score table as lines of text."""
    lines = []
    several = len(scores["part"].unique()) > 1
    for part, rows in scores.groupby("part", sort=False):
        if several:
            first = rows.iloc[0]
            lines.append(f"  {part} ({first['n_clips']} clips, {first['n_subjects']} subjects)")
        for row in rows.itertuples():
            bounds = "no interval: 1 subject" if np.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
            lines.append(f"  {row.measure:<9}{row.value:.3f} {bounds}   {scores.attrs['floor']} {row.floor:.3f}")
    return lines


def pool(outcomes: Sequence[FoldOutcome], plan: Plan, *, rule: str, call: str = "", **settings: Any) -> Predictions:
    """The held-out predictions of all finished folds as one record, in the order of the plan's table.

    Parameters
    ----------
    outcomes : sequence of FoldOutcome
        In the order of ``plan.folds``.
    plan : Plan
    rule : str
        Which of a fold's predictions.
    call : str
        The function that made them; by default the one that makes folds in this way.
    **settings
        What that function was told beyond the plan, JSON-ready.

    Returns
    -------
    Predictions

    Raises
    ------
    ValueError
        If no fold finished.
    """
    finished = {n: outcome.predictions[rule] for n, outcome in enumerate(outcomes) if not outcome.error}
    if not finished:
        errors = list(dict.fromkeys(outcome.error for outcome in outcomes))
        raise ValueError(f"none of {len(outcomes)} folds finished: {'; '.join(errors[:3])}")
    ids = np.concatenate([p.table["clip_id"].to_numpy(dtype=object) for p in finished.values()])
    table = plan.clips.table[plan.clips.table["clip_id"].isin(set(ids))].reset_index(drop=True)
    order = pd.Index(ids).get_indexer(table["clip_id"])
    parts = list(finished.values())
    aus = parts[0].au_logits is not None
    device = next(iter(finished.values())).source.get("run", {}).get("device", "cpu")
    call = call or CALLS.get(plan.split, "evaluate_folds")
    if call == "evaluate_folds":
        settings["folds"] = [_told_fold(fold, plan) for fold in plan.folds]
    names = [fold.held_out for fold in plan.folds]
    weights = {
        f"{names[n]} (fold {n})" if names.count(names[n]) > 1 else names[n]: p.source.get("sha256")
        for n, p in finished.items()
    }
    return Predictions(
        logits=np.concatenate([p.logits for p in parts])[order],
        au_logits=np.concatenate([p.au_logits for p in parts])[order] if aus else None,
        aus=parts[0].aus,
        fold=np.concatenate([np.full(len(p), n) for n, p in finished.items()])[order],
        table=table,
        classes=parts[0].classes,
        protocol=plan.protocol,
        source={
            "name": f"MEDN, {plan.split}",
            "split": plan.split,
            "rule": rule,
            "model": asdict(plan.config),
            "training": asdict(plan.training),
            "sha256": weights,
            "recipe": dict(plan.clips.clips.recipe),
            "run": run_record(call, table=plan.clips.table, label=plan.label, device=device, **settings),
        },
    )


def _told_fold(fold: Fold, plan: Plan) -> dict[str, Any]:
    """A fold as JSON; `train` is None where it is all clips that are not tested."""
    others = set(plan.clips.table["clip_id"]) - set(fold.test)
    train = None if set(fold.train) == others else list(fold.train)
    return {"held_out": fold.held_out, "test": list(fold.test), "train": train}


def floor_of(predictions: Predictions, plan: Plan) -> Floor:
    """The AU-only floor on the folds that finished; where no AUs are coded, the majority class."""
    table = plan.clips.table
    if "action_units" not in table and not au_columns(table):
        table = table.assign(action_units="?")
    tested_in = require(predictions.fold, otherwise="these predictions do not tell which fold held each clip out")
    folds = [plan.folds[n] for n in np.unique(tested_in)]
    return au_only_floor(table, label=plan.label, folds=folds)


def fold_table(outcomes: Sequence[FoldOutcome], plan: Plan, *, rule: str) -> pd.DataFrame:
    """One row a fold; the columns of :attr:`CrossValidation.folds`."""
    rows = [_row(n, outcome, plan, rule) for n, outcome in enumerate(outcomes)]
    return pd.DataFrame(rows)


def _row(number: int, outcome: FoldOutcome, plan: Plan, rule: str) -> dict[str, object]:
    fold: Fold = plan.folds[number]
    tested = plan.clips.table[plan.clips.table["clip_id"].isin(set(fold.test))]
    labels = tested[plan.label]
    unseen = classes_unseen(plan.clips.table, fold, label=plan.label)
    hits = np.nan
    if not outcome.error:
        hits = accuracy(*true_and_predicted(outcome.predictions[rule], label=plan.label))
    return {
        "fold": number,
        "held_out": fold.held_out,
        "dataset": _only(tested, "dataset"),
        "subject": _only(tested, "subject"),
        "n_train": len(fold.train),
        "n_test": len(fold.test),
        **{f"n_{name}": int((labels == name).sum()) for name in plan.config.classes},
        "accuracy": hits,
        "seconds": round(outcome.seconds, 3),
        "error": outcome.error,
        "unseen": ", ".join(unseen),
        "n_unseen": int(labels.isin(unseen).sum()),
    }


def _only(rows: pd.DataFrame, column: str) -> str:
    """The one value of a column; "" where there is none or several."""
    values = rows[column].unique() if column in rows else []
    return str(values[0]) if len(values) == 1 else ""
