"""From a spreadsheet and folders to a ``ClipIndex``: what all readers share.

Every row of the spreadsheet becomes a clip or a row of the problems, so that rows = clips + rows left out. A repair is
keyed by the clip and named in words; with ``repair=False`` the clip is left out instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from medn_lab.data.layout import Layout
from medn_lab.data.protocols import canonical_emotion
from medn_lab.data.readers.folders import FrameFolders
from medn_lab.data.readers.spreadsheet import Spreadsheet, open_spreadsheet
from medn_lab.records import (
    CODING_COLUMNS,
    PROBLEM_COLUMNS,
    AlternativeRule,
    ClipIndex,
    au_codings,
    au_table,
    normalise_text,
    parse_action_units,
)

FrameChoice = Literal["auto", "raw", "cropped"] | str

KNOWN_EMOTIONS = {
    "happiness", "disgust", "repression", "surprise", "others", "sadness", "fear", "anger", "contempt", "negative",
    "positive", "tense",
}  # fmt: skip

SLOWEST_FPS, FASTEST_FPS = 5.0, 1_000.0
"""A frame rate outside is a wrong cell (1,000 and 90,000 are clocks of video files); the data set's own is taken."""

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
    frames: FrameChoice | None = "auto",
    repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
    camera: str | None = None,
) -> ClipIndex:
    """Read a data set that comes in a known layout.

    Parameters
    ----------
    layout : Layout
    root : path-like
        The folder as it came.
    spreadsheet : path-like, optional
        Which spreadsheet, where several fit or it lies elsewhere; ``book.xlsx#Sheet2`` for one sheet of a workbook.
    frames : {"auto", "raw", "cropped"}, str or None
        Which frames, where both are there; ``auto`` prefers those that are cropped. Or the name of the folder they are
        in, where two fit, such as ``CASME2_RAW_selected``. None reads the spreadsheet alone.
    repair : bool
        Whether faulty rows are repaired where that can be done, or left out.
    alternatives : {"leave_out", "first", "all", "common"}
        What a disputed or incomplete AU set becomes, as in :func:`medn_lab.records.au_codings`.
    camera : str, optional
        One of the layout's: folders, spreadsheets, sheets and columns with another one's name are passed over.

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
    sheet = open_spreadsheet(root, layout, spreadsheet, camera=camera)
    folders = None if frames is None else FrameFolders(root, layout, frames=frames, camera=camera)
    rows: list[_Row] = []
    seen: dict[str, int] = {}
    for raw in _expressions(sheet):
        row = _start(layout, raw, repair)
        key = row.clip_id.casefold()  # in two capitalisations it would be one folder twice
        count = seen[key] = seen.get(key, 0) + 1
        if count > 1:
            first = row.clip_id
            row.clip_id = f"{first}#{count}"
            row.problems.clear()
            row.leave_out("clip_id", f"row {raw['sheet_row']} of the sheet is number {count} of {first}")
        if row.kept:
            _read_clip(row, raw, layout, folders, alternatives)
        rows.append(row)
    kept = [row for row in rows if row.kept]
    if not kept:
        raise ValueError(_nothing(rows, folders, layout, root))
    source = {
        "root": str(root),
        "spreadsheet": sheet.path.name,
        "sheets": [name for name in sheet.sheets if name],
        "sha256": sheet.sha256,
        "coding": sheet.coding,
        "rows": len(rows),
        "frames": sorted({row.values["tree"] for row in kept if "tree" in row.values}),
    }
    return ClipIndex(_table(kept, layout, alternatives), _problems(rows), source)


def _expressions(sheet: Spreadsheet) -> Iterator[dict[str, str]]:
    """One row an expression: SMIC codes up to three in the row of one clip, as ``Onset2F`` and ``Offset2F``."""
    for raw in sheet.rows:
        raw = raw | {"coding": sheet.coding, "spreadsheet": sheet.path.name}
        yield raw
        for more in "23":
            onset, offset = raw.get(f"onset{more}", ""), raw.get(f"offset{more}", "")
            if raw["filename"] and (_is_coded(onset) or _is_coded(offset)):
                yield raw | {"onset": onset, "apex": "", "offset": offset, "expression": more}


def _is_coded(text: str) -> bool:
    return normalise_text(text).lower() not in ("", "0", "0.0", "/", "-", "nan", "none", "n/a")


def _start(layout: Layout, raw: Mapping[str, str], repair: bool) -> _Row:
    """The row's identity."""
    filename = normalise_text(raw["filename"])
    if not normalise_text(raw["subject"]) or not filename:
        words = raw["row_text"]
        row = _Row(f"{layout.dataset}/({words[:40]})", repair)
        row.leave_out(
            "row",
            words,
            f"left out: row {raw['sheet_row']} of the sheet names no subject and file (of merged cells the first alone "
            "has the text), so no clip",
        )
        return row
    subject = subject_name(layout, normalise_text(raw["subject"]))
    if "expression" in raw:  # no file is called so, hence no clip of the sheet is
        filename += f"/{raw['expression']}"
    parts = {"subject": subject, "filename": filename, "onset": _number_text(raw["onset"])}
    row = _Row("/".join([layout.dataset, *(parts[name] for name in layout.key)]), repair)
    row.values |= {"dataset": layout.dataset, "subject": subject, "filename": filename}
    row.values |= {name: raw[name] for name in ("coding", "spreadsheet", "sheet")}
    row.values["sheet_row"] = int(raw["sheet_row"])
    return row


def subject_name(layout: Layout, text: str) -> str:
    """A subject as the data set writes it, from any of the spellings in use: ``1``, ``sub01`` and ``01`` are ``01``."""
    digits = re.findall(r"(?<!\d)\d{1,9}(?!\d)", text.removesuffix(".0"))
    return layout.subject.format(number=int(digits[-1])) if digits else text


def _read_clip(
    row: _Row, raw: Mapping[str, str], layout: Layout, folders: FrameFolders | None, alternatives: AlternativeRule
) -> None:
    there = np.arange(0) if folders is None else _find_frames(row, raw, folders)
    if row.kept:
        _read_course(row, raw, layout, there)
    if row.kept and folders is not None:
        _check_frames(row, there)
    if not row.kept:
        return
    values = row.values
    fps = _fps(raw.get("fps", ""))
    values["fps"] = layout.fps if fps is None else fps
    if fps is None and raw.get("fps"):
        row.note("fps", repr(raw["fps"]), f"-> {layout.fps:g}, the data set's own")
    if "expression" in raw:
        words = f"expression {raw['expression']} of {values['subject']}/{_sheet_name(values, raw)}"
        row.note("filename", f"{words}, {values['onset']} to {values['offset']}", "a clip with an id for itself")
    seconds = (values["offset"] - values["onset"] + 1) / values["fps"]
    if seconds > LONGEST_SECONDS:
        row.note("offset", f"{values['offset'] - values['onset'] + 1} frames, {seconds:.1f} s", "kept as it is")
    _read_labels(row, raw, layout, alternatives)


def _find_frames(row: _Row, raw: Mapping[str, str], folders: FrameFolders) -> np.ndarray:
    """The frame numbers in the row's folder; without a folder the row is left out."""
    values = row.values
    fields = {"subject": values["subject"], "filename": _sheet_name(values, raw)}
    folder, differs = folders.find(fields | {"emotion": raw["emotion"], "onset": _number_text(raw["onset"])})
    if folder is None:
        row.leave_out("frames", differs)
        return np.arange(0)
    if differs:
        row.note("frames_folder", differs, "matched despite its name")
    values |= {"frames_folder": str(folder.path), "cropped": folder.tree.cropped, "tree": folder.tree.name}
    try:
        return folders.numbers(folder.path)
    except ValueError as error:  # two files of one number
        row.leave_out("frames", str(error))
        return np.arange(0)


def _sheet_name(values: Mapping[str, Any], raw: Mapping[str, str]) -> str:
    """The clip's name in the sheet, without the number of the expression."""
    return str(values["filename"]).removesuffix(f"/{raw.get('expression')}")


def _read_course(row: _Row, raw: Mapping[str, str], layout: Layout, there: np.ndarray) -> None:
    """Onset, apex and offset, in order."""
    onset, offset = _number(raw["onset"]), _number(raw.get("offset", ""))
    apex = _number(raw.get("apex", ""))
    if onset is None:
        row.leave_out("onset", repr(raw["onset"]))
        return
    if offset is None or offset <= onset:
        said = _found(raw, "offset") if offset is None else f"{offset}, onset {onset}"
        if apex is not None and apex > onset:
            offset = apex + (apex - onset)
            row.fix("offset", said, f"-> {offset}, as long after the apex as the onset is before it")
        elif not layout.shared_folders and len(there) and there[-1] > onset:
            offset = int(there[-1])
            row.fix("offset", said, f"-> {offset}, the last frame of the clip's folder")
        else:
            row.leave_out("offset", said)
            return
    if layout.has_apex and "apex" not in raw:
        row.note("apex", _found(raw, "apex"), "-> spotted when the clip is prepared")
    elif layout.has_apex and apex is None:
        row.fix("apex", _found(raw, "apex"), "-> spotted when the clip is prepared")
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


def _read_labels(row: _Row, raw: Mapping[str, str], layout: Layout, alternatives: AlternativeRule) -> None:
    emotion = canonical_emotion(raw["emotion"])
    if not emotion:
        row.note("emotion", repr(raw["emotion"]), "kept without an emotion")
    elif emotion not in KNOWN_EMOTIONS:
        row.note("emotion", repr(raw["emotion"]), "kept under this name; no protocol knows it")
    row.values |= {"emotion": emotion, "action_units": ""}
    if "objective_class" in raw:
        row.values["objective_class"] = raw["objective_class"]
    if not layout.has_aus:
        return
    coded = raw["action_units"]
    read = au_codings([coded], alternatives=alternatives).iloc[0]
    row.values |= dict(read)
    plain = parse_action_units(coded)
    words = f"; not an AU: {' '.join(plain.junk)}" if plain.junk else ""
    if read["action_units_doubt"] == "unknown":
        row.note("action_units", repr(coded), "AUs unknown")
    elif read["action_units_doubt"]:
        done = f"read as {read['action_units'] or 'no AU'}"
        if alternatives == "leave_out" and not plain.certain:
            done = "kept, out of pairs, floors and AU targets"
        row.note("action_units", coded, f"{done}; in doubt: {read['action_units_doubt']}{words}")
    elif words:
        row.note("action_units", coded, f"read as {read['action_units']}{words}")


def _found(raw: Mapping[str, str], name: str) -> str:
    return repr(raw[name]) if name in raw else "the sheet has no such column"


def _fps(text: str) -> float | None:
    """A frame rate, also with its unit or a decimal comma; None for what cannot be one."""
    found = re.fullmatch(r"(\d{1,9}(?:[.,]\d*)?) ?(?:fps|hz)?", normalise_text(text).lower())
    said = float(found[1].replace(",", ".")) if found else 0.0
    return said if SLOWEST_FPS <= said < FASTEST_FPS else None


def _number(text: str) -> int | None:
    """A frame's number, of nine digits at most (what is longer is no frame), also as ``46.0`` or ``46,0``."""
    found = re.fullmatch(r"(\d{1,9})(?:\.0*|,0{1,2})?", normalise_text(text))
    return int(found[1]) if found else None


def _number_text(text: str) -> str:
    number = _number(text)
    return text if number is None else str(number)


def _table(kept: list[_Row], layout: Layout, alternatives: AlternativeRule) -> pd.DataFrame:
    table = pd.DataFrame([{"clip_id": row.clip_id, **row.values} for row in kept])
    if table["apex"].notna().all():
        table["apex"] = table["apex"].astype(np.int64)
    first = ["clip_id", "dataset", "subject", "filename", "onset", "apex", "offset", "fps", "emotion", "action_units"]
    source = ("coding", "spreadsheet", "sheet", "sheet_row")
    last = [name for name in ("objective_class", *source, "cropped", "frames_folder") if name in table]
    if not layout.has_aus:
        return table[first + last]
    aus = au_table(table["action_units_coded"], alternatives=alternatives)
    return pd.concat([table[first], table[list(CODING_COLUMNS[1:])], aus, table[last]], axis=1)


def _problems(rows: list[_Row]) -> pd.DataFrame:
    found = [{**problem, "kept": row.kept} for row in rows for problem in row.problems]
    return pd.DataFrame(found, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool})


def _nothing(rows: list[_Row], folders: FrameFolders | None, layout: Layout, root: Path) -> str:
    if not rows:
        return f"the spreadsheet of {layout.title} has a header and no rows"
    problem = next(problem for row in rows for problem in row.problems)
    first = f"the first, {problem['clip_id']}: {problem['field']} {problem['found']}"
    if folders is None:
        return f"none of {len(rows)} rows of {layout.title} can be used; {first}"
    expected = " or ".join(tree.folder for tree in folders.trees)
    if folders.links:
        expected += (
            f"; {len(folders.links)} links, such as {folders.links[0].name}, are not followed: copy what they lead to"
        )
    return (
        f"none of {len(rows)} rows of {layout.title} can be used with the {folders.count} folders of frames below "
        f"{root} (expected {expected}); {first}"
    )
