"""Attribution maps of a clip by any method and for any target, with their sanity checks."""

from __future__ import annotations

import html
import os
import re
import time
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips, positions, require
from medn_lab.view.attribution import sanity_rows, verdict
from medn_lab.view.rows import clip_moments, clip_row, describe, label_column
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.page import write_clips
from medn_lab.widgets.panel import Panel, control, note, trait_errors
from medn_lab.widgets.selection import partners
from medn_lab.widgets.timing import Latest

MOST_LISTED = 2000  # a clip that is not listed can be typed

_NO_EMOTION = re.compile(r"AU\d+|gate|norm of .*|.* from (motion|emotion)")
_SHOWN = ("clip_id", "target", "method", "partner")
_SOON = 0.02  # seconds: a quick run of choices makes one map
_GIVE = "give attribute=medn.diagnose.Attributor(model, clips)"


class AttributionViewer(Panel):
    """Show what raised or lowered an answer of the model, by any method, with the sanity checks of the map.

    Choose a clip, a target and a method, or another clip to compare it with. Red raises the target and blue lowers it:
    in each frame, in all frames together, or in the flow. *Check* makes the checks that take longer. Maps are
    remembered.

    Parameters
    ----------
    clips : Clips
    attribute : Attributor or None
        From ``medn_lab.diagnose.Attributor``; without it there are the faces alone.
    clip_id : str or None
        To begin with; the first one where None.
    target : str or None
        To begin with; the clip's emotion where None, or the first target.
    method : str or None
        To begin with; integrated gradients where None.

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
    medn_lab.diagnose.Attributor
    medn_lab.view.plot_attribution, medn_lab.view.plot_kept_tokens : the same as figures.

    Examples
    --------
    ``AttributionViewer(clips, attribute=medn.diagnose.Attributor(model, clips))``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> make = medn.diagnose.Attributor(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> viewer = AttributionViewer(clips, attribute=make, target="happiness", method="saliency")
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
        attribute: Any = None,
        clip_id: str | None = None,
        target: str | None = None,
        method: str | None = None,
    ) -> None:
        if not len(clips):
            raise ValueError("there are no clips to show: the selection is empty")
        first = str(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)
        _, row = clip_row(clips, first)
        self._clips, self._attribute = clips, attribute
        self._rows: list[dict[str, object]] = []
        self._seconds: dict[tuple[str, ...], float] = {}
        self._drawn: dict[str, str] = {}
        self._compared = ""  # the clip whose partners are listed
        self._soon = Latest(self._choose, seconds=_SOON)
        self._heading, self._message = widgets.HTML(), widgets.HTML()
        self._checks = widgets.HTML(layout=widgets.Layout(min_width="280px"))
        self.view = ClipView(clips, size=360)
        side = {"flex": "1 1 280px", "max_width": "460px", "margin": "0 0 0 14px"}
        wrap = {"flex_flow": "row wrap"}
        super().__init__(
            [
                widgets.HBox(self._controls(), layout=wrap),
                self._heading,
                self._message,
                widgets.HBox([self.view, widgets.VBox([self._checks], layout=side)], layout=wrap),
            ],
            name="attribution-viewer", width="100%",
            results={"selection": pd.DataFrame(columns=["clip_id", "target", "method"])},
        )  # fmt: skip
        traitlets.link((self, "frame"), (self.view, "frame"))
        self.observe(self._on_change, _SHOWN)
        if attribute is not None:
            emotion = row.get(label_column(clips.table) or "")
            target = target or (emotion if emotion in attribute.targets else attribute.targets[0])
            usual = "integrated_gradients"
            method = method or (usual if usual in attribute.methods else attribute.methods[0])
        self._show(clip_id=first, target=target or "", method=method or "")
        if attribute is not None:
            self.view.overlay = "attribution"
        if clips.frames is not None:
            self.frame = clip_moments(clips, first).apex or 0  # the map of the onset is empty

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
        self._say("Checking this map: deleted squares, noise, random weights ...")
        begun = time.perf_counter()
        found = self._attribute.check(**self._wanted())
        self._put(found)
        self._say(f"Checked in {time.perf_counter() - begun:.1f} s.")
        return found

    def to_html(self, path: str | os.PathLike[str], *, title: str = "Attribution", faces: bool = True) -> Path:
        """Write the map that is shown as one file: faces with the map, play and magnification, and the checks.

        Parameters
        ----------
        path : path-like
            The file to write; its folder must exist.
        title : str
        faces : bool
            Whether the pictures of the faces, and the maps over them, are in the file. Faces are biometric data.

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If there is no map.
        """
        found = require(self.attribution, otherwise="there is no map to write")
        table = self._clips.select(found.table["clip_id"]).table
        checks = pd.DataFrame(sanity_rows(found), columns=["check", "value", "how to read it"])
        checks = checks.replace(r"<[^>]+>", "", regex=True)
        text = f"{found.target} by {found.method.replace('_', ' ')}"
        return write_clips(
            path, [(text, list(table["clip_id"]))], table=table, view=self.view, title=title,
            about="; ".join(map(str.strip, repr(found).splitlines())), faces=faces, most_megabytes=20.0,
            tables={"Sanity checks": checks, "Maps that were shown": self.selection},
        )  # fmt: skip

    def _controls(self) -> list[widgets.Widget]:
        attribute = self._attribute
        targets, methods = ((), ()) if attribute is None else (attribute.targets, attribute.methods)
        emotions = [name for name in targets if not _NO_EMOTION.fullmatch(name)]
        differences = [f"{a} - {b}" for a in emotions for b in emotions if a != b]
        self._choices = {
            "clip_id": control(
                widgets.Combobox, "Clip", width="220px", placeholder="type or choose", continuous_update=False,
                options=tuple(map(str, self._clips.table["clip_id"][:MOST_LISTED])), tooltip="Type a part of the name",
            ),
            "target": control(
                widgets.Dropdown, "Target", width="280px", options=[*targets, *differences], disabled=not targets,
                tooltip="An emotion, an AU, a branch's part of an emotion score, the gate, the norm of a feature",
            ),
            "method": control(
                widgets.Dropdown, "Method", width="220px", options=[(name.replace("_", " "), name) for name in methods],
                disabled=not targets,
            ),
            "partner": control(
                widgets.Dropdown, "Compare with", width="340px", options=[("no other clip", "")], disabled=not targets,
            ),
        }  # fmt: skip
        for name, one in self._choices.items():
            one.observe(lambda change, name=name: self._on_choice(name, change.new), "value")
        self._check = control(
            widgets.Button, "Check", width="92px", icon="check", disabled=True, style={},
            tooltip="Measure infidelity, sensitivity and the map of random weights; takes some seconds",
        )  # fmt: skip
        self._check.on_click(lambda _: self._try(self.check))
        return [*self._choices.values(), self._check]

    def _shown_as(self, name: str) -> str | None:
        """The value of a control; the target of a pair is a difference, which is not a choice of the list."""
        return None if name == "target" and self.partner else str(getattr(self, name))

    def _on_choice(self, name: str, value: str | None) -> None:
        if value not in (None, self._shown_as(name)):
            self._soon()

    def _choose(self) -> None:
        """Show what the controls name."""
        chosen = {name: one.value for name, one in self._choices.items()}
        new = {name: value for name, value in chosen.items() if value not in (None, self._shown_as(name))}
        if new:
            self._try(lambda: self._show(**new))

    def _fill(self) -> None:
        """Set the controls to what is shown."""
        if self._attribute is not None and self.clip_id != self._compared:
            self._compared, others, why = self.clip_id, [], "The difference between two clips of different emotions"
            try:
                others = partners(self._clips.table, self.clip_id)
            except ValueError as problem:
                why = f"No pair: {problem}"
            self._choices["partner"].options = [("no other clip", ""), *others]
            self._choices["partner"].tooltip = why
        for name, one in self._choices.items():
            try:
                one.value = self._shown_as(name)
            except traitlets.TraitError:  # a partner that is not listed
                one.value = None

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
        try:
            with self.hold_trait_notifications():
                for name, value in self._wanted(**new).items():
                    setattr(self, name, value)
        except traitlets.TraitError as problem:
            self._fill()
            raise ValueError(str(problem)) from None

    def _make(self, wanted: dict[str, str]) -> Attribution | None:
        """The map; ValueError where it cannot be made."""
        attribute = self._attribute
        positions(self._clips.table, [wanted["clip_id"], *filter(None, [wanted["partner"]])], owner="this viewer")
        if attribute is None:
            if any(wanted[name] for name in _SHOWN[1:]):
                raise ValueError(f"no attributor was given, so there is no map: {_GIVE}")
            return None
        if attribute.is_made(**wanted):
            return attribute(**wanted)
        before, begun = self._message.value, time.perf_counter()
        what = f"against {wanted['partner']}" if wanted["partner"] else f"of {wanted['target']}"
        self._say(f"Computing {wanted['method'].replace('_', ' ')} {what} ...")
        try:
            found = attribute(**wanted)
        except ValueError:
            self._message.value = before
            raise
        self._seconds[_key(found)] = time.perf_counter() - begun
        return found

    def _on_change(self, change: traitlets.Bunch) -> None:
        if self.partner and change.name in ("clip_id", "target"):
            self.partner = ""  # which draws
        elif self._wanted() != self._drawn:
            self._draw()

    def _draw(self) -> None:
        """Show the map of the traits."""
        self._drawn = self._wanted()
        found = self._make(self._drawn)
        self._fill()
        names = [self.clip_id, *filter(None, [self.partner])]
        lines = "<br>".join(describe(clip_row(self._clips, name)[1]) for name in names)
        self._heading.value = f"<div class='medn-line'>{lines}</div>"
        if found is None:
            self.view.show(self.clip_id)
            self._warn(f"No attributor was given, so there is no map: {_GIVE}.")
            return
        self._put(found)
        seconds = self._seconds.get(_key(found))
        self._say("" if seconds is None else f"Computed in {seconds:.2f} s and stored.")

    def _put(self, found: Attribution) -> None:
        """Show a map: over the faces, its checks, and its row in the selection."""
        row: dict[str, object] = dict(zip(("clip_id", "target", "method"), _key(found), strict=True))
        row["score"] = None if found.scores is None else float(found.scores[0])
        row |= {name: float(value) for name, value in found.sanity.items()}
        self._rows.append(row | {"seconds": self._seconds.get(_key(found), np.nan)})
        self.set_trait("attribution", found)
        self.view.give(kept=self._attribute.kept(self.clip_id), attribution=found)
        self.view.show(*found.table["clip_id"], restart=False)
        self._check.disabled = "randomised_threshold" in found.sanity
        table = pd.DataFrame(self._rows).drop_duplicates(["clip_id", "target", "method"], keep="last")
        self.set_trait("selection", table.reset_index(drop=True))
        truth = self._clips.truth
        of_flow = found.target if truth is not None and found.target in truth.aus else "AUs"
        rows = "".join(
            f"<tr title='{html.escape(reading, quote=True)}'><td class='medn-left'>{html.escape(name)}</td>"
            f"<td class='medn-left' style='white-space:normal'>{value}</td></tr>"
            for name, value, reading in sanity_rows(found, region_of_flow=of_flow)
        )
        sentence, warn = verdict(found)
        table = f"<table class='medn-table'>{rows}</table>{note(sentence, warn=warn)}"
        self._checks.value = f"<div class='medn-title'>Sanity checks</div>{table}"

    def _warn(self, text: str) -> None:
        self._message.value = note(text, warn=True)

    def _say(self, text: str) -> None:
        self._message.value = note(text)


def _key(attribution: Attribution) -> tuple[str, str, str]:
    return " | ".join(attribution.table["clip_id"]), attribution.target, attribution.method
