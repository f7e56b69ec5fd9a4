"""The time axis of a clip: which frames stand for it, when they were, and which is the onset, apex and offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.records import Clips, frame_numbers, positions


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

    def names(self, place: int) -> str:
        """What the frame at `place` is called: ``onset``, ``apex``, ``offset``, or nothing."""
        said = [n for n, p in (("onset", self.onset), ("apex", self.apex), ("offset", self.offset)) if p == place]
        return " = ".join(said)

    def describe(self, place: int) -> str:
        """The frame at `place` in words: its number, its time, its name."""
        said = [f"frame {self.numbers[place]}" if self.named else f"frame {place + 1} of {len(self.numbers)}"]
        if self.milliseconds is not None:
            said.append(f"{self.milliseconds[place]:.0f} ms")
        if self.names(place):
            said.append(self.names(place))
        return " · ".join(said)


def clip_row(clips: Clips, clip_id: str) -> tuple[int, pd.Series]:
    """Position and table row of a clip.

    Raises
    ------
    ValueError
        If there is no such clip.
    """
    place = int(positions(clips.table, clip_id, owner="these clips")[0])
    return place, clips.table.iloc[place]


def clip_moments(clips: Clips, clip_id: str) -> Moments:
    """The time axis of one clip, as far as its table tells it.

    Parameters
    ----------
    clips : Clips
        With frames; without them the axis holds onset, apex (where it is known) and offset.
    clip_id : str

    Returns
    -------
    Moments
    """
    _, row = clip_row(clips, clip_id)
    onset, apex, offset, fps = (_number(row.get(name)) for name in ("onset", "apex", "offset", "fps"))
    count = 2 + (apex is not None) if clips.frames is None else clips.frames.shape[1]
    if onset is None or offset is None or offset <= onset or count < 2:
        note = "the table does not say where this clip begins and ends, so frames are counted from 1"
        return Moments(np.arange(count), None, 0, None, count - 1, False, note)
    note = ""
    if apex is None or not onset <= apex <= offset:
        note = "the apex of this clip is not known"
        apex = None
    numbers = frame_numbers(int(onset), int(onset if apex is None else apex), int(offset), count)
    place = None if apex is None else int(np.abs(numbers - apex).argmin())
    times = None if not fps else (numbers - numbers[0]) * 1000.0 / fps
    if times is None:
        note = "; ".join(filter(None, (note, "the frame rate is not known, so there are no times")))
    return Moments(numbers, times, 0, place, count - 1, True, note)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if np.isnan(number) else number
