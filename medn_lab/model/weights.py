"""Weights on the disk: safetensors beside their sha256, and no pickle, whoever offers one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from safetensors import safe_open

from medn_lab.records import History

WEIGHTS = "model.safetensors"
WEIGHTS_SUM = "model.sha256"
"""The sha256 of the weights' file, as ``sha256sum -c`` reads it."""

HISTORY = "history"
"""The folder beside the weights that says how they were trained."""

OLD_SEVIT = "emotion_branch.time"
"""A tensor that only the emotion branch of 0.1.0 has."""

NO_PICKLE = "Pickled weights (.pt, .pth, .bin, .ckpt) can run code and are not read; convert them to safetensors first"


class SafeWeights(PyTorchModelHubMixin):
    """``save_pretrained`` and ``from_pretrained`` of the Hugging Face hub, without its way back to pickles."""

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        file = Path(save_directory) / WEIGHTS
        (Path(save_directory) / WEIGHTS_SUM).write_text(f"{sum_of(file)}  {WEIGHTS}\n")
        history: History | None = getattr(self, "history", None)
        if history is not None:
            _without_coding(history).save(Path(save_directory) / HISTORY)

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        stated = stated_sum(Path(model_file).parent)
        if stated is not None and stated != sum_of(Path(model_file)):
            raise ValueError(f"{model_file} is not the file that was written: its sha256 is not that of {WEIGHTS_SUM}")
        refuse_old(Path(model_file))
        return super()._load_as_safetensor(model, model_file, map_location, strict)

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise ValueError(f"{model_file} is a pickle. {NO_PICKLE}")


def _without_coding(history: History) -> History:
    """A history to be given away with weights: of clips that nobody can draw it names no class, AU or person."""
    if history.source.get("recipe", {}).get("corpus") == "SynthME":
        return history
    return replace(history, clips=history.clips[["part", "clip_id"]])


def refuse_old(file: Path) -> None:
    """ValueError if the weights are those of another network that had the same name."""
    with safe_open(file, framework="pt") as stored:
        if OLD_SEVIT in stored.keys():  # noqa: SIM118 (no mapping)
            raise ValueError(
                f"{file} holds weights of medn_lab 0.1.0, whose emotion branch is another network;"
                " train the model again, or use medn_lab 0.1.0"
            )


def sum_of(file: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stated_sum(folder: Path) -> str | None:
    """What the sum beside the weights says; None where there is none."""
    file = folder / WEIGHTS_SUM
    return file.read_text(encoding="utf-8", errors="replace").split(" ")[0] if file.is_file() else None
