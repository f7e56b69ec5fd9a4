"""The controls that choose among pairs, in one row; what they do is the browser's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from medn_lab.widgets.pair_list import SUBJECTS, VERDICTS, PairList

DEFAULTS: dict[str, object] = {
    "aus": "", "emotion": "", "against": "", "opposite": False, "subjects": "", "verdict": "", "dataset": "",
    "bookmarked": False,
}  # fmt: skip


class PairFilters(widgets.VBox):
    """Filters and order of a list of pairs.

    Parameters
    ----------
    pairs : PairList
    """

    def __init__(self, pairs: PairList) -> None:
        emotions = [(f"{name} ({n})", name) for name, n in pairs.emotions.items()]
        self._controls: dict[str, widgets.ValueWidget] = {
            "aus": _listed(
                "AUs", [(f"AU {name} ({n})", name) for name, n in pairs.aus.items()], 168, "Only pairs of this AU set"
            ),
            "emotion": _listed("emotion", emotions, 186, "Only pairs in which one clip has this emotion"),
            "against": _listed("against", emotions, 182, "... and the other clip this one"),
            "subjects": _listed(
                "subjects", [(title, key) for key, title in SUBJECTS.items()], 172,
                "Pairs of one person share a face: the fairer comparison",
            ),
            "verdict": _listed(
                "model", [(name, name) for name in VERDICTS], 150, "What the model said of the two clips"
            ),
            "dataset": _listed(
                "data set", [(f"{name} ({n})", name) for name, n in pairs.datasets.items()], 190,
                "Only pairs of this data set",
            ),
            "opposite": _ticked("opposite valence", 136, "Only pairs of a positive and a negative emotion"),
            "bookmarked": _ticked("bookmarked", 110, "Only pairs that you have bookmarked"),
        }  # fmt: skip
        for name, column in (
            ("subjects", "same_subject"), ("verdict", "verdict"), ("dataset", "dataset"), ("opposite", "opposite"),
        ):  # fmt: skip
            if not pairs.has(column):
                self._controls[name].layout.display = "none"
        self._order = widgets.Dropdown(
            options=[(title, key) for key, title in pairs.orders.items()], description="order",
            tooltip="Which pair comes first", style={"description_width": "initial"},
            layout=widgets.Layout(width="330px", margin="2px 10px 2px 0"),
        )  # fmt: skip
        self._reset = widgets.Button(
            description="All pairs", tooltip="Take every filter away", icon="times",
            layout=widgets.Layout(width="102px", margin="2px 6px 2px 0"),
        )  # fmt: skip
        row = widgets.Layout(flex_flow="row wrap")
        named = ("aus", "emotion", "against", "subjects", "verdict", "dataset")
        upper = widgets.HBox([self._controls[name] for name in named], layout=row)
        lower = widgets.HBox(
            [self._order, self._controls["opposite"], self._controls["bookmarked"], self._reset], layout=row
        )
        super().__init__([upper, lower])
        self._quiet = False

    def listen(self, changed: Callable[[], None]) -> None:
        """Call this once for each gesture that changes a filter or the order."""

        def heard(_: object) -> None:
            if not self._quiet:
                changed()

        def reset(_: object) -> None:
            self.set(DEFAULTS, order=None)
            changed()

        for control in (*self._controls.values(), self._order):
            control.observe(heard, "value")
        self._reset.on_click(reset)

    @property
    def chosen(self) -> dict[str, object]:
        """What is chosen, by name."""
        return {name: control.value for name, control in self._controls.items()}

    @property
    def order(self) -> str:
        """The key of the order."""
        return self._order.value

    def set(self, chosen: Mapping[str, object], *, order: str | None) -> None:
        """Choose all of these at once, without a call; a value that no list holds is added to it."""
        self._quiet = True
        try:
            for name, value in chosen.items():
                control = self._controls[name]
                if isinstance(control, widgets.Dropdown) and value not in {key for _, key in control.options}:
                    control.options = (*control.options, (str(value), value))
                control.value = value
            if order is not None:
                self._order.value = order
        finally:
            self._quiet = False


def _listed(description: str, options: list[tuple[str, str]], width: int, tooltip: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=[("all", ""), *options], value="", description=description, tooltip=tooltip,
        style={"description_width": "initial"}, layout=widgets.Layout(width=f"{width}px", margin="2px 10px 2px 0"),
    )  # fmt: skip


def _ticked(description: str, width: int, tooltip: str) -> widgets.Checkbox:
    return widgets.Checkbox(
        False, description=description, tooltip=tooltip, indent=False,
        layout=widgets.Layout(width=f"{width}px", margin="2px 10px 2px 0"),
    )  # fmt: skip
