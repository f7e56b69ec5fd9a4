"""One fold of a selection audit: subjects kept back, and both sides asked after each epoch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import pandas as pd

from medn_lab.data.protocols import Fold, hold_out_subjects
from medn_lab.evaluate.loso import LAST, seen_classes, with_all_classes
from medn_lab.evaluate.metrics import accuracy
from medn_lab.evaluate.prediction import predict
from medn_lab.evaluate.shared_clips import SharedClips
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips, Predictions, people
from medn_lab.train import Callback, Run, TrainConfig, fit

TRIES = 20
"""Draws of validation subjects before a fold is given up because each draw takes a whole class from the training."""


class Recorder(Callback):
    """Asks a network in training about two sets of clips after each epoch, and keeps what three rules would choose.

    Parameters
    ----------
    validation : Clips
        Training subjects kept back.
    held_out : Clips
        The subject left out.
    label : str
        Column of the class.
    """

    def __init__(self, validation: Clips, *, held_out: Clips, label: str) -> None:
        self.validation, self.held_out, self.label = validation, held_out, label
        self.rows: list[dict[str, float]] = []
        self.predictions: dict[str, Predictions] = {}
        self._best = {"validation": -1.0, "best_on_test": -1.0}

    def on_epoch_end(self, run: Run) -> None:
        """Ask, and replace what a rule would choose where this epoch is better than all before."""
        said = predict(run.model, self.held_out)
        scores = {
            "validation": self._accuracy(predict(run.model, self.validation)),
            "best_on_test": self._accuracy(said),
        }
        self.predictions[LAST] = said
        for rule, score in scores.items():
            if score > self._best[rule]:  # The first of equals, as published code has it.
                self._best[rule] = score
                self.predictions[rule] = said
        self.rows.append(
            {
                "epoch": run.epoch,
                "validation_accuracy": scores["validation"],
                "held_out_accuracy": scores["best_on_test"],
                "n_validation": len(self.validation),
                "n_held_out": len(self.held_out),
            }
        )

    def _accuracy(self, predictions: Predictions) -> float:
        return accuracy(predictions.table[self.label].to_numpy(dtype=object), predictions.predicted)


def train_and_record(
    clips: SharedClips,
    fold: Fold,
    *,
    config: MEDNConfig,
    training: TrainConfig,
    label: str,
    validation_share: float,
) -> tuple[Mapping[str, Predictions], pd.DataFrame]:
    """Train on a part of a fold's training subjects, and keep the held-out predictions of the three rules.

    Parameters
    ----------
    clips : SharedClips
    fold : Fold
    config : MEDNConfig
    training : TrainConfig
    label : str
    validation_share : float

    Returns
    -------
    predictions : dict of Predictions
        By rule.
    epochs : DataFrame
        What there was to choose from.

    Raises
    ------
    ValueError
        If every draw of the subjects kept back takes a whole class from the training.
    """
    table = clips.table[clips.table["clip_id"].isin(set(fold.train))]
    # Another draw in each fold: the same one or two persons everywhere would decide every choice.
    seed = (training.seed + zlib.crc32(fold.held_out.encode())) % 2**31
    known = seen_classes(config, clips.take(fold.train), label=label)
    train_ids, validation_ids = keep_back(table, classes=known.classes, label=label, share=validation_share, seed=seed)
    recorder = Recorder(clips.take(validation_ids), held_out=clips.take(fold.test), label=label)
    model = MEDN(known, seed=training.seed)
    history = fit(model, clips.take(train_ids), training=training, label=label, callbacks=[recorder], progress=False)
    if history.status == "interrupted":
        raise KeyboardInterrupt
    said = {rule: with_all_classes(one, config.classes) for rule, one in recorder.predictions.items()}
    return said, pd.DataFrame(recorder.rows)


def keep_back(
    table: pd.DataFrame, *, classes: Sequence[str], label: str, share: float, seed: int
) -> tuple[list[str], list[str]]:
    """Training subjects kept back for validation, such that every class still trains.

    Parameters
    ----------
    table : DataFrame
        The training clips of a fold.
    classes : sequence of str
    label : str
        Column of the class.
    share : float
        Of the subjects, in (0, 1); at least one is kept back and at least one trains.
    seed : int
        Of the first draw; the next seeds follow while a draw takes a whole class.

    Returns
    -------
    train_ids, validation_ids : list of str

    Raises
    ------
    ValueError
        If no draw leaves every class.
    """
    n_people = people(table).nunique()
    n = min(max(1, round(share * n_people)), n_people - 1)
    for extra in range(TRIES):
        train_ids, validation_ids = hold_out_subjects(table, n=n, seed=seed + extra)
        left = set(table.loc[table["clip_id"].isin(set(train_ids)), label])
        if left >= set(classes):
            return train_ids, validation_ids
    absent = sorted(set(classes) - set(table[label]))
    why = f"no training clip is of {', '.join(absent)}" if absent else "each draw takes a whole class from the training"
    raise ValueError(f"no subjects can be kept back for validation: {why}")
