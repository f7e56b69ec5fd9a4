"""What can be drawn over the face of a clip that plays: its flow, the positions that were kept, an attribution."""

from __future__ import annotations

import numpy as np

from medn_lab.records import Attribution, Clips, KeptTokens, positions, require
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.drawing import draw_arrows, draw_magnitude
from medn_lab.view.heat import draw_heat, full_colour, smooth
from medn_lab.view.kept import dim_dropped
from medn_lab.view.moments import clip_row
from medn_lab.view.motion_field import SCALED_NOTE, motion_field, scaled_by_clip

OVERLAYS = {"none": "none", "arrows": "flow arrows", "magnitude": "flow length"}
"""What every clip with frames and flow has."""

ALL_OVERLAYS = OVERLAYS | {"kept": "kept tokens", "attribution": "attribution"}

HINTS = {
    "none": "The face alone",
    "arrows": "Direction and length of the motion",
    "magnitude": "Length of the motion",
    "kept": "The positions of the face that the emotion branch kept, a keep rate at a time",
    "attribution": "What spoke for the target (red) and against it (blue), frame by frame",
}

_BLUR = 1.0  # pixels: single pixels of an attribution are noisy


def render(
    picture: np.ndarray,
    flow: np.ndarray | None,
    overlay: str,
    *,
    scale: tuple[float, float] | None = None,
    scaled: bool = False,
) -> tuple[np.ndarray, str]:
    """A face with its flow over it, and one line on how to read it.

    `scale` is that of several clips together; `scaled` says that the flow was scaled clip by clip.
    """
    if overlay == "none" or flow is None:
        return picture, ""
    flow = flow[..., :2].astype(np.float32)
    largest, gain = (None, None) if scale is None else scale
    alike = "" if scale is None else ", in both clips alike"
    if overlay == "arrows":
        drawn, gain = draw_arrows(picture, flow, gain=gain)
        if scaled:
            return drawn, f"Arrows: flow from onset to apex, {SCALED_NOTE}."
        return drawn, f"Arrows: flow from onset to apex, drawn {gain:g} times as long as the motion{alike}."
    drawn, largest = draw_magnitude(picture, flow, largest=largest)
    if scaled:
        return drawn, f"Glow: length of the flow from onset to apex, {SCALED_NOTE}."
    told = f"Glow: length of the flow from onset to apex; the brightest is {largest:.2f} px of {flow.shape[1]}"
    return drawn, f"{told}{alike}."


class ClipOverlays:
    """The overlays of a set of clips, one clip in hand at a time.

    Parameters
    ----------
    clips : Clips
    kept : KeptTokens or None
        Joined by clip_id.
    attribution : Attribution or None
        Joined by clip_id.

    Attributes
    ----------
    choices : dict
        Key to title of each overlay that there is; without frames there is no bare face to choose.
    parts : tuple of str
        The inputs that the attribution tells something about: ``frames``, ``flow``.
    flow : (h, w, 2) float32 or None
        Of the clip in hand.
    scaled : bool
        Whether the flow was scaled clip by clip.
    """

    def __init__(self, clips: Clips, *, kept: KeptTokens | None, attribution: Attribution | None) -> None:
        self._clips, self._kept, self._attribution = clips, kept, attribution
        self.scaled = scaled_by_clip(clips.recipe)
        _, self.no_flow = motion_field(clips, 0) if len(clips) else (None, "These clips have no flow.")
        there = ["none"] * (clips.frames is not None) + ["arrows", "magnitude"] * (not self.no_flow)
        there += ["kept"] * (kept is not None) + ["attribution"] * (attribution is not None)
        self.choices = {key: ALL_OVERLAYS[key] for key in there}
        self.parts = () if attribution is None else tuple(
            name for name in ("frames", "flow") if getattr(attribution, name) is not None
        )  # fmt: skip
        self.keep_rates = () if kept is None else tuple(float(rate) for rate in kept.keep_rates)
        self._known_kept, self._known_heat = (
            set() if record is None else set(record.table["clip_id"]) for record in (kept, attribution)
        )

    def take(self, clip_id: str) -> None:
        """Take another clip in hand."""
        self._clip_id = clip_id
        self._place, _ = clip_row(self._clips, clip_id)
        self.flow, _ = motion_field(self._clips, self._place)
        self._heats: dict[str, tuple[np.ndarray, float]] = {}

    def ground(self) -> np.ndarray:
        """What is drawn on where there are no frames."""
        return np.full((*self._clips.size, 3), 205, dtype=np.uint8)

    def why_not(self, overlay: str, part: str) -> str:
        """Why this overlay cannot be drawn over the clip in hand; empty where it can."""
        if overlay == "kept" and self._clip_id not in self._known_kept:
            return f"{self._clip_id} is not among the {len(self._known_kept)} clips whose kept tokens were given."
        if overlay == "attribution":
            if self._clip_id not in self._known_heat:
                return f"{self._clip_id} is not among the {len(self._known_heat)} clips of this attribution."
            heats = None if self._attribution is None else self._attribution.frames
            if part == "frames" and heats is not None and self._clips.frames is not None:
                told, shown = heats.shape[1], self._clips.frames.shape[1]
                if told != shown:
                    return f"This attribution tells of {told} frames and the clip has {shown}: attribute these clips."
        return ""

    def draw(
        self, picture: np.ndarray, *, overlay: str, frame: int, keep_rate: float, part: str
    ) -> tuple[np.ndarray, str]:
        """A face (h', w', 3) uint8 with an overlay over it, and one line on how to read it."""
        if self.why_not(overlay, part):
            return picture, ""
        if overlay == "kept":
            return self._draw_kept(picture, keep_rate)
        if overlay == "attribution":
            return self._draw_heat(picture, frame, part)
        return render(picture, self.flow, overlay, scaled=self.scaled)

    def checked(self) -> list[str]:
        """What was measured of the attribution's trustworthiness, as lines of HTML."""
        return sanity_lines(self._maps())

    def _draw_kept(self, picture: np.ndarray, keep_rate: float) -> tuple[np.ndarray, str]:
        kept = require(
            self._kept, otherwise="no kept tokens were given; give kept=medn.diagnose.kept_tokens(model, clips)"
        )
        row = int(positions(kept.table, self._clip_id, owner="these kept tokens")[0])
        scale = self.keep_rates.index(keep_rate)
        mask = np.asarray(kept.masks[row, scale])
        told = (
            f"Bright: the {int(mask.sum())} of {mask.size} positions kept at rate {keep_rate:g}, in every frame the"
            f" same; this scale has weight {float(kept.mix[row, scale]):.2f} of 1 in the branch."
        )
        return dim_dropped(picture, mask), told

    def _draw_heat(self, picture: np.ndarray, frame: int, part: str) -> tuple[np.ndarray, str]:
        maps = self._maps()
        heat, largest = self._heat(maps, part)
        drawn = draw_heat(
            picture, heat[frame] if part == "frames" else heat, largest=largest, size=max(picture.shape[:2])
        )
        what = "this frame" if part == "frames" else "the flow, for the whole clip"
        told = (
            f"{maps.target} by {maps.method.replace('_', ' ')}, {what}: red speaks for it,"
            f" blue against; full colour is ±{largest:.2g} a pixel"
        )
        return drawn, told + (", in all frames alike." if part == "frames" else ".")

    def _maps(self) -> Attribution:
        return require(self._attribution, otherwise="no attribution was given to draw")

    def _heat(self, maps: Attribution, part: str) -> tuple[np.ndarray, float]:
        if part not in self._heats:
            row = int(positions(maps.table, self._clip_id, owner="this attribution")[0])
            values = np.asarray(getattr(maps, part)[row]).sum(axis=-1)
            heat = smooth(values, _BLUR)
            self._heats[part] = heat, full_colour(heat)
        return self._heats[part]


def checked_lines(lines: list[str]) -> str:
    """Lines of HTML as quiet small print."""
    return "".join(f"<div class='medn-note'>{line}</div>" for line in lines)
