"""What of a clip is shown: text from its row (labels, AU sets, hover texts), its time axis, its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from medn_lab.records import Clips, au_columns, au_doubt, au_set_text, au_sets, frame_numbers, positions
from medn_lab.view.theme import as_text

NO_AU, UNKNOWN_AUS, AUS_IN_DOUBT = "no AU", "AUs unknown", "AUs in doubt"
_ALIKE = 8.0  # grey levels of an eighth by an eighth of the face: drawn and prepared copies differ by up to 5


def _is_missing(value: object) -> bool:
    return value is None or (np.isscalar(value) and pd.isna(value)) or str(value).strip() in ("", "nan", "?")


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
    column = label_column(table)
    if column is None or "predicted" not in table:
        return np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    label, predicted = table[column].astype(object), table["predicted"].astype(object)
    known = label.notna() & predicted.notna() & label.isin(table.attrs.get("classes", label))
    return known.to_numpy(), (known & (label == predicted)).to_numpy()


def coded_aus(row: pd.Series | Mapping[str, Any], names: list[str]) -> dict[str, bool | None]:
    """Whether each AU of `names` was coded in this clip; None where that is unknown."""
    return {name: None if _is_missing(row.get(name)) else float(row[name]) == 1 for name in names}


def text_of(row: pd.Series | Mapping[str, Any], column: str) -> str:
    """One cell as escaped text, empty where the column or its value is not there."""
    return "" if _is_missing(row.get(column)) else as_text(row[column])


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
        for name in ("predicted", "subject"):
            lines.append(text_of(row, name) and f"{name} {text_of(row, name)}")
        texts.append("<br>".join(filter(None, lines)))
    return np.asarray(texts, dtype=object)


def persons(table: pd.DataFrame) -> pd.Series:
    """The subject of each clip, as ``dataset/subject`` where there are several data sets; missing where unknown."""
    subjects = table["subject"]
    if "dataset" not in table or table["dataset"].nunique() < 2:
        return subjects
    return (table["dataset"].astype(str) + "/" + subjects.astype(str)).where(subjects.notna())


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
