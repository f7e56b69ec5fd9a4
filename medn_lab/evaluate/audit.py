"""How much of a score comes from choosing: the last epoch, one chosen on training subjects, one chosen on the test."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import pandas as pd

from medn_lab.data.protocols import Fold, hold_out_subjects, leave_one_subject_out
from medn_lab.evaluate.cross_validation import collect
from medn_lab.evaluate.folds import LAST, FoldOptions, predict_all, run_folds, take, train_network
from medn_lab.evaluate.metrics import accuracy
from medn_lab.evaluate.pairs import Floor
from medn_lab.evaluate.summary import Comparison, compare_predictions
from medn_lab.model import MEDNConfig
from medn_lab.records import Clips, Predictions, people
from medn_lab.records.storage import describe_source
from medn_lab.train import Run, TrainConfig

RULES = {
    LAST: "last epoch",
    "validation": "best on training subjects kept back",
    "best_on_test": "best on the held-out subject",
}
"""The three ways of choosing an epoch, from the honest to the optimistic."""

CHOSEN_BY = {"validation": "validation_accuracy", "best_on_test": "held_out_accuracy"}
"""The column of the epochs by which a rule chooses."""

TRIES = 20
"""Draws of validation subjects before a fold fails because each draw takes a whole class from the training."""


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
    gain : Comparison
        Accuracy of the best-on-test rule against the last epoch: how much choosing alone gives.
    folds : DataFrame
        As in :class:`CrossValidation`, with the accuracy of the last epoch.
    floor : Floor
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
    >>> epochs = pd.DataFrame({"epoch": range(1, 11)})
    >>> SelectionAudit(scores, pooled, epochs, gain, folds, au_only_floor(table), 0.2)
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
    gain: Comparison
    folds: pd.DataFrame
    floor: Floor
    validation_share: float

    def __repr__(self) -> str:
        failed = self.folds[self.folds["error"] != ""]
        lines = [
            f"selection audit: {len(self.folds) - len(failed)} of {len(self.folds)} folds finished,"
            f" {len(self.predictions[LAST])} clips; one training of {self.epochs['epoch'].max()} epochs a fold,"
            f" {self.validation_share:.0%} of its subjects kept back"
        ]
        for rule, rows in self.table.groupby("rule", sort=False):
            mark = "   OPTIMISTIC: chosen by the clips that it is scored on" if rows["optimistic"].any() else ""
            scored = [f"{row.measure} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples()]
            lines += [f"{RULES[rule]}{mark}", f"  {'   '.join(scored)}"]
        gain = f"{self.gain.difference:+.3f} [{self.gain.low:+.3f}, {self.gain.high:+.3f}]"
        lines.append(f"choosing on the test alone gives {gain} of accuracy")
        lines += [
            f"{self.floor.name}: accuracy {self.floor.accuracy:.3f}",
            describe_source(self.predictions[LAST].source),
        ]
        lines += [f"failed: {row.held_out} ({row.error})" for row in failed.itertuples()]
        return "\n  ".join(filter(None, lines))


def selection_audit(
    config: MEDNConfig, clips: Clips, *, validation_share: float = 0.2, **options: Unpack[FoldOptions]
) -> SelectionAudit:
    """What the same training would have scored, had the epoch been chosen otherwise.

    Leaves one subject out. After each epoch of a fold the network predicts the held-out subject and some training
    subjects that were kept back (and do not train). Three epochs are then scored: the last; the one with the best
    accuracy on the subjects kept back; and the one with the best accuracy on the held-out subject itself. Much
    published code does the third. It scores a choice made with the labels of the test and not a network, and grows with
    the number of epochs even where there is nothing to learn.

    All three come from one training, so that they differ by the rule alone. That training does without the subjects
    kept back; its last epoch is therefore mostly a little worse than that of :func:`evaluate_loso`, which uses all.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    validation_share : float
        Share of each fold's training subjects to keep back, in (0, 1); at least one subject.
    **options
        ``protocol, label, training, n_jobs, folder, progress`` of :func:`evaluate_loso`. A folder of an
        audit is not one of a cross-validation.

    Returns
    -------
    SelectionAudit
        Prints as the three scores with their intervals, the third called optimistic.

    Raises
    ------
    ValueError
        As :func:`evaluate_loso` does; if `validation_share` is out of its range; or if there are fewer than 3
        subjects: one to test, one to keep back and one to train.

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
    split, share = leave_one_subject_out, {"validation_share": validation_share}
    plan, outcomes = run_folds(config, clips, "selection_audit", split, train_and_record, options, **share)
    results = {rule: collect(outcomes, plan, rule=rule) for rule in RULES}
    scores = {rule: result.scores().query("part == 'all'").drop(columns="part") for rule, result in results.items()}
    table = pd.concat(scores, names=["rule"]).reset_index("rule").reset_index(drop=True)
    epochs = pd.concat(
        [
            pd.DataFrame({"fold": number, "held_out": fold.held_out}, index=outcome.epochs.index).join(outcome.epochs)
            for number, (fold, outcome) in enumerate(zip(plan.folds, outcomes, strict=True))
        ],
        ignore_index=True,
    )
    names, (last, best) = (RULES["best_on_test"], RULES[LAST]), (results[LAST], results["best_on_test"])
    return SelectionAudit(
        table=table.assign(optimistic=table["rule"] == "best_on_test"),
        predictions={rule: result.predictions for rule, result in results.items()},
        epochs=epochs,
        gain=compare_predictions(best.predictions, last.predictions, label=plan.label, names=names),
        folds=last.folds,
        floor=last.floor,
        validation_share=validation_share,
    )


class Recorder:
    """Predicts two sets of clips after each epoch, and keeps the held-out predictions that each rule would choose."""

    def __init__(self, validation: Clips, held_out: Clips, *, classes: Sequence[str], label: str) -> None:
        self.clips = {"validation": validation, "held_out": held_out}
        self.classes, self.label = classes, label
        self.rows: list[dict[str, float]] = []
        self.predictions: dict[str, Predictions] = {}

    def on_epoch_end(self, run: Run) -> None:
        """Replace the choice of a rule where this epoch is better than all before."""
        row: dict[str, float] = {"epoch": run.epoch}
        for name, clips in self.clips.items():
            predictions = predict_all(run.model, clips, classes=self.classes)
            row[f"{name}_accuracy"] = accuracy(clips.table[self.label].to_numpy(dtype=object), predictions.predicted)
            row[f"n_{name}"] = len(clips)
        self.predictions[LAST] = predictions
        for rule, column in CHOSEN_BY.items():
            if all(row[column] > earlier[column] for earlier in self.rows):  # The first of equals, as usual.
                self.predictions[rule] = predictions
        self.rows.append(row)


def train_and_record(
    clips: Clips, table: pd.DataFrame, fold: Fold, *, config: MEDNConfig, training: TrainConfig, label: str,
    validation_share: float,
) -> tuple[Mapping[str, Predictions], pd.DataFrame]:  # fmt: skip
    """Train on a part of a fold's training subjects, and keep the held-out predictions of the three rules."""
    # Another draw in each fold: the same one or two persons everywhere would decide every choice.
    seed = (training.seed + zlib.crc32(fold.held_out.encode())) % 2**31
    others = table[table["clip_id"].isin(set(fold.train))]
    train, validation = (take(clips, table, ids) for ids in keep_back(others, label, validation_share, seed))
    recorder = Recorder(validation, take(clips, table, fold.test), classes=config.classes, label=label)
    train_network(config, train, training=training, label=label, callbacks=[recorder])
    return recorder.predictions, pd.DataFrame(recorder.rows)


def keep_back(table: pd.DataFrame, label: str, share: float, seed: int) -> tuple[list[str], list[str]]:
    """Training and validation clip ids: a share of the subjects is kept back such that every class still trains.

    `seed` is that of the first draw; the next seeds follow while a draw takes a whole class.
    """
    n_people = people(table).nunique()
    n = min(max(1, round(share * n_people)), n_people - 1)
    for extra in range(TRIES):
        train_ids, validation_ids = hold_out_subjects(table, n=n, seed=seed + extra)
        if set(table.loc[table["clip_id"].isin(set(train_ids)), label]) == set(table[label]):
            return train_ids, validation_ids
    raise ValueError("each draw of validation subjects takes a whole class from the training; lower validation_share")
