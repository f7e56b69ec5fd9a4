"""A face with sliders and a model that answers: what each branch reads, and confusable pairs made by hand."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ipywidgets as widgets
import pandas as pd
import traitlets

from medn_lab.records import Clips, LivePrediction
from medn_lab.view.answers import state_text
from medn_lab.view.images import MOST
from medn_lab.widgets.answer_card import allowed_html, answer_row, aus_html, gate_html, scores_html, verdict
from medn_lab.widgets.face_controls import FaceControls
from medn_lab.widgets.face_stage import FaceStage
from medn_lab.widgets.kept_faces import KeptFaces
from medn_lab.widgets.panel import Panel, note, trait_errors
from medn_lab.widgets.timing import Latest

PRESETS = ("12", "6+12", "4", "4+7", "9", "14", "15", "1+2", "1+2+5", "20+25")
"""AU sets of the published table that the list *AU set* offers, as far as the face has them."""

SOON = 0.015
"""Seconds after the first move of a slider until the face is drawn as the slider then stands."""

_OWN = """
.medn-face-lab .widget-readout { min-width: 14px; width: auto; margin-left: 2px; padding: 0; }
"""


class Studio(Protocol):
    """What draws a face: a state in, one clip out."""

    aus: tuple[str, ...]
    one_sided: tuple[str, ...]
    cues: tuple[str, ...]

    def __call__(self, state: Mapping[str, Any]) -> Clips:
        """Play a state; ValueError where it cannot be played."""


class FaceLab(Panel):
    """Move a face with sliders and see at once what the model answers, and by which branch.

    Every move draws the clip anew, flow and all, and asks the model three times: as it is, with a flow of zeros, and
    with frames that stand still. Beside its scores stands what is true of the clip. *Same AUs, other cue* keeps two
    clips that move alike and mean different things: your own confusable pair.

    Parameters
    ----------
    draw : callable, or mapping of str to callable
        From ``medn_lab.synthme.face_studio`` or ``photo_studio``; several by name to choose from.
    answer : callable or None
        From ``medn_lab.evaluate.live_predictor``; without it there are faces and the truth alone.
    state : mapping, optional
        To begin with; at rest where None. As the studio takes it, with intensities from A to E.
    magnify : float
        How many times as large the motion is drawn, 1 to 20. The model sees it as it is.

    Attributes
    ----------
    state : dict
        ``aus, sides, cue, cue_strength, noise, drift``; a trait. Sides are the person's own: ``left`` moves what is on
        the right of the picture. Set it to move the sliders, observe it to follow them.
    selection : DataFrame
        A row for the clip in hand and for each that is kept, with what is true and what is said; a
        read-only trait.

    Raises
    ------
    ValueError
        If there is no face, or the state cannot be played.

    See Also
    --------
    medn_lab.view.plot_answers : the same as a picture.

    Examples
    --------
    ``FaceLab(medn.synthme.face_studio(), answer=medn.evaluate.live_predictor(model))``

    >>> from medn_lab.synthme import face_studio
    >>> lab = FaceLab(face_studio(), state={"aus": {"AU12": "C"}})
    >>> lab.clip.table["action_units"].tolist()
    ['12']
    """

    state = traitlets.Dict()
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
            raise ValueError("there is no face: hand in medn.synthme.face_studio() or photo_studio()")
        self._answer, self._problem = answer, ""
        self._clip: Clips | None = None
        self._answers: LivePrediction | None = None
        self.seconds = 0.0
        self._soon = Latest(self._play, seconds=SOON)
        self._writing = False
        self._kept = KeptFaces(recall=lambda slot: self._try(lambda: self.recall(slot)))
        self._build(magnify)
        children = [
            widgets.HTML(f"<style>{_OWN}</style>", layout=widgets.Layout(height="0px", margin="0")),
            self._top,
            self._middle,
            self._answered,
            self._kept.box,
            self._foot,
        ]
        super().__init__(children, name="face-lab", width="1008px", results={"selection": pd.DataFrame()})
        self._wire()
        self.show(state or {})

    # What may be called -----------------------------------------------------------------------------------------------

    def show(self, state: Mapping[str, Any]) -> None:
        """Move the sliders to a state and draw it; what it leaves out is at rest, or 1.

        Raises
        ------
        ValueError
            If the state names something that this face or these sliders do not have.
        """
        self._controls.write(state)
        self._soon.cancel()
        self._play()

    def rest(self) -> None:
        """Let the face rest: no AU, and a cue that is still."""
        self.show({name: level for name, level in self.state.items() if name in ("noise", "drift", "cue_strength")})

    def keep(self, slot: str) -> None:
        """Keep the clip in hand as ``A`` or ``B``, in place of the one kept there.

        Raises
        ------
        ValueError
            If the slot is another, or this clip does not go together with the other one.
        """
        if slot not in self._kept.slots:
            raise ValueError(f"a clip can be kept as {' or '.join(self._kept.slots)}, not as {slot!r}")
        self._kept.put(slot, self.clip, self._answers, dict(self.state), magnify=self._stage.magnifies.value)
        self._tell()

    def recall(self, slot: str) -> None:
        """Move the sliders back to the state of a kept clip.

        Raises
        ------
        ValueError
            If nothing is kept there.
        """
        self.show(self._kept.state(slot))

    def other_cue(self, cue: str | None = None) -> str:
        """Make a pair: keep the clip in hand as A, and as B the same AUs, noise and drift with another cue.

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
        others = [name for name in self._controls.cue.options if name != self.state["cue"]]
        if cue is not None and cue not in others:
            raise ValueError(f"the other cue must be one of {', '.join(others)}; it is {cue!r}")
        if not others:
            raise ValueError(f"this face has one cue, {self.state['cue']!r}, so there is no other to make a pair with")
        first = dict(self.state)
        if first["cue_strength"] == 0:
            raise ValueError("the cue's strength is 0, so that no cue differs from another: raise it first")
        self.keep("A")
        self.show({**first, "cue": cue or others[0]})
        self.keep("B")
        return self.state["cue"]

    @property
    def clip(self) -> Clips:
        """The clip in hand, one row with truth: to be given to any function that takes clips."""
        if self._clip is None:
            raise ValueError(f"no clip could be drawn: {self._problem}")
        return self._clip

    @property
    def clips(self) -> Clips:
        """The kept clips, ``A`` and ``B``; the clip in hand where none is kept."""
        return self._kept.clips() if self._kept.filled else self.clip

    @property
    def answers(self) -> LivePrediction | None:
        """What the model answers to the clip in hand; None without a model, or where it cannot read the clip."""
        return self._answers

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self, magnify: float) -> None:
        def button(text: str, width: int, tooltip: str, icon: str) -> widgets.Button:
            layout = widgets.Layout(width=f"{width}px", margin="2px 4px 2px 0")
            return widgets.Button(description=text, tooltip=tooltip, icon=icon, layout=layout)

        studio = next(iter(self._studios.values()))
        self._controls = FaceControls(
            aus=studio.aus, one_sided=studio.one_sided, cues=studio.cues, changed=lambda: self._soon()
        )
        for other in self._studios.values():
            if (other.aus, other.cues) != (studio.aus, studio.cues):
                raise ValueError("the faces have different AUs or cues; give each kind a FaceLab of its own")
        named = {"description_width": "initial"}
        self._faces = widgets.Dropdown(
            options=list(self._studios), description="Face", tooltip="Whose face moves", style=named,
            layout=widgets.Layout(width="210px", margin="2px 10px 2px 0"),
        )  # fmt: skip
        sets = [one for one in PRESETS if {f"AU{number}" for number in one.split("+")} <= set(studio.aus)]
        self._presets = widgets.Dropdown(
            options=[("choose", "")] + [(f"AU {one}", one) for one in sets], value="", description="AU set",
            tooltip="Set these AUs at intensity C and no others", style=named,
            layout=widgets.Layout(width="166px", margin="2px 10px 2px 0"),
        )  # fmt: skip
        self._rest = button("Rest", 74, "No AU, and a cue that is still", "pause")
        self._other = button(
            "Same AUs, other cue", 176, "Keep this clip as A, and as B the same AUs with another cue", "exchange"
        )
        self._keep_a = button("Keep as A", 106, "Keep this clip as A", "bookmark")
        self._keep_b = button("Keep as B", 106, "Keep this clip as B", "bookmark")
        self._top = widgets.HBox(
            [self._faces, self._presets, self._rest, self._other, self._keep_a, self._keep_b],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        self._stage = FaceStage(magnify=magnify, answered=self._answer is not None)
        strengths = widgets.VBox([*self._controls.strengths.children, self._stage.magnifies])
        right = widgets.VBox([self._stage.views, strengths], layout=widgets.Layout(width="498px", margin="0 0 0 4px"))
        self._said, self._gate, self._foot = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._gate.layout.width = "470px"
        left = widgets.VBox(
            [self._controls.sliders, self._said, self._gate], layout=widgets.Layout(width="500px", min_width="0")
        )
        self._middle = widgets.HBox([left, right])
        self._scores, self._aus = (
            widgets.HTML(layout=widgets.Layout(width=width, margin="6px 14px 0 0")) for width in ("560px", "410px")
        )
        self._answered = widgets.HBox([self._scores, self._aus])

    def _wire(self) -> None:
        self._faces.observe(lambda change: self._try(self._play), "value")
        self._presets.observe(self._on_preset, "value")
        self._rest.on_click(lambda _: self._try(self.rest))
        self._other.on_click(lambda _: self._try(self.other_cue))
        self._keep_a.on_click(lambda _: self._try(lambda: self.keep("A")))
        self._keep_b.on_click(lambda _: self._try(lambda: self.keep("B")))
        self.observe(self._on_state, "state")

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_preset(self, change: traitlets.Bunch) -> None:
        if change.new:
            aus = {f"AU{number}": "C" for number in change.new.split("+")}
            self._try(lambda: self.show({**self.state, "aus": aus, "sides": {}}))

    @traitlets.validate("state")
    def _playable(self, proposal: traitlets.Bunch) -> dict[str, Any]:
        with trait_errors():
            state = self._controls.whole(proposal.value)
        return state

    def _on_state(self, change: traitlets.Bunch) -> None:
        if not self._writing:
            self.show(change.new)

    def _warn(self, text: str) -> None:
        self._said.value = note(text, warn=True)

    def _play(self) -> None:
        """Draw the state that the controls say, ask the model, and show both."""
        began = time.perf_counter()
        state = self._controls.read()
        self._stage.still()
        self._problem, self._answers = "", None
        try:
            self._clip = self._studios[self._faces.value](state)
        except ValueError as problem:
            self._clip, self._problem = None, str(problem)
        if self._clip is not None and self._answer is not None:
            try:
                self._answers = self._answer(self._clip)
            except ValueError as problem:
                self._problem = str(problem)
        self._stage.show(self._clip, self._answers)
        self._draw_answers()
        self.seconds = time.perf_counter() - began
        self._foot.value = note(
            f"Drawn and answered in {1000 * self.seconds:.0f} ms. Frames alone and flow alone are interventions on the "
            "whole model: a flow of zeros, frames that stand still. A still face has a still cue, which is a statement "
            "of its own."
        )
        self._writing = True
        try:
            self.state = state
        finally:
            self._writing = False
        chosen = self._presets.value
        if chosen and {f"AU{number}" for number in chosen.split("+")} != set(state["aus"]):
            self._presets.value = ""
        self._tell()

    def _tell(self) -> None:
        """Let whoever follows the selection know what is in hand and what is kept."""
        rows = [] if self._clip is None else [answer_row("now", self._clip, self._answers)]
        self.set_trait("selection", pd.DataFrame([*rows, *(answer_row(*one) for one in self._kept.held())]))

    # What is drawn ----------------------------------------------------------------------------------------------------

    def _draw_answers(self) -> None:
        self._gate.value = self._scores.value = self._aus.value = ""
        if self._clip is None:
            self._said.value = note(self._problem, warn=True)
            return
        clip_id = self._clip.table["clip_id"].iloc[0]
        told = f"<b>Now:</b> {html.escape(state_text(self._clip, clip_id))}"
        line = verdict(self._answers, self._clip, clip_id)
        self._said.value = f"<div class='medn-line' style='margin-top:6px'>{told}</div>{line}"
        if self._answers is None:
            none = "No model was handed in, so nothing is answered: give answer=medn.evaluate.live_predictor(model)."
            self._scores.value = note(self._problem or none, warn=bool(self._problem))
            self._aus.value = allowed_html(self._clip, clip_id)
            return
        self._gate.value = gate_html(self._answers, clip_id)
        self._scores.value = scores_html(self._answers, self._clip, clip_id)
        self._aus.value = aus_html(self._answers, clip_id)
