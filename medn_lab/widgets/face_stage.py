"""The three pictures of a face in hand: the face as it moves, the flow that is read, the places that are kept."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np

from medn_lab.records import Clips, LivePrediction
from medn_lab.view.answer_pictures import face_pictures
from medn_lab.view.images import MOST, Magnifier, motion_field, to_webp
from medn_lab.view.rows import clip_moments
from medn_lab.widgets.panel import note
from medn_lab.widgets.timing import Dwell

SETTLED = 0.35
"""Seconds without a move after which the face begins to play."""

_PIXELS = 160
_FRAME_MS, _PAUSE = 130.0, 420.0  # the last frame stays longer, so that the eye sees where the loop begins


class FaceStage:
    """Pictures side by side with a slider that magnifies the motion in them.

    Parameters
    ----------
    magnify : float
        How many times as large the motion is drawn, to begin with.
    answered : bool
        Whether there is a model to keep places.

    Attributes
    ----------
    views : HBox
    magnifies : FloatSlider
    """

    def __init__(self, *, magnify: float, answered: bool) -> None:
        self._clip: Clips | None = None
        self._answers: LivePrediction | None = None
        self._lacking = "no emotion branch, no kept places" if answered else "no model, no kept places"
        self._play_soon = Dwell(self._play, seconds=SETTLED)
        size = {"width": f"{_PIXELS}px", "height": f"{_PIXELS}px", "object_fit": "contain"}
        self.pictures = {
            name: widgets.Image(format="webp", layout=widgets.Layout(**size)) for name in ("face", "flow", "kept")
        }
        self._captions = {name: widgets.HTML(layout=widgets.Layout(width=f"{_PIXELS}px")) for name in self.pictures}
        self.views = widgets.HBox(
            [
                widgets.VBox([picture, self._captions[name]], layout=widgets.Layout(margin="0 4px 0 0"))
                for name, picture in self.pictures.items()
            ]
        )
        self.magnifies = widgets.FloatSlider(
            magnify, min=1, max=MOST, step=1, description="drawn motion ×", readout_format=".0f",
            tooltip="How many times as large the motion is drawn; the model sees it as it is",
            style={"description_width": "108px"}, layout=widgets.Layout(width="400px", margin="0"),
            continuous_update=False,
        )  # fmt: skip
        self.magnifies.observe(lambda change: self._draw(), "value")

    def still(self) -> None:
        """Do not begin to play: the face is about to change."""
        self._play_soon.cancel()

    def show(self, clip: Clips | None, answers: LivePrediction | None) -> None:
        """Draw a clip with what the model kept of it, both as far as they are there; play it once nothing moves."""
        self._clip, self._answers = clip, answers
        self._draw()
        if clip is not None:
            self._play_soon()

    def _draw(self) -> None:
        pictures: dict[str, np.ndarray] = {}
        if self._clip is not None:
            clip_id = self._clip.table["clip_id"].iloc[0]
            kept = None if self._answers is None else self._answers.kept
            pictures = face_pictures(self._clip, clip_id, kept=kept, size=_PIXELS, magnify=self.magnifies.value)
        for name, view in self.pictures.items():
            view.layout.visibility = "visible" if name in pictures else "hidden"
            if name in pictures:
                view.value = to_webp([pictures[name]], quality=84)
        self._captions["face"].value = note(f"the face, motion × {self.magnifies.value:g}")
        self._captions["flow"].value = note("the motion branch reads this flow")
        self._captions["kept"].value = note("the emotion branch keeps these" if "kept" in pictures else self._lacking)

    def _play(self) -> None:
        """Let the face play; it takes a moment, so only once the sliders rest."""
        if self._clip is None or self._clip.frames is None:
            return
        frames = np.asarray(self._clip.frames[0])
        apex = clip_moments(self._clip, self._clip.table["clip_id"].iloc[0]).apex
        magnifier = Magnifier(frames, motion_field(self._clip, 0)[0], apex=apex, size=_PIXELS)
        pictures = [magnifier.frame(place, self.magnifies.value) for place in range(len(frames))]
        stays = [_FRAME_MS] * (len(frames) - 1) + [_PAUSE]
        self.pictures["face"].value = to_webp(pictures, milliseconds=stays, quality=80)
