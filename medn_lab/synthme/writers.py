"""SynthME on the disk in the official layouts, faults of the real files included, and as a flow pack.

With it everything that is done with licensed data can be run before the licence arrives; readers and ``prepare`` must
handle the faults and list them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from medn_lab.data.crop import FaceBox, crop_face, find_face
from medn_lab.data.flow import code_flow
from medn_lab.data.index import reader_id
from medn_lab.data.layouts import LAYOUTS, Coding, FrameTree, LayoutName
from medn_lab.data.protocols import PROTOCOLS, to_classes
from medn_lab.records import Clips
from medn_lab.records.table import one_of
from medn_lab.synthme.actions import check_range
from medn_lab.synthme.corpus import render_frames
from medn_lab.synthme.identity import read_table

# Data sets whose AUs have their side in front; SAMM's have an intensity behind as well.
WITH_SIDES = ("casme2", "samm", "casme3")

# CASME II's objective classes, by AU alone; other sets of AUs are VII.
OBJECTIVE_CLASSES = {"I": {6, 12}, "II": {1, 2, 5, 25}, "III": {4, 7, 23}, "IV": {9, 10}, "V": {15, 17, 14}}

# Emotions in the names of SMIC's clips.
SHORT = {"positive": "po", "negative": "ne", "surprise": "sur"}

# Data sets of a flow pack: a subject's name, a clip's name in the list, and the name of its picture.
PACK = {
    "casme2": ("sub{subject}", "{clip}", "{folder}_{clip} .png"),
    "samm": ("{subject}", "{clip}", "{clip} .png"),
    "smic": ("s{subject:0>2}", "{folder}_{clip}", "{folder}_{folder}_{rest} .png"),
}


# One clip as it is written: `source` (SynthME's id), `numbers` (for each written frame the one drawn for it),
# `fault`, and what the spreadsheet holds.
Written = dict[str, Any]

_FULL_WIDTH = str.maketrans("0123456789LR+", "０１２３４５６７８９ＬＲ，")


def write_dataset(
    clips: Clips, root: str | os.PathLike[str], *, layout: LayoutName = "casme2", coding: str | None = None,
    tree: Literal["cropped", "raw"] | None = None, size: int | None = None, fps: float | None = None,
    frames: bool = True, faults: bool | Sequence[str] = False,
) -> pd.DataFrame:  # fmt: skip
    """Write SynthME clips as frame folders and a spreadsheet with the official names and columns.

    Every frame from onset to offset is drawn again at `size`, as PNG, which keeps the faint colour cue untouched.
    Subjects and clips get names in the data set's manner; emotions that it lacks get the nearest that it has.

    Parameters
    ----------
    clips : Clips
        From :func:`synthetic_clips`.
    root : path-like
        The folder to write into; made if missing. Files of the same names are replaced.
    layout : str
        A name in ``LAYOUTS``: casme2, samm, smic, casme3, mmew, 4dme, casme, dfme.
    coding : str, optional
        Which spreadsheet, for CASME II ``casme2_2014`` or ``casme2_2019``. By default the layout's first.
    tree : {"cropped", "raw"}, optional
        Which arrangement of folders; by default the layout's first.
    size : int, optional
        Side of the pictures in pixels, by default twice the clips' own but at most 256. Cropped frames are the face's
        part of such a picture, about two thirds of its side.
    fps : float, optional
        Frames a second of what is written, at least 1; by default the data set's own. Fewer make a smaller set.
    frames : bool
        Whether to write the frames, or only the spreadsheet (for a second coding).
    faults : bool or sequence of str
        Plant the faults that the real files have, one a clip: all those that apply, or those named, as
        ``medn_lab/synthme/faults.csv`` lists them; its ways to write AUs are planted only where they are named.

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
    found = LAYOUTS[one_of(layout, LAYOUTS, "layout")]
    codings, trees = {part.name: part for part in found.codings}, {part.name: part for part in found.trees}
    sheet = codings[one_of(coding or found.codings[0].name, codings, f"coding of {found.title}")]
    arrangement = trees[one_of(tree or found.trees[0].name, trees, f"tree of {found.title}")]
    own = float(clips.table["fps"].iloc[0])
    rate = min(found.fps, own) if fps is None else float(fps)
    check_range(1, own, fps=rate)
    kinds = read_table("faults")
    kinds = kinds[kinds["needs"].map({
        "": True, "apex": found.has_apex, "aus": found.has_aus, "folder": "onset" not in found.key,
        "onset": "onset" not in found.key, "zeros": found.subject != "{number}",
    })]  # fmt: skip
    written = _written_clips(clips, layout, rate)
    named = kinds.index[kinds["by_default"] & faults] if isinstance(faults, bool) else faults
    planted = [one_of(fault, kinds.index, f"a fault of {found.title}") for fault in named]
    if len(planted) > len(written) and not isinstance(faults, bool):
        raise ValueError(f"{len(planted)} faults need as many clips, there are {len(written)}")
    for one, fault in zip(written, planted, strict=False):
        one["fault"] = fault
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    _write_sheet(root, written, sheet, closing=bool(faults) or layout == "smic")
    drawn = min(256, 2 * clips.size[0]) if size is None else int(size)
    for one in written if frames else []:
        pictures = list(render_frames(clips, one["source"], list(one["numbers"].values()), size=drawn))
        _write_frames(one, pictures, root, arrangement)
    table = pd.DataFrame(written).rename(columns={"source": "clip_id"})
    table["written_as"] = ["/".join([layout, *(str(one[name]) for name in found.key)]) for one in written]
    return table[["clip_id", "written_as", "emotion", "action_units", "onset", "apex", "offset", "fault"]]


def _written_clips(clips: Clips, name: LayoutName, rate: float) -> list[Written]:
    """The clips under a data set's names, at `rate` frames a second."""
    layout, table = LAYOUTS[name], clips.table.assign(coded=clips.table["action_units"])
    if name == "samm" and clips.truth is not None:
        table["coded"] = table["clip_id"].map(clips.truth.table.set_index("clip_id")["intensities"])
    if name == "smic":  # has no class for others
        table = table[table["emotion"] != "others"]
    own_names = read_table("emotion_names").get(name, {})  # so that the data set's protocols find their classes
    written = []
    for order, (_, own) in enumerate(table.groupby("subject", sort=True)):
        subject, after = layout.subject.format(number=order + 1), 0
        for place, row in enumerate(own.to_dict("records")):
            emotion = own_names.get(row["emotion"]) or row["emotion"]
            # In a folder that holds a whole recording two clips follow each other, so its name is not unique.
            recording = place // 2 if "onset" in layout.key else place
            letter = chr(ord("a") + recording) if recording < 26 else f"z{recording}"
            parts = {"subject": subject, "number": recording + 1, "letter": letter, "short": SHORT.get(emotion, "")}
            side = {"left": "L", "right": "R"}.get(row["side"], "") if name in WITH_SIDES else ""
            units = {int(unit) for unit in row["action_units"].split("+")}

            step = row["fps"] / rate
            onset = after + 5 if "onset" in layout.key and place % 2 else round(row["onset"] / step) + 1
            apex = onset + max(1, round((row["apex"] - row["onset"]) / step))
            after = offset = max(apex + 1, onset + round((row["offset"] - row["onset"]) / step))
            counts = range(offset - onset + 1)
            numbers = {onset + k: min(row["offset"], round(row["onset"] + k * step)) for k in counts}
            written.append({
                "source": row["clip_id"], "numbers": numbers | {apex: row["apex"]}, "fault": "",
                "onset": onset, "apex": apex, "offset": offset, "subject": subject,
                "filename": layout.clip.format(**parts) + ("f" if name == "casme2" and place % 3 == 0 else ""),
                "emotion": emotion, "action_units": "+".join(f"{side}{unit}" for unit in row["coded"].split("+")),
                "objective_class": next((part for part, aus in OBJECTIVE_CLASSES.items() if units <= aus), "VII"),
                "fps": f"{rate:g}",
            })  # fmt: skip
    return written


def _write_sheet(root: Path, written: Sequence[Written], coding: Coding, *, closing: bool) -> None:
    notes: list[list[str | None]] = [[f"Note {line + 1} of the authors"] for line in range(coding.preamble)]
    lines = [*notes, [header or None for header, _ in coding.columns]]
    for one in written:
        row = {name: str(value) for name, value in one.items()}
        bare = re.sub("[LR]", "", one["action_units"]).split("+")
        known = row | {
            "late": str(one["offset"] + 9), "early": str(max(0, one["onset"] - 1000)),
            "wide": one["action_units"].translate(_FULL_WIDTH), "capitals": one["emotion"].upper(),
            "unpadded": one["subject"].lower().lstrip("0"),
            "left": "+".join(f"L{unit}" for unit in bare), "right": "+".join(f"R{unit}" for unit in bare),
        }  # fmt: skip
        if one["fault"]:
            field, text = read_table("faults").loc[one["fault"], ["field", "text"]]
            row[field] = text.format(**known)
        line = [row.get(field) if field else None for _, field in coding.columns]
        lines += [line] * (2 if one["fault"] == "row_twice" else 1)
    lines += [[text] for text in coding.closing if closing]
    path = root / coding.filename
    if path.suffix == ".csv":
        pd.DataFrame(lines).to_csv(path, header=False, index=False, lineterminator="\r\n")
        return
    from openpyxl import Workbook

    book = Workbook()
    for line in lines:
        # A number as a number, but for those that a zero begins: subject 01 is text in the official files too.
        book.active.append([int(v) if v is not None and re.fullmatch("0|[1-9][0-9]*", v) else v for v in line])
    book.save(path)


def _write_frames(one: Written, pictures: Sequence[np.ndarray], root: Path, tree: FrameTree) -> None:
    """Write a clip's frames, with its fault."""
    if tree.name == "cropped":
        try:
            box = find_face(pictures[0])
        except ValueError:  # one drawn face in a hundred; they all look straight ahead from the middle of the picture
            side = len(pictures[0])
            box = FaceBox(0.19 * side, 0.19 * side, 0.62 * side)
        pictures = [crop_face(picture, box=box) for picture in pictures]
    fault, folder = one["fault"], root / tree.folder.format(**one)
    paths = {n: (folder / tree.frame.format(number=n, **one)).with_suffix(".png") for n in one["numbers"]}
    folder.mkdir(parents=True, exist_ok=True)
    for (number, path), picture in zip(paths.items(), pictures, strict=True):
        if fault == "frame_resized" and number == one["apex"]:
            picture = cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0]))
        content = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        cut = len(content) // 2 if fault == "frame_truncated" and number == one["apex"] else None
        path.write_bytes(content[:cut])
    lost = {"frames_missing": slice(2, None, 5), "frames_mostly_missing": slice(len(paths) // 4, None)}
    for path in list(paths.values())[lost.get(fault, slice(0))]:
        path.unlink()
    if fault == "folder_missing":
        shutil.rmtree(folder)
    elif fault == "folder_renamed":  # another case, and one more zero before the last number
        other = re.sub(r"(\d+)(?=\D*$)", lambda found: f"0{found[1]}", folder.name.upper())
        folder.rename(folder.with_name(other))


def write_flow_pack(clips: Clips, root: str | os.PathLike[str], *, named: bool = False) -> pd.DataFrame:
    """Write SynthME's flow as 28x28 PNGs of ``u, v, optical strain`` with a list, quirks included.

    Subjects are dealt out to CASME II, SAMM and SMIC by turns, emotions joined to the three classes of MEGC 2019. Each
    channel of each clip runs from 0 to 255, from its smallest value to its largest, as in the packs that circulate.
    File names have a blank before the dot, and SMIC's differ between list and file.

    Parameters
    ----------
    clips : Clips
        With flow; clips whose emotion has no class are not written.
    root : path-like
        The folder to write into; made if missing.
    named : bool
        Whether to write ``all_442_list.csv``, the list with a header, besides ``combined_3class_gt.csv`` without one.

    Returns
    -------
    DataFrame
        One row a picture: ``clip_id`` (SynthME's), ``written_as`` (the id under which the reader finds it), ``label``.

    Raises
    ------
    ValueError
        If the clips have no flow, or no emotion has a class.

    See Also
    --------
    medn_lab.data.read_flow_pack : reads it back.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     written = write_flow_pack(clips, root)
    ...     there = sorted(path.name for path in Path(root).iterdir())
    >>> there, len(written)
    (['combined_3class_gt.csv', 'sub01_EP01_01 .png'], 1)
    """
    if clips.flow is None:
        raise ValueError("a flow pack needs clips with flow; these have frames alone")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    kept, _ = to_classes(clips.table, "megc2019")
    flows = np.asarray(clips.select(kept["clip_id"]).flow)[..., :2]
    order, count = pd.factorize(kept["subject"], sort=True)[0], kept.groupby("subject").cumcount()
    rows = []
    for row, flow, person, number in zip(kept.to_dict("records"), flows, order, count, strict=True):
        dataset = list(PACK)[person % len(PACK)]
        layout, (folder, listed, image) = LAYOUTS[dataset], PACK[dataset]
        subject = layout.subject.format(number=person // len(PACK) + 1)
        sub = folder.format(subject=subject)
        clip = layout.clip.format(subject=subject, number=number + 1, short=SHORT[row["label"]])
        parts = {"subject": subject, "clip": clip, "folder": sub, "rest": clip.partition("_")[2]}
        name, picture = listed.format(**parts), image.format(**parts)
        coded = code_flow(flow, coding="uv_strain", size=28)
        # Each channel from 0 to 255, from its smallest value to its largest; 0 where it has one value.
        low, high = coded.min(axis=(0, 1)), coded.max(axis=(0, 1))
        coded = np.rint(255 * (coded - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
        # u, v, strain as red, green, blue
        (root / picture).write_bytes(cv2.imencode(".png", coded[..., ::-1])[1].tobytes())
        label = PROTOCOLS["megc2019"].classes.index(row["label"])
        rows.append([dataset, sub, name, label, 0, picture, f"{sub}_{name}", row["clip_id"], row["label"]])
    columns = ["dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename"]
    table = pd.DataFrame(rows, columns=[*columns, "clip_id", "class"])
    table[columns[:4]].to_csv(root / "combined_3class_gt.csv", header=False, index=False, lineterminator="\r\n")
    if named:
        table[columns].to_csv(root / "all_442_list.csv", index=False)
    written_as = [reader_id(*name) for name in table[columns[:3]].itertuples(index=False)]
    return pd.DataFrame({"clip_id": table["clip_id"], "written_as": written_as, "label": table["class"]})
