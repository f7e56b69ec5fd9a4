"""What a cross-validation will do, settled and checked before the first fold: classes, clips, split, training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch

import medn_lab
from medn_lab.data.protocols import PROTOCOLS, Fold, ProtocolName, to_classes
from medn_lab.evaluate.shared_clips import SharedClips
from medn_lab.model import MEDNConfig, check_clips
from medn_lab.records import Clips, people
from medn_lab.train import TrainConfig


@dataclass(frozen=True, eq=False)
class Plan:
    """A cross-validation before its first fold.

    Attributes
    ----------
    config : MEDNConfig
        With the protocol's classes, where there is one.
    training : TrainConfig
        With one thread.
    clips : SharedClips
        The clips that take part, with their labels.
    dropped : DataFrame
        Rows that the protocol drops, with the reason.
    folds : tuple of Fold
    label, protocol, split : str
        Column of the class, the protocol's name (or ""), and how the split was made.
    """

    config: MEDNConfig
    training: TrainConfig
    clips: SharedClips
    dropped: pd.DataFrame
    folds: tuple[Fold, ...]
    label: str
    protocol: str
    split: str

    def identity(self, **more: Any) -> dict[str, Any]:
        """All that decides the results, ready for JSON; looks at every pixel."""
        return {
            "model": asdict(self.config),
            "training": asdict(self.training),
            "clips": self.clips.fingerprint(),
            "label": self.label,
            "protocol": self.protocol,
            "folds": [[fold.held_out, list(fold.test), len(fold.train)] for fold in self.folds],
            "versions": {"medn_lab": medn_lab.__version__, "torch": torch.__version__},
        } | more


def plan_folds(
    config: MEDNConfig,
    clips: Clips,
    *,
    split: str,
    folds: Sequence[Fold] | Callable[[pd.DataFrame], Sequence[Fold]],
    protocol: ProtocolName | None,
    label: str,
    training: TrainConfig | None,
) -> Plan:
    """Settle what will be done, or say in one sentence why it cannot be.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    split : str
        How the split is made, in words.
    folds : sequence of Fold, or a function of the kept table that makes them
    protocol : str, optional
        Which emotions make which classes; its classes that occur replace those of `config`.
    label : str
        Column of the class, without a protocol.
    training : TrainConfig, optional

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If labels and classes do not agree, the clips do not fit the model, or a fold shares a person between training
        and test, tests a clip twice, or names a clip that is not there.
    """
    table, dropped = clips.table, clips.table.iloc[:0].assign(reason="")
    if protocol is not None:
        if label != "label":
            raise ValueError(f"a protocol makes the column 'label' itself; leave out label={label!r} or the protocol")
        table, dropped = to_classes(table, protocol)
        there = set(table["label"])
        config = replace(config, classes=tuple(name for name in PROTOCOLS[protocol].classes if name in there))
    _check_labels(config, table, label)
    _check_pixels(config, clips, table)
    made = tuple(folds(table) if callable(folds) else folds)
    _check_folds(table, made)
    training = replace(TrainConfig() if training is None else training, threads=1)
    shared = SharedClips(clips, table)
    _tell_doubles(shared, made)
    return Plan(config, training, shared, dropped, made, label, protocol or "", split)


def _tell_doubles(clips: SharedClips, folds: tuple[Fold, ...]) -> None:
    """Warn of clips that are trained on and tested under two names: they are recognised, not understood."""
    doubles = clips.doubles()
    group = {name: number for number, names in enumerate(doubles) for name in names}
    met = []
    for fold in folds:
        trained = {group[name] for name in fold.train if name in group}
        met += [name for name in fold.test if group.get(name) in trained]
    if met:
        warnings.warn(
            f"{len(met)} tested clips are also trained on, under another name and person: {met[0]!r} has the same"
            f" frames and flow as {next(n for n in doubles[group[met[0]]] if n != met[0])!r}; leave doubles out",
            UserWarning,
            stacklevel=5,
        )


def _check_pixels(config: MEDNConfig, clips: Clips, table: pd.DataFrame) -> None:
    try:
        check_clips(config, clips)
    except ValueError:
        if len(table) == len(clips):
            raise
        check_clips(config, clips.with_table(table))  # A copy: only if what the protocol drops may be at fault.


def _check_labels(config: MEDNConfig, table: pd.DataFrame, label: str) -> None:
    if label not in table:
        raise ValueError(f"the clips have no column {label!r}; give a protocol, or the column of class names as label")
    found = table[label]
    if found.isna().any():
        raise ValueError(
            f"{found.isna().sum()} of {len(table)} clips have no {label}; leave them out with clips.select"
        )
    strange, absent = sorted(set(found) - set(config.classes)), sorted(set(config.classes) - set(found))
    if strange or absent:
        told = [f"clips are labelled {', '.join(map(str, strange))}"] if strange else []
        told += [f"no clip is of {', '.join(absent)}"] if absent else []
        raise ValueError(
            f"the model's classes are {', '.join(config.classes)}, but {' and '.join(told)};"
            " build it with MEDNConfig.for_clips(clips), or give a protocol"
        )


def _check_folds(table: pd.DataFrame, folds: tuple[Fold, ...]) -> None:
    if not folds:
        raise ValueError("there are no folds to evaluate")
    person = people(table).set_axis(table["clip_id"].astype(str)).to_dict()
    tested: set[str] = set()
    for fold in folds:
        unknown = [name for name in (*fold.train, *fold.test) if name not in person]
        if unknown:
            raise ValueError(
                f"{len(unknown)} clips of {fold!r} are not among the {len(table)} clips, such as {unknown[0]!r}"
            )
        shared = {person[name] for name in fold.train} & {person[name] for name in fold.test}
        if shared:
            raise ValueError(
                f"{fold!r} has {', '.join(sorted(shared)[:3])} on both sides; a network that has seen a person can"
                " recognise the person instead of the expression"
            )
        twice = tested & set(fold.test)
        if twice or not fold.test:
            told = f"tests {len(twice)} clips that an earlier fold tests" if twice else "tests no clip"
            raise ValueError(f"{fold!r} {told}; every clip may be held out once")
        tested |= set(fold.test)
