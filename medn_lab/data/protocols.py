"""Evaluation protocols: which emotions make which classes, and splits that never share a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from medn_lab.records import normalise_text, people

ProtocolName = Literal[
    "megc2019",
    "casme2_5class",
    "casme2_3class",
    "samm_5class",
    "samm_3class",
    "casme3_3class",
    "casme3_4class",
    "casme3_7class",
    "synthme_5class",
]

EMOTIONS = {
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "other": "others",
    "surprised": "surprise",
    "disgusted": "disgust",
    "高兴": "happiness", "开心": "happiness", "快乐": "happiness", "厌恶": "disgust", "压抑": "repression",
    "惊讶": "surprise", "吃惊": "surprise", "悲伤": "sadness", "伤心": "sadness", "恐惧": "fear", "害怕": "fear",
    "愤怒": "anger", "生气": "anger", "轻蔑": "contempt", "蔑视": "contempt", "其他": "others", "其它": "others",
    "积极": "positive", "消极": "negative",
} | dict.fromkeys(("nan", "none", "null", "n/a", "na", "<na>", "nat"), "")  # fmt: skip
"""Spellings of the data sets and the one word used here for each; ``""`` for the ways to write that there is none."""

_AROUND_A_WORD = " .,:;!?*·。`'\"-_/\\()[]{}<>#"
"""Signs before and behind a label that people type or export along with it."""

_THREE = ("negative", "positive", "surprise")
_POLAR = {"negative": "negative", "positive": "positive", "surprise": "surprise"}


@dataclass(frozen=True)
class Protocol:
    """Which emotions of which data sets make which classes.

    Attributes
    ----------
    name : str
    classes : tuple of str
        In the order of their numbers: the first is class 0.
    rules : dict
        Data set to (emotion to class). What is not named is dropped.
    about : str
        What one should know before comparing figures.

    Examples
    --------
    >>> PROTOCOLS["megc2019"].classes
    ('negative', 'positive', 'surprise')
    >>> PROTOCOLS["megc2019"].rules["smic"]["negative"]
    'negative'
    """

    name: str
    classes: tuple[str, ...]
    rules: Mapping[str, Mapping[str, str]]
    about: str

    def __repr__(self) -> str:
        return f"Protocol {self.name}: {', '.join(self.classes)} ({', '.join(self.rules)})"


def _as_named(*emotions: str) -> dict[str, str]:
    return {emotion: emotion for emotion in emotions}


def _joined(positive: tuple[str, ...], negative: tuple[str, ...]) -> dict[str, str]:
    groups = {"positive": positive, "negative": negative, "surprise": ("surprise",)}
    return {emotion: name for name, emotions in groups.items() for emotion in emotions} | _POLAR


_CASME2_FIVE = _as_named("happiness", "disgust", "repression", "surprise", "others")
_CASME2_THREE = _joined(("happiness",), ("disgust", "repression"))
_SAMM_THREE = _joined(("happiness",), ("anger", "contempt", "disgust", "fear", "sadness"))
_CASME3_THREE = _joined(("happiness",), ("anger", "disgust", "fear", "sadness"))
_CASME3_SEVEN = ("happiness", "disgust", "fear", "anger", "sadness", "surprise", "others")


def _with_synthme(rule: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """A rule for CASME II; SynthME uses its labels and stands in for it."""
    return {"casme2": rule, "synthme": rule}


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "megc2019",
            _THREE,
            {**_with_synthme(_CASME2_THREE), "samm": _SAMM_THREE, "smic": _POLAR},
            "The composite of the 2019 challenge, one subject left out over all three data sets. Fear and sadness are "
            "negative in SAMM and dropped in CASME II.",
        ),
        Protocol(
            "casme2_5class",
            tuple(_CASME2_FIVE),
            _with_synthme(_CASME2_FIVE),
            "Fear and sadness are dropped; three labels differ between the 2014 and the 2019 coding.",
        ),
        Protocol("casme2_3class", _THREE, _with_synthme(_CASME2_THREE), "CASME II's part of megc2019."),
        Protocol(
            "samm_5class",
            ("anger", "happiness", "others", "surprise", "contempt"),
            {"samm": _as_named("anger", "happiness", "others", "surprise", "contempt")},
            "Disgust, fear and sadness are dropped; no two clips with one AU set differ in their label.",
        ),
        Protocol("samm_3class", _THREE, {"samm": _SAMM_THREE}, "SAMM's part of megc2019; others are dropped."),
        Protocol("casme3_3class", _THREE, {"casme3": _CASME3_THREE}, "Others are dropped."),
        Protocol(
            "casme3_4class",
            (*_THREE, "others"),
            {"casme3": {**_CASME3_THREE, "others": "others"}},
            "The 3 classes with others beside them.",
        ),
        Protocol("casme3_7class", _CASME3_SEVEN, {"casme3": _as_named(*_CASME3_SEVEN)}, "Every emotion a class."),
        Protocol(
            "synthme_5class",
            tuple(_CASME2_FIVE),
            _with_synthme(_CASME2_FIVE),
            "SynthME's own five emotions, those of CASME II.",
        ),
    )
}
"""Every protocol by name."""


def canonical_emotion(text: object) -> str:
    """The one word for an emotion, in lower case and one spelling.

    Parameters
    ----------
    text : str or a missing value
        As a spreadsheet has it: capitals, full-width letters, blanks and punctuation around the word do not count, nor
        does a Chinese translation of it.

    Returns
    -------
    str
        ``""`` for a missing value; an unknown word stays as it is.

    Examples
    --------
    >>> canonical_emotion(" Other. "), canonical_emotion("ｈａｐｐｙ"), canonical_emotion(None)
    ('others', 'happiness', '')
    """
    word = normalise_text(text).casefold()
    if word not in EMOTIONS:
        word = re.sub("[\u4e00-\u9fff]+", "", word).strip(_AROUND_A_WORD) or word.strip(_AROUND_A_WORD)
    return EMOTIONS.get(word, word)


def to_classes(table: pd.DataFrame, protocol: ProtocolName) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips that a protocol keeps, with their class, and those that it drops, with the reason.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id`` and ``emotion``; with ``dataset`` where the protocol treats data sets differently.
    protocol : str
        One of ``PROTOCOLS``.

    Returns
    -------
    kept : DataFrame
        The kept rows with a column ``label``, the name of the class, one of ``PROTOCOLS[protocol].classes``.
    dropped : DataFrame
        The other rows with a column ``reason``.

    Raises
    ------
    ValueError
        If the protocol is unknown, a column is missing, or no clip has a class.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "dataset": "casme2", "emotion": ["Happiness", "fear"]})
    >>> kept, dropped = to_classes(table, "casme2_3class")
    >>> kept["label"].tolist(), dropped["reason"].tolist()
    (['positive'], ["emotion 'fear' of casme2 is in no class of casme2_3class"])
    """
    if protocol not in get_args(ProtocolName):
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol]
    missing = [name for name in ("clip_id", "emotion") if name not in table]
    if missing:
        raise ValueError(f"to_classes needs the columns clip_id and emotion; {', '.join(missing)} is missing")
    datasets = table["dataset"] if "dataset" in table else pd.Series(_only_dataset(chosen), index=table.index)
    labels, reasons = [], []
    for dataset, emotion in zip(datasets, table["emotion"].map(canonical_emotion), strict=True):
        rule = chosen.rules.get(normalise_text(dataset).lower())
        label = None if rule is None else rule.get(emotion)
        labels.append(label)
        if rule is None:
            reasons.append(f"data set {dataset} has no part in {protocol} ({', '.join(chosen.rules)})")
        elif not emotion:
            reasons.append("no emotion is given")
        else:
            reasons.append(f"emotion {emotion!r} of {dataset} is in no class of {protocol}")
    keeps = np.array([label is not None for label in labels], dtype=bool)
    if not keeps.any():
        found = ", ".join(sorted(set(reasons))) or "the table is empty"
        raise ValueError(f"none of {len(table)} clips has a class of {protocol}: {found}")
    kept = table.loc[keeps].assign(label=np.array(labels, dtype=object)[keeps])
    dropped = table.loc[~keeps].assign(reason=np.array(reasons, dtype=object)[~keeps])
    return kept.reset_index(drop=True), dropped.reset_index(drop=True)


def _only_dataset(protocol: Protocol) -> str:
    if len(protocol.rules) > 1 and len({tuple(rule.items()) for rule in protocol.rules.values()}) > 1:
        raise ValueError(f"{protocol.name} treats data sets differently: the table needs a column dataset")
    return next(iter(protocol.rules))


@dataclass(frozen=True, repr=False)
class Fold:
    """One split of a table into clips that train and clips that test.

    Attributes
    ----------
    held_out : str
        The person left out, as ``dataset/subject``.
    train, test : tuple of str
        Clip ids; together every clip of the table, without overlap.

    Examples
    --------
    >>> fold = Fold("s02", train=("a", "b"), test=("c",))
    >>> fold.held_out, len(fold.train), len(fold.test)
    ('s02', 2, 1)
    """

    held_out: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Fold without {self.held_out}: {len(self.train)} clips to train, {len(self.test)} to test"


def leave_one_subject_out(table: pd.DataFrame) -> list[Fold]:
    """One fold a person: all clips of that person are tested, all others train.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``, ``subject`` and, where it has several data sets, ``dataset``.

    Returns
    -------
    list of Fold
        In the order of the people's names; every clip is tested exactly once.

    Raises
    ------
    ValueError
        If there are fewer than two people.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b", "c"], "dataset": "samm", "subject": ["006", "006", "007"]})
    >>> leave_one_subject_out(table)
    [Fold without samm/006: 1 clips to train, 2 to test, Fold without samm/007: 2 clips to train, 1 to test]
    """
    who = people(table).to_numpy()
    names = sorted(set(who))
    if len(names) < 2:
        raise ValueError(f"leaving one subject out needs at least 2 subjects; the {len(table)} clips have {len(names)}")
    ids = table["clip_id"].astype(str).to_numpy()
    return [Fold(name, tuple(ids[who != name]), tuple(ids[who == name])) for name in names]


def hold_out_subjects(
    table: pd.DataFrame, *, n: int | None = None, share: float | None = None, seed: int = 0
) -> tuple[list[str], list[str]]:
    """One split by people: some subjects train, others test.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``, ``subject`` and, where it has several data sets, ``dataset``.
    n : int, optional
        How many people to hold out.
    share : float, optional
        Which share of the people to hold out instead, in (0, 1); at least one person. A quarter where neither is given.
    seed : int
        Which people.

    Returns
    -------
    train_ids, test_ids : list of str
        Clip ids in the table's order, without a person in both.

    Raises
    ------
    ValueError
        If `n` and `share` are both given, or nobody would be left on one side.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b", "c"], "subject": ["1", "2", "2"]})
    >>> hold_out_subjects(table, n=1, seed=0)
    (['a'], ['b', 'c'])
    """
    if n is not None and share is not None:
        raise ValueError("give n or share, not both")
    who = people(table)
    names = sorted(set(who))
    wanted = n if n is not None else max(1, round((0.25 if share is None else share) * len(names)))
    if not 0 < wanted < len(names):
        raise ValueError(f"cannot hold out {wanted} of {len(names)} subjects: some must train and some be tested")
    held = {names[place] for place in np.random.default_rng(seed).choice(len(names), wanted, replace=False)}
    tests = who.isin(held).to_numpy()
    ids = table["clip_id"].astype(str).to_numpy()
    return ids[~tests].tolist(), ids[tests].tolist()
