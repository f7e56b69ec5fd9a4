"""A list of clips to look through: sorted, stepped with the arrow keys, each one playing beside its scores."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Clips, Predictions, positions
from medn_lab.view.rows import au_set_texts, persons
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import clip_heading, note, score_rows

MOST_LISTED = 400
"""Clips in the list; a browser is slow with many more, and nobody reads them."""

_FACE = 196
_STAY = 2400  # milliseconds on a clip while the list plays, two rounds of it
_SORTS = {
    "surest first": ("score_predicted", False),
    "least sure first": ("score_predicted", True),
    "score of the label": ("score_label", True),
    "subject": ("subject", True),
    "AU set": ("au_set", True),
    "clip": ("clip_id", True),
}


class ClipList(widgets.HBox):
    """The clips of a cell, one of them in hand and playing.

    Parameters
    ----------
    predictions : Predictions
    clips : Clips or None
        What plays.
    label : str
        Column of the true class.
    magnify : float
    """

    clip_id = traitlets.Unicode("")

    def __init__(self, predictions: Predictions, *, clips: Clips | None, label: str, magnify: float) -> None:
        self._predictions = predictions
        self.view = ClipView(clips, size=_FACE, magnify=magnify, playing=True)
        self._table = _listed_columns(predictions, label)
        self._shown = self._table.iloc[:0]
        self._filling = False
        self._build()
        super().__init__(children=[self._left, self._middle, self._card], layout=widgets.Layout(min_height="292px"))
        for control in (self._sorts, self._persons):
            control.observe(lambda change: None if self._filling else self._fill(), "value")
        self._list.observe(lambda change: self._take(change.new), "value")
        self.observe(self._on_clip, "clip_id")
        self._play.observe(lambda change: self._step_to(change.new), "value")
        self._back.on_click(lambda _: self.step(-1))
        self._on.on_click(lambda _: self.step(1))
        self._fill()

    def put(self, places: np.ndarray) -> None:
        """List the clips at these positions of the predictions, of all persons again."""
        self._here = self._table.iloc[places]
        counts = self._here["subject"].value_counts().sort_index()
        self._filling = True
        self._persons.options = [(f"all {len(counts)} subjects", "")] + [(f"{k} ({n})", k) for k, n in counts.items()]
        self._persons.value = ""
        self._filling = False
        self._fill()

    @property
    def listed(self) -> list[str]:
        """Ids of the clips of the cell and the person chosen, in the order of the list."""
        return self._shown["clip_id"].tolist()

    def show(self, clip_id: str) -> None:
        """Play this clip; it is marked in the list if it stands there."""
        self.clip_id = clip_id

    def step(self, by: int) -> None:
        """Take up the clip so many places further in the list; at its ends nothing happens."""
        self._step_to(max(by, 0) - 1 if self._list.index is None else self._list.index + by)

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        style = {"description_width": "initial"}
        self._here = self._table.iloc[:0]
        self._sorts = widgets.Dropdown(
            options=list(_SORTS), description="Sort", style=style, tooltip="The order of the list",
            layout=widgets.Layout(width="176px"),
        )  # fmt: skip
        self._persons = widgets.Dropdown(
            options=[("all subjects", "")], value="", description="of", style=style,
            tooltip="Only the clips of one person", layout=widgets.Layout(width="160px"),
        )  # fmt: skip
        self._head = widgets.HTML()
        self._list = widgets.Select(
            options=[], rows=12, tooltip="Click a clip: it plays beside",
            layout=widgets.Layout(width="372px", height="206px"),
        )  # fmt: skip
        self._list.add_class("medn-listed")
        self._play = widgets.Play(
            value=0, min=0, max=0, interval=_STAY, tooltip="Play the listed clips one after another",
            layout=widgets.Layout(width="148px"),
        )  # fmt: skip
        self._back, self._on = (
            widgets.Button(icon=icon, tooltip=f"The {what} clip of the list", layout=widgets.Layout(width="40px"))
            for icon, what in (("step-backward", "previous"), ("step-forward", "next"))
        )
        self._said = widgets.HTML(layout=widgets.Layout(margin="0 0 0 8px"))
        self._left = widgets.VBox(
            [
                widgets.HBox([self._sorts, self._persons]),
                self._head,
                self._list,
                widgets.HBox([self._back, self._on, self._play, self._said]),
            ],
            layout=widgets.Layout(width="384px", flex="0 0 384px", overflow="hidden"),
        )
        self._middle = widgets.VBox(
            [self.view], layout=widgets.Layout(width="276px", flex="0 0 276px", margin="0 8px", overflow="hidden")
        )
        self._card = widgets.HTML(layout=widgets.Layout(flex="1 1 0", min_width="0"))

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        by, ascending = _SORTS[self._sorts.value]
        chosen = self._here
        if self._persons.value:
            chosen = chosen[chosen["subject"] == self._persons.value]
        self._shown = chosen.sort_values([by, "clip_id"], ascending=[ascending, True], kind="stable")
        listed = self._shown.head(MOST_LISTED)
        wide = max([12, *listed["clip_id"].str.len()])
        heads = _columns("clip", "AUs", "label", "called", wide=wide)
        self._head.value = f"<div class='medn-listed-head medn-quiet' style='margin-left:6px'>{heads}</div>"
        rows = listed[["clip_id", "au_set", "score_label", "score_predicted"]].itertuples(index=False)
        options = [(_columns(c, a, _percent(s), _percent(p), wide=wide), c) for c, a, s, p in rows]
        # The words first: the picture of the clip in hand takes a moment.
        more = len(self._shown) - len(options)
        told = f"{len(self._shown):,} clips" + (f", the first {len(options)} listed" if more else "")
        self._said.value = note(told)
        self._filling = True  # what the list and the play bar say on the way is of no clip
        self._play.value, self._play.max = 0, max(len(options) - 1, 0)
        for control in (self._play, self._back, self._on):
            control.disabled = len(options) < 2
        self._list.options = options
        self._list.value = options[0][1] if options else None
        self._filling = False
        self._take(self._list.value)
        if not options:
            self.clip_id = ""
            self._draw()

    def _on_clip(self, change: traitlets.Bunch) -> None:
        there = change.new in dict(self._list.options).values()
        self._list.value = change.new if there else None
        self._draw()

    def _take(self, clip_id: str | None) -> None:
        if self._filling:
            return
        if clip_id is not None:
            self.clip_id = clip_id
        if self._list.index is not None and self._play.value != self._list.index:
            self._play.value = self._list.index

    def _step_to(self, place: int) -> None:
        if not self._filling and 0 <= place < len(self._list.options) and self._list.index != place:
            self._list.index = place

    def _draw(self) -> None:
        self.view.show(*filter(None, [self.clip_id]))
        self.view.layout.display = "" if self.clip_id else "none"
        if not self.clip_id:
            self._card.value = note("Press a cell of the matrix, or choose its row and column: its clips are listed.")
            return
        row = self._predictions.table.iloc[positions(self._table, self.clip_id, owner="these Predictions")[0]]
        self._card.value = (
            f"<div class='medn-card'>{clip_heading(row)}{score_rows(self._predictions, self.clip_id)}</div>"
        )


def _listed_columns(predictions: Predictions, label: str) -> pd.DataFrame:
    """What the list shows and sorts by, a clip a row: id, AU set, subject, scores of label and prediction."""
    table, chances = predictions.table, predictions.probabilities if len(predictions) else np.zeros((0, 1))
    place = {name: number for number, name in enumerate(predictions.classes)}
    truth = table[label] if label in table else [None] * len(table)
    own = [chances[k, place[name]] if name in place else np.nan for k, name in enumerate(truth)]
    return pd.DataFrame(
        {
            "clip_id": table["clip_id"].astype(str),
            "au_set": au_set_texts(table) if len(table) else [],
            "subject": persons(table).astype(str) if "subject" in table else "",
            "score_label": np.asarray(own, dtype=float),
            "score_predicted": chances.max(axis=1) if len(table) else np.zeros(0),
        }
    )


def _columns(clip: str, aus: str, label: str, called: str, *, wide: int) -> str:
    """A line of the list in columns; spaces that a browser keeps."""
    fits = max(6, 38 - wide)
    aus = aus if len(aus) <= fits else f"{aus[: fits - 1]}…"
    return f"{clip:<{wide}} {aus:<{fits}} {label:>5} {called:>6}".replace(" ", "\u00a0")


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0%}"
