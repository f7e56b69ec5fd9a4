"""SynthME on the disk in the official layouts, so that whatever is done with licensed data runs before the licence."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from medn_lab.data.crop import FaceBox, NoFaceError, crop_face, find_face
from medn_lab.data.layouts import LAYOUTS, Coding, FrameTree, Layout, LayoutName
from medn_lab.records import Clips
from medn_lab.synthme.corpus import render_frames
from medn_lab.synthme.faults import planned_faults, plant_in_frames, plant_in_rows

EMOTIONS_OF: dict[str, dict[str, str]] = {
    "samm": {"disgust": "Anger", "repression": "Contempt", "others": "Other"},
    "smic": {"happiness": "positive", "disgust": "negative", "repression": "negative"},
    "casme3": {"happiness": "happy", "repression": "sad"},
    "mmew": {"repression": "sadness"},
    "dfme": {"repression": "sadness", "others": "anger"},
}
"""How SynthME's five emotions are called where a data set has others, so that its protocols find their classes."""

LEFT_OUT = {"smic": ("others",)}
"""Emotions that a data set has no place for; their clips are not written."""

_SIDES = {"left": "L", "right": "R"}
_SHORT = {"positive": "po", "negative": "ne", "surprise": "sur"}


@dataclass
class WrittenClip:
    """One clip on its way to the disk: what the spreadsheet says, and which frames its folder holds."""

    source: str
    fields: dict[str, str]
    onset: int
    apex: int
    offset: int
    numbers: dict[int, int] = field(default_factory=dict)
    fault: str = ""


def write_dataset(
    clips: Clips,
    root: str | os.PathLike[str],
    *,
    layout: LayoutName = "casme2",
    coding: str | None = None,
    tree: Literal["cropped", "raw"] | None = None,
    suffix: Literal["png", "jpg"] = "png",
    size: int | None = None,
    fps: float | None = None,
    frames: bool = True,
    faults: bool | Sequence[str] = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Write SynthME clips as frame folders and a spreadsheet with the official names and columns.

    Every frame from onset to offset is drawn again at `size`. Subjects and clips get names in the data set's manner;
    emotions that it lacks get the nearest that it has.

    Parameters
    ----------
    clips : Clips
        From :func:`synthetic_clips`.
    root : path-like
        The folder to write into; made if missing. Files of the same names are replaced.
    layout : {"casme2", "samm", "smic", "casme3", "mmew", "4dme", "casme", "dfme"}
    coding : str, optional
        Which spreadsheet, for CASME II ``casme2_2014`` or ``casme2_2019``. By default the layout's first.
    tree : {"cropped", "raw"}, optional
        Which arrangement of folders; by default the layout's first.
    suffix : {"png", "jpg"}
        Official frames are mostly JPEG; PNG keeps SynthME's faint colour cue untouched.
    size : int, optional
        Side of the pictures in pixels, by default twice the clips' own but at most 256. Cropped frames are the face's
        part of such a picture, about two thirds of its side.
    fps : float, optional
        Frames a second of what is written; by default the data set's own. Fewer make a smaller set.
    frames : bool
        Whether to write the frames, or only the spreadsheet (for a second coding).
    faults : bool or sequence of str
        Plant the faults that the real files have, one a clip: all those that apply, or those named; see
        :data:`medn_lab.synthme.faults.FAULTS`. Those of :data:`medn_lab.synthme.faults.CODINGS` can be named as well.
    progress : bool
        Show a bar, one step a clip.

    Returns
    -------
    DataFrame
        One row a clip written: ``clip_id`` (SynthME's), ``written_as`` (the id under which the reader finds it),
        ``emotion, action_units`` (as in the spreadsheet), ``onset, apex, offset``, ``fault`` (``""`` for none).

    Raises
    ------
    ValueError
        If the layout or coding is unknown, a fault is, or there are fewer clips than faults.

    See Also
    --------
    medn_lab.data.read_casme2 : reads it back.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     written = write_dataset(clips, root, layout="casme2", fps=15, size=64)
    ...     there = sorted(path.name for path in Path(root).iterdir())
    >>> there, written["written_as"].tolist()
    (['CASME2-coding-20140508.xlsx', 'Cropped'], ['casme2/01/EP01_01f'])
    """
    chosen, sheet, arrangement = _chosen(layout, coding, tree)
    own = float(clips.table["fps"].iloc[0])
    rate = min(chosen.fps, own) if fps is None else float(fps)
    if not 0 < rate <= own:
        raise ValueError(f"fps must be above 0 and at most {own:g}, not {rate}")
    drawn = min(256, 2 * clips.size[0]) if size is None else int(size)
    written = _named(clips, chosen, rate)
    plan = planned_faults(faults, layout=chosen, count=len(written))
    for one, fault in zip(written, plan, strict=False):
        one.fault = fault
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    rows = plant_in_rows(written, _rows(written, sheet), coding=sheet)
    _write_sheet(root / sheet.filename, rows, sheet, closing=bool(faults) or chosen.dataset == "smic")
    if frames:
        from tqdm.auto import tqdm

        for one in tqdm(written, desc=f"write {chosen.title}", unit="clip", disable=not progress):
            _write_frames(clips, one, root, arrangement, suffix, drawn, chosen.shared_folders)
    return pd.DataFrame([_told(one, chosen) for one in written])


def _chosen(layout: str, coding: str | None, tree: str | None) -> tuple[Layout, Coding, FrameTree]:
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    found = LAYOUTS[layout]
    codings = {one.name: one for one in found.codings}
    trees = {one.name: one for one in found.trees}
    if coding is not None and coding not in codings:
        raise ValueError(f"no coding {coding!r} of {found.title}; there are {', '.join(codings)}")
    if tree is not None and tree not in trees:
        raise ValueError(f"{found.title} has no frames {tree!r}; there are {', '.join(trees)}")
    chosen = found.codings[0] if coding is None else codings[coding]
    return found, chosen, found.trees[0] if tree is None else trees[tree]


def _named(clips: Clips, layout: Layout, rate: float) -> list[WrittenClip]:
    table = clips.table[~clips.table["emotion"].isin(LEFT_OUT.get(layout.dataset, ()))]
    if not len(table):
        raise ValueError(f"none of {len(clips)} clips has an emotion that {layout.title} knows")
    coded = _coded_units(clips, layout)
    written = []
    for order, (_, own) in enumerate(table.groupby("subject", sort=True)):
        subject = layout.subject.format(number=order + 1)
        after = 0
        for place, row in enumerate(own.to_dict("records")):
            emotion = EMOTIONS_OF.get(layout.dataset, {}).get(row["emotion"], row["emotion"])
            emotion = emotion.capitalize() if layout.dataset == "samm" else emotion
            # In a folder that holds a whole recording two clips follow each other, so its name is not unique.
            recording = place // 2 if layout.shared_folders else place
            filename = layout.clip.format(
                subject=subject, number=recording + 1, letter=_letter(recording), short=_SHORT.get(emotion, "")
            )
            one = _timed(row, rate, start=after + 5 if layout.shared_folders and place % 2 else None)
            after = one.offset
            one.fields = {
                "subject": subject,
                "filename": filename + ("f" if layout.dataset == "casme2" and place % 3 == 0 else ""),
                "emotion": emotion,
                "action_units": coded[row["clip_id"]],
                "objective_class": _objective_class(row["action_units"]),
                "fps": f"{rate:g}",
            }
            written.append(one)
    return written


def _timed(row: Mapping[str, Any], rate: float, *, start: int | None) -> WrittenClip:
    """The clip's numbers at another frame rate; ``numbers`` maps each written frame to the one drawn for it."""
    step = row["fps"] / rate
    onset = round(row["onset"] / step) + 1 if start is None else start
    apex = onset + max(1, round((row["apex"] - row["onset"]) / step))
    offset = max(apex + 1, onset + round((row["offset"] - row["onset"]) / step))
    numbers = {onset + k: min(row["offset"], round(row["onset"] + k * step)) for k in range(offset - onset + 1)}
    numbers[apex] = row["apex"]
    return WrittenClip(row["clip_id"], {}, onset, apex, offset, numbers)


def _coded_units(clips: Clips, layout: Layout) -> dict[str, str]:
    """Each clip's AUs in the data set's notation: a side in front, and in SAMM an intensity behind."""
    table = clips.table
    sides = table["side"] if "side" in table else pd.Series("both", index=table.index)
    intensities = {}
    if layout.dataset == "samm" and clips.truth is not None and "intensities" in clips.truth.table:
        truth = clips.truth.table
        intensities = dict(zip(truth["clip_id"], truth["intensities"], strict=True))
    coded = {}
    for clip_id, units, side in zip(table["clip_id"], table["action_units"], sides, strict=True):
        prefix = _SIDES.get(side, "") if layout.dataset in ("casme2", "samm", "casme3") else ""
        said = intensities.get(clip_id, units).split("+")
        coded[clip_id] = "+".join(f"{prefix}{unit}" for unit in said)
    return coded


def _objective_class(units: str) -> str:
    """CASME II's objective classes, by AU alone."""
    numbers = {int(unit) for unit in units.split("+") if unit}
    rules = (("I", {6, 12}), ("II", {1, 2, 5, 25}), ("III", {4, 7, 23}), ("IV", {9, 10}), ("V", {15, 17, 14}))
    return next((name for name, aus in rules if numbers and numbers <= aus), "VII")


def _letter(place: int) -> str:
    return chr(ord("a") + place) if place < 26 else f"z{place}"


def _rows(written: list[WrittenClip], coding: Coding) -> list[dict[str, str]]:
    rows = []
    for one in written:
        times = {"onset": str(one.onset), "apex": str(one.apex), "offset": str(one.offset)}
        values = one.fields | times
        rows.append({column.field: values[column.field] for column in coding.columns if column.field in values})
    return rows


def _write_sheet(path: Path, rows: list[dict[str, str]], coding: Coding, *, closing: bool) -> None:
    lines: list[list[str | None]] = [[f"Note {line + 1} of the authors"] for line in range(coding.preamble)]
    lines.append([column.header or None for column in coding.columns])
    lines += [[row.get(column.field) if column.field else None for column in coding.columns] for row in rows]
    if closing:
        lines += [[text] for text in coding.closing]
    if path.suffix == ".csv":
        pd.DataFrame(lines).to_csv(path, header=False, index=False, lineterminator="\r\n")
        return
    from openpyxl import Workbook

    book = Workbook()
    for line in lines:
        book.active.append([_cell(value) for value in line])
    book.save(path)


def _cell(value: str | None) -> str | int | None:
    """A number as a number, but for those that a zero begins: subject 01 is text in the official files too."""
    return int(value) if value is not None and value.isdigit() and (value == "0" or value[0] != "0") else value


def _write_frames(
    clips: Clips, one: WrittenClip, root: Path, tree: FrameTree, suffix: str, size: int, shared: bool
) -> None:
    pictures = list(render_frames(clips, one.source, list(one.numbers.values()), size=size))
    if tree.cropped:
        box = _face_box(pictures[0])
        pictures = [crop_face(picture, box=box) for picture in pictures]
    folder = root / tree.folder.format(**one.fields)
    stem = tree.frame.rpartition(".")[0]
    names = {number: f"{stem.format(number=number, **one.fields)}.{suffix}" for number in one.numbers}
    folder.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 97] if suffix == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    for name, picture in zip(names.values(), pictures, strict=True):
        done, content = cv2.imencode(f".{suffix}", np.ascontiguousarray(picture[..., ::-1]), quality)
        if not done:
            raise OSError(f"{name} could not be encoded as {suffix}")
        (folder / name).write_bytes(content.tobytes())
    plant_in_frames(one, folder, names, shared=shared)


def _face_box(onset: np.ndarray) -> FaceBox:
    try:
        return find_face(onset)
    except NoFaceError:  # one drawn face in a hundred; they all look straight ahead from the middle of the picture
        side = onset.shape[0]
        return FaceBox(0.19 * side, 0.19 * side, 0.62 * side)


def _told(one: WrittenClip, layout: Layout) -> dict[str, Any]:
    key = {**one.fields, "onset": str(one.onset)}
    return {
        "clip_id": one.source,
        "written_as": "/".join([layout.dataset, *(key[name] for name in layout.key)]),
        "emotion": one.fields["emotion"],
        "action_units": one.fields["action_units"],
        "onset": one.onset,
        "apex": one.apex,
        "offset": one.offset,
        "fault": one.fault,
    }
