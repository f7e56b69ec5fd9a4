"""The places that each keep rate kept of a clip, side by side, and what they cover."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from medn_lab.records import Clips, KeptTokens, positions, require
from medn_lab.view.images import draw_outline, enlarge, region_of, to_webp
from medn_lab.view.kept import dim_dropped
from medn_lab.view.rows import clip_moments, clip_row
from medn_lab.widgets.panel import note

PIXELS = 132
_GAP = 8


class KeptStrip:
    """The kept places of the clip in hand, or a sentence on why there are none.

    Parameters
    ----------
    clips : Clips
    kept : KeptTokens or None
        Those that were given.
    ask : callable or None
        Makes those of a clip by its id, where none were given; it may know of none.

    Attributes
    ----------
    box : widgets.Box
    """

    def __init__(
        self, clips: Clips, *, kept: KeptTokens | None, ask: Callable[[str], KeptTokens | None] | None
    ) -> None:
        self._clips, self._kept, self._ask = clips, kept, ask
        self._text = widgets.HTML()
        self._picture = widgets.Image(format="webp", layout=widgets.Layout(display="none"))
        self.box = widgets.VBox([self._text, self._picture], layout=widgets.Layout(margin="6px 0 0 0"))

    def show(self, clip_id: str) -> None:
        """Show what was kept of a clip."""
        layout = self._picture.layout
        kept = self._kept
        if kept is None and self._ask is not None:
            kept = self._ask(clip_id)
        if kept is None or self._clips.frames is None or clip_id not in set(kept.table["clip_id"]):
            layout.display = "none"
            none = "No kept places: no emotion branch that would keep any is at hand, or these clips have no frames."
            here = "This clip is not among the kept places that were given."
            self._text.value = note(none if kept is None or self._clips.frames is None else here)
            return
        self._picture.value, self._text.value, width, height = kept_strip(kept, self._clips, clip_id)
        layout.width, layout.height, layout.display = f"{width}px", f"{height}px", ""


def kept_strip(kept: KeptTokens, clips: Clips, clip_id: str) -> tuple[bytes, str, int, int]:
    """One picture a keep rate with a line around what was planted, its captions, and its size on the page.

    Parameters
    ----------
    kept : KeptTokens
    clips : Clips
        With frames.
    clip_id : str

    Returns
    -------
    picture : bytes
        WebP.
    text : str
        HTML.
    width, height : int
        In pixels.

    Raises
    ------
    ValueError
        If the clip is not in both.
    """
    place = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
    row, _ = clip_row(clips, clip_id)
    apex = clip_moments(clips, clip_id).apex
    frames = require(clips.frames, otherwise="these clips have no frames to draw kept positions over")
    face = enlarge(np.asarray(frames[row, 0 if apex is None else apex]), 2 * PIXELS)
    outline = None if clips.truth is None or not kept.region else region_of(clips, clip_id, kept.region)
    pictures = [dim_dropped(face, mask) for mask in kept.masks[place]]
    if outline is not None and outline.any():
        pictures = [draw_outline(picture, outline) for picture in pictures]
    gap = np.full((pictures[0].shape[0], 2 * _GAP, 3), 128, dtype=np.uint8)
    joined = np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
    told = []
    for scale, rate in enumerate(kept.keep_rates):
        said = f"keep {rate:g}: {int(kept.masks[place, scale].sum())} of {kept.masks[place, scale].size} places"
        if kept.cover is not None and not np.isnan(kept.cover[place, scale]):
            covers = f"{kept.cover[place, scale]:.0%} of the {html.escape(kept.region)}"
            said += f", {covers}, chance {kept.kept_shares[scale]:.0%}"
        told.append(said)
    text = "<div class='medn-note'>What the emotion branch kept. What a map says elsewhere came by the ranking alone. "
    text += " · ".join(told) + ".</div>"
    return to_webp([joined], quality=84), text, joined.shape[1] // 2, joined.shape[0] // 2
