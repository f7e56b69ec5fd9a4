"""SynthME on the disk in the official layouts, faults of the real files included, and as a flow pack.

Whatever is done with licensed data can so be run before the licence comes: readers and ``prepare`` must survive the
faults and account for them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from medn_lab.data.crop import FaceBox, crop_face, find_face
from medn_lab.data.flow import code_flow
from medn_lab.data.index import reader_id
from medn_lab.data.layouts import LAYOUTS, Coding, FrameTree, Layout, LayoutName
from medn_lab.data.protocols import PROTOCOLS, to_classes
from medn_lab.records import Clips
from medn_lab.synthme.actions import one_of
from medn_lab.synthme.corpus import render_frames
from medn_lab.synthme.script import EMOTIONS

EMOTIONS_OF: dict[str, dict[str, str]] = {
    "samm": dict(zip(EMOTIONS, ("Happiness", "Anger", "Contempt", "Surprise", "Other"), strict=True)),
    "smic": {"happiness": "positive", "disgust": "negative", "repression": "negative"},
    "casme3": {"happiness": "happy", "repression": "sad"},
    "mmew": {"repression": "sadness"},
    "dfme": {"repression": "sadness", "others": "anger"},
}
"""How SynthME's five emotions are called where a data set has others, so that its protocols find their classes."""

WITH_SIDES = ("casme2", "samm", "casme3")
"""Data sets whose AUs have their side in front; SAMM's have an intensity behind as well."""

OBJECTIVE_CLASSES = {"I": {6, 12}, "II": {1, 2, 5, 25}, "III": {4, 7, 23}, "IV": {9, 10}, "V": {15, 17, 14}}
"""CASME II's objective classes, by AU alone; other sets of AUs are VII."""

SHORT = {"positive": "po", "negative": "ne", "surprise": "sur"}
"""Emotions in the names of SMIC's clips."""

PACK = {
    "casme2": ("sub{subject}", "{clip}", "{folder}_{clip} .png"),
    "samm": ("{subject}", "{clip}", "{clip} .png"),
    "smic": ("s{subject:0>2}", "{folder}_{clip}", "{folder}_{folder}_{rest} .png"),
}
"""Data sets of a flow pack: a subject's name, a clip's name in the list, and the name of its picture."""


Written = dict[str, Any]
"""One clip on its way to the disk: `source` (SynthME's id), `numbers` (for each written frame the one drawn for it),
`fault`, and what the spreadsheet holds."""

_FULL_WIDTH = str.maketrans("0123456789LR+", "０１２３４５６７８９ＬＲ，")


@cache
def read_faults() -> pd.DataFrame:
    """``faults.csv``: what each fault means, which field of the sheet it spoils, and what the field then holds.

    A data set without what a fault ``needs`` cannot have it. Ways to write AUs have ``by_default`` False: they are
    planted only where they are named.
    """
    path = Path(__file__).with_name("faults.csv")
    return pd.read_csv(path, index_col="fault", keep_default_na=False, encoding="utf-8")


def write_dataset(
    clips: Clips,
    root: str | os.PathLike[str],
    *,
    layout: LayoutName = "casme2",
    coding: str | None = None,
    tree: Literal["cropped", "raw"] | None = None,
    size: int | None = None,
    fps: float | None = None,
    frames: bool = True,
    faults: bool | Sequence[str] = False,
    progress: bool = False,
) -> pd.DataFrame:
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
        Frames a second of what is written; by default the data set's own. Fewer make a smaller set.
    frames : bool
        Whether to write the frames, or only the spreadsheet (for a second coding).
    faults : bool or sequence of str
        Plant the faults that the real files have, one a clip: all those that apply, or those named, as
        ``medn_lab/synthme/faults.csv`` lists them; its ways to write AUs are planted only where they are named.
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
    found = LAYOUTS[one_of(layout, LAYOUTS, "layout")]
    codings, trees = {part.name: part for part in found.codings}, {part.name: part for part in found.trees}
    sheet = codings[one_of(coding or found.codings[0].name, codings, f"coding of {found.title}")]
    arrangement = trees[one_of(tree or found.trees[0].name, trees, f"tree of {found.title}")]
    own = float(clips.table["fps"].iloc[0])
    rate = min(found.fps, own) if fps is None else float(fps)
    if not 0 < rate <= own:
        raise ValueError(f"fps must be above 0 and at most {own:g}, not {rate}")
    written = _written_clips(clips, found, rate)
    for one, fault in zip(written, _planned_faults(faults, found, len(written)), strict=False):
        one["fault"] = fault
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    _write_sheet(root, written, sheet, closing=bool(faults) or layout == "smic")
    if frames:
        from tqdm.auto import tqdm

        drawn = min(256, 2 * clips.size[0]) if size is None else int(size)
        for one in tqdm(written, desc=f"write {found.title}", unit="clip", disable=not progress):
            pictures = list(render_frames(clips, one["source"], list(one["numbers"].values()), size=drawn))
            _write_frames(one, pictures, root, arrangement)
    table = pd.DataFrame(written).rename(columns={"source": "clip_id"})
    table["written_as"] = ["/".join([layout, *(str(one[name]) for name in found.key)]) for one in written]
    return table[["clip_id", "written_as", "emotion", "action_units", "onset", "apex", "offset", "fault"]]


def _written_clips(clips: Clips, layout: Layout, rate: float) -> list[Written]:
    """The clips under the data set's names, at its frame rate."""
    dataset, shared = layout.dataset, "onset" in layout.key
    table = clips.table.assign(coded=clips.table["action_units"])
    if dataset == "samm" and clips.truth is not None and "intensities" in clips.truth.table:
        table["coded"] = table["clip_id"].map(clips.truth.table.set_index("clip_id")["intensities"])
    if dataset == "smic":  # has no class for others
        table = table[table["emotion"] != "others"]
    if not len(table):
        raise ValueError(f"none of {len(clips)} clips has an emotion that {layout.title} knows")
    written = []
    for order, (_, own) in enumerate(table.groupby("subject", sort=True)):
        subject = layout.subject.format(number=order + 1)
        after = 0
        for place, row in enumerate(own.to_dict("records")):
            emotion = EMOTIONS_OF.get(dataset, {}).get(row["emotion"], row["emotion"])
            # In a folder that holds a whole recording two clips follow each other, so its name is not unique.
            recording = place // 2 if shared else place
            letter = chr(ord("a") + recording) if recording < 26 else f"z{recording}"
            filename = layout.clip.format(
                subject=subject, number=recording + 1, letter=letter, short=SHORT.get(emotion, "")
            )
            side = {"left": "L", "right": "R"}.get(row.get("side", "both"), "") if dataset in WITH_SIDES else ""
            units = {int(unit) for unit in row["action_units"].split("+") if unit}
            classes = [name for name, aus in OBJECTIVE_CLASSES.items() if units and units <= aus]

            step = row["fps"] / rate
            onset = after + 5 if shared and place % 2 else round(row["onset"] / step) + 1
            apex = onset + max(1, round((row["apex"] - row["onset"]) / step))
            after = offset = max(apex + 1, onset + round((row["offset"] - row["onset"]) / step))
            counts = range(offset - onset + 1)
            numbers = {onset + k: min(row["offset"], round(row["onset"] + k * step)) for k in counts}
            written.append({
                "source": row["clip_id"], "numbers": numbers | {apex: row["apex"]}, "fault": "",
                "onset": onset, "apex": apex, "offset": offset, "subject": subject,
                "filename": filename + ("f" if dataset == "casme2" and place % 3 == 0 else ""),
                "emotion": emotion, "action_units": "+".join(f"{side}{unit}" for unit in row["coded"].split("+")),
                "objective_class": classes[0] if classes else "VII", "fps": f"{rate:g}",
            })  # fmt: skip
    return written


def _planned_faults(faults: bool | Sequence[str], layout: Layout, count: int) -> list[str]:
    """The faults to plant, one a clip, in the order of the clips."""
    table = read_faults()
    has = {
        "": True, "apex": layout.has_apex, "aus": layout.has_aus, "folder": "onset" not in layout.key,
        "onset": "onset" not in layout.key, "zeros": layout.subject != "{number}",
    }  # fmt: skip
    impossible = [name for name, need in table["needs"].items() if not has[need]]
    if isinstance(faults, bool):
        return [name for name in table.index[table["by_default"] & faults] if name not in impossible]
    for name in faults:
        one_of(name, table.index, "fault")
        if name in impossible:
            raise ValueError(f"{name} cannot be planted in {layout.title}")
    if len(faults) > count:
        raise ValueError(f"{len(faults)} faults need as many clips, there are {count}")
    return list(faults)


def _write_sheet(root: Path, written: Sequence[Written], coding: Coding, *, closing: bool) -> None:
    lines: list[list[str | None]] = [[f"Note {line + 1} of the authors"] for line in range(coding.preamble)]
    lines.append([header or None for header, _ in coding.columns])
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
            spoilt = read_faults().loc[one["fault"]]
            row[spoilt["field"]] = spoilt["text"].format(**known)
        line = [row.get(field) if field else None for _, field in coding.columns]
        lines += [line] * (2 if one["fault"] == "row_twice" else 1)
    if closing:
        lines += [[text] for text in coding.closing]
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
    """A clip's frames, spoilt by its fault."""
    if tree.name == "cropped":
        try:
            box = find_face(pictures[0])
        except ValueError:  # one drawn face in a hundred; they all look straight ahead from the middle of the picture
            side = pictures[0].shape[0]
            box = FaceBox(0.19 * side, 0.19 * side, 0.62 * side)
        pictures = [crop_face(picture, box=box) for picture in pictures]
    fault, folder = one["fault"], root / tree.folder.format(**one)
    stem = tree.frame.rpartition(".")[0]
    paths = {number: folder / f"{stem.format(number=number, **one)}.png" for number in one["numbers"]}
    folder.mkdir(parents=True, exist_ok=True)
    for number, path, picture in zip(paths, paths.values(), pictures, strict=True):
        if fault == "frame_resized" and number == one["apex"]:
            picture = cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0]))
        _, content = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        path.write_bytes(content.tobytes())
    if fault == "frame_truncated":
        at_apex = paths[one["apex"]]
        at_apex.write_bytes(at_apex.read_bytes()[: at_apex.stat().st_size // 2])
    lost = {"frames_missing": slice(2, None, 5), "frames_mostly_missing": slice(len(paths) // 4, None)}
    for path in list(paths.values())[lost.get(fault, slice(0))]:
        path.unlink()
    if fault == "folder_missing":
        shutil.rmtree(folder)
    elif fault == "folder_renamed":  # another case, and one more zero before the last number
        other = re.sub(r"(\d+)(?=\D*$)", lambda found: f"0{found[1]}", folder.name.upper())
        folder.rename(folder.with_name(other))


def write_flow_pack(
    clips: Clips, root: str | os.PathLike[str], *, listing: Literal["official", "named", "both"] = "official"
) -> pd.DataFrame:
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
    listing : {"official", "named", "both"}
        ``combined_3class_gt.csv`` without a header, the list with one, or both.

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
    place = {name: row for row, name in enumerate(clips.table["clip_id"])}
    rows = []
    for order, (_, own) in enumerate(kept.groupby("subject", sort=True)):
        dataset = list(PACK)[order % len(PACK)]
        layout, (folder, listed, image) = LAYOUTS[dataset], PACK[dataset]
        subject = layout.subject.format(number=order // len(PACK) + 1)
        sub = folder.format(subject=subject)
        for count, row in enumerate(own.to_dict("records")):
            clip = layout.clip.format(subject=subject, number=count + 1, short=SHORT[row["label"]])
            parts = {"subject": subject, "clip": clip, "folder": sub, "rest": clip.partition("_")[2]}
            names = {"filename_o": listed.format(**parts), "imagename": image.format(**parts)}
            flow = np.asarray(clips.flow[place[row["clip_id"]]][..., :2])
            coded = code_flow(flow, coding="uv_strain", size=28)
            # Each channel from 0 to 255, from its smallest value to its largest; 0 where it has one value.
            low, high = coded.min(axis=(0, 1)), coded.max(axis=(0, 1))
            picture = np.rint(255 * (coded - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
            _, content = cv2.imencode(".png", picture[..., ::-1])  # u, v, strain as red, green, blue
            (root / names["imagename"]).write_bytes(content.tobytes())
            rows.append(
                {"clip_id": row["clip_id"], "class": row["label"], "apex": 0, "dataset": dataset, "sub": sub, **names}
            )
    table = pd.DataFrame(rows)
    table["sub_filename"] = table["sub"] + "_" + table["filename_o"]
    table["label"] = table["class"].map({name: i for i, name in enumerate(PROTOCOLS["megc2019"].classes)})
    if listing in ("official", "both"):
        official = table[["dataset", "sub", "filename_o", "label"]]
        official.to_csv(root / "combined_3class_gt.csv", header=False, index=False, lineterminator="\r\n")
    if listing in ("named", "both"):
        columns = ["dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename"]
        table[columns].to_csv(root / "all_442_list.csv", index=False)
    written_as = [reader_id(*name) for name in table[["dataset", "sub", "filename_o"]].itertuples(index=False)]
    return pd.DataFrame({"clip_id": table["clip_id"], "written_as": written_as, "label": table["class"]})
