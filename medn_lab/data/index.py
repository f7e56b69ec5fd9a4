"""From a spreadsheet and folders to a ``ClipIndex``.

Every row of the spreadsheet becomes a clip or a row of the problems, so that rows = clips + rows left out. A repair is
keyed by the clip and named in words; with ``repair=False`` the clip is left out instead.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from medn_lab.data.frames import VIDEO_SUFFIXES, frame_number, list_frames, stays_within
from medn_lab.data.layouts import LAYOUTS, FrameTree, Layout, header_key, name_key
from medn_lab.data.protocols import PROTOCOLS, canonical_emotion
from medn_lab.data.spreadsheet import Spreadsheet, without_copies, words_of
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
from medn_lab.records import ActionUnits as ActionUnits

Problem: TypeAlias = tuple[str, str, str, str]
"""``clip_id, field, found, done``; one whose `done` begins with "left out" is not kept."""

SLOWEST_FPS, FASTEST_FPS = 5.0, 1_000.0
"""A frame rate outside is a wrong cell (1,000 and 90,000 are clocks of video files); the data set's own is taken."""

LONGEST_SECONDS = 2.0
"""Longer than this, something else than a micro-expression was coded, or a number is wrong."""

SPOTTED = "-> spotted when the clip is prepared"

_DATASETS = {"casmeii": "casme2", "smichs": "smic", "smichse": "smic", "casmeiii": "casme3"}


def problem_table(problems: Iterable[Problem], *tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of problems, and after them these problems, as one table."""
    found = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS[:4]), dtype=object)
    found["kept"] = ~found["done"].astype(str).str.startswith("left out")
    parts = [part for part in (*tables, found) if len(part)] or [found]
    return pd.concat(parts, ignore_index=True).astype({"kept": bool})


def reader_id(dataset: str, subject: str, filename: str) -> str:
    """The id that the data set's reader gives a clip, from any of the spellings in use.

    Parameters
    ----------
    dataset, subject, filename : str
        As a list, a folder or a picture names them; the subject may stand before the file name once or twice.

    Returns
    -------
    str
        ``dataset/subject/filename``.

    Examples
    --------
    >>> reader_id("CASME II", "sub01", "sub01_EP02_01f .png"), reader_id("smic", "s03", "s03_s3_ne_03")
    ('casme2/01/EP02_01f', 'smic/3/s3_ne_03')
    """
    dataset, subject, filename = (normalise_text(text) for text in (dataset, subject, filename))
    key = header_key(dataset)
    dataset = _DATASETS.get(key, key if key in LAYOUTS else dataset.lower())
    person = LAYOUTS[dataset].subject_name(subject) if dataset in LAYOUTS else subject
    number = re.sub(r"\D", "", person).lstrip("0")
    parts = re.sub(r"\.(png|jpe?g|bmp|avi|mp4)$", "", filename, flags=re.IGNORECASE).strip().split("_")
    while len(parts) > 2 and number and re.fullmatch(rf"(?:sub|s)?0*{number}", parts[0], re.IGNORECASE):
        parts = parts[1:]
    name = "_".join(parts)
    if dataset == "casme2" and name.lower().startswith("ep"):
        name = name.lower().replace("ep", "EP", 1)
    elif dataset == "samm" and len(parts) == 2:
        name = f"{person}_{name}"
    elif dataset == "smic" and len(parts) == 2:
        name = f"s{person}_{name}".lower()
    return f"{dataset}/{person}/{name}"


def clip_keys(table: pd.DataFrame) -> pd.Series:
    """What all spellings of one clip have in common, a row: its id without case and leading zeros."""
    missing = [name for name in ("dataset", "subject", "filename") if name not in table]
    if missing:
        raise ValueError(f"clips are matched by dataset, subject and filename; the table lacks {', '.join(missing)}")
    rows = table[["dataset", "subject", "filename"]].astype(str).itertuples(index=False)
    return pd.Series([name_key(reader_id(*row)) for row in rows], index=table.index, dtype=object)


# --- folders --------------------------------------------------------------------------------------------------------


def _clip_name(name: str) -> str:
    """As `name_key`, without the subject before a clip's name that has it already: ``s03_s3_ne_03`` is ``s3_ne_03``."""
    return re.sub(r"^(s\d+)_\1_", r"\1_", re.sub(r"[-\s]+", "_", name_key(name)))


class FrameFolders:
    """Every folder below a root that holds numbered pictures.

    Parameters
    ----------
    root : Path
    layout : Layout
    frames : str
        ``auto``, the name of a tree, or the name of a folder: then only what lies below folders of this name.
    camera : str, optional
        Folders below one with another camera's name are passed over.

    Attributes
    ----------
    count : int
        How many there are.
    links : list of Path
        Links to folders, and one a folder of frames that lead out of it, which are not followed.
    """

    def __init__(self, root: Path, layout: Layout, *, frames: str = "auto", camera: str | None = None) -> None:
        self.layout, self.root = layout, root
        self._by_key: dict[tuple[str, ...], dict[Path, FrameTree]] = {}
        self._numbers: dict[Path, np.ndarray] = {}
        self._videos: dict[str, Path] = {}
        self.count = 0
        self.links: list[Path] = []
        self.trees = [tree for tree in layout.trees if frames in ("auto", tree.name)]
        below = "" if self.trees else f"/{frames.lower().strip('/')}/"
        self.trees = self.trees or list(layout.trees)
        for folder, inner, files in os.walk(root):
            inner[:] = without_copies(inner)
            self.links += [Path(folder, name) for name in inner if Path(folder, name).is_symlink()]
            parts = (root.name, *Path(folder).relative_to(root).parts)
            filmed = next(filter(None, (words_of(part) & set(layout.cameras) for part in reversed(parts))), set())
            if below not in f"/{'/'.join(parts).lower()}/" or (camera and filmed and camera not in filmed):
                continue
            first = next((name for name in files if name[0] != "." and frame_number(name) is not None), None)
            if first is not None:
                self.links += [link for link in [Path(folder, first)] if not stays_within(link, Path(folder))]
                self._add(Path(folder), parts, first)
            else:
                videos = [Path(folder, name) for name in files if name.lower().endswith(VIDEO_SUFFIXES)]
                self._videos |= {_clip_name(path.stem): path for path in videos if path.name[0] != "."}
        if below and not self.count:
            raise ValueError(
                f"{layout.title} has no frames {frames!r}: there are auto, {', '.join(t.name for t in layout.trees)}, "
                f"and {root} has no folder of this name with frames below"
            )

    def _add(self, folder: Path, parts: tuple[str, ...], first: str) -> None:
        """Enter a folder under its tree: that of the longest marker, or else that of its first frame's name."""
        trees = self.layout.trees
        marked = [tree for tree in trees if any(tree.marker in part.lower() for part in parts)]
        named = [tree for tree in trees if first.lower().startswith(tree.frame.partition("{")[0])]
        tree = max(marked, key=lambda tree: len(tree.marker)) if marked else (named or trees[-1:])[0]
        if tree in self.trees:
            self.count += 1
            for kept in (str, _clip_name):
                key = (tree.name, *map(kept, parts[-tree.tail :]))
                self._by_key.setdefault(key, {})[folder] = tree

    def find(self, fields: Mapping[str, str]) -> tuple[Path, FrameTree, str]:
        """The folder of a row, its tree, and how its name differs (``""`` where it does not).

        Raises
        ------
        ValueError
            If there is none, or several.
        """
        names = {tree: tree.folder.format(**fields).split("/")[-tree.tail :] for tree in self.trees}
        for tree, parts in names.items():
            for kept in (str, _clip_name):  # found under its own name before a similar one
                found = list(self._by_key.get((tree.name, *map(kept, parts)), {}))
                if len(found) > 1:
                    raise ValueError(self._several([path.relative_to(self.root) for path in found]))
                if found:
                    actual = "/".join(found[0].parts[-tree.tail :])
                    return found[0], tree, "" if actual == "/".join(parts) else actual
        videos = (self._videos.get(_clip_name(parts[-1])) for parts in names.values())
        video = next(filter(None, videos), None)
        if video is None:
            raise ValueError(f"no folder for {fields['subject']}/{fields['filename']}")
        name = video.relative_to(self.root)
        source, folder = shlex.quote(name.as_posix()), shlex.quote(name.with_suffix("").as_posix())
        raise ValueError(
            f"no folder of frames, but the video {name.as_posix()}; write its frames first, N being the number "
            f"that the spreadsheet gives the video's first frame (mostly 0 or 1): mkdir {folder} && "
            f"ffmpeg -i {source} -start_number N {folder}/%d.png"
        )

    def _several(self, found: list[Path]) -> str:
        """That several folders fit, and which argument chooses."""
        parts = [{part.lower() for part in path.parts} for path in found]
        own = []
        for place, path in enumerate(found):
            others = set().union(*parts[:place], *parts[place + 1 :])
            own += [repr(part) for part in path.parts if part.lower() not in others][:1]
        choose = f"choose with frames={' or frames='.join(own[:3])}" if own else "move all but one elsewhere"
        return f"{len(found)} folders fit: {', '.join(map(str, found[:3]))}; {choose}"

    def numbers(self, folder: Path) -> np.ndarray:
        """The frame numbers in a folder, rising."""
        if folder not in self._numbers:
            self._numbers[folder] = np.array(list(list_frames(folder)), dtype=np.int64)
        return self._numbers[folder]


# --- rows -----------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    """One row on its way: what the sheet says, what is known of it, and what was found wrong."""

    clip_id: str
    raw: Mapping[str, str]
    repair: bool
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    kept: bool = True

    def note(self, name: str, found: object, done: str) -> None:
        """Something worth knowing; the clip stays as it is."""
        self.problems.append((name, str(found), done))

    def fix(self, name: str, found: object, done: str) -> None:
        """A repair; without permission to repair the clip is left out."""
        if self.repair:
            self.note(name, found, done)
        else:
            self.leave_out(name, found, f"left out; with repair=True: {done}")

    def leave_out(self, name: str, found: object, done: str = "left out") -> None:
        """The clip cannot be used."""
        self.kept = False
        self.note(name, found, done)

    def cell(self, name: str) -> str:
        """What the sheet has in a field, in words."""
        return repr(self.raw[name]) if name in self.raw else "the sheet has no such column"


def make_index(
    root: Path,
    sheet: Spreadsheet,
    layout: Layout,
    folders: FrameFolders | None,
    *,
    repair: bool,
    alternatives: AlternativeRule,
) -> ClipIndex:
    """The clips of a spreadsheet, with their folders where these are given.

    Raises
    ------
    ValueError
        If no row can be used.
    """
    rows: list[_Row] = []
    seen: dict[str, int] = {}
    for raw in _expressions(sheet):
        row = _start(layout, raw, repair)
        key = row.clip_id.casefold()  # in two capitalisations it would be one folder twice
        count = seen[key] = seen.get(key, 0) + 1
        if count > 1:
            row.problems.clear()
            row.leave_out("clip_id", f"row {raw['sheet_row']} of the sheet is number {count} of {row.clip_id}")
            row.clip_id += f"#{count}"
        if row.kept:
            _read_clip(row, layout, folders, alternatives)
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
    problems = [(row.clip_id, *problem, row.kept) for row in rows for problem in row.problems]
    found = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool})
    return ClipIndex(_table(kept, layout, alternatives), found, source)


def _expressions(sheet: Spreadsheet) -> Iterator[dict[str, str]]:
    """One row an expression: SMIC codes up to three in the row of one clip, as ``Onset2F`` and ``Offset2F``."""
    for raw in sheet.rows:
        yield raw
        for more in "23":
            onset, offset = raw.get(f"onset{more}", ""), raw.get(f"offset{more}", "")
            if raw["filename"] and (_is_coded(onset) or _is_coded(offset)):
                yield raw | {"onset": onset, "apex": "", "offset": offset, "expression": more}


def _is_coded(text: str) -> bool:
    return normalise_text(text).lower() not in ("", "0", "0.0", "/", "-", "nan", "none", "n/a")


def _start(layout: Layout, raw: Mapping[str, str], repair: bool) -> _Row:
    """The row's identity."""
    subject, name = normalise_text(raw["subject"]), normalise_text(raw["filename"])
    if not subject or not name:
        row = _Row(f"{layout.dataset}/({raw['row_text'][:40]})", raw, repair)
        row.leave_out(
            "row",
            raw["row_text"],
            f"left out: row {raw['sheet_row']} of the sheet names no subject and file (of merged cells the first alone "
            "has the text), so no clip",
        )
        return row
    subject, onset = layout.subject_name(subject), _number_text(raw["onset"])
    filename = f"{name}/{raw['expression']}" if "expression" in raw else name  # no file is called so
    parts = {"subject": subject, "filename": filename, "onset": onset}
    values = {"dataset": layout.dataset, "subject": subject, "filename": filename, "sheet_row": int(raw["sheet_row"])}
    values |= {name: raw[name] for name in ("coding", "spreadsheet", "sheet")}
    values["in_folder"] = {"subject": subject, "filename": name, "emotion": raw["emotion"], "onset": onset}
    return _Row("/".join([layout.dataset, *(parts[name] for name in layout.key)]), raw, repair, values)


def _read_clip(row: _Row, layout: Layout, folders: FrameFolders | None, alternatives: AlternativeRule) -> None:
    raw, values = row.raw, row.values
    there = np.arange(0) if folders is None else _find_frames(row, folders)
    if row.kept:
        _read_course(row, layout, there)
    if row.kept and folders is not None:
        _check_frames(row, there)
    if not row.kept:
        return
    fps = _fps(raw.get("fps", ""))
    values["fps"] = layout.fps if fps is None else fps
    if fps is None and raw.get("fps"):
        row.note("fps", repr(raw["fps"]), f"-> {layout.fps:g}, the data set's own")
    if "expression" in raw:
        words = f"expression {raw['expression']} of {values['subject']}/{values['in_folder']['filename']}"
        row.note("filename", f"{words}, {values['onset']} to {values['offset']}", "a clip with an id for itself")
    frames = values["offset"] - values["onset"] + 1
    if frames / values["fps"] > LONGEST_SECONDS:
        row.note("offset", f"{frames} frames, {frames / values['fps']:.1f} s", "kept as it is")
    _read_labels(row, layout, alternatives)


def _find_frames(row: _Row, folders: FrameFolders) -> np.ndarray:
    """The frame numbers in the row's folder; without a folder the row is left out."""
    try:
        folder, tree, differs = folders.find(row.values["in_folder"])
        if differs:
            row.note("frames_folder", differs, "matched despite its name")
        row.values |= {"frames_folder": str(folder), "cropped": tree.cropped, "tree": tree.name}
        return folders.numbers(folder)
    except ValueError as error:  # no folder, several, or two files of one number
        row.leave_out("frames", str(error))
        return np.arange(0)


def _read_course(row: _Row, layout: Layout, there: np.ndarray) -> None:
    """Onset, apex and offset, in order."""
    raw = row.raw
    onset, apex, offset = (_number(raw.get(name, "")) for name in ("onset", "apex", "offset"))
    if onset is None:
        row.leave_out("onset", repr(raw["onset"]))
        return
    if offset is None or offset <= onset:
        found = row.cell("offset") if offset is None else f"{offset}, onset {onset}"
        if apex is not None and apex > onset:
            offset = apex + (apex - onset)
            row.fix("offset", found, f"-> {offset}, as long after the apex as the onset is before it")
        elif not layout.shared_folders and len(there) and there[-1] > onset:
            offset = int(there[-1])
            row.fix("offset", found, f"-> {offset}, the last frame of the clip's folder")
        else:
            row.leave_out("offset", found)
            return
    if layout.has_apex and "apex" not in raw:
        row.note("apex", row.cell("apex"), SPOTTED)
    elif layout.has_apex and apex is None:
        row.fix("apex", row.cell("apex"), SPOTTED)
    elif apex is not None and not onset < apex <= offset:
        why = "the same as the onset" if apex == onset else f"outside {onset} to {offset}"
        row.fix("apex", f"{apex}, {why}", SPOTTED)
        apex = None
    elif apex is not None and apex == offset:
        row.note("apex", f"{apex}, the same as the offset", "kept as it is")
    row.values |= {"onset": onset, "apex": np.nan if apex is None else apex, "offset": offset}


def _check_frames(row: _Row, there: np.ndarray) -> None:
    onset, offset = row.values["onset"], row.values["offset"]
    inside = there[(there >= onset) & (there <= offset)]
    wanted = offset - onset + 1
    missing = wanted - len(inside)
    lacks = f"{missing} of {wanted} frames are missing"
    if len(inside) < 2:
        span = f"{there[0]} to {there[-1]}" if len(there) else "nothing"
        row.leave_out("frames", f"{len(inside)} of {wanted} frames from {onset} to {offset}; the folder has {span}")
    elif missing > wanted / 2:
        row.leave_out("frames", lacks, "left out: more than half are missing")
    elif missing:
        gone = np.setdiff1d(np.arange(onset, offset + 1), inside)
        some = ", ".join(map(str, gone[:5])) + (" ..." if missing > 5 else "")
        row.fix("frames", f"{lacks}: {some}", "the nearest are taken instead")


def _read_labels(row: _Row, layout: Layout, alternatives: AlternativeRule) -> None:
    raw, emotion = row.raw, canonical_emotion(row.raw["emotion"])
    known = {one for protocol in PROTOCOLS.values() for rule in protocol.rules.values() for one in rule}
    if not emotion:
        row.note("emotion", repr(raw["emotion"]), "kept without an emotion")
    elif emotion not in known | {"tense"}:
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


def _fps(text: str) -> float | None:
    """A frame rate, also with its unit or a decimal comma; None for what cannot be one."""
    found = re.fullmatch(r"(\d{1,9}(?:[.,]\d*)?) ?(?:fps|hz)?", normalise_text(text).lower())
    rate = float(found[1].replace(",", ".")) if found else 0.0
    return rate if SLOWEST_FPS <= rate < FASTEST_FPS else None


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


def _nothing(rows: list[_Row], folders: FrameFolders | None, layout: Layout, root: Path) -> str:
    if not rows:
        return f"the spreadsheet of {layout.title} has a header and no rows"
    clip_id, (name, found, _) = next((row.clip_id, problem) for row in rows for problem in row.problems)
    words = f"none of {len(rows)} rows of {layout.title} can be used"
    if folders is not None:
        expected = " or ".join(tree.folder for tree in folders.trees)
        if folders.links:
            link = folders.links[0].name
            expected += f"; {len(folders.links)} links, such as {link}, are not followed: copy what they lead to"
        words += f" with the {folders.count} folders of frames below {root} (expected {expected})"
    return f"{words}; the first, {clip_id}: {name} {found}"
