"""The explorer as one file that opens from disk, offline and without a kernel."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medn_lab.view import theme
from medn_lab.view.colouring import colouring
from medn_lab.view.rows import au_set_names, label_column
from medn_lab.widgets.cards import clip_heading, score_rows
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.partners import all_partners
from medn_lab.widgets.style import SHEET

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
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; --jp-ui-font-color1: #ddd;
  --jp-ui-font-color2: #aaa; --jp-layout-color1: #1b1b1b; --jp-layout-color2: #333; } }
"""
_MAPS: tuple[str, ...] = (
    "titles",
    "xy",
    "texts",
    "style_of",
    "styles",
    "legend_title",
    "kept",
    "hidden",
    "lit",
    "hovered",
    "clicked",
)
_MAPS += ("rings", "size", "opacity", "height", "ring_colour")
_VIEW: tuple[str, ...] = (
    "faces",
    "moments",
    "notes",
    "overlays",
    "keep_rates",
    "parts",
    "scale",
    "interval",
    "most",
    "size",
    "frame",
)
_VIEW += ("playing", "loop", "speed", "magnify", "overlay", "keep_rate", "attributed")


def write_explorer(
    explorer: BranchExplorer,
    path: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    view: ClipView,
    places: np.ndarray,
    predictions: Any,
    choices: Mapping[str, str],
    caution: str,
    title: str,
    about: str,
    tables: Mapping[str, pd.DataFrame],
    faces: bool,
    most_bytes: int,
) -> Path:
    """Write the file; as `BranchExplorer.to_html`, with what the explorer holds."""
    from jinja2 import Environment, FileSystemLoader

    drawn, written = _faces(view, table["clip_id"], most_bytes=most_bytes if faces else 0)
    data = {
        "maps": {name: getattr(explorer.branch_maps, name) for name in _MAPS} | {"lit": b"", "rings": [], "hidden": []},
        "view": {name: getattr(view, name) for name in _VIEW} | {"faces": [], "notes": [], "moments": [], "frame": 0},
        "rings": [theme.RING, theme.PARTNER_RING],
        "colour_by": explorer.colour_by,
        "colourings": {key: _styles(table, key) for key in {**choices, explorer.colour_by: ""}},
        "clips": _clips(table, drawn, places=places, predictions=predictions),
    }
    text = json.dumps(data, default=_bytes, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
    count = sum(one is not None for one in drawn)
    kept = (
        f"The pictures of {count} of {len(table)} clips are in this file ({written / 1e6:.1f} MB before packing)."
        if faces else "No pictures of faces are in this file."
    )  # fmt: skip
    modules = [f"const {name} = (() => {{\n{_module(file)}\n}})();" for name, file in
               (("BranchMaps", "branch_maps.js"), ("ClipView", "clip_view.js"))]  # fmt: skip
    script = "\n".join([*modules, (_HERE / "explorer_page.js").read_text(encoding="utf-8")])
    style = "\n".join(
        [SHEET, *((_HERE / name).read_text("utf-8") for name in ("branch_maps.css", "clip_view.css")), _PAGE]
    )
    page = Environment(loader=FileSystemLoader(_HERE), autoescape=True).get_template("explorer.html")
    target = Path(path)
    target.write_text(
        page.render(
            title=title, about=about, style=style, script=script, data=packed, kept=kept, caution=caution,
            tables=[(name, one.to_html(index=False, float_format="{:.3f}".format)) for name, one in tables.items()],
        ),
        encoding="utf-8",
    )  # fmt: skip
    return target


def _module(file: str) -> str:
    """A component's source as the body of a function."""
    return (_HERE / file).read_text(encoding="utf-8").replace("export default { render };", "return { render };")


def _bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written into the page")


def _styles(table: pd.DataFrame, key: str) -> dict[str, Any]:
    colours = colouring(table, key)
    names = list(colours.styles)
    place = {name: number for number, name in enumerate(names)}
    return {
        "title": colours.title,
        "styles": [{"name": name, "colour": c, "symbol": s} for name, (c, s) in colours.styles.items()],
        "style_of": np.asarray([place[name] for name in colours.values], dtype=np.uint8).tobytes(),
    }


def _faces(view: ClipView, clip_ids: pd.Series, *, most_bytes: int) -> tuple[list[dict[str, Any] | None], int]:
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
    table: pd.DataFrame, drawn: list[dict[str, Any] | None], *, places: np.ndarray, predictions: Any
) -> list[dict[str, Any]]:
    column = label_column(table)
    sets = au_set_names(table)
    partners = all_partners(table, places=places)
    found = []
    for row, (own, one) in enumerate(zip(table.to_dict("records"), drawn, strict=True)):
        card = clip_heading(table.iloc[row]) + score_rows(predictions, str(own["clip_id"]))
        label = own.get(column) if column else None
        found.append(
            {
                "id": str(own["clip_id"]),
                "subject": str(own.get("subject", "")),
                "aus": str(sets[row]),
                "label": "unknown" if label is None or pd.isna(label) else str(label),
                "card": card,
                "partner": int(partners[row]),
                "face": None,
                "moments": [],
                "interval": 20.0,
                **(one or {}),
            }
        )
    return found
