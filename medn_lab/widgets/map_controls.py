"""The controls of the attribution viewer: which clip, of what, by which method, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets

from medn_lab.records import Clips

MOST_LISTED = 2000
"""Clips whose names are offered; any other may be typed."""


@dataclass(frozen=True)
class MapControls:
    """What may be set; nothing is wired."""

    names: widgets.Combobox
    kinds: widgets.Dropdown
    which: widgets.Dropdown
    methods: widgets.Dropdown
    check: widgets.Button
    regions: widgets.Dropdown
    blurs: widgets.FloatSlider


def map_controls(clips: Clips, *, kinds: Sequence[str], methods: Sequence[str], blur: float) -> MapControls:
    """The controls; those that choose a map are disabled where there is none to choose.

    Parameters
    ----------
    clips : Clips
    kinds : sequence of str
        Kinds of targets.
    methods : sequence of str
    blur : float
        Smoothing to begin with, in pixels.
    """
    named, off = {"description_width": "initial"}, not methods

    def listed(title: str, width: int, tooltip: str, options: Sequence, **more: object) -> widgets.Dropdown:
        layout = widgets.Layout(width=f"{width}px", margin="2px 8px 2px 0")
        return widgets.Dropdown(options=options, description=title, tooltip=tooltip, style=named, layout=layout, **more)

    truth = clips.truth
    regions = [("nothing", "")] + ([] if truth is None else [(name, name) for name in ("cue", "AUs", *truth.aus)])
    titles = [(name.replace("_", " "), name) for name in methods]
    return MapControls(
        names=widgets.Combobox(
            options=tuple(map(str, clips.table["clip_id"][:MOST_LISTED])), placeholder="type or choose",
            description="Clip", ensure_option=False, continuous_update=False, style=named,
            tooltip="Whose map is drawn; type a part of a name",
            layout=widgets.Layout(width="204px", margin="2px 8px 2px 0"),
        ),
        kinds=listed("of", 190, "What kind of number is explained", kinds, disabled=off),
        which=listed("", 214, "Which one of them", [], disabled=off),
        methods=listed("by", 190, "How the map is made", titles, disabled=off),
        check=widgets.Button(
            description="Check", icon="check", disabled=True, layout=widgets.Layout(width="92px", margin="2px 0"),
            tooltip="Measure infidelity, sensitivity, and whether random weights draw the same; takes some seconds",
        ),
        regions=listed("Line around", 190, "On synthetic clips: what was planted there", regions),
        blurs=widgets.FloatSlider(
            blur, min=0, max=3, step=0.5, description="smooth (px)", readout_format=".1f", continuous_update=False,
            tooltip="For the eye alone: how far a map is smoothed", style={"description_width": "80px"},
            layout=widgets.Layout(width="258px"),
        ),
    )  # fmt: skip
