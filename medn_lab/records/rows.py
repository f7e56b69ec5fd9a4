"""Rows are known by ``clip_id``, never by position: the checks and joins that every record shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from medn_lab.records.text import normalise_text


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
    return [name for name in table.columns if isinstance(name, str) and re.fullmatch(r"AU\d+", name)]


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
        ``clip_id`` is text, as it will be when read from the disk. ``subject``, ``label`` and ``emotion`` are text in
        one spelling, None where missing (:func:`normalise_labels`); AU columns are float.

    Raises
    ------
    ValueError
        If a required column is missing, a ``clip_id`` is empty or appears twice, or an AU column holds text.

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
    for name in au_columns(table):
        if not isinstance(table[name].dtype, np.dtype) or table[name].dtype == object:
            table[name] = au_values(table[name])
    nameless = table["clip_id"].isna()
    table["clip_id"] = table["clip_id"].astype(str).astype(object)
    for name in ("subject", "label", "emotion"):
        if name in table:
            table[name] = normalise_labels(table[name])
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
        If a clip has no subject, or two subjects of a data set differ only by zeros in front.

    Examples
    --------
    >>> people(pd.DataFrame({"dataset": ["casme2", "samm"], "subject": ["06", "06"]})).tolist()
    ['casme2/06', 'samm/06']
    """
    if "subject" not in table:
        raise ValueError(f"the table has no column subject; it has {', '.join(map(str, table.columns))}")
    subjects = normalise_labels(table["subject"])
    missing = subjects.isna() | (subjects == "")
    if missing.any():
        raise ValueError(
            f"{missing.sum()} of {len(table)} clips have no subject; without it a split could share a person: write"
            " their subject, or leave them out"
        )
    who = table["dataset"].astype(str) + "/" + subjects if "dataset" in table else subjects
    by_number: dict[str, str] = {}
    for name in who.unique():
        head, slash, number = name.rpartition("/")
        other = by_number.setdefault(f"{head}{slash}{number.lstrip('0') or '0'}" if number.isdigit() else name, name)
        if other != name:
            raise ValueError(f"the subjects {other!r} and {name!r} differ only by zeros; write one person in one way")
    return who.astype(object)


def au_values(column: pd.Series) -> np.ndarray:
    """An AU column of any dtype as float, NaN where missing; ValueError where a value is no number."""
    try:
        return np.array([np.nan if pd.isna(value) else float(value) for value in column])
    except ValueError as fault:
        raise ValueError(f"column {column.name} holds text ({fault}); an AU column holds 1, 0 or NaN") from None


def normalise_labels(labels: pd.Series) -> pd.Series:
    """Names of classes or subjects as text in one spelling, as :func:`normalise_text` writes it; ``1.0`` is ``"1"``.

    Parameters
    ----------
    labels : Series
        Of any dtype.

    Returns
    -------
    Series of object
        With the same index; None where a value is missing.

    Examples
    --------
    >>> normalise_labels(pd.Series(["disgust ", "ｆｅａｒ", 3, None])).tolist()
    ['disgust', 'fear', '3', None]
    """
    spelled: dict[tuple[type, object], str | None] = {}  # each different value is spelled once
    names = []
    for value in labels.astype(object):
        kind = type(value), value
        if kind not in spelled:
            whole = isinstance(value, float) and value.is_integer()
            spelled[kind] = None if pd.isna(value) else normalise_text(int(value) if whole else value)
        names.append(spelled[kind])
    return pd.Series(names, index=labels.index, name=labels.name, dtype=object)


def check_label(table: pd.DataFrame, *, label: str, complete: bool = True) -> pd.Series:
    """The class of each clip: every function that takes a table and a `label` reads the column through this one.

    Blanks and full-width signs typed by hand are mended (:func:`normalise_labels`): ``"disgust "`` is ``"disgust"``,
    and numbers become text. Two names that differ only in capital letters are refused.

    Parameters
    ----------
    table : DataFrame
        Of clips.
    label : str
        The column's name.
    complete : bool
        Whether each clip must have a class.

    Returns
    -------
    Series of str
        With the table's index; None where a clip has no class and `complete` is False.

    Raises
    ------
    ValueError
        If there is no such column, a clip has no class, or two classes differ only in capital letters.

    Examples
    --------
    >>> check_label(pd.DataFrame({"clip_id": ["a", "b"], "label": ["others", " others"]}), label="label").tolist()
    ['others', 'others']
    """
    if label not in table:
        raise ValueError(
            f"the clips have no column {label!r}; choose a protocol with medn.data.to_classes, or name the column of"
            " the classes with label="
        )
    names = normalise_labels(table[label])
    names = names.mask(names == "", None)
    missing = names.isna()
    if complete and missing.any():
        such = f", such as {table['clip_id'].iloc[int(missing.argmax())]!r}" if "clip_id" in table else ""
        raise ValueError(
            f"{missing.sum()} of {len(table)} clips have no {label}{such}; write their class, or leave them out with"
            " clips.select"
        )
    by_letters: dict[str, str] = {}
    for name in names.dropna().unique():
        other = by_letters.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(f"{label} holds {other!r} and {name!r}, which differ in capital letters; write one")
    return names
