"""Maps of a clip by any method and for any target, with what says whether to believe them always in view."""

from __future__ import annotations

import time

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, positions, require
from medn_lab.view.rows import clip_moments, clip_row, describe, label_column
from medn_lab.widgets.kept_strip import KeptStrip
from medn_lab.widgets.map_controls import map_controls
from medn_lab.widgets.map_pictures import MapPictures
from medn_lab.widgets.map_stage import PIXELS, WIDTH, MapStage
from medn_lab.widgets.panel import Panel, note, trait_errors
from medn_lab.widgets.sanity_card import figures_row, history, map_key, sanity_html, verdict_line
from medn_lab.widgets.target_lists import PAIR, Maps, by_kind, kind_of, partners
from medn_lab.widgets.timing import Latest

SOON = 0.02
"""Seconds after a choice until the map is asked for, so that a quick run of choices asks once."""

_ASKED = ("clip_id", "target", "method", "partner")
_NO_MAP = "there is no map in view"
_GIVE = "give attribute=medn.diagnose.attributor(model, clips)"
_NONE = f"No attributor was handed in, so there is no map: {_GIVE}."
_RIGHT = 264


class AttributionViewer(Panel):
    """Ask of a clip what spoke for an answer, by method after method, and see beside it whether to believe the map.

    Choose a clip, a target (an emotion, an AU, what a branch adds, the gate, the length of a feature, the difference of
    two emotions, a pair told apart) and a method. Red spoke for the target and blue against it: in the frame in view,
    in all frames together, in the flow. *Check* measures what takes longer. A map comes again at once.

    Parameters
    ----------
    clips : Clips
    attribute : callable or None
        From ``medn_lab.diagnose.attributor``; without it there are the faces alone.
    kept : KeptTokens or None
        The places that the emotion branch kept, joined by clip_id; those that `attribute` knows where None.
    clip_id : str or None
        To begin with; the first one where None.
    target : str or None
        To begin with; the clip's own emotion where None, or the first target that there is.
    method : str or None
        To begin with; integrated gradients where None.
    check : bool
        Whether the first map is checked in advance.
    blur : float
        Pixels by which a map is smoothed for the eye, 0 to 3; single pixels are noisy.

    Attributes
    ----------
    clip_id, target, method, partner : str
        What is shown; traits: set one to show that. `partner` is empty except for a pair, which another clip or target
        gives up; `target` is not read while a pair is shown.
    frame : int
        Position of the frame in view; a trait.
    attribution : Attribution or None
        The map in view, with its figures: to be given to ``plot_attribution`` and the rest. A read-only trait.
    selection : DataFrame
        A row for each map that was looked at, with all figures that were measured; ``seconds`` is the time in which the
        map was computed, which neither *Check* nor a second look at it changes (NaN where it was computed before this
        viewer asked for it). A read-only trait.

    Raises
    ------
    ValueError
        If there is no clip, or none of the name given.

    See Also
    --------
    medn_lab.diagnose.attributor
    medn_lab.view.plot_attribution, medn_lab.view.plot_kept_tokens : the same as pictures.

    Examples
    --------
    ``AttributionViewer(clips, attribute=medn.diagnose.attributor(model, clips))``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> make = medn.diagnose.attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> viewer = AttributionViewer(clips, attribute=make, target="happiness", method="saliency", check=False)
    >>> viewer.clip_id, viewer.method
    ('synthme22-s01-c01', 'saliency')
    """

    clip_id = traitlets.Unicode("")
    target = traitlets.Unicode("")
    method = traitlets.Unicode("")
    partner = traitlets.Unicode("")
    frame = traitlets.Int(0)
    attribution = traitlets.Instance(Attribution, allow_none=True, read_only=True)
    selection = traitlets.Instance(pd.DataFrame, read_only=True)

    def __init__(
        self,
        clips: Clips,
        *,
        attribute: Maps | None = None,
        kept: KeptTokens | None = None,
        clip_id: str | None = None,
        target: str | None = None,
        method: str | None = None,
        check: bool = False,
        blur: float = 1.0,
    ) -> None:
        if not len(clips):
            raise ValueError("there are no clips to look at: the selection is empty")
        if not 0 <= blur <= 3:
            raise ValueError(f"a map can be smoothed by 0 to 3 pixels, not by {blur}")
        first = str(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)
        positions(clips.table, [first], owner="this viewer")
        self._clips, self._attribute = clips, attribute
        self._targets = by_kind(() if attribute is None else attribute.targets)
        self._rows: list[dict[str, object]] = []
        self._seconds: dict[tuple[str, ...], float] = {}
        self._pending: tuple[dict[str, str], Attribution | None, str] | None = None  # a map that is not shown yet
        self._writing = False
        self._kept = KeptStrip(clips, kept=kept, ask=None if attribute is None else attribute.kept)
        self._soon = Latest(self._ask, seconds=SOON)
        self._build(blur)
        super().__init__(
            [self._controls, self._message, self._body, self._kept.box],
            name="attribution-viewer",
            width=f"{WIDTH + _RIGHT + 16}px",
            results={"selection": history([])},
        )
        self._wire()
        self._begin(first, target, method)
        if check and self.attribution is not None:
            self.check()

    # What may be called -----------------------------------------------------------------------------------------------

    def show(self, clip_id: str) -> None:
        """Map this clip for the same target, by the same method; a pair is given up.

        Raises
        ------
        ValueError
            If there is no such clip.
        """
        self._show(clip_id=str(clip_id))

    def explain(
        self, target: str | None = None, *, method: str | None = None, partner: str | None = None
    ) -> Attribution:
        """Map the clip in hand for another target, by another method, or against a partner; what is None stays.

        Parameters
        ----------
        target : str, optional
            As the attributor lists them, or the difference of two emotions; a pair is given up.
        method : str, optional
            By its function's name.
        partner : str, optional
            A clip of another emotion, to be told apart from.

        Returns
        -------
        Attribution

        Raises
        ------
        ValueError
            If no attributor was handed in, or it cannot make this map.
        """
        if self._attribute is None:
            raise ValueError(f"no attributor was handed in: {_GIVE}")
        given = {"target": target, "method": method, "partner": partner}
        self._show(**{name: value for name, value in given.items() if value is not None})
        return require(self.attribution, otherwise=_NO_MAP)

    def check(self) -> Attribution:
        """Measure the slow figures of the map in view: infidelity, sensitivity, random weights.

        Returns
        -------
        Attribution
            The map with its figures.

        Raises
        ------
        ValueError
            If there is no map in view.
        """
        if self.attribution is None or self._attribute is None:
            raise ValueError(f"{_NO_MAP} to check")
        asked = self._wanted()
        self._say(f"Checking {_asked_text(asked)}: squares stilled, noise added, weights drawn at random ...")
        begun = time.perf_counter()
        found = self._attribute.check(**asked)
        self._note(found)
        self._say(f"Checked in {time.perf_counter() - begun:.1f} s; it is remembered.")
        return found

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self, blur: float) -> None:
        methods = () if self._attribute is None else self._attribute.methods
        kinds = [*self._targets, PAIR] if self._targets else []
        own = map_controls(self._clips, kinds=kinds, methods=methods, blur=blur)
        self._names, self._kinds, self._which, self._methods, self._check = (
            own.names,
            own.kinds,
            own.which,
            own.methods,
            own.check,
        )
        self._regions, self._blurs = own.regions, own.blurs
        self._controls = widgets.HBox([self._names, self._kinds, self._which, self._methods, self._check])
        self._message = widgets.HTML()
        self._stage = MapStage(self._clips, moved=lambda place: setattr(self, "frame", place))
        self._sanity, self._verdict = widgets.HTML(), widgets.HTML()
        right = widgets.VBox(
            [self._sanity, self._verdict, self._regions, self._blurs],
            layout=widgets.Layout(width=f"{_RIGHT}px", margin="0 0 0 12px"),
        )
        self._body = widgets.HBox([self._stage.box, right])

    def _wire(self) -> None:
        self.observe(lambda change: self._stage.draw(change.new), "frame")
        self.observe(self._on_asked, _ASKED)
        self._names.observe(self._on_name, "value")
        self._kinds.observe(lambda change: self._on_kind(), "value")
        for control in (self._which, self._methods):
            control.observe(lambda change: self._on_choice(), "value")
        self._regions.observe(lambda change: self._on_look(), "value")
        self._blurs.observe(lambda change: self._on_look(), "value")
        self._check.on_click(lambda _: self._try(self.check))

    def _begin(self, clip_id: str, target: str | None, method: str | None) -> None:
        if target is None and self._targets:
            target = self._usual(next(iter(self._targets.values())), clip_id=clip_id)
        if method is None and self._attribute is not None:
            usual = "integrated_gradients"
            method = usual if usual in self._attribute.methods else self._attribute.methods[0]
        wanted = {"clip_id": clip_id, "target": target or "", "method": method or "", "partner": ""}
        if self._clips.frames is not None:
            self.frame = clip_moments(self._clips, clip_id).apex or 0  # of the onset there is nothing to say
        self._show(**wanted)

    def _usual(self, targets: list[str], *, clip_id: str = "") -> str:
        """Of some targets the one that a clip is about: its emotion, an AU that it shows; else the first."""
        _, row = clip_row(self._clips, clip_id or self.clip_id)
        column = label_column(self._clips.table)
        about = (
            [] if column is None else [str(row[column]), *(f"{row[column]} from {b}" for b in ("motion", "emotion"))]
        )
        about += [au for au in self._clips.aus if row[au] == 1]
        return next((name for name in about if name in targets), targets[0])

    def _choose(
        self,
        *,
        clip_id: str | None = None,
        target: str | None = None,
        method: str | None = None,
        partner: str | None = None,
    ) -> None:
        """Set the controls without asking for a map yet."""
        self._writing = True
        try:
            with self.hold_trait_notifications():
                self.clip_id = self.clip_id if clip_id is None else clip_id
                self.target = self.target if target is None else target
                self.method = self.method if method is None else method
                self.partner = self.partner if partner is None else partner
            self._names.value = self.clip_id
            if self._attribute is None:
                return
            if self.partner:
                self._kinds.value = PAIR
                self._fill(partners(self._clips.table, self.clip_id), self.partner)
            else:
                kind = kind_of(self.target)
                if kind in self._targets:
                    self._kinds.value = kind
                    self._fill([(name, name) for name in self._targets[kind]], self.target)
            self._methods.value = self.method
        finally:
            self._writing = False

    def _fill(self, options: list[tuple[str, str]], value: str) -> None:
        if value not in [name for _, name in options]:
            options = [*options, (value, value)]
        if list(self._which.options) != options:
            self._which.options = options
        self._which.value = value

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_name(self, change: traitlets.Bunch) -> None:
        if not self._writing and change.new and change.new != self.clip_id:
            self._try(lambda: self.show(change.new))
            self._names.value = self.clip_id

    def _on_kind(self) -> None:
        if self._writing:
            return
        if self._kinds.value == PAIR:
            try:
                there = partners(self._clips.table, self.clip_id)
            except ValueError as problem:
                self._say(str(problem), warn=True)
                self._choose(partner="")
                return
            self._choose(partner=there[0][1])
        else:
            self._choose(target=self._usual(self._targets[self._kinds.value]), partner="")
        self._soon()

    def _on_choice(self) -> None:
        if self._writing or self._which.value is None:
            return
        if self._kinds.value == PAIR:
            self._choose(partner=self._which.value, method=self._methods.value)
        else:
            self._choose(target=self._which.value, method=self._methods.value, partner="")
        self._soon()

    def _on_look(self) -> None:
        if self.attribution is not None and not self._writing:
            self._picture_map(self.attribution)

    def _warn(self, text: str) -> None:
        self._say(text, warn=True)

    # What is asked and drawn ------------------------------------------------------------------------------------------

    @traitlets.validate(*_ASKED)
    def _can_be_shown(self, proposal: traitlets.Bunch) -> str:
        if not self._writing:
            with trait_errors():
                self._make(self._wanted(**{proposal.trait.name: proposal.value}))
        return proposal.value

    @traitlets.validate("frame")
    def _within_clip(self, proposal: traitlets.Bunch) -> int:
        last = 0 if self._clips.frames is None else self._clips.frames.shape[1] - 1
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"these clips have frames 0 to {last}; there is no frame {proposal.value}")
        return proposal.value

    def _on_asked(self, change: traitlets.Bunch) -> None:
        if not self._writing:
            self._show(**{change.name: change.new})

    def _wanted(self, **new: str) -> dict[str, str]:
        """What is shown, with these in its place; another clip or target gives a pair up."""
        alone = {"partner": ""} if {"clip_id", "target"} & set(new) else {}
        return {name: getattr(self, name) for name in _ASKED} | alone | new

    def _show(self, **new: str) -> None:
        """Show another map; ValueError where it cannot be made, and nothing has changed then."""
        wanted = self._wanted(**new)
        found, said = self._make(wanted)
        self._choose(**wanted)
        self._take(found, said)

    def _ask(self) -> None:
        """Show the map that was chosen on the page; what cannot be made is said there."""
        try:
            found, said = self._make(self._wanted())
        except ValueError as problem:
            self._kept.show(self.clip_id)
            self._forget(str(problem))
            return
        self._take(found, said)

    def _make(self, wanted: dict[str, str]) -> tuple[Attribution | None, str]:
        """A map, and a sentence on how it came; ValueError where it cannot be made."""
        if self._pending is not None and self._pending[0] == wanted:
            return self._pending[1:]
        named = [wanted["clip_id"], *filter(None, [wanted["partner"]])]
        positions(self._clips.table, named, owner="this viewer")
        if self._attribute is None:
            if any(wanted[name] for name in _ASKED[1:]):
                raise ValueError(f"no attributor was handed in: {_GIVE}")
            return None, _NONE
        ready = self._attribute.is_made(**wanted)
        before = self._message.value
        if not ready:
            self._say(f"Computing {_asked_text(wanted)} ...", clip_id=wanted["clip_id"])
        begun = time.perf_counter()
        try:
            found = self._attribute(**wanted)
        except ValueError:
            self._message.value = before
            raise
        seconds = time.perf_counter() - begun
        if not ready:
            self._seconds[map_key(found)] = seconds
        said = "Made before: it came at once." if ready else f"Computed in {seconds:.2f} s; it is remembered."
        self._pending = wanted, found, said
        return found, said

    def _take(self, found: Attribution | None, said: str) -> None:
        self._kept.show(self.clip_id)
        if found is None:
            self._forget(said)
            return
        self._note(found)
        self._say(said)

    def _note(self, found: Attribution) -> None:
        """Show a map: its pictures, its figures, and its row in the selection."""
        self._pending = None
        self._rows.append(figures_row(found, self._seconds.get(map_key(found), np.nan)))
        self.set_trait("attribution", found)
        self._picture_map(found)
        self._check.disabled = "randomised_threshold" in found.sanity
        self.set_trait("selection", history(self._rows))

    def _picture_map(self, found: Attribution) -> None:
        truth = self._clips.truth
        pictures = MapPictures(
            found, clips=self._clips, region=self._regions.value, blur=self._blurs.value, size=PIXELS
        )
        of_flow = found.target if truth is not None and found.target in truth.aus else "AUs"
        self._sanity.value = sanity_html(found, region_of_flow=of_flow)
        self._verdict.value = verdict_line(found)
        self.frame = self._stage.put(pictures, clip_id=self.clip_id, frame=self.frame)

    def _forget(self, why: str) -> None:
        """Show no map, and say why; the face stays."""
        self.set_trait("attribution", None)
        self._stage.clear()
        self._check.disabled = True
        self._sanity.value = self._verdict.value = ""
        self._say(why, warn=True)

    def _say(self, text: str, *, warn: bool = False, clip_id: str = "") -> None:
        _, row = clip_row(self._clips, clip_id or self.clip_id)
        self._message.value = f"<div class='medn-line'>{describe(row)}</div>{note(text, warn=warn)}"


def _asked_text(asked: dict[str, str]) -> str:
    method = asked["method"].replace("_", " ")
    if asked["partner"]:
        return f"{method} of {asked['clip_id']} against {asked['partner']}"
    return f"{method} of {asked['target']}"
