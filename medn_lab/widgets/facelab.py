"""A face with sliders and the predictions of a model for it; two of its clips can be kept as a confusable pair."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Clips, LivePrediction
from medn_lab.view.answers import gate_of, plot_answers, state_text, table_allows
from medn_lab.view.images import MOST
from medn_lab.view.theme import au_name
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.joined import join_clips
from medn_lab.widgets.live import LiveFigure
from medn_lab.widgets.panel import Panel, control, emotion_chip, note, number, plain, share, table_html, trait_errors
from medn_lab.widgets.timing import Dwell, Latest

PRESETS = ("12", "6+12", "4", "4+7", "9", "14", "15", "1+2", "1+2+5", "20+25")
"""AU sets of the published table that the list *AU set* offers, as far as the face has them."""
INTENSITIES = ("–", "A", "B", "C", "D", "E")  # of an AU; the first is no movement
SIDES = {"both": "both", "L": "left", "R": "right"}
SLOTS = ("A", "B")
STRONGEST = 4.0
"""The largest strength of cue, noise and drift."""
SOON, SETTLED = 0.015, 0.12
"""Seconds from the first move of a slider to the face as the slider then stands, and without a move to the figure."""
LEVELS = {
    "cue_strength": ("cue strength", "Strength of the cue: 1 as in SynthME, 0 none"),
    "noise": ("sensor noise", "Sensor noise, light and JPEG: 1 as in SynthME, 0 none"),
    "drift": ("head drift", "Motion of the head that registration leaves: 1 as in SynthME, 0 none"),
}
COLUMNS = {
    "slot": ("clip", plain), "action_units": ("AUs", plain), "side": ("side", plain), "cue": ("cue", plain),
    "label": ("true emotion", plain), "predicted": ("predicted", plain), "p": ("score", share),
    "gate": ("gate", number), "frames_alone": ("frames alone", plain), "flow_alone": ("flow alone", plain),
}  # fmt: skip


class Studio(Protocol):
    """What draws a face: a state in, one clip out."""

    aus: tuple[str, ...]
    one_sided: tuple[str, ...]
    cues: tuple[str, ...]

    def __call__(self, state: Mapping[str, Any]) -> Clips:
        """Play a state; ValueError where it cannot be played."""


@dataclass(frozen=True)
class _Kept:
    clips: Clips
    state: dict[str, Any]
    row: dict[str, Any]


class FaceLab(Panel):
    """Move a face with sliders and see the predictions of a model for it, by branch.

    Every move draws the clip anew with its flow, and runs the model three times: on the clip, with a flow of zeros, and
    with frames that stand still. The figure compares the scores with what the AUs and the cue allow. *Same AUs, other
    cue* keeps two clips that move alike and mean different things: a confusable pair.

    Parameters
    ----------
    draw : callable, or mapping of str to callable
        From ``medn_lab.synthme.face_studio`` or ``photo_studio``; several by name to choose from.
    answer : callable or None
        From ``medn_lab.evaluate.live_predictor``; without it there are faces and the truth alone.
    state : mapping, optional
        To begin with; a still face where None. As the studio takes it, with intensities from A to E.
    magnify : float
        How many times as large the motion is drawn, 1 to 20. The model gets it as it is.

    Attributes
    ----------
    state : dict
        ``aus, sides, cue, cue_strength, noise, drift``; a trait. Sides are the person's own: ``left`` moves what is on
        the right of the picture. Set it to move the sliders, observe it to follow them.
    face : str
        Whose face moves, by the name in `draw`; a trait.
    selection : DataFrame
        A row for the current clip (``now``) and for each that is kept, with truth and predictions; a read-only trait.
    view, pair_view : ClipView
        Players of the current clip and of the kept clips.

    Raises
    ------
    ValueError
        If there is no face, or the state cannot be played.

    See Also
    --------
    medn_lab.view.plot_answers : the same as a figure, with pictures.

    Examples
    --------
    ``FaceLab(medn.synthme.face_studio(), answer=medn.evaluate.live_predictor(model))``

    >>> from medn_lab.synthme import face_studio
    >>> lab = FaceLab(face_studio(), state={"aus": {"AU12": "C"}})
    >>> lab.clip.table["action_units"].tolist()
    ['12']
    """

    state = traitlets.Dict()
    face = traitlets.Unicode()
    selection = traitlets.Instance(pd.DataFrame, read_only=True)

    def __init__(
        self,
        draw: Studio | Mapping[str, Studio],
        *,
        answer: Callable[[Clips], LivePrediction] | None = None,
        state: Mapping[str, Any] | None = None,
        magnify: float = 8.0,
    ) -> None:
        if not 1 <= magnify <= MOST:
            raise ValueError(f"the motion can be magnified by 1 to {MOST:g}, not by {magnify}")
        self._studios = dict(draw) if isinstance(draw, Mapping) else {getattr(draw, "name", "face"): draw}
        if not self._studios:
            raise ValueError("there is no face: give medn.synthme.face_studio() or photo_studio()")
        self._studio, *others = self._studios.values()
        if any((one.aus, one.cues) != (self._studio.aus, self._studio.cues) for one in others):
            raise ValueError("the faces have different AUs or cues; give each kind its own FaceLab")
        self._answer, self._problem = answer, ""
        self._clip: Clips | None = None
        self._answers: LivePrediction | None = None
        self._drawn: tuple[str, dict[str, Any]] | None = None
        self._kept: dict[str, _Kept] = {}
        self._figure: LiveFigure | None = None
        self.seconds = 0.0
        self._soon, self._figure_soon = Latest(self._update, seconds=SOON), Dwell(self._draw_figure, seconds=SETTLED)
        self.view = ClipView(None, size=300, magnify=magnify, playing=True)
        self.pair_view = ClipView(None, size=256, magnify=magnify, playing=True)
        self._said, self._between, self._table, self._foot, self._none = (widgets.HTML() for _ in range(5))
        self._scores, self._pair = widgets.VBox(), widgets.VBox([self._between])
        bound = self._controls()
        super().__init__(
            [*self._layout, self._scores, self._table, self._pair, self._foot], name="face-lab", width="100%",
            results={"selection": pd.DataFrame()}, state=self._whole(state or {}), face=next(iter(self._studios)),
        )  # fmt: skip
        for trait, one, to_control, to_trait in bound:
            self._bind(trait, one, to_control=to_control, to_trait=to_trait)
        self.observe(lambda change: self._soon(), ["state", "face"])
        self._update()

    def show(self, state: Mapping[str, Any]) -> None:
        """Move the sliders to a state and draw it; what it leaves out does not move, or is 1.

        Raises
        ------
        ValueError
            If the state names something that this face or these sliders do not have.
        """
        self.state = self._whole(state)
        self._update()

    def rest(self) -> None:
        """Set no AU and a still cue; strength, noise and drift stay."""
        self.show({name: self.state[name] for name in LEVELS})

    def keep(self, slot: str) -> None:
        """Keep the current clip as ``A`` or ``B``, in place of the one kept there.

        Raises
        ------
        ValueError
            If the slot is another, or this clip does not go together with the other one.
        """
        if slot not in SLOTS:
            raise ValueError(f"a clip can be kept as {' or '.join(SLOTS)}, not as {slot!r}")
        kept = {**self._kept, slot: _Kept(self.clip, dict(self.state), _row(slot, self.clip, self._answers))}
        kept = {name: kept[name] for name in SLOTS if name in kept}
        pair = join_clips({name: one.clips for name, one in kept.items()})
        self._kept = kept
        try:
            answers = None if self._answer is None else self._answer(pair)
        except ValueError:  # the model reads clips of another size
            answers = None
        self.pair_view.give(clips=pair, kept=None if answers is None else answers.kept)
        self.pair_view.show(*kept, restart=False)
        self._between.value = _compared(pair, answers)
        self._pair.children = [self._between, self.pair_view]
        for name in kept:
            self._back[name].disabled = False
        self._tell()

    def recall(self, slot: str) -> None:
        """Move the sliders back to the state of a kept clip.

        Raises
        ------
        ValueError
            If nothing is kept there.
        """
        if slot not in self._kept:
            there = f"there is {' and '.join(self._kept)}" if self._kept else "none is kept yet"
            raise ValueError(f"no clip is kept as {slot!r}; {there}")
        self.show(self._kept[slot].state)

    def other_cue(self, cue: str | None = None) -> str:
        """Make a pair: keep the current clip as A, and as B the same AUs, noise and drift with another cue.

        Parameters
        ----------
        cue : str, optional
            The other cue; the next in the list where None. In the published table each cue means another emotion.

        Returns
        -------
        str
            The cue that was chosen; the sliders stand on it.

        Raises
        ------
        ValueError
            If there is no such cue, or it is the same.
        """
        others = [name for name in self._studio.cues if name != self.state["cue"]]
        if cue is not None and cue not in others:
            raise ValueError(f"the other cue must be one of {', '.join(others)}; it is {cue!r}")
        if not others:
            raise ValueError(f"this face has one cue, {self.state['cue']!r}, so there is no other to make a pair with")
        if self.state["cue_strength"] == 0:
            raise ValueError("the cue's strength is 0, so that no cue differs from another: raise it first")
        first = dict(self.state)
        self.keep("A")
        self.show({**first, "cue": cue or others[0]})
        self.keep("B")
        return self.state["cue"]

    @property
    def clip(self) -> Clips:
        """The current clip, one row with truth: to be given to any function that takes clips."""
        self._update()
        if self._clip is None:
            raise ValueError(f"no clip could be drawn: {self._problem}")
        return self._clip

    @property
    def clips(self) -> Clips:
        """The kept clips, ``A`` and ``B``; the current clip where none is kept."""
        return join_clips({name: one.clips for name, one in self._kept.items()}) if self._kept else self.clip

    @property
    def answers(self) -> LivePrediction | None:
        """The predictions for the current clip; None without a model, or where it cannot read the clip."""
        self._update()
        return self._answers

    def _controls(self) -> list[tuple[str, widgets.Widget, Callable[[Any], Any], Callable[[Any], Any]]]:
        """Make the controls and their layout; returned are the trait of each, and what takes values to and fro."""
        aus, cues = self._studio.aus, self._studio.cues
        bound: list[tuple[str, widgets.Widget, Callable[[Any], Any], Callable[[Any], Any]]] = []

        def of_state(one: widgets.Widget, part: str, *key: str, default: str = "") -> widgets.Widget:
            """Bind a control to an entry of the state, or to an AU's value in it."""

            def changed(value: Any) -> dict[str, Any]:
                return {**self.state, part: {**self.state[part], key[0]: value} if key else value}

            def shown(state: dict[str, Any]) -> Any:
                return state[part].get(key[0], default) if key else state[part]

            bound.append(("state", one, shown, changed))
            return one

        rows = []
        for au in aus:
            free = au in self._studio.one_sided
            hint = f"{au_name(au)}: intensity A (just visible) to E (strongest), – is none"
            amount = control(widgets.SelectionSlider, au, options=INTENSITIES, width="196px", margin="0", tooltip=hint,
                             style={"description_width": "42px"})  # fmt: skip
            hint = "The person's own side: L is on the right of the picture" if free else "On the midline: both sides"
            side = control(widgets.Dropdown, options=list(SIDES.items()), width="62px", margin="1px 8px 1px 0",
                           disabled=not free, tooltip=hint)  # fmt: skip
            of_state(amount, "aus", au, default=INTENSITIES[0])
            rows.append(widgets.HBox([amount, of_state(side, "sides", au, default="both")]))
        half = -(-len(rows) // 2)
        cue = control(widgets.ToggleButtons, "cue", options=list(cues), style={"button_width": "74px"},
                      tooltips=[f"The cue is {one}" for one in cues])  # fmt: skip
        levels = [
            of_state(
                control(widgets.FloatSlider, title, min=0.0, max=STRONGEST, step=0.25, readout_format=".2f",
                        tooltip=hint, width="360px", margin="0", style={"description_width": "90px"}), name)
            for name, (title, hint) in LEVELS.items()
        ]  # fmt: skip
        faces = control(widgets.Dropdown, "Face", options=list(self._studios), tooltip="Whose face moves")
        bound.append(("face", faces, str, str))
        sets = {one: dict.fromkeys((f"AU{n}" for n in one.split("+")), "C") for one in PRESETS}
        sets = {one: chosen for one, chosen in sets.items() if set(chosen) <= set(aus)}
        presets = control(widgets.Dropdown, "AU set", options=[("choose", ""), *((f"AU {one}", one) for one in sets)],
                          tooltip="Set these AUs at intensity C and no others")  # fmt: skip

        def preset_of(state: dict[str, Any]) -> str:
            return next((one for one, chosen in sets.items() if set(chosen) == set(state["aus"])), "")

        def of_preset(one: str) -> dict[str, Any]:
            return self.state if one in ("", preset_of(self.state)) else {**self.state, "aus": sets[one], "sides": {}}

        bound.append(("state", presets, preset_of, of_preset))
        self._back, buttons = {}, []
        for text, icon, hint, act in (
            ("Rest", "pause", "No AU and a still cue", self.rest),
            ("Same AUs, other cue", "exchange", "Keep this clip as A, the same AUs with another cue as B",
             self.other_cue),
            *((f"Keep as {slot}", "bookmark", f"Keep this clip as {slot}", lambda slot=slot: self.keep(slot))
              for slot in SLOTS),
            *((f"Back to {slot}", "undo", f"Set the sliders as for {slot}", lambda slot=slot: self.recall(slot))
              for slot in SLOTS),
        ):  # fmt: skip
            one = control(widgets.Button, text, icon=icon, tooltip=hint, style={})
            one.on_click(lambda _, act=act: self._try(act))
            if text.startswith("Back"):
                one.disabled, self._back[text[-1]] = True, one
            buttons.append(one)
        wrap = {"flex_flow": "row wrap"}
        own = widgets.HTML("<style>.medn-face-lab .widget-readout { min-width: 14px; width: auto; }</style>")
        sliders = widgets.HBox([widgets.VBox(rows[:half]), widgets.VBox(rows[half:]), own], layout=wrap)
        left = [sliders, of_state(cue, "cue"), *levels, self._said]
        left = widgets.VBox(left, layout={"width": "560px", "max_width": "100%", "margin": "0 12px 0 0"})
        top = widgets.HBox([faces, presets, *buttons], layout=wrap)
        self.view.layout.flex, self.view.layout.min_width = "1 1 320px", "0"  # a new Layout would outlive close()
        self._layout = [top, widgets.HBox([left, self.view], layout=wrap)]
        return bound

    def _whole(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A state with what it leaves out; ValueError if it names what no control can show."""
        studio, known = self._studio, ("aus", "sides", "cue", *LEVELS)
        unknown = [name for name in state if name not in known]
        if unknown:
            raise ValueError(f"a state has no {unknown[0]!r}; it has {', '.join(known)}")
        aus, sides = ({_column(au): one for au, one in dict(state.get(part, {})).items()} for part in ("aus", "sides"))
        for au in (*aus, *sides):
            if au not in studio.aus:
                raise ValueError(f"this face has no {au}; it has {', '.join(studio.aus)}")
        for what, values, options in (("intensity", aus, INTENSITIES), ("side", sides, tuple(SIDES.values()))):
            for au, value in values.items():
                if value not in options:
                    raise ValueError(f"the {what} of {au} must be one of {', '.join(options)}; it is {value!r}")
        for au, side in sides.items():
            if side != "both" and au not in studio.one_sided:
                raise ValueError(f"{au} lies on the midline and moves on both sides; it has no side {side!r}")
        cue = state.get("cue", "still" if "still" in studio.cues else studio.cues[-1])
        if cue not in studio.cues:
            raise ValueError(f"no cue state {cue!r}; this face has {', '.join(studio.cues)}")
        levels = {name: state.get(name, 1.0) for name in LEVELS}
        for name, level in levels.items():
            if not isinstance(level, (int, float)) or not 0 <= level <= STRONGEST:
                raise ValueError(f"{name} must lie between 0 and {STRONGEST:g}; it is {level!r}")
        moving = {au: aus[au] for au in studio.aus if aus.get(au, INTENSITIES[0]) != INTENSITIES[0]}
        one_sided = {au: sides[au] for au in studio.aus if sides.get(au, "both") != "both"}
        return {"aus": moving, "sides": one_sided, "cue": cue} | {name: float(level) for name, level in levels.items()}

    @traitlets.validate("state")
    def _playable(self, proposal: traitlets.Bunch) -> dict[str, Any]:
        with trait_errors():
            return self._whole(proposal.value)

    @traitlets.validate("face")
    def _known_face(self, proposal: traitlets.Bunch) -> str:
        if proposal.value not in self._studios:
            raise traitlets.TraitError(f"there is no face {proposal.value!r}; there are {', '.join(self._studios)}")
        return proposal.value

    def _warn(self, text: str) -> None:
        self._said.value = note(text, warn=True)

    def _update(self) -> None:
        """Draw the current state and run the model, unless both are shown already."""
        self._soon.cancel()
        if self._drawn == (self.face, self.state):
            return
        self._drawn, began = (self.face, dict(self.state)), time.perf_counter()
        self._clip, self._answers, self._problem = None, None, ""
        try:
            self._clip = self._studios[self.face](self.state)
            if self._answer is not None:
                self._answers = self._answer(self._clip)
        except ValueError as problem:
            self._problem = str(problem)
        if self._clip is not None:
            self.view.give(clips=self._clip, kept=None if self._answers is None else self._answers.kept)
            self.view.show(self._clip.table["clip_id"].iloc[0], restart=False)
        self._draw_answers()
        self.seconds = time.perf_counter() - began
        self._foot.value = note(
            f"Drawn and predicted in {1000 * self.seconds:.0f} ms. Frames alone and flow alone are interventions on "
            "the whole model: a flow of zeros, frames that stand still. A still face has a still cue, which is a cue."
        )
        self._tell()

    def _draw_answers(self) -> None:
        self._figure_soon.cancel()
        if self._clip is None:
            self._scores.children = []
            self._warn(self._problem)
            return
        clip_id = self._clip.table["clip_id"].iloc[0]
        self._said.value = (
            f"<div class='medn-line' style='margin-top:6px'><b>Now:</b> {html.escape(state_text(self._clip, clip_id))}"
            f"<br>{_verdict(self._answers, self._clip, clip_id)}</div>"
        )
        if self._answers is None:
            none = "No model was given, so there are no predictions: give answer=medn.evaluate.live_predictor(model)."
            self._none.value = note(self._problem or none, warn=bool(self._problem))
            self._scores.children = [self._none]
            return
        self._figure_soon(self._answers, self._clip)

    def _draw_figure(self, answers: LivePrediction, clip: Clips) -> None:
        drawn = plot_answers(answers, clips=clip, pictures=False)
        drawn.layout.width = None
        if self._figure is None:
            self._figure = LiveFigure(drawn)
        else:
            self._figure.drawn = drawn
        self._scores.children = [self._figure]

    def _tell(self) -> None:
        """Set the selection to the current clip and the kept ones, and show it."""
        rows = [] if self._clip is None else [_row("now", self._clip, self._answers)]
        self.set_trait("selection", pd.DataFrame([*rows, *(one.row for one in self._kept.values())]))
        self._table.value = table_html(self.selection, COLUMNS) if self._kept else ""


def _column(au: object) -> str:
    text = str(au).strip().upper()
    return text if text.startswith("AU") else f"AU{text}"


def _row(slot: str, clips: Clips, answers: LivePrediction | None) -> dict[str, Any]:
    """One clip as a row of the selection."""
    row = clips.table.iloc[0]
    found = {"slot": slot, **{key: row.get(key) for key in ("clip_id", "action_units", "side", "cue", "label")}}
    if answers is not None:
        found |= {"predicted": answers.predictions.predicted[0], "p": float(answers.predictions.probabilities.max())}
        found["gate"] = gate_of(answers, row["clip_id"])
        for part in ("frames_alone", "flow_alone"):
            alone = getattr(answers, part)
            found[part] = None if alone is None else alone.predicted[0]
    return found


def _verdict(answers: LivePrediction | None, clips: Clips, clip_id: str) -> str:
    """The prediction and whether it is right, or why that is not known, as one line of HTML."""
    row = clips.table.set_index("clip_id").loc[clip_id]
    label, predicted, said = row.get("label"), None, ""
    if answers is not None:
        predicted = answers.predictions.predicted[0]
        said = f"The model predicts {emotion_chip(predicted)}{answers.predictions.probabilities.max():.0%}. "
    if not any(row.get(au) == 1 for au in clips.aus):
        cue = str(row.get("cue"))
        what = "and the cue is still" if cue in ("still", "absent") else f"and only the cue is there ({cue})"
        return f"{said}<b>No movement:</b> no AU is set {html.escape(what)}, so no emotion is true."
    allowed = table_allows(clips, clip_id)
    if label is None or pd.isna(label):
        several = allowed is not None and allowed["given_cue"].notna().any()
        why = "without a cue the table leaves several" if several else "this AU set is not in the published table"
        return f"{said}No emotion is true of this clip: {why}."
    truth = f"AUs and cue together mean {emotion_chip(label)}"
    if answers is None:
        shares = {} if allowed is None else allowed["given_aus"].dropna()
        alone = ", ".join(f"{html.escape(str(name))} {share_:.0%}" for name, share_ in shares.items() if share_ > 0)
        return f"{truth}. The AUs alone allow {alone or 'an unknown emotion'}."
    if str(label) not in answers.predictions.classes:
        known = html.escape(", ".join(answers.predictions.classes))
        return f"{said}{truth}, which is none of this model's classes ({known})."
    return f"{said}{truth}: <b>{'right' if predicted == label else 'wrong'}</b>."


def _compared(pair: Clips, answers: LivePrediction | None) -> str:
    """What two kept clips have in common and what tells them apart, as one line of HTML."""
    if len(pair) < 2:
        return note("Keep two clips to compare them; “Same AUs, other cue” makes a confusable pair at one click.")
    first, second = (pair.table[list(pair.aus)].iloc[row] for row in (0, 1))
    same = first.equals(second)
    labels = list(pair.table["label"])
    parts = [f"<b>A and B</b> have {'the same AUs' if same else 'different AUs'}"]
    if same and None not in labels and labels[0] != labels[1]:
        parts[0] += f" and mean {' and '.join(map(emotion_chip, labels))}: a <b>confusable pair</b>"
    if pair.flow is not None:
        apart = np.linalg.norm(pair.flow[0] - pair.flow[1], axis=-1).max()
        parts.append(f"their flows differ by at most {apart:.2f} px")
    if answers is not None:
        predicted, aus = answers.predictions.predicted, answers.predictions.au_probabilities
        parts.append(f"the model predicts {' and '.join(map(emotion_chip, predicted))}")
        if aus is not None:
            parts.append(f"AU scores differ by at most {np.abs(aus[0] - aus[1]).max():.0%}")
    return f"<div class='medn-line' style='margin:4px 0'>{'; '.join(parts)}.</div>"
