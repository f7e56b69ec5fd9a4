"""Flow packs: the 442 PNGs of 28x28 that circulate instead of frames, ``u, v, optical strain`` scaled to 0-255."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from medn_lab.data.frames import UnreadableFrameError, read_image, stays_within
from medn_lab.data.layouts import LAYOUTS
from medn_lab.data.opencv import cv2
from medn_lab.data.protocols import PROTOCOLS, canonical_emotion
from medn_lab.data.readers.clip_list import PROTOCOL, clip_key, keys_of, problem_table, read_list
from medn_lab.data.readers.composite import changed_classes, join_indexes
from medn_lab.data.readers.folders import name_key
from medn_lab.data.readers.index import read_layout
from medn_lab.records import AlternativeRule, ClipIndex, Clips

CodingSource: TypeAlias = str | os.PathLike[str] | ClipIndex | pd.DataFrame

LIST_SUFFIXES = (".csv", ".tsv", ".txt")
MIDDLE = 127.5
"""The byte that becomes 0: the middle of a clip's range, not the absence of motion."""

SCALED = "clip by clip, so 0 is not no motion and values are no pixels"
"""What the recipe says of the values."""

LEAST_SHARED = 0.1
"""Share of a spreadsheet's rows, or of the pack's clips of its data set, that must be in both."""

_OF_FRAMES = ("frames_folder", "cropped")


def read_flow_pack(
    root: str | os.PathLike[str],
    *,
    gt: str | os.PathLike[str] | None = None,
    codings: CodingSource | Sequence[CodingSource] = (),
    alternatives: AlternativeRule = "leave_out",
    pixels: float = 1.0,
    size: int | None = None,
) -> Clips:
    """A circulating flow pack as clips without frames: the motion branch's input alone.

    Each PNG holds the flow onset to apex of one clip of the MEGC 2019 composite, its channels ``u, v, optical strain``.
    In every pack in circulation each channel of each picture runs from 0 to 255: it was scaled clip by clip, from the
    clip's smallest value to its largest, and neither is in the pack. So grey 127.5 is not rest, the 0.0 that it becomes
    here is not "no motion", values are no pixels, and neither lengths nor signs can be compared between clips.

    Parameters
    ----------
    root : path-like
        A folder with the PNGs in it or below, and the list.
    gt : path-like, optional
        The list, where several are there or it lies elsewhere: ``combined_3class_gt.csv``, or one with a header such as
        ``data,subject,clip,label``.
    codings : path-like, ClipIndex, DataFrame or sequence of them
        Spreadsheets of the pack's data sets (of any name; the data set is recognised), or what a reader made of one.
        Emotions, AUs, frame numbers and the spreadsheet's row are joined from them by clip, without any frames. Where
        two have a clip the first one counts.
    alternatives : {"leave_out", "first", "all", "common"}
        What a disputed AU set (``12 or 14``) of a spreadsheet becomes, as in the readers.
    pixels : float
        The largest absolute value of ``u`` and ``v``, by which all clips are multiplied alike.
    size : int, optional
        Enlarge or shrink to this side for a network that does not take 28 px; the values stay.

    Returns
    -------
    Clips
        ``frames`` None, ``flow (n, 28, 28, 3)`` with ``u`` and ``v`` from ``-pixels`` to ``pixels`` and strain from 0
        to 1. ``clip_id``, ``dataset, subject, filename`` are those of the data sets' readers; ``label`` is the list's
        class. Rows of the list without a picture, pictures outside the list, clips without a row in the codings and
        what list and codings say differently are in ``problems``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or spreadsheet.
    ValueError
        If no list fits, or no picture, a coding has no clip of the pack, or `pixels` or `size` cannot be.

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
    if not 0 < pixels < np.inf or (size is not None and size < 1):
        raise ValueError(f"pixels must be above 0 and size at least 1; they are {pixels} and {size}")
    listed = _find_list(root) if gt is None else read_list(gt)
    given = [codings] if isinstance(codings, (str, os.PathLike, ClipIndex, pd.DataFrame)) else list(codings)
    table, coded_problems = _with_codings(listed.table, given, alternatives)
    places, flows, problems = _pictures(root, table, pixels=pixels, size=size)
    kept = table.iloc[places].drop(columns="image").reset_index(drop=True)
    named = coded_problems["clip_id"].astype(str).str.replace(r"#\d+$", "", regex=True)  # a sheet may repeat a row
    coded_problems = coded_problems.assign(clip_id=named)[named.isin(kept["clip_id"])]
    parts = [listed.problems, problem_table(problems), coded_problems]
    return Clips(
        frames=None,
        flow=np.stack(flows),
        table=kept,
        recipe={
            "name": "flow pack",
            "coding": "uv_strain",
            "size": int(flows[0].shape[0]),
            "largest": float(pixels),
            "scaled": SCALED,
        },
        problems=pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True),
    )


def _find_list(root: Path) -> ClipIndex:
    found, why = {}, []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in LIST_SUFFIXES or path.name.startswith(".") or not stays_within(path, root):
            continue
        try:
            found[path] = read_list(path)
        except ValueError as error:
            why.append(str(error))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{len(found)} lists fit: {', '.join(path.name for path in found)}; say which with gt=")
    reasons = "; ".join(why[:3]) or "there is no .csv"
    raise ValueError(f"no list of clips below {root} ({reasons}); give it with gt=")


def _pictures(
    root: Path, table: pd.DataFrame, *, pixels: float, size: int | None
) -> tuple[list[int], list[np.ndarray], list[tuple[str, str, str, str]]]:
    """Rows of the table with a usable picture, their flows, and what was found of the others."""
    pictures = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() == ".png" and not path.name.startswith(".") and stays_within(path, root)
    )
    by_key: dict[str, Path] = {}
    by_name = {name_key(path.stem): path for path in pictures}
    datasets = list(dict.fromkeys(table["dataset"]))
    for one in pictures:
        for dataset in datasets:
            for subject in (one.stem.strip().split("_")[0], one.parent.name):
                by_key.setdefault(clip_key(dataset, subject, one.stem), one)
    places, problems, used = [], [], set()
    flows: list[np.ndarray] = []
    path: Path | None
    for place, (row, key) in enumerate(zip(table.to_dict("records"), keys_of(table), strict=True)):
        named = name_key(re.sub(r"\.png$", "", row["image"], flags=re.IGNORECASE))
        path = by_name.get(named, by_key.get(key)) if named else by_key.get(key)
        try:
            if path is None:
                raise ValueError("no picture")
            flow = _flow(read_image(path), pixels, size)
            if flows and flow.shape != flows[0].shape:
                raise ValueError(f"{flow.shape[1]}x{flow.shape[0]} px, the others are larger or smaller")
        except (UnreadableFrameError, ValueError) as error:
            problems.append((row["clip_id"], "flow", str(error), "left out"))
            continue
        used.add(path)
        places.append(place)
        flows.append(flow)
    if not places:
        raise ValueError(f"none of {len(table)} listed clips has one of the {len(pictures)} pictures below {root}")
    for one in pictures:
        if one not in used:
            problems.append((one.stem.strip(), "gt", "not in the list", "left out"))
    return places, flows, problems


def _with_codings(
    listed: pd.DataFrame, sources: list[CodingSource], alternatives: AlternativeRule
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The listed clips with what the codings say of them, and what was found."""
    if not sources:
        return listed.assign(emotion=listed["label"], action_units=""), problem_table([])
    keys = keys_of(listed)
    codings = [_coding(source, listed, keys, alternatives) for source in sources]
    problems = [index.problems.assign(kept=True) for index in codings]
    first: dict[str, tuple[str, dict[str, Any]]] = {}  # a clip's key to its coding and row
    taken = []
    for index in codings:
        name = str(index.source.get("spreadsheet", "an index"))
        new = []
        for key, row in zip(keys_of(index.table), index.table.to_dict("records"), strict=True):
            if key in first:
                problems.append(_differences(row, name, *reversed(first[key])))
            elif key in set(keys):
                first[key] = name, row
                new.append(row["clip_id"])
        taken.append(ClipIndex(index.table[index.table["clip_id"].isin(new)], index.problems, index.source))
    joined = join_indexes([index for index in taken if len(index)]).table
    joined = joined.drop(columns=[name for name in (*_OF_FRAMES, "label") if name in joined])
    joined.index = pd.Index(keys_of(joined))
    found = joined.reindex(keys).reset_index(drop=True)
    has_row = found["clip_id"].notna()
    for name in found.select_dtypes(exclude="number"):
        found[name] = found[name].fillna("")
    for name in ("clip_id", "dataset", "subject", "filename"):
        found[name] = found[name].where(has_row, listed[name])
    found["emotion"] = found["emotion"].where(has_row, listed["label"])
    numbers = joined.select_dtypes("integer").columns
    if has_row.all():
        found = found.astype(dict.fromkeys(numbers, np.int64))
    table = found.assign(label=listed["label"], image=listed["image"])
    rules = PROTOCOLS[PROTOCOL].rules
    classes = [
        rules.get(dataset, {}).get(canonical_emotion(emotion), "")
        for dataset, emotion in table[["dataset", "emotion"]].itertuples(index=False)
    ]
    problems.append(changed_classes(table.assign(label=classes), table["label"], name="the list"))
    without = table.loc[~has_row, "clip_id"]
    problems.append(
        problem_table([(name, "coding", "in none of the codings", "kept without AUs and frames") for name in without])
    )
    return table, pd.concat([part for part in problems if len(part)] or problems[:1], ignore_index=True)


def _coding(source: CodingSource, listed: pd.DataFrame, keys: pd.Series, alternatives: AlternativeRule) -> ClipIndex:
    """A coding as an index, from whatever was given; of a spreadsheet the data set that has most of the clips."""
    if isinstance(source, ClipIndex):
        return _checked(source, "the index", keys)
    if isinstance(source, pd.DataFrame):
        return _checked(ClipIndex(source), "the table", keys)
    path = Path(source).expanduser()
    if not Path(str(path).partition("#")[0]).is_file():
        raise FileNotFoundError(f"no spreadsheet at {path}")
    datasets = [layout for name, layout in LAYOUTS.items() if name in set(listed["dataset"])]
    fitting, why = [], []
    for layout in datasets:
        try:
            index = read_layout(
                layout, path.parent, spreadsheet=path, frames=None, alternatives=alternatives,
                camera="hs" if layout.cameras else None,
            )  # fmt: skip
        except ValueError as error:
            why.append(str(error))
        else:
            fitting.append((int(keys_of(index.table).isin(keys).sum()), layout, index))
    if not fitting:
        raise ValueError(f"{path.name} is no spreadsheet of the pack's data sets: {'; '.join(why)}")
    shared, layout, index = max(fitting, key=lambda one: one[0])
    clips = int((listed["dataset"] == layout.dataset).sum())
    if shared < LEAST_SHARED * min(len(index), clips):  # names of data sets that are not in the pack agree by chance
        titles = ", ".join(layout.title for layout in datasets)
        raise ValueError(
            f"{path.name} has {shared} of the pack's clips in {len(index)} rows, so it is a spreadsheet of none of "
            f"{titles}"
        )
    return _checked(index, path.name, keys)


def _checked(index: ClipIndex, name: str, keys: pd.Series) -> ClipIndex:
    lacking = [column for column in ("emotion", "action_units") if column not in index.table]
    if lacking:
        raise ValueError(f"{name} lacks {', '.join(lacking)}; a coding has both")
    if not keys_of(index.table).isin(keys).any():
        raise ValueError(f"none of {len(index)} clips of {name} is among the {len(keys)} clips of the pack")
    return index


def _differences(row: dict[str, Any], name: str, counted: dict[str, Any], first: str) -> pd.DataFrame:
    """A row of problems for each thing that a second coding says differently of a clip."""
    return problem_table(
        [
            (counted["clip_id"], field, f"{row[field]} in {name}, {counted[field]} in {first}", f"{first} is taken")
            for field in ("onset", "apex", "offset", "emotion", "action_units")
            if field in row and field in counted and str(row[field]) != str(counted[field])
        ]
    )


def _flow(picture: np.ndarray, pixels: float, size: int | None) -> np.ndarray:
    if picture.shape[0] != picture.shape[1]:
        raise ValueError(f"{picture.shape[1]}x{picture.shape[0]} px is not square")
    values = picture.astype(np.float32)
    motion = (values[..., :2] - MIDDLE) / MIDDLE * np.float32(pixels)
    flow = np.concatenate([motion, values[..., 2:] / 255.0], axis=-1)
    if size is None or size == len(flow):
        return flow
    return cv2.resize(flow, (size, size), interpolation=cv2.INTER_AREA if size < len(flow) else cv2.INTER_LINEAR)
