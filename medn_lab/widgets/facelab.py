"""A face with sliders and the predictions of a model for it; two of its clips can be kept as a confusable pair."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import Clips, LivePrediction, ViewingCopy
from medn_lab.records.table import one_of
from medn_lab.view.answers import plot_answers, state_text
from medn_lab.view.theme import au_name
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import Later, LiveFigure, Panel, emotion_chip, note, table_html, validates

INTENSITIES = ("–", "A", "B", "C", "D", "E")  # of an AU; the first is no movement
SIDES = {"both": "both", "L": "left", "R": "right"}
SLOTS = ("A", "B")
_NOTHING = {"aus": INTENSITIES[0], "sides": "both"}
STRONGEST = 4.0  # the largest strength of cue, noise and drift
# Seconds from the first move of a slider to the face as the slider then stands, and without a move to the figure.
SOON, SETTLED = 0.015, 0.12
LEVELS = {
    "cue_strength": ("cue strength", "Strength of the cue: 1 as in SynthME, 0 none"),
    "noise": ("sensor noise", "Noise of sensor, light and JPEG compression: 1 as in SynthME, 0 none"),
    "drift": ("head drift", "Head motion that remains after registration: 1 as in SynthME, 0 none"),
}
# The parts of a state, and the values of those that are left out.
_USUAL: dict[str, Any] = {"aus": {}, "sides": {}, "cue": "still", **dict.fromkeys(LEVELS, 1.0)}
_COLUMNS = {
    "slot": "clip", "action_units": "AUs", "side": "side", "cue": "cue", "label": "true emotion",
    "predicted": "predicted", "p": "score",
}  # fmt: skip
_SHIFTS = {"factor": "from clip", "branch": "feature", "value": "shift (sd)"}
_ALONE = "Frames alone: the flow is zero. Flow alone: all frames are the same; they have a cue, the cue named still."
_SHIFTED = "0: no change, 1.41: as to any other clip. The motion should move with the AUs, the emotion with the cue."


class FaceLab(Panel):
    """Move a face with sliders and see the predictions of a model for it, by branch.

    Every move draws the clip anew with its flow, and runs the model three times: on the clip, with a flow of zeros, and
    with frames that stand still. The figure compares the scores with what the AUs and the cue allow. *Same AUs, other
    cue* keeps two clips that move alike and mean different things: a confusable pair.

    Parameters
    ----------
    draw : FaceStudio
        From ``medn_lab.synthme.face_studio`` or ``photo_studio``.
    answer : callable
        From ``medn_lab.evaluate.live_predictor``.
    shift : callable, optional
        For *Counterfactual shift*: takes features of a clip and, by name, those of its changes, and returns a row for
        each change and branch, as ``medn_lab.diagnose.counterfactual_shift`` does once it has its ``reference``.
    state : mapping, optional
        To begin with; a still face where None.
    magnify : float
        How many times as large the motion is drawn, 1 to 20. The model gets it as it is.

    Attributes
    ----------
    state : dict
        ``aus, sides, cue, cue_strength, noise, drift``, as the studio takes them, with intensities from A to E; what is
        left out does not move, or is 1. Sides are the person's own: ``left`` moves what is on the right of the picture.
        A trait: set it to move the sliders, observe it to follow them.
    selection : DataFrame
        A row for the current clip (``now``) and for each that is kept, with truth and predictions; a read-only trait.
    view, pair_view : ClipView
        Players of the current clip and of the kept clips.

    Raises
    ------
    ValueError
        If the state names something that the face does not have, or the model cannot read its clips.

    See Also
    --------
    medn_lab.view.plot_answers : the predictions as a figure.

    Examples
    --------
    >>> import medn_lab as medn
    >>> answer = medn.evaluate.live_predictor(medn.load_pretrained("medn_tiny.synthme_v2"))
    >>> lab = FaceLab(medn.synthme.face_studio(), answer=answer, state={"aus": {"AU12": "C"}})
    >>> lab.clip.table["action_units"].tolist()
    ['12']
    """

    state = traitlets.Dict()
    selection = traitlets.Instance(pd.DataFrame, args=(), read_only=True)

    def __init__(
        self, draw: Any, *, answer: Callable[[Clips], LivePrediction],
        shift: Callable[..., pd.DataFrame] | None = None, state: Mapping[str, Any] | None = None,
        magnify: float = 8.0,
    ) -> None:  # fmt: skip
        self._studio, self._answer, self._shift = draw, answer, shift
        self._drawn: dict[str, Any] | None = None
        self._kept: dict[str, tuple[Clips, dict[str, Any], LivePrediction]] = {}
        self._soon = Later(self._update, seconds=SOON)
        self._figure_soon = Later(self._draw_figure, seconds=SETTLED)
        self.view = ClipView(None, size=300, magnify=magnify, playing=True)
        self.pair_view = ClipView(None, size=256, magnify=magnify, playing=True)
        self._message, self._between, self._table, self._shifted = (widgets.HTML() for _ in range(4))
        self._figure, self.state = LiveFigure(go.Figure()), dict(state or {})
        below = [self._figure, self._table, self._shifted, self._between, self.pair_view, widgets.HTML(note(_ALONE))]
        super().__init__([self._buttons(), self._sliders(), *below])
        self.observe(lambda _: self._soon(), "state")
        self._update()

    def rest(self) -> None:
        """Set no AU and a still cue; strength, noise and drift stay."""
        self.state = {name: self.state[name] for name in LEVELS}
        self._update()

    def keep(self, slot: str) -> None:
        """Keep the current clip as ``A`` or ``B``, in place of the one kept there."""
        self._kept = dict(sorted((self._kept | {slot: (self.clip, dict(self.state), self._answers)}).items()))
        pair = self.clips
        self.pair_view.give(clips=pair, kept=self._answer(pair).kept)
        self.pair_view.show(*self._kept, restart=False)
        same, labels = pair.table[list(pair.aus)].nunique().max() == 1, pair.table["label"]
        text = f"<b>A and B</b> have {'the same AUs' if same else 'different AUs'}"
        if same and labels.notna().all() and labels.nunique() == 2:
            text += f" and mean {' and '.join(map(emotion_chip, labels))}: a <b>confusable pair</b>"
        self._between.value = f"<div class='medn-line'>{text}.</div>" if len(pair) == 2 else ""
        self._list_clips()

    def recall(self, slot: str) -> None:
        """Move the sliders back to the state of a kept clip.

        Raises
        ------
        ValueError
            If nothing is kept there.
        """
        if slot not in self._kept:
            raise ValueError(f"no clip is kept as {slot!r}; kept: {', '.join(self._kept) or 'none'}")
        self.state = self._kept[slot][1]
        self._update()

    def other_cue(self) -> str:
        """Make a pair: keep the current clip as A, and as B the same AUs, noise and drift with the next other cue.

        Returns
        -------
        str
            That cue; the sliders stand on it. In the published table each cue means another emotion.

        Raises
        ------
        ValueError
            If the cue strength is 0.
        """
        if self.state["cue_strength"] == 0:
            raise ValueError("the cue strength is 0, so all cues look the same: increase it first")
        cue = next(name for name in self._studio.cues if name != self.state["cue"])
        self.keep("A")
        self.state = {**self.state, "cue": cue}
        self.keep("B")
        return cue

    def counterfactual_shift(self) -> pd.DataFrame:
        """How far each branch's feature moves from each kept clip to the current one, as `shift` returns it.

        Returns
        -------
        DataFrame
            A row for each kept clip (``factor``) and ``branch``, with its ``value`` in standard deviations.

        Raises
        ------
        ValueError
            If no clip is kept, or the lab has no `shift`.
        """
        if self._shift is None or not self._kept:
            raise ValueError("a shift needs the argument `shift` and a kept clip: press Keep as A, then move a slider")
        now = self.answers
        changed = {slot: replace(one.features, table=now.features.table) for slot, (*_, one) in self._kept.items()}
        found = self._shift(now.features, changed)
        self._shifted.value = table_html(found, _SHIFTS) + note(_SHIFTED)
        return found

    @property
    def clip(self) -> Clips:
        """The current clip, one row with truth: to be given to any function that takes clips."""
        self._update()
        return self._clip

    @property
    def clips(self) -> Clips:
        """The kept clips, ``A`` and ``B``; the current clip where none is kept."""
        return _joined({name: clip for name, (clip, *_) in self._kept.items()}) if self._kept else self.clip

    @property
    def answers(self) -> LivePrediction:
        """The predictions for the current clip."""
        self._update()
        return self._answers

    def _buttons(self) -> widgets.Box:
        """A button for each act."""
        buttons = [
            self._button("Neutral", "pause", "Set no AU and the cue to still", self.rest),
            self._button("Same AUs, other cue", "exchange", "Keep this clip as A, another cue as B", self.other_cue),
        ]
        for slot in SLOTS:
            hint = f"Set the sliders to the values of {slot}"
            keep, back = partial(self.keep, slot), partial(self.recall, slot)
            buttons.append(self._button(f"Keep as {slot}", "bookmark", f"Keep this clip as {slot}", keep))
            buttons.append(self._button(f"Back to {slot}", "undo", hint, back))
        if self._shift is not None:
            hint = "How far each branch's feature moves from the kept clips to this one"
            buttons.append(self._button("Counterfactual shift", "arrows-h", hint, self.counterfactual_shift))
        return widgets.HBox(buttons)

    def _sliders(self) -> widgets.Box:
        """A slider and a side for each AU, the cue and the strengths, next to the face."""

        def of_state(part: str, one: widgets.Widget, au: str = "") -> Any:
            """Bind a control to a part of the state, or to the value of an AU in it."""
            return self._bind(
                "state", one, to_control=lambda state: state[part].get(au, _NOTHING[part]) if au else state[part],
                to_trait=lambda value: {**self.state, part: {**self.state[part], au: value} if au else value},
            )  # fmt: skip

        rows = []
        for au in self._studio.aus:
            free = au in self._studio.one_sided
            amount = widgets.SelectionSlider(description=au, options=INTENSITIES, tooltip=au_name(au))
            hint = "The person's own side: L is on the right of the picture" if free else "On the midline: both sides"
            side = widgets.Dropdown(options=list(SIDES.items()), disabled=not free, tooltip=hint)
            rows.append(widgets.HBox([of_state("aus", amount, au), of_state("sides", side, au)]))
        cue = widgets.ToggleButtons(description="cue", options=self._studio.cues, tooltips=self._studio.cues)
        look = {"min": 0.0, "max": STRONGEST, "step": 0.25, "readout_format": ".2f"}
        levels = [
            of_state(name, widgets.FloatSlider(description=title, tooltip=hint, **look))
            for name, (title, hint) in LEVELS.items()
        ]
        left = widgets.VBox([widgets.Box(rows), of_state("cue", cue), *levels, self._message])
        return widgets.HBox([left, self.view])

    @validates("state")
    def _whole(self, _: str, value: dict[str, Any]) -> dict[str, Any]:
        """A state with what it leaves out; ValueError if it names what no control can show."""
        whole = _USUAL | value
        for part in whole:
            one_of(part, _USUAL, "a part of a state")
        for part, nothing in _NOTHING.items():
            for au, one in whole[part].items():
                sides = tuple(SIDES.values()) if au in self._studio.one_sided else ("both",)
                one_of(au, self._studio.aus, "an AU of this face")
                one_of(one, INTENSITIES if part == "aus" else sides, f"{part} of {au}")
            whole[part] = {au: whole[part][au] for au in self._studio.aus if whole[part].get(au, nothing) != nothing}
        one_of(whole["cue"], self._studio.cues, "the cue of this face")
        for part in LEVELS:
            if not 0 <= whole[part] <= STRONGEST:
                raise ValueError(f"{part} must lie between 0 and {STRONGEST:g}; it is {whole[part]:g}")
        return whole

    def _update(self) -> None:
        """Draw the current state and run the model, unless both are shown already."""
        self._soon.close()
        if self._drawn == self.state:
            return
        clip = self._studio(self.state)
        self._answers, self._clip, self._drawn = self._answer(clip), clip, dict(self.state)
        clip_id = clip.table["clip_id"].iloc[0]
        self.view.give(clips=clip, kept=self._answers.kept)
        self.view.show(clip_id, restart=False)
        now = f"<b>Now:</b> {html.escape(state_text(clip, clip_id))}<br>{_verdict(clip, self._answers)}"
        self._message.value, self._shifted.value = f"<div class='medn-line'>{now}</div>", ""
        self._figure_soon.close()  # it is drawn when the sliders pause
        self._figure_soon()
        self._list_clips()

    def _draw_figure(self) -> None:
        self._figure.drawn = plot_answers(self._answers, clips=self._clip).update_layout(width=None)

    def _list_clips(self) -> None:
        """Set the selection to the current clip and the kept ones, and show it."""
        rows = []
        for slot, (clip, _, answers) in {"now": (self._clip, self.state, self._answers), **self._kept}.items():
            row = clip.table.iloc[0].reindex(["clip_id", "action_units", "side", "cue", "label"]).to_dict()
            own = {"predicted": answers.predictions.predicted[0], "p": float(answers.predictions.probabilities.max())}
            rows.append({"slot": slot, **row, **own})
        self.set_trait("selection", pd.DataFrame(rows))
        self._table.value = table_html(self.selection, _COLUMNS, shares=["p"]) if self._kept else ""


def _joined(parts: Mapping[str, Clips]) -> Clips:
    """One record of several one-row records of one studio, each under its new clip id."""
    names, records = list(parts), list(parts.values())
    copies = [one.viewing for one in records if one.viewing is not None]
    truths = [one.truth for one in records if one.truth is not None]
    truth = truths and replace(
        truths[0], table=pd.concat([one.table for one in truths], ignore_index=True).assign(clip_id=names),
        displacement=np.concatenate([one.displacement for one in truths]),
        cue_course=np.concatenate([one.cue_course for one in truths]),
    )  # fmt: skip
    makers = tuple(maker for one in copies for maker in one.makers)
    return Clips(
        np.concatenate([one.frames for one in records]), np.concatenate([one.flow for one in records]),
        pd.concat([one.table for one in records], ignore_index=True).assign(clip_id=names), truth=truth or None,
        recipe={key: own for key, own in records[0].recipe.items() if all(one.recipe[key] == own for one in records)},
        viewing=ViewingCopy(copies[0].size, makers) if copies else None,
    )  # fmt: skip


def _verdict(clips: Clips, answers: LivePrediction) -> str:
    """The prediction and whether it is right, or why that is not known, as one line of HTML."""
    row, predicted, classes = clips.table.iloc[0], answers.predictions.predicted[0], answers.predictions.classes
    text = f"The model predicts {emotion_chip(predicted)}{answers.predictions.probabilities.max():.0%}. "
    label = row.get("label")
    if label is None or pd.isna(label):
        why = "The published table gives no emotion, or several, for these AUs and this cue"
        if not any(row.get(au) == 1 for au in clips.aus):
            why = "<b>No movement:</b> no AU is set"
        return f"{text}{why}, so there is no true emotion."
    verdict = f": <b>{'right' if predicted == label else 'wrong'}</b>"
    if label not in classes:
        verdict = f", none of this model's classes ({html.escape(', '.join(classes))})"
    return f"{text}AUs and cue together mean {emotion_chip(label)}{verdict}."
