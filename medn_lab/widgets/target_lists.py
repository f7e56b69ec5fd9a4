"""What makes maps, its targets sorted into kinds, and the clips that a clip can be told apart from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import pandas as pd

from medn_lab.records import Attribution, KeptTokens, au_sets
from medn_lab.view.rows import label_column

PAIR = "a pair, told apart"
KINDS = ("an emotion", "an AU", "what a branch adds", "the gate", "the length of a feature", "two emotions")
MOST_PARTNERS = 200


class Maps(Protocol):
    """What makes maps when they are asked for."""

    methods: tuple[str, ...]
    targets: tuple[str, ...]

    def __call__(self, clip_id: str, *, target: str, method: str, partner: str) -> Attribution:
        """The map of a clip, or of a pair."""

    def check(self, clip_id: str, *, target: str, method: str, partner: str) -> Attribution:
        """The same with the slow figures."""

    def is_made(self, clip_id: str, *, target: str, method: str, partner: str) -> bool:
        """Whether it comes at once."""

    def kept(self, clip_id: str) -> KeptTokens | None:
        """The places that the emotion branch kept."""


def kind_of(target: str) -> str:
    """The kind of a target.

    Examples
    --------
    >>> kind_of("AU12"), kind_of("happiness from motion"), kind_of("gate"), kind_of("fear - others"), kind_of("fear")
    ('an AU', 'what a branch adds', 'the gate', 'two emotions', 'an emotion')
    """
    if target == "gate":
        return "the gate"
    if target.startswith("norm of "):
        return "the length of a feature"
    if target.rpartition(" from ")[2] in ("motion", "emotion") and " from " in target:
        return "what a branch adds"
    if target.startswith("AU") and target[2:].isdigit():
        return "an AU"
    return "two emotions" if " - " in target else "an emotion"


def by_kind(targets: Iterable[str]) -> dict[str, list[str]]:
    """The targets of each kind that there is, in the order of :data:`KINDS`; the differences of emotions too."""
    sorted_: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for target in targets:
        sorted_[kind_of(target)].append(target)
    emotions = sorted_["an emotion"]
    sorted_["two emotions"] += [f"{a} - {b}" for a in emotions for b in emotions if a != b]
    return {kind: found for kind, found in sorted_.items() if found}


def partners(table: pd.DataFrame, clip_id: str) -> list[tuple[str, str]]:
    """Clips of another emotion as (text, clip_id), those with the same AU set first.

    Raises
    ------
    ValueError
        If the clip's emotion is not known, or there is no other.
    """
    column = label_column(table)
    row = int(table.index[table["clip_id"] == clip_id][0])
    if column is None or pd.isna(table[column].iloc[row]):
        raise ValueError(f"the emotion of {clip_id!r} is not known, so there is nothing to tell it apart from")
    emotion = table[column].iloc[row]
    others = table[table[column].notna() & (table[column] != emotion)]
    if others.empty:
        raise ValueError(f"every clip with a known emotion is {emotion}; a pair to tell apart has two emotions")
    sets = au_sets(table)
    alike = np.array([bool(sets[row]) and sets[place] == sets[row] for place in others.index])
    ordered = pd.concat([others[alike], others[~alike]]).head(MOST_PARTNERS)
    same = set(others.loc[alike, "clip_id"])
    return [
        (f"{name} · {label}{' · same AUs' if name in same else ''}", name)
        for name, label in zip(ordered["clip_id"], ordered[column], strict=True)
    ]
