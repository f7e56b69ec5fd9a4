"""Widgets as one file that opens from disk, offline and without a kernel."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd

from medn_lab.records import Predictions
from medn_lab.view.rows import au_set_names, label_column
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import SHEET, clip_heading, score_rows

_HERE = Path(__file__).parent
_TABLE: dict[str, Any] = {"index": False, "border": 0, "na_rep": "–", "float_format": "{:.3f}".format}


def write_clips(
    path: str | os.PathLike[str], items: Sequence[tuple[str, Sequence[str]]], *, table: pd.DataFrame, **options: Any
) -> Path:
    """Write a list as one file, with the options of :func:`write_page`.

    Parameters
    ----------
    path : path-like
    items : sequence of (str, sequence of str)
        A line of text each, and the ids of the one or two clips that it plays.
    table : DataFrame
        A row a clip.
    **options
    """
    at = {str(clip_id): row for row, clip_id in enumerate(table["clip_id"])}
    listed = [{"text": text, "rows": [at[one] for one in clip_ids]} for text, clip_ids in items]
    return write_page(path, {"items": listed}, table=table, **options)


def write_page(
    path: str | os.PathLike[str],
    data: dict[str, Any],
    *,
    table: pd.DataFrame,
    view: ClipView,
    title: str,
    about: str,
    faces: bool,
    most_megabytes: float,
    predictions: Predictions | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    caution: str = "",
) -> Path:
    """Write a page that plays clips.

    Parameters
    ----------
    path : path-like
    data : dict
        What ``page.js`` draws next to the clips: ``maps`` or ``items``, and what belongs to them.
    table : DataFrame
        A row a clip.
    view : ClipView
        It packs the clips; its overlays are those of the page.
    title, about : str
        The heading, and the line on data set, model and versions.
    faces : bool
        Whether the pictures of the faces are in the file.
    most_megabytes : float
        Above this size fewer clips have pictures, and the file says how many.
    predictions : Predictions or None
    tables : mapping of str to DataFrame, optional
        By their headings.
    caution : str
        A sentence at the end.
    """
    from jinja2 import Environment, FileSystemLoader

    clips, size = _clips(table, view, predictions=predictions, most_bytes=most_megabytes * 1e6 if faces else 0)
    data |= {"view": state_of(view) | {"faces": [], "notes": [], "moments": [], "frame": 0}, "clips": clips}
    text = json.dumps(data, default=_as_json, separators=(",", ":"))
    count = sum(one["face"] is not None for one in clips)
    kept = f"The pictures of {count} of {len(table)} clips are in this file ({size / 1e6:.1f} MB before compression)."
    maps = "maps" in data
    modules = {"ClipView": "clip_view.js", **({"BranchMaps": "branch_maps.js"} if maps else {})}
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True)
    page = environment.get_template("page.html").render(
        title=title, about=about, caution=caution, maps=maps,
        kept=kept if faces else "No pictures of faces are in this file.",
        style="\n".join([SHEET, *map(_source, ("branch_maps.css", "clip_view.css", "page.css"))]),
        script="\n".join([*(_module(name, file) for name, file in modules.items()), _source("page.js")]),
        data=base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode(),
        tables=[(name, one.to_html(**_TABLE)) for name, one in (tables or {}).items()],
    )  # fmt: skip
    target = Path(path)
    target.write_text(page, encoding="utf-8")
    return target


def _source(file: str) -> str:
    return (_HERE / file).read_text(encoding="utf-8")


def _module(name: str, file: str) -> str:
    """A component's source as a function that returns it."""
    source = _source(file).replace("export default { render };", "return { render };")
    return f"const {name} = (() => {{\n{source}\n}})();"


def state_of(widget: anywidget.AnyWidget) -> dict[str, Any]:
    """The synced traits of a component, without its code."""
    own = [name for name, one in widget.traits(sync=True).items() if one.this_class.__module__.startswith(__package__)]
    return {name: getattr(widget, name) for name in own if name not in ("_esm", "_css")}


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written into the page")


def _clips(
    table: pd.DataFrame, view: ClipView, *, predictions: Predictions | None, most_bytes: float
) -> tuple[list[dict[str, Any]], int]:
    """What the page holds of each clip, with what plays as long as there is room, and the bytes of what plays."""
    column, clips, written = label_column(table), [], 0
    about = pd.DataFrame({"id": table["clip_id"], "subject": table.get("subject", ""), "aus": au_set_names(table)})
    about["label"] = table[column].astype(object).where(table[column].notna(), "unknown") if column else "unknown"
    for row, own in enumerate(about.astype(str).to_dict("records")):
        played = view.packed(own["id"]) if written < most_bytes else None
        size = len(json.dumps(played, default=_as_json)) if played else 0
        if written + size > most_bytes:
            played, size = None, 0
        written += size
        card = clip_heading(table.iloc[row]) + (score_rows(predictions, own["id"]) if predictions is not None else "")
        clips.append({**own, "card": card, "face": None, "moments": [], "interval": 20.0, **(played or {})})
    return clips, written
