"""The MEGC 2019 composite.

See, Yap, Li, Hong, Wang, MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge. FG 2019.
"""

from __future__ import annotations

import os

import pandas as pd

from medn_lab.data.protocols import to_classes
from medn_lab.data.readers.casme2 import read_casme2
from medn_lab.data.readers.clip_list import PROTOCOL, keys_of, problem_table, read_list
from medn_lab.data.readers.samm import read_samm
from medn_lab.data.readers.smic import read_smic
from medn_lab.records import CODING_COLUMNS, ClipIndex

Source = ClipIndex | str | os.PathLike[str]


def join_indexes(indexes: list[ClipIndex]) -> ClipIndex:
    """Several data sets as one index; AUs that a data set does not code are unknown in its rows.

    Parameters
    ----------
    indexes : list of ClipIndex
        One or more, without a clip in common.

    Returns
    -------
    ClipIndex

    Raises
    ------
    ValueError
        If the list is empty or a clip is in two of them.

    Examples
    --------
    >>> from medn_lab.records import no_problems
    >>> one = pd.DataFrame({"clip_id": ["casme2/a"], "dataset": "casme2", "subject": "01", "AU4": 1.0})
    >>> one["action_units"] = "4"
    >>> other = pd.DataFrame({"clip_id": ["smic/a"], "dataset": "smic", "subject": "01", "action_units": "?"})
    >>> joined = join_indexes([ClipIndex(one, no_problems()), ClipIndex(other, no_problems())])
    >>> joined
    ClipIndex: 2 clips of 1 subjects (casme2 1, smic 1); 0 problems, 0 rows left out
    >>> joined.table["AU4"].tolist()
    [1.0, nan]
    """
    if not indexes:
        raise ValueError("there is no index to join")
    table = pd.concat([index.table for index in indexes], ignore_index=True)
    units = sorted((name for name in table if name[:2] == "AU" and name[2:].isdigit()), key=lambda name: int(name[2:]))
    texts = [name for name in CODING_COLUMNS if name in table]
    table[texts] = table[texts].astype(object).fillna("")  # a data set without AUs has none of these
    last = [name for name in ("objective_class", "label", "coding", "cropped", "frames_folder") if name in table]
    first = [name for name in table if name not in units and name not in last]
    no_doubt = pd.Series("", index=table.index)
    for index in indexes:
        # An AU that a data set codes and no clip of it shows is absent there, not unknown.
        own = [name for name in units if name in index.table]
        coded = index.table.loc[index.table[own].notna().any(axis=1), "clip_id"]
        rows = table["clip_id"].isin(coded) & ~table.get("action_units_doubt", no_doubt).str.contains("may be more")
        for name in set(units) - set(own):
            table.loc[rows, name] = 0.0
    problems = [index.problems for index in indexes if len(index.problems)]
    return ClipIndex(
        table[first + units + last],
        pd.concat(problems, ignore_index=True) if problems else indexes[0].problems,
        {"joined": [dict(index.source) for index in indexes]},
    )


def read_megc2019(
    *,
    casme2: Source | None = None,
    samm: Source | None = None,
    smic: Source | None = None,
    gt: str | os.PathLike[str] | None = None,
) -> ClipIndex:
    """The composite of the 2019 challenge, from whichever of its three data sets are given.

    Three classes: CASME II gives 145 clips of 24 subjects, SAMM 133 of 28, SMIC 164 of 16, together 442 of 68. The
    class is in the column ``label``; clips without one are rows of ``problems``.

    Parameters
    ----------
    casme2, samm, smic : path-like or ClipIndex, optional
        The data set's folder, or its index where it needed arguments of its own.
    gt : path-like, optional
        The official list ``combined_3class_gt.csv``, or one with a header. It decides which clips are in and their
        class. Where its class is another than the emotion's, where it lists a clip that the data sets given lack, names
        one twice or gives a class that is none, there is a row in ``problems``.

    Returns
    -------
    ClipIndex

    Raises
    ------
    ValueError
        If nothing is given, or nothing has a class.

    See Also
    --------
    leave_one_subject_out : the challenge's split; ``casme2/06`` and ``samm/006`` are two people.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="smic", fps=15, size=64)
    ...     index = read_megc2019(smic=root)
    >>> index.table["label"].tolist()
    ['positive']
    """
    given = {"casme2": casme2, "samm": samm, "smic": smic}
    readers = {"casme2": read_casme2, "samm": read_samm, "smic": read_smic}
    indexes = [
        source if isinstance(source, ClipIndex) else readers[name](source)
        for name, source in given.items()
        if source is not None
    ]
    if not indexes:
        raise ValueError("give at least one of casme2=, samm= and smic=: a folder or an index")
    joined = join_indexes(indexes)
    kept, dropped = to_classes(joined.table, PROTOCOL)
    found = [joined.problems]
    if gt is None:
        found.append(_left_out(dropped["clip_id"], "emotion", dropped["reason"]))
    else:
        labels = kept.set_index("clip_id")["label"]
        kept, problems = _by_list(joined.table.assign(label=joined.table["clip_id"].map(labels).fillna("")), gt)
        found += problems
    problems = pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)
    return ClipIndex(kept, problems.astype({"kept": bool}), {**joined.source, "protocol": PROTOCOL})


def changed_classes(table: pd.DataFrame, listed: pd.Series, *, name: str) -> pd.DataFrame:
    """A row of problems for each clip to which a list gives another class than its emotion does.

    Parameters
    ----------
    table : DataFrame
        ``clip_id, emotion`` and ``label``, the emotion's class, ``""`` where it has none.
    listed : Series
        The list's class of each row.
    name : str
        The list's file name.
    """
    rows = zip(table["clip_id"], table["emotion"], table["label"], listed, strict=True)
    return problem_table(
        [
            (clip_id, "label", f"{emotion or 'no emotion'}, {own or 'in no class'}", f"-> {given}, the class in {name}")
            for clip_id, emotion, own, given in rows
            if own != given
        ]
    )


def _by_list(table: pd.DataFrame, gt: str | os.PathLike[str]) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The listed clips of a table, with the list's class, and what was found."""
    index = read_list(gt)
    keys, there = keys_of(table), keys_of(index.table)
    found = keys.map(pd.Series(index.table["label"].to_numpy(), index=there.to_numpy()).groupby(level=0).first())
    kept = found.notna()
    if not kept.any():
        raise ValueError(f"none of {len(table)} clips is in the list {gt}")
    lacking = index.table[~there.isin(set(keys)) & index.table["dataset"].isin(table["dataset"])]
    name = str(index.source["list"])
    problems = [
        _left_out(table.loc[~kept, "clip_id"], "gt", "not in the official list"),
        _left_out(lacking["clip_id"], "gt", f"in {name}, and no clip of the data sets that were given"),
        changed_classes(table[kept], found[kept], name=name),
        index.problems,
    ]
    return table[kept].assign(label=found[kept].astype(object)).reset_index(drop=True), problems


def _left_out(clip_ids: pd.Series, field: str, found: str | pd.Series) -> pd.DataFrame:
    said = [found] * len(clip_ids) if isinstance(found, str) else found
    return problem_table(
        [(name, field, one, f"left out of {PROTOCOL}") for name, one in zip(clip_ids, said, strict=True)]
    )
