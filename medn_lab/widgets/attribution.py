"""Attribution maps of a clip by any method and for any target, with their sanity checks."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable
from typing import Protocol

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips, KeptTokens, au_sets, positions, require
from medn_lab.view.attribution import sanity_rows, verdict
from medn_lab.view.rows import clip_moments, clip_row, describe, label_column
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import Panel, control, note, trait_errors
from medn_lab.widgets.timing import Latest

PAIR = "the difference between two clips"
KINDS = ("an emotion", "an AU", "what a branch adds", "the gate", "the length of a feature", "two emotions")
MOST_PARTNERS, MOST_LISTED = 200, 2000  # a clip that is not listed can be typed

_SHOWN = ("clip_id", "target", "method", "partner")
_SOON = 0.02  # seconds: a quick run of choices makes one map
_GIVE = "give attribute=medn.diagnose.attributor(model, clips)"


class Maps(Protocol):
    """What ``medn_lab.diagnose.attributor`` returns."""

    methods: tuple[str, ...]
    targets: tuple[str, ...]

    def __call__(self, clip_id: str, *, target: str, method: str, partner: str) -> Attribution:
        """The map of a clip, or of a pair."""

    def check(self, clip_id: str, *, target: str, method: str, partner: str) -> Attribution:
        """The same with the checks that take long."""

    def is_made(self, clip_id: str, *, target: str, method: str, partner: str) -> bool:
        """Whether the map is remembered."""

    def kept(self, clip_id: str) -> KeptTokens | None:
        """The positions that the emotion branch kept."""


def kind_of(target: str, partner: str = "") -> str:
    """The kind of a target; the difference between two clips where there is a partner.

    Examples
    --------
    >>> kind_of("AU12"), kind_of("happiness from motion"), kind_of("gate"), kind_of("fear - others"), kind_of("fear")
    ('an AU', 'what a branch adds', 'the gate', 'two emotions', 'an emotion')
    """
    if partner or target == "gate":
        return PAIR if partner else "the gate"
    if target.startswith("norm of "):
        return "the length of a feature"
    if target.rpartition(" from ")[2] in ("motion", "emotion") and " from " in target:
        return "what a branch adds"
    if target.startswith("AU") and target[2:].isdigit():
        return "an AU"
    return "two emotions" if " - " in target else "an emotion"


def by_kind(targets: Iterable[str]) -> dict[str, list[str]]:
    """The targets of each kind, in the order of :data:`KINDS`; the differences of emotions too."""
    kinds: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for target in targets:
        kinds[kind_of(target)].append(target)
    emotions = kinds["an emotion"]
    kinds["two emotions"] += [f"{a} - {b}" for a in emotions for b in emotions if a != b]
    return {kind: found for kind, found in kinds.items() if found}


def partners(table: pd.DataFrame, clip_id: str) -> list[tuple[str, str]]:
    """Clips of another emotion as (text, clip_id), those with the same AU set first.

    Raises
    ------
    ValueError
        If the clip's emotion is not known, or there is no other.
    """
    column = label_column(table)
    row = int(table.index[table["clip_id"] == clip_id][0])
    if column is None or pd.isna(table[column].iloc[row]):
        raise ValueError(f"the emotion of {clip_id!r} is not known, so it cannot be compared with another emotion")
    emotion = table[column].iloc[row]
    others = table[table[column].notna() & (table[column] != emotion)]
    if others.empty:
        raise ValueError(f"every clip with a known emotion is {emotion}; a pair needs two emotions")
    sets = au_sets(table)
    alike = np.array([bool(sets[row]) and sets[place] == sets[row] for place in others.index])
    ordered = pd.concat([others[alike], others[~alike]]).head(MOST_PARTNERS)
    same = set(others.loc[alike, "clip_id"])
    return [
        (f"{name} · {label}{' · same AUs' if name in same else ''}", name)
        for name, label in zip(ordered["clip_id"], ordered[column], strict=True)
    ]


class AttributionViewer(Panel):
    """Show what raised or lowered an answer of the model, by any method, with the sanity checks of the map.

    Choose a clip, a target and a method. Red raises the target and blue lowers it: in each frame, in all frames
    together, or in the flow. *Check* makes the checks that take longer. Maps are remembered.

    Parameters
    ----------
    clips : Clips
    attribute : callable or None
        From ``medn_lab.diagnose.attributor``; without it there are the faces alone.
    kept : KeptTokens or None
        The positions that the emotion branch kept, joined by clip_id; those that `attribute` knows where None.
    clip_id : str or None
        To begin with; the first one where None.
    target : str or None
        To begin with; the clip's emotion where None, or the first target.
    method : str or None
        To begin with; integrated gradients where None.
    check : bool
        Whether the first map is checked in advance.
    blur : float
        Pixels by which a map is smoothed, 0 to 3; single pixels are noisy.

    Attributes
    ----------
    clip_id, target, method, partner : str
        What is shown; traits: set one to show that. `partner` is empty except for a pair, which ends when another clip
        or target is set; `target` is not used while a pair is shown.
    frame : int
        Position of the frame that is shown; a trait.
    view : ClipView
        The faces; its traits ``overlay`` and ``attributed`` choose what is drawn over them.
    attribution : Attribution or None
        The map that is shown, with its checks; ``plot_attribution`` takes it. A read-only trait.
    selection : DataFrame
        A row for each map that was shown, with all checks that were made; ``seconds`` is the time in which the map was
        computed (NaN where it was computed before this viewer asked for it). A read-only trait.

    Raises
    ------
    ValueError
        If there is no clip, or none of the name given.

    See Also
    --------
    medn_lab.diagnose.attributor
    medn_lab.view.plot_attribution, medn_lab.view.plot_kept_tokens : the same as figures.

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
            raise ValueError("there are no clips to show: the selection is empty")
        if not 0 <= blur <= 3:
            raise ValueError(f"a map can be smoothed by 0 to 3 pixels, not by {blur}")
        first = str(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)
        positions(clips.table, [first], owner="this viewer")
        self._clips, self._attribute, self._kept = clips, attribute, kept
        self._targets = by_kind(() if attribute is None else attribute.targets)
        self._rows: list[dict[str, object]] = []
        self._seconds: dict[tuple[str, ...], float] = {}
        self._drawn: dict[str, str] = {}
        self._soon = Latest(lambda wanted: self._try(lambda: self._show(**wanted)), seconds=_SOON)
        self._message, self._checks = widgets.HTML(), widgets.HTML(layout=widgets.Layout(min_width="280px"))
        self.view = ClipView(clips, size=360)
        side = widgets.VBox(
            [self._checks], layout=widgets.Layout(flex="1 1 280px", max_width="460px", margin="0 0 0 14px")
        )
        body = widgets.HBox([self.view, side], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__(
            [*self._controls(blur), self._message, body],
            name="attribution-viewer",
            width="100%",
            results={"selection": pd.DataFrame(columns=["clip_id", "target", "method"])},
        )
        self._wire()
        if target is None and self._targets:
            target = self._usual(next(iter(self._targets.values())), clip_id=first)
        if method is None and attribute is not None:
            method = "integrated_gradients" if "integrated_gradients" in attribute.methods else attribute.methods[0]
        self._show(clip_id=first, target=target or "", method=method or "", partner="")
        if clips.frames is not None:
            self.frame = clip_moments(clips, first).apex or 0  # the map of the onset is empty
        if check and self.attribution is not None:
            self.check()

    def show(self, clip_id: str) -> None:
        """Map this clip for the same target, by the same method; a pair ends.

        Raises
        ------
        ValueError
            If there is no such clip.
        """
        self._show(clip_id=str(clip_id))

    def explain(
        self, target: str | None = None, *, method: str | None = None, partner: str | None = None
    ) -> Attribution:
        """Map the clip that is shown for another target, by another method, or against a partner; None changes nothing.

        Parameters
        ----------
        target : str, optional
            As the attributor lists them, or the difference of two emotions; a pair ends.
        method : str, optional
            The name of its function.
        partner : str, optional
            A clip of another emotion, for the difference between the two clips.

        Returns
        -------
        Attribution

        Raises
        ------
        ValueError
            If there is no attributor, or it cannot make this map.
        """
        given = {"target": target, "method": method, "partner": partner}
        self._show(**{name: value for name, value in given.items() if value is not None})
        return require(self.attribution, otherwise=f"no attributor was given: {_GIVE}")

    def check(self) -> Attribution:
        """Make the checks of this map that take long: infidelity, sensitivity, random weights.

        Returns
        -------
        Attribution
            The map with its checks.

        Raises
        ------
        ValueError
            If there is no map.
        """
        if self.attribution is None or self._attribute is None:
            raise ValueError("there is no map to check")
        self._say(f"Checking {_words(self._wanted())}: deleted squares, noise, random weights ...")
        begun = time.perf_counter()
        found = self._attribute.check(**self._wanted())
        self._put(found)
        self._say(f"Checked in {time.perf_counter() - begun:.1f} s; the checks are remembered.")
        return found

    def _controls(self, blur: float) -> list[widgets.Widget]:
        attribute, truth = self._attribute, self._clips.truth
        methods = () if attribute is None else attribute.methods
        regions = [("nothing", ""), *[(n, n) for n in ([] if truth is None else ["cue", "AUs", *truth.aus])]]
        self._names = control(
            widgets.Combobox, "Clip", width="220px", placeholder="type or choose", continuous_update=False,
            options=tuple(map(str, self._clips.table["clip_id"][:MOST_LISTED])), tooltip="Type a part of the name",
        )  # fmt: skip
        kinds = [*self._targets, PAIR] if self._targets else []
        self._kinds = control(widgets.Dropdown, "Target", width="280px", options=kinds, disabled=not methods)
        self._which = control(
            widgets.Dropdown, width="220px", disabled=not methods, tooltip="Which target of this kind"
        )
        self._methods = control(
            widgets.Dropdown, "Method", width="220px", options=[(name.replace("_", " "), name) for name in methods],
            disabled=not methods,
        )  # fmt: skip
        self._check = control(
            widgets.Button, "Check", width="92px", icon="check", disabled=True, style={},
            tooltip="Measure infidelity, sensitivity and the map of random weights; takes some seconds",
        )  # fmt: skip
        self._region = control(
            widgets.Dropdown,
            "Line around",
            width="190px",
            options=regions,
            tooltip="On synthetic clips: planted region",
        )
        self._blur = control(
            widgets.FloatSlider, "smooth (px)", width="260px", value=blur, min=0, max=3, step=0.5, readout_format=".1f",
            continuous_update=False, tooltip="How far a map is smoothed before it is drawn",
        )  # fmt: skip
        wrap = widgets.Layout(flex_flow="row wrap")
        chosen = [self._names, self._kinds, self._which, self._methods, self._check, self._region, self._blur]
        return [widgets.HBox(chosen, layout=wrap)]

    def _wire(self) -> None:
        self.observe(lambda change: self._draw(), _SHOWN)
        traitlets.link((self, "frame"), (self.view, "frame"))
        self._bind("clip_id", self._names)
        self._kinds.observe(lambda change: self._on_kind(), "value")
        for one in (self._which, self._methods):
            one.observe(lambda change: self._on_choice(), "value")
        for one in (self._region, self._blur):
            one.observe(lambda change: self._redraw(), "value")
        self._check.on_click(lambda _: self._try(self.check))

    def _on_kind(self) -> None:
        kind = self._kinds.value
        if kind == kind_of(self.target, self.partner) or kind is None:
            return
        try:
            if kind == PAIR:
                self._soon({"partner": partners(self._clips.table, self.clip_id)[0][1]})
            else:
                self._soon({"target": self._usual(self._targets[kind])})
        except ValueError as problem:
            self._warn(str(problem))
            self._fill()

    def _on_choice(self) -> None:
        which, method = self._which.value, self._methods.value
        name = "partner" if self._kinds.value == PAIR else "target"
        if (
            which is None
            or self._kinds.value != kind_of(self.target, self.partner)
            or (which, method) == (getattr(self, name), self.method)
        ):
            return
        self._soon({name: which, "method": method})

    def _fill(self) -> None:
        """Set the controls to what is shown."""
        if not self._targets or not self.method:
            return
        kind = kind_of(self.target, self.partner)
        options = partners(self._clips.table, self.clip_id) if self.partner else [(n, n) for n in self._targets[kind]]
        value = self.partner or self.target
        if value not in [name for _, name in options]:
            options = [*options, (value, value)]
        self._kinds.value = None  # until all are set, the controls choose nothing
        if list(self._which.options) != options:
            self._which.options = options
        self._which.value, self._methods.value, self._kinds.value = value, self.method, kind

    def _usual(self, targets: list[str], *, clip_id: str = "") -> str:
        """The target that a clip is about: its emotion, an AU that it shows; else the first."""
        _, row = clip_row(self._clips, clip_id or self.clip_id)
        column = label_column(self._clips.table)
        about = [] if column is None else [f"{row[column]}{end}" for end in ("", " from motion", " from emotion")]
        about += [au for au in self._clips.aus if row[au] == 1]
        return next((name for name in about if name in targets), targets[0])

    @traitlets.validate(*_SHOWN)
    def _can_be_shown(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            self._make(self._wanted(**{proposal.trait.name: proposal.value}))
        return proposal.value

    @traitlets.validate("frame")
    def _within_clip(self, proposal: traitlets.Bunch) -> int:
        return self.view.check("frame", proposal.value)

    def _wanted(self, **new: str) -> dict[str, str]:
        """What is shown, with these in its place; another clip or target ends a pair."""
        alone = {"partner": ""} if {"clip_id", "target"} & set(new) else {}
        return {name: getattr(self, name) for name in _SHOWN} | alone | new

    def _show(self, **new: str) -> None:
        """Show another map; ValueError where it cannot be made, and nothing has changed then."""
        wanted = self._wanted(**new)
        try:
            self._make(wanted)
            with self.hold_trait_notifications():
                for name, value in wanted.items():
                    setattr(self, name, value)
            self._draw()
        except (ValueError, traitlets.TraitError) as problem:
            self._fill()
            raise ValueError(str(problem)) from None

    def _make(self, wanted: dict[str, str]) -> Attribution | None:
        """The map; ValueError where it cannot be made."""
        named = [wanted["clip_id"], *filter(None, [wanted["partner"]])]
        positions(self._clips.table, named, owner="this viewer")
        attribute = self._attribute
        if attribute is None:
            if any(wanted[name] for name in _SHOWN[1:]):
                raise ValueError(f"no attributor was given, so there is no map: {_GIVE}")
            return None
        if attribute.is_made(**wanted):
            return attribute(**wanted)
        before = self._message.value
        self._say(f"Computing {_words(wanted)} ...", clip_id=wanted["clip_id"])
        begun = time.perf_counter()
        try:
            found = attribute(**wanted)
        except ValueError:
            self._message.value = before
            raise
        self._seconds[_key(found)] = time.perf_counter() - begun
        return found

    def _draw(self) -> None:
        """Show the map of the traits; a pair ends where another clip or target was set."""
        wanted = self._wanted()
        if wanted == self._drawn:
            return
        if self._drawn and wanted["partner"] and wanted["partner"] == self._drawn["partner"] and any(
            wanted[name] != self._drawn[name] for name in ("clip_id", "target")
        ):  # fmt: skip
            self.partner = ""
            return
        self._drawn = wanted
        found = self._make(wanted)
        self._fill()
        if found is None:
            self.view.give(kept=self._kept)
            self.view.show(self.clip_id)
            self._say(f"No attributor was given, so there is no map: {_GIVE}.", warn=True)
            return
        shown = {(row["clip_id"], row["target"], row["method"]) for row in self._rows}
        new = _key(found) in self._seconds and _key(found) not in shown
        self._put(found)
        self._say(f"Computed in {self._seconds[_key(found)]:.2f} s; it is remembered." if new else "Remembered map.")

    def _put(self, found: Attribution) -> None:
        """Show a map: over the faces, its checks, and its row in the selection."""
        row: dict[str, object] = dict(zip(("clip_id", "target", "method"), _key(found), strict=True))
        row["score"] = None if found.scores is None else float(found.scores[0])
        row |= {name: float(value) for name, value in found.sanity.items()}
        self._rows.append(row | {"seconds": self._seconds.get(_key(found), np.nan)})
        self.set_trait("attribution", found)
        self._redraw()
        self._check.disabled = "randomised_threshold" in found.sanity
        table = pd.DataFrame(self._rows).drop_duplicates(["clip_id", "target", "method"], keep="last")
        self.set_trait("selection", table.reset_index(drop=True))

    def _redraw(self) -> None:
        found, frame = self.attribution, self.frame
        if found is None:
            return
        kept = self._kept if self._kept is not None or self._attribute is None else self._attribute.kept(self.clip_id)
        first = not self.view.faces
        self.view.give(kept=kept, attribution=found, region=self._region.value, blur=self._blur.value)
        if first or self.view.overlay == "none":
            self.view.overlay = "attribution"
        self.view.show(*found.table["clip_id"])
        self.frame = min(frame, max(len(self.view.moments) - 1, 0))
        truth = self._clips.truth
        of_flow = found.target if truth is not None and found.target in truth.aus else "AUs"
        rows = "".join(
            f"<tr title='{html.escape(reading, quote=True)}'><td class='medn-left'>{html.escape(name)}</td>"
            f"<td class='medn-left' style='white-space:normal'>{value}</td></tr>"
            for name, value, reading in sanity_rows(found, region_of_flow=of_flow)
        )
        sentence, warn = verdict(found)
        last = note(sentence, warn=warn)
        table = f"<table class='medn-table'>{rows}</table>"
        self._checks.value = f"<div class='medn-title'>Sanity checks</div>{table}{last}"

    def _warn(self, text: str) -> None:
        self._say(text, warn=True)

    def _say(self, text: str, *, warn: bool = False, clip_id: str = "") -> None:
        names = [clip_id or self.clip_id or self._clips.table["clip_id"].iloc[0], *filter(None, [self.partner])]
        lines = [describe(clip_row(self._clips, name)[1]) for name in names]
        if self.partner:
            lines = [f"<b>{side}</b> {line}" for side, line in zip("ab", lines, strict=True)]
        self._message.value = f"<div class='medn-line'>{'<br>'.join(lines)}</div>{note(text, warn=warn)}"


def _key(attribution: Attribution) -> tuple[str, str, str]:
    return " | ".join(attribution.table["clip_id"]), attribution.target, attribution.method


def _words(wanted: dict[str, str]) -> str:
    method = wanted["method"].replace("_", " ")
    if wanted["partner"]:
        return f"{method} of {wanted['clip_id']} against {wanted['partner']}"
    return f"{method} of {wanted['target']}"
