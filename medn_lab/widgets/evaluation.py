"""An evaluation in one panel: confusion matrix, the clips of each cell, scores, and the tables behind them."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Clips, EvaluationSummary, positions
from medn_lab.view import theme
from medn_lab.view.answers import UNLABELLED, confusion_cells
from medn_lab.view.evaluation import plot_evaluation
from medn_lab.view.marks import counted
from medn_lab.view.rows import au_set_texts, persons
from medn_lab.widgets.clip_view import ClipPair
from medn_lab.widgets.panel import NARROW, LiveFigure, Panel, note, table_html, validates

MOST_LISTED = 400  # clips in the list; a browser is slow with many more
_TABLES = {
    "subjects": {"subject": "subject", "accuracy": "accuracy", "n_clips": "clips", "most_missed": "missed most often"},
    "AUs": {
        "au": "AU", "auc": "AUC", "auc_low": "from", "auc_high": "to", "f1": "F1", "n_positive": "positive clips",
        "n_subjects": "of subjects", "reason": "remark",
    },
    "folds": {"held_out": "held out", "accuracy": "accuracy", "n_test": "clips", "error": "reason of the failure"},
}  # fmt: skip


class EvaluationPanel(Panel):
    """Read an evaluation: click a cell of the confusion matrix and see its clips with their scores.

    Click a cell: its clips are listed, the highest score first, and the first plays next to its scores. *Next* and
    *previous* step through the list. Two lists, *true* and *predicted*, do what a click on a cell does, also for a
    whole row or column; *mistakes only* leaves out the diagonal. The figure holds the scores with their intervals, the
    AU-only floor and the ceilings; below are the tables of subjects, AUs and folds.

    Parameters
    ----------
    summary : EvaluationSummary
        ``medn.evaluate.evaluation_summary(predictions)``.
    clips : Clips or None
        What plays.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.

    Attributes
    ----------
    selection : DataFrame
        The clips of the cell, with ``predicted`` and a probability a class; a read-only trait, so that it
        can be followed.
    true, predicted : str
        Row and column chosen; empty stands for all of them. Traits: set them to list other clips.
    mistakes : bool
        Whether only clips off the diagonal are listed; a trait.
    clip_id : str
        The clip that plays; a trait: set it to play another.

    Raises
    ------
    ValueError
        If there are no clips.

    Examples
    --------
    >>> from medn_lab.records import Predictions
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> panel = EvaluationPanel(EvaluationSummary(Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y"))))
    >>> panel.select("y", "x")["clip_id"].tolist()
    ['d']
    """

    selection = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    true = traitlets.Unicode("")
    predicted = traitlets.Unicode("")
    mistakes = traitlets.Bool(False)
    clip_id = traitlets.Unicode("")
    _chosen: tuple[str, str, bool] | None = None

    def __init__(self, summary: EvaluationSummary, *, clips: Clips | None = None, magnify: float = 6.0) -> None:
        predictions = summary.predictions
        if not len(predictions):
            raise ValueError("there are no clips to show: the predictions are empty")
        self._summary = summary
        self._cells, counts = confusion_cells(predictions, label=summary.label)
        self._classes = {"true": list(counts.index), "predicted": list(counts.columns)}
        self._frame, table, chances = predictions.to_frame(), predictions.table, predictions.probabilities
        place, known = {str(name): k for k, name in enumerate(predictions.classes)}, self._cells["true"]
        self._rows = pd.DataFrame({
            "clip_id": table["clip_id"].astype(str).to_numpy(), "au_set": au_set_texts(table),
            "subject": persons(table).to_numpy() if "subject" in table else None,
            "label": [chances[k, place[name]] if name in place else np.nan for k, name in enumerate(known)],
            "predicted": chances.max(axis=1),
        }).sort_values(["predicted", "clip_id"], ascending=[False, True])  # fmt: skip
        self._pair = ClipPair(predictions.table, clips=clips, predictions=predictions, magnify=magnify)
        figure = plot_evaluation(summary, width=NARROW).update_layout(width=None)
        figure.add_shape(type="rect", name="chosen", xref="x", yref="y", line={"color": theme.RING, "width": 3})
        self._figure = LiveFigure(figure)
        self._figure.on_click(self._on_cell)
        true, predicted = ([("all", ""), *zip(names, names, strict=True)] for names in self._classes.values())
        choices = {
            "true": widgets.Dropdown(description="true", options=true),
            "predicted": widgets.Dropdown(description="predicted", options=predicted),
            "mistakes": widgets.ToggleButton(description="mistakes only", icon="times"),
        }
        self._message, self._table = widgets.HTML(), widgets.HTML()
        self._list = widgets.Select(rows=12, tooltip="The clip that plays")
        self._list.add_class("medn-listed")
        back = self._button("previous", "step-backward", "The clip before this one in the list", lambda: self._step(-1))
        forward = self._button("next", "step-forward", "The clip after this one in the list", lambda: self._step(1))
        left = widgets.VBox([self._message, self._list, widgets.HBox([back, forward])])
        tables = widgets.ToggleButtons(options=list(_TABLES), tooltips=list(_TABLES))
        bound = [self._bind(name, one) for name, one in choices.items()]
        self._bind(
            "clip_id", self._list, to_control=lambda name: name if name in dict(self._list.options).values() else None,
            to_trait=lambda name: name or (self.clip_id if self._list.options else ""),
        )  # fmt: skip
        super().__init__([
            self._figure, widgets.HBox(bound), widgets.HBox([left, self._pair.widget]), tables, self._table,
            widgets.HTML("".join(map(note, summary.notes))),
        ])  # fmt: skip
        self.observe(lambda _: self._choose(), list(choices))
        self.observe(lambda change: self._pair.show(*filter(None, [change.new])), "clip_id")
        tables.observe(lambda change: self._draw_table(change.new), "value")
        self._choose()
        self._draw_table("subjects")

    def select(self, true: str | None, predicted: str | None) -> pd.DataFrame:
        """List the clips of a cell and return their rows; None stands for the whole row or column.

        Parameters
        ----------
        true, predicted : str or None

        Returns
        -------
        DataFrame

        Raises
        ------
        ValueError
            If there is no such class.
        """
        with self.hold_trait_notifications():
            self.true, self.predicted, self.mistakes = true or "", predicted or "", False
        return self.selection

    @validates("true", "predicted", "clip_id")
    def _check(self, name: str, value: str) -> str:
        if value and name == "clip_id":
            positions(self._summary.predictions.table, value, owner="this panel")
        elif value and value not in self._classes[name]:
            raise ValueError(f"no {name} class {value!r} here; there are {', '.join(self._classes[name])}")
        return value

    def _on_cell(self, trace: Any, cell: list[int]) -> None:
        if trace.type == "heatmap" and trace.meta == "value":
            self.select(self._classes["true"][cell[0]], self._classes["predicted"][cell[1]])

    def _choose(self) -> None:
        """Find the clips of the cell, mark it in the figure, list them, and play the first one."""
        chosen = self.true, self.predicted, self.mistakes
        if chosen == self._chosen:
            return
        self._chosen = chosen
        inside, edges = np.ones(len(self._cells), dtype=bool), dict[str, float]()
        for name, axis in (("true", "y"), ("predicted", "x")):
            value, known = getattr(self, name), self._classes[name]
            inside &= (self._cells[name] == value).to_numpy() | (not value)
            first, last = (known.index(value),) * 2 if value else (0, len(known) - 1)
            edges |= {f"{axis}0": first - 0.5, f"{axis}1": last + 0.5}
        if self.mistakes:
            true = self._cells["true"]
            inside &= ((true != self._cells["predicted"]) & (true != UNLABELLED)).to_numpy()
        self._figure.drawn.update_shapes(edges, selector={"name": "chosen"})
        self._figure.send_figure()
        rows, classes = self._rows[inside[self._rows.index]], [html.escape(one or "any") for one in chosen[:2]]
        parts = [f"<b>{counted(len(rows), 'clip')}</b>", "true <b>{}</b>, predicted <b>{}</b>".format(*classes)]
        parts += ["mistakes only"] * self.mistakes
        if subjects := rows["subject"].nunique():
            parts.append(counted(subjects, "subject"))
        parts += [html.escape(f"{name}: {n}") for name, n in rows.sort_index()["au_set"].value_counts().head(4).items()]
        listed = rows.head(MOST_LISTED)
        more = f"the first {MOST_LISTED} of {len(rows):,} clips: " if len(rows) > MOST_LISTED else ""
        columns = note(f"{more}clip · scores of label and prediction · AUs")
        self._message.value = f"<div class='medn-line'>{' · '.join(parts)}</div>{columns}"
        self._list.options = [
            (f"{clip} · {label:.0%} {predicted:.0%} · {aus}".replace("nan%", "–"), clip)
            for clip, aus, label, predicted in listed.drop(columns="subject").itertuples(index=False)
        ]
        self.clip_id = listed["clip_id"].iloc[0] if len(listed) else ""
        self.set_trait("selection", self._frame[inside])

    def _step(self, by: int) -> None:
        if n := len(self._list.options):
            self._list.index = ((-1 if self._list.index is None else self._list.index) + by) % n

    def _draw_table(self, name: str) -> None:
        table = getattr(self._summary, name.lower())
        if table is None or not len(table):
            self._table.value = note(f"These predictions have no table of {name}.", warn=True)
            return
        table = table.sort_values("accuracy", kind="stable") if "accuracy" in table else table
        self._table.value = table_html(table, _TABLES[name], shares=["accuracy"])
