"""The two clips that were kept, side by side, and what tells them apart."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np

from medn_lab.records import Clips, LivePrediction
from medn_lab.view.answer_pictures import face_pictures
from medn_lab.view.answers import clip_au_scores, state_text
from medn_lab.view.images import to_webp
from medn_lab.widgets.answer_card import gate_html, scores_html, verdict
from medn_lab.widgets.joined import join_clips
from medn_lab.widgets.panel import emotion_chip, note

_PIXELS = 118
_GAP = 6


@dataclass(frozen=True)
class _Kept:
    clips: Clips
    answers: LivePrediction | None
    state: dict[str, Any]


class KeptFaces:
    """Two places for clips, A and B.

    Parameters
    ----------
    recall : callable
        Called with the slot whose clip is wanted back.

    Attributes
    ----------
    box : widgets.Box
        What is shown.
    slots : tuple of str
    """

    slots = ("A", "B")

    def __init__(self, *, recall: Callable[[str], None]) -> None:
        self._held: dict[str, _Kept] = {}
        self._heads = {slot: widgets.HTML(layout=widgets.Layout(flex="1 1 auto", min_width="0")) for slot in self.slots}
        self._back = {
            slot: widgets.Button(
                description=f"Back to {slot}", icon="undo", disabled=True, tooltip=f"Set the sliders as for {slot}",
                layout=widgets.Layout(width="104px"),
            )
            for slot in self.slots
        }  # fmt: skip
        for slot, button in self._back.items():
            button.on_click(lambda _, slot=slot: recall(slot))
        self._pictures = {
            slot: widgets.Image(
                format="webp",
                layout=widgets.Layout(
                    height=f"{_PIXELS}px", display="none", object_fit="contain", object_position="left"
                ),
            )
            for slot in self.slots
        }
        self._bodies = {slot: widgets.HTML() for slot in self.slots}
        self._between = widgets.HTML()
        panes = [
            widgets.VBox(
                [
                    widgets.HBox([self._heads[slot], self._back[slot]]),
                    self._pictures[slot],
                    self._bodies[slot],
                ],
                layout=widgets.Layout(width="494px", margin="0 10px 0 0", min_width="0"),
            )
            for slot in self.slots
        ]
        self.box = widgets.VBox(
            [self._between, widgets.HBox(panes)],
            layout=widgets.Layout(border_top="1px solid var(--jp-border-color1, #bbb)", margin="8px 0 0 0"),
        )
        self._draw()

    @property
    def filled(self) -> tuple[str, ...]:
        """The slots that hold a clip."""
        return tuple(slot for slot in self.slots if slot in self._held)

    def put(
        self, slot: str, clips: Clips, answers: LivePrediction | None, state: dict[str, Any], *, magnify: float
    ) -> None:
        """Keep a clip; ValueError where it does not go together with the other."""
        held = {**self._held, slot: _Kept(clips, answers, state)}
        join_clips({name: one.clips for name, one in held.items()})
        self._held = held
        clip_id = clips.table["clip_id"].iloc[0]
        kept = None if answers is None else answers.kept
        pictures = list(face_pictures(clips, clip_id, kept=kept, size=_PIXELS * 2, magnify=magnify).values())
        gap = np.full((pictures[0].shape[0], 2 * _GAP, 3), 128, dtype=np.uint8)
        strip = np.concatenate([part for one in pictures for part in (one, gap)][:-1], axis=1)
        self._pictures[slot].value = to_webp([strip], quality=84)
        self._pictures[slot].layout.display = ""
        self._draw()

    def state(self, slot: str) -> dict[str, Any]:
        """The state of a kept clip; ValueError where there is none."""
        if slot not in self._held:
            raise ValueError(f"no clip is kept as {slot!r}; {_kept_text(self.filled)}")
        return dict(self._held[slot].state)

    def clips(self) -> Clips:
        """The kept clips as one record, named by their slots."""
        return join_clips({slot: self._held[slot].clips for slot in self.filled})

    def held(self) -> list[tuple[str, Clips, LivePrediction | None]]:
        """Slot, clip and answers of each that is kept."""
        return [(slot, self._held[slot].clips, self._held[slot].answers) for slot in self.filled]

    def _draw(self) -> None:
        for slot in self.slots:
            one = self._held.get(slot)
            self._back[slot].disabled = one is None
            if one is None:
                self._heads[slot].value = note(f"{slot} is empty: “Keep as {slot}” puts the clip in hand here.")
                continue
            clip_id = one.clips.table["clip_id"].iloc[0]
            self._heads[slot].value = (
                f"<div class='medn-line'><span class='medn-title'>{slot}</span> "
                f"{html.escape(state_text(one.clips, clip_id))}</div>"
            )
            said = verdict(one.answers, one.clips, clip_id)
            if one.answers is not None:
                said += scores_html(one.answers, one.clips, clip_id) + gate_html(one.answers, clip_id)
            self._bodies[slot].value = said
        self._between.value = self._compared()

    def _compared(self) -> str:
        if len(self._held) < 2:
            return note("Keep two clips to compare them; “Same AUs, other cue” makes a confusable pair at one click.")
        a, b = (self._held[slot] for slot in self.slots)
        rows = [one.clips.table.iloc[0] for one in (a, b)]
        same_aus = all(rows[0].get(au) == rows[1].get(au) for au in a.clips.aus)
        labels = [row.get("label") for row in rows]
        what = "the same AUs" if same_aus else "different AUs"
        parts = [f"<b>A and B</b> have {what}"]
        if None not in labels and same_aus and labels[0] != labels[1]:
            chips = " and ".join(emotion_chip(label) for label in labels)
            parts[0] += f" and mean {chips}: a <b>confusable pair</b>"
        if a.clips.flow is not None and b.clips.flow is not None:
            apart = np.linalg.norm(a.clips.flow - b.clips.flow, axis=-1).max()
            parts.append(f"their flows differ by at most {apart:.2f} px")
        if a.answers is not None and b.answers is not None:
            both = a.answers.predictions, b.answers.predictions
            said = [one.predicted[0] for one in both]
            parts.append(
                f"the model says {emotion_chip(said[0])} and {emotion_chip(said[1])}"
                if said[0] != said[1]
                else f"the model says {emotion_chip(said[0])} to both"
            )
            aus = [clip_au_scores(one, row["clip_id"]) for one, row in zip(both, rows, strict=True)]
            if not any(table.empty for table in aus) and list(aus[0]["au"]) == list(aus[1]["au"]):
                moved = float((aus[0]["probability"] - aus[1]["probability"]).abs().max())
                parts.append(f"AU scores differ by at most {moved:.0%}")
        return f"<div class='medn-line' style='margin:4px 0'>{'; '.join(parts)}.</div>"


def _kept_text(filled: tuple[str, ...]) -> str:
    return f"there is {' and '.join(filled)}" if filled else "none is kept yet"
