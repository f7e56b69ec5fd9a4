"""What a cross-validation will do, settled and checked before the first fold: classes, clips, split, training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import pandas as pd
import torch

import medn_lab
from medn_lab.data.protocols import PROTOCOLS, Fold, ProtocolName, to_classes
from medn_lab.evaluate.shared_clips import SharedClips
from medn_lab.model import MEDNConfig, check_clips
from medn_lab.records import Clips, check_label, people
from medn_lab.train import TrainConfig

UnseenClasses = Literal["wrong", "leave_out"]
"""What becomes of a clip whose class no training clip of its fold has."""


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
        Rows that the protocol drops or whose class is left out, with the reason.
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
    unseen_classes: UnseenClasses = "wrong",
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
    unseen_classes : {"wrong", "leave_out"}
        As :func:`medn_lab.evaluate.evaluate_loso` takes it.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If labels and classes do not agree, the clips do not fit the model, or a fold shares a person between training
        and test, tests a clip twice, or names a clip that is not there.
    """
    if unseen_classes not in get_args(UnseenClasses):
        raise ValueError(f"unseen_classes must be wrong or leave_out; got {unseen_classes!r}")
    table, dropped = clips.table, clips.table.iloc[:0].assign(reason="")
    if protocol is not None:
        if label != "label":
            raise ValueError(f"a protocol makes the column 'label' itself; leave out label={label!r} or the protocol")
        table, dropped = to_classes(table, protocol)
        there = set(table["label"])
        config = replace(config, classes=tuple(name for name in PROTOCOLS[protocol].classes if name in there))
    table = table.assign(**{label: check_label(table, label=label)})
    _check_labels(config, table, label)
    _check_pixels(config, clips, table)
    made = tuple(folds(table) if callable(folds) else folds)
    _check_folds(table, made)
    unseen = sorted({name for fold in made for name in classes_unseen(table, fold, label=label)})
    rare = table[label].isin(unseen)
    if unseen and unseen_classes == "leave_out":
        why = "no training clip of its class in the fold that tests it"
        table, dropped = table[~rare], pd.concat([dropped, table[rare].assign(reason=why)], ignore_index=True)
        config = replace(config, classes=tuple(name for name in config.classes if name not in unseen))
        made = tuple(folds(table)) if callable(folds) else _without(made, set(table["clip_id"]))
    elif unseen:
        warnings.warn(
            f"in some folds no training clip is of {', '.join(unseen)}: the clips of these classes tested there count"
            " as wrong; unseen_classes='leave_out' leaves the classes out",
            UserWarning,
            stacklevel=4,
        )
    training = replace(TrainConfig() if training is None else training, threads=1)
    shared = SharedClips(clips, table)
    _tell_doubles(shared, made)
    return Plan(config, training, shared, dropped, made, label, protocol or "", split)


def classes_unseen(table: pd.DataFrame, fold: Fold, *, label: str) -> list[str]:
    """Classes that a fold tests and does not train, in alphabetical order."""
    ids = table["clip_id"].astype(str)
    trained, tested = (set(table.loc[ids.isin(set(part)).to_numpy(), label]) for part in (fold.train, fold.test))
    return sorted(tested - trained)


def _without(folds: tuple[Fold, ...], kept: set[str]) -> tuple[Fold, ...]:
    """The folds with the clips that are kept, those that test none left out."""
    parts = [
        Fold(fold.held_out, *(tuple(name for name in part if name in kept) for part in (fold.train, fold.test)))
        for fold in folds
    ]
    return tuple(fold for fold in parts if fold.test)


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
    found = set(table[label])
    strange, absent = sorted(found - set(config.classes)), sorted(set(config.classes) - found)
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
