"""What a reader presses and chooses above the explorer's maps; it does nothing by itself."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np

_MOST_NAMES = 2000
_INITIAL = {"description_width": "initial"}


class ExplorerControls:
    """The controls of a :class:`medn_lab.widgets.BranchExplorer`, laid out in `bar`.

    Parameters
    ----------
    choices : mapping of str to str
        What can be coloured by: key to title.
    colour_by : str
    filters : mapping of str to mapping of str to int
        For each filter that there is, its values and how many clips each has.
    clip_ids : (n,) of str
    """

    def __init__(
        self,
        *,
        choices: dict[str, str],
        colour_by: str,
        filters: dict[str, dict[str, int]],
        clip_ids: np.ndarray,
    ) -> None:
        options = [(title, key) for key, title in choices.items()]
        if colour_by not in choices:
            options.append((colour_by, colour_by))
        self.colour_list = _listed(
            "Colour by", 216, "What the colours of the points say", options=options, value=colour_by
        )
        self.groups = _listed("Light up", 206, "Select all clips of a group", options=[("–", "")], value="")
        self.clip_list = widgets.Combobox(
            placeholder="type or choose", options=tuple(map(str, clip_ids[:_MOST_NAMES])), description="Clip",
            ensure_option=False, continuous_update=False, tooltip="Show a clip by its name",
            style=_INITIAL, layout=widgets.Layout(width="178px", margin="2px 10px 2px 0"),
        )  # fmt: skip
        self.same = _button("Same AUs", 104, "Select every clip with the AU set of the clip in hand", "link")
        self.partner = _button(
            "Confusable partner", 164, "Same AU set, another emotion: the clip that moves most alike", "exchange"
        )
        self.clear = _button("Clear", 80, "Select nothing", "times")
        self.filters = {
            name: _listed(*_FILTER_LOOK[name], options=filter_options(counts), value="")
            for name, counts in filters.items()
        }
        self.everything = _button("Show all", 100, "Take every filter away", "eye")
        self.partner_at_click = widgets.Checkbox(
            value=False, indent=False, description="partner at a click",
            tooltip="A click on a point also plays its confusable partner beside it",
            layout=widgets.Layout(width="140px", margin="2px 8px 2px 0"),
        )  # fmt: skip
        self.shown = widgets.HTML(layout=widgets.Layout(margin="2px 0"))
        first = [self.colour_list, self.groups, self.clip_list, self.same, self.partner, self.clear]
        second = [*self.filters.values(), self.everything, self.partner_at_click, self.shown]
        if not self.filters:
            self.everything.layout.display = "none"
        look = {"flex_flow": "row wrap", "align_items": "center"}
        rows = [widgets.HBox(row, layout=widgets.Layout(**look)) for row in (first, second)]
        self.bar = widgets.VBox(rows)

    def choose_filter(self, name: str, wanted: list[str], counts: dict[str, int]) -> None:
        """Show what a filter stands at; several values at once, which a list cannot show, get a line of their own."""
        if name in self.filters:
            own = self.filters[name]
            several = [(f"{len(wanted)} chosen", "\n".join(wanted))] if len(wanted) > 1 else []
            options = tuple(filter_options(counts) + several)
            if tuple(own.options) != options:
                own.options = options
            own.value = "\n".join(wanted)


def filter_options(counts: dict[str, int]) -> list[tuple[str, str]]:
    """All, and every value with its number of clips."""
    return [("all", "")] + [(f"{value} ({count})", value) for value, count in counts.items()]


_FILTER_LOOK = {
    "au_sets": ("AU set", 180, "Show only the clips in which exactly these AUs are coded"),
    "aus": ("AU", 132, "Show only the clips in which this AU is coded, alone or with others"),
    "subjects": ("Subject", 204, "Show only this person's clips"),
    "datasets": ("Data set", 158, "Show only the clips of one data set"),
}


def _listed(description: str, width: int, tooltip: str, **more: object) -> widgets.Dropdown:
    layout = widgets.Layout(width=f"{width}px", margin="2px 10px 2px 0")
    return widgets.Dropdown(description=description, style=_INITIAL, layout=layout, tooltip=tooltip, **more)


def _button(text: str, width: int, tooltip: str, icon: str) -> widgets.Button:
    layout = widgets.Layout(width=f"{width}px", flex="0 0 auto", margin="2px 6px 2px 0")
    return widgets.Button(description=text, tooltip=tooltip, icon=icon, layout=layout)
