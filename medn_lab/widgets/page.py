"""Widgets as one file that opens from disk, offline and without a kernel."""

from __future__ import annotations

import base64
import gzip
import json
import os
from abc import abstractmethod
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd

from medn_lab.records import Predictions
from medn_lab.view.rows import au_set_names, label_column
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import SHEET, Panel, clip_headings, score_rows

_HERE = Path(__file__).parent
_TABLE: dict[str, Any] = {"index": False, "border": 0, "na_rep": "–", "float_format": "{:.3f}".format}


class WrittenPanel(Panel):
    """A widget that can be written as one file."""

    _title = "Clips"

    def to_html(
        self, path: str | os.PathLike[str], *, title: str | None = None, faces: bool = True,
        most_megabytes: float = 20.0,
    ) -> Path:  # fmt: skip
        """Write what is shown as one file that opens from disk in any browser, offline and without a kernel.

        The clips play and are magnified, with their overlays, labels, AUs and scores. An explorer is written with its
        maps, their hover, click, lasso, colouring, filter and legend, the confusable partner of each clip and the
        measures of all clips; a list of clips or pairs with a search. New values need the notebook.

        Parameters
        ----------
        path : path-like
            The file to write; its folder must exist.
        title : str, optional
            The heading.
        faces : bool
            Whether the pictures of the faces are in the file. Faces are biometric data.
        most_megabytes : float
            Above this size fewer clips have pictures, and the file says how many.

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If nothing is shown that could be written.
        """
        from jinja2 import Environment, FileSystemLoader

        page = self._page()
        table, view, data = page["table"], page["view"], page["data"]
        clips, size = _clips(table, view, page.get("predictions"), most_bytes=most_megabytes * 1e6 if faces else 0)
        if "items" in data:
            at = {str(clip_id): row for row, clip_id in enumerate(table["clip_id"])}
            listed = [{"text": text, "rows": [at[str(one)] for one in ids]} for text, *ids in data["items"]]
            data = {"items": listed}
        data |= {"view": state_of(view) | {"faces": [], "notes": [], "moments": [], "frame": 0}, "clips": clips}
        text = json.dumps(data, default=_as_json, separators=(",", ":"))
        count = sum(one["face"] is not None for one in clips)
        kept = f"The pictures of {count} of {len(table)} clips are in this file ({size / 1e6:.1f} MB uncompressed)."
        files = {"ClipView": "clip_view.js"} | ({"BranchMaps": "branch_maps.js"} if "maps" in data else {})
        source = {name: (_HERE / name).read_text(encoding="utf-8") for name in (*files.values(), "page.js", *_STYLES)}
        modules = [f"const {name} = (() => {{\n{source[file]}\n}})();" for name, file in files.items()]
        template = Environment(loader=FileSystemLoader(_HERE), autoescape=True).get_template("page.html")
        written = template.render(
            title=self._title if title is None else title, caution=page.get("caution", ""), maps="maps" in data,
            about="; ".join(map(str.strip, str(page["about"]).splitlines())),
            kept=kept if faces else "No pictures of faces are in this file.",
            style="\n".join([SHEET, *(source[name] for name in _STYLES)]),
            script="\n".join([*modules, source["page.js"]]).replace("export default { render };", "return { render };"),
            data=base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode(),
            tables=[(name, one.to_html(**_TABLE)) for name, one in page.get("tables", {}).items()],
        )  # fmt: skip
        target = Path(path)
        target.write_text(written, encoding="utf-8")
        return target

    @abstractmethod
    def _page(self) -> dict[str, Any]:
        """What is written: ``view``, ``table`` (a row a clip), ``about`` (for the line below the heading) and ``data``.

        ``data`` holds ``items`` (a line of text and the clips that it plays) or ``maps`` and what belongs to them.
        ``predictions``, ``tables`` and ``caution`` may be left out.
        """


_STYLES = ("branch_maps.css", "clip_view.css", "page.css")


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
    table: pd.DataFrame, view: ClipView, predictions: Predictions | None, *, most_bytes: float
) -> tuple[list[dict[str, Any]], int]:
    """What the page holds of each clip, with what plays as long as there is room, and the bytes of what plays."""
    column, clips, written = label_column(table), [], 0
    about = pd.DataFrame({"id": table["clip_id"], "subject": table.get("subject", ""), "aus": au_set_names(table)})
    about["label"] = table[column].astype(object).where(table[column].notna(), "unknown") if column else "unknown"
    for own, heading in zip(about.astype(str).to_dict("records"), clip_headings(table), strict=True):
        played = view.packed(own["id"]) if written < most_bytes else None
        size = len(json.dumps(played, default=_as_json)) if played else 0
        if written + size > most_bytes:
            played, size = None, 0
        written += size
        card = heading + (score_rows(predictions, own["id"]) if predictions is not None else "")
        clips.append({**own, "card": card, "face": None, "moments": [], "interval": 20.0, **(played or {})})
    return clips, written
