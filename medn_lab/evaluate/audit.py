"""Scores of the last epoch, of an epoch chosen on training subjects, and of one chosen on the test subjects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from medn_lab.data.protocols import leave_one_subject_out
from medn_lab.evaluate.cross_validation import cross_validate
from medn_lab.evaluate.folds import CHOSEN_BY, LAST
from medn_lab.evaluate.summary import Comparison, compare_predictions
from medn_lab.model import MEDNConfig
from medn_lab.records import Clips, Predictions
from medn_lab.records.storage import describe_source


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

    Examples
    --------
    >>> import numpy as np
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> last = Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y"))
    >>> best = Predictions(np.eye(2)[[0, 1, 0, 1]], table, ("x", "y"))
    >>> scores = pd.DataFrame({"rule": ["last_epoch", "best_on_test"], "measure": "accuracy", "value": [0.75, 1.0]})
    >>> scores = scores.assign(low=[0.5, 1.0], high=1.0, floor=0.5, optimistic=[False, True])
    >>> folds = pd.DataFrame({"held_out": ["1", "2"], "error": ""})
    >>> pooled, gain = {"last_epoch": last, "best_on_test": best}, compare_predictions(best, last)
    >>> epochs = pd.DataFrame({"epoch": range(1, 11)})
    >>> SelectionAudit(scores, pooled, epochs, gain, folds)
    selection audit: 2 of 2 folds finished, 4 clips; one training of 10 epochs a fold
            rule  measure  value  low  high  floor  optimistic
      last_epoch accuracy   0.75  0.5   1.0    0.5       False
    best_on_test accuracy   1.00  1.0   1.0    0.5        True
    optimistic: chosen by the clips that it is scored on
    choosing on the test alone gives +0.250 [-1.000, +1.000] of accuracy
    """

    table: pd.DataFrame
    predictions: Mapping[str, Predictions]
    epochs: pd.DataFrame
    gain: Comparison
    folds: pd.DataFrame

    def __repr__(self) -> str:
        failed, last = self.folds[self.folds["error"] != ""], self.predictions[LAST]
        gain = "{difference:+.3f} [{low:+.3f}, {high:+.3f}]".format(**self.gain.table.iloc[0])
        notes = [
            f"selection audit: {len(self.folds) - len(failed)} of {len(self.folds)} folds finished, {len(last)} clips;"
            f" one training of {self.epochs['epoch'].max()} epochs a fold",
            self.table.round(3).to_string(index=False),
            "optimistic: chosen by the clips that it is scored on",
            f"choosing on the test alone gives {gain} of accuracy",
            describe_source(last.source),
            *(f"failed: {row.held_out} ({row.error})" for row in failed.itertuples()),
        ]
        return "\n".join(filter(None, notes))


def selection_audit(
    config: MEDNConfig, clips: Clips, *, validation_share: float = 0.2, **options: Any
) -> SelectionAudit:
    """The scores of one training under three rules that choose the epoch.

    Leaves one subject out. After each epoch of a fold the network predicts the held-out subject and some training
    subjects that were kept back (and do not train). Three epochs are then scored: the last; the one with the best
    accuracy on the subjects kept back; and the one with the best accuracy on the held-out subject itself. Much
    published code does the third. It scores a choice made with the labels of the test and not a network, and grows with
    the number of epochs even where there is nothing to learn.

    All three come from one training, so that they differ by the rule alone. That training does not see the subjects
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
    >>> once = medn.train.TrainConfig(epochs=1)
    >>> audit = selection_audit(config, clips, training=once, validation_share=0.4, n_jobs=1, progress=False)
    >>> audit.table.groupby("rule", sort=False)["optimistic"].first().to_dict()
    {'last_epoch': False, 'validation': False, 'best_on_test': True}
    """
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must be in (0, 1); got {validation_share}")
    results = cross_validate(config, clips, "selection_audit", leave_one_subject_out, validation_share, **options)
    best, predictions = "best_on_test", {rule: results[rule].predictions for rule in (LAST, *CHOSEN_BY)}
    scores = {rule: results[rule].scores().query("part == 'all'").drop(columns="part") for rule in predictions}
    table, last = pd.concat(scores, names=["rule"]).reset_index("rule").reset_index(drop=True), results[LAST]
    gain = compare_predictions(predictions[best], predictions[LAST], label=last.label, names=(best, LAST))
    return SelectionAudit(table.assign(optimistic=table["rule"] == best), predictions, last.epochs, gain, last.folds)
