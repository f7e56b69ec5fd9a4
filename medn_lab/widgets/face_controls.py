"""Sliders that say what a face is to do: AUs with side, cue, noise and drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

from medn_lab.view.theme import au_name

INTENSITIES = ("–", "A", "B", "C", "D", "E")
"""Of an AU; the first is rest."""

SIDES = {"both": "both", "L": "left", "R": "right"}
SIDE_HINT = "The person's own side: L is on the right of the picture"
MOST = 4.0
"""The largest strength of cue, noise and drift."""

_STRENGTHS = {
    "cue_strength": ("cue strength", "How strong the cue is: 1 as in SynthME, 0 none"),
    "noise": ("sensor noise", "Sensor noise, light and JPEG: 1 as in SynthME, 0 none"),
    "drift": ("head drift", "What registration leaves of the head's motion: 1 as in SynthME, 0 none"),
}


class FaceControls:
    """The controls of a face, and the state that they say.

    Parameters
    ----------
    aus : sequence of str
    one_sided : sequence of str
        AUs that can move on one side alone.
    cues : sequence of str
        States of the cue.
    changed : callable
        Called without arguments when a control has moved.

    Attributes
    ----------
    sliders : widgets.Box
        The AUs.
    strengths : widgets.Box
        Cue, noise and drift.
    """

    def __init__(
        self, *, aus: Sequence[str], one_sided: Sequence[str], cues: Sequence[str], changed: Callable[[], None]
    ) -> None:
        self._changed, self._quiet = changed, False
        self.amounts = {au: self._amount(au) for au in aus}
        self.sides = {au: self._side(au, free=au in one_sided) for au in aus}
        rows = [widgets.HBox([self.amounts[au], self.sides[au]]) for au in aus]
        half = -(-len(rows) // 2)
        self.sliders = widgets.HBox([widgets.VBox(rows[:half]), widgets.VBox(rows[half:])])
        self.cue = widgets.ToggleButtons(
            options=list(cues), value=_resting(cues), tooltips=[f"The cue is {cue}" for cue in cues],
            style={"button_width": "74px"},
        )  # fmt: skip
        self.levels = {name: self._level(*words) for name, words in _STRENGTHS.items()}
        named = widgets.HTML(
            "<div class='medn-line' style='text-align:right'>cue</div>",
            layout={"width": "108px", "margin": "2px 4px 0 0"},
        )
        self.strengths = widgets.VBox([widgets.HBox([named, self.cue]), *self.levels.values()])
        for control in (*self.amounts.values(), *self.sides.values(), self.cue, *self.levels.values()):
            control.observe(self._moved, "value")

    def read(self) -> dict[str, Any]:
        """The state that the controls say; AUs at rest and sides that are both are left out."""
        moving = {au: slider.value for au, slider in self.amounts.items() if slider.value != INTENSITIES[0]}
        sides = {au: self.sides[au].value for au in moving if self.sides[au].value != "both"}
        levels = {name: float(slider.value) for name, slider in self.levels.items()}
        return {"aus": moving, "sides": sides, "cue": self.cue.value, **levels}

    def write(self, state: Mapping[str, Any]) -> None:
        """Move the controls to a state, without a word to `changed`; what it leaves out is at rest, or 1.

        Raises
        ------
        ValueError
            If it names what no control can say; nothing has moved then.
        """
        state = self.whole(state)
        self._quiet = True
        try:
            for au in self.amounts:
                self.amounts[au].value = state["aus"].get(au, INTENSITIES[0])
                self.sides[au].value = state["sides"].get(au, "both")
            self.cue.value = state["cue"]
            for name, slider in self.levels.items():
                slider.value = state[name]
        finally:
            self._quiet = False

    def whole(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A state as `read` gives it, with what it leaves out; ValueError if it names what no control can say."""
        known = ("aus", "sides", "cue", *self.levels)
        unknown = [name for name in state if name not in known]
        if unknown:
            raise ValueError(f"a state has no {unknown[0]!r}; it has {', '.join(known)}")
        amounts = {_column(au): amount for au, amount in dict(state.get("aus", {})).items()}
        sides = {_column(au): side for au, side in dict(state.get("sides", {})).items()}
        for au in (*amounts, *sides):
            if au not in self.amounts:
                raise ValueError(f"this face has no {au}; it has {', '.join(self.amounts)}")
        for au, amount in amounts.items():
            if amount not in INTENSITIES:
                raise ValueError(f"the intensity of {au} must be one of {', '.join(INTENSITIES)}; it is {amount!r}")
        for au, side in sides.items():
            if side not in SIDES.values():
                raise ValueError(f"the side of {au} must be one of {', '.join(SIDES.values())}; it is {side!r}")
            if side != "both" and self.sides[au].disabled:
                raise ValueError(f"{au} lies on the midline and moves on both sides; it has no side {side!r}")
        cue = state.get("cue", _resting(self.cue.options))
        if cue not in self.cue.options:
            raise ValueError(f"no cue state {cue!r}; this face has {', '.join(self.cue.options)}")
        levels = {name: state.get(name, 1.0) for name in self.levels}
        for name, level in levels.items():
            if not isinstance(level, (int, float)) or not 0 <= level <= MOST:
                raise ValueError(f"{name} must lie between 0 and {MOST:g}; it is {level!r}")
        moving = {au: amount for au in self.amounts if (amount := amounts.get(au, INTENSITIES[0])) != INTENSITIES[0]}
        one_sided = {au: sides[au] for au in moving if sides.get(au, "both") != "both"}
        return {"aus": moving, "sides": one_sided, "cue": cue} | {n: float(level) for n, level in levels.items()}

    def _moved(self, change: traitlets.Bunch) -> None:
        if not self._quiet:
            self._changed()

    def _amount(self, au: str) -> widgets.SelectionSlider:
        return widgets.SelectionSlider(
            options=INTENSITIES, value=INTENSITIES[0], description=au, continuous_update=True,
            tooltip=f"{au_name(au)}: intensity A (just there) to E (strongest), – is rest",
            style={"description_width": "42px"}, layout=widgets.Layout(width="184px", margin="0"),
        )  # fmt: skip

    def _side(self, au: str, *, free: bool) -> widgets.Dropdown:
        return widgets.Dropdown(
            options=list(SIDES.items()), value="both", disabled=not free,
            tooltip=SIDE_HINT if free else "Lies on the midline: moves on both sides",
            layout=widgets.Layout(width="62px", margin="1px 8px 1px 0"),
        )  # fmt: skip

    def _level(self, title: str, tooltip: str) -> widgets.FloatSlider:
        return widgets.FloatSlider(
            1.0, min=0.0, max=MOST, step=0.25, description=title, readout_format=".2f", tooltip=tooltip,
            style={"description_width": "108px"}, layout=widgets.Layout(width="400px", margin="0"),
        )  # fmt: skip


def _column(au: object) -> str:
    text = str(au).strip().upper()
    return text if text.startswith("AU") else f"AU{text}"


def _resting(cues: Sequence[str]) -> str:
    """The state in which the cue says nothing, the last one where none is called so."""
    return "still" if "still" in cues else list(cues)[-1]
