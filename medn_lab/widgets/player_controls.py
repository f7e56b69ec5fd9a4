"""The controls of the clip player and how they are laid out; what they do is the player's."""

from __future__ import annotations

import ipywidgets as widgets

from medn_lab.records import Clips
from medn_lab.view.magnify import MOST
from medn_lab.widgets.overlays import HINTS

SPEEDS = {"real time": 1.0, "1/2": 0.5, "1/4": 0.25, "1/8": 0.125, "1/16": 0.0625, "1/32": 0.03125}

MOST_LISTED = 400
"""More clips than this are found by typing; a list of thousands of entries is slow to draw and no one reads it."""


class PlayerControls:
    """Picture, time axis and controls of one player.

    Parameters
    ----------
    clips : Clips
    overlays : dict
        Key to title of what can be drawn over the face.
    size : int
        Longer side of the picture in pixels of the page.
    """

    def __init__(self, clips: Clips, *, overlays: dict[str, str], size: int) -> None:
        wide = widgets.Layout(width="auto")
        style = {"description_width": "76px"}
        height, width = clips.size
        layout = widgets.Layout(
            width=f"{round(size * width / max(height, width))}px",
            height=f"{round(size * height / max(height, width))}px",
            object_fit="contain",
        )
        self.picture = widgets.Image(format="webp", layout=layout)
        self.slider = widgets.IntSlider(
            0,
            0,
            1,
            readout=False,
            tooltip="Frame (arrow keys step)",
            layout=widgets.Layout(width=f"{size - 12}px", margin="2px 0 0 6px"),
        )
        self.play = widgets.Play(
            value=0, min=0, max=1, interval=100, show_repeat=False, tooltip="Play the clip",
            layout=widgets.Layout(width="104px"),
        )  # fmt: skip
        self.axis = widgets.HTML(layout=widgets.Layout(width=f"{size}px", height="48px"))
        self.now = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        self.heading = widgets.HTML(layout=wide)
        self.reading = widgets.HTML(layout=wide)
        self.chooser = _clip_chooser(clips, style, wide)
        self.overlays = widgets.ToggleButtons(
            options=[(title, key) for key, title in overlays.items()],
            tooltips=[HINTS[key] for key in overlays],
            style={"button_width": "104px" if len(overlays) < 4 else "auto"},
        )
        self.which = widgets.Dropdown(
            options=[("–", "")], tooltip="Which keep rate, or which input's attribution",
            layout=widgets.Layout(width="190px", margin="2px 2px 2px 86px", display="none"),
        )  # fmt: skip
        self.magnifies = widgets.FloatSlider(
            1.0, min=1.0, max=MOST, step=0.5, description="magnify ×", readout_format=".1f", style=style, layout=wide,
            tooltip="How many times as large the motion is drawn",
        )  # fmt: skip
        self.speeds = widgets.Dropdown(
            options=list(SPEEDS.items()), value=0.125, description="speed", style=style,
            layout=widgets.Layout(width="190px"), tooltip="A share of real time",
        )  # fmt: skip
        self.loops = widgets.Checkbox(
            True,
            description="loop",
            indent=False,
            layout=widgets.Layout(width="80px"),
            tooltip="Begin again at the end",
        )
        left = widgets.VBox(
            [self.picture, self.slider, self.axis, widgets.HBox([self.play, self.now])],
            layout=widgets.Layout(width=f"{size + 8}px", flex="0 0 auto"),
        )
        name = widgets.HTML("<div class='medn-line' style='text-align:right'>overlay</div>", layout={"width": "80px"})
        over = widgets.HBox([name, self.overlays])
        pace = widgets.HBox([self.speeds, self.loops])
        right = widgets.VBox(
            [self.heading, self.chooser, over, self.which, self.magnifies, pace, self.reading],
            layout=widgets.Layout(flex="1 1 320px", max_width="560px", margin="0 0 0 18px"),
        )
        self.body = widgets.HBox([left, right], layout=widgets.Layout(flex_flow="row wrap", overflow="hidden"))
        if clips.frames is None:
            for control in (self.slider, self.play, self.magnifies, self.speeds, self.loops):
                control.disabled = True
            for part in (self.slider, self.axis, self.play, self.magnifies, pace):
                part.layout.display = "none"
        self.overlays.disabled = len(overlays) < 2


def _clip_chooser(clips: Clips, style: dict[str, str], layout: widgets.Layout) -> widgets.Dropdown | widgets.Combobox:
    names = list(clips.table["clip_id"])
    told = {"description": "clip", "style": style, "layout": layout}
    if len(names) <= MOST_LISTED:
        return widgets.Dropdown(options=names, tooltip="Which clip", **told)
    return widgets.Combobox(
        options=tuple(map(str, names[:MOST_LISTED])), continuous_update=False, placeholder="type a clip's name",
        tooltip=f"Type the name of any of {len(names)} clips; the first {MOST_LISTED} are listed", **told,
    )  # fmt: skip
