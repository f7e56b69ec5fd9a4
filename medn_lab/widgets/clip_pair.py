"""The clip in hand and its partner: cards on either side, the faces between them in step."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from medn_lab.records import Clips, Predictions
from medn_lab.view.magnify import MOST
from medn_lab.widgets.cards import clip_heading, score_rows
from medn_lab.widgets.faces import FaceLoop
from medn_lab.widgets.overlays import OVERLAYS
from medn_lab.widgets.style import note

_FACE = 196  # longer side of a face in pixels of the page
_HINTS = (
    "Hover or click a point, or name a clip above: it plays here.",
    "“Confusable partner” puts the clip beside it that has the same AU set and another emotion.",
)


class ClipPair:
    """One or two clips that play in step, with what is known and said of them.

    Parameters
    ----------
    table : DataFrame
        What is known of the clips.
    clips : Clips or None
    predictions : Predictions or None
    magnify : float
        From 1 to 20.
    """

    def __init__(
        self, table: pd.DataFrame, *, clips: Clips | None, predictions: Predictions | None, magnify: float
    ) -> None:
        self._rows, self._predictions = table.set_index("clip_id", drop=False), predictions
        self._faces = FaceLoop(clips, size=_FACE)
        self._shown: tuple[str, ...] = ()
        self.message, self.reading = widgets.HTML(), widgets.HTML()
        self.cards = [widgets.HTML(layout=widgets.Layout(flex="1 1 0", min_width="0")) for _ in range(2)]
        self.picture = widgets.Image(
            format="webp", layout=widgets.Layout(height=f"{_FACE}px", object_fit="contain", margin="0 auto")
        )
        self.magnifies = widgets.FloatSlider(
            magnify, min=1, max=MOST, step=0.5, description="motion ×", readout_format=".1f", continuous_update=False,
            tooltip="How many times as large the motion is drawn", style={"description_width": "64px"},
            layout=widgets.Layout(width="264px"),
        )  # fmt: skip
        self.overlays = widgets.Dropdown(
            options=[(title, key) for key, title in OVERLAYS.items()], tooltip="What is drawn over the faces",
            layout=widgets.Layout(width="136px"),
        )  # fmt: skip
        tools = widgets.HBox([self.magnifies, self.overlays], layout=widgets.Layout(justify_content="center"))
        middle = widgets.VBox(
            [self.picture, tools, self.reading, self.message],
            layout=widgets.Layout(width="412px", flex="0 0 412px", margin="0 8px"),
        )
        self.widget = widgets.HBox([self.cards[0], middle, self.cards[1]], layout=widgets.Layout(margin="6px 0 0 0"))
        if clips is None:  # nothing to play
            tools.layout.display = "none"
        else:  # what is below stays where it is when the first clip comes
            self.widget.layout.min_height = "238px"
        for control in (self.magnifies, self.overlays):
            control.observe(lambda change: self._draw(), "value")
        self.show()

    def show(self, *clip_ids: str) -> None:
        """Show none, one or two clips; what cannot be played of them is said."""
        self._shown = clip_ids
        for card, name, hint in zip(self.cards, (*clip_ids, "", "")[:2], _HINTS, strict=True):
            card.value = self._card(name) if name else note(hint)
        self._draw()

    def say(self, text: str, *, warn: bool = False) -> None:
        """Write one sentence under the faces."""
        self.message.value = note(text, warn=warn)

    def _draw(self) -> None:
        self.reading.value = ""
        problems = [self._faces.why_not(name) for name in self._shown]
        if not self._shown or any(problems):
            self.picture.layout.display = "none"
            if any(problems):
                self.say(next(filter(None, problems)), warn=True)
            return
        self.picture.layout.display = ""
        self.picture.value, reading = self._faces.animation(
            self._shown, magnify=self.magnifies.value, overlay=self.overlays.value
        )
        self.reading.value = note(reading)

    def _card(self, clip_id: str) -> str:
        row = self._rows.loc[clip_id]
        return f"<div class='medn-card'>{clip_heading(row)}{score_rows(self._predictions, clip_id)}</div>"
