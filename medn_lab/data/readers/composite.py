"""The MEGC 2019 composite.

See, Yap, Li, Hong, Wang, MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge. FG 2019.
"""

from __future__ import annotations

import os

import pandas as pd

from medn_lab.data.protocols import to_classes
from medn_lab.data.readers.casme2 import read_casme2
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
        The official list ``combined_3class_gt.csv``. It decides which clips are in, and their class, where it and the
        emotion differ: it leaves out two negative clips of CASME II that its rule alone would keep.

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
    kept, dropped = to_classes(joined.table, "megc2019")
    left_out = [
        (clip_id, "emotion", reason) for clip_id, reason in zip(dropped["clip_id"], dropped["reason"], strict=True)
    ]
    if gt is not None:
        kept, unlisted = _by_list(kept, gt)
        left_out += [(clip_id, "gt", "not in the official list") for clip_id in unlisted]
    rows = [
        {"clip_id": clip_id, "field": field, "found": found, "done": "left out of megc2019", "kept": False}
        for clip_id, field, found in left_out
    ]
    problems = pd.concat([joined.problems, pd.DataFrame(rows)], ignore_index=True) if rows else joined.problems
    return ClipIndex(kept, problems.astype({"kept": bool}), {**joined.source, "protocol": "megc2019"})


def _by_list(table: pd.DataFrame, gt: str | os.PathLike[str]) -> tuple[pd.DataFrame, list[str]]:
    from medn_lab.data.readers.flow_pack import read_list

    listed = read_list(gt).set_index("key")["label"]
    keys = [_key(*row) for row in table[["dataset", "subject", "filename"]].itertuples(index=False)]
    found = pd.Series(keys, index=table.index).map(listed)
    kept = table[found.notna()].assign(label=found[found.notna()].astype(object))
    if not len(kept):
        raise ValueError(f"none of {len(table)} clips is in the list {gt}")
    return kept.reset_index(drop=True), table.loc[found.isna(), "clip_id"].tolist()


def _key(dataset: str, subject: str, filename: str) -> tuple[str, str]:
    from medn_lab.data.readers.flow_pack import clip_key

    return clip_key(dataset, subject, filename)
