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
_VIEW_AFRESH: dict[str, Any] = {"faces": [], "notes": [], "moments": [], "frame": 0}


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

    packed, size = _packed(view, table["clip_id"], most_bytes=most_megabytes * 1e6 if faces else 0)
    data |= {"view": state_of(view) | _VIEW_AFRESH, "clips": _clips(table, packed, predictions=predictions)}
    text = json.dumps(data, default=_as_json, separators=(",", ":"))
    count = sum(one is not None for one in packed)
    kept = f"The pictures of {count} of {len(table)} clips are in this file ({size / 1e6:.1f} MB before packing)."
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


def _packed(view: ClipView, clip_ids: pd.Series, *, most_bytes: float) -> tuple[list[dict[str, Any] | None], int]:
    """What plays of each clip, as long as there is room, and the bytes of it."""
    found: list[dict[str, Any] | None] = []
    written = 0
    for clip_id in clip_ids:
        played = view.packed(str(clip_id)) if written < most_bytes else None
        size = 0 if played is None else len(json.dumps(played, default=_as_json))
        found.append(played if written + size <= most_bytes else None)
        written += size if found[-1] is not None else 0
    return found, written


def _clips(
    table: pd.DataFrame, packed: list[dict[str, Any] | None], *, predictions: Predictions | None
) -> list[dict[str, Any]]:
    """What the page holds of each clip."""
    column, sets = label_column(table), au_set_names(table)
    labels = (
        table[column].astype(object).where(table[column].notna(), "unknown") if column else ["unknown"] * len(table)
    )
    subjects = table.get("subject", pd.Series("", index=table.index))
    ids = table["clip_id"].astype(str)
    return [
        {
            "id": ids.iloc[row], "subject": str(subjects.iloc[row]), "aus": str(sets[row]), "label": label,
            "card": clip_heading(table.iloc[row])
            + ("" if predictions is None else score_rows(predictions, ids.iloc[row])),
            "face": None, "moments": [], "interval": 20.0, **(played or {}),
        }
        for row, (label, played) in enumerate(zip(labels, packed, strict=True))
    ]  # fmt: skip
