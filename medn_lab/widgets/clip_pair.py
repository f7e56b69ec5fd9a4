"""The chosen clip and its partner: cards on either side, the faces between them in step."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd

from medn_lab.records import Clips, Predictions
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import clip_heading, note, score_rows

_FACE = 200  # longer side of a face in pixels of the page
_HINTS = (
    "Hover or click a point, or name a clip above: it plays here.",
    "“Confusable partner” shows the clip that has the same AU set and another emotion.",
)


class ClipPair:
    """One or two clips that play in step, with their labels and scores.

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
        self.view = ClipView(clips, size=_FACE, magnify=magnify, playing=True)
        self.message = widgets.HTML()
        self.cards = [widgets.HTML(layout=widgets.Layout(flex="1 1 200px", min_width="0")) for _ in range(2)]
        middle = widgets.VBox([self.view, self.message], layout=widgets.Layout(width="420px", margin="0 8px"))
        self.widget = widgets.HBox(
            [self.cards[0], middle, self.cards[1]],
            layout=widgets.Layout(
                margin="6px 0 0 0", flex_flow="row wrap", min_height="" if clips is None else "320px"
            ),
        )
        self.show()

    def show(self, *clip_ids: str) -> None:
        """Show none, one or two clips."""
        for card, name, hint in zip(self.cards, (*clip_ids, "", "")[:2], _HINTS, strict=True):
            card.value = self._card(name) if name else note(hint)
        self.view.show(*clip_ids)
        self.view.layout.display = "" if clip_ids else "none"

    def say(self, text: str, *, warn: bool = False) -> None:
        """Write one sentence under the faces."""
        self.message.value = note(text, warn=warn)

    def _card(self, clip_id: str) -> str:
        row = self._rows.loc[clip_id]
        return f"<div class='medn-card'>{clip_heading(row)}{score_rows(self._predictions, clip_id)}</div>"
