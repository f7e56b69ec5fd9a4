"""From a spreadsheet and folders to a ``ClipIndex``: what all readers share.

Every row of the spreadsheet becomes a clip or a row of the problems, so that rows = clips + rows left out. A repair is
keyed by the clip and named in words; with ``repair=False`` the clip is left out instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.data.action_units import au_table, parse_action_units
from medn_lab.data.layout import Layout
from medn_lab.data.protocols import canonical_emotion
from medn_lab.data.readers.folders import FrameFolders
from medn_lab.data.readers.spreadsheet import open_spreadsheet
from medn_lab.records import PROBLEM_COLUMNS, ClipIndex

FrameChoice = Literal["auto", "raw", "cropped"]

KNOWN_EMOTIONS = {
    "happiness", "disgust", "repression", "surprise", "others", "sadness", "fear", "anger", "contempt", "negative",
    "positive", "tense",
}  # fmt: skip

SLOWEST_FPS, FASTEST_FPS = 1.0, 100_000.0
"""A frame rate outside is a wrong cell, and the data set's own is taken."""

LONGEST_SECONDS = 2.0
"""Longer than this, something else than a micro-expression was coded, or a number is wrong."""


@dataclass
class _Row:
    """One row on its way: what is known of it, and what was found wrong."""

    clip_id: str
    repair: bool
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    kept: bool = True

    def note(self, name: str, found: object, done: str) -> None:
        """Something worth knowing; the clip stays as it is."""
        self._add(name, found, done)

    def fix(self, name: str, found: object, done: str) -> None:
        """A repair; without permission to repair the clip is left out."""
        if self.repair:
            self._add(name, found, done)
        else:
            self.leave_out(name, found, f"left out; with repair=True: {done}")

    def leave_out(self, name: str, found: object, done: str = "left out") -> None:
        """The clip cannot be used."""
        self.kept = False
        self._add(name, found, done)

    def _add(self, name: str, found: object, done: str) -> None:
        self.problems.append({"clip_id": self.clip_id, "field": name, "found": str(found), "done": done})


def read_layout(
    layout: Layout,
    root: str | os.PathLike[str],
    *,
    spreadsheet: str | os.PathLike[str] | None = None,
    frames: FrameChoice = "auto",
    repair: bool = True,
    within: str | None = None,
    sheet_word: str | None = None,
) -> ClipIndex:
    """Read a data set that comes in a known layout.

    Parameters
    ----------
    layout : Layout
    root : path-like
        The folder as it came.
    spreadsheet : path-like, optional
        Which spreadsheet, where several fit or it lies elsewhere.
    frames : {"auto", "raw", "cropped"}
        Which frames, where both are there; ``auto`` prefers those that are cropped.
    repair : bool
        Whether faulty rows are repaired where that can be done, or left out.
    within : str, optional
        Only folders below one of this name (a camera of SMIC).
    sheet_word : str, optional
        Of several spreadsheets that fit, take the one with this word in its name.

    Returns
    -------
    ClipIndex

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no spreadsheet or several fit, or no row has its frames.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder in which {layout.title} was unpacked")
    sheet = open_spreadsheet(root, layout, spreadsheet, word=sheet_word)
    folders = FrameFolders(root, layout, frames=frames, within=within)
    rows: list[_Row] = []
    seen: dict[str, int] = {}
    for raw in sheet.rows.to_dict("records"):
        row = _start(layout, raw, repair)
        count = seen[row.clip_id] = seen.get(row.clip_id, 0) + 1
        if count > 1:
            first = row.clip_id
            row.clip_id = f"{first}#{count}"
            row.problems.clear()
            row.leave_out("clip_id", f"row {count} of {first}")
        if row.kept:
            _read_clip(row, raw, layout, folders)
        rows.append(row)
    kept = [row for row in rows if row.kept]
    if not kept:
        raise ValueError(_nothing(rows, folders, layout, root))
    source = {
        "root": str(root),
        "spreadsheet": sheet.path.name,
        "coding": sheet.coding,
        "rows": len(rows),
        "frames": sorted({row.values["tree"] for row in kept}),
    }
    return ClipIndex(_table(kept, layout, sheet.coding), _problems(rows), source)


def _start(layout: Layout, raw: Mapping[str, str], repair: bool) -> _Row:
    """The row's identity."""
    if not raw["subject"] or not raw["filename"]:
        words = raw["row_text"]
        row = _Row(f"{layout.dataset}/({words[:40]})", repair)
        row.leave_out("row", words, "left out: no subject and file name, so no clip")
        return row
    subject = subject_name(layout, raw["subject"])
    parts = {"subject": subject, "filename": raw["filename"], "onset": _number_text(raw["onset"])}
    row = _Row("/".join([layout.dataset, *(parts[name] for name in layout.key)]), repair)
    row.values |= {"dataset": layout.dataset, "subject": subject, "filename": raw["filename"]}
    return row


def subject_name(layout: Layout, text: str) -> str:
    """A subject as the data set writes it, from any of the spellings in use: ``1``, ``sub01`` and ``01`` are ``01``."""
    digits = re.findall(r"(?<!\d)\d{1,9}(?!\d)", text.removesuffix(".0"))
    return layout.subject.format(number=int(digits[-1])) if digits else text


def _read_clip(row: _Row, raw: Mapping[str, str], layout: Layout, folders: FrameFolders) -> None:
    values = row.values
    fields = {name: str(values[name]) for name in ("subject", "filename")} | {"emotion": raw["emotion"]}
    folder, differs = folders.find(fields)
    if folder is None:
        row.leave_out("frames", differs or f"no folder for {values['subject']}/{values['filename']}")
        return
    if differs:
        row.note("frames_folder", differs, "matched despite its name")
    values |= {"frames_folder": str(folder.path), "cropped": folder.tree.cropped, "tree": folder.tree.name}
    try:
        there = folders.numbers(folder.path)
    except ValueError as error:  # two files of one number
        row.leave_out("frames", str(error))
        return
    _read_course(row, raw, layout, there)
    if not row.kept:
        return
    _check_frames(row, there)
    values["fps"] = _fps(raw, layout)
    if raw.get("fps") and str(raw["fps"]).removesuffix(".0") != f"{values['fps']:g}":
        row.note("fps", repr(raw["fps"]), f"-> {values['fps']:g}, the data set's own")
    seconds = (values["offset"] - values["onset"] + 1) / values["fps"]
    if seconds > LONGEST_SECONDS:
        row.note("offset", f"{values['offset'] - values['onset'] + 1} frames, {seconds:.1f} s", "kept as it is")
    _read_labels(row, raw, layout)


def _read_course(row: _Row, raw: Mapping[str, str], layout: Layout, there: np.ndarray) -> None:
    """Onset, apex and offset, in order."""
    onset, offset = _number(raw["onset"]), _number(raw["offset"])
    apex = _number(raw.get("apex", ""))
    if onset is None:
        row.leave_out("onset", repr(raw["onset"]))
        return
    if offset is None or offset <= onset:
        said = repr(raw["offset"]) if offset is None else f"{offset}, onset {onset}"
        if apex is not None and apex > onset:
            offset = apex + (apex - onset)
            row.fix("offset", said, f"-> {offset}, as long after the apex as the onset is before it")
        elif not layout.shared_folders and len(there) and there[-1] > onset:
            offset = int(there[-1])
            row.fix("offset", said, f"-> {offset}, the last frame of the clip's folder")
        else:
            row.leave_out("offset", said)
            return
    if layout.has_apex and apex is None:
        row.fix("apex", repr(raw.get("apex", "")), "-> spotted when the clip is prepared")
    elif apex is not None and not onset <= apex <= offset:
        row.fix("apex", f"{apex}, outside {onset} to {offset}", "-> spotted when the clip is prepared")
        apex = None
    elif apex is not None and apex == onset:
        row.fix("apex", f"{apex}, the same as the onset", "-> spotted when the clip is prepared")
        apex = None
    elif apex is not None and apex == offset:
        row.note("apex", f"{apex}, the same as the offset", "kept as it is")
    row.values |= {"onset": onset, "apex": np.nan if apex is None else apex, "offset": offset}


def _check_frames(row: _Row, there: np.ndarray) -> None:
    onset, offset = row.values["onset"], row.values["offset"]
    inside = there[(there >= onset) & (there <= offset)]
    wanted = offset - onset + 1
    missing = wanted - len(inside)
    if len(inside) < 2:
        span = f"{there[0]} to {there[-1]}" if len(there) else "nothing"
        row.leave_out("frames", f"{len(inside)} of {wanted} frames from {onset} to {offset}; the folder has {span}")
    elif missing > wanted / 2:
        row.leave_out("frames", f"{missing} of {wanted} frames are missing", "left out: more than half are missing")
    elif missing:
        gone = np.setdiff1d(np.arange(onset, offset + 1), inside)
        told = ", ".join(str(number) for number in gone[:5]) + (" ..." if len(gone) > 5 else "")
        row.fix("frames", f"{missing} of {wanted} frames are missing: {told}", "the nearest are taken instead")


def _read_labels(row: _Row, raw: Mapping[str, str], layout: Layout) -> None:
    emotion = canonical_emotion(raw["emotion"])
    if not emotion:
        row.note("emotion", repr(raw["emotion"]), "kept without an emotion")
    elif emotion not in KNOWN_EMOTIONS:
        row.note("emotion", repr(raw["emotion"]), "kept under this name; no protocol knows it")
    row.values |= {"emotion": emotion, "said": "", "action_units": ""}
    if "objective_class" in raw:
        row.values["objective_class"] = raw["objective_class"]
    if not layout.has_aus:
        return
    said = parse_action_units(raw["action_units"])
    row.values |= {"said": raw["action_units"], "action_units": str(said)}
    if not said.known:
        row.note("action_units", repr(raw["action_units"]), "AUs unknown")
    elif said.junk:
        row.note("action_units", raw["action_units"], f"read as {said}; not an AU: {' '.join(said.junk)}")
    elif said.disputed or not said.complete:
        doubt = ", ".join(str(number) for number in said.disputed) or "whether there are more"
        row.note("action_units", raw["action_units"], f"read as {str(said) or 'none'}; in doubt: {doubt}")


def _fps(raw: Mapping[str, str], layout: Layout) -> float:
    try:
        said = float(raw["fps"])
    except (KeyError, ValueError):
        return layout.fps
    return said if SLOWEST_FPS <= said <= FASTEST_FPS else layout.fps


def _number(text: str) -> int | None:
    """A frame's number, of nine digits at most: what is longer is no frame."""
    found = re.fullmatch(r"(\d{1,9})(?:\.0*)?", text)
    return int(found[1]) if found else None


def _number_text(text: str) -> str:
    number = _number(text)
    return text if number is None else str(number)


def _table(kept: list[_Row], layout: Layout, coding: str) -> pd.DataFrame:
    table = pd.DataFrame([{"clip_id": row.clip_id, **row.values, "coding": coding} for row in kept])
    if table["apex"].notna().all():
        table["apex"] = table["apex"].astype(np.int64)
    first = ["clip_id", "dataset", "subject", "filename", "onset", "apex", "offset", "fps", "emotion", "action_units"]
    last = [name for name in ("objective_class", "coding", "cropped", "frames_folder") if name in table]
    if not layout.has_aus:
        return table[first + last]
    return pd.concat([table[first], au_table(table["said"]), table[last]], axis=1)


def _problems(rows: list[_Row]) -> pd.DataFrame:
    found = [{**problem, "kept": row.kept} for row in rows for problem in row.problems]
    return pd.DataFrame(found, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool})


def _nothing(rows: list[_Row], folders: FrameFolders, layout: Layout, root: Path) -> str:
    if not rows:
        return f"the spreadsheet of {layout.title} has a header and no rows"
    problem = next(problem for row in rows for problem in row.problems)
    expected = " or ".join(tree.folder for tree in folders.trees)
    if folders.links:
        expected += (
            f"; {len(folders.links)} links, such as {folders.links[0].name}, are not followed: copy what they lead to"
        )
    return (
        f"none of {len(rows)} rows of {layout.title} can be used with the {folders.count} folders of frames below "
        f"{root} (expected {expected}); the first, {problem['clip_id']}: {problem['field']} {problem['found']}"
    )
