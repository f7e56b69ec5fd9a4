"""DecouplingPanel: every kind of row of a decoupling report as a figure, model by model, and each row in words."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import DecouplingReport
from medn_lab.records.reports import completed
from medn_lab.view.decoupling import TITLES, explain_row, plot_decoupling
from medn_lab.view.marks import empty_sheet
from medn_lab.view.theme import RING
from medn_lab.widgets.panel import NARROW, LiveFigure, Panel, note, validates

MOST_TICKED = 5  # models that are shown at first


class DecouplingPanel(Panel):
    """Compare how far the branches of one or several models are decoupled.

    Tick the models and choose a kind of measure. Click a value, or choose it under *Row*: a sentence states what was
    measured, which direction is good, how many clips it was computed from and how to read it. :meth:`export` writes
    the report on the ticked models as one HTML page with its figures.

    Parameters
    ----------
    reports : DecouplingReport, or mapping of str to DecouplingReport
        ``medn.diagnose.decoupling_report(features)``, of one model or of several.

    Attributes
    ----------
    selection : DataFrame
        The rows of the report that are shown; a read-only trait, so that it can be followed.
    family : str
        The kind of rows that are shown: ``dependence``, ``leakage``, ``information`` or another kind in the reports; a
        trait.
    models : list of str
        The models ticked, in the order in which they are shown; at first the first five. A trait.
    given : str
        For dependence: the factor that was removed from both branches, empty for none; a trait.
    each_au : bool
        For leakage and conditional leakage also each AU; a trait.
    row : int or None
        Position in `selection` of the row that is explained; a trait.

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

    selection = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    family = traitlets.Unicode("dependence")
    models = traitlets.List(traitlets.Unicode())
    given = traitlets.Unicode("")
    each_au = traitlets.Bool(False)
    row = traitlets.Int(None, allow_none=True)

    def __init__(self, reports: DecouplingReport | Mapping[str, DecouplingReport]) -> None:
        if isinstance(reports, Mapping):
            reports = DecouplingReport.joined(reports)
        elif not reports.models:
            reports = DecouplingReport.joined({str(reports.source.get("name", "the model")): reports})
        self._report, self._table = reports, (table := completed(reports.table))
        families = list(dict.fromkeys(["dependence", "leakage", "information", *filter(None, table["kind"])]))
        givens = list(dict.fromkeys(table.loc[table["kind"] == "dependence", "given"])) or [""]
        self._known = {"models": reports.models, "family": families, "given": givens}
        self.models, self.given = reports.models[:MOST_TICKED], givens[0]

        def tick_box(name: str) -> Any:
            def ticked(on: bool) -> list[str]:
                return [one for one in reports.models if (on if one == name else one in self.models)]

            box = widgets.Checkbox(description=name, indent=False, tooltip=f"Show {name}")
            return self._bind("models", box, to_control=lambda models: name in models, to_trait=ticked)

        kinds = widgets.ToggleButtons(options=[(one.replace("_", " "), one) for one in families], tooltips=families)
        titles = [f"given {one.replace('aus', 'AU set')}" if one else "as they are" for one in givens]
        hint, listed = "Unchanged, or minus the means of a factor", list(zip(titles, givens, strict=True))
        choices = {
            "given": widgets.Dropdown(description="Features", tooltip=hint, options=listed),
            "each_au": widgets.Checkbox(description="each AU", indent=False, tooltip="Show each AU below the mean"),
        }
        self._choices = {name: self._bind(name, one) for name, one in choices.items()}
        hint = "The row that is explained below; or click a value"
        self._rows = widgets.Dropdown(description="Row", options=[("choose a row", -1)], tooltip=hint)
        self._bind(
            "row", self._rows, to_control=lambda row: -1 if row is None else row,
            to_trait=lambda row: None if row == -1 else row,
        )  # fmt: skip
        self._message, self._figure = widgets.HTML(), LiveFigure(go.Figure())
        self._figure.on_click(self._on_click)
        top = widgets.HBox([widgets.HTML("Models"), *map(tick_box, reports.models)])
        choice = widgets.HBox([self._bind("family", kinds), *self._choices.values()])
        super().__init__([top, choice, self._figure, self._rows, self._message])
        self._draw()
        self.observe(lambda _: self._draw(), ["models", "family", *choices])
        self.observe(lambda _: self._explain(), "row")

    def show(self, family: str, *, given: str = "", each_au: bool = False) -> pd.DataFrame:
        """Show a kind of measure and return the rows shown.

        Parameters
        ----------
        family : str
            ``dependence``, ``leakage``, ``information`` or another kind in the reports.
        given : str
            For dependence: the factor removed from both branches, empty for none.
        each_au : bool
            For leakage and conditional leakage: also each AU under their mean.

        Raises
        ------
        ValueError
            If there is no such kind, or no measure given this factor.
        """
        self.family, self.each_au = family, each_au
        if family == "dependence":
            self.given = given
        return self.selection

    def explain(self, number: int) -> str:
        """Return what a row of `selection` means, and frame it in the figure.

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
        self.row = int(number)
        return " ".join(explain_row(self.selection.iloc[number].to_dict()))

    def export(self, path: str | os.PathLike[str] = "decoupling.html") -> Path:
        """Write the report on the ticked models as one page of HTML, with a figure of each kind of row.

        Parameters
        ----------
        path : path-like
            The file to write.

        Returns
        -------
        Path
        """
        rows = self._table[self._table["model"].isin(self.models)]
        kinds = [kind for kind in self._known["family"] if kind in set(rows["kind"])]
        figures = {TITLES.get(kind, kind.replace("_", " ")): plot_decoupling(rows, kind=kind) for kind in kinds}
        return self._report.only(self.models).to_html(path, figures=figures)

    @validates("models", "family", "given", "row")
    def _check(self, name: str, value: Any) -> Any:
        if name == "row":
            if value is not None and not 0 <= value < len(self.selection):
                raise ValueError(f"there is no row {value}; there are {len(self.selection)}, from 0")
            return value
        wanted = list(value) if name == "models" else [value]
        for one in wanted:
            if one not in self._known[name] or wanted.count(one) > 1:
                known = ", ".join(map(repr, self._known[name]))
                raise ValueError(f"{one!r} is twice in {name}, or not known; there are {known}")
        return value

    def _draw(self) -> None:
        """Show the rows that models, family and the other choices name."""
        if self.comm is None:  # closed
            return
        rows = self._table[(self._table["kind"] == self.family) & self._table["model"].isin(self.models)]
        rows = rows.sort_values("model", key=lambda names: names.map(self.models.index), kind="stable")
        if self.family == "dependence":
            rows = rows[rows["given"] == self.given]
        if self.family in ("leakage", "conditional"):
            rows = rows[self.each_au | ~rows["target"].str.fullmatch(r"AU\d+").astype(bool)]
        if self.family == "leakage":
            rows = rows[rows["branch"] != "fused"]
        rows = rows.reset_index(drop=True)
        for name, families in (("given", ["dependence"]), ("each_au", ["leakage", "conditional"])):
            self._choices[name].layout.display = "" if self.family in families else "none"
        self.row = None
        self.set_trait("selection", rows)
        texts = [explain_row(one)[0].partition(";")[0] for one in rows.to_dict("records")]
        self._rows.options = [("choose a row", -1), *((text, number) for number, text in enumerate(texts))]
        if len(rows):
            drawn = plot_decoupling(rows, kind=self.family, width=NARROW)
        else:
            why = f"The reports on {', '.join(self.models)} have no rows on {self.family.replace('_', ' ')}."
            why = why if self.models else "No model is ticked."
            drawn = empty_sheet(why, title=f"<b>{TITLES.get(self.family, html.escape(self.family))}</b>", width=NARROW)
        drawn.layout.width = None
        with self._figure.hold_sync():  # sent once, with the frame
            self._figure.drawn = drawn
            self._explain()

    def _on_click(self, trace: Any, point: Any) -> None:
        """Explain the row that was clicked; in a matrix a point is known by its row and its column."""
        if trace.ids is not None:
            number = trace.ids[point if np.isscalar(point) else point[0] * len(trace.x) + point[1]]
            self.row = int(number) if number != "" else None

    def _explain(self) -> None:
        """State what the row means and frame it in the figure: a cell of a matrix, or a line of a forest."""
        frames = [shape for shape in self._figure.drawn.layout.shapes if shape.name != "row"]
        if self.row is None:
            self._say("Click a value, or choose a row, to read what it means.")
        else:
            what, reading = explain_row(self.selection.iloc[self.row].to_dict())
            self._message.value = f"<div class='medn-line'><b>{html.escape(what)}</b></div>{note(reading)}"
            for trace in self._figure.drawn.data:
                if trace.ids is None or str(self.row) not in trace.ids:
                    continue
                place = list(trace.ids).index(str(self.row))
                y, x = divmod(place, len(trace.x)) if trace.type == "heatmap" else (trace.y[place], 0)
                edges = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
                if trace.type != "heatmap":  # a line of a forest
                    edges |= {"xref": f"{trace.xaxis or 'x'} domain", "yref": trace.yaxis or "y", "x0": 0, "x1": 1}
                frames.append({"type": "rect", "name": "row", "line": {"color": RING, "width": 3}, **edges})
        self._figure.drawn.layout.shapes = frames
        self._figure.send_figure()
