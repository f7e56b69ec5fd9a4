"""How a training is told of, so that it can be made again: where it began, what it learned from, where it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch

import medn_lab
from medn_lab.model import MEDN, device_name, weights_sha256
from medn_lab.records import Clips, History, ids_sha256, run_record
from medn_lab.train.config import TrainConfig


class Telling:
    """What is said of one training in each of its histories.

    Parameters
    ----------
    model : MEDN
        Before its first step.
    clips : Clips
    config : TrainConfig
    label : str
    validation : Clips or None
    callbacks : iterable
    device : torch.device

    Attributes
    ----------
    said : dict
        What makes it this training and no other; a checkpoint of another is refused by it.
    """

    def __init__(
        self,
        model: MEDN,
        clips: Clips,
        *,
        config: TrainConfig,
        label: str,
        validation: Clips | None,
        callbacks: Iterable[object],
        device: torch.device,
    ) -> None:
        self._model = model
        self.said: dict[str, Any] = {
            "model": asdict(model.config),
            "training": asdict(config),
            "clips": _fingerprint(clips),
            "versions": {"medn_lab": medn_lab.__version__, "torch": torch.__version__},
        }
        self._start = {"name": model.name, "seed": model.seed, "sha256": weights_sha256(model)}
        self._source = {
            "name": _name_after(model.name),
            "training": asdict(config),
            "recipe": dict(clips.recipe),
            "validation": None if validation is None else dict(validation.recipe),
            "callbacks": [type(callback).__name__ for callback in callbacks],
            "run": run_record(
                "fit",
                table=clips.table,
                label=label,
                device=device_name(device),
                threads=config.threads or torch.get_num_threads(),
            ),
        }
        parts = {"training": clips, **({} if validation is None else {"validation": validation})}
        self._clips = pd.concat(
            [_learned_from(part.table, model, label).assign(part=name) for name, part in parts.items()],
            ignore_index=True,
        )

    def take_up(self, history: History) -> None:
        """Go on with the training that this history tells of: it began where that one began."""
        self._start = dict(history.source.get("start", {}))

    def history(self, table: pd.DataFrame, *, status: str = "stopped", summed: bool = False) -> History:
        """The history of these epochs; where it is to be `summed`, with the sha256 of the weights as they are now."""
        source: dict[str, Any] = {**self._source, "start": self._start}
        if summed:
            source["sha256"] = weights_sha256(self._model)
        return History(table, self.said, status, source, self._clips)

    def name_model(self, history: History) -> None:
        """Let the model say by which training it has its weights."""
        self._model.name, self._model.history = str(self._source["name"]), history


def _name_after(name: str) -> str:
    """What a model is called that was trained from the one of this name."""
    if "untrained" in name:
        return name.replace("untrained", "trained")
    return (
        name if name.startswith("MEDN, trained") or name.endswith(", trained further") else f"{name}, trained further"
    )


def _learned_from(table: pd.DataFrame, model: MEDN, label: str) -> pd.DataFrame:
    """The columns of a clips' table that a training reads, and whose clips they are."""
    names = dict.fromkeys(["clip_id", "dataset", "subject", label, *model.config.aus])
    return table[[name for name in names if name in table]]


def _fingerprint(clips: Clips) -> dict[str, object]:
    return {"n": len(clips), "sha256": ids_sha256(clips.table), "recipe": dict(clips.recipe)}
