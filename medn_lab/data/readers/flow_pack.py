"""Flow packs: the 442 PNGs of 28x28 that circulate instead of frames, ``u, v, optical strain`` scaled to 0-255."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from medn_lab.data.frames import UnreadableFrameError, read_image, stays_within
from medn_lab.data.opencv import cv2
from medn_lab.data.protocols import PROTOCOLS
from medn_lab.data.readers.folders import name_key
from medn_lab.records import PROBLEM_COLUMNS, Clips

CLASSES = PROTOCOLS["megc2019"].classes
MIDDLE = 127.5
"""The byte that stands for no motion, where each channel was scaled around its middle."""

_HEADER = {"dataset": "dataset", "sub": "subject", "filename_o": "filename", "label": "label", "imagename": "image"}


def clip_key(dataset: str, subject: str, filename: str) -> tuple[str, str]:
    """A clip's name without case, zeros and the subject in front: what list, file and folder names have in common.

    Examples
    --------
    >>> clip_key("smic", "s01", "s01_s1_ne_01") == clip_key("SMIC", "1", "s1_ne_01")
    True
    """
    digits = re.findall(r"\d+", subject)
    person = str(int(digits[-1])) if digits else subject.lower()
    parts = name_key(filename.removesuffix(".png").strip()).split("_")
    while len(parts) > 1 and re.fullmatch(rf"(?:sub|s)?{re.escape(person)}", parts[0]):
        parts = parts[1:]
    return f"{dataset.lower()}/{person}", "_".join(parts)


def read_list(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The clips of either list that goes with flow packs.

    Parameters
    ----------
    path : path-like
        ``combined_3class_gt.csv`` (no header: ``casme2,sub01,EP02_01f,1``) or the list with a header
        (``dataset,sub,filename_o,label,apex,imagename,sub_filename``).

    Returns
    -------
    DataFrame
        ``dataset, subject, filename, label`` (the class's name), ``image`` (``""`` where the list has none), ``key``.

    Raises
    ------
    ValueError
        If it is neither list, or a class is not 0, 1 or 2.
    """
    try:
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False).fillna("").map(str.strip)
    except (ValueError, OverflowError) as error:  # of pandas: empty, not text, rows of different length
        raise ValueError(f"{Path(path).name} is no list of a flow pack: it cannot be read ({error})") from error
    if set(_HEADER) - {"imagename"} <= set(cells.iloc[0]):
        table = cells.iloc[1:].set_axis(cells.iloc[0].tolist(), axis=1)[[n for n in _HEADER if n in set(cells.iloc[0])]]
        table = table.rename(columns=_HEADER)
    elif cells.shape[1] == 4:
        table = cells.set_axis(["dataset", "subject", "filename", "label"], axis=1)
    else:
        raise ValueError(
            f"{Path(path).name} is no list of a flow pack: it has neither four columns (dataset, subject, clip, class) "
            f"nor a header with {', '.join(_HEADER)}"
        )
    wrong = table.loc[~table["label"].isin(["0", "1", "2"]), "label"]
    if len(wrong):
        raise ValueError(
            f"{Path(path).name} has a class {wrong.iloc[0]!r}; classes are 0, 1 and 2 ({', '.join(CLASSES)})"
        )
    table = table.assign(
        dataset=table["dataset"].str.lower(),
        label=table["label"].map(lambda number: CLASSES[int(number)]),
        image=table.get("image", ""),
    ).reset_index(drop=True)
    keys = [clip_key(*row) for row in table[["dataset", "subject", "filename"]].itertuples(index=False)]
    return table.assign(key=pd.Series(keys, dtype=object))


def read_flow_pack(
    root: str | os.PathLike[str],
    *,
    gt: str | os.PathLike[str] | None = None,
    pixels: float = 1.0,
    size: int | None = None,
) -> Clips:
    """A circulating flow pack as clips without frames: the motion branch's input alone.

    Each PNG holds the flow onset to apex of one clip of the MEGC 2019 composite, its channels ``u, v, optical strain``
    each scaled to 0-255; the scale is not in the pack. Here 127.5 becomes no motion and 0 and 255 become ``-pixels``
    and ``pixels``; strain becomes 0 to 1.

    Parameters
    ----------
    root : path-like
        A folder with the PNGs in it or below, and the list.
    gt : path-like, optional
        The list, where several ``.csv`` are there or it lies elsewhere.
    pixels : float
        What the largest byte shall mean.
    size : int, optional
        Enlarge or shrink to this side for a network that does not take 28 px; the values stay.

    Returns
    -------
    Clips
        ``frames`` None, ``flow (n, 28, 28, 3)``, a table with ``dataset, subject, filename, label``; rows of the list
        without a picture and pictures outside the list are in ``problems``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no list fits, or no picture.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_flow_pack
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_flow_pack(drawn, root)
    ...     clips = read_flow_pack(root)
    >>> clips.flow.shape, clips.frames
    ((1, 28, 28, 3), None)
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder in which the flow pack was unpacked")
    listed = _find_list(root) if gt is None else read_list(gt)
    pictures = sorted(p for p in root.rglob("*") if p.suffix.lower() == ".png" and stays_within(p, root))
    people = {key[0] for key in listed["key"]}
    by_key: dict[tuple[str, str], Path] = {}
    by_name = {name_key(path.stem): path for path in pictures}
    for one in pictures:
        for key in _keys_of(one, people):
            by_key.setdefault(key, one)
    rows, problems, used = [], [], set()
    flows: list[np.ndarray] = []
    for row in listed.to_dict("records"):
        clip_id = f"{row['dataset']}/{row['subject']}/{row['filename']}"
        image = name_key(row["image"].removesuffix(".png")) if row["image"] else None
        path = by_name.get(image, by_key.get(row["key"])) if image else by_key.get(row["key"])
        told = "no picture"
        try:
            picture = None if path is None else _flow(read_image(path), pixels, size)
        except (UnreadableFrameError, ValueError) as error:
            picture, told = None, str(error)
        if picture is None or (flows and picture.shape != flows[0].shape):
            told = (
                told
                if picture is None
                else f"{picture.shape[1]}x{picture.shape[0]} px, the others are larger or smaller"
            )
            problems.append({"clip_id": clip_id, "field": "flow", "found": told, "done": "left out", "kept": False})
            continue
        used.add(path)
        flows.append(picture)
        rows.append({"clip_id": clip_id, **{name: row[name] for name in ("dataset", "subject", "filename", "label")}})
    for path in pictures:
        if path not in used:
            found = {"clip_id": path.stem.strip(), "field": "gt", "found": "not in the list"}
            problems.append({**found, "done": "left out", "kept": False})
    if not rows:
        raise ValueError(f"none of {len(listed)} listed clips has one of the {len(pictures)} pictures below {root}")
    return Clips(
        frames=None,
        flow=np.stack(flows),
        table=pd.DataFrame(rows).assign(emotion=lambda table: table["label"], action_units=""),
        recipe={"name": "flow pack", "coding": "uv_strain", "size": int(flows[0].shape[0]), "pixels": float(pixels)},
        problems=pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)).astype({"kept": bool}),
    )


def _find_list(root: Path) -> pd.DataFrame:
    found, why = {}, []
    for path in sorted(root.rglob("*.csv")):
        try:
            found[path] = read_list(path)
        except ValueError as error:
            why.append(str(error))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{len(found)} lists fit: {', '.join(path.name for path in found)}; say which with gt=")
    raise ValueError(f"no list of clips below {root} ({'; '.join(why) or 'there is no .csv'}); give it with gt=")


def _keys_of(path: Path, people: set[str]) -> list[tuple[str, str]]:
    """The clips that a file's name may mean: ``sub01_EP02_01f .png`` names a subject but no data set."""
    stem = path.stem.strip()
    subject = stem.split("_")[0]
    return [key for one in people for key in [clip_key(one.split("/")[0], subject, stem)] if key[0] == one]


def _flow(picture: np.ndarray, pixels: float, size: int | None) -> np.ndarray:
    if picture.shape[0] != picture.shape[1]:
        raise ValueError(f"{picture.shape[1]}x{picture.shape[0]} px is not square")
    values = picture.astype(np.float32)
    motion = (values[..., :2] - MIDDLE) / MIDDLE * np.float32(pixels)
    flow = np.concatenate([motion, values[..., 2:] / 255.0], axis=-1)
    if size is None or size == len(flow):
        return flow
    return cv2.resize(flow, (size, size), interpolation=cv2.INTER_AREA if size < len(flow) else cv2.INTER_LINEAR)
