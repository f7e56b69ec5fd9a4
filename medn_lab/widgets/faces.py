"""One or two clips side by side as one looping picture, so that a pair always plays in step."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from medn_lab.records import Clips, require
from medn_lab.view.drawing import common_scale, to_webp
from medn_lab.view.magnify import Magnifier
from medn_lab.view.moments import clip_moments, clip_row
from medn_lab.view.motion_field import motion_field
from medn_lab.widgets.overlays import render

_KEPT = 48
_PREPARED = 4  # clips: a pair, and the pair before it
_PAUSE = 420.0  # milliseconds on the last frame, so that the eye sees where the loop begins
_FRAME_MS = 130.0
_GAP = 10
_NO_FRAMES = "These clips have no frames (flow alone), so there are no faces to play."

NO_CLIPS = "No clips were given, so there are no faces to play."


class FaceLoop:
    """Draws looping pictures of clips, and remembers the last few.

    Parameters
    ----------
    clips : Clips or None
    size : int
        Longer side of a face in pixels of the page.
    """

    def __init__(self, clips: Clips | None, *, size: int) -> None:
        self._clips, self._size = clips, size
        self._kept: OrderedDict[tuple[object, ...], tuple[bytes, str]] = OrderedDict()
        self._prepared: dict[str, tuple[Magnifier, np.ndarray | None]] = {}
        self._known = set() if clips is None else set(clips.table["clip_id"])

    def why_not(self, clip_id: str) -> str:
        """Why this clip cannot be played, as a sentence; empty where it can."""
        if self._clips is None:
            return NO_CLIPS
        if self._clips.frames is None:
            return _NO_FRAMES
        return "" if clip_id in self._known else f"{clip_id} is not among the clips that were given."

    def count(self) -> int:
        """How many frames a clip has; 0 where there are none."""
        return 0 if self._clips is None or self._clips.frames is None else self._clips.frames.shape[1]

    def animation(self, clip_ids: tuple[str, ...], *, magnify: float, overlay: str) -> tuple[bytes, str]:
        """The clips side by side as an endlessly looping WebP, and one line on its overlay.

        All clips have the same number of frames, so frame k of one stands beside frame k of the other: the pair is in
        step by share of the clip, not by milliseconds.
        """
        count = self.count()
        stays = [_FRAME_MS] * (count - 1) + [_PAUSE]
        return self._kept_or(clip_ids, magnify, overlay, places=range(count), stays=stays)

    def still(self, clip_ids: tuple[str, ...], place: int, *, magnify: float, overlay: str) -> tuple[bytes, str]:
        """Frame `place` of the clips side by side as a WebP, and one line on its overlay."""
        return self._kept_or(clip_ids, magnify, overlay, places=(place,), stays=0)

    def _kept_or(
        self,
        clip_ids: tuple[str, ...],
        magnify: float,
        overlay: str,
        *,
        places: Sequence[int],
        stays: Sequence[float] | float,
    ) -> tuple[bytes, str]:
        key = (clip_ids, magnify, overlay, tuple(places))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        clips = [self._prepare(clip_id) for clip_id in clip_ids]
        flows = [flow for _, flow in clips if flow is not None]
        scale = common_scale(flows) if len(flows) > 1 else None
        drawn = [
            [render(magnifier.frame(place, magnify), flow, overlay, scale=scale) for magnifier, flow in clips]
            for place in places
        ]
        joined = [_beside([picture for picture, _ in faces]) for faces in drawn]
        quality = 80 if len(joined) > 1 else 86
        self._kept[key] = to_webp(joined, milliseconds=stays, quality=quality), drawn[0][0][1]
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _prepare(self, clip_id: str) -> tuple[Magnifier, np.ndarray | None]:
        if clip_id not in self._prepared:
            clips = require(self._clips, otherwise=NO_CLIPS)
            place, _ = clip_row(clips, clip_id)
            frames = np.asarray(require(clips.frames, otherwise=_NO_FRAMES)[place])
            flow, _ = motion_field(clips, place)
            apex = clip_moments(clips, clip_id).apex
            while len(self._prepared) >= _PREPARED:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[clip_id] = Magnifier(frames, flow, apex=apex, size=self._size), flow
        return self._prepared[clip_id]


def _beside(images: list[np.ndarray]) -> np.ndarray:
    gap = np.full((images[0].shape[0], _GAP, 3), 128, dtype=np.uint8)
    parts = [images[0]]
    for image in images[1:]:
        parts += [gap, image]
    return np.concatenate(parts, axis=1)
