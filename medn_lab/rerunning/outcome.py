"""What a rerun found: the stored result and the one made again, number by number, version by version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.model import MEDN
from medn_lab.records import (
    Attribution,
    BranchFeatures,
    DecouplingReport,
    Embedding,
    History,
    KeptTokens,
    Predictions,
    run_record,
)

Rerunnable = Predictions | BranchFeatures | Embedding | Attribution | KeptTokens | DecouplingReport | History | MEDN


@dataclass(frozen=True, eq=False, repr=False)
class Rerun:
    """A stored result and the same made again.

    Attributes
    ----------
    stored, again : a record, or MEDN
        The result as it was given, and as it came out now.
    identical : bool
        Whether all numbers agree to the last bit; of a training also the weights, by their sha256.
    difference : float
        The largest difference of any number; infinite where shapes or words differ.
    changed : dict
        Recorded versions and hardware that differ now: name to (then, now).
    notes : tuple of str
        What was not made again, or could not be compared, a sentence each.
    unrecorded : tuple of str
        Versions and parts of the hardware that the stored result does not hold, so that a change of them is not known.
    answers : tuple of int or None
        Clips with the same predicted class, and clips compared; None where the result predicts no class.

    Examples
    --------
    >>> epochs = History(pd.DataFrame({"epoch": [1], "seconds": 1.0, "loss": 0.5}))
    >>> Rerun(epochs, epochs, identical=True, difference=0.0, changed={"torch": ("2.12.0", "2.13.0")})
    Rerun of a History of 1 epoch: identical to the last bit; changed since: torch 2.12.0 -> 2.13.0
    >>> Rerun(epochs, epochs, identical=True, difference=0.0, changed={}, unrecorded=("python", "torch"))
    Rerun of a History of 1 epoch: identical to the last bit; nothing recorded has changed; not recorded: python, torch
    """

    stored: Rerunnable
    again: Rerunnable
    identical: bool
    difference: float
    changed: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    answers: tuple[int, int] | None = None

    @property
    def agreement(self) -> float | None:
        """Share of clips with the same predicted class, 0 to 1; None where the result predicts no class."""
        return self.answers[0] / self.answers[1] if self.answers and self.answers[1] else None

    def __repr__(self) -> str:
        found = ["identical to the last bit" if self.identical else "not identical"]
        if self.answers and not self.identical:
            found.append("the same class for {:,} of {:,} clips".format(*self.answers))
        if self.difference:
            found.append(f"the largest difference is {self.difference:.3g}")
        known = ["recorded versions and hardware are the same"]
        if self.unrecorded:
            known = ["nothing recorded has changed", f"not recorded: {', '.join(self.unrecorded)}"]
        if self.changed:
            changes = (f"{name} {then} -> {now}" for name, (then, now) in self.changed.items())
            known[0] = f"changed since: {', '.join(changes)}"
        said = "; ".join([", ".join(found), *known])
        return "\n  ".join([f"Rerun of {_called(self.stored)}: {said}", *self.notes])


def _called(record: Rerunnable) -> str:
    if isinstance(record, MEDN):
        return f"the training of {record.name}"
    if isinstance(record, History):
        return f"a History of {len(record)} epoch{'s' * (len(record) != 1)}"
    if isinstance(record, DecouplingReport):
        return f"a DecouplingReport of {len(record.table)} measures"
    if isinstance(record, Predictions):
        return f"{len(record)} Predictions"
    article = "an " if isinstance(record, Embedding | Attribution) else ""
    return f"{article}{type(record).__name__} of {len(record)} clips"


def difference_of(stored: Any, again: Any, *, names: Iterable[str]) -> float:
    """The largest difference between two records' arrays of these names; NaN is equal to NaN."""
    return max((_apart(getattr(stored, name), getattr(again, name)) for name in names), default=0.0)


def difference_of_tables(stored: pd.DataFrame, again: pd.DataFrame) -> float:
    """The same for tables of the same columns; words must agree."""
    if len(stored) != len(again) or list(stored.columns) != list(again.columns):
        return np.inf
    found = 0.0
    for name in stored:
        one, other = (pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) for table in (stored, again))
        found = max(found, _apart(one, other))
        words = np.isnan(one) & np.isnan(other)
        if _words(stored[name][words.tolist()]) != _words(again[name][words.tolist()]):
            return np.inf
    return found


def _words(column: pd.Series) -> list[str]:
    return ["" if pd.isna(value) else str(value) for value in column]


def _apart(one: np.ndarray | None, other: np.ndarray | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else np.inf
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return np.inf
    apart = np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64))
    return float(np.nanmax(apart, initial=0.0))


def since(run: Mapping[str, Any]) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    """Recorded versions and hardware that differ now, name to (then, now), and the names that `run` does not hold."""
    now = run_record("rerun", table=pd.DataFrame({"clip_id": []}))
    changed: dict[str, tuple[Any, Any]] = {}
    unrecorded: list[str] = []
    for part in ("versions", "hardware"):
        then, here = run.get(part, {}), now[part]
        changed |= {name: (value, here.get(name)) for name, value in then.items() if value != here.get(name)}
        unrecorded += [name for name in here if name not in then]
    return changed, tuple(unrecorded)


def same_answers(stored: Predictions, again: Predictions) -> tuple[int, int]:
    """Clips with the same predicted class, and clips compared."""
    return int((stored.predicted == again.predicted).sum()), len(stored)
