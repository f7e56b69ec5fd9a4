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
from medn_lab.view.decoupling_words import explain_row
from medn_lab.view.dependence import plot_dependence
from medn_lab.view.leakage import plot_leakage
from medn_lab.widgets.cell_grid import CellGrid
from medn_lab.widgets.decoupling_cells import CellMatrix, dependence_cells, information_cells, leakage_cells
from medn_lab.widgets.panel import Panel, note

MOST_SIDE_BY_SIDE = 5
"""Models that fit beside each other."""

FAMILIES = ("dependence", "leakage", "information")
COLUMNS = (
    "model", "kind", "measure", "given", "branch", "target", "value", "low", "high", "null_mean", "null_95", "p",
    "allowed", "excess", "excess_low", "excess_high", "worst_target", "worst_auc", "worst_excess", "n_positive",
    "within", "direction", "reason",
)  # fmt: skip
"""Columns that a report of other making may lack; they count as missing then."""

_TEXTS = {"model", "kind", "measure", "given", "branch", "target", "worst_target", "within", "direction", "reason"}
_LEGENDS = {
    "dependence": "The grey band runs from the mean of the null to its 95th percentile. ● beyond it: chance does not"
    " explain the dependence. ○ within it. ◇ the same measure of what the branches should hold. Each row has an axis of"
    " its own, shared by the models. p is not corrected for the number of cells.",
    "leakage": "AUC of a probe on unseen persons, beside it what the truth of the branch's own factor allows. Red: more"
    " than allowed; blue: less; ▲: the interval of the excess lies above 0. Intervals are over persons alone.",
    "information": "Nats that the emotion code carries in a clip, beside ◇ the entropy of what it should hold. A model"
    " without a bottleneck has none.",
}


class DecouplingPanel(Panel):
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
        The rows of the report that are shown; a read-only trait, so that it can be followed.
    family : str
        ``dependence``, ``leakage`` or ``information``; a trait: set it to show another.
    models : list of str
        The models ticked, in the order in which they are shown; a trait: set it to compare others.

    Raises
    ------
    ValueError
        If no report is given.

    Examples
    --------
    >>> row = {"kind": "dependence", "measure": "linear_cka", "value": 0.02, "null_mean": 0.0, "null_95": 0.01}
    >>> more = {"p": 0.01, "model": "tiny", "n_clips": 80, "n_subjects": 8, "direction": "lower"}
    >>> table = pd.DataFrame([row | more])
    >>> panel = DecouplingPanel(DecouplingReport(table))
    >>> panel.models, panel.selection["measure"].tolist()
    (['tiny'], ['linear_cka'])
    """

    selection = traitlets.Instance(pd.DataFrame, read_only=True)
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
        self._writing = False
        self._build()
        super().__init__(
            [self._which, self._choose, self._grid, self._words, self._legend, self._out],
            name="decoupling-panel",
            width=f"{width + 8}px",
            results={"selection": table.iloc[:0]},
            models=reports.models[:MOST_SIDE_BY_SIDE],
        )
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
        self.models = list(models)
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
        self.observe(lambda change: self._on_models(), "models")
        for control in (self._givens, self._each, self._fused):
            control.observe(lambda change: self._draw(), "value")
        self._export.on_click(lambda _: self._on_export())

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_cell(self, row: int, column: int) -> None:
        if (row, column) in self._numbers:  # a press on a cell that was taken away meanwhile says nothing
            self.explain(self._numbers[row, column])

    def _on_tick(self) -> None:
        if not self._writing:
            ticked = [box.description for box in self._boxes if box.value]
            self.models = sorted(ticked, key=lambda name: self.models.index(name) if name in self.models else 999)

    @traitlets.validate("models")
    def _in_the_reports(self, proposal: traitlets.Bunch) -> list[str]:
        there, asked = self._report.models, list(proposal.value)
        strange = [name for place, name in enumerate(asked) if name not in there or name in asked[:place]]
        if strange:
            why = "twice among the models" if strange[0] in there else "not among the models of these reports"
            raise traitlets.TraitError(f"{strange[0]!r} is {why}; there are {', '.join(there)}")
        return asked

    def _on_models(self) -> None:
        self._writing = True
        for box in self._boxes:
            box.value = box.description in self.models
        self._writing = False
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
        rows = pd.concat([rows[rows["model"] == name] for name in shown]) if shown else rows[:0]
        if self.family == "dependence" and len(self._givens.options):
            rows = rows[rows["given"] == self._givens.value]
        if self.family == "leakage":
            single = rows["target"].str.fullmatch(r"AU\d+").fillna(False).astype(bool)
            rows = rows if self._each.value else rows[~single]
            rows = rows if self._fused.value else rows[rows["branch"] != "fused"]
        rows = rows.reset_index(drop=True)
        self._numbers = {}
        if len(rows):
            matrix = self._matrix(rows, shown)
            self._numbers = matrix.numbers
            self._grid.draw(matrix.rows, matrix.columns, matrix.cells, **matrix.look)
        self._grid.layout.display = "" if len(rows) else "none"
        self._words.value = self._hint(rows, shown)
        self.set_trait("selection", rows)

    def _matrix(self, rows: pd.DataFrame, shown: list[str]) -> CellMatrix:
        if self.family == "leakage":
            return leakage_cells(rows, width=self._width)
        draw = dependence_cells if self.family == "dependence" else information_cells
        return draw(rows, models=shown, width=self._width)

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
