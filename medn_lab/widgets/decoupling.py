"""DecouplingPanel: every kind of row of a decoupling report as a figure, model by model, and each row in words."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import DecouplingReport
from medn_lab.view.decoupling import TITLES, explain_row, plot_decoupling
from medn_lab.view.marks import empty_sheet
from medn_lab.view.theme import RING
from medn_lab.widgets.live import LiveFigure
from medn_lab.widgets.panel import Panel, control, note

MOST_SIDE_BY_SIDE = 5
"""Models that are shown at the same time."""

_TEXTS = ("model", "kind", "measure", "given", "branch", "target", "direction", "reason")
_NUMBERS = ("value", "p", "allowed", "excess", "n_positive")


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
        The models ticked, in the order in which they are shown; a trait.
    given : str
        For dependence: the factor that was removed from both branches, empty for none; a trait.
    each_au, fused : bool
        For leakage and conditional leakage also each AU; for leakage also the fused branch; traits.
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

    selection = traitlets.Instance(pd.DataFrame, read_only=True)
    family = traitlets.Unicode("dependence")
    models = traitlets.List(traitlets.Unicode())
    given = traitlets.Unicode("")
    each_au = traitlets.Bool(False)
    fused = traitlets.Bool(False)
    row = traitlets.Int(None, allow_none=True)

    def __init__(self, reports: DecouplingReport | Mapping[str, DecouplingReport]) -> None:
        if isinstance(reports, Mapping):
            reports = DecouplingReport.joined(reports)
        elif not reports.models:
            reports = DecouplingReport.joined({str(reports.source.get("name", "the model")): reports})
        table = reports.table
        table = table.reindex(columns=table.columns.union([*_TEXTS, *_NUMBERS], sort=False))
        table[list(_TEXTS)] = table[list(_TEXTS)].astype(object).fillna("")
        self._report, self._table = reports, table
        self._families = list(dict.fromkeys(["dependence", "leakage", "information", *filter(None, table["kind"])]))
        givens = list(dict.fromkeys(table.loc[table["kind"] == "dependence", "given"])) or [""]
        boxes = [
            control(widgets.Checkbox, name, indent=False, margin="0 14px 0 0", tooltip=f"Show {name}")
            for name in reports.models
        ]
        choices = {
            "family": control(
                widgets.ToggleButtons, options=[(one.replace("_", " "), one) for one in self._families],
                style={"button_width": "auto"}, tooltips=[f"Show the rows on {one}" for one in self._families],
            ),
            "given": control(
                widgets.Dropdown, "Features", width="230px", tooltip="Unchanged, or minus the means of a factor",
                options=[(f"given {one.replace('aus', 'AU set')}" if one else "as they are", one) for one in givens],
            ),
            "each_au": control(widgets.Checkbox, "each AU", indent=False, tooltip="Show each AU below the mean"),
            "fused": control(widgets.Checkbox, "fused branch", indent=False, tooltip="Show the fused feature"),
        }  # fmt: skip
        self._choices, self._givens = choices, givens
        self._rows = control(
            widgets.Dropdown, "Row", width="99%", tooltip="The row that is explained below; or click a value"
        )
        self._words, self._figure = widgets.HTML(layout={"min_height": "66px"}), LiveFigure(go.Figure())
        self._figure.on_click(self._on_click)
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        super().__init__(
            [
                widgets.HBox([widgets.HTML("Models"), *boxes], layout=wrap),
                widgets.HBox(list(choices.values()), layout=wrap), self._figure, self._rows, self._words,
            ],
            name="decoupling-panel", width="100%", results={"selection": table.iloc[:0]},
            models=reports.models[:MOST_SIDE_BY_SIDE], given=givens[0],
        )  # fmt: skip
        self._draw()
        for trait, one in choices.items():
            self._bind(trait, one)
        self._bind(
            "row", self._rows, to_control=lambda row: -1 if row is None else row,
            to_trait=lambda row: None if row == -1 else row,
        )  # fmt: skip
        for box in boxes:
            name = box.description
            there = partial(lambda name, models: name in models, name)
            self._bind("models", box, to_control=there, to_trait=partial(self._ticked, name))
        self.observe(lambda _: self._draw(), ["models", *choices])
        self.observe(lambda _: self._explain(), "row")

    def _ticked(self, name: str, ticked: bool) -> list[str]:
        """The models once the box of one is ticked or not; a model that comes back is the last one."""
        if ticked == (name in self.models):
            return self.models
        return [*self.models, name] if ticked else [one for one in self.models if one != name]

    def compare(self, models: list[str]) -> pd.DataFrame:
        """Show these models and return the rows shown.

        Raises
        ------
        ValueError
            If one is not in the reports, or there is none.
        """
        self._report.only(models)
        self.models = list(models)
        return self.selection

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
        try:
            self.family = family
            if family == "dependence":
                self.given = given
        except traitlets.TraitError as problem:
            raise ValueError(str(problem)) from None
        self.each_au = each_au
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
        try:
            self.row = int(number)
        except traitlets.TraitError as problem:
            raise ValueError(str(problem)) from None
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
        kinds = [kind for kind in self._families if kind in set(rows["kind"])]
        figures = {TITLES.get(kind, kind.replace("_", " ")): plot_decoupling(rows, kind=kind) for kind in kinds}
        return self._report.only(self.models).to_html(path, figures=figures)

    @traitlets.validate("models", "family", "given")
    def _known(self, proposal: traitlets.Bunch) -> Any:
        name, value = proposal.trait.name, proposal.value
        there = {"models": self._report.models, "family": self._families, "given": self._givens}[name]
        wanted = list(value) if name == "models" else [value]
        wrong = [one for one in wanted if one not in there or wanted.count(one) > 1]
        if wrong:
            known = ", ".join(map(repr, there))
            raise traitlets.TraitError(f"{wrong[0]!r} is twice in {name}, or not known; there are {known}")
        return value

    @traitlets.validate("row")
    def _known_row(self, proposal: traitlets.Bunch) -> int | None:
        if proposal.value is not None and not 0 <= proposal.value < len(self.selection):
            raise traitlets.TraitError(f"there is no row {proposal.value}; there are {len(self.selection)}, from 0")
        return proposal.value

    def _draw(self) -> None:
        """Show the rows that models, family and the other choices name."""
        if self.comm is None:  # closed
            return
        shown = self.models[:MOST_SIDE_BY_SIDE]
        rows = self._table[(self._table["kind"] == self.family) & self._table["model"].isin(shown)]
        rows = rows.sort_values("model", key=lambda names: names.map(shown.index), kind="stable")
        if self.family == "dependence":
            rows = rows[rows["given"] == self.given]
        if self.family in ("leakage", "conditional"):
            rows = rows[self.each_au | ~rows["target"].str.fullmatch(r"AU\d+").astype(bool)]
        if self.family == "leakage":
            rows = rows[self.fused | (rows["branch"] != "fused")]
        rows = rows.reset_index(drop=True)
        for name, families in (("given", "dependence"), ("each_au", "leakage conditional"), ("fused", "leakage")):
            self._choices[name].layout.display = "" if self.family in families.split() else "none"
        self.row = None
        self.set_trait("selection", rows)
        texts = [explain_row(one)[0].partition(";")[0] for one in rows.to_dict("records")]
        self._rows.options = [("choose a row", -1), *((text, number) for number, text in enumerate(texts))]
        if len(rows):
            drawn = plot_decoupling(rows, kind=self.family)
        else:
            why = f"The reports on {', '.join(shown)} have no rows on {self.family.replace('_', ' ')}."
            why = why if shown or not self._report.models else "No model is ticked."
            drawn = empty_sheet(why, title=f"<b>{TITLES.get(self.family, html.escape(self.family))}</b>", width=960)
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
        """State what the row means and frame it in the figure."""
        frames = [shape for shape in self._figure.drawn.layout.shapes if shape.name != "row"]
        if self.row is None:
            rest = len(self.models) - MOST_SIDE_BY_SIDE
            more = f" {rest} more models are ticked: the first {MOST_SIDE_BY_SIDE} are shown." if rest > 0 else ""
            self._words.value = note(f"Click a value, or choose a row, to read what it means.{more}")
        else:
            what, reading = explain_row(self.selection.iloc[self.row].to_dict())
            self._words.value = f"<div class='medn-line'><b>{html.escape(what)}</b></div>{note(reading)}"
            for trace in self._figure.drawn.data:
                if trace.ids is not None and str(self.row) in trace.ids:
                    frames.append(_frame(trace, list(trace.ids).index(str(self.row))))
        self._figure.drawn.layout.shapes = frames
        self._figure.send_figure()

    def _warn(self, text: str) -> None:
        self._words.value = note(text, warn=True)


def _frame(trace: Any, place: int) -> dict[str, Any]:
    """A frame around a cell of a matrix or a line of a forest."""
    look = {"type": "rect", "name": "row", "line": {"color": RING, "width": 3}}
    if trace.type == "heatmap":
        y, x = divmod(place, len(trace.x))
        return look | {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    axes = {"xref": f"{trace.xaxis or 'x'} domain", "yref": trace.yaxis or "y"}
    return look | axes | {"x0": 0, "x1": 1, "y0": trace.y[place] - 0.5, "y1": trace.y[place] + 0.5}
