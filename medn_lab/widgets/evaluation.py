"""Who is taken for whom, which clips those are, and how far the score can be believed."""

from __future__ import annotations

import html

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Clips, EvaluationSummary, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.confusion_cells import UNLABELLED, confusion_cells
from medn_lab.view.rows import au_set_names, persons
from medn_lab.widgets.cell_grid import ON_DARK, ON_LIGHT, Cell, CellGrid, scale_colour
from medn_lab.widgets.clip_list import ClipList
from medn_lab.widgets.panel import Panel, count, note, number, plain, share, table_html, trait_errors
from medn_lab.widgets.score_lines import scores_drawing

_HEAD = 126
_CELL = ("true", "predicted")

TABLES = {
    "subjects": {
        "subject": ("subject", plain),
        "accuracy": ("accuracy", share),
        "n_clips": ("clips", count),
        "most_missed": ("missed most often", plain),
    },
    "AUs": {
        "au": ("AU", plain),
        "auc": ("AUC", number),
        "auc_low": ("from", number),
        "auc_high": ("to", number),
        "f1": ("F1", number),
        "n_positive": ("clips with it", count),
        "n_subjects": ("of subjects", count),
        "reason": ("remark", plain),
    },
    "folds": {
        "held_out": ("held out", plain),
        "accuracy": ("accuracy", share),
        "n_test": ("clips", count),
        "error": ("failed because", plain),
    },
}
"""The tables of the panel: column, its title and how it is shown."""


class EvaluationPanel(Panel):
    """Read an evaluation: press a cell of the confusion matrix and see its clips, beside what the score is worth.

    Press a cell: its clips are listed below, the surest first, and the one in hand plays with its scores. *Next* and
    *previous* step through the list, *play* goes through it alone. Two lists, *true* and *called*, do what pressing a
    cell does, also for a whole row or column. On the right stand the scores with their intervals between floor and
    ceilings, and the tables of persons, AUs and folds.

    Parameters
    ----------
    summary : EvaluationSummary or Predictions
        ``medn.evaluate.evaluation_summary(predictions)``; bare predictions have the matrix and its clips alone.
    clips : Clips or None
        What plays.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.
    width : int
        In pixels.

    Attributes
    ----------
    selection : DataFrame
        The clips of the cell, with ``predicted`` and a probability a class; a read-only trait, so that it
        can be followed.
    true, predicted : str
        Row and column chosen; empty stands for all of them. Traits: set them to list other clips.
    clip_id : str
        The clip that plays; a trait: set it to play another.

    Examples
    --------
    >>> import numpy as np
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> panel = EvaluationPanel(Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y")))
    >>> panel.select("y", "x")["clip_id"].tolist()
    ['d']
    """

    selection = traitlets.Instance(pd.DataFrame, read_only=True)
    true = traitlets.Unicode("")
    predicted = traitlets.Unicode("")
    clip_id = traitlets.Unicode("")

    def __init__(
        self,
        summary: EvaluationSummary | Predictions,
        *,
        clips: Clips | None = None,
        magnify: float = 6.0,
        width: int = 1000,
    ) -> None:
        if isinstance(summary, Predictions):
            told = "No scores: hand in medn.evaluate.evaluation_summary(predictions)."
            summary = EvaluationSummary(summary, notes=(told,))
        self._summary = summary
        self._cells = confusion_cells(summary.predictions, label=summary.label)
        self._frame = _frame(summary.predictions)
        self._grid = CellGrid(self._on_cell)
        self._putting = False
        self._chosen = ("", "")  # row and column whose clips are listed
        self._list = ClipList(summary.predictions, clips=clips, label=summary.label, magnify=magnify)
        self._build(width)
        super().__init__(
            [self._top, self._selected, self._list, self._foot],
            name="evaluation-panel",
            width=f"{width + 8}px",
            results={"selection": self._frame.iloc[:0]},
        )
        self._wire()
        self._draw_matrix()
        self._draw_table()
        self._say_selected()

    # What may be called -----------------------------------------------------------------------------------------------

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
        places = self._cells.places(true or None, predicted or None)
        self._choose(true or "", predicted or "")
        self._mark()
        self._put(places)
        return self.selection

    def show(self, clip_id: str) -> None:
        """Play this clip, whether its cell is chosen or not.

        Raises
        ------
        ValueError
            If it is not among the predictions.
        """
        positions(self._summary.predictions.table, clip_id, owner="this panel")
        self.clip_id = str(clip_id)

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self, width: int) -> None:
        cells, style = self._cells, {"description_width": "initial"}
        self._cell_width = int(np.clip(390 / max(len(cells.columns), 1), 40, 68))
        matrix = _HEAD + (self._cell_width + 2) * len(cells.columns) + 8
        matrix = min(matrix, width - 390)
        self._as = widgets.ToggleButtons(
            options=["counts", "row shares"], tooltips=["Clips in each cell", "Share of the clips of the true class"],
            style={"button_width": "98px"},
        )  # fmt: skip

        def listed(description: str, names: tuple[str, ...], tooltip: str) -> widgets.Dropdown:
            options = [("all", ""), *((name, name) for name in names)]
            layout = widgets.Layout(width="152px", margin="2px 8px 2px 0")
            return widgets.Dropdown(
                options=options, value="", description=description, style=style, tooltip=tooltip, layout=layout
            )

        self._trues = listed("true", cells.rows, "The row: what the clips were labelled")
        self._calleds = listed("called", cells.columns, "The column: what the model called them")
        self._wrong = widgets.Button(
            description="All mistakes", tooltip="List every clip off the diagonal", icon="times",
            layout=widgets.Layout(width="112px"),
        )  # fmt: skip
        box = widgets.Box([self._grid], layout=widgets.Layout(overflow="auto", max_height="430px", margin="4px 0"))
        choose = widgets.HBox([self._trues, self._calleds, self._wrong], layout=widgets.Layout(flex_flow="row wrap"))
        left = widgets.VBox([self._as, box, choose], layout=widgets.Layout(width=f"{matrix}px", flex=f"0 0 {matrix}px"))
        self._wide = width - matrix - 24
        self._views = widgets.ToggleButtons(
            options=["scores", *TABLES], style={"button_width": "74px"},
            tooltips=["Accuracy, UF1 and UAR", "A person a row", "An AU a row", "A fold a row"],
        )  # fmt: skip
        self._sorts = widgets.Dropdown(
            options=[("–", "")], description="Sort", style=style, tooltip="The order of the table",
            layout=widgets.Layout(width="170px"),
        )  # fmt: skip
        self._table = widgets.HTML(layout=widgets.Layout(height="252px", overflow="auto", margin="4px 0"))
        bar = widgets.HBox([self._views, self._sorts], layout=widgets.Layout(flex_flow="row wrap"))
        right = widgets.VBox([bar, self._table], layout=widgets.Layout(width=f"{self._wide}px", margin="0 0 0 14px"))
        self._top = widgets.HBox([left, right])
        self._selected = widgets.HTML(layout=widgets.Layout(margin="6px 0 2px 0"))
        self._foot = widgets.HTML("".join(note(text) for text in self._summary.notes))

    def _wire(self) -> None:
        self._as.observe(lambda change: self._draw_matrix(), "value")
        for control in (self._trues, self._calleds):
            control.observe(lambda change: self._on_choice(), "value")
        self._wrong.on_click(lambda _: self._select_mistakes())
        self._views.observe(lambda change: self._on_view(), "value")
        self._sorts.observe(lambda change: self._draw_table(), "value")
        self.observe(self._on_chosen, ["true", "predicted"])
        traitlets.link((self._list, "clip_id"), (self, "clip_id"))

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_cell(self, row: int, column: int) -> None:
        self.select(self._cells.rows[row], self._cells.columns[column])

    @traitlets.validate("true", "predicted")
    def _a_class(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            self._cells.places(*(proposal.value or None if proposal.trait.name == one else None for one in _CELL))
        return proposal.value

    @traitlets.validate("clip_id")
    def _a_clip(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            if proposal.value:
                positions(self._summary.predictions.table, proposal.value, owner="this panel")
        return proposal.value

    def _choose(self, true: str, predicted: str) -> None:
        """Let traits and lists say the same cell; half of that is nobody's choice."""
        self._chosen, self._putting = (true, predicted), True
        with self.hold_trait_notifications():
            self.true, self.predicted = true, predicted
        self._trues.value, self._calleds.value = true, predicted
        self._putting = False

    def _put(self, places: np.ndarray, *, what: str = "") -> None:
        """List the clips at these positions."""
        chosen = self._frame.iloc[places]
        self._say_selected(chosen, what=what)
        self._list.put(places)
        self.set_trait("selection", chosen)

    def _on_chosen(self, change: traitlets.Bunch) -> None:
        if self._chosen != (self.true, self.predicted):
            self.select(self.true, self.predicted)

    def _on_choice(self) -> None:
        chosen = self._trues.value, self._calleds.value
        if not self._putting and chosen != (self.true, self.predicted):
            self.select(chosen[0] or None, chosen[1] or None)

    def _select_mistakes(self) -> None:
        wrong = (self._cells.true != self._cells.predicted) & (self._cells.true != UNLABELLED)
        self._choose("", "")
        self._grid.mark(None)
        self._put(np.flatnonzero(wrong), what="off the diagonal")

    def _on_view(self) -> None:
        columns = TABLES.get(self._views.value)
        self._sorts.options = [("–", "")]
        if columns is not None:
            several = [(title, key) for key, (title, _) in columns.items() if key not in ("reason", "error")]
            self._sorts.options = [(f"{t} {arrow}", f"{sign}{key}") for t, key in several for arrow, sign in _WAYS]
            self._sorts.value = next((v for _, v in self._sorts.options if v == "+accuracy"), self._sorts.options[0][1])
        self._draw_table()

    # What is drawn ----------------------------------------------------------------------------------------------------

    def _draw_matrix(self) -> None:
        cells, shares, as_counts = self._cells, self._cells.shares, self._as.value == "counts"
        totals = cells.counts.sum(axis=1)
        drawn = [
            [self._cell(row, column, shares[row, column], as_counts) for column in range(len(cells.columns))]
            for row in range(len(cells.rows))
        ]
        heads = [
            f"<div class='medn-line' style='white-space:nowrap' title='{html.escape(name)}, {n} clips'>{_marker(name)}"
            f"{html.escape(name[:12])} <span class='medn-quiet'>{n}</span></div>"
            for name, n in zip(cells.rows, totals, strict=True)
        ]
        tops = [
            f"<div style='font-size:11px;text-align:center;white-space:nowrap;line-height:1.25'"
            f" title='{html.escape(name)}'>{_marker(name)}<br>{html.escape(name[: self._cell_width // 6])}</div>"
            for name in cells.columns
        ]
        corner = "<div class='medn-note'>true ↓ &nbsp; called →</div>"
        high = 34 if len(cells.rows) <= 8 else 26
        self._grid.draw(
            heads, tops, drawn, corner=corner, head_width=_HEAD, cell_width=self._cell_width, row_height=high
        )
        self._mark()

    def _cell(self, row: int, column: int, part: float, as_counts: bool) -> Cell:
        n, known = int(self._cells.counts[row, column]), not np.isnan(part)
        true, called = self._cells.rows[row], self._cells.columns[column]
        text = f"{n:,}" if as_counts else (f"{part:.0%}" if known else "–")
        hint = f"true {true}, called {called}: {n} clips" + (f", {part:.0%} of the row" if known else "")
        ground = scale_colour(theme.SHARE_SCALE, part if known else 0.0)
        return Cell(text, f"{hint}. Press to list them.", ground, ON_DARK if known and part > 0.65 else ON_LIGHT)

    def _mark(self) -> None:
        there = self.true in self._cells.rows and self.predicted in self._cells.columns
        place = (self._cells.rows.index(self.true), self._cells.columns.index(self.predicted)) if there else None
        self._grid.mark(place)

    def _draw_table(self) -> None:
        view, summary = self._views.value, self._summary
        self._sorts.disabled = view == "scores"
        if view == "scores":
            there = len(summary.scores) > 0
            missing = note(" ".join(summary.notes) or "Nothing was scored.", warn=True)
            self._table.value = scores_drawing(summary, width=self._wide - 8) if there else missing
            return
        table = {"subjects": summary.subjects, "AUs": summary.aus, "folds": summary.folds}[view]
        if table is None or not len(table):
            reasons = {
                "subjects": "No persons are known here.",
                "AUs": next((n for n in summary.notes if "AU table" in n), "There is no AU table."),
                "folds": "These predictions have no folds: they are of one model that was asked once.",
            }
            self._table.value = note(reasons[view], warn=True)
            return
        sort = self._sorts.value
        self._table.value = table_html(table, TABLES[view], by=sort[1:], ascending=not sort.startswith("-"))

    def _say_selected(self, chosen: pd.DataFrame | None = None, *, what: str = "") -> None:
        if chosen is None:
            n = len(self._frame)
            told = (
                f"{n:,} clips. Press a cell of the matrix to list and play its clips." if n else "There are no clips."
            )
            self._selected.value = f"<div class='medn-line medn-quiet'>{told}</div>"
            return
        said = (
            what
            or f"true <b>{html.escape(self.true or 'any')}</b>, called <b>{html.escape(self.predicted or 'any')}</b>"
        )
        parts = [f"<b>{len(chosen):,} clips</b> {said}"]
        if len(chosen):
            if "subject" in chosen:
                parts.append(f"{persons(chosen).nunique()} subjects")
            sets = pd.Series(au_set_names(chosen)).value_counts()
            shown = ", ".join(f"{html.escape(str(name))} {n}" for name, n in sets.head(4).items())
            parts.append(f"AU sets {shown}" + (f" and {len(sets) - 4} more" if len(sets) > 4 else ""))
        self._selected.value = f"<div class='medn-line'>{' · '.join(parts)}</div>"


_WAYS = (("↑", "+"), ("↓", "-"))


def _marker(name: str) -> str:
    if name == UNLABELLED:
        return ""
    glyph = theme.SYMBOL_GLYPHS.get(theme.emotion_symbol(name), "●")
    return f"<span style='color:{theme.emotion_colour(name)}'>{glyph}</span> "


def _frame(predictions: Predictions) -> pd.DataFrame:
    if len(predictions):
        return predictions.to_frame()
    return predictions.table.assign(predicted=pd.Series(dtype=object))
