"""SynthME as a flow pack, the form in which the field's data circulates without frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from medn_lab.data.flow import code_flow
from medn_lab.data.index import reader_id
from medn_lab.data.layouts import CASME2, SAMM, SMIC, Layout
from medn_lab.data.protocols import PROTOCOLS, to_classes
from medn_lab.records import Clips

SIDE = 28
_LAYOUTS = (CASME2, SAMM, SMIC)
_FOLDER_SUBJECT = {"casme2": "sub{}", "samm": "{}", "smic": "s{:0>2}"}


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
        layout = _LAYOUTS[order % len(_LAYOUTS)]
        number = order // len(_LAYOUTS) + 1
        for count, row in enumerate(own.to_dict("records")):
            names = _names(layout, number, count + 1, row["label"])
            flow = clips.flow[place[row["clip_id"]]][..., :2]
            picture = _scaled(code_flow(np.asarray(flow), coding="uv_strain", size=SIDE))
            _, content = cv2.imencode(".png", picture[..., ::-1])  # u, v, strain in the order of red, green, blue
            (root / names["image"]).write_bytes(content.tobytes())
            rows.append({"source": row["clip_id"], "label": row["label"], **names})
    table = pd.DataFrame(rows)
    table["class"] = table["label"].map({name: i for i, name in enumerate(PROTOCOLS["megc2019"].classes)})
    if listing in ("official", "both"):
        columns = ["dataset", "subject", "filename", "class"]
        table[columns].to_csv(root / "combined_3class_gt.csv", header=False, index=False, lineterminator="\r\n")
    if listing in ("named", "both"):
        named = table.rename(columns={"subject": "sub", "filename": "filename_o", "image": "imagename"})
        named = named.drop(columns="label").rename(columns={"class": "label"}).assign(apex=0)
        named["sub_filename"] = named["sub"] + "_" + named["filename_o"]
        columns = ["dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename"]
        named[columns].to_csv(root / "all_442_list.csv", index=False)
    names = table[["dataset", "subject", "filename"]].itertuples(index=False)
    written_as = [reader_id(*name) for name in names]
    return pd.DataFrame({"clip_id": table["source"], "written_as": written_as, "label": table["label"]})


def _names(layout: Layout, number: int, count: int, label: str) -> dict[str, str]:
    """A clip's names in list and file."""
    subject = layout.subject.format(number=number)
    short = {"positive": "po", "negative": "ne", "surprise": "sur"}[label]
    filename = layout.clip.format(subject=subject, number=count, short=short)
    folder = _FOLDER_SUBJECT[layout.dataset].format(subject)
    if layout.dataset == "smic":
        listed, filed = f"{folder}_{filename}", f"{folder}_{folder}_{filename.partition('_')[2]}"
        return {"dataset": "smic", "subject": folder, "filename": listed, "image": f"{filed} .png"}
    image = f"{folder}_{filename} .png" if layout.dataset == "casme2" else f"{filename} .png"
    return {"dataset": layout.dataset, "subject": folder, "filename": filename, "image": image}


def _scaled(flow: np.ndarray) -> np.ndarray:
    """Each channel from 0 to 255, from its smallest value to its largest; 0 where it has one value."""
    low, high = flow.min(axis=(0, 1)), flow.max(axis=(0, 1))
    return np.rint(255 * (flow - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
