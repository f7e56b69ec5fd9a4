"""A training once more: from the same first weights, on the same clips, by the same seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from medn_lab.model import MEDN, MEDNConfig, load_pretrained, weights_sha256
from medn_lab.model.pretrained import pretrained_folder
from medn_lab.records import Clips, History
from medn_lab.rerunning.models import as_many_threads, candidates
from medn_lab.rerunning.results import Means
from medn_lab.synthme import synthetic_clips
from medn_lab.train import Callback, Run, TrainConfig, fit


class _StopAfter(Callback):
    """Ends a training where the stored one ended."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch >= self._epochs:
            run.stop()


Asked = tuple[str, Clips]
"""Clips that two models can be compared on, unseen ones where there are any, and what they are."""


def training_again(stored: History, means: Means) -> tuple[MEDN, History, tuple[str, ...], Asked]:
    """Train again, for as many epochs as the stored training had when it ended.

    Parameters
    ----------
    stored : History
    means : Means

    Returns
    -------
    model : MEDN
    history : History
    notes : tuple of str
        What was not made again.
    asked : (str, Clips)
        The validation clips, or the training clips where there are none.

    Raises
    ------
    ValueError
        If the history does not hold enough, or the training was of several processes or ended before its first epoch.
    """
    source = stored.source
    run, config = source["run"], TrainConfig(**stored.config["training"])
    if config.devices * config.num_nodes > 1:
        raise ValueError(
            f"this training was of {config.devices * config.num_nodes} processes, which one call cannot start; start"
            " them with torchrun as before, and compare the histories"
        )
    if not len(stored):
        raise ValueError("this training ended before its first epoch: there is nothing to make again")
    parts = {name: rows.drop(columns="part").reset_index(drop=True) for name, rows in stored.clips.groupby("part")}
    clips = means.clips.under(parts["training"], source["recipe"], run)
    model = _at_the_start(source.get("start") or {}, MEDNConfig(**stored.config["model"]), means)
    validation, notes = _watched(parts.get("validation"), source, means)
    if means.progress:
        tqdm.write(_announced(len(stored), len(clips), float(stored.table["seconds"].sum())))
    with as_many_threads(run):  # where the configuration leaves their number alone
        again = fit(
            model, clips, training=config, label=run["label"], validation=validation, progress=means.progress,
            callbacks=[_StopAfter(len(stored))] if len(stored) < config.epochs else [],
        )  # fmt: skip
    measured = [name for name in stored.table if name not in again.table and not name.startswith("validation_")]
    if source["callbacks"]:
        columns = f", so {', '.join(measured)} are not compared" if measured else ""
        notes.append(f"the callbacks {', '.join(source['callbacks'])} were not called again{columns}")
    asked = ("clips of its training", clips) if validation is None else ("validation clips", validation)
    return model, again, tuple(notes), asked


def by_card(model: MEDN, means: Means) -> tuple[MEDN, Mapping[str, Any], Asked]:
    """Train a model of ``pretrained/`` again as its card says; the new model, the card, and clips to ask both about."""
    file = pretrained_folder() / model.name / "figures.json"
    card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not {"training_corpus", "training"} <= card.keys():
        raise ValueError(
            f"{model.name!r} does not say how it was trained: it has no history, and no card in pretrained/ does"
        )
    if weights_sha256(load_pretrained(model.name)) != weights_sha256(model):
        raise ValueError(f"the weights of {model.name!r} were changed after it was loaded: its card is not of them")
    settings = TrainConfig(**card["training"])
    clips = synthetic_clips(**card["training_corpus"], progress=means.progress)
    if means.progress:
        tqdm.write(_announced(settings.epochs, len(clips), 60 * float(card["minutes"])))
    again = MEDN(model.config)
    fit(again, clips, training=settings, progress=means.progress)
    if "held_out_corpus" not in card:
        return again, card, ("clips of its training", clips)
    return again, card, ("held-out clips of its card", synthetic_clips(**card["held_out_corpus"], progress=False))


def _announced(epochs: int, clips: int, seconds: float) -> str:
    """How long it may take: said before it begins."""
    took = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return f"training again: {epochs} epochs of {clips} clips, which took {took} then"


def _at_the_start(start: Mapping[str, Any], config: MEDNConfig, means: Means) -> MEDN:
    """A network with the weights that the training began from, never the user's own object."""
    if not start:
        raise ValueError("this history does not say from which weights the training began: an older version wrote it")
    fresh = MEDN(config, seed=start["seed"])
    if weights_sha256(fresh) == start["sha256"]:
        return fresh
    for model in candidates(start["name"], means.model):
        if weights_sha256(model) == start["sha256"]:
            return deepcopy(model)
    raise ValueError(
        f"this training began from the weights {start['sha256'][:12]} of {start['name']!r}, which are not a fresh"
        f" network's; give the model that it began from: rerun(record, model=...)"
    )


def _watched(table: pd.DataFrame | None, source: Mapping[str, Any], means: Means) -> tuple[Clips | None, list[str]]:
    """The validation clips, which change nothing of a training: where they cannot be had, it is told."""
    if table is None:
        return None, []
    run = {"clips": {"n": len(table)}}
    try:
        return means.clips.under(table, source["validation"], run), []
    except ValueError as reason:
        return None, [f"the validation scores were not made again: {reason}"]
