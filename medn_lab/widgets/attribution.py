"""Attribution maps of a clip by any method and for any target, with their sanity checks."""

from __future__ import annotations

import re
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, Clips
from medn_lab.view.attribution import sanity_rows, verdict
from medn_lab.view.rows import au_set_texts, clip_moments, clip_row, describe, label_column
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.panel import WrittenPanel, clip_chooser, note, table_html, validates

_NO_EMOTION = re.compile(r"AU\d+|gate|norm of .*|.* from (motion|emotion)")
_SHOWN = ("clip_id", "target", "method", "partner")
_KEY = ["clip_id", "target", "method"]


class AttributionViewer(WrittenPanel):
    """Show what raised or lowered an answer of the model, by any method, with the sanity checks of the map.

    Choose a clip, a target and a method, or another clip to compare it with. Red raises the target and blue lowers it:
    in each frame, in all frames together, or in the flow. *Check* makes the checks that take longer. Maps are
    remembered.

    Parameters
    ----------
    clips : Clips
    attribute : Attributor
        From ``medn_lab.diagnose.Attributor``.
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
    view : ClipView
        The faces; its traits ``overlay`` and ``attributed`` choose what is drawn over them, ``frame`` the frame.
    attribution : Attribution
        The map that is shown, with its checks; ``plot_attribution`` takes it. A read-only trait.
    selection : DataFrame
        A row for each map that was shown, with all checks that were made. A read-only trait.

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
    attribution: Any = traitlets.Instance(Attribution, allow_none=True, read_only=True)
    selection = traitlets.Instance(pd.DataFrame, args=(), kw={"columns": _KEY}, read_only=True)
    _title = "Attribution"

    def __init__(
        self, clips: Clips, *, attribute: Any, clip_id: str | None = None, target: str | None = None,
        method: str | None = None,
    ) -> None:  # fmt: skip
        if not len(clips):
            raise ValueError("there are no clips to show: the selection is empty")
        first = str(clips.table["clip_id"].iloc[0] if clip_id is None else clip_id)
        _, row = clip_row(clips, first)
        self._clips, self._attribute = clips, attribute
        self._drawn: dict[str, str] = {}
        self._heading, self._message, self._checks = (widgets.HTML() for _ in range(3))
        self.view = ClipView(clips, size=300)
        hint = "Measure infidelity, sensitivity and the map of random weights; takes some seconds"
        self._check = self._button("Check", "check", hint, self.check)
        self.observe(self._on_change, _SHOWN)
        emotion, usual = row.get(label_column(clips.table) or ""), "integrated_gradients"
        target = target or (emotion if emotion in attribute.targets else attribute.targets[0])
        method = method or (usual if usual in attribute.methods else attribute.methods[0])
        self.show(first, target=target, method=method)
        emotions = [name for name in attribute.targets if not _NO_EMOTION.fullmatch(name)]
        differences = [f"{a} - {b}" for a in emotions for b in emotions if a != b]
        by_aus = clips.table.iloc[np.argsort(au_set_texts(clips.table), kind="stable")]
        titles = [(name.replace("_", " "), name) for name in attribute.methods]
        controls = {
            "clip_id": clip_chooser("Clip", clips.table),
            "target": widgets.Dropdown(description="Target", options=[*attribute.targets, *differences]),
            "method": widgets.Dropdown(description="Method", options=titles),
            "partner": clip_chooser("Compare with", by_aus, none="no other clip"),
        }
        bound = [self._bind(name, one) for name, one in controls.items()]
        below = widgets.HBox([self.view, self._checks])
        super().__init__([widgets.HBox([*bound, self._check]), self._heading, self._message, below])
        self.view.overlay = "attribution"
        if clips.frames is not None:
            self.view.frame = clip_moments(clips, first).apex or 0  # the map of the onset is empty

    def show(
        self, clip_id: str | None = None, *, target: str | None = None, method: str | None = None,
        partner: str | None = None,
    ) -> Attribution:  # fmt: skip
        """Show and return the map of a clip for a target, by a method, or against a partner; None changes nothing.

        Parameters
        ----------
        clip_id : str, optional
            Another clip; a pair ends.
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
            If there is no such clip, or the attributor cannot make this map; nothing has changed then.
        """
        given = {"clip_id": clip_id, "target": target, "method": method, "partner": partner}
        wanted = self._wanted(**{name: value for name, value in given.items() if value is not None})
        with self.hold_trait_notifications():
            for name, value in wanted.items():
                setattr(self, name, value)
        return self.attribution

    def check(self) -> Attribution:
        """Make the checks of this map that take long: infidelity, sensitivity, random weights.

        Returns
        -------
        Attribution
            The map with its checks.
        """
        self._say("Checking this map: deleted squares, noise, random weights ...")
        found = self._attribute.check(**self._wanted())
        self._put(found)
        self._say("This map is checked.")
        return found

    def _page(self) -> dict[str, Any]:
        found = self.attribution
        table = self._clips.select(found.table["clip_id"]).table
        return {
            "view": self.view, "table": table, "about": found,
            "data": {"items": [(f"{found.target} by {found.method.replace('_', ' ')}", *table["clip_id"])]},
            "tables": {"Sanity checks": self._sanity(), "Maps that were shown": self.selection},
        }  # fmt: skip

    @validates(*_SHOWN)
    def _can_be_shown(self, name: str, value: str) -> str:
        self._make(self._wanted(**{name: value}))
        return value

    def _wanted(self, **new: str) -> dict[str, str]:
        """What is shown, with these in its place; another clip or target ends a pair."""
        alone = {"partner": ""} if {"clip_id", "target"} & set(new) else {}
        return {name: getattr(self, name) for name in _SHOWN} | alone | new

    def _make(self, wanted: dict[str, str]) -> Attribution:
        """The map; ValueError where it cannot be made."""
        before = self._message.value
        what = f"against {wanted['partner']}" if wanted["partner"] else f"of {wanted['target']}"
        self._say(f"Computing {wanted['method'].replace('_', ' ')} {what} ...")
        try:
            return self._attribute(**wanted)
        finally:
            self._message.value = before

    def _on_change(self, change: traitlets.Bunch) -> None:
        """Show the map of the traits."""
        if change.name in ("clip_id", "target") and self.partner and self.partner == self._drawn["partner"]:
            self.partner = ""  # which draws
            return
        if self._wanted() == self._drawn:
            return
        self._drawn = self._wanted()
        found = self._make(self._drawn)
        self._say("")
        self._put(found)

    def _put(self, found: Attribution) -> None:
        """Show a map: over the faces, its checks, and its row in the selection."""
        lines = "<br>".join(describe(row) for _, row in self._clips.select(found.table["clip_id"]).table.iterrows())
        self._heading.value = f"<div class='medn-line'>{lines}</div>"
        row: dict[str, Any] = {"clip_id": " | ".join(found.table["clip_id"]), "target": found.target}
        row |= {"method": found.method, "score": None if found.scores is None else float(found.scores[0])}
        rows = [*self.selection.to_dict("records"), row | {name: float(value) for name, value in found.sanity.items()}]
        self.set_trait("attribution", found)
        self.set_trait("selection", pd.DataFrame(rows).drop_duplicates(_KEY, keep="last", ignore_index=True))
        self.view.give(kept=self._attribute.kept(self.clip_id), attribution=found)
        self.view.show(*found.table["clip_id"], restart=False)
        self._check.disabled = "randomised_threshold" in found.sanity
        sentence, warn = verdict(found)
        sanity = self._sanity()
        table = table_html(sanity, dict(zip(sanity, sanity, strict=True))) + note(sentence, warn=warn)
        self._checks.value = f"<div class='medn-title'>Sanity checks</div>{table}"

    def _sanity(self) -> pd.DataFrame:
        """The checks of the map that is shown: check, value, how to read it."""
        truth, target = self._clips.truth, self.attribution.target
        rows = sanity_rows(self.attribution, region_of_flow=target if truth and target in truth.aus else "AUs")
        return pd.DataFrame(rows, columns=["check", "value", "how to read it"]).replace(r"<[^>]+>", "", regex=True)
