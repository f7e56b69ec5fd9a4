"""A cross-validation once more: the same folds, trained and asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medn_lab.data.protocols import Fold
from medn_lab.evaluate import evaluate_cross_dataset, evaluate_folds, evaluate_loso, selection_audit
from medn_lab.model import MEDNConfig
from medn_lab.records import Predictions
from medn_lab.rerunning.results import Means
from medn_lab.train import TrainConfig

EVALUATIONS = ("evaluate_loso", "evaluate_cross_dataset", "evaluate_folds", "selection_audit")


def evaluation_again(stored: Predictions, means: Means) -> Predictions:
    """The pooled predictions of all folds; ValueError where the record does not hold every clip of its run."""
    source = stored.source
    if source["run"]["call"] == "evaluate_folds" and "folds" not in source["run"]:
        raise ValueError("what evaluate_folds has made cannot be made again: the folds are not in this record")
    run, ids = source["run"], stored.table["clip_id"]
    if len(ids) != run["clips"]["n"]:
        raise ValueError(
            f"{run['clips']['n'] - len(ids)} of {run['clips']['n']} clips have no prediction: their folds failed, no"
            " fold tested them, or a part was selected; only a whole cross-validation can be made again"
        )
    config = MEDNConfig(**source["model"])
    clips = means.clips.under(stored.table, source["recipe"], run)
    how: dict[str, Any] = {
        "training": TrainConfig(**source["training"]), "label": run["label"], "progress": means.progress,
    }  # fmt: skip
    if run["call"] == "selection_audit":
        audit = selection_audit(config, clips, validation_share=run["validation_share"], **how)
        return audit.predictions[source["rule"]]
    if run["call"] == "evaluate_folds":
        return evaluate_folds(config, clips, folds=[_fold(told, ids) for told in run["folds"]], **how).predictions
    evaluate = evaluate_loso if run["call"] == "evaluate_loso" else evaluate_cross_dataset
    return evaluate(config, clips, **how).predictions


def _fold(told: Mapping[str, Any], ids: Any) -> Fold:
    tested = set(told["test"])
    train = told["train"] if told["train"] is not None else [name for name in ids if name not in tested]
    return Fold(told["held_out"], train=tuple(train), test=tuple(told["test"]))
