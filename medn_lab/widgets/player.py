"""A clip that plays: slow motion, flow drawn over the face, and motion made large enough to see."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import traitlets

from medn_lab.records import Clips
from medn_lab.view.drawing import draw_arrows, draw_magnitude, to_webp
from medn_lab.view.magnify import MOST, Magnifier
from medn_lab.view.moments import clip_moments, clip_row
from medn_lab.widgets.cards import clip_heading, timeline
from medn_lab.widgets.style import note, sheet

OVERLAYS = {"none": "none", "arrows": "flow arrows", "magnitude": "flow length"}
SPEEDS = {"real time": 1.0, "1/2": 0.5, "1/4": 0.25, "1/8": 0.125, "1/16": 0.0625, "1/32": 0.03125}
_WITHOUT_TIMES = 20.0  # milliseconds a frame at real time, where the frame rate is not known
_SHORTEST = 25  # a browser redraws a picture sent by the kernel about this often, in milliseconds


def render(picture: np.ndarray, flow: np.ndarray | None, overlay: str) -> tuple[np.ndarray, str]:
    """A face with an overlay over it, and one line on how to read the overlay."""
    if overlay == "none" or flow is None:
        return picture, ""
    flow = flow[..., :2].astype(np.float32)
    if overlay == "arrows":
        drawn, gain = draw_arrows(picture, flow)
        return drawn, f"Arrows: flow from onset to apex, drawn {gain:g} times as long as the motion."
    drawn, largest = draw_magnitude(picture, flow)
    return drawn, f"Glow: length of the flow from onset to apex; the brightest is {largest:.2f} px of {flow.shape[1]}."


class ClipPlayer(widgets.VBox):
    """Play a clip, frame by frame or slowly, with its flow and with its motion magnified.

    Magnified motion is drawn by pushing each frame further along the clip's own onset-to-apex flow, as far as that
    frame is on its way to the apex; nothing is invented between frames, and a factor of 1 is the clip itself. Without
    flow, frame differences are amplified instead.

    Parameters
    ----------
    clips : Clips
        With frames.
    clip_id : str or None
        The clip to begin with; the first one where None.
    overlay : {"none", "arrows", "magnitude"}
        What is drawn over the face: nothing, the flow as arrows, or its length as a glow.
    magnify : float
        From 1 to 20.
    size : int
        Longer side of the picture in pixels of the page.

    Attributes
    ----------
    clip_id, frame, overlay, magnify, speed, loop
        Traits: set them to steer the player, observe them to follow it. `frame` is a position from 0, `speed` a share
        of real time.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from medn_lab.records import Clips
    >>> table = pd.DataFrame({"clip_id": ["a"], "subject": ["s01"]})
    >>> player = ClipPlayer(Clips(np.zeros((1, 5, 16, 16, 3), np.uint8), None, table))
    >>> player.frame = 3
    >>> player.moments.describe(player.frame)
    'frame 4 of 5'
    """

    clip_id = traitlets.Unicode()
    frame = traitlets.Int(0)
    overlay = traitlets.Enum(list(OVERLAYS), "none")
    magnify = traitlets.Float(1.0)
    speed = traitlets.Float(0.125)
    loop = traitlets.Bool(True)

    def __init__(
        self,
        clips: Clips,
        *,
        clip_id: str | None = None,
        overlay: str = "none",
        magnify: float = 1.0,
        size: int = 320,
    ) -> None:
        self._clips, self._size = clips, size
        self._drawn: dict[tuple[int, str, float], tuple[bytes, str]] = {}
        self._magnifier: Magnifier | None = None
        self._build()
        super().__init__(children=[sheet(), self._body], layout=widgets.Layout(width="100%", max_width="1000px"))
        self.add_class("medn")
        self.add_class("medn-clip-player")
        self.overlay, self.magnify = overlay, magnify
        self._wire()
        self.show(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)

    # What may be called -----------------------------------------------------------------------------------------------

    def show(self, clip_id: str) -> None:
        """Show this clip from its onset.

        Raises
        ------
        ValueError
            If there is no such clip.
        """
        place, row = clip_row(self._clips, clip_id)
        self.moments = clip_moments(self._clips, clip_id)
        self._drawn.clear()
        flow = None if self._clips.flow is None else np.asarray(self._clips.flow[place])
        self._flow = flow
        if self._clips.frames is not None:
            frames = np.asarray(self._clips.frames[place])
            self._magnifier = Magnifier(frames, flow, apex=self.moments.apex, size=self._size)
        last = len(self.moments.numbers) - 1
        with self.hold_trait_notifications():
            self.clip_id = str(row["clip_id"])
        for bar in (self._slider, self._play):
            bar.max = last
        self._heading.value = clip_heading(row) + note(self.moments.note)
        self._chooser.value = self.clip_id
        self._set_pace()
        self.frame = 0
        self._paint()

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        names = list(self._clips.table["clip_id"])
        wide = widgets.Layout(width="auto")
        style = {"description_width": "76px"}
        size = f"{self._size}px"
        height, width = self._clips.size
        layout = widgets.Layout(
            width=f"{round(self._size * width / max(height, width))}px",
            height=f"{round(self._size * height / max(height, width))}px",
            object_fit="contain",
        )
        self._picture = widgets.Image(format="webp", layout=layout)
        self._slider = widgets.IntSlider(
            0,
            0,
            1,
            readout=False,
            tooltip="Frame (arrow keys step)",
            layout=widgets.Layout(width=f"{self._size - 12}px", margin="2px 0 0 6px"),
        )
        self._play = widgets.Play(
            value=0, min=0, max=1, interval=100, tooltip="Play the clip", layout=widgets.Layout(width="148px")
        )
        self._axis = widgets.HTML(layout=widgets.Layout(width=size, height="48px"))
        self._now = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        self._heading = widgets.HTML(layout=wide)
        self._reading = widgets.HTML(layout=wide)
        self._chooser = widgets.Dropdown(
            options=names, description="clip", style=style, layout=wide, tooltip="Which clip"
        )
        self._overlays = widgets.ToggleButtons(
            options=[(title, key) for key, title in OVERLAYS.items()],
            tooltips=["The face alone", "Direction and length of the motion", "Length of the motion"],
            style={"button_width": "104px"},
        )
        self._magnifies = widgets.FloatSlider(
            1.0, min=1.0, max=MOST, step=0.5, description="magnify ×", readout_format=".1f", style=style, layout=wide,
            tooltip="How many times as large the motion is drawn",
        )  # fmt: skip
        self._speeds = widgets.Dropdown(
            options=list(SPEEDS.items()), value=0.125, description="speed", style=style,
            layout=widgets.Layout(width="190px"), tooltip="A share of real time",
        )  # fmt: skip
        self._loops = widgets.Checkbox(
            True,
            description="loop",
            indent=False,
            layout=widgets.Layout(width="80px"),
            tooltip="Begin again at the end",
        )
        left = widgets.VBox(
            [self._picture, self._slider, self._axis, widgets.HBox([self._play, self._now])],
            layout=widgets.Layout(width=f"{self._size + 8}px", flex="0 0 auto"),
        )
        name = widgets.HTML("<div class='medn-line' style='text-align:right'>overlay</div>", layout={"width": "80px"})
        over = widgets.HBox([name, self._overlays])
        pace = widgets.HBox([self._speeds, self._loops])
        right = widgets.VBox(
            [self._heading, self._chooser, over, self._magnifies, pace, self._reading],
            layout=widgets.Layout(flex="1 1 320px", max_width="520px", margin="0 0 0 18px"),
        )
        self._body = widgets.HBox([left, right], layout=widgets.Layout(flex_flow="row wrap", overflow="hidden"))
        if self._clips.frames is None:
            for control in (self._slider, self._play, self._magnifies, self._speeds, self._loops):
                control.disabled = True
        if self._clips.flow is None:
            self._overlays.disabled = True

    def _wire(self) -> None:
        widgets.jslink((self._play, "value"), (self._slider, "value"))
        self._slider.observe(lambda change: self._set("frame", change.new), "value")
        self._chooser.observe(self._on_choice, "value")
        self._overlays.observe(lambda change: self._set("overlay", change.new), "value")
        self._magnifies.observe(lambda change: self._set("magnify", change.new), "value")
        self._speeds.observe(lambda change: self._set("speed", change.new), "value")
        self._loops.observe(lambda change: self._set("loop", change.new), "value")
        self.observe(self._on_state, ["frame", "overlay", "magnify", "speed", "loop"])
        self._overlays.value, self._magnifies.value = self.overlay, self.magnify

    def _set(self, name: str, value: object) -> None:
        setattr(self, name, value)

    def _on_choice(self, change: traitlets.Bunch) -> None:
        if change.new is not None and change.new != self.clip_id:
            self.show(change.new)

    @traitlets.validate("frame")
    def _within_clip(self, proposal: traitlets.Bunch) -> int:
        last = len(self.moments.numbers) - 1 if hasattr(self, "moments") else 0
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"this clip has frames 0 to {last}; there is no frame {proposal.value}")
        return proposal.value

    @traitlets.validate("magnify")
    def _within_reach(self, proposal: traitlets.Bunch) -> float:
        if not 1 <= proposal.value <= MOST:
            raise traitlets.TraitError(f"the motion can be magnified by 1 to {MOST:g}, not by {proposal.value}")
        return proposal.value

    def _on_state(self, change: traitlets.Bunch) -> None:
        controls = {
            "frame": self._slider, "overlay": self._overlays, "magnify": self._magnifies, "loop": self._loops,
        }  # fmt: skip
        control = controls.get(change.name)
        if control is not None and control.value != change.new:
            control.value = change.new
        if change.name == "speed":
            if change.new in SPEEDS.values():
                self._speeds.value = change.new
            self._set_pace()
        elif change.name == "loop":
            self._play.repeat = change.new
        else:
            self._paint()

    def _set_pace(self) -> None:
        times = self.moments.milliseconds
        gap = _WITHOUT_TIMES if times is None else float(np.diff(times).mean())
        self._play.interval = max(_SHORTEST, round(gap / max(self.speed, 1e-3)))
        self._play.repeat = self.loop

    def _paint(self) -> None:
        if self._magnifier is None:
            self._picture.layout.display = "none"
            self._reading.value = note("These clips have no frames, so there is nothing to play.", warn=True)
            return
        key = (self.frame, self.overlay, self.magnify)
        if key not in self._drawn:
            picture, reading = render(self._magnifier.frame(self.frame, self.magnify), self._flow, self.overlay)
            self._drawn[key] = to_webp([picture], quality=86), reading
        self._picture.value, reading = self._drawn[key]
        self._axis.value = timeline(self.moments, self.frame, width=self._size)
        self._now.value = f"<div class='medn-line' style='text-align:right'>{self.moments.describe(self.frame)}</div>"
        self._reading.value = note(reading) + note(self._about_motion())

    def _about_motion(self) -> str:
        if self._flow is None:
            return "These clips have no flow: magnifying amplifies frame differences, light and noise too."
        if self.magnify > 1:
            return f"The motion is drawn {self.magnify:g} times as large as it was."
        return ""
