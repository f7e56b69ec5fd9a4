"""One or two clips side by side as one looping picture, so that a pair always plays in step."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from medn_lab.records import Clips
from medn_lab.view.drawing import to_webp
from medn_lab.view.magnify import Magnifier
from medn_lab.view.moments import clip_moments, clip_row
from medn_lab.widgets.player import render

_KEPT = 24
_PAUSE = 420.0  # milliseconds on the last frame, so that the eye sees where the loop begins
_FRAME_MS = 130.0
_GAP = 10


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
        self._known = set() if clips is None else set(clips.table["clip_id"])

    def why_not(self, clip_id: str) -> str:
        """Why this clip cannot be played, as a sentence; empty where it can."""
        if self._clips is None:
            return "No clips were given, so there are no faces to play."
        if self._clips.frames is None:
            return "These clips have no frames (flow alone), so there are no faces to play."
        return "" if clip_id in self._known else f"{clip_id} is not among the clips that were given."

    def animation(self, clip_ids: tuple[str, ...], *, magnify: float, overlay: str) -> tuple[bytes, str]:
        """The clips side by side as an endlessly looping WebP, and one line on its overlay.

        All clips have the same number of frames, so frame k of one stands beside frame k of the other: the pair is in
        step by share of the clip, not by milliseconds.
        """
        key = (clip_ids, magnify, overlay)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        strips = [self._frames(clip_id, magnify, overlay) for clip_id in clip_ids]
        faces = [frames for frames, _ in strips]
        count = min(map(len, faces))
        joined = [_beside([frames[place] for frames in faces]) for place in range(count)]
        stays = [_FRAME_MS] * (count - 1) + [_PAUSE]
        self._kept[key] = to_webp(joined, milliseconds=stays, quality=80), strips[0][1]
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _frames(self, clip_id: str, magnify: float, overlay: str) -> tuple[list[np.ndarray], str]:
        place, _ = clip_row(self._clips, clip_id)
        frames = np.asarray(self._clips.frames[place])
        flow = None if self._clips.flow is None else np.asarray(self._clips.flow[place])
        apex = clip_moments(self._clips, clip_id).apex
        magnifier = Magnifier(frames, flow, apex=apex, size=self._size)
        drawn = [render(magnifier.frame(i, magnify), flow, overlay) for i in range(len(frames))]
        return [picture for picture, _ in drawn], drawn[0][1]


def _beside(images: list[np.ndarray]) -> np.ndarray:
    gap = np.full((images[0].shape[0], _GAP, 3), 128, dtype=np.uint8)
    parts = [images[0]]
    for image in images[1:]:
        parts += [gap, image]
    return np.concatenate(parts, axis=1)
