"""Where a map is looked at: the strip of pictures, the time slider below it, and what each frame spoke."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets

from medn_lab.records import Clips
from medn_lab.view.rows import clip_moments
from medn_lab.widgets.map_pictures import GAP, MapPictures

PIXELS = 236
"""Side of a picture."""

WIDTH = 3 * PIXELS + 2 * GAP + 4


class MapStage:
    """Pictures of a map with a frame in view.

    Parameters
    ----------
    clips : Clips
    moved : callable
        Called with the position of the frame that the slider stands on.

    Attributes
    ----------
    box : widgets.Box
    """

    def __init__(self, clips: Clips, *, moved: Callable[[int], None]) -> None:
        self._clips, self._clip_id = clips, ""
        self._pictures: MapPictures | None = None
        self._titles, self._now, self._course = (widgets.HTML() for _ in range(3))
        self._picture = widgets.Image(format="webp")
        self._slider = widgets.IntSlider(
            0, 0, 1, readout=False, tooltip="The frame in view (arrow keys step)", layout=widgets.Layout(width="300px")
        )
        self._play = widgets.Play(
            value=0, min=0, max=1, interval=320, tooltip="Go through the frames", layout=widgets.Layout(width="148px")
        )
        self._link = widgets.jslink((self._play, "value"), (self._slider, "value"))
        self._slider.observe(lambda change: moved(change.new), "value")
        bar = widgets.HBox([self._play, self._slider, self._now], layout=widgets.Layout(align_items="center"))
        self.box = widgets.VBox(
            [self._titles, self._picture, bar, self._course], layout=widgets.Layout(width=f"{WIDTH}px")
        )

    def put(self, pictures: MapPictures, *, clip_id: str, frame: int) -> int:
        """Show a map, the frame nearest to `frame` in view; the position that is."""
        self._pictures, self._clip_id = pictures, clip_id
        cells = "".join(f"<span style='width:{PIXELS}px'>{title}</span>" for title in pictures.titles)
        self._titles.value = f"<div class='medn-note' style='display:flex;gap:{GAP}px'>{cells}</div>"
        layout = self._picture.layout
        layout.width, layout.height, layout.display = f"{pictures.width}px", f"{pictures.height}px", ""
        last = pictures.n_frames - 1
        for control in (self._slider, self._play):
            control.max, control.disabled = max(last, 1), last == 0
        frame = min(max(frame, 0), last)
        self.draw(frame)
        return frame

    def draw(self, frame: int) -> None:
        """Bring another frame into view; nothing happens where there is no map."""
        if self._pictures is None:
            return
        frame = min(max(frame, 0), self._pictures.n_frames - 1)
        if self._slider.value != frame:
            self._slider.value = frame
        self._picture.value = self._pictures.picture(frame)
        told = "These clips have no frames."
        if self._clips.frames is not None:
            told = clip_moments(self._clips, self._clip_id).describe(frame)
        self._now.value = f"<div class='medn-line' style='margin-left:8px'>{html.escape(told)}</div>"
        self._course.value = self._pictures.course(frame, width=WIDTH - 8)

    def clear(self) -> None:
        """Show no map."""
        self._pictures = None
        self._picture.layout.display = "none"
        self._titles.value = self._course.value = self._now.value = ""
        for control in (self._slider, self._play):
            control.disabled = True
