"""A clip that plays: slow motion, flow drawn over the face, and motion made large enough to see."""

from __future__ import annotations

from typing import Literal

import ipywidgets as widgets
import numpy as np
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens
from medn_lab.view.drawing import enlarge, to_webp
from medn_lab.view.magnify import MOST, Magnifier
from medn_lab.view.moments import clip_moments, clip_row
from medn_lab.widgets.cards import clip_heading, timeline
from medn_lab.widgets.overlays import ALL_OVERLAYS, OVERLAYS, ClipOverlays, checked_lines, render
from medn_lab.widgets.panel import Panel, trait_errors
from medn_lab.widgets.player_controls import SPEEDS, PlayerControls
from medn_lab.widgets.style import note

__all__ = ["OVERLAYS", "ClipPlayer", "render"]

_WITHOUT_TIMES = 20.0  # milliseconds a frame at real time, where the frame rate is not known
_SHORTEST = 25  # a browser redraws a picture sent by the kernel about this often, in milliseconds


class ClipPlayer(Panel):
    """Play a clip, frame by frame or slowly, with its flow and with its motion magnified.

    Magnified motion is drawn by pushing each frame further along the clip's own onset-to-apex flow, as far as that
    frame is on its way to the apex; nothing is invented between frames, and a factor of 1 is the clip itself. Without
    flow, frame differences are amplified instead. Clips of flow alone show their flow on a plain ground.

    Press the frame slider's knob and step with the arrow keys; every other control is reached by the tab key.

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
        Adds an overlay of what spoke for its target (red) and against it (blue), frame by frame. Joined by clip_id.
    overlay : {"none", "arrows", "magnitude", "kept", "attribution"}
        What is drawn over the face: nothing, the flow as arrows, or its length as a glow, and what was given.
    magnify : float
        From 1 to 20.
    size : int
        Longer side of the picture in pixels of the page.

    Attributes
    ----------
    clip_id, frame, overlay, keep_rate, attributed, magnify, speed, loop
        Traits: set them to steer the player, observe them to follow it. `frame` is a position from 0, `speed` a share
        of real time, `attributed` the input whose attribution is drawn (``frames`` or ``flow``).

    Raises
    ------
    ValueError
        If there are no clips, or no clip of that name.
    TraitError
        If there is no such overlay here, or a factor or frame is out of range.

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
    >>> player.frame = 3
    >>> player.moments.describe(player.frame)
    'frame 4 of 5'
    """

    clip_id = traitlets.Unicode()
    frame = traitlets.Int(0)
    overlay = traitlets.Unicode("none")
    keep_rate = traitlets.Float(1.0)
    attributed = traitlets.Unicode("frames")
    magnify = traitlets.Float(1.0)
    speed = traitlets.Float(0.125)
    loop = traitlets.Bool(True)

    def __init__(
        self,
        clips: Clips,
        *,
        clip_id: str | None = None,
        kept: KeptTokens | None = None,
        attribution: Attribution | None = None,
        overlay: Literal["none", "arrows", "magnitude", "kept", "attribution"] = "none",
        magnify: float = 1.0,
        size: int = 320,
    ) -> None:
        if not len(clips):
            raise ValueError("there are no clips to play: the record is empty")
        self._clips, self._size = clips, size
        self._overlaid = ClipOverlays(clips, kept=kept, attribution=attribution)
        self._drawn: dict[tuple[object, ...], tuple[bytes, str]] = {}
        self._magnifier: Magnifier | None = None
        self._shown, self._offering = "", False
        self._build()
        super().__init__([self._body], name="clip-player", width="100%", results={})
        self.layout.max_width = "1000px"
        first: str = overlay
        if overlay not in self._overlaid.choices and overlay == "none":  # without frames there is no bare face
            first = "magnitude" if "magnitude" in self._overlaid.choices else next(iter(self._overlaid.choices), "")
        self._which_at_first()
        self.magnify = magnify
        if first:
            self.overlay = first
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
        self._shown = str(row["clip_id"])
        self._drawn.clear()
        self._overlaid.take(self._shown)
        if self._clips.frames is not None:
            frames = np.asarray(self._clips.frames[place])
            self._magnifier = Magnifier(frames, self._overlaid.flow, apex=self.moments.apex, size=self._size)
        last = len(self.moments.numbers) - 1
        with self.hold_trait_notifications():
            self.clip_id = self._shown
        for bar in (self._slider, self._play):
            bar.max = last
        self._heading.value = clip_heading(row) + note(self.moments.note)
        self._chooser.value = self.clip_id
        self._set_pace()
        self.frame = 0
        self._paint()

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        controls = PlayerControls(self._clips, overlays=self._overlaid.choices, size=self._size)
        self._picture, self._slider, self._play = controls.picture, controls.slider, controls.play
        self._axis, self._now = controls.axis, controls.now
        self._heading, self._reading, self._chooser = controls.heading, controls.reading, controls.chooser
        self._overlays, self._which = controls.overlays, controls.which
        self._magnifies, self._speeds, self._loops = controls.magnifies, controls.speeds, controls.loops
        self._body = controls.body

    def _wire(self) -> None:
        self._link = widgets.jslink((self._play, "value"), (self._slider, "value"))
        self._slider.observe(lambda change: self._set("frame", change.new), "value")
        self._chooser.observe(self._on_choice, "value")
        self._overlays.observe(lambda change: self._set("overlay", change.new), "value")
        self._which.observe(self._on_which, "value")
        self._magnifies.observe(lambda change: self._set("magnify", change.new), "value")
        self._speeds.observe(lambda change: None if self._offering else self._set("speed", change.new), "value")
        self._loops.observe(lambda change: self._set("loop", change.new), "value")
        self.observe(self._on_state, ["frame", "overlay", "keep_rate", "attributed", "magnify", "speed", "loop"])
        self.observe(self._on_clip, "clip_id")
        if self._overlaid.choices:
            self._overlays.value = self.overlay
        self._magnifies.value = self.magnify
        self._offer_which()

    def _which_at_first(self) -> None:
        if self._overlaid.keep_rates:
            self.keep_rate = self._overlaid.keep_rates[0]
        if self._overlaid.parts:
            self.attributed = self._overlaid.parts[0]

    def _offer_which(self) -> None:
        """The second choice beside some overlays: which keep rate, which input."""
        options: list[tuple[str, float | str]] = []
        value: float | str = ""
        if self.overlay == "kept":
            options, value = [(f"keep rate {rate:g}", rate) for rate in self._overlaid.keep_rates], self.keep_rate
        elif self.overlay == "attribution" and len(self._overlaid.parts) > 1:
            options, value = [(f"of the {part}", part) for part in self._overlaid.parts], self.attributed
        self._which.layout.display = "" if options else "none"
        if options:
            self._offering = True  # new options choose the first: that is nobody's choice
            self._which.options = options
            self._which.value = value
            self._offering = False

    def _set(self, name: str, value: object) -> None:
        setattr(self, name, value)

    def _on_which(self, change: traitlets.Bunch) -> None:
        if self._offering:
            return
        if self.overlay == "kept" and change.new in self._overlaid.keep_rates:
            self.keep_rate = change.new
        elif self.overlay == "attribution" and change.new in self._overlaid.parts:
            self.attributed = change.new

    def _on_choice(self, change: traitlets.Bunch) -> None:
        if not change.new or change.new == self.clip_id:
            return
        try:
            self.show(change.new)
        except ValueError as problem:  # a name that was typed
            self._chooser.value = self.clip_id
            self._reading.value = note(str(problem), warn=True)

    def _on_clip(self, change: traitlets.Bunch) -> None:
        if change.new != self._shown:
            self.show(change.new)

    @traitlets.validate("clip_id")
    def _among_clips(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            clip_row(self._clips, proposal.value)
        return proposal.value

    @traitlets.validate("frame")
    def _within_clip(self, proposal: traitlets.Bunch) -> int:
        last = len(self.moments.numbers) - 1 if hasattr(self, "moments") else 0
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"this clip has frames 0 to {last}; there is no frame {proposal.value}")
        return proposal.value

    @traitlets.validate("overlay")
    def _among_overlays(self, proposal: traitlets.Bunch) -> str:
        there = self._overlaid.choices
        if proposal.value not in there:
            why = {"kept": "; hand over kept=medn.diagnose.kept_tokens(model, clips)",
                   "attribution": "; hand over attribution=, such as medn.diagnose.integrated_gradients(model, clips)",
                   "none": "; these clips have no frames"}  # fmt: skip
            more = why.get(proposal.value, "") if proposal.value in ALL_OVERLAYS else ""
            raise traitlets.TraitError(
                f"there is no overlay {proposal.value!r} here; there are {', '.join(there) or 'none at all'}{more}"
            )
        return proposal.value

    @traitlets.validate("keep_rate")
    def _among_rates(self, proposal: traitlets.Bunch) -> float:
        rates = self._overlaid.keep_rates
        if proposal.value not in rates:
            told = ", ".join(f"{rate:g}" for rate in rates) or "none, as no kept tokens were given"
            raise traitlets.TraitError(f"there is no keep rate {proposal.value:g} here; there are {told}")
        return proposal.value

    @traitlets.validate("attributed")
    def _among_parts(self, proposal: traitlets.Bunch) -> str:
        parts = self._overlaid.parts
        if proposal.value not in parts:
            told = ", ".join(parts) or "none, as no attribution was given"
            raise traitlets.TraitError(f"there is no attribution of {proposal.value!r} here; there are {told}")
        return proposal.value

    @traitlets.validate("speed")
    def _forward(self, proposal: traitlets.Bunch) -> float:
        if not 0 < proposal.value <= 1:
            raise traitlets.TraitError(
                f"the speed is a share of real time, above 0 and up to 1; it cannot be {proposal.value}"
            )
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
            if change.new not in dict(self._speeds.options).values():
                self._offering = True  # new options choose the first: that is nobody's choice
                self._speeds.options = [*SPEEDS.items(), (f"{change.new:g}", change.new)]
                self._offering = False
            self._speeds.value = change.new
            self._set_pace()
        elif change.name == "loop":
            self._play.repeat = change.new
        else:
            if change.name in ("overlay", "keep_rate", "attributed"):
                self._offer_which()
            self._paint()

    def _set_pace(self) -> None:
        times = self.moments.milliseconds
        gap = _WITHOUT_TIMES if times is None else float(np.diff(times).mean())
        self._play.interval = max(_SHORTEST, round(gap / max(self.speed, 1e-3)))
        self._play.repeat = self.loop

    def _paint(self) -> None:
        if not self._overlaid.choices:
            self._picture.layout.display = "none"
            self._reading.value = note(self._about_frames() + " " + self._overlaid.no_flow, warn=True)
            return
        key = (self.frame, self.overlay, self.keep_rate, self.attributed, self.magnify)
        if key not in self._drawn:
            picture, reading = self._draw()
            self._drawn[key] = to_webp([picture], quality=86), reading
        self._picture.value, reading = self._drawn[key]
        if self._clips.frames is not None:
            now = self.moments.describe(self.frame)
            self._axis.value = timeline(self.moments, self.frame, width=self._size)
            self._now.value = f"<div class='medn-line' style='text-align:right'>{now}</div>"
        why_not = self._overlaid.why_not(self.overlay, self.attributed)
        lines = [note(why_not, warn=True), note(reading)]
        if self.overlay == "attribution" and not why_not:
            lines.append(checked_lines(self._overlaid.checked()))
        self._reading.value = "".join([*lines, note(self._about_frames(), warn=True), note(self._about_motion())])

    def _draw(self) -> tuple[np.ndarray, str]:
        if self._magnifier is None:
            plain = enlarge(self._overlaid.ground(), self._size)
        else:
            plain = self._magnifier.frame(self.frame, self.magnify)
        if self.overlay in OVERLAYS:
            return render(plain, self._overlaid.flow, self.overlay, scaled=self._overlaid.scaled)
        return self._overlaid.draw(
            plain, overlay=self.overlay, frame=self.frame, keep_rate=self.keep_rate, part=self.attributed
        )

    def _about_frames(self) -> str:
        if self._clips.frames is not None:
            return ""
        drawn = "their flow is drawn on a plain ground" if self._overlaid.flow is not None else "nothing can be played"
        return f"These clips have no frames: {drawn}."

    def _about_motion(self) -> str:
        if self._clips.frames is None:
            return ""
        if self._overlaid.flow is None:
            return f"{self._overlaid.no_flow} Magnifying amplifies frame differences, light and noise too."
        if self.magnify > 1:
            return f"The motion is drawn {self.magnify:g} times as large as it was."
        return ""
