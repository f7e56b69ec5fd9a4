"""What of a clip is shown: text from its row, its category and colour on a map, its time axis, its frames."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from medn_lab.records import Clips, au_columns, au_doubt, au_set_text, au_sets, frame_numbers, positions
from medn_lab.view import theme
from medn_lab.view.theme import as_text

NO_AU, UNKNOWN_AUS, AUS_IN_DOUBT = "no AU", "AUs unknown", "AUs in doubt"
_ALIKE = 8.0  # grey levels of an eighth by an eighth of the face: drawn and prepared copies differ by up to 5

UNKNOWN, REST = "unknown", "other"
# Entries of a legend: with more categories the rarest share the last one, which is grey.
MOST_CATEGORIES = 12
_NOT_KNOWN = (UNKNOWN, UNKNOWN_AUS, AUS_IN_DOUBT)
_GREY = (theme.GREY, "circle-open")
_STEP_COLOURS = ("#3B4CA8", "#2F7FD0", "#2BA8A0", "#86B83E", "#E0B020")
_COLUMNS = {
    "subject": "subject", "dataset": "data set", "fold": "fold", "cue": "implicit cue",
    "gate": "gate (0 all emotion, 1 all motion)", "label": "emotion", "predicted": "predicted emotion",
}  # fmt: skip
# Columns whose values are names, also where they are written as numbers.
_NAMES = ("subject", "dataset", "fold", "cue", "clip_id")


def label_column(table: pd.DataFrame) -> str | None:
    """The column that holds the emotion in use: ``label`` where a protocol was chosen, else ``emotion``, else None."""
    return next((name for name in ("label", "emotion") if name in table.columns), None)


def au_set_names(table: pd.DataFrame) -> np.ndarray:
    """The AU set of each clip as text to group by: ``AU1+AU2``, ``no AU``, ``AUs unknown`` or ``AUs in doubt``.

    The sets are those of :func:`medn_lab.records.au_sets`, without sides and intensities.

    Parameters
    ----------
    table : DataFrame
        With AU columns (1/0/NaN), ``action_units``, or neither.

    Returns
    -------
    (n,) object array of str

    Examples
    --------
    >>> au_set_names(pd.DataFrame({"clip_id": ["a", "b", "c"], "action_units": ["12+4", "0", "4?"]})).tolist()
    ['AU4+AU12', 'no AU', 'AUs in doubt']
    """
    if "action_units" not in table and not au_columns(table):
        return np.full(len(table), UNKNOWN_AUS, dtype=object)
    unsettled = np.where(au_doubt(table) == "", UNKNOWN_AUS, AUS_IN_DOUBT).tolist()
    names = [
        other if aus is None else "AU" + au_set_text(aus).replace("+", "+AU") if aus else NO_AU
        for aus, other in zip(au_sets(table), unsettled, strict=True)
    ]
    return np.asarray(names, dtype=object)


def au_set_texts(table: pd.DataFrame) -> np.ndarray:
    """The AU set of each clip as text to show: as :func:`au_set_names`, with the coder's text where it is in doubt.

    Examples
    --------
    >>> au_set_texts(pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["12", "12 or 14"]})).tolist()
    ['AU12', 'AUs in doubt: 12 or 14']
    """
    names = au_set_names(table)
    doubtful = names == AUS_IN_DOUBT
    if doubtful.any():
        names[doubtful] = f"{AUS_IN_DOUBT}: " + au_doubt(table)[doubtful]
    return names


def rightness(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of each clip whether its prediction can be judged, and whether it is right: two (n,) arrays of bool.

    It cannot be judged where label or prediction is missing, or where the label is none of the classes that were to be
    separated (``table.attrs["classes"]``, where they are noted).

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["fear", "others", None], "predicted": ["fear", "fear", "fear"]})
    >>> [one.tolist() for one in rightness(table)]
    [[True, True, False], [True, False, False]]
    """
    empty = pd.Series(None, table.index, dtype=object)
    label, predicted = (table.get(name, empty).astype(object) for name in (label_column(table), "predicted"))
    known = label.notna() & predicted.notna() & label.isin(table.attrs.get("classes", label))
    return known.to_numpy(), (known & (label == predicted)).to_numpy()


def coded_aus(row: pd.Series | Mapping[str, Any], names: list[str]) -> dict[str, bool | None]:
    """Whether each AU of `names` was coded in this clip; None where that is unknown."""
    return {name: float(row[name]) == 1 if text_of(row, name) else None for name in names}


def text_of(row: pd.Series | Mapping[str, Any], column: str) -> str:
    """One cell as escaped text, empty where the column or its value is not there."""
    value = row.get(column)
    missing = value is None or (np.isscalar(value) and pd.isna(value)) or str(value).strip() in ("", "nan", "?")
    return "" if missing else as_text(value)


def describe(row: pd.Series) -> str:
    """One escaped line on a clip: subject, emotion and AU set, as far as the table has them."""
    table, subject = row.to_frame().T, text_of(row, "subject")
    parts = [text_of(row, "clip_id"), subject and f"subject {subject}", text_of(row, label_column(table) or "")]
    return " · ".join(filter(None, [*parts, as_text(au_set_texts(table)[0])]))


def hover_texts(table: pd.DataFrame) -> np.ndarray:
    """What the pointer shows over each clip on a map: id, AU set, emotion, prediction, subject; (n,) escaped str."""
    label, texts = label_column(table), []
    for aus, row in zip(au_set_texts(table), table.to_dict("records"), strict=True):
        lines = [f"<b>{text_of(row, 'clip_id')}</b>", as_text(aus), text_of(row, label or "")]
        lines += [text_of(row, name) and f"{name} {text_of(row, name)}" for name in ("predicted", "subject")]
        texts.append("<br>".join(filter(None, lines)))
    return np.asarray(texts, dtype=object)


def persons(table: pd.DataFrame) -> pd.Series:
    """The subject of each clip, as ``dataset/subject`` where there are several data sets; missing where unknown."""
    subjects = table["subject"]
    if "dataset" not in table or table["dataset"].nunique() < 2:
        return subjects
    return (table["dataset"].astype(str) + "/" + subjects.astype(str)).where(subjects.notna())


@dataclass(frozen=True)
class Colouring:
    """Which category each clip is in, and how each category looks.

    Attributes
    ----------
    key, title : str
        The column or property, and its title in the legend. Where the rarest categories are folded into ``other``, the
        title says how many of how many have an entry.
    values : (n,) object array of str
    styles : mapping of str to (colour, marker symbol)
        In the order of the legend; every value is a key.
    own : (n,) object array of str
        The category of each clip before the rarest were folded into ``other``.
    """

    key: str
    title: str
    values: np.ndarray
    styles: Mapping[str, tuple[str, str]]
    own: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """How many clips each category has, in the order of the legend."""
        return pd.Series(self.values).value_counts().reindex(list(self.styles), fill_value=0).to_dict()

    def named(self, texts: np.ndarray) -> np.ndarray:
        """Hover texts (n,), where categories were folded each with the clip's own, unless a line names it already."""
        if (self.own == self.values).all():
            return texts
        title, named = as_text(self.title.rpartition(", ")[0]), []
        for text, own in zip(texts, map(as_text, self.own), strict=True):
            there = any(f" {line}".endswith(f" {own}") for line in text.split("<br>"))
            named.append(text if there else f"{text}<br>{title} {own}")
        return np.asarray(named, dtype=object)


def colour_choices(table: pd.DataFrame) -> dict[str, str]:
    """What the clips of this table can be coloured by: key to title.

    Examples
    --------
    >>> list(colour_choices(pd.DataFrame(columns=["clip_id", "subject", "label", "AU4"])))
    ['label', 'subject', 'au_set', 'AU4']
    """
    label, aus = label_column(table), au_columns(table)
    choices = {label: "emotion"} if label else {}
    if "predicted" in table:
        choices |= {"predicted": "predicted emotion"} | ({"correctness": "right or wrong"} if label else {})
    choices |= {name: _COLUMNS[name] for name in ("subject", "dataset", "fold", "cue", "gate") if name in table}
    if "dataset" in choices and table["dataset"].nunique(dropna=False) < 2:
        del choices["dataset"]
    return choices | ({"au_set": "AU set"} if aus or "action_units" in table else {}) | dict(zip(aus, aus, strict=True))


def colouring(table: pd.DataFrame, by: str = "label") -> Colouring:
    """Colour the clips of a table.

    Parameters
    ----------
    table : DataFrame
    by : str
        A key of :func:`colour_choices`, or any column. ``label`` falls back on ``emotion``; a numeric column with many
        values is cut at its quintiles. Of more than 12 categories the 11 most frequent are named, the others share the
        entry ``other``.

    Returns
    -------
    Colouring

    Raises
    ------
    ValueError
        If the table has nothing of that name.

    Examples
    --------
    >>> colouring(pd.DataFrame({"clip_id": ["a", "b"], "AU4": [1, 0]}), "AU4").values.tolist()
    ['AU4', 'no AU4']
    """
    column = label_column(table) if by == "label" else by
    emotions = by in ("label", "emotion", "predicted") and column in table
    looks: dict[str, tuple[str, str]] = {}
    if by == "correctness" and "predicted" in table and label_column(table):
        known, right = rightness(table)
        title, looks = "prediction", {"right": ("#2F7FD0", "circle"), "wrong": ("#E8590C", "x")}
        own = np.where(known, np.where(right, "right", "wrong"), UNKNOWN)
    elif by == "au_set":
        title, own = "AU set", au_set_names(table)
    elif by in au_columns(table):
        title, looks = by, {by: ("#E8590C", "circle"), f"no {by}": ("#6F93B8", "circle-open")}
        own = table[by].map({1: by, 0: f"no {by}"}).fillna(UNKNOWN).to_numpy()
    elif column in table:
        values, title = persons(table) if by == "subject" else table[column], _COLUMNS.get(by, by)
        numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numbers and by not in _NAMES and values.nunique() > MOST_CATEGORIES:
            fifth, cuts = pd.qcut(values, len(_STEP_COLOURS), labels=False, retbins=True, duplicates="drop")
            names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(cuts)]
            looks = {name: (colour, "circle") for name, colour in zip(names, _STEP_COLOURS, strict=False)}
            own = fifth.map(dict(enumerate(names))).fillna(UNKNOWN).to_numpy()
        else:
            text = values.astype(object).astype(str)
            own = text.mask(values.isna() | (text == ""), UNKNOWN).to_numpy()
    else:
        there = ", ".join(colour_choices(table)) or "no columns for it"
        raise ValueError(f"cannot colour by {by!r}; there are {there}")
    own = own.astype(object)
    counts = pd.Series(own).value_counts(sort=False).drop(list(_NOT_KNOWN), errors="ignore")
    names = list(counts.sort_values(ascending=False, kind="stable").index)
    names = names if len(names) <= MOST_CATEGORIES else names[: MOST_CATEGORIES - 1]
    if emotions:
        looks = {name: theme.emotion_style(name) for name in names}
    elif not looks:
        looks = {name: theme.category_style(k) for k, name in enumerate(names if by == "au_set" else sorted(names))}
        looks |= {NO_AU: (theme.GREY, "circle")} if NO_AU in looks else {}
    rest = REST if REST not in looks else f"all {REST}"
    values = np.where(np.isin(own, [*looks, *_NOT_KNOWN]), own, rest).astype(object)
    looks |= {name: _GREY for name in (rest, *_NOT_KNOWN) if name in set(values)}
    title += f", {len(names)} of {len(counts)} named" if rest in looks else ""
    return Colouring(by, title, values, looks, own)


@dataclass(frozen=True)
class Moments:
    """The frames of one clip on its time axis.

    Attributes
    ----------
    numbers : (t,) int64
        Frame numbers as the files count them, or 0 to t - 1 where the table does not hold them.
    milliseconds : (t,) float64 or None
        Time since the onset; None where the frame rate is not known.
    onset, apex, offset : int
        Positions among the t frames; `apex` is None where it is not known.
    named : bool
        Whether `numbers` are those of the files.
    note : str
        What is missing, as a sentence; empty where nothing is.
    """

    numbers: np.ndarray
    milliseconds: np.ndarray | None
    onset: int
    apex: int | None
    offset: int
    named: bool
    note: str = ""

    @property
    def peak(self) -> int:
        """Position of the apex, or of the middle frame where it is not known."""
        return len(self.numbers) // 2 if self.apex is None else self.apex

    def names(self, place: int) -> str:
        """What the frame at `place` is called: ``onset``, ``apex``, ``offset``, or nothing."""
        named = {"onset": self.onset, "apex": self.apex, "offset": self.offset}
        return " = ".join(name for name, at in named.items() if at == place)

    def describe(self, place: int) -> str:
        """The frame at `place` in words: its number, its time, its name."""
        number = f"{self.numbers[place]}" if self.named else f"{place + 1} of {len(self.numbers)}"
        time = "" if self.milliseconds is None else f"{self.milliseconds[place]:.0f} ms"
        return " · ".join(filter(None, [f"frame {number}", time, self.names(place)]))


def clip_row(clips: Clips, clip_id: str) -> tuple[int, pd.Series]:
    """Position and table row of a clip; ValueError if there is no such clip."""
    place = int(positions(clips.table, clip_id, owner="these clips")[0])
    return place, clips.table.iloc[place]


def clip_moments(clips: Clips, clip_id: str) -> Moments:
    """The time axis of one clip, as far as its table holds it.

    Parameters
    ----------
    clips : Clips
        With frames; without them the axis holds onset, apex (where it is known) and offset.
    clip_id : str

    Returns
    -------
    Moments
    """
    row = pd.to_numeric(clip_row(clips, clip_id)[1].reindex(["onset", "apex", "offset", "fps"]), errors="coerce")
    onset, apex, offset, fps = row.astype(float)
    count = 2 + bool(np.isfinite(apex)) if clips.frames is None else clips.frames.shape[1]
    if not onset < offset or count < 2:
        note = "the table does not give the first and last frame of this clip, so frames are counted from 1"
        return Moments(np.arange(count), None, 0, None, count - 1, False, note)
    known = onset <= apex <= offset
    numbers = frame_numbers(int(onset), int(apex if known else onset), int(offset), count)
    lacking = ["the apex of this clip is not known"] * (not known)
    lacking += ["the frame rate is not known, so there are no times"] * (not fps > 0)
    times = (numbers - numbers[0]) * 1000.0 / fps if fps > 0 else None
    place = int(np.abs(numbers - apex).argmin()) if known else None
    return Moments(numbers, times, 0, place, count - 1, True, "; ".join(lacking))


def shown_frames(clips: Clips, place: int) -> tuple[np.ndarray | None, str]:
    """The frames of a clip as people are shown them, and which they are.

    Parameters
    ----------
    clips : Clips
    place : int
        Row of the clip.

    Returns
    -------
    frames, which
        (t, h, w, 3) uint8: the viewing copy where there is one that shows the network's frames, otherwise those; None
        without frames.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"], "subject": ["s01"]})
    >>> shown_frames(Clips(np.zeros((1, 2, 8, 8, 3), np.uint8), None, table), 0)[1]
    'frames at 8 px, as the network gets them'
    """
    if clips.frames is None:
        return None, ""
    frames = np.asarray(clips.frames[place])
    large = None if clips.viewing is None else clips.viewing[place]
    if large is not None and len(large) == len(frames):
        blocks = [[cv2.resize(one, (8, 8), interpolation=cv2.INTER_AREA) for one in part] for part in (large, frames)]
        if np.abs(np.subtract(*np.asarray(blocks, dtype=float))).max() <= _ALIKE:
            return large, f"frames at {max(large.shape[1:3])} px (viewing copy)"
    return frames, f"frames at {max(frames.shape[1:3])} px, as the network gets them"
