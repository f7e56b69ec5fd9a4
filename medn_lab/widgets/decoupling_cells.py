"""The three families of a decoupling report as matrices of cells: dependence, leakage, information."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.view import theme
from medn_lab.view.dependence import NAMES
from medn_lab.view.leakage import EXCESS_RANGE, EXCESS_SCALE
from medn_lab.widgets.cell_grid import PLAIN, Cell, scale_colour
from medn_lab.widgets.score_lines import null_drawing

FOUND, WITHIN = "#FBDCD3", "#DCEFE6"
"""Ground of a value above its null, and of one within."""

_BUTTON = 108


@dataclass(frozen=True)
class CellMatrix:
    """A matrix ready to be drawn, and which row of the table each cell shows.

    Attributes
    ----------
    rows, columns : list of str
        Headings, as HTML.
    cells : list of list of Cell or None
    numbers : dict of (row, column) to int
        Position in the table.
    look : dict
        Sizes, as ``CellGrid.draw`` takes them.
    """

    rows: list[str]
    columns: list[str]
    cells: list[list[Cell | None]]
    numbers: dict[tuple[int, int], int]
    look: Mapping[str, Any] = field(default_factory=dict)


def dependence_cells(rows: pd.DataFrame, *, models: Sequence[str], width: int) -> CellMatrix:
    """Measures by models, each value beside a drawing of its null; the models of a measure share an axis."""
    measures = list(dict.fromkeys(rows["measure"]))
    beside = _room(len(models), width=width, head=196)
    cells: list[list[Cell | None]] = []
    numbers = {}
    for y, measure in enumerate(measures):
        same = rows[rows["measure"] == measure]
        axis = _axis(same[["value", "null_mean", "null_95", "allowed"]].to_numpy(dtype=float))
        cells.append([None] * len(models))
        for number, row in same.iterrows():
            x = models.index(row["model"])
            numbers[y, x] = int(number)
            cells[y][x] = _dependence_cell(row, axis=axis, width=beside - 4)
    heads = [f"<div class='medn-line'>{html.escape(NAMES.get(name, name))}</div>" for name in measures]
    look = {"head_width": 196, "cell_width": _BUTTON, "beside_width": beside}
    return CellMatrix(heads, _names(models), cells, numbers, look)


def _dependence_cell(row: pd.Series, *, axis: tuple[float, float], width: int) -> Cell:
    value, p = float(row["value"]), float(row["p"])
    if not np.isfinite(value):
        return Cell("–", str(row["reason"]) or "no figure")
    found = p <= 0.05
    told = f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
    told += f"  p {p:.3f}".replace("p 0.", "p .") if np.isfinite(p) else ""
    band = float(row["null_mean"]), float(row["null_95"])
    drawn = null_drawing(value, band=band, allowed=float(row["allowed"]), axis=axis, found=found, width=width)
    hint = f"{row['model']}: {value:.4g}, {'above' if found else 'within'} its null. Press to read what it means."
    return Cell(told, hint, PLAIN if np.isnan(p) else FOUND if found else WITHIN, beside=drawn)


def leakage_cells(rows: pd.DataFrame, *, width: int) -> CellMatrix:
    """Targets by branches of the models, coloured by the excess over what is allowed."""
    targets = list(dict.fromkeys(rows["target"]))
    single = [name for name in targets if name.startswith("AU") and name[2:].isdigit()]
    rest = [name for name in targets if name != "AUs" and name not in single]
    targets = [*(["AUs"] if "AUs" in targets else []), *rest, *single]
    columns = list(dict.fromkeys(zip(rows["model"], rows["branch"], strict=True)))
    place = {(model, branch): x for x, (model, branch) in enumerate(columns)}
    cell_width = int(np.clip((width - 150) / len(columns) - 2, 44, 116))
    cells: list[list[Cell | None]] = [[None] * len(columns) for _ in targets]
    numbers = {}
    for number, row in enumerate(rows.to_dict("records")):
        y, x = targets.index(row["target"]), place[row["model"], row["branch"]]
        numbers[y, x] = number
        cells[y][x] = _leak_cell(row, wide=cell_width >= 84)
    heads = []
    for name in targets:
        n = rows.loc[rows["target"] == name, "n_positive"].max()
        clips = "" if pd.isna(n) else f" <span class='medn-quiet' title='clips with it'>{n:.0f}</span>"
        heads.append(f"<div class='medn-line'>{'AUs, mean' if name == 'AUs' else html.escape(name)}{clips}</div>")
    tops = [
        f"<div class='medn-note' style='text-align:center;white-space:nowrap'><b>{html.escape(model)}</b><br>"
        f"<span style='color:{theme.BRANCH_COLOURS.get(branch, theme.INK)}'>●</span> {html.escape(branch)}</div>"
        for model, branch in columns
    ]
    look = {
        "corner": "<div class='medn-note'>read ↓ &nbsp; from →</div>", "head_width": 142, "cell_width": cell_width,
        "row_height": 34 if len(targets) <= 8 else 25,
    }  # fmt: skip
    return CellMatrix(heads, tops, cells, numbers, look)


def information_cells(rows: pd.DataFrame, *, models: Sequence[str], width: int) -> CellMatrix:
    """One row: the nats of each model that has a bottleneck, beside the entropy of what its code should hold."""
    there = [name for name in models if name in set(rows["model"])]
    beside = _room(len(there), width=width, head=160)
    top = float(np.nanmax(rows[["value", "high", "allowed"]].to_numpy(dtype=float)))
    cells: list[Cell | None] = []
    numbers = {}
    for x, name in enumerate(there):
        numbers[0, x] = int(rows.index[rows["model"] == name][0])
        value, allowed = (float(rows.loc[numbers[0, x], one]) for one in ("value", "allowed"))
        if not np.isfinite(value):
            cells.append(Cell("–", str(rows.loc[numbers[0, x], "reason"]) or "no figure"))
            continue
        more, axis = value > allowed, (0.0, 1.05 * top)
        drawn = null_drawing(value, band=(np.nan,) * 2, allowed=allowed, axis=axis, found=more, width=beside - 4)
        hint = f"{name}: {value:.3f} nats. Press to read what it means."
        cells.append(Cell(f"{value:.2f} nats", hint, FOUND if more else WITHIN, beside=drawn))
    look = {"head_width": 160, "cell_width": _BUTTON, "beside_width": beside}
    return CellMatrix(["<div class='medn-line'>in a clip's code</div>"], _names(there), [cells], numbers, look)


def _room(n: int, *, width: int, head: int) -> int:
    return int(np.clip((width - head - 10) / max(n, 1) - _BUTTON - 4, 44, 320))


def _names(models: Sequence[str]) -> list[str]:
    return [f"<div class='medn-line' style='white-space:nowrap'><b>{html.escape(name)}</b></div>" for name in models]


def _leak_cell(row: Mapping[str, Any], *, wide: bool) -> Cell:
    value, allowed, excess = (float(row[name]) for name in ("value", "allowed", "excess"))
    if not np.isfinite(value):
        reason = str(row["reason"]) or "no figure"
        return Cell("constant" if reason.endswith(" is constant") else "–", reason)
    mark = " ▲" if float(row["excess_low"]) > 0 else ""
    text = f"{_short(value)}{mark}"
    ground = PLAIN
    if np.isfinite(allowed):
        text += f" of {_short(allowed)}" if wide else ""
        if np.isfinite(excess):
            ground = scale_colour(EXCESS_SCALE, 0.5 + excess / (2 * EXCESS_RANGE))
    hint = f"{row['target']} from the {row['branch']} branch of {row['model']}: AUC {value:.3f}"
    hint += f", allowed {allowed:.3f}" if np.isfinite(allowed) else ""
    return Cell(text, f"{hint}. Press to read what it means.", ground)


def _short(auc: float) -> str:
    return f"{auc:.2f}".removeprefix("0") if auc < 0.995 else "1"


def _axis(values: np.ndarray) -> tuple[float, float]:
    known = np.append(values[np.isfinite(values)], 0.0)
    low, high = float(known.min()), float(known.max())
    pad = 0.06 * (high - low) or 0.1
    return low - pad, high + pad
