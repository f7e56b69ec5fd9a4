"""Rows are known by ``clip_id``, never by position: the checks and joins that every record shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd


def au_columns(table: pd.DataFrame) -> list[str]:
    """The AU columns of a table, in its order: ``AU`` and a number, 1/0/NaN for present, absent, unknown.

    Parameters
    ----------
    table : DataFrame
        Any table; other columns that begin with ``AU`` are not meant.

    Returns
    -------
    list of str

    Examples
    --------
    >>> au_columns(pd.DataFrame(columns=["clip_id", "AU4", "AU12", "AUC"]))
    ['AU4', 'AU12']
    """
    return [name for name in table.columns if name.startswith("AU") and name[2:].isdigit()]


def check_table(table: pd.DataFrame, *, owner: str, required: Sequence[str] = ("clip_id",)) -> pd.DataFrame:
    """A copy of `table` with a fresh 0..n-1 index and text ids, after checking that every clip is there once.

    Parameters
    ----------
    table : DataFrame
        One row a clip.
    owner : str
        Whose table it is, for the error's sentence.
    required : sequence of str
        Columns that must be there.

    Returns
    -------
    DataFrame
        ``clip_id`` and ``subject`` are text, as they will be when read from the disk.

    Raises
    ------
    ValueError
        If a required column is missing, or a ``clip_id`` is empty or appears twice.

    Examples
    --------
    >>> check_table(pd.DataFrame({"clip_id": [7, 8]}, index=[5, 6]), owner="Clips")["clip_id"].tolist()
    ['7', '8']
    """
    missing = [name for name in required if name not in table.columns]
    if missing:
        there = ", ".join(map(str, table.columns)) or "no columns"
        raise ValueError(f"the table of {owner} lacks {', '.join(missing)}; it has {there}")
    table = table.reset_index(drop=True).copy()
    nameless = table["clip_id"].isna()
    for name in ("clip_id", "subject"):
        if name in table:
            table[name] = table[name].astype(str).astype(object)
    if (nameless | (table["clip_id"].str.strip() == "")).any():
        raise ValueError(f"the table of {owner} has rows without a clip_id")
    repeated = table["clip_id"][table["clip_id"].duplicated()].unique()
    if len(repeated):
        raise ValueError(f"the table of {owner} has {len(repeated)} clip_ids more than once, such as {repeated[0]!r}")
    return table


def check_rows(count: int, *, owner: str, **arrays: np.ndarray | None) -> None:
    """Raise unless every array given has `count` rows, one a row of the table.

    Parameters
    ----------
    count : int
        Rows of the table.
    owner : str
        Whose arrays they are, for the error's sentence.
    **arrays : ndarray or None
        Arrays by name; None is an array that the record does without.

    Raises
    ------
    ValueError
        If one has another number of rows.

    Examples
    --------
    >>> check_rows(2, owner="Clips", flow=np.zeros((3, 4, 4, 2)))
    Traceback (most recent call last):
        ...
    ValueError: Clips: flow has 3 rows but the table 2; both must come from the same clips
    """
    for name, array in arrays.items():
        if array is not None and len(array) != count:
            raise ValueError(
                f"{owner}: {name} has {len(array)} rows but the table {count}; both must come from the same clips"
            )


def positions(table: pd.DataFrame, clip_ids: Iterable[str], *, owner: str) -> np.ndarray:
    """The row of each clip id, in the order asked for.

    Parameters
    ----------
    table : DataFrame
        With a ``clip_id`` column in which every id is there once.
    clip_ids : iterable of str, or str
        The clips wanted.
    owner : str
        Whose table it is, for the error's sentence.

    Returns
    -------
    (n,) int64

    Raises
    ------
    ValueError
        If none is asked for, or one is not in the table.

    Examples
    --------
    >>> positions(pd.DataFrame({"clip_id": ["a", "b", "c"]}), ["c", "a"], owner="Clips").tolist()
    [2, 0]
    """
    wanted = [clip_ids] if isinstance(clip_ids, str) else [str(name) for name in clip_ids]
    if not wanted:
        raise ValueError(f"the selection is empty: name at least one clip_id of the {len(table)} in {owner}")
    found = pd.Index(table["clip_id"]).get_indexer(wanted)
    if (found < 0).any():
        unknown = [name for name, place in zip(wanted, found, strict=True) if place < 0]
        like = f"its ids look like {table['clip_id'].iloc[0]!r}" if len(table) else "it has no clips"
        raise ValueError(f"{len(unknown)} of {len(wanted)} clips are not in {owner}, such as {unknown[0]!r}; {like}")
    return found


def frame_numbers(onset: int, apex: int, offset: int, n_frames: int) -> np.ndarray:
    """The frames that stand for a clip: evenly spread from onset to offset, the one nearest the apex moved onto it.

    Parameters
    ----------
    onset, apex, offset : int
        Frame numbers with ``onset <= apex <= offset``.
    n_frames : int
        How many, at least 2. A clip with fewer frames repeats some.

    Returns
    -------
    (n_frames,) int64, not decreasing; the first is the onset, the last the offset.

    Raises
    ------
    ValueError
        If fewer than 2 frames are asked for, or onset, apex and offset are out of order.

    Examples
    --------
    >>> frame_numbers(10, 24, 45, 8).tolist()
    [10, 15, 20, 24, 30, 35, 40, 45]
    """
    if n_frames < 2:
        raise ValueError(f"a clip needs at least 2 frames, {n_frames} were asked for")
    if not onset <= apex <= offset:
        raise ValueError(f"onset {onset}, apex {apex}, offset {offset} are out of order; they must not decrease")
    numbers = np.rint(np.linspace(onset, offset, n_frames)).astype(np.int64)
    if n_frames > 2 and onset < apex < offset:
        numbers[1 + np.abs(numbers[1:-1] - apex).argmin()] = apex
    return numbers


def people(table: pd.DataFrame) -> pd.Series:
    """Who is in each clip, as ``dataset/subject``: subject 01 of one data set is not subject 01 of another.

    Parameters
    ----------
    table : DataFrame
        With ``subject`` and, where it has several data sets, ``dataset``.

    Returns
    -------
    Series of str
        In the table's order.

    Raises
    ------
    ValueError
        If a clip has no subject.

    Examples
    --------
    >>> people(pd.DataFrame({"dataset": ["casme2", "samm"], "subject": ["06", "06"]})).tolist()
    ['casme2/06', 'samm/06']
    """
    if "subject" not in table:
        raise ValueError(f"the table has no column subject; it has {', '.join(map(str, table.columns))}")
    subjects = table["subject"].astype(str)
    if (table["subject"].isna() | (subjects.str.strip() == "")).any():
        raise ValueError("some clips have no subject; without it a split could share a person")
    return table["dataset"].astype(str) + "/" + subjects if "dataset" in table else subjects


def check_label(table: pd.DataFrame, *, label: str) -> None:
    """That the clips have a class: what a protocol writes, or a column of the caller's own.

    Parameters
    ----------
    table : DataFrame
        Of clips.
    label : str
        The column's name.

    Raises
    ------
    ValueError
        If there is no such column.

    Examples
    --------
    >>> check_label(pd.DataFrame({"clip_id": ["a"], "label": ["others"]}), label="label") is None
    True
    """
    if label not in table:
        raise ValueError(f"the clips have no column {label!r}; choose a protocol with medn.data.to_classes first")
