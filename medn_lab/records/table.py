"""Rows are known by ``clip_id``, never by position: the checks, joins and spellings that every record shares."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

T = TypeVar("T")

# Relative to the largest value: networks compute in float32, so differences below this are rounding.
ROUNDING = 64 * float(np.finfo(np.float32).eps)

_SIGNS = str.maketrans("、。‐–—−⁄∕‘’“”", ",.----//''\"\"")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def require(part: T | None, *, otherwise: str) -> T:
    """Return the value, or raise ValueError if it is None.

    Parameters
    ----------
    part : any or None
        None is a part that the record lacks.
    otherwise : str
        The error's sentence: what is wrong, and what to do.

    Returns
    -------
    any
        The part, which is not None.

    Raises
    ------
    ValueError
        If it is None.

    Examples
    --------
    >>> require(0.0, otherwise="no frame rate is known; give fps")
    0.0
    >>> require(None, otherwise="no frame rate is known; give fps")
    Traceback (most recent call last):
        ...
    ValueError: no frame rate is known; give fps
    """
    if part is None:
        raise ValueError(otherwise)
    return part


def one_of(value: T, choices: Iterable[T], name: str) -> T:
    """The value itself; ValueError unless it is one of `choices`. The error calls it `name`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}; it is {value!r}")
    return value


def normalise_text(value: object) -> str:
    r"""The text of a cell with full-width and typographic signs as plain ones, without blanks around it.

    Unicode's NFKC form, with ``、`` as a comma, every dash as ``-``, curly quotes as straight ones, each run of blanks
    (no-break and full-width blanks and line breaks too) as one blank, and invisible signs taken out.

    Parameters
    ----------
    value : object
        A cell; a missing value becomes ``""``.

    Returns
    -------
    str

    Examples
    --------
    >>> normalise_text("４，Ｌ７（ｋ）"), normalise_text(" disgust\u00a0 "), normalise_text(None)
    ('4,L7(k)', 'disgust', '')
    """
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", str(value)).translate(_SIGNS))
    return " ".join(text.split())


def counted(n: int, what: str) -> str:
    """A number of things in words.

    Parameters
    ----------
    n : int
    what : str
        The thing, in the singular.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "pair"), counted(3, "pair")
    ('1 pair', '3 pairs')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


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


def au_values(column: pd.Series) -> np.ndarray:
    """An AU column of any dtype as float, NaN where missing; ValueError where a value is no number."""
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except ValueError as fault:
        raise ValueError(f"column {column.name} holds text ({fault}); an AU column holds 1, 0 or NaN") from None


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
        there = ", ".join(map(str, table.columns))
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


def positions(table: pd.DataFrame, clip_ids: Iterable[str], *, owner: str) -> np.ndarray:
    """The row of each clip id, in the order of `clip_ids`.

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
        If none is named, or one is not in the table.

    Examples
    --------
    >>> positions(pd.DataFrame({"clip_id": ["a", "b", "c"]}), ["c", "a"], owner="Clips").tolist()
    [2, 0]
    """
    wanted = [clip_ids] if isinstance(clip_ids, str) else [str(name) for name in clip_ids]
    if not wanted:
        raise ValueError(f"the selection is empty: name at least one clip_id of the {len(table)} in {owner}")
    found = pd.Index(table["clip_id"]).get_indexer(wanted)
    unknown = [name for name, place in zip(wanted, found, strict=True) if place < 0]
    if unknown:
        like = f"its ids look like {table['clip_id'].iloc[0]!r}" if len(table) else "it has no clips"
        raise ValueError(f"{len(unknown)} of {len(wanted)} clips are not in {owner}, such as {unknown[0]!r}; {like}")
    return found


def frame_numbers(onset: int, apex: int, offset: int, n_frames: int) -> np.ndarray:
    """The frame numbers of a clip: evenly spread from onset to offset, the one nearest the apex moved onto it.

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
        If `n_frames` is below 2, or onset, apex and offset are out of order.

    Examples
    --------
    >>> frame_numbers(10, 24, 45, 8).tolist()
    [10, 15, 20, 24, 30, 35, 40, 45]
    """
    if n_frames < 2:
        raise ValueError(f"a clip needs at least 2 frames, n_frames is {n_frames}")
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
        raise ValueError(f"{missing.sum()} of {len(table)} clips have no subject; write it, or leave them out")
    who = table["dataset"].astype(str) + "/" + subjects if "dataset" in table else subjects
    names = pd.Series(who.unique(), dtype=object)
    twins = names[names.str.replace(r"(^|/)0+(?=\d+$)", r"\1", regex=True).duplicated(keep=False)]
    if len(twins):
        named = " and ".join(map(repr, twins))
        raise ValueError(f"the subjects {named} differ only by zeros; write one person in one way")
    return who.astype(object)


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
    names = [_label(value) for value in labels.astype(object)]
    return pd.Series(names, index=labels.index, name=labels.name, dtype=object)


def check_label(table: pd.DataFrame, *, label: str, complete: bool = True) -> pd.Series:
    """The class of each clip; every function with a table and a `label` reads the column with this function.

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
        raise ValueError(f"the clips have no column {label!r}; choose classes with medn.data.to_classes, or set label=")
    names = normalise_labels(table[label])
    names = names.mask(names == "", None)
    missing = names.isna()
    if complete and missing.any():
        such = f", such as {table['clip_id'].iloc[int(missing.argmax())]!r}" if "clip_id" in table else ""
        fault = f"{missing.sum()} of {len(table)} clips have no {label}{such}"
        raise ValueError(f"{fault}; write their class, or leave them out with clips.select")
    classes = pd.Series(names.dropna().unique(), dtype=object)
    twins = classes[classes.str.casefold().duplicated(keep=False)]
    if len(twins):
        raise ValueError(f"{label} holds {' and '.join(map(repr, twins))}, which differ in capital letters; write one")
    return names


def constant_columns(values: ArrayLike, *, size: ArrayLike = 0.0) -> np.ndarray:
    """Which columns of a feature are the same for all clips, but for rounding.

    Networks compute in float32. A column is constant where it departs from its mean by no more than 64 roundings of
    its largest value (7.6e-6 of it). All columns are constant where none departs by more than that of the largest value
    of the whole feature. So 3.0 with noise of 4e-7 is constant, and values of the size 1e-6 that differ are not.

    Parameters
    ----------
    values : (n, ...) array-like
        A row a clip; further axes are flattened. Values that are not finite do not count.
    size : float or (d,) array-like
        Largest absolute values that the rounding comes from, where `values` is what is left of larger ones.

    Returns
    -------
    (d,) bool array

    See Also
    --------
    is_constant, constant_reason

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(30, 2))
    >>> constant_columns(3.0 + 4e-7 * noise).tolist(), constant_columns(1e-6 * noise).tolist()
    ([True, True], [False, False])
    """
    x = np.asarray(values)
    x = x.reshape(len(x), -1 if x.size else 0).astype(np.float64, copy=False)
    finite = np.isfinite(x)
    kept = x if finite.all() else np.where(finite, x, np.nan)
    mean = np.nansum(kept, axis=0) / np.maximum(finite.sum(axis=0), 1)
    low, high = (np.nan_to_num(of.reduce(kept, axis=0, initial=np.nan)) for of in (np.fmin, np.fmax))
    apart, largest = np.maximum(high - mean, mean - low), np.maximum(np.maximum(high, -low), size)
    return (apart <= ROUNDING * largest) | bool((apart <= ROUNDING * largest.max(initial=0.0)).all())


def is_constant(values: ArrayLike) -> bool:
    """Whether a feature is the same for all clips, but for rounding: :func:`constant_columns` for all columns.

    Parameters
    ----------
    values : (n, ...) array-like
        A row a clip.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_constant(np.ones((5, 3))), is_constant(np.eye(5))
    (True, False)
    """
    return bool(constant_columns(values).all())


def constant_reason(features: Mapping[str, ArrayLike | None], *, given: str = "") -> str:
    """Why a measure of these branches has no value; empty where none is constant.

    Parameters
    ----------
    features : mapping of str to (n, d) array-like or None
        By the name of the branch or the layer.
    given : str
        The factor that was removed from the features.

    Returns
    -------
    str

    Examples
    --------
    >>> constant_reason({"motion": np.eye(5), "emotion": np.ones((5, 3))})
    'the emotion branch is constant'
    """
    found = [name for name, values in features.items() if values is not None and is_constant(values)]
    if not found:
        return ""
    branches = ("motion", "emotion", "fused")
    named = " and ".join(f"the {name} branch" if name in branches else f"the layer {name}" for name in found)
    return f"{named} {'is' if len(found) == 1 else 'are'} constant" + (f" given {given}" if given else "")


@lru_cache(maxsize=4096, typed=True)
def _label(value: object) -> str | None:
    """A label in one spelling; None where it is missing."""
    if pd.isna(value):
        return None
    return normalise_text(int(value) if isinstance(value, float) and value.is_integer() else value)
