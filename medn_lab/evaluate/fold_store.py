"""Finished folds put aside, so that a cross-validation goes on where it was cut off."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from medn_lab.records import Predictions, atomic_write, sha256_of_file

NOTE = "run.json"

FOLD = "fold.json"
FOLD_SUM = "fold.sha256"
"""The sha256 of that file, as ``sha256sum -c`` reads it; the fold's predictions are records with sums of their own."""


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """What one fold gave.

    Attributes
    ----------
    predictions : dict of Predictions
        The held-out clips, by the name of the rule that chose the epoch.
    epochs : DataFrame
        One row an epoch of the training.
    seconds : float
    error : str
        Why the fold failed; empty where it did not.
    notes : tuple of str
        Warnings on the way.
    """

    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    seconds: float = 0.0
    error: str = ""
    notes: tuple[str, ...] = ()


class FoldStore:
    """A folder with one folder a finished fold, and a note of what was run.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    identity : dict
        All that decides the results, ready for JSON.

    Raises
    ------
    FileExistsError
        If the folder holds something else.
    ValueError
        If it holds folds of another run.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        wanted = json.loads(json.dumps(dict(identity)))
        note = self.folder / NOTE
        if note.is_file():
            stored = json.loads(note.read_text())
            differing = sorted(k for k in stored.keys() | wanted.keys() if stored.get(k) != wanted.get(k))
            if differing:
                raise ValueError(
                    f"{self.folder} holds folds made with another {', '.join(map(_told(stored, wanted), differing))};"
                    " give the same again, or another folder"
                )
        elif self.folder.exists() and self._holds_something_else():
            raise FileExistsError(
                f"{self.folder} exists and holds no folds; choose another folder, nothing was written"
            )
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = self.folder / f"{NOTE}.new"
            beside.write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
            beside.replace(note)

    def _holds_something_else(self) -> bool:
        """Whether anything is there but a note that a kill left half written."""
        return not self.folder.is_dir() or any(path.name != f"{NOTE}.new" for path in self.folder.iterdir())

    def place(self, number: int) -> Path:
        """The folder of a fold, whether or not it is there."""
        return self.folder / f"fold_{number:03d}"

    def save(self, number: int, outcome: FoldOutcome) -> None:
        """Write a finished fold; its folder appears when it is whole."""
        with atomic_write(self.place(number)) as beside:
            for rule, predictions in outcome.predictions.items():
                predictions.save(beside / rule)
            told = {
                "rules": list(outcome.predictions),
                "seconds": outcome.seconds,
                "notes": list(outcome.notes),
                "epochs": outcome.epochs.to_dict("list"),
            }
            (beside / FOLD).write_text(json.dumps(told) + "\n")
            (beside / FOLD_SUM).write_text(f"{sha256_of_file(beside / FOLD)}  {FOLD}\n")

    def load(self, number: int) -> FoldOutcome | None:
        """A finished fold, or None where it is still to be done: also where an older version left it without a sum.

        Raises
        ------
        ValueError
            If its folder is there but cannot be read, or is not what was written.
        """
        place = self.place(number)
        if not place.is_dir() or ((place / FOLD).is_file() and not (place / FOLD_SUM).exists()):
            return None
        try:
            written = (place / FOLD).read_bytes()
            told = json.loads(written)
            astray = [rule for rule in told["rules"] if Path(rule).name != rule]
            if astray:
                raise ValueError(f"{astray[0]!r} leads out of its folder")
            if (place / FOLD_SUM).read_text().split()[:1] != [hashlib.sha256(written).hexdigest()]:
                raise ValueError(f"{FOLD} is not the file that was written: its sha256 is not that of {FOLD_SUM}")
            predictions = {rule: Predictions.load(place / rule) for rule in told["rules"]}
            epochs = pd.DataFrame(told["epochs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"the finished fold {place} cannot be read ({error}); remove that folder and call again,"
                " the other folds are kept"
            ) from error
        return FoldOutcome(predictions, epochs, told["seconds"], notes=tuple(told["notes"]))


def _told(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
    """Names a part that differs and, where it is a small mapping, which of its fields."""

    def told(part: str) -> str:
        old, new = stored.get(part), wanted.get(part)
        if not isinstance(old, dict) or not isinstance(new, dict):
            return part
        fields = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        return f"{part} ({', '.join(fields)})"

    return told
