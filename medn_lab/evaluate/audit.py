"""How much of a score comes from choosing: the last epoch, one chosen on training subjects, one chosen on the test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from medn_lab.data.protocols import ProtocolName, leave_one_subject_out
from medn_lab.evaluate.audit_fold import train_and_record
from medn_lab.evaluate.comparison import Comparison, compare_predictions
from medn_lab.evaluate.cross_validation import floor_of, fold_table, pool, score_table
from medn_lab.evaluate.floors import Floor
from medn_lab.evaluate.fold_store import FoldOutcome, FoldStore
from medn_lab.evaluate.folds import Plan, plan_folds
from medn_lab.evaluate.loso import LAST, jobs_by_default
from medn_lab.evaluate.parallel import Backend, run_folds
from medn_lab.model import MEDNConfig
from medn_lab.records import Clips, Predictions
from medn_lab.records.provenance import describe_source
from medn_lab.train import TrainConfig

RULES = {
    LAST: "last epoch",
    "validation": "best on training subjects kept back",
    "best_on_test": "best on the held-out subject",
}
"""The three ways of choosing an epoch, from the honest to the optimistic."""


@dataclass(frozen=True, eq=False, repr=False)
class SelectionAudit:
    """The result of :func:`selection_audit`.

    Attributes
    ----------
    table : DataFrame
        ``rule, measure, value, low, high, floor, optimistic, n_clips, n_subjects``; `rule` is ``last_epoch``,
        ``validation`` or ``best_on_test``, and `optimistic` marks the one that was chosen by the clips that it is
        scored on.
    predictions : dict of Predictions
        The pooled held-out predictions by rule.
    epochs : DataFrame
        ``fold, held_out, epoch, validation_accuracy, held_out_accuracy, n_validation, n_held_out``: what there was to
        choose from.
    chosen : DataFrame
        ``fold, held_out`` and the epoch that each rule takes.
    gain : Comparison
        Accuracy of the best-on-test rule against the last epoch: how much choosing alone gives.
    folds : DataFrame
        As in :class:`CrossValidation`, with the accuracy of the last epoch.
    floor : Floor
    n_epochs : int
    validation_share : float
        Share of the training subjects that were kept back.

    Examples
    --------
    >>> import numpy as np
    >>> from medn_lab.evaluate import au_only_floor, compare_predictions
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> table["action_units"] = "4"
    >>> last = Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y"))
    >>> best = Predictions(np.eye(2)[[0, 1, 0, 1]], table, ("x", "y"))
    >>> scores = pd.DataFrame({"rule": ["last_epoch", "best_on_test"], "measure": "accuracy", "value": [0.75, 1.0]})
    >>> scores = scores.assign(low=[0.5, 1.0], high=1.0, optimistic=[False, True])
    >>> folds = pd.DataFrame({"held_out": ["1", "2"], "error": ""})
    >>> pooled, gain = {"last_epoch": last, "best_on_test": best}, compare_predictions(best, last)
    >>> SelectionAudit(scores, pooled, table[:0], table[:0], gain, folds, au_only_floor(table), 10, 0.2)
    selection audit: 2 of 2 folds finished, 4 clips; one training of 10 epochs a fold, 20% of its subjects kept back
      last epoch
        accuracy 0.750 [0.500, 1.000]
      best on the held-out subject   OPTIMISTIC: chosen by the clips that it is scored on
        accuracy 1.000 [1.000, 1.000]
      choosing on the test alone gives +0.250 [-1.000, +1.000] of accuracy
      AU-only floor: accuracy 0.500
    """

    table: pd.DataFrame
    predictions: Mapping[str, Predictions]
    epochs: pd.DataFrame
    chosen: pd.DataFrame
    gain: Comparison
    folds: pd.DataFrame
    floor: Floor
    n_epochs: int
    validation_share: float

    def __repr__(self) -> str:
        failed = self.folds[self.folds["error"] != ""]
        lines = [
            f"selection audit: {len(self.folds) - len(failed)} of {len(self.folds)} folds finished,"
            f" {len(self.predictions[LAST])} clips; one training of {self.n_epochs} epochs a fold,"
            f" {self.validation_share:.0%} of its subjects kept back"
        ]
        for rule, rows in self.table.groupby("rule", sort=False):
            mark = "   OPTIMISTIC: chosen by the clips that it is scored on" if rows["optimistic"].any() else ""
            lines.append(f"  {RULES[rule]}{mark}")
            scored = [f"{row.measure} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples()]
            lines.append(f"    {'   '.join(scored)}")
        lines.append(
            f"  choosing on the test alone gives {self.gain.difference:+.3f} [{self.gain.low:+.3f},"
            f" {self.gain.high:+.3f}] of accuracy"
        )
        lines.append(f"  {self.floor.name}: accuracy {self.floor.accuracy:.3f}")
        made = describe_source(self.predictions[LAST].source)
        lines += [f"  {made}"] if made else []
        lines += [f"  failed: {row.held_out} ({row.error})" for row in failed.itertuples()]
        return "\n".join(lines)


def selection_audit(
    config: MEDNConfig,
    clips: Clips,
    *,
    protocol: ProtocolName | None = None,
    label: str = "label",
    training: TrainConfig | None = None,
    validation_share: float = 0.2,
    n_jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> SelectionAudit:
    """What the same training would have scored, had the epoch been chosen otherwise.

    Leaves one subject out. After each epoch of a fold the network is asked about the held-out subject and about some
    training subjects that were kept back (and do not train). Three epochs are then scored: the last; the one with the
    best accuracy on the subjects kept back; and the one with the best accuracy on the held-out subject itself. Much
    published code does the third. It is no score of a network but of a choice made with the answers at hand, and grows
    with the number of epochs even where there is nothing to learn.

    All three come from one training, so that they differ by the rule alone. That training does without the subjects
    kept back; its last epoch is therefore mostly a little worse than that of :func:`evaluate_loso`, which uses all.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    protocol, label, training, n_jobs, backend, folder, progress
        As :func:`evaluate_loso` takes them. A folder of an audit is not one of a cross-validation.
    validation_share : float
        Share of each fold's training subjects to keep back, in (0, 1); at least one subject.

    Returns
    -------
    SelectionAudit
        Prints as the three scores with their intervals, the third called optimistic.

    Raises
    ------
    ValueError
        As :func:`evaluate_loso` does; if `validation_share` is out of its range; or if there are fewer than 3
        subjects.

    See Also
    --------
    evaluate_loso, medn_lab.view.plot_selection_audit

    References
    ----------
    Cawley, Talbot: "On Over-fitting in Model Selection and Subsequent Selection Bias in Performance Evaluation",
    Journal of Machine Learning Research 11, 2010.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=3, clips_per_subject=2, seed=111)
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1)
    >>> once = TrainConfig(epochs=1)
    >>> audit = selection_audit(config, clips, training=once, validation_share=0.4, n_jobs=1, progress=False)
    >>> audit.table.groupby("rule", sort=False)["optimistic"].first().to_dict()
    {'last_epoch': False, 'validation': False, 'best_on_test': True}
    """
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must be in (0, 1); got {validation_share}")
    split = "leave one subject out"
    plan = plan_folds(
        config, clips, split=split, folds=leave_one_subject_out, protocol=protocol, label=label, training=training
    )
    if len(plan.folds) < 3:
        raise ValueError(
            f"an audit needs at least 3 subjects, one to test, one to keep back and one to train; there are"
            f" {len(plan.folds)}"
        )
    task = partial(
        train_and_record,
        config=plan.config,
        training=plan.training,
        label=label,
        validation_share=validation_share,
    )
    store = None
    if folder is not None:
        store = FoldStore(folder, plan.identity(task="selection audit", validation_share=validation_share))
    jobs = jobs_by_default(plan.training) if n_jobs is None else n_jobs
    outcomes = run_folds(task, plan.clips, plan.folds, n_jobs=jobs, backend=backend, store=store, progress=progress)
    return _audit(outcomes, plan, validation_share=validation_share)


def _audit(outcomes: list[FoldOutcome], plan: Plan, *, validation_share: float) -> SelectionAudit:
    how: dict[str, Any] = {"call": "selection_audit", "validation_share": validation_share}
    predictions = {rule: pool(outcomes, plan, rule=rule, **how) for rule in RULES}
    floor = floor_of(predictions[LAST], plan)
    parts = []
    for rule, pooled in predictions.items():
        scores = score_table(pooled, floor, label=plan.label, level=0.95, n_resamples=2000, seed=0)
        scores = scores[scores["part"] == "all"].drop(columns="part")
        scores.insert(0, "rule", rule)
        parts.append(scores.assign(optimistic=rule == "best_on_test"))
    folds = fold_table(outcomes, plan, rule=LAST)
    done = [(n, outcome) for n, outcome in enumerate(outcomes) if not outcome.error]
    epochs = pd.concat([_told(n, plan, outcome) for n, outcome in done], ignore_index=True)
    chosen = pd.DataFrame([_chosen(n, plan, outcome.epochs) for n, outcome in done])
    names = (RULES["best_on_test"], RULES[LAST])
    gain = compare_predictions(predictions["best_on_test"], predictions[LAST], label=plan.label, names=names)
    table = pd.concat(parts, ignore_index=True)
    table.attrs["floor"] = floor.name
    return SelectionAudit(
        table, predictions, epochs, chosen, gain, folds, floor, plan.training.epochs, validation_share
    )


def _told(number: int, plan: Plan, outcome: FoldOutcome) -> pd.DataFrame:
    epochs = outcome.epochs.copy()
    epochs.insert(0, "fold", number)
    epochs.insert(1, "held_out", plan.folds[number].held_out)
    return epochs


def _chosen(number: int, plan: Plan, epochs: pd.DataFrame) -> dict[str, object]:
    first = {"validation": "validation_accuracy", "best_on_test": "held_out_accuracy"}
    taken = {rule: int(epochs["epoch"].iloc[epochs[column].to_numpy().argmax()]) for rule, column in first.items()}
    return {"fold": number, "held_out": plan.folds[number].held_out, LAST: int(epochs["epoch"].iloc[-1])} | taken
