"""Clips that play: frames and flow are sent once; the page plays, magnifies and draws overlays."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, Predictions
from medn_lab.view import images
from medn_lab.view.attribution import mapped_clip, sanity_lines
from medn_lab.view.clips import cover_text
from medn_lab.view.rows import clip_moments, clip_row, describe, shown_frames
from medn_lab.widgets.panel import Later, WrittenPanel, clip_chooser, clip_headings, note, score_rows, validates

_HERE = Path(__file__).parent
_PARTS = {"frames": "this frame", "all frames": "all frames after the onset", "flow": "the flow, onset to apex"}
_OF_KEPT = "The positions of the face that the emotion branch kept, one keep rate at a time"
_OF_HEAT = "What the target depends on; the colours are explained below the faces"
PAGE_FACE = 128  # pixels: the longer side of a face of the viewing copy in a written page
_COLOURS = images.magnitude_colours(np.linspace(0, 1, 256)).round().astype(int).tolist()
_LONGEST = 16383  # pixels: the side that a WebP file can have
_SETTLED = 0.2  # seconds until the viewing copy follows the network's frames, which are there at once
_INTERVAL = 20.0  # milliseconds a frame at real time, where the frame rate is not known


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
    **traits
        The first values of ``size``, ``magnify``, ``playing``.

    Attributes
    ----------
    size : int
        Longer side of a face in pixels of the page.
    frame : int
        From 0.
    playing, loop : bool
    speed : float
        A share of real time: 1, 1/2, 1/4, 1/8, 1/16 or 1/32.
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
    scale: traitlets.List[Any] = traitlets.List(_COLOURS).tag(sync=True)
    interval = traitlets.Float(_INTERVAL).tag(sync=True)
    most = traitlets.Float(images.MOST).tag(sync=True)
    size = traitlets.Int(320).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    loop = traitlets.Bool(True).tag(sync=True)
    speed = traitlets.Enum([1 / part for part in (1, 2, 4, 8, 16, 32)], 0.125).tag(sync=True)
    magnify = traitlets.Float(1.0, min=1.0, max=images.MOST).tag(sync=True)
    overlay = traitlets.Unicode("none").tag(sync=True)
    keep_rate = traitlets.Float(1.0).tag(sync=True)
    attributed = traitlets.Unicode("frames").tag(sync=True)

    def __init__(
        self, clips: Clips | None, *, kept: KeptTokens | None = None, attribution: Attribution | None = None,
        **traits: Any,
    ) -> None:  # fmt: skip
        self._clips = clips
        self._soon = Later(self._show_viewing_copy, seconds=_SETTLED)
        super().__init__(**traits)
        self.give(kept=kept, attribution=attribution)

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
        heats = {} if attribution is None else {"frames": attribution.frames, "flow": attribution.flow}
        parts = [part for part in _PARTS if heats.get(part.removeprefix("all ")) is not None]
        overlays: list[tuple[dict[str, Any], str, str]] = []
        if clips is not None and clips.frames is not None:
            overlays.append(({"overlay": "none"}, "none", "The face alone"))
        if flows:
            overlays.append(({"overlay": "magnitude"}, "flow length", "Length of the motion"))
            overlays.append(({"overlay": "arrows"}, "flow arrows", "Direction and length of the motion"))
        rates = map(float, () if kept is None else kept.keep_rates)
        overlays += [({"overlay": "kept", "keep_rate": rate}, f"kept tokens: {rate:g}", _OF_KEPT) for rate in rates]
        overlays += [({"overlay": "attribution", "attributed": one}, f"attribution: {one}", _OF_HEAT) for one in parts]
        with self.hold_sync():
            self.overlays = overlays
            for name in ("overlay", "keep_rate", "attributed"):
                if getattr(self, name) not in self._choices(name):
                    setattr(self, name, self._choices(name)[0])

    def _choices(self, name: str) -> list[Any]:
        """The values of a trait that the overlays set; its first value where none does."""
        there = dict.fromkeys(traits[name] for traits, *_ in self.overlays if name in traits)
        return list(there) or [self.trait_defaults(name)]

    def show(self, *clip_ids: str, restart: bool = True) -> None:
        """Show these clips in step, frame k of one next to frame k of the others, from their onsets.

        Without `restart` the frame stays, so that clips that replace each other play on. A clip that is not among the
        clips is named under the faces.
        """
        self._soon.close()
        clips, there = self._clips, [one for one in clip_ids if one in self._ids]
        notes = [f"{one} is not among the clips that were given." for one in clip_ids if one not in there]
        faces, moments = list[dict[str, Any]](), list[dict[str, str]]()
        if clips is None:
            notes = ["No clips were given, so there are no faces to play."] if clip_ids else []
        elif there:
            faces, (moments, self.interval) = self._faces(clips, there), _timing(clips, there[0])
            no_flow = images.motion_field(clips, 0)[1]
            if clips.frames is None:
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
        if faces and clips is not None and clips.frames is not None and clips.viewing is not None:
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

    def packed(self, clip_id: str) -> dict[str, Any]:
        """What a page without a kernel needs to play a clip, at half the flow's size; empty where it is not here."""
        clips = self._clips
        if clips is None or clip_id not in self._ids:
            return {}
        shown = shown_frames(clips, clip_row(clips, clip_id)[0])[0]
        strip = None
        if shown is not None and max(shown.shape[1:3]) > PAGE_FACE:
            strip = _strip(shown, quality=70, longest=PAGE_FACE)
        (face,) = self._faces(clips, [clip_id], halved=True, strip=strip)
        moments, interval = _timing(clips, clip_id)
        return {"face": face, "moments": moments, "interval": interval}

    @validates("frame", "overlay", "keep_rate", "attributed")
    def _check(self, name: str, value: Any) -> Any:
        known = range(max(len(self.moments), 1)) if name == "frame" else self._choices(name)
        if value not in known:
            more = "; give kept=medn.diagnose.kept_tokens(model, clips)" if value == "kept" else ""
            raise ValueError(f"there is no {name} {value!r} here; there are {', '.join(map(str, known))}{more}")
        return value

    def _faces(
        self, clips: Clips, clip_ids: list[str], *, halved: bool = False, strip: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """What the page draws of some clips, on common scales; `strip` in place of the network's frames."""
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
        (height, width), heats, faces = clips.size, self._heats(clips, clip_ids), []
        for clip_id, place, flow in zip(clip_ids, places, flows, strict=True):
            face: dict[str, Any] = {
                "width": width, "height": height, "count": 1, "frames": None, "course": [], "flow": _packed(flow),
                "push": None, "arrows": [], "gain": gain, "largest": largest,
                "kept": self._kept_of(clip_id), "heat": heats.get(clip_id, {}), "texts": {
                    "kept": f"There are no kept tokens of {clip_id}.",
                    "attribution": f"There is no map of {clip_id} for this input and this number of frames.",
                },
            }  # fmt: skip
            if flow is not None:
                arrows = of_flow or f"drawn {{gain}} times as long as the motion{alike}"
                lengths = of_flow or f"up to {{largest}} px of {flow.shape[1]}{alike}"
                face["arrows"] = np.stack(images.arrow_grid(flow)[:4], axis=1).round(3).tolist()
                face["texts"] |= {
                    "arrows": f"Arrows: flow from onset to apex, {arrows}.",
                    "magnitude": f"Colour: length of the flow from onset to apex, {lengths}.",
                }
            if clips.frames is not None:
                frames = np.asarray(clips.frames[place])
                face |= {"count": len(frames)} | (strip or _strip(frames, quality=80 if halved else 92))
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
        row, found = list(kept.table["clip_id"]).index(clip_id), []
        for scale, rate in enumerate(kept.keep_rates):
            mask, covered = np.asarray(kept.masks[row, scale]), cover_text(kept, row, scale)
            found.append({
                "rate": float(rate), "grid": len(mask), "mask": mask.astype(np.uint8).tobytes(),
                "text": f"Bright: the {int(mask.sum())} of {mask.size} positions kept at rate {rate:g}, the same in"
                f" every frame; this scale has weight {float(kept.mix[row, scale]):.2f} of 1 in the branch."
                + (f" Kept: {covered}." if covered else ""),
            })  # fmt: skip
        return found

    def _heats(self, clips: Clips, clip_ids: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """The maps of the attribution of each clip that has some, by input and in common colours."""
        maps, found = self._attribution, dict[str, dict[str, dict[str, Any]]]()
        if maps is None:
            return found
        rows, count = enumerate(maps.table["clip_id"]), None if clips.frames is None else clips.frames.shape[1]
        mapped = {clip_id: mapped_clip(maps, row) for row, clip_id in rows if clip_id in clip_ids}
        for part, words in _PARTS.items():
            heats = {
                clip_id: one.frames if part == "frames" else one.summed(part.removeprefix("all "))
                for clip_id, one in mapped.items()
                if part != "frames" or count is None or one.frames is None or len(one.frames) == count
            }
            heats = {clip_id: heat for clip_id, heat in heats.items() if heat is not None}
            largest = images.full_colour(*heats.values())
            for clip_id, heat in heats.items():
                one, colours = mapped[clip_id], "red raises it, blue lowers it"
                if part != "flow" and not one.signed:
                    colours = "red is positive, blue is negative, and both cancel in the sum of a frame"
                packed = np.clip(np.round(127 * heat / (largest or 1.0)), -127, 127).astype(np.int8)
                found.setdefault(clip_id, {})[part] = {
                    "data": packed.tobytes(), "height": heat.shape[-2], "width": heat.shape[-1], "signed": one.signed,
                    "course": one.course.tolist() if part == "frames" and one.course is not None else [],
                    "text": f"{maps.target} by {maps.method.replace('_', ' ')}, {words}: {colours}; full colour"
                    f" is ±{largest:.2g} per pixel.",
                }  # fmt: skip
        return found


def _timing(clips: Clips, clip_id: str) -> tuple[list[dict[str, str]], float]:
    """What the page writes of each frame on the time axis, and the milliseconds between two at real time."""
    moments = clip_moments(clips, clip_id)
    count, times = 0 if clips.frames is None else len(moments.numbers), moments.milliseconds
    named = [{"text": moments.describe(k), "name": moments.names(k)} for k in range(count)]
    return named, _INTERVAL if times is None else float(np.diff(times).mean())


def _strip(frames: np.ndarray, *, quality: int = 92, longest: int = _LONGEST) -> dict[str, Any]:
    """The frames (t, h, w, 3) of a clip one below the other as a WebP picture, and the size of one."""
    most = min(longest, _LONGEST // len(frames))
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
    magnify : float
        From 1 to 20.

    Attributes
    ----------
    clip_id : str
        The clip that plays; a trait: set it to play another, observe it to follow.
    view : ClipView
        What is drawn in the page. Its traits ``frame``, ``playing``, ``overlay``, ``keep_rate``, ``attributed``,
        ``magnify``, ``speed`` and ``loop`` can be set and observed: ``player.view.overlay = "arrows"``.

    Raises
    ------
    ValueError
        If there are no clips, no clip of that name, or the factor is out of range.

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

    def __init__(
        self, clips: Clips, *, clip_id: str | None = None, kept: KeptTokens | None = None,
        attribution: Attribution | None = None, magnify: float = 1.0,
    ) -> None:  # fmt: skip
        if not len(clips):
            raise ValueError("there are no clips to play: the record is empty")
        self._clips, lines = clips, [] if attribution is None else sanity_lines(attribution)
        self.view = ClipView(clips, kept=kept, attribution=attribution, magnify=magnify)
        self._heading, self._message = widgets.HTML(), widgets.HTML()
        checks = widgets.HTML("".join(note(line, escape=False) for line in lines))
        self.clip_id = str(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)
        chooser = self._bind("clip_id", clip_chooser("clip", clips.table))
        super().__init__([widgets.HBox([self.view, widgets.VBox([self._heading, chooser, self._message, checks])])])
        self.observe(lambda _: self._show_clip(), "clip_id")
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
        self._say("")

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
        names: tuple[str, str] = ("", ""),
    ) -> None:  # fmt: skip
        self._rows, self._predictions, self._names = table.set_index("clip_id", drop=False), predictions, names
        self.view = ClipView(clips, size=200, magnify=magnify, playing=True)
        self.message = widgets.HTML()
        self.cards = [widgets.HTML(), widgets.HTML()]
        middle, height = widgets.VBox([self.view, self.message]), "" if clips is None else "320px"
        self.widget = widgets.HBox([self.cards[0], middle, self.cards[1]], layout={"min_height": height})
        self.widget.add_class("medn-pair")
        self.show()

    def show(self, *clip_ids: str) -> None:
        """Show none, one or two clips."""
        shown = (*clip_ids, "", "")[:2]
        for card, clip_id, name in zip(self.cards, shown, self._names, strict=True):
            rows = self._rows.loc[[clip_id]] if clip_id else self._rows.iloc[:0]
            text = "".join(one + score_rows(self._predictions, clip_id) for one in clip_headings(rows))
            card.value = f"<div class='medn-card'>{note(name)}{text}</div>"
        self.view.show(*clip_ids)
