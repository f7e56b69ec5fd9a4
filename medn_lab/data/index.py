"""From a spreadsheet and folders to a ``ClipIndex``.

Every row of the spreadsheet becomes a clip or a row of the problems, so that rows = clips + rows left out. A repair is
keyed by the clip and named in words; with ``repair=False`` the clip is left out instead.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import pandas as pd

from medn_lab.data.frames import ClipError, Problem, frame_number, list_frames
from medn_lab.data.layouts import LAYOUTS, FrameTree, Layout, header_key, name_key, open_spreadsheet, own_folders
from medn_lab.data.protocols import PROTOCOLS, canonical_emotion
from medn_lab.records import CODING_COLUMNS, PROBLEM_COLUMNS, AlternativeRule, ClipIndex, au_codings, au_table
from medn_lab.records import ActionUnits as ActionUnits
from medn_lab.records.action_units import parse_action_units
from medn_lab.records.table import normalise_text, one_of

LAST = ("objective_class", "coding", "spreadsheet", "sheet", "sheet_row", "cropped", "frames_folder")
"""The last columns of a reader's table."""

SPOTTED = "-> spotted when the clip is prepared"


def problem_table(problems: Iterable[tuple[str, str, str, str]], *tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of problems, and after them these (``clip_id, field, found, done``), as one table.

    A clip whose `done` begins with "left out" in one row is not kept in any of its rows.
    """
    found = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS[:4]), dtype=object)
    found["kept"] = ~found["done"].astype(str).str.startswith("left out")
    parts = [part for part in (*tables, found) if len(part)] or [found]
    joined = pd.concat(parts, ignore_index=True).astype({"kept": bool})
    return joined.assign(kept=joined.groupby("clip_id")["kept"].transform("all").astype(bool))


def reader_id(dataset: str, subject: str, filename: str) -> str:
    """The id that the data set's reader gives a clip, from any of the spellings in use.

    The subject may stand before the file name once or twice.

    Examples
    --------
    >>> reader_id("CASME II", "sub01", "sub01_EP02_01f .png"), reader_id("smic", "s03", "s03_s3_ne_03")
    ('casme2/01/EP02_01f', 'smic/3/s3_ne_03')
    """
    dataset, subject, filename = (normalise_text(text) for text in (dataset, subject, filename))
    key, known = header_key(dataset), {"casmeii": "casme2", "smichs": "smic", "smichse": "smic", "casmeiii": "casme3"}
    dataset = known.get(key, key if key in LAYOUTS else dataset.lower())
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
    """For each row the clip's id without case and leading zeros, which is the same for all spellings of a clip."""
    rows = table[["dataset", "subject", "filename"]].astype(str).itertuples(index=False)
    return pd.Series([name_key(reader_id(*row)) for row in rows], index=table.index, dtype=object)


# --- folders --------------------------------------------------------------------------------------------------------


def _clip_name(name: str) -> str:
    """As `name_key`, without the subject before a clip's name that has it already: ``s03_s3_ne_03`` is ``s3_ne_03``."""
    return re.sub(r"^(s\d+)_\1_", r"\1_", re.sub(r"[-\s]+", "_", name_key(name)))


class FrameFolders:
    """Every folder below a root that holds numbered pictures.

    `frames` is ``auto``, the name of a tree, or the name of a folder: then only what is below folders of this name.
    ``count`` is how many there are, and ``numbers(folder)`` the frame numbers in one, rising.
    """

    def __init__(self, root: Path, layout: Layout, *, frames: str = "auto") -> None:
        self.root, self.count = root, 0
        self.numbers = cache(lambda folder: np.array(list(list_frames(folder)), dtype=np.int64))
        self._by_key: dict[tuple[str, ...], list[Path]] = {}
        named = [tree for tree in layout.trees if frames in ("auto", tree.name)]
        self.trees = named or list(layout.trees)
        below = "" if named else f"/{frames.lower().strip('/')}/"
        for folder, inner, files in os.walk(root, followlinks=True):
            inner[:] = own_folders(inner)
            parts = (root.name, *Path(folder).relative_to(root).parts)
            first = next((name for name in files if name[0] != "." and frame_number(name) is not None), None)
            if first is None or below not in f"/{'/'.join(parts).lower()}/":
                continue
            # The tree of the longest marker, or else that of the first frame's name.
            marked = [tree for tree in layout.trees if any(tree.marker in part.lower() for part in parts)]
            like = [tree for tree in layout.trees if first.lower().startswith(tree.frame.partition("{")[0])]
            tree = max(marked, key=lambda tree: len(tree.marker)) if marked else [*like, layout.trees[-1]][0]
            if tree in self.trees:
                self.count += 1
                key = (tree.name, *map(_clip_name, parts[-tree.tail :]))
                self._by_key.setdefault(key, []).append(Path(folder))
        self.trees = [tree for tree in self.trees if any(key[0] == tree.name for key in self._by_key)]
        if below and not self.count:
            known = ", ".join(tree.name for tree in layout.trees)
            raise ValueError(f"no frames {frames!r}: there are auto, {known}, and {root} has no such folder of frames")

    def find(self, fields: Mapping[str, Any]) -> tuple[Path, FrameTree, str]:
        """The folder of a row, its tree, and how its name differs (``""`` where it does not).

        ValueError is raised if there is none, or several.
        """
        for tree in self.trees:
            parts = tree.folder.format(**fields).split("/")[-tree.tail :]
            similar = self._by_key.get((tree.name, *map(_clip_name, parts)), [])
            own = [folder for folder in similar if list(folder.parts[-tree.tail :]) == parts]
            found = own or similar
            if len(found) > 1:
                listed = ", ".join(str(path.relative_to(self.root)) for path in found[:3])
                raise ValueError(f"{len(found)} folders fit: {listed}; choose with frames= and a folder's name")
            if found:
                return found[0], tree, "" if own else "/".join(found[0].parts[-tree.tail :])
        raise ValueError(f"no folder for {fields['subject']}/{fields['filename']}")


# --- rows -----------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    """One row while it is read: the cells of the sheet, the values read so far, and the problems found."""

    raw: Mapping[str, Any]
    repair: bool
    values: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def note(self, name: str, found: object, done: str) -> None:
        """Add a problem that changes nothing in the clip."""
        self.problems.append((name, str(found), done))

    def fix(self, name: str, found: object, done: str) -> None:
        """Add a repair; without permission to repair leave the clip out."""
        if not self.repair:
            self.leave_out(name, found, f"left out; with repair=True: {done}")
        self.note(name, found, done)

    def leave_out(self, name: str, found: object, done: str = "left out") -> NoReturn:
        """Add a problem and leave the clip out."""
        self.note(name, found, done)
        raise ClipError(done)


def read_dataset(
    root: str | os.PathLike[str], *, layout: str, spreadsheet: str | os.PathLike[str] | None = None,
    frames: Literal["auto", "raw", "cropped"] | str | None = "auto", repair: bool = True,
    alternatives: AlternativeRule = "leave_out",
) -> ClipIndex:  # fmt: skip
    """The clips of a data set as distributed; each row of its spreadsheet is a clip or a problem.

    Parameters
    ----------
    root : path-like
        The folder with the folders of frames and the spreadsheet somewhere below.
    layout : str
        The data set, a name in ``LAYOUTS``.
    spreadsheet : path-like, optional
        Which one, where several fit or it is elsewhere; ``book.xlsx#Sheet2`` for one sheet of a workbook.
    frames : {"auto", "raw", "cropped"}, str or None
        Which frames, where there are several kinds; ``auto`` prefers those that are cropped. Where two folders fit a
        clip, the name of a folder that only one of them lies in, such as ``CASME2_RAW_selected``. None reads the
        spreadsheet alone.
    repair : bool
        Whether faulty rows are repaired, each repair a row of ``problems``, or left out.
    alternatives : {"leave_out", "first", "all", "common"}
        What a disputed or incomplete AU set (``12 or 14``, ``4?``, ``4+ref(7)``) becomes. ``leave_out``: the clip is
        kept, its AU columns are NaN, it takes part in no pair and no floor, and it is a row of ``problems``. The other
        rules let it in with the set that :func:`parse_action_units` reads by them.

    Returns
    -------
    ClipIndex
        ``clip_id`` is ``dataset/subject/filename``. Emotions and AUs are in one spelling. ``coding, spreadsheet,
        sheet`` and ``sheet_row`` say where a clip comes from.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the layout is unknown, no spreadsheet or several fit, or no row has its frames.

    See Also
    --------
    prepare : makes clips of it.
    read_casme2 : the same for one data set; there is such a name for each.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme2", fps=15, size=64, faults=["apex_slash"])
    ...     index = read_dataset(root, layout="casme2")
    >>> index
    ClipIndex: 2 clips of 1 subject (casme2 2); 1 problem, 0 rows left out
    >>> index.problems[["field", "found", "kept"]]
      field found  kept
    0  apex   '/'  True
    """
    described, root = LAYOUTS[one_of(layout, LAYOUTS, "layout")], Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder in which {described.title} was unpacked")
    source, rows = open_spreadsheet(root, described, spreadsheet)
    folders = None if frames is None else FrameFolders(root, described, frames=frames)
    raws = list(_expressions(rows, described))
    codings = au_codings([raw.get("action_units", "") for raw in raws], alternatives=alternatives).to_dict("records")
    kept: list[dict[str, Any]] = []
    problems: list[tuple[Any, ...]] = []
    seen: Counter[str] = Counter()
    for raw, coding in zip(raws, codings, strict=True):
        clip_id = "/".join([layout, *(raw[name] for name in described.key)])
        if not raw["subject"] or not raw["filename"]:
            clip_id = f"{layout}/({raw['row_text'][:40]})"
        seen[clip_id.casefold()] += 1  # in two capitalisations it would be one folder twice
        count = seen[clip_id.casefold()]
        again = f"row {raw['sheet_row']} of the sheet is number {count} of {clip_id}"
        clip_id += f"#{count}" if count > 1 else ""
        row = _Row(raw, repair, {"clip_id": clip_id, **(coding if described.has_aus else {"action_units": ""})})
        used = False
        with suppress(ClipError):
            if count > 1:
                row.leave_out("clip_id", again)
            _read_row(row, described, folders)
            _read_labels(row, described, alternatives)
            kept.append(row.values)
            used = True
        problems += [(clip_id, *problem, used) for problem in row.problems]
    found_wrong = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool})
    if not kept:
        looked = "" if folders is None else f" with the {folders.count} folders of frames below {root}"
        fault = f"none of {len(raws)} rows of {described.title} can be used{looked}"
        expected = " or ".join(tree.folder for tree in described.trees)
        first_problem = ": ".join(map(str, problems[0][:3])) if problems else "it has no rows"
        raise ValueError(f"{fault} (expected {expected}); the first, {first_problem}")
    table = pd.DataFrame(kept)
    source = {"root": str(root), **source, "rows": len(raws), "frames": sorted(set(table.get("tree", [])))}
    if table["apex"].notna().all():
        table["apex"] = table["apex"].astype(np.int64)
    first = ["clip_id", "dataset", "subject", "filename", "onset", "apex", "offset", "fps", "emotion", "action_units"]
    of_coder = CODING_COLUMNS[1:] if described.has_aus else ()
    aus = au_table(table["action_units_coded"], alternatives=alternatives) if described.has_aus else table[[]]
    parts = [table[[*first, *of_coder]], aus, table[[name for name in LAST if name in table]]]
    return ClipIndex(pd.concat(parts, axis=1), found_wrong, source)


def _expressions(rows: Iterable[dict[str, Any]], layout: Layout) -> Iterator[dict[str, Any]]:
    """One row an expression, with subject, file and onset as an id has them; ``clip`` is the file without a number.

    SMIC codes up to three in the row of one clip, as ``Onset2F`` and ``Offset2F``: the second is ``s3_ne_03/2``, as
    no file is called so.
    """
    blank = {"", "0", "0.0", "/", "-", "nan", "none", "n/a"}
    for raw in rows:
        subject, clip = normalise_text(raw["subject"]), normalise_text(raw["filename"])
        names = {"subject": subject and layout.subject_name(subject), "filename": clip, "clip": clip}
        expressions = {"": (raw["onset"], raw.get("offset", ""))}
        for more in "23" if clip else "":
            times = raw.get(f"onset{more}", ""), raw.get(f"offset{more}", "")
            if not {normalise_text(text).lower() for text in times} <= blank:
                expressions[more] = times
        for more, (onset, offset) in expressions.items():
            number = _number(onset)
            named = {**raw, **names, "onset": onset if number is None else str(number)}
            yield named | ({"filename": f"{clip}/{more}", "apex": "", "offset": offset} if more else {})


def _read_row(row: _Row, layout: Layout, folders: FrameFolders | None) -> None:
    raw, values = row.raw, row.values
    if not raw["subject"] or not raw["filename"]:
        why = "names no subject and file (of merged cells the first alone has the text), so no clip"
        row.leave_out("row", raw["row_text"], f"left out: row {raw['sheet_row']} of the sheet {why}")
    values |= {"dataset": layout.dataset, "subject": raw["subject"], "filename": raw["filename"]}
    values |= {name: raw[name] for name in LAST if name in raw}
    there, camera = np.arange(0), layout.camera(raw["spreadsheet"])
    if folders is not None:
        try:
            folder, tree, differs = folders.find({**raw, "filename": raw["clip"]})
            there = folders.numbers(folder)
        except ValueError as error:  # no folder, several, or two files of one number
            row.leave_out("frames", error)
        if differs:
            row.note("frames_folder", differs, "matched despite its name")
        if tree is not folders.trees[0]:
            row.note("frames", f"no folder of {folders.trees[0].name} frames", f"{tree.name} frames taken")
        values |= {"frames_folder": str(folder), "cropped": tree.name == "cropped", "tree": tree.name}
        of_sheet = camera
        camera = layout.camera(folder.relative_to(folders.root)) or camera or layout.camera(folders.root.name)
        if of_sheet not in ("", camera):
            row.leave_out("frames", f"frames of the camera {camera}, coding of {of_sheet}")
    onset, offset = _read_course(row, layout, there)
    frames = offset - onset + 1  # a wrong cell can make it huge
    if folders is not None:
        inside = there[(there >= onset) & (there <= offset)]
        missing = frames - len(inside)
        lacks = f"{missing} of {frames} frames from {onset} to {offset} are missing"
        if len(inside) < 2:
            row.leave_out("frames", f"{lacks}; the folder has {there[0]} to {there[-1]}")
        elif missing > frames / 2:
            row.leave_out("frames", lacks, "left out: more than half are missing")
        elif missing:
            gone = np.setdiff1d(np.arange(onset, offset + 1), inside)
            some = ", ".join(map(str, gone[:5])) + (" ..." if missing > 5 else "")
            row.fix("frames", f"{lacks}: {some}", "the nearest are taken instead")
    typed = re.fullmatch(r"(\d{1,9}(?:[.,]\d*)?) ?(?:fps|hz)?", normalise_text(raw.get("fps", "")).lower())
    rate = float(typed[1].replace(",", ".")) if typed else 0.0
    # A rate outside 5 to 1,000 is a wrong cell (1,000 and 90,000 are clocks of video files).
    values["fps"] = fps = rate if 5 <= rate < 1000 else layout.cameras.get(camera, layout.fps)
    if "fps" in raw and fps != rate:
        row.note("fps", repr(raw["fps"]), f"-> {fps:g}, the data set's own")
    if raw["filename"] != raw["clip"]:
        row.note("filename", f"{raw['filename']}, {onset} to {offset}", "a clip with its own id")
    if frames / fps > 2:  # seconds: something else than a micro-expression was coded, or a number is wrong
        row.note("offset", f"{frames} frames, {frames / fps:.1f} s", "kept as it is")


def _read_course(row: _Row, layout: Layout, there: np.ndarray) -> tuple[int, int]:
    """Onset and offset; with the apex they are in order, and in the row's values."""
    raw = row.raw
    onset, apex, offset = (_number(raw.get(name, "")) for name in ("onset", "apex", "offset"))
    if onset is None:
        row.leave_out("onset", repr(raw["onset"]))
    if offset is None or offset <= onset:
        found = repr(raw.get("offset", "no such column")) if offset is None else f"{offset}, onset {onset}"
        if apex is not None and apex > onset:
            offset = apex + (apex - onset)
            row.fix("offset", found, f"-> {offset}, as long after the apex as the onset is before it")
        elif "onset" not in layout.key and len(there) and there[-1] > onset:
            offset = int(there[-1])
            row.fix("offset", found, f"-> {offset}, the last frame of the clip's folder")
        else:
            row.leave_out("offset", found)
    if layout.has_apex and "apex" not in raw:
        row.note("apex", "no such column", SPOTTED)
    elif layout.has_apex and apex is None:
        row.fix("apex", repr(raw["apex"]), SPOTTED)
    elif apex is not None and not onset < apex <= offset:
        why = "the same as the onset" if apex == onset else f"outside {onset} to {offset}"
        row.fix("apex", f"{apex}, {why}", SPOTTED)
        apex = None
    elif apex is not None and apex == offset:
        row.note("apex", f"{apex}, the same as the offset", "kept as it is")
    row.values |= {"onset": onset, "apex": np.nan if apex is None else apex, "offset": offset}
    return onset, offset


def _read_labels(row: _Row, layout: Layout, alternatives: AlternativeRule) -> None:
    raw, values = row.raw, row.values
    emotion = values["emotion"] = canonical_emotion(raw["emotion"])
    known = any(emotion in rule for protocol in PROTOCOLS.values() for rule in protocol.rules.values())
    if not emotion:
        row.note("emotion", repr(raw["emotion"]), "kept without an emotion")
    elif not known and emotion != "tense":
        row.note("emotion", repr(raw["emotion"]), "kept under this name; no protocol knows it")
    if not layout.has_aus:
        return
    plain, doubt = parse_action_units(raw["action_units"]), values["action_units_doubt"]
    if doubt == "unknown":
        row.note("action_units", repr(raw["action_units"]), "AUs unknown")
    elif doubt or plain.junk:
        out = alternatives == "leave_out" and not plain.certain
        done = "kept, out of pairs, floors and AU targets" if out else f"read as {values['action_units'] or 'no AU'}"
        done += f"; in doubt: {doubt}" if doubt else ""
        done += f"; not an AU: {' '.join(plain.junk)}" if plain.junk else ""
        row.note("action_units", raw["action_units"], done)


def _number(text: str) -> int | None:
    """A frame's number, of nine digits at most (what is longer is no frame), also as ``46.0`` or ``46,0``."""
    found = re.fullmatch(r"(\d{1,9})(?:\.0*|,0{1,2})?", normalise_text(text))
    return int(found[1]) if found else None
