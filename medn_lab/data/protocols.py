"""Evaluation protocols: which emotions make which classes, and splits that never share a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from medn_lab.records import normalise_text, people
from medn_lab.records.table import one_of

ProtocolName: TypeAlias = str
"""The name of a protocol in ``PROTOCOLS``."""

EMOTIONS = {
    "happiness": "happy 高兴 开心 快乐",
    "disgust": "disgusted 厌恶",
    "repression": "压抑",
    "surprise": "surprised 惊讶 吃惊",
    "sadness": "sad 悲伤 伤心",
    "fear": "恐惧 害怕",
    "anger": "angry 愤怒 生气",
    "contempt": "轻蔑 蔑视",
    "others": "other 其他 其它",
    "positive": "积极",
    "negative": "消极",
    "": "nan none null n/a na <na> nat",
}
"""The one word used here for an emotion and its other spellings in the data sets; ``""`` where there is none."""

_EMOTION_OF = {spelling: emotion for emotion, spellings in EMOTIONS.items() for spelling in spellings.split()}

_AROUND_A_WORD = " .,:;!?*·。`'\"-_/\\()[]{}<>#"
"""Signs before and behind a label that people type or export along with it."""


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


def _rule(classes: str, **joined: str) -> dict[str, str]:
    """Emotion to class: a class takes the emotion of its own name, and those that ``joined`` lists under the class."""
    own = {name: name for name in classes.split()}
    return own | {emotion: name for name, emotions in joined.items() for emotion in emotions.split()}


_POLAR = "negative positive surprise"
_CASME2 = ("casme2", "synthme")  # SynthME uses the labels of CASME II
_CASME2_THREE = dict.fromkeys(_CASME2, _rule(_POLAR, positive="happiness", negative="disgust repression"))
_CASME2_FIVE = dict.fromkeys(_CASME2, _rule("happiness disgust repression surprise others"))
_SAMM_THREE = _rule(_POLAR, positive="happiness", negative="anger contempt disgust fear sadness")
_CASME3_JOINED = {"positive": "happiness", "negative": "anger disgust fear sadness"}
_RULES: dict[str, Mapping[str, Mapping[str, str]]] = {
    # The composite of the 2019 challenge. Fear and sadness are negative in SAMM and dropped in CASME II.
    "megc2019": {**_CASME2_THREE, "samm": _SAMM_THREE, "smic": _rule(_POLAR)},
    # Fear and sadness are dropped; three labels differ between the 2014 and the 2019 coding.
    "casme2_5class": _CASME2_FIVE,
    "casme2_3class": _CASME2_THREE,
    # Disgust, fear and sadness are dropped; no two clips with one AU set differ in their label.
    "samm_5class": {"samm": _rule("anger happiness others surprise contempt")},
    "samm_3class": {"samm": _SAMM_THREE},
    "casme3_3class": {"casme3": _rule(_POLAR, **_CASME3_JOINED)},
    "casme3_4class": {"casme3": _rule(f"{_POLAR} others", **_CASME3_JOINED)},
    "casme3_7class": {"casme3": _rule("happiness disgust fear anger sadness surprise others")},
    "synthme_5class": _CASME2_FIVE,
}

PROTOCOLS: dict[str, Protocol] = {
    name: Protocol(name, tuple(dict.fromkeys(next(iter(rules.values())).values())), rules)
    for name, rules in _RULES.items()
}
"""Every protocol by name; enter another one in ``_RULES``. The first data set's rule gives the classes' order."""


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
    if word not in _EMOTION_OF:
        word = re.sub("[\u4e00-\u9fff]+", "", word).strip(_AROUND_A_WORD) or word.strip(_AROUND_A_WORD)
    return _EMOTION_OF.get(word, word)


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
    rules = PROTOCOLS[one_of(protocol, PROTOCOLS, "the protocol")].rules
    missing = [name for name in ("clip_id", "emotion") if name not in table]
    if missing:
        raise ValueError(f"to_classes needs the columns clip_id and emotion; {', '.join(missing)} is missing")
    if "dataset" not in table and any(rule != next(iter(rules.values())) for rule in rules.values()):
        raise ValueError(f"{protocol} treats data sets differently: the table needs a column dataset")
    datasets = table["dataset"] if "dataset" in table else [next(iter(rules))] * len(table)
    labels, reasons = [], []
    for dataset, emotion in zip(datasets, table["emotion"].map(canonical_emotion), strict=True):
        rule = rules.get(normalise_text(dataset).lower())
        labels.append((rule or {}).get(emotion))
        reason = f"emotion {emotion!r} of {dataset} is in no class of {protocol}" if emotion else "no emotion is given"
        reasons.append(f"data set {dataset} has no part in {protocol} ({', '.join(rules)})" if rule is None else reason)
    classes, why = (pd.Series(values, table.index, dtype=object) for values in (labels, reasons))
    keeps = classes.notna()
    if not keeps.any():
        found = ", ".join(sorted(set(reasons))) or "the table is empty"
        raise ValueError(f"no clip (of {len(table)}) has a class of {protocol}: {found}")
    kept, dropped = table[keeps].assign(label=list(classes[keeps])), table[~keeps].assign(reason=list(why[~keeps]))
    return kept.reset_index(drop=True), dropped.reset_index(drop=True)


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
        return f"Fold without {self.held_out}: {len(self.train)} to train, {len(self.test)} to test"


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
    [Fold without samm/006: 1 to train, 2 to test, Fold without samm/007: 2 to train, 1 to test]
    """
    who = people(table).to_numpy()
    names = sorted(set(who))
    if len(names) < 2:
        raise ValueError(f"leaving one subject out needs at least 2 subjects; the {len(table)} clips have {len(names)}")
    ids = table["clip_id"].astype(str).to_numpy()
    return [Fold(name, tuple(ids[who != name]), tuple(ids[who == name])) for name in names]


def hold_out_subjects(table: pd.DataFrame, *, n: int | None = None, seed: int = 0) -> tuple[list[str], list[str]]:
    """One split by people: some subjects train, others test.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``, ``subject`` and, where it has several data sets, ``dataset``.
    n : int, optional
        How many people to hold out; by default a quarter of them, at least one.
    seed : int
        Which people.

    Returns
    -------
    train_ids, test_ids : list of str
        Clip ids in the table's order, without a person in both.

    Raises
    ------
    ValueError
        If nobody would be left on one side.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b", "c"], "subject": ["1", "2", "2"]})
    >>> hold_out_subjects(table, n=1, seed=0)
    (['a'], ['b', 'c'])
    """
    who = people(table)
    names = sorted(set(who))
    wanted = max(1, round(len(names) / 4)) if n is None else n
    if not 0 < wanted < len(names):
        raise ValueError(f"cannot hold out {wanted} of {len(names)} subjects: some must train and some be tested")
    held = {names[place] for place in np.random.default_rng(seed).choice(len(names), wanted, replace=False)}
    tests = who.isin(held).to_numpy()
    ids = table["clip_id"].astype(str).to_numpy()
    return ids[~tests].tolist(), ids[tests].tolist()
