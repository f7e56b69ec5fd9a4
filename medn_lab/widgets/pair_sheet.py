"""Everything that is shown of one pair: both cards, the stage, the verdicts, the flows, what made the difference."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeVar

import ipywidgets as widgets
import pandas as pd

from medn_lab.records import Attribution, BranchFeatures, Clips, Predictions, require
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.pair_tiles import difference_tiles, flow_tiles, scale_line
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.pair_pages import TILE, clip_card, tile_row, verdict_panel
from medn_lab.widgets.panel import note

V = TypeVar("V")

_REMEMBERED = 32
_FACE = 236  # longer side of a face in pixels of the page
_INVITATION = "Where in the two clips does the model see the difference? The button computes it, about a second a pair."
_NOTHING_SWAPS = "Which branch the difference is owed to: hand over swap=medn.diagnose.pair_swapper(model, clips)."
_NOTHING_ATTRIBUTES = "Where the difference lies: hand over attribute=medn.diagnose.pair_attributor(model, clips)."


class PairSheet(widgets.VBox):
    """One pair at a time. What is computed for a pair is remembered for the last 32.

    Parameters
    ----------
    clips, predictions, features, attribute, swap, magnify
        As in ``PairBrowser``.
    """

    def __init__(
        self,
        clips: Clips | None,
        *,
        predictions: Predictions | None,
        features: BranchFeatures | None,
        attribute: Callable[[str, str], Attribution] | None,
        swap: Callable[[str, str], pd.DataFrame] | None,
        magnify: float,
    ) -> None:
        self._clips, self.predictions, self._features = clips, predictions, features
        self._attribute, self._swap = attribute, swap
        self.about = clips.table if clips is not None else None if predictions is None else predictions.table
        self._place = pd.Index([] if self.about is None else self.about["clip_id"])
        self._attributed: OrderedDict[tuple[str, ...], Attribution] = OrderedDict()
        self._swapped: OrderedDict[tuple[str, ...], pd.DataFrame] = OrderedDict()
        self._shown: tuple[str, ...] = ()
        self._cards = [widgets.HTML(layout=widgets.Layout(flex="1 1 0", min_width="0")) for _ in range(2)]
        self.stage = ClipView(clips, size=_FACE, magnify=magnify, playing=True)
        middle = widgets.Box([self.stage], layout=widgets.Layout(width="492px", flex="0 0 492px", margin="0 6px"))
        scene = widgets.HBox([self._cards[0], middle, self._cards[1]], layout=widgets.Layout(margin="6px 0 0 0"))
        self._verdicts = widgets.HTML()
        self._flows = widgets.HTML(layout=widgets.Layout(width=f"{3 * TILE + 24}px", flex="0 0 auto"))
        self._maps = widgets.HTML()
        self._attributes = widgets.ToggleButton(
            False, description="attribute the difference", icon="fire", disabled=attribute is None,
            tooltip="Compute where in the two clips the model sees the difference; for every pair, until pressed again",
            layout=widgets.Layout(width="206px"),
        )  # fmt: skip
        self._parts = widgets.Dropdown(
            options=[("of the frames", "frames"), ("of the flow", "flow")], tooltip="Which input's map is drawn",
            layout=widgets.Layout(width="122px"), disabled=attribute is None,
        )  # fmt: skip
        asked = widgets.HBox([self._attributes, self._parts])
        right = widgets.VBox([self._maps, asked], layout=widgets.Layout(flex="1 1 0", min_width="0"))
        below = widgets.HBox([self._flows, right], layout=widgets.Layout(margin="8px 0 0 0"))
        super().__init__([scene, self._verdicts, below])
        if attribute is None:
            self._maps.value = note(_NOTHING_ATTRIBUTES)
        for control in (self._attributes, self._parts):
            control.observe(lambda _: self._show_difference(), "value")

    def show(self, pair: tuple[str, str], row: pd.Series | None) -> None:
        """Show a pair; nothing where `row` is None."""
        self.layout.display = "none" if row is None else ""
        if row is None:
            self._shown = ()
            self.stage.show()
            return
        self._shown = pair
        for card, letter in zip(self._cards, "ab", strict=True):
            card.value = clip_card(self._clip(row, letter), self.predictions, letter=letter)
        self.stage.show(*pair)
        self._flows.value = self._flow_tiles()
        self._show_verdicts(row)
        self._show_difference()

    def attribute(self, part: Literal["frames", "flow"] | None) -> Attribution:
        """Attribute the difference of the pair in view, show it, and return it; ValueError where that cannot be."""
        if part is not None:
            self._parts.value = part
        found = self._attribution()
        self._attributes.value = True
        self._show_difference()
        return found

    def _show_verdicts(self, row: pd.Series) -> None:
        told = _NOTHING_SWAPS if self._swap is None else ""
        swaps = self._swapped.get(self._shown)
        if swaps is None and self._swap is not None:
            self._verdicts.value = verdict_panel(row, features=self._features, swaps=None, told="Swapping ...")
            try:
                swaps = _remember(self._swapped, self._shown, self._swap(*self._shown))
            except ValueError as problem:
                told = f"Not swapped: {problem}."
        self._verdicts.value = verdict_panel(row, features=self._features, swaps=swaps, told=told)

    def _flow_tiles(self) -> str:
        try:
            clips = self._clips_of_the_pair()
        except ValueError as why_not:
            return note(str(why_not), warn=True)
        return tile_row(flow_tiles(clips, self._shown, size=2 * TILE))

    def _show_difference(self) -> None:
        if self._attribute is None or not self._shown:
            return
        if not self._attributes.value:
            self._maps.value = note(_INVITATION)
            return
        try:
            clips = self._clips_of_the_pair()
        except ValueError as why_not:
            self._maps.value = note(str(why_not), warn=True)
            return
        try:
            found, part = self._attribution(), self._parts.value
            tiles = difference_tiles(found, clips, self._shown, part=part, size=2 * TILE)
        except ValueError as problem:
            self._maps.value = note(f"Not attributed: {problem}", warn=True)
            return
        said = note(scale_line(found, part=part)) + "".join(
            f"<div class='medn-note'>{line}</div>" for line in sanity_lines(found)
        )
        self._maps.value = tile_row(tiles) + said

    def _attribution(self) -> Attribution:
        if self._attribute is None:
            raise ValueError(
                "nothing computes attributions here: hand over attribute=medn.diagnose.pair_attributor(...)"
            )
        if self._shown not in self._attributed:
            self._maps.value = note(f"Computing where {' and '.join(self._shown)} differ for the model ...")
            _remember(self._attributed, self._shown, self._attribute(*self._shown))
        return self._attributed[self._shown]

    def _clips_of_the_pair(self) -> Clips:
        """The clips that were given; ValueError where there are none, or one of the pair is not among them."""
        clips = require(self._clips, otherwise="No clips were given, so there is no flow to draw.")
        missing = [name for name in self._shown if name not in self._place]
        if missing:
            raise ValueError(f"{missing[0]} is not among the clips that were given.")
        return clips

    def _clip(self, row: pd.Series, letter: str) -> pd.Series:
        """What is known of one clip of the pair: its row of the clips' table, or what the pair itself tells."""
        name = row[f"clip_{letter}"]
        own = pd.Series(
            {"clip_id": name, "label": row[f"label_{letter}"], "action_units": row["action_units"]}, dtype=object
        )
        if self.about is None:
            return own
        place = self._place.get_indexer([name])[0]
        return own if place < 0 else self.about.iloc[place]


def _remember(kept: OrderedDict[tuple[str, ...], V], key: tuple[str, ...], value: V) -> V:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
    return value
