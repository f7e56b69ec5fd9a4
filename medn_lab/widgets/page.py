"""Widgets as one file that opens from disk, offline and without a kernel."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import pandas as pd

from medn_lab.records import Predictions
from medn_lab.view import theme
from medn_lab.view.colouring import colouring
from medn_lab.view.rows import au_set_names, label_column
from medn_lab.widgets.branch_maps import categories
from medn_lab.widgets.cards import clip_heading, score_rows
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import SHEET
from medn_lab.widgets.partners import all_partners

if TYPE_CHECKING:
    from medn_lab.widgets.explorer import BranchExplorer

_HERE = Path(__file__).parent
_PAGE = """
body { max-width: 1400px; margin: 16px auto; padding: 0 16px; background: #fff; color: #222; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 16px; } .controls { display: flex; flex-wrap: wrap; gap: 4px 18px; }
.pair { display: flex; flex-wrap: wrap; gap: 16px; min-height: 320px; }
.pair > div { flex: 1 1 240px; } .pair > div:nth-child(2) { flex: 0 0 420px; }
table { border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 8px; text-align: right; border-bottom: 1px solid #8884; }
#items { width: 100%; font: 12.5px monospace; margin-bottom: 8px; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; --jp-ui-font-color1: #ddd;
  --jp-ui-font-color2: #aaa; --jp-layout-color1: #1b1b1b; --jp-layout-color2: #333; } }
"""
_NOT_SENT = {"_esm", "_css", "faces", "notes", "moments", "frame", "rings", "lit", "hidden"}
_EMPTY: dict[str, Any] = {"faces": [], "notes": [], "moments": [], "frame": 0, "rings": [], "lit": b"", "hidden": []}


def write_explorer(
    explorer: BranchExplorer,
    path: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    view: ClipView,
    places: np.ndarray,
    predictions: Predictions | None,
    choices: Mapping[str, str],
    **options: Any,
) -> Path:
    """Write an explorer as one file; as `BranchExplorer.to_html`, with what the explorer holds."""
    data = {
        "maps": _state(explorer.branch_maps),
        "rings": [theme.RING, theme.PARTNER_RING],
        "colour_by": explorer.colour_by,
        "colourings": {key: _styles(table, key) for key in {**choices, explorer.colour_by: ""}},
    }
    partners = all_partners(table, places=places)
    return _write(path, data, table=table, view=view, predictions=predictions, partners=partners, **options)


def write_clips(
    path: str | os.PathLike[str],
    items: Sequence[tuple[str, Sequence[str]]],
    *,
    table: pd.DataFrame,
    view: ClipView,
    predictions: Predictions | None = None,
    **options: Any,
) -> Path:
    """Write a list as one file: each item is a line of text and the one or two clips that it plays."""
    at = {str(clip_id): row for row, clip_id in enumerate(table["clip_id"])}
    listed = [{"text": text, "rows": [at[one] for one in clip_ids]} for text, clip_ids in items]
    return _write(path, {"items": listed}, table=table, view=view, predictions=predictions, **options)


def _write(
    path: str | os.PathLike[str],
    data: dict[str, Any],
    *,
    table: pd.DataFrame,
    view: ClipView,
    predictions: Predictions | None,
    title: str,
    about: str,
    faces: bool,
    most_megabytes: float,
    partners: np.ndarray | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    caution: str = "",
) -> Path:
    from jinja2 import Environment, FileSystemLoader

    maps = "maps" in data
    drawn, written = _faces(view, table["clip_id"], most_bytes=most_megabytes * 1e6 if faces else 0)
    data |= {"view": _state(view), "clips": _clips(table, drawn, predictions=predictions, partners=partners)}
    text = json.dumps(data, default=_bytes, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
    kept = "No pictures of faces are in this file."
    if faces:
        count = sum(one is not None for one in drawn)
        kept = (
            f"The pictures of {count} of {len(table)} clips are in this file ({written / 1e6:.1f} MB before packing)."
        )
    parts = [_module("ClipView", "clip_view.js"), _text("page.js")]
    parts += [_module("BranchMaps", "branch_maps.js"), _text("explorer_page.js")] if maps else [_text("clips_page.js")]
    script = "\n".join(parts)
    style = "\n".join([SHEET, _text("branch_maps.css"), _text("clip_view.css"), _PAGE])
    page = Environment(loader=FileSystemLoader(_HERE), autoescape=True).get_template("page.html")
    shown = [(name, one.to_html(index=False, float_format="{:.3f}".format)) for name, one in (tables or {}).items()]
    target = Path(path)
    target.write_text(
        page.render(
            title=title, about=about, style=style, script=script, data=packed, kept=kept, caution=caution, tables=shown,
            maps=maps,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return target


def _text(file: str) -> str:
    return (_HERE / file).read_text(encoding="utf-8")


def _state(widget: anywidget.AnyWidget) -> dict[str, Any]:
    """The synced traits of a component, without what the page sets itself."""
    own = {
        name for name, trait in widget.traits(sync=True).items() if trait.this_class.__module__.startswith(__package__)
    }
    return {name: getattr(widget, name) for name in own - _NOT_SENT} | _EMPTY


def _module(name: str, file: str) -> str:
    """A component's source as a function that returns it."""
    source = _text(file).replace("export default { render };", "return { render };")
    return f"const {name} = (() => {{\n{source}\n}})();"


def _bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written into the page")


def _styles(table: pd.DataFrame, key: str) -> dict[str, Any]:
    colours = colouring(table, key)
    styles, style_of = categories(colours)
    return {"title": colours.title, "styles": styles, "style_of": style_of}


def _faces(view: ClipView, clip_ids: pd.Series, *, most_bytes: float) -> tuple[list[dict[str, Any] | None], int]:
    """What plays of each clip, as long as there is room, and the bytes of it."""
    found: list[dict[str, Any] | None] = []
    written = 0
    for clip_id in clip_ids:
        played = view.packed(str(clip_id)) if written < most_bytes else None
        size = 0 if played is None else len(json.dumps(played, default=_bytes))
        found.append(played if written + size <= most_bytes else None)
        written += size if found[-1] is not None else 0
    return found, written


def _clips(
    table: pd.DataFrame,
    drawn: list[dict[str, Any] | None],
    *,
    predictions: Predictions | None,
    partners: np.ndarray | None,
) -> list[dict[str, Any]]:
    column = label_column(table)
    sets = au_set_names(table)
    found = []
    for row, (own, one) in enumerate(zip(table.to_dict("records"), drawn, strict=True)):
        clip_id, label = str(own["clip_id"]), own.get(column) if column else None
        known = {
            "id": clip_id,
            "subject": str(own.get("subject", "")),
            "aus": str(sets[row]),
            "label": "unknown" if label is None or pd.isna(label) else str(label),
            "card": clip_heading(table.iloc[row]) + ("" if predictions is None else score_rows(predictions, clip_id)),
            "partner": -1 if partners is None else int(partners[row]),
        }
        found.append({"face": None, "moments": [], "interval": 20.0, **known, **(one or {})})
    return found
