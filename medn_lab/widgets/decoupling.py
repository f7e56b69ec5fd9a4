"""How far the branches are apart: every measure beside its null, every leak beside what is allowed, model by model."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import DecouplingReport
from medn_lab.view import theme
from medn_lab.view.decoupling_words import explain_row
from medn_lab.view.dependence import NAMES, plot_dependence
from medn_lab.view.leakage import EXCESS_RANGE, EXCESS_SCALE, plot_leakage
from medn_lab.widgets.cell_grid import PLAIN, Cell, CellGrid, scale_colour
from medn_lab.widgets.score_lines import null_drawing
from medn_lab.widgets.style import note, sheet

MOST_SIDE_BY_SIDE = 5
"""Models that fit beside each other."""

FAMILIES = ("dependence", "leakage", "information")
COLUMNS = (
    "model", "kind", "measure", "given", "branch", "target", "value", "low", "high", "null_mean", "null_95", "p",
    "allowed", "excess", "excess_low", "excess_high", "n_positive", "within", "direction", "reason",
)  # fmt: skip
"""Columns that a report of other making may lack; they count as missing then."""

_TEXTS = {"model", "kind", "measure", "given", "branch", "target", "within", "direction", "reason"}
_FOUND, _WITHIN = "#FBDCD3", "#DCEFE6"
_LEGENDS = {
    "dependence": "The grey band runs from the mean of the null to its 95th percentile. ● beyond it: chance does not"
    " explain the dependence. ○ within it. ◇ the same measure of what the branches should hold. Each row has an axis of"
    " its own, shared by the models. p is not corrected for the number of cells.",
    "leakage": "AUC of a probe on unseen persons, beside it what the truth of the branch's own factor allows. Red: more"
    " than allowed; blue: less; ▲: the interval of the excess lies above 0. Intervals are over persons alone.",
    "information": "Nats that the emotion code carries in a clip, beside ◇ the entropy of what it should hold. A model"
    " without a bottleneck has none.",
}


class DecouplingPanel(widgets.VBox):
    """Compare how far the branches of one or several models are apart.

    Tick the models, switch between *dependence*, *leakage* and *information*, and press a cell: a sentence says what it
    means, which way is good, what it rests on and how to read it. *Export* writes the report on the ticked models as
    one page of HTML with its pictures.

    Parameters
    ----------
    reports : DecouplingReport, or mapping of str to DecouplingReport
        ``medn.diagnose.decoupling_report(features)``, of one model or of several.
    width : int
        In pixels.

    Attributes
    ----------
    selection : DataFrame
        The rows of the report that are shown; a trait, so that it can be followed.
    family : str
        ``dependence``, ``leakage`` or ``information``.
    models : list of str
        The models ticked.

    Raises
    ------
    ValueError
        If no report is given.
    """

    selection = traitlets.Instance(pd.DataFrame)
    family = traitlets.Enum(FAMILIES, "dependence")
    models = traitlets.List(traitlets.Unicode())

    def __init__(self, reports: DecouplingReport | Mapping[str, DecouplingReport], *, width: int = 1000) -> None:
        if isinstance(reports, Mapping):
            reports = DecouplingReport.joined(reports)
        elif not reports.models:
            reports = DecouplingReport.joined({str(reports.source.get("name", "the model")): reports})
        self._report, self._width = reports, width
        table = reports.table.copy()
        for name in COLUMNS:
            if name not in table:
                table[name] = "" if name in _TEXTS else np.nan
        self._table = table
        self._grid = CellGrid(self._on_cell)
        self._numbers: dict[tuple[int, int], int] = {}
        self._build()
        super().__init__(
            children=[sheet(), self._which, self._choose, self._grid, self._words, self._legend, self._out],
            layout=widgets.Layout(width=f"{width + 8}px", overflow="hidden"),
            selection=table.iloc[:0],
            models=reports.models[:MOST_SIDE_BY_SIDE],
        )
        self.add_class("medn")
        self.add_class("medn-decoupling-panel")
        self._wire()
        self._draw()

    # What may be called -----------------------------------------------------------------------------------------------

    def compare(self, models: list[str]) -> pd.DataFrame:
        """Show these models beside each other and return the rows shown.

        Raises
        ------
        ValueError
            If one is not in the reports, or there is none.
        """
        self._report.only(models)
        for box in self._boxes:
            box.value = box.description in models
        return self.selection

    def show(
        self, family: Literal["dependence", "leakage", "information"], *, given: str = "", each_au: bool = False
    ) -> pd.DataFrame:
        """Show a family of measures and return the rows shown.

        Parameters
        ----------
        family : {"dependence", "leakage", "information"}
        given : str
            For dependence: the factor taken off both branches first, empty for none.
        each_au : bool
            For leakage: also each AU under their mean.

        Raises
        ------
        ValueError
            If there is no such family, or no measure given this factor.
        """
        if family not in FAMILIES:
            raise ValueError(f"no family of measures {family!r}; there are {', '.join(FAMILIES)}")
        known = [value for _, value in self._givens.options]
        if family == "dependence" and known and given not in known:
            raise ValueError(f"nothing was measured given {given!r}; there is {', '.join(map(repr, known))}")
        self.family = family
        if family == "dependence" and known:
            self._givens.value = given
        self._each.value = each_au
        return self.selection

    def explain(self, number: int) -> str:
        """Say what a row of `selection` means, and frame its cell.

        Parameters
        ----------
        number : int
            Its position in `selection`, from 0.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If there is no such row.
        """
        if not 0 <= number < len(self.selection):
            raise ValueError(f"there are {len(self.selection)} rows here, from 0; there is no row {number}")
        what, reading = explain_row(self.selection.iloc[number].to_dict())
        self._grid.mark(next((place for place, one in self._numbers.items() if one == number), None))
        self._words.value = f"<div class='medn-line'><b>{html.escape(what)}</b></div>{note(reading)}"
        return f"{what} {reading}"

    def export(self, path: str) -> Path:
        """Write the report on the ticked models as one page of HTML, with its pictures.

        Raises
        ------
        ValueError
            If no file is named, its name does not end in ``.html``, or it cannot be written.
        """
        if not path.strip():
            raise ValueError("name a file to write, such as decoupling.html")
        target = Path(path.strip()).expanduser()
        if target.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"the report is a page of HTML: end {target.name!r} in .html")
        report = self._report.only(self.models)
        figures = {}
        if len(report.dependence):
            figures["Dependence between the branches, against its null"] = plot_dependence(report)
        if len(report.leakage):
            figures["Leakage beside what is allowed"] = plot_leakage(report)
        try:
            return report.to_html(target, figures=figures)
        except OSError as problem:
            raise ValueError(f"{target} cannot be written: {problem.strerror or problem}") from problem

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        style = {"description_width": "initial"}
        names = self._report.models
        self._boxes = [
            widgets.Checkbox(
                place < MOST_SIDE_BY_SIDE, description=name, indent=False, tooltip=f"Show {name}",
                layout=widgets.Layout(width="auto", margin="0 18px 0 0"),
            )
            for place, name in enumerate(names)
        ]  # fmt: skip
        label = widgets.HTML("<div class='medn-note' style='margin:4px 8px 0 0'>compare</div>")
        self._which = widgets.HBox([label, *self._boxes], layout=widgets.Layout(flex_flow="row wrap"))
        self._families = widgets.ToggleButtons(
            options=list(FAMILIES), style={"button_width": "112px"},
            tooltips=["Have the branches to do with each other?", "What can be read from each?", "Nats in the code"],
        )  # fmt: skip
        given = list(dict.fromkeys(self._table.loc[self._table["kind"] == "dependence", "given"]))
        options = [("as they are" if not one else f"given {'AU set' if one == 'aus' else one}", one) for one in given]
        self._givens = widgets.Dropdown(
            options=options, description="Features", style=style, layout=widgets.Layout(width="220px"),
            tooltip="As they are, or with the class means of a factor taken off both branches first",
        )  # fmt: skip
        self._each = widgets.Checkbox(
            False, description="each AU", indent=False, layout=widgets.Layout(width="110px"),
            tooltip="Also each AU under their mean",
        )  # fmt: skip
        self._fused = widgets.Checkbox(
            False, description="fused branch", indent=False, layout=widgets.Layout(width="140px"),
            tooltip="Also what is read from the fused feature",
        )  # fmt: skip
        self._choose = widgets.HBox(
            [self._families, self._givens, self._each, self._fused],
            layout=widgets.Layout(flex_flow="row wrap", margin="2px 0 6px 0", align_items="center"),
        )
        self._words = widgets.HTML(layout=widgets.Layout(min_height="66px", margin="8px 0 2px 0"))
        self._legend = widgets.HTML()
        self._path = widgets.Text(
            placeholder="decoupling.html", description="File", style=style, continuous_update=False,
            tooltip="Where the page is written: a name here, or a path", layout=widgets.Layout(width="320px"),
        )  # fmt: skip
        self._export = widgets.Button(
            description="Export", icon="download", layout=widgets.Layout(width="104px"),
            tooltip="Write the report on the ticked models as one page of HTML",
        )  # fmt: skip
        self._said = widgets.HTML(layout=widgets.Layout(margin="4px 0 0 8px"))
        self._out = widgets.HBox([self._path, self._export, self._said], layout=widgets.Layout(margin="6px 0 0 0"))

    def _wire(self) -> None:
        for box in self._boxes:
            box.observe(lambda change: self._on_tick(), "value")
        self._families.observe(lambda change: setattr(self, "family", change.new), "value")
        self.observe(lambda change: self._on_family(), "family")
        for control in (self._givens, self._each, self._fused):
            control.observe(lambda change: self._draw(), "value")
        self._export.on_click(lambda _: self._on_export())

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_cell(self, row: int, column: int) -> None:
        self.explain(self._numbers[row, column])

    def _on_tick(self) -> None:
        self.models = [box.description for box in self._boxes if box.value]
        self._draw()

    def _on_family(self) -> None:
        self._families.value = self.family
        self._draw()

    def _on_export(self) -> None:
        self._said.value = note("writing the page ...")
        try:
            written = self.export(self._path.value)
        except ValueError as problem:
            self._said.value = note(str(problem), warn=True)
        else:
            self._said.value = note(
                f"{written}: {written.stat().st_size / 1e6:.1f} MB, fetches nothing from elsewhere."
            )

    # What is drawn ----------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        self._words.value = note("drawing ...")
        self._givens.layout.display = "" if self.family == "dependence" else "none"
        for box in (self._each, self._fused):
            box.layout.display = "" if self.family == "leakage" else "none"
        self._legend.value = note(_LEGENDS[self.family])
        shown = self.models[:MOST_SIDE_BY_SIDE]
        rows = self._table[self._table["kind"] == self.family]
        rows = rows[rows["model"].isin(shown)]
        if self.family == "dependence" and len(self._givens.options):
            rows = rows[rows["given"] == self._givens.value]
        if self.family == "leakage":
            single = rows["target"].str.fullmatch(r"AU\d+").fillna(False).astype(bool)
            rows = rows if self._each.value else rows[~single]
            rows = rows if self._fused.value else rows[rows["branch"] != "fused"]
        rows = rows.reset_index(drop=True)
        draw = {"dependence": self._dependence, "leakage": self._leakage, "information": self._information}
        self._numbers = {}
        if len(rows):
            draw[self.family](rows, shown)
        self._grid.layout.display = "" if len(rows) else "none"
        self._words.value = self._hint(rows, shown)
        self.selection = rows

    def _hint(self, rows: pd.DataFrame, shown: list[str]) -> str:
        if not self.models:
            return note("No model is ticked.", warn=True)
        if not len(rows):
            nothing = {
                "dependence": "These reports hold no measures of dependence.",
                "leakage": "These reports hold no leakage: they were made without targets.",
                "information": "None of these models has a bottleneck whose nats could be shown.",
            }
            return note(nothing[self.family], warn=True)
        rest = len(self.models) - len(shown)
        more = f" {rest} more models are ticked than fit: the first {MOST_SIDE_BY_SIDE} are shown." if rest else ""
        return note(f"Press a cell to read what it means.{more}")

    def _dependence(self, rows: pd.DataFrame, shown: list[str]) -> None:
        measures = list(dict.fromkeys(rows["measure"]))
        cells, beside = [], self._room(len(shown), head=196, button=96)
        for y, measure in enumerate(measures):
            same = rows[rows["measure"] == measure]
            axis = _axis(same[["value", "null_mean", "null_95", "allowed"]].to_numpy(dtype=float))
            cells.append([self._dependence_cell(same, name, (y, x), axis, beside) for x, name in enumerate(shown)])
        heads = [f"<div class='medn-line'>{html.escape(NAMES.get(name, name))}</div>" for name in measures]
        self._grid.draw(heads, self._names(shown), cells, head_width=196, cell_width=96, beside_width=beside)

    def _dependence_cell(
        self, same: pd.DataFrame, model: str, place: tuple[int, int], axis: tuple[float, float], beside: int
    ) -> Cell | None:
        own = same[same["model"] == model]
        if not len(own):
            return None
        row = own.iloc[0]
        self._numbers[place] = int(own.index[0])
        value, p = float(row["value"]), float(row["p"])
        if not np.isfinite(value):
            return Cell("–", str(row["reason"]) or "no figure")
        found = p <= 0.05
        told = (f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}") + (
            f"  p {p:.3f}".replace("p 0.", "p .") if np.isfinite(p) else ""
        )
        drawn = null_drawing(
            value, band=(float(row["null_mean"]), float(row["null_95"])), allowed=float(row["allowed"]), axis=axis,
            found=found, width=beside - 4,
        )  # fmt: skip
        hint = f"{model}: {value:.4g}, {'above' if found else 'within'} its null. Press to read what it means."
        return Cell(told, hint, PLAIN if np.isnan(p) else _FOUND if found else _WITHIN, beside=drawn)

    def _leakage(self, rows: pd.DataFrame, shown: list[str]) -> None:
        targets = list(dict.fromkeys(rows["target"]))
        single = [name for name in targets if name.startswith("AU") and name[2:].isdigit()]
        targets = [
            *(["AUs"] if "AUs" in targets else []),
            *(n for n in targets if n != "AUs" and n not in single),
            *single,
        ]
        columns = list(dict.fromkeys(zip(rows["model"], rows["branch"], strict=True)))
        place = {(model, branch): x for x, (model, branch) in enumerate(columns)}
        width = int(np.clip((self._width - 150) / len(columns) - 2, 44, 116))
        cells: list[list[Cell | None]] = [[None] * len(columns) for _ in targets]
        for number, row in enumerate(rows.to_dict("records")):
            y, x = targets.index(row["target"]), place[row["model"], row["branch"]]
            self._numbers[y, x] = number
            cells[y][x] = _leak_cell(row, wide=width >= 84)
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
        high = 34 if len(targets) <= 8 else 25
        corner = "<div class='medn-note'>read ↓ &nbsp; from →</div>"
        self._grid.draw(heads, tops, cells, corner=corner, head_width=142, cell_width=width, row_height=high)

    def _information(self, rows: pd.DataFrame, shown: list[str]) -> None:
        there = [name for name in shown if name in set(rows["model"])]
        beside = self._room(len(there), head=160, button=96)
        top = float(np.nanmax(rows[["value", "high", "allowed"]].to_numpy(dtype=float)))
        cells = []
        for x, name in enumerate(there):
            number = int(rows.index[rows["model"] == name][0])
            self._numbers[0, x] = number
            row = rows.loc[number]
            value, allowed = float(row["value"]), float(row["allowed"])
            drawn = null_drawing(
                value, band=(np.nan, np.nan), allowed=allowed, axis=(0.0, 1.05 * top), found=value > allowed,
                width=beside - 4,
            )  # fmt: skip
            hint = f"{name}: {value:.3f} nats. Press to read what it means."
            cells.append(Cell(f"{value:.2f} nats", hint, _FOUND if value > allowed else _WITHIN, beside=drawn))
        head = "<div class='medn-line'>in a clip's code</div>"
        self._grid.draw([head], self._names(there), [cells], head_width=160, cell_width=96, beside_width=beside)

    def _room(self, n: int, *, head: int, button: int) -> int:
        return int(np.clip((self._width - head - 10) / max(n, 1) - button - 4, 52, 320))

    def _names(self, models: list[str]) -> list[str]:
        return [
            f"<div class='medn-line' style='white-space:nowrap'><b>{html.escape(name)}</b></div>" for name in models
        ]


def _leak_cell(row: Mapping[str, object], *, wide: bool) -> Cell:
    value, allowed, excess = (float(row[name]) for name in ("value", "allowed", "excess"))
    if not np.isfinite(value):
        return Cell("–", str(row["reason"]) or "no figure")
    mark = " ▲" if float(row["excess_low"]) > 0 else ""
    text = f"{_short(value)}{mark}"
    ground = PLAIN
    if np.isfinite(allowed):
        text += f" of {_short(allowed)}" if wide else ""
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
