"""Clips that play: a player of one clip, and a pair of clips in step with their labels and scores."""

from __future__ import annotations

import html
from typing import Any, Literal

import ipywidgets as widgets
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, Predictions
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.rows import clip_row, describe
from medn_lab.widgets.clip_view import ClipView, of_view
from medn_lab.widgets.page import WrittenPanel
from medn_lab.widgets.panel import clip_headings, control, note, score_rows, validates

_MOST_LISTED = 400  # more clips are found by typing: a list of thousands of entries is slow to draw


class ClipPlayer(WrittenPanel):
    """Play a clip, frame by frame or slowly, with its flow and with its motion magnified.

    Magnified motion is drawn by pushing each frame further along the clip's own onset-to-apex flow, as far as that
    frame is on its way to the apex; nothing is invented between frames, and a factor of 1 is the clip itself. Without
    flow, frame differences are amplified instead. Clips of flow alone show their flow on a plain ground. The page draws
    all of this: the sliders need no kernel. The tab key reaches every control; arrow keys step the frame slider.

    Parameters
    ----------
    clips : Clips
        What they lack (frames, flow, the apex, the frame rate) is named in its place.
    clip_id : str or None
        The clip to begin with; the first one where None.
    kept : KeptTokens or None
        Adds an overlay of the positions that the emotion branch kept, a keep rate at a time:
        ``medn.diagnose.kept_tokens(model, clips)``. Joined by clip_id.
    attribution : Attribution or None
        Adds an overlay of what raised its target (red) and what lowered it (blue), frame by frame. Joined by clip_id.
    overlay : {"none", "arrows", "magnitude", "kept", "attribution"}
        What is drawn over the face: nothing, the flow as arrows, or its length as colour, and what was given.
    magnify : float
        From 1 to 20.
    size : int
        Longer side of the picture in pixels of the page.

    Attributes
    ----------
    clip_id : str
        The clip that plays; a trait: set it to play another, observe it to follow.
    view : ClipView
        What is drawn in the page. Its traits ``frame``, ``playing``, ``overlay``, ``keep_rate``, ``attributed``,
        ``magnify``, ``speed`` and ``loop`` can be set and observed; ``player.frame`` and so on read and set them too.

    Raises
    ------
    ValueError
        If there are no clips, no clip of that name, no such overlay here, or a factor or frame is out of range.

    See Also
    --------
    medn_lab.view.plot_clip, medn_lab.view.plot_magnification, medn_lab.view.plot_kept_tokens,
    medn_lab.view.plot_attribution

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from medn_lab.records import Clips
    >>> table = pd.DataFrame({"clip_id": ["a"], "subject": ["s01"]})
    >>> player = ClipPlayer(Clips(np.zeros((1, 5, 16, 16, 3), np.uint8), None, table))
    >>> player.view.frame = 3
    >>> player.view.moments[player.view.frame]["text"]
    'frame 4 of 5'
    """

    clip_id = traitlets.Unicode()
    frame, playing, loop, speed, magnify, overlay, keep_rate, attributed = map(
        of_view, ("frame", "playing", "loop", "speed", "magnify", "overlay", "keep_rate", "attributed")
    )

    def __init__(
        self, clips: Clips, *, clip_id: str | None = None, kept: KeptTokens | None = None,
        attribution: Attribution | None = None,
        overlay: Literal["none", "arrows", "magnitude", "kept", "attribution"] = "none", magnify: float = 1.0,
        size: int = 320,
    ) -> None:  # fmt: skip
        if not len(clips):
            raise ValueError("there are no clips to play: the record is empty")
        names = list(map(str, clips.table["clip_id"]))
        wanted = {} if overlay == "none" else {"overlay": overlay}
        self._clips = clips
        checks = [] if attribution is None else sanity_lines(attribution)
        self._checks = "".join(note(line, escape=False) for line in checks)
        self.view = ClipView(clips, kept=kept, attribution=attribution, size=size, magnify=magnify, **wanted)
        self._heading, self._message = widgets.HTML(), widgets.HTML()
        self.clip_id = names[0] if clip_id is None else str(clip_id)
        typed = {"continuous_update": False, "placeholder": "type a name"} if len(names) > _MOST_LISTED else {}
        kind, hint = widgets.Combobox if typed else widgets.Dropdown, f"Any of {len(names)} clips"
        chooser = control(kind, "clip", options=names[:_MOST_LISTED], tooltip=hint, **typed)
        look = {"flex": "1 1 240px", "max_width": "560px", "margin": "0 0 0 18px"}
        side = widgets.VBox([self._heading, self._bind("clip_id", chooser), self._message], layout=look)
        super().__init__([widgets.HBox([self.view, side])])
        self.observe(lambda change: self._show_clip(), "clip_id")
        self.view.observe(lambda change: self._show_checks(), "overlay")
        self._show_clip()

    def show(self, clip_id: str) -> None:
        """Show this clip from its onset.

        Parameters
        ----------
        clip_id : str

        Raises
        ------
        ValueError
            If there is no such clip.
        """
        self.clip_id = str(clip_id)
        self.view.frame = 0

    def _page(self) -> dict[str, Any]:
        table = self._clips.table
        items = [(html.unescape(describe(row)), row["clip_id"]) for _, row in table.iterrows()]
        return {"view": self.view, "table": table, "about": self._clips, "data": {"items": items}}

    def _show_clip(self) -> None:
        self.view.show(self.clip_id)
        self._heading.value = clip_headings(self._clips.table.iloc[[clip_row(self._clips, self.clip_id)[0]]])[0]
        self._show_checks()

    def _show_checks(self) -> None:
        self._message.value = self._checks if self.view.overlay == "attribution" else ""

    @validates("clip_id")
    def _among_clips(self, _: str, value: str) -> str:
        clip_row(self._clips, value)
        return value


class ClipPair:
    """One or two clips that play in step, between their labels and scores.

    Parameters
    ----------
    table : DataFrame
        What is known of the clips; joined by clip_id.
    clips : Clips or None
    predictions : Predictions or None
    magnify : float
        From 1 to 20.
    names : (str, str)
        Stands above each clip's labels.
    hints : (str, str)
        Stands in the place of a clip that is not shown.

    Attributes
    ----------
    widget : HBox
        What is put on the page.
    view : ClipView
    cards : list of HTML
        The labels and scores of each clip.
    message : HTML
        The sentence under the faces.
    """

    def __init__(
        self, table: pd.DataFrame, *, clips: Clips | None, predictions: Predictions | None, magnify: float,
        names: tuple[str, str] = ("", ""), hints: tuple[str, str] = ("", ""),
    ) -> None:  # fmt: skip
        self._rows, self._predictions = table.set_index("clip_id", drop=False), predictions
        self._names, self._hints = names, hints
        self.view = ClipView(clips, size=200, magnify=magnify, playing=True)
        self.message = widgets.HTML()
        self.cards = [widgets.HTML(layout={"flex": "1 1 170px", "min_width": "0"}) for _ in range(2)]
        middle = widgets.VBox([self.view, self.message], layout={"width": "420px", "margin": "0 8px"})
        look = {"margin": "6px 0 0 0", "min_height": "" if clips is None else "320px"}
        self.widget = widgets.HBox([self.cards[0], middle, self.cards[1]], layout=look)
        self.show()

    def show(self, *clip_ids: str) -> None:
        """Show none, one or two clips."""
        shown = (*clip_ids, "", "")[:2]
        for card, clip_id, name, hint in zip(self.cards, shown, self._names, self._hints, strict=True):
            text = note(hint)
            if clip_id:
                text = clip_headings(self._rows.loc[[clip_id]])[0] + score_rows(self._predictions, clip_id)
            card.value = f"<div class='medn-card'>{note(name)}{text}</div>"
        self.view.show(*clip_ids)
        self.view.layout.display = "" if clip_ids else "none"
