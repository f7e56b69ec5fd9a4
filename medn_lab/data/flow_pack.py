"""The flow packs of MEGC 2019 that circulate instead of frames, and the lists that go with them.

See, Yap, Li, Hong, Wang, MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge. FG 2019. A flow pack is 442
PNGs of 28x28, ``u, v, optical strain`` scaled to 0-255.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from medn_lab.data.frames import read_image
from medn_lab.data.index import clip_keys, problem_table, read_dataset, reader_id
from medn_lab.data.layouts import FIELD_NAMES, LAYOUTS, TEXT_SUFFIXES, AnyPath, header_key, name_key, text_cells
from medn_lab.data.protocols import PROTOCOLS, canonical_emotion, to_classes
from medn_lab.data.readers import join_indexes
from medn_lab.records import ClipIndex, Clips, normalise_text

CodingSource: TypeAlias = str | os.PathLike[str] | ClipIndex
Problem: TypeAlias = tuple[str, str, str, str]
"""``clip_id, field, found, done``."""

CLASSES, RULES = PROTOCOLS["megc2019"].classes, PROTOCOLS["megc2019"].rules

_HEADERS = {
    "dataset": "dataset datasetname data database db corpus",
    "subject": f"{FIELD_NAMES['subject']} person participant",
    "filename": f"{FIELD_NAMES['filename']} clipname videoname name",
    "label": "label labels class gt groundtruth target emotionlabel emotion",
}
"""Field to the headers of a list that stand for it, the first that is there, as in ``FIELD_NAMES``."""

_FIELDS = ("dataset", "subject", "filename", "label")
_CLASS_OF = {str(number): name for number, name in enumerate(CLASSES)}


def read_list(path: AnyPath) -> tuple[pd.DataFrame, list[Problem]]:
    """The clips of a list that goes with flow packs or with the challenge, and rows of ``problems``.

    `path` is ``combined_3class_gt.csv`` (no header: ``casme2,sub01,EP02_01f,1``), or a list with a header such as
    ``dataset,sub,filename_o,label,apex,imagename,sub_filename`` or ``data,subject,clip,label``, in any order, separated
    by comma, semicolon or tab. Classes are 0, 1 and 2 or words. The table has ``clip_id, dataset, subject, filename``
    as the readers spell them, and ``label`` (the class's name). ValueError is raised where it is no such list, no row
    has a clip and a class, or classes are numbered from 1.
    """
    path = Path(path)
    none = f"{path.name} is no list of a flow pack"
    try:
        cells = [row for row in ([normalise_text(cell) for cell in row] for row in text_cells(path)) if any(row)]
    except Exception as error:  # csv has its own for a broken file
        raise ValueError(f"{none}: it cannot be read ({error})") from error
    keys = [header_key(cell) for cell in cells[0]] if cells else []
    named = {field: next((name for name in names.split() if name in keys), "") for field, names in _HEADERS.items()}
    fields = {field: keys.index(name) for field, name in named.items() if name}
    if set(_FIELDS) <= set(fields):
        cells = cells[1:]
    elif cells and all(len(row) >= 4 and not any(row[4:]) for row in cells):
        fields = {name: place for place, name in enumerate(_FIELDS)}
    else:
        raise ValueError(f"{none}: it has neither four columns nor a header with data set, subject, clip and label")
    clips: dict[str, str] = {}
    problems: list[Problem] = []
    given = set()
    for number, cell in enumerate(cells, 1):
        row = {name: cell[at] for name, at in fields.items()}
        clip_id = reader_id(row["dataset"], row["subject"], row["filename"])
        word = canonical_emotion(re.sub(r"\.0*$", "", row["label"]))
        given.add(word)
        label = _CLASS_OF.get(word) or RULES.get(clip_id.partition("/")[0], {}).get(word)
        if not all(row[name] for name in _FIELDS[:3]):
            problems.append((f"list/({' '.join(cell)[:40]})", "row", "no data set, subject or clip", "left out"))
        elif not label:
            problems.append((clip_id, "label", f"class {row['label']!r} in {path.name}", "left out"))
        elif clip_id in clips:
            found = f"again in row {number}, as {label} and before as {clips[clip_id]}"
            problems.append((f"{clip_id}#{number}", "clip_id", found, "left out"))
        else:
            clips[clip_id] = label
    if "3" in given and "0" not in given:
        raise ValueError(f"{path.name} numbers its classes from 1; number them 0, 1 and 2 ({', '.join(CLASSES)})")
    if not clips:
        why = problems[0][2] if problems else "no row"
        raise ValueError(f"{none}: no row has a clip and one of the classes 0, 1 and 2 ({', '.join(CLASSES)}); {why}")
    rows = [(clip_id, *clip_id.split("/", 2), label) for clip_id, label in clips.items()]
    return pd.DataFrame(rows, columns=["clip_id", *_FIELDS]), problems


def read_megc2019(
    *, casme2: ClipIndex | AnyPath | None = None, samm: ClipIndex | AnyPath | None = None,
    smic: ClipIndex | AnyPath | None = None, gt: AnyPath | None = None,
) -> ClipIndex:  # fmt: skip
    """The composite of the 2019 challenge, from whichever of its three data sets are given.

    Three classes, by the clips' emotions; the class is in the column ``label``, and clips without one are rows of
    ``problems``. The challenge's own list has 145 clips of CASME II, 133 of SAMM and 164 of SMIC, together 442 of 68
    subjects; it lacks some clips of CASME II whose emotion has a class, so that their number needs `gt`.

    Parameters
    ----------
    casme2, samm, smic : path-like or ClipIndex, optional
        The data set's folder, or its index where it needed other arguments.
    gt : path-like, optional
        The official list ``combined_3class_gt.csv``, or one with a header: it decides which clips are in and their
        class. A clip that only the list or only the data sets have is a row of ``problems``, and one whose class is
        another than its emotion's.

    Returns
    -------
    ClipIndex

    Raises
    ------
    ValueError
        If nothing is given, or nothing has a class.

    See Also
    --------
    leave_one_subject_out : the challenge's split; ``casme2/06`` and ``samm/006`` are two people.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="smic", fps=15, size=64)
    ...     index = read_megc2019(smic=root)
    >>> index.table["label"].tolist()
    ['positive']
    """
    given = {name: one for name, one in (("casme2", casme2), ("samm", samm), ("smic", smic)) if one}
    if not given:
        raise ValueError("give at least one of casme2=, samm= and smic=: a folder or an index")
    read = (one if isinstance(one, ClipIndex) else read_dataset(one, layout=name) for name, one in given.items())
    joined = join_indexes(list(read))
    out = "left out of megc2019"
    if gt is None:
        table, dropped = to_classes(joined.table, "megc2019")
        left_out = [(row.clip_id, "emotion", row.reason, out) for row in dropped.itertuples()]
    else:
        listed, left_out = read_list(gt)
        keys, there = clip_keys(joined.table), clip_keys(listed)
        labels = keys.map(dict(zip(there, listed["label"], strict=True)))
        if labels.isna().all():
            raise ValueError(f"no clip (of {len(joined)}) is in the list {gt}")
        table = joined.table.assign(label=labels.astype(object))[labels.notna()].reset_index(drop=True)
        lacking = listed.loc[~there.isin(set(keys)) & listed["dataset"].isin(joined.table["dataset"]), "clip_id"]
        left_out += [(one, "gt", "not in the official list", out) for one in joined.table.loc[labels.isna(), "clip_id"]]
        left_out += [(one, "gt", f"in {Path(gt).name}, and no clip of the data sets given", out) for one in lacking]
        for row in table.itertuples():
            own = RULES.get(row.dataset, {}).get(canonical_emotion(row.emotion))
            if own != row.label:
                left_out.append((row.clip_id, "label", f"{row.emotion}, {own}", f"{row.label}, as in {Path(gt).name}"))
    return ClipIndex(table, problem_table(left_out, joined.problems), {**joined.source, "protocol": "megc2019"})


def read_flow_pack(
    root: AnyPath, *, gt: AnyPath | None = None, codings: CodingSource | Sequence[CodingSource] = ()
) -> Clips:
    """A circulating flow pack as clips without frames: the motion branch's input alone.

    Each PNG holds the flow onset to apex of one clip of the MEGC 2019 composite, its channels ``u, v, optical strain``.
    In every pack in circulation each channel of each picture runs from 0 to 255: it was scaled clip by clip, from the
    clip's smallest value to its largest, and neither is in the pack. So grey 127.5 is not rest, the 0.0 that it becomes
    here is not "no motion", values are no pixels, and neither lengths nor signs can be compared between clips.

    Parameters
    ----------
    root : path-like
        A folder with the list and, in it or below, the PNGs.
    gt : path-like, optional
        The list, where several are there or it is elsewhere: ``combined_3class_gt.csv``, or one with a header such as
        ``data,subject,clip,label``.
    codings : path-like, ClipIndex or sequence of them
        Spreadsheets of the pack's data sets (of any name; the data set is recognised), or what a reader made of one,
        each with other clips. Emotions, AUs, frame numbers and the spreadsheet's row are joined from them by clip,
        without any frames.

    Returns
    -------
    Clips
        ``frames`` None, ``flow (n, 28, 28, 3)`` with ``u`` and ``v`` from -1 to 1 and strain from 0
        to 1. ``clip_id``, ``dataset, subject, filename`` are those of the data sets' readers; ``label`` is the list's
        class. Rows of the list without a picture, pictures outside the list, clips without a row in the codings and
        what list and codings say differently are in ``problems``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no list fits, or no picture, a coding has no clip of the pack, or two have one.

    See Also
    --------
    FlowRecipe : flow from frames, in pixels.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_flow_pack
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_flow_pack(drawn, root)
    ...     clips = read_flow_pack(root)
    >>> clips.flow.shape, clips.frames, clips.table["clip_id"].tolist()
    ((1, 28, 28, 3), None, ['casme2/01/EP01_01'])
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder in which the flow pack was unpacked")
    lists, why = {}, []
    for path in _files(root, *TEXT_SUFFIXES) if gt is None else [Path(gt)]:
        try:
            lists[path.name] = read_list(path)
        except ValueError as error:
            why.append(str(error))
    if len(lists) != 1:
        none = f"no list of clips below {root} ({'; '.join(why[:3]) or 'there is no .csv'})"
        found = f"{len(lists)} lists fit: {', '.join(lists)}" if lists else none
        raise ValueError(f"{found}; say which with gt=")
    table, problems = next(iter(lists.values()))
    given = [codings] if isinstance(codings, (str, os.PathLike, ClipIndex)) else list(codings)
    table, coded = _with_codings(table, given)
    flows, of_pictures = _pictures(root, table)
    kept = table.iloc[list(flows)].reset_index(drop=True)
    named = coded["clip_id"].astype(str).str.replace(r"#\d+$", "", regex=True)  # a sheet may repeat a row
    coded = coded.assign(clip_id=named)[named.isin(kept["clip_id"])]
    flow = np.stack(list(flows.values()))
    recipe = {"name": "flow pack", "coding": "uv_strain", "size": flow.shape[1], "largest": 1.0}
    recipe["scaled"] = "clip by clip: values are not pixels, and 0 can be motion"
    found = problem_table([*problems, *of_pictures], coded)
    return Clips(frames=None, flow=flow, table=kept, recipe=recipe, problems=found)


def _files(root: Path, *suffixes: str) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in suffixes and path.name[0] != ".")


def _pictures(root: Path, table: pd.DataFrame) -> tuple[dict[int, np.ndarray], list[Problem]]:
    """The flow of each row of the table with a usable picture, and problems of the others."""
    pictures = _files(root, ".png")
    by_key: dict[str, Path] = {}
    for one in pictures:
        for dataset in table["dataset"].unique():
            for subject in (one.stem.strip().split("_")[0], one.parent.name):
                by_key.setdefault(name_key(reader_id(dataset, subject, one.stem)), one)
    flows: dict[int, np.ndarray] = {}
    problems: list[Problem] = []
    unused = dict.fromkeys(pictures)
    for place, (clip_id, key) in enumerate(zip(table["clip_id"], clip_keys(table), strict=True)):
        path = by_key.get(key)
        try:
            if path is None:
                raise ValueError("no picture")
            values = read_image(path).astype(np.float32)
            if values.shape != next(iter(flows.values()), values.swapaxes(0, 1)).shape:
                raise ValueError(f"{values.shape[1]}x{values.shape[0]} px is no square of the others' size")
        except ValueError as error:
            problems.append((clip_id, "flow", str(error), "left out"))
            continue
        unused.pop(path, None)
        # The middle of a clip's range becomes 0; it is not the absence of motion.
        flows[place] = np.concatenate([(values[..., :2] - 127.5) / 127.5, values[..., 2:] / 255.0], axis=-1)
    if not flows:
        found = f"no clip of the list ({len(table)}) has one of the {len(pictures)} pictures below {root}"
        raise ValueError(f"{found}; a picture is called subject_clip.png, or subject/clip.png")
    return flows, problems + [(one.stem.strip(), "gt", "not in the list", "left out") for one in unused]


def _with_codings(listed: pd.DataFrame, sources: list[CodingSource]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The listed clips with their rows of the codings, and a table of problems."""
    own = listed.assign(emotion=listed["label"], action_units="")
    if not sources:
        return own, problem_table([])
    keys = clip_keys(listed)
    joined = join_indexes([_coding(source, listed, keys) for source in sources])
    coded = joined.table.drop(columns=["frames_folder", "cropped", "label"], errors="ignore")
    coded = coded.set_axis(clip_keys(coded)).loc[lambda table: ~table.index.duplicated()]
    found = coded.reindex(keys).reset_index(drop=True)
    has_row = found["clip_id"].notna()
    texts = found.select_dtypes(exclude="number").columns
    found[texts] = found[texts].fillna("")
    names = ["clip_id", "dataset", "subject", "filename", "emotion"]
    found.loc[~has_row, names] = own.loc[~has_row, names]
    table = found.assign(label=listed["label"])
    without = table.loc[~has_row, "clip_id"]
    problems = [(name, "coding", "in none of the codings", "kept without AUs and frames") for name in without]
    for clip_id, dataset, emotion, label in table[["clip_id", "dataset", "emotion", "label"]].to_numpy():
        by_emotion = RULES.get(dataset, {}).get(canonical_emotion(emotion), "in no class")
        if by_emotion != label:
            found = f"{emotion or 'no emotion'}, {by_emotion}"
            problems.append((clip_id, "label", found, f"-> {label}, as the list"))
    return table, problem_table(problems, joined.problems.assign(kept=True))


def _coding(source: CodingSource, listed: pd.DataFrame, keys: pd.Series) -> ClipIndex:
    """A coding as an index; a spreadsheet is of the pack's data set with which it shares most clips."""
    if isinstance(source, ClipIndex):
        if not clip_keys(source.table).isin(keys).any():
            raise ValueError(f"no clip of the coding ({len(source)}) is in the pack ({len(keys)})")
        return source
    path, fitting, why = Path(source).expanduser(), [], []
    for name, count in listed["dataset"].value_counts().reindex(list(LAYOUTS)).dropna().items():
        try:
            index = read_dataset(path.parent, layout=name, spreadsheet=path, frames=None)
        except ValueError as error:
            why.append(str(error))
            continue
        shared = int(clip_keys(index.table).isin(keys).sum())
        why.append(f"of {LAYOUTS[name].title} it has {shared} of the pack's clips in {len(index)} rows")
        if shared >= max(1, 0.1 * min(len(index), count)):  # names of other data sets agree by chance
            fitting.append((shared, index))
    if not fitting:
        raise ValueError(f"{path.name} is no spreadsheet of the pack's data sets: {'; '.join(why)}")
    return max(fitting, key=lambda one: one[0])[1]
