"""Two clips on one stage: always in step, looping or a frame at a time, with their motion magnified."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import traitlets

from medn_lab.records import Clips, require
from medn_lab.view.magnify import MOST
from medn_lab.view.moments import clip_moments
from medn_lab.widgets.faces import NO_CLIPS, FaceLoop
from medn_lab.widgets.overlays import OVERLAYS
from medn_lab.widgets.style import note

FACE = 236


class PairStage(widgets.VBox):
    """Two faces side by side, and what plays them.

    Parameters
    ----------
    clips : Clips or None
    magnify : float

    Attributes
    ----------
    looping : bool
    frame : int
        The frame that stands still; setting it stops the loop.
    """

    looping = traitlets.Bool(True)
    frame = traitlets.Int(0)

    def __init__(self, clips: Clips | None, *, magnify: float) -> None:
        self._clips, self._faces = clips, FaceLoop(clips, size=FACE)
        self._pair: tuple[str, ...] = ()
        count = self._faces.count()
        self._picture = widgets.Image(
            format="webp", layout=widgets.Layout(height=f"{FACE}px", object_fit="contain", margin="0 auto")
        )
        self._when = widgets.HTML(layout=widgets.Layout(width=f"{2 * FACE + 10}px", margin="0 auto"))
        self._loops = widgets.ToggleButton(
            True, description="loop", icon="repeat", tooltip="Play both clips again and again, in step",
            layout=widgets.Layout(width="78px", flex="0 0 auto"),
        )  # fmt: skip
        self._slider = widgets.IntSlider(
            0, 0, max(1, count - 1), description="frame", readout=False, style={"description_width": "42px"},
            tooltip="Show one frame of both clips (arrow keys step); stops the loop", disabled=count < 2,
            layout=widgets.Layout(width="212px"),
        )  # fmt: skip
        self._magnifies = widgets.FloatSlider(
            magnify, min=1, max=MOST, step=0.5, description="motion ×", readout_format=".1f", continuous_update=False,
            tooltip="How many times as large the motion is drawn", style={"description_width": "64px"},
            layout=widgets.Layout(width="264px"),
        )  # fmt: skip
        self._overlays = widgets.Dropdown(
            options=[(title, key) for key, title in OVERLAYS.items()], description="overlay",
            tooltip="What is drawn over the faces, on one scale", style={"description_width": "56px"},
            layout=widgets.Layout(width="176px", flex="0 0 auto"),
        )  # fmt: skip
        self._told = widgets.HTML()
        upper = widgets.HBox([self._slider, self._magnifies], layout={"justify_content": "center"})
        lower = widgets.HBox([self._loops, self._overlays, self._told], layout={"justify_content": "center"})
        super().__init__(
            [self._picture, self._when, upper, lower],
            layout=widgets.Layout(width="492px", flex="0 0 492px", margin="0 6px"),
        )
        for control in (upper, self._loops, self._overlays):  # without frames there is nothing that they could do
            control.layout.display = "" if count else "none"
        self._wire()

    def show(self, clip_ids: tuple[str, ...]) -> None:
        """Put a pair on the stage; an empty tuple clears it."""
        self._pair = clip_ids
        if self.looping and clip_ids and not any(map(self._faces.why_not, clip_ids)):
            # The first frame at once: the whole loop takes some tenths of a second to draw.
            self._picture.value, _ = self._faces.still(clip_ids, 0, **self._look())
        self._draw()

    @property
    def magnify(self) -> float:
        """How many times as large the motion is drawn."""
        return self._magnifies.value

    def _wire(self) -> None:
        self._loops.observe(lambda change: setattr(self, "looping", change.new), "value")
        self._slider.observe(self._on_slider, "value")
        for control in (self._magnifies, self._overlays):
            control.observe(lambda change: self._draw(), "value")
        self.observe(self._on_state, ["looping", "frame"])

    def _on_slider(self, change: traitlets.Bunch) -> None:
        self.frame = change.new

    @traitlets.validate("frame")
    def _within_clip(self, proposal: traitlets.Bunch) -> int:
        last = max(0, self._faces.count() - 1)
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"these clips have frames 0 to {last}; there is no frame {proposal.value}")
        return proposal.value

    def _on_state(self, change: traitlets.Bunch) -> None:
        if change.name == "frame" and self.looping:
            self.looping = False  # which draws the frame
            return
        self._loops.value = self.looping
        if self._slider.value != self.frame:
            self._slider.value = self.frame
        self._draw()

    def _draw(self) -> None:
        problems = list(dict.fromkeys(filter(None, map(self._faces.why_not, self._pair))))
        hidden = not self._pair or bool(problems)
        self._picture.layout.display = "none" if hidden else ""
        self._told.value = note(" ".join(problems), warn=True)
        self._when.value = ""
        if hidden:
            return
        look = self._look()
        if self.looping:
            self._picture.value, told = self._faces.animation(self._pair, **look)
        else:
            self._picture.value, told = self._faces.still(self._pair, self.frame, **look)
            self._when.value = self._moments()
        self._told.value = note(told)

    def _look(self) -> dict[str, Any]:
        return {"magnify": self._magnifies.value, "overlay": self._overlays.value}

    def _moments(self) -> str:
        """Which frame stands still on either side; both are the same share of their clips."""
        clips = require(self._clips, otherwise=NO_CLIPS)
        said = [clip_moments(clips, name).describe(self.frame) for name in self._pair]
        cells = "".join(f"<span style='flex:1;text-align:center'>{text}</span>" for text in said)
        return f"<div class='medn-note' style='display:flex'>{cells}</div>"
