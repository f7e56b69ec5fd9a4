"""Clips that play in the page: frames and flow are sent once; the page plays, magnifies and draws overlays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, positions
from medn_lab.view import images, theme
from medn_lab.view.attribution import mapped_clip
from medn_lab.view.clips import cover_text
from medn_lab.view.rows import clip_moments, clip_row, shown_frames
from medn_lab.widgets.panel import Later, validates

_HERE = Path(__file__).parent
_PARTS = {"frames": "this frame", "all frames": "all frames after the onset", "flow": "the flow, onset to apex"}
PAGE_FACE = 128  # pixels: the longer side of a face of the viewing copy in a written page
_LONGEST = 16383  # pixels: the side that a WebP file can have
_SETTLED = 0.2  # seconds until the viewing copy follows the network's frames, which are there at once
_INTERVAL = 20.0  # milliseconds a frame at real time, where the frame rate is not known

OVERLAYS = {
    "none": ("none", "The face alone"),
    "arrows": ("flow arrows", "Direction and length of the motion"),
    "magnitude": ("flow length", "Length of the motion"),
    "kept": ("kept tokens", "The positions of the face that the emotion branch kept, one keep rate at a time"),
    "attribution": ("attribution", "What the target depends on; the colours are explained below the faces"),
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
    most = traitlets.Float(images.MOST).tag(sync=True)
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
        self, clips: Clips | None, *, kept: KeptTokens | None = None, attribution: Attribution | None = None,
        size: int = 320, **traits: Any,
    ) -> None:  # fmt: skip
        self._clips = clips
        self._soon = Later(self._show_viewing_copy, seconds=_SETTLED)
        super().__init__(
            size=size,
            scale=[[stop, [int(code[i : i + 2], 16) for i in (1, 3, 5)]] for stop, code in theme.MAGNITUDE_SCALE],
        )
        self.give(kept=kept, attribution=attribution)
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)

    def give(
        self, *, clips: Clips | None = None, kept: KeptTokens | None = None,
        attribution: Attribution | None = None,
    ) -> None:  # fmt: skip
        """Set what the overlays draw; clips that are shown follow at the next :meth:`show`.

        Parameters
        ----------
        clips : Clips or None
            Other clips to show from now on; those of before where None.
        kept : KeptTokens or None
        attribution : Attribution or None
        """
        self._clips = clips = self._clips if clips is None else clips
        self._ids = set() if clips is None else set(clips.table["clip_id"])
        self._kept, self._attribution = kept, attribution
        flows = clips is not None and len(clips) > 0 and images.motion_field(clips, 0)[0] is not None
        given = {
            "none": clips is not None and clips.frames is not None, "arrows": flows, "magnitude": flows,
            "kept": kept is not None, "attribution": attribution is not None,
        }  # fmt: skip
        there = [name for name, is_there in given.items() if is_there]
        rates = [] if kept is None else [float(rate) for rate in kept.keep_rates]
        parts: list[str] = []
        if attribution is not None:
            parts += ["frames", "all frames"] * (attribution.frames is not None)
            parts += ["flow"] * (attribution.flow is not None)
        first = next((name for name in ("none", "magnitude", *there) if name in there), "none")
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
        self._soon.close()
        clips, there = self._clips, [one for one in clip_ids if one in self._ids]
        notes = [f"{one} is not among the clips that were given." for one in clip_ids if one not in there]
        faces: list[dict[str, Any]] = []
        moments: list[dict[str, str]] = []
        viewing = False
        if clips is None:
            notes = ["No clips were given, so there are no faces to play."] if clip_ids else []
        elif there:
            faces, (moments, self.interval) = self._faces(clips, there), _timing(clips, there[0])
            viewing, no_flow = clips.viewing is not None, images.motion_field(clips, 0)[1]
            if clips.frames is None:
                viewing = False
                notes.append(f"These clips have no frames. {no_flow or 'Their flow is drawn on a plain background.'}")
            else:
                about = clip_moments(clips, there[0]).note
                amplified = no_flow and f"{no_flow} Differences between frames are amplified instead."
                notes += filter(None, (about, amplified, f"Frames at {max(clips.size)} px, as the network gets them"))
        with self.hold_sync():
            self.moments, self.notes = moments, notes
            if there and (restart or self.frame >= max(len(moments), 1)):
                self.frame = 0
            self.faces = faces
        if viewing:
            self._soon(clips, there)

    def _show_viewing_copy(self, clips: Clips, clip_ids: list[str]) -> None:
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
        if self._clips is None or clip_id not in self._ids:
            return None
        (face,) = self._faces(self._clips, [clip_id], quality=80, halved=True)
        large = shown_frames(self._clips, clip_row(self._clips, clip_id)[0])[0]
        if large is not None and max(large.shape[1:3]) > PAGE_FACE:
            face |= _strip(np.stack([images.enlarge(one, PAGE_FACE) for one in large]), quality=70)
        moments, interval = _timing(self._clips, clip_id)
        return {"face": face, "moments": moments, "interval": interval}

    @validates("frame", "magnify", "speed", "overlay", "keep_rate", "attributed")
    def _check(self, name: str, value: Any) -> Any:
        ranges = {"frame": (0, max(len(self.moments) - 1, 0)), "magnify": (1, self.most), "speed": (0.001, 1)}
        if name in ranges:
            low, high = ranges[name]
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g} here; it cannot be {value:g}")
            return value
        overlays = [key for key, *_ in self.overlays]
        there = {"overlay": overlays, "keep_rate": self.keep_rates, "attributed": self.parts}[name]
        there = there or [self.trait_defaults(name)]
        if value not in there:
            more = "; give kept=medn.diagnose.kept_tokens(model, clips)" if value == "kept" else ""
            raise ValueError(f"there is no {name} {value!r} here; there are {', '.join(map(str, there))}{more}")
        return value

    def _faces(
        self, clips: Clips, clip_ids: list[str], *, quality: int = 92, halved: bool = False
    ) -> list[dict[str, Any]]:
        """What the page draws of some clips, which share the scales of flow and attribution."""
        places = [clip_row(clips, clip_id)[0] for clip_id in clip_ids]
        flows = [images.motion_field(clips, place)[0] for place in places]
        if halved:  # in pixels of the smaller grid
            half = [side // 2 for side in clips.size]
            flows = [None if flow is None else images.resize_field(flow, *half) / 2 for flow in flows]
        known = [flow for flow in flows if flow is not None]
        largest = max((float(images.flow_magnitude(flow).max()) for flow in known), default=0.0)
        gain = min((images.arrow_grid(flow)[-1] for flow in known if np.any(flow)), default=1.0)
        alike = ", the same in all clips" if len(known) > 1 else ""
        of_flow = images.SCALED_NOTE if images.scaled_by_clip(clips.recipe) else ""
        height, width = clips.size
        faces = []
        for clip_id, place, flow, heat in zip(clip_ids, places, flows, self._heats(clips, clip_ids), strict=True):
            face: dict[str, Any] = {
                "width": width, "height": height, "count": 1, "frames": None, "course": [], "flow": _packed(flow),
                "push": None, "arrows": [], "gain": gain, "largest": largest, "heat": heat,
                "kept": self._kept_of(clip_id), "texts": {
                    "kept": f"There are no kept tokens of {clip_id}.",
                    "attribution": f"There is no map of {clip_id} for this input and this number of frames.",
                },
            }  # fmt: skip
            if flow is not None:
                arrows = of_flow or f"drawn {gain:g} times as long as the motion{alike}"
                lengths = of_flow or f"up to {largest:.2f} px of {flow.shape[1]}{alike}"
                face["arrows"] = np.stack(images.arrow_grid(flow)[:4], axis=1).round(3).tolist()
                face["texts"] |= {
                    "arrows": f"Arrows: flow from onset to apex, {arrows}.",
                    "magnitude": f"Colour: length of the flow from onset to apex, {lengths}.",
                }
            if clips.frames is not None:
                frames = np.asarray(clips.frames[place])
                face |= {"count": len(frames), **_strip(frames, quality=quality)}
                if flow is not None:
                    face["push"] = _packed(images.steady(flow))
                    face["course"] = images.time_course(frames, clip_moments(clips, clip_id).apex, flow=flow).tolist()
            faces.append(face)
        return faces

    def _kept_of(self, clip_id: str) -> list[dict[str, Any]]:
        """The kept positions of a clip at each keep rate."""
        kept = self._kept
        if kept is None or clip_id not in set(kept.table["clip_id"]):
            return []
        row, found = int(positions(kept.table, clip_id, owner="these kept tokens")[0]), []
        for scale, rate in enumerate(kept.keep_rates):
            mask, covered = np.asarray(kept.masks[row, scale]), cover_text(kept, row, scale)
            text = (
                f"Bright: the {int(mask.sum())} of {mask.size} positions kept at rate {rate:g}, the same in every"
                f" frame; this scale has weight {float(kept.mix[row, scale]):.2f} of 1 in the branch."
            )
            found.append({
                "rate": float(rate), "grid": len(mask), "mask": mask.astype(np.uint8).tobytes(),
                "text": text + (f" Kept: {covered}." if covered else ""),
            })  # fmt: skip
        return found

    def _heats(self, clips: Clips, clip_ids: list[str]) -> list[dict[str, dict[str, Any]]]:
        """The maps of the attribution of each clip, by input and in common colours."""
        maps, mapped, found = self._attribution, {}, dict[str, dict[str, Any]]()
        if maps is None:
            return [{} for _ in clip_ids]
        known = {name: row for row, name in enumerate(maps.table["clip_id"])}
        for clip_id in known.keys() & set(clip_ids):
            one = mapped_clip(maps, known[clip_id])
            parts = {"frames": one.frames, "all frames": one.summed("frames"), "flow": one.flow}
            if clips.frames is not None and one.frames is not None and len(one.frames) != clips.frames.shape[1]:
                del parts["frames"]  # of another number of frames
            mapped[clip_id] = one, {part: heat for part, heat in parts.items() if heat is not None}
        for clip_id, (one, own) in mapped.items():
            for part, heat in own.items():
                largest = images.full_colour(*[others[part] for _, others in mapped.values() if part in others])
                packed = np.clip(np.round(127 * heat / (largest or 1.0)), -127, 127).astype(np.int8)
                colours = "red raises it, blue lowers it"
                if part != "flow" and not one.signed:
                    colours = "red is positive, blue is negative, and both cancel in the sum of a frame"
                found.setdefault(clip_id, {})[part] = {
                    "data": packed.tobytes(), "height": heat.shape[-2], "width": heat.shape[-1], "signed": one.signed,
                    "course": one.course.tolist() if part == "frames" and one.course is not None else [],
                    "text": f"{maps.target} by {maps.method.replace('_', ' ')}, {_PARTS[part]}: {colours}; full colour"
                    f" is ±{largest:.2g} per pixel.",
                }  # fmt: skip
        return [found.get(clip_id, {}) for clip_id in clip_ids]


def _timing(clips: Clips, clip_id: str) -> tuple[list[dict[str, str]], float]:
    """What the page writes of each frame on the time axis, and the milliseconds between two at real time."""
    moments = clip_moments(clips, clip_id)
    count, times = 0 if clips.frames is None else len(moments.numbers), moments.milliseconds
    named = [{"text": moments.describe(k), "name": moments.names(k)} for k in range(count)]
    return named, _INTERVAL if times is None else float(np.diff(times).mean())


def _strip(frames: np.ndarray, *, quality: int = 92) -> dict[str, Any]:
    """The frames (t, h, w, 3) of a clip one below the other as a WebP picture, and the size of one."""
    most = _LONGEST // len(frames)
    if max(frames.shape[1:3]) > most:
        frames = np.stack([images.enlarge(frame, most) for frame in frames])
    height, width = frames.shape[1:3]
    return {"frames": images.to_webp(frames.reshape(-1, width, 3), quality=quality), "height": height, "width": width}


def _packed(flow: np.ndarray | None) -> dict[str, Any] | None:
    """A flow as int8 and its scale in pixels."""
    if flow is None:
        return None
    scale = float(np.abs(flow).max()) / 127 or 1.0
    values = np.round(flow / scale).astype(np.int8)
    return {"data": values.tobytes(), "height": flow.shape[0], "width": flow.shape[1], "scale": scale}


def of_view(name: str) -> property:
    """A property of a widget that reads and sets a trait of its ``view``."""

    def get(panel: Any) -> Any:
        return getattr(panel.view, name)

    get.__doc__ = f"``{name}`` of ``view``."
    return property(get, lambda panel, value: setattr(panel.view, name, value))
