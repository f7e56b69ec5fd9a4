"""Clips that play in the page: frames and flow are sent once; the page plays, magnifies and draws overlays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, positions, require
from medn_lab.view import theme
from medn_lab.view.attribution import MappedClip, mapped_clip
from medn_lab.view.clips import cover_text
from medn_lab.view.images import (
    MOST,
    SCALED_NOTE,
    arrow_grid,
    enlarge,
    flow_magnitude,
    full_colour,
    motion_field,
    scaled_by_clip,
    steady,
    time_course,
    to_webp,
)
from medn_lab.view.rows import Moments, clip_moments, clip_row, shown_frames
from medn_lab.widgets.timing import Dwell

_HERE = Path(__file__).parent
_PARTS = {
    "frames": "this frame",
    "all frames": "all frames after the onset",
    "flow": "the flow, one map for the whole clip",
}
NO_CLIPS = "No clips were given, so there are no faces to play."
_LONGEST = 16383  # pixels: the side that a WebP file can have
_SETTLED = 0.2  # seconds until the viewing copy follows the network's frames, which are there at once
_INTERVAL = 20.0  # milliseconds a frame at real time, where the frame rate is not known

OVERLAYS = {
    "none": ("none", "The face alone"),
    "arrows": ("flow arrows", "Direction and length of the motion"),
    "magnitude": ("flow length", "Length of the motion"),
    "kept": ("kept tokens", "The positions of the face that the emotion branch kept, one keep rate at a time"),
    "attribution": ("attribution", "What raised the target (red) and what lowered it (blue), frame by frame"),
}

_LACKING = {
    "kept": "; give kept=medn.diagnose.kept_tokens(model, clips)",
    "attribution": "; give attribution=, such as medn.diagnose.integrated_gradients(model, clips)",
    "none": "; these clips have no frames",
}


class ClipView(anywidget.AnyWidget):
    """One to n clips that play in step, with magnified motion and overlays.

    Magnified motion is drawn by pushing each frame further along the clip's own onset-to-apex flow, as far as that
    frame is on its way to the apex; a factor of 1 is the clip itself. Without flow, differences from the onset are
    amplified. Where the clips have a viewing copy, its larger frames take the place of the network's frames a moment
    later; the line below the faces says which are shown.

    Parameters
    ----------
    clips : Clips or None
    kept : KeptTokens or None
        Adds an overlay of the kept positions. Joined by clip_id.
    attribution : Attribution or None
        Adds an overlay of the attribution. Joined by clip_id.
    size : int
        Longer side of a face in pixels of the page.
    **traits
        The first values of the traits.

    Attributes
    ----------
    frame : int
        From 0.
    playing, loop : bool
    speed : float
        A share of real time.
    magnify : float
        From 1 to 20.
    overlay : str
        One of those that :attr:`overlays` lists.
    keep_rate : float
    attributed : str
        Which map of the attribution is drawn: ``frames``, ``all frames`` (their sum) or ``flow``.
    """

    _esm = _HERE / "clip_view.js"
    _css = _HERE / "clip_view.css"
    faces: traitlets.List[Any] = traitlets.List().tag(sync=True)
    moments: traitlets.List[Any] = traitlets.List().tag(sync=True)
    notes: traitlets.List[Any] = traitlets.List().tag(sync=True)
    overlays: traitlets.List[Any] = traitlets.List().tag(sync=True)
    keep_rates: traitlets.List[Any] = traitlets.List().tag(sync=True)
    parts: traitlets.List[Any] = traitlets.List().tag(sync=True)
    scale: traitlets.List[Any] = traitlets.List().tag(sync=True)
    interval = traitlets.Float(_INTERVAL).tag(sync=True)
    most = traitlets.Float(MOST).tag(sync=True)
    size = traitlets.Int(320).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    loop = traitlets.Bool(True).tag(sync=True)
    speed = traitlets.Float(0.125).tag(sync=True)
    magnify = traitlets.Float(1.0).tag(sync=True)
    overlay = traitlets.Unicode("none").tag(sync=True)
    keep_rate = traitlets.Float(1.0).tag(sync=True)
    attributed = traitlets.Unicode("frames").tag(sync=True)

    def __init__(
        self,
        clips: Clips | None,
        *,
        kept: KeptTokens | None = None,
        attribution: Attribution | None = None,
        size: int = 320,
        **traits: Any,
    ) -> None:
        self._clips = clips
        self._ids = set() if clips is None else set(clips.table["clip_id"])
        self._soon = Dwell(self._show_viewing_copy, seconds=_SETTLED)
        self._shown: dict[str, MappedClip] = {}
        super().__init__(
            size=size,
            scale=[[stop, [int(code[i : i + 2], 16) for i in (1, 3, 5)]] for stop, code in theme.MAGNITUDE_SCALE],
        )
        self.give(kept=kept, attribution=attribution)
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)

    def give(
        self,
        *,
        clips: Clips | None = None,
        kept: KeptTokens | None = None,
        attribution: Attribution | None = None,
        region: str = "",
        blur: float = 1.0,
    ) -> None:
        """Set what the overlays draw; clips that are shown follow at the next :meth:`show`.

        Parameters
        ----------
        clips : Clips or None
            Other clips to show from now on; those of before where None.
        kept : KeptTokens or None
        attribution : Attribution or None
        region : str
            On synthetic clips, what to draw a line around: ``cue``, an AU or ``AUs``; nothing where empty.
        blur : float
            Pixels by which the attribution is smoothed.
        """
        if clips is not None:
            self._clips, self._ids = clips, set(clips.table["clip_id"])
        clips, self._kept, self._attribution = self._clips, kept, attribution
        self._region, self._blur = region, blur
        there = ["none"] * (clips is not None and clips.frames is not None)
        if clips is not None and len(clips) and motion_field(clips, 0)[0] is not None:
            there += ["arrows", "magnitude"]
        there += ["kept"] * (kept is not None) + ["attribution"] * (attribution is not None)
        rates = [] if kept is None else [float(rate) for rate in kept.keep_rates]
        parts: list[str] = []
        if attribution is not None:
            parts += ["frames", "all frames"] * (attribution.frames is not None)
            parts += ["flow"] * (attribution.flow is not None)
        first = "none" if "none" in there else "magnitude" if "magnitude" in there else next(iter(there), "none")
        with self.hold_sync():
            self.overlays, self.keep_rates, self.parts = [[key, *OVERLAYS[key]] for key in there], rates, parts
            self.overlay = self.overlay if self.overlay in there else first
            self.keep_rate = self.keep_rate if self.keep_rate in rates else (*rates, 1.0)[0]
            self.attributed = self.attributed if self.attributed in parts else (*parts, "frames")[0]

    def show(self, *clip_ids: str, restart: bool = True) -> None:
        """Show these clips in step, frame k of one next to frame k of the others, from their onsets.

        Without `restart` the frame stays, so that clips that replace each other play on. A clip that is not among the
        clips is named under the faces.
        """
        self._soon.cancel()
        clips = self._clips
        there = [one for one in clip_ids if one in self._ids]
        lacking = [f"{one} is not among the clips that were given." for one in clip_ids if one not in there]
        if clips is None or not there:
            with self.hold_sync():
                self.faces, self.moments = [], []
                self.notes = [NO_CLIPS] if clips is None and clip_ids else lacking
            return
        flows = [motion_field(clips, clip_row(clips, clip_id)[0])[0] for clip_id in there]
        known = [flow for flow in flows if flow is not None]
        largest = max((float(flow_magnitude(flow).max()) for flow in known), default=0.0)
        self._shown = {clip_id: one for clip_id in there if (one := self._mapped(clip_id)) is not None}
        gain = min((arrow_grid(flow)[-1] for flow in known if np.any(flow)), default=1.0)
        faces = [
            self._face(clip_id, flow, gain=gain, largest=largest, several=len(known) > 1)
            for clip_id, flow in zip(there, flows, strict=True)
        ]
        moments = clip_moments(clips, there[0])
        count = 0 if clips.frames is None else len(moments.numbers)
        with self.hold_sync():
            if restart or self.frame >= max(count, 1):
                self.frame = 0
            self.interval, self.moments = _interval(moments), _named(moments, count)
            which = shown_frames(replace(clips, viewing=None), 0)[1].capitalize()
            self.notes = [*lacking, *filter(None, (moments.note if count else "", self._about(clips), which))]
            self.faces = faces
        if clips.frames is not None and clips.viewing is not None:
            self._soon(*there)

    def _show_viewing_copy(self, *clip_ids: str) -> None:
        clips = self._clips
        assert clips is not None
        try:
            shown = [shown_frames(clips, clip_row(clips, clip_id)[0]) for clip_id in clip_ids]
        except (OSError, ValueError) as problem:
            self.notes = [*self.notes, f"The viewing copy cannot be shown: {problem}."]
            return
        strips = [_strip(frames) for frames, _ in shown if frames is not None]
        with self.hold_sync():
            self.faces = [face | strip for face, strip in zip(self.faces, strips, strict=True)]
            self.notes = [*self.notes[:-1], shown[0][1].capitalize()]

    def packed(self, clip_id: str) -> dict[str, Any] | None:
        """What a page without a kernel needs to play a clip, at half the flow's size; None where it is not here."""
        clips = self._clips
        if clips is None or clip_id not in self._ids:
            return None
        flow = motion_field(clips, clip_row(clips, clip_id)[0])[0]
        if flow is not None:
            flow = _halved(flow)
        largest = 0.0 if flow is None else float(flow_magnitude(flow).max())
        gain = 1.0 if flow is None or not np.any(flow) else arrow_grid(flow)[-1]
        moments = clip_moments(clips, clip_id)
        return {
            "face": self._face(clip_id, flow, gain=gain, largest=largest, several=False, quality=80),
            "moments": _named(moments, len(moments.numbers)),
            "interval": _interval(moments),
        }

    def check(self, name: str, value: Any) -> Any:
        """Return the value of a trait; TraitError where these clips do not allow it."""
        if name == "frame":
            last = max(len(self.moments) - 1, 0)
            if not 0 <= value <= last:
                raise traitlets.TraitError(f"these clips have frames 0 to {last}; there is no frame {value}")
        elif name == "magnify" and not 1 <= value <= self.most:
            raise traitlets.TraitError(f"the motion can be magnified by 1 to {self.most:g}, not by {value}")
        elif name == "speed" and not 0 < value <= 1:
            raise traitlets.TraitError(f"the speed is a share of real time, above 0 and up to 1; it cannot be {value}")
        there = {
            "overlay": [key for key, *_ in self.overlays] or ["none"],
            "keep_rate": self.keep_rates or [1.0],
            "attributed": self.parts or ["frames"],
        }
        if value not in there.get(name, [value]):
            more = _LACKING.get(value, "") if name == "overlay" else ""
            raise traitlets.TraitError(
                f"there is no {name} {value!r} here; there are {', '.join(map(str, there[name]))}{more}"
            )
        return value

    @traitlets.validate("frame", "magnify", "speed", "overlay", "keep_rate", "attributed")
    def _checked(self, proposal: traitlets.Bunch) -> Any:
        return self.check(proposal.trait.name, proposal.value)

    def _about(self, clips: Clips) -> str:
        """What the clips lack."""
        why = motion_field(clips, 0)[1]
        if clips.frames is None:
            return "These clips have no frames: " + (
                f"nothing can be played. {why}" if why else "their flow is drawn on a plain ground."
            )
        return f"{why} Differences between frames are amplified instead." if why else ""

    def _face(
        self,
        clip_id: str,
        flow: np.ndarray | None,
        *,
        gain: float,
        largest: float,
        several: bool,
        quality: int = 92,
    ) -> dict[str, Any]:
        clips = self._clips
        assert clips is not None
        place, _ = clip_row(clips, clip_id)
        height, width = clips.size
        frames = None if clips.frames is None else np.asarray(clips.frames[place])
        alike = ", in all clips alike" if several else ""
        of_flow = SCALED_NOTE if scaled_by_clip(clips.recipe) else ""
        texts = {
            "arrows": "Arrows: flow from onset to apex, "
            + (of_flow or f"drawn {gain:g} times as long as the motion{alike}") + ".",
            "magnitude": "Colour: length of the flow from onset to apex, "
            + (of_flow or f"up to {largest:.2f} px of {flow.shape[1]}{alike}") + ".",
        } if flow is not None else {}  # fmt: skip
        face: dict[str, Any] = {
            "width": width, "height": height, "count": 1 if frames is None else len(frames),
            "frames": None, "course": [], "flow": _packed(flow), "push": None, "gain": gain, "largest": largest,
            "texts": texts, "kept": [], "heat": {}, "outline": None,
        }  # fmt: skip
        if frames is not None:
            face |= _strip(frames, quality=quality)
            if flow is not None:
                face["push"] = _packed(steady(flow))
                face["course"] = time_course(frames, clip_moments(clips, clip_id).apex, flow=flow).tolist()
        self._add_kept(face, clip_id)
        self._add_heat(face, clip_id)
        return face

    def _add_kept(self, face: dict[str, Any], clip_id: str) -> None:
        kept = self._kept
        if kept is None:
            return
        if clip_id not in set(kept.table["clip_id"]):
            face["texts"]["kept"] = f"{clip_id} is not among the {len(kept)} clips whose kept tokens were given."
            return
        row = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
        for scale, rate in enumerate(kept.keep_rates):
            mask = np.asarray(kept.masks[row, scale])
            text = (
                f"Bright: the {int(mask.sum())} of {mask.size} positions kept at rate {rate:g}, the same in every"
                f" frame; this scale has weight {float(kept.mix[row, scale]):.2f} of 1 in the branch."
            )
            covered = cover_text(kept, row, scale)
            text += f" Kept: {covered}." if covered else ""
            face["kept"].append(
                {"rate": float(rate), "grid": len(mask), "mask": mask.astype(np.uint8).tobytes(), "text": text}
            )

    def _add_heat(self, face: dict[str, Any], clip_id: str) -> None:
        maps = self._attribution
        if maps is None:
            return
        if clip_id not in set(maps.table["clip_id"]):
            face["texts"]["attribution"] = f"{clip_id} is not among the {len(maps)} clips of this attribution."
            return
        one = self._shown.get(clip_id) or require(self._mapped(clip_id), otherwise="no map of this clip")
        if one.outline is not None:
            mask = one.outline.astype(np.uint8)
            face["outline"] = {"data": mask.tobytes(), "height": len(mask), "width": mask.shape[1]}
        together = self._shown.values() if clip_id in self._shown else [one]
        for part, heat in _heats(one).items():
            if part == "frames" and face["frames"] is not None and len(heat) != face["count"]:
                face["texts"]["attribution"] = (
                    f"This attribution has {len(heat)} frames and the clip has {face['count']}: attribute these clips."
                )
                continue
            # Clips that are shown together share their colours.
            largest = full_colour(*[_heats(other)[part] for other in together if part in _heats(other)])
            packed = np.clip(np.round(127 * heat / (largest or 1.0)), -127, 127).astype(np.int8)
            face["heat"][part] = {
                "data": packed.tobytes(), "height": heat.shape[-2], "width": heat.shape[-1],
                "course": one.course.tolist() if part == "frames" and one.course is not None else [],
                "signed": one.signed,
                "text": f"{maps.target} by {maps.method.replace('_', ' ')}, {_PARTS[part]}: red raises it, blue lowers"
                f" it; full colour is ±{largest:.2g} a pixel.",
            }  # fmt: skip

    def _mapped(self, clip_id: str) -> MappedClip | None:
        maps, clips = self._attribution, self._clips
        if maps is None or clips is None or clip_id not in set(maps.table["clip_id"]):
            return None
        row = int(positions(maps.table, clip_id, owner="this attribution")[0])
        return mapped_clip(maps, row, clips=clips, region=self._region or None, blur=self._blur)


def _heats(one: MappedClip) -> dict[str, np.ndarray]:
    """The maps that can be shown of a clip, by their names in `parts`."""
    found = {"frames": one.frames, "all frames": one.summed("frames"), "flow": one.flow}
    return {name: heat for name, heat in found.items() if heat is not None}


def _strip(frames: np.ndarray, *, quality: int = 92) -> dict[str, Any]:
    """The frames (t, h, w, 3) of a clip one below the other as a WebP picture, and the size of one."""
    most = _LONGEST // len(frames)
    if max(frames.shape[1:3]) > most:
        frames = np.stack([enlarge(frame, most) for frame in frames])
    height, width = frames.shape[1:3]
    return {"frames": to_webp(frames.reshape(-1, width, 3), quality=quality), "height": height, "width": width}


def _interval(moments: Moments) -> float:
    """Milliseconds from one frame to the next at real time."""
    times = moments.milliseconds
    return _INTERVAL if times is None else float(np.diff(times).mean())


def _named(moments: Moments, count: int) -> list[dict[str, str]]:
    """What the page writes of each frame on the time axis."""
    return [{"text": moments.describe(k), "name": moments.names(k)} for k in range(count)]


def _halved(flow: np.ndarray) -> np.ndarray:
    """A flow on a grid of half the size, in pixels of that grid."""
    h, w = (side - side % 2 for side in flow.shape[:2])
    return flow[:h, :w].reshape(h // 2, 2, w // 2, 2, 2).mean(axis=(1, 3)) / 2


def _packed(flow: np.ndarray | None) -> dict[str, Any] | None:
    """A flow as int8 and its scale in pixels."""
    if flow is None:
        return None
    scale = float(np.abs(flow).max()) / 127 or 1.0
    values = np.round(flow / scale).astype(np.int8)
    return {"data": values.tobytes(), "height": flow.shape[0], "width": flow.shape[1], "scale": scale}
