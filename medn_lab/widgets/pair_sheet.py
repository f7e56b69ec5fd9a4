"""What is shown of one pair: the clips in step, the verdicts, the flows and their difference, the attribution."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import lru_cache

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Attribution, BranchFeatures, Clips, Predictions, positions, require
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.pair import attribution_figure, attribution_line, motion_figure, pair_lines
from medn_lab.widgets.live import LiveFigure
from medn_lab.widgets.panel import control, note, small_print
from medn_lab.widgets.player import ClipPair

REMEMBERED = 32
_NO_VERDICT = "No verdicts: they are in the table of medn.diagnose.rank_pairs."
_NO_SWAP = "For the branch that the difference comes from, give swap=medn.diagnose.pair_swapper(model, clips)."
_NO_MAP = "For where the difference comes from, give attribute=medn.diagnose.pair_attributor(model, clips)."


class PairSheet(widgets.VBox):
    """One pair at a time.

    Parameters
    ----------
    table : DataFrame
        What is known of the clips.
    clips, predictions, features, attribute, swap, magnify
        As in ``PairBrowser``.

    Attributes
    ----------
    view : ClipView
    wanted : ToggleButton
        Whether the attribution is wanted.
    part : Dropdown
        Which input's.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        clips: Clips | None,
        predictions: Predictions | None,
        features: BranchFeatures | None,
        attribute: Callable[[str, str], Attribution] | None,
        swap: Callable[[str, str], pd.DataFrame] | None,
        magnify: float,
    ) -> None:
        self._clips, self._predictions, self._features, self._attribute = clips, predictions, features, attribute
        self._swap = swap and lru_cache(REMEMBERED)(swap)
        self._both = ClipPair(
            table, clips=clips, predictions=predictions, magnify=magnify, names=("clip a", "clip b"), hints=("", "")
        )
        self.view = self._both.view
        self._verdicts, self._explained = widgets.HTML(), widgets.HTML()
        self._figures: dict[str, LiveFigure] = {}
        self._drawn = {name: widgets.Box(layout=widgets.Layout(display="none")) for name in ("motion", "attribution")}
        figures = widgets.HBox(list(self._drawn.values()), layout=widgets.Layout(flex_flow="row wrap"))
        self._pair: tuple[str, ...] = ()
        self.wanted = control(
            widgets.ToggleButton, "attribute the difference", icon="fire", disabled=attribute is None,
            tooltip="Compute where in the two clips the model's difference comes from, about a second a pair",
        )  # fmt: skip
        self.part = control(
            widgets.Dropdown, options=[("of the frames", "frames"), ("of the flow", "flow")],
            tooltip="Which input's attribution is drawn", disabled=attribute is None,
        )  # fmt: skip
        below = widgets.HBox([self.wanted, self.part])
        super().__init__([self._both.widget, self._verdicts, figures, self._explained, below])

    def show(self, row: pd.Series | None) -> None:
        """Show the clips of this row of the table of pairs and the verdicts; nothing where None."""
        self._pair = () if row is None else (str(row["clip_a"]), str(row["clip_b"]))
        self._both.show(*self._pair)
        if row is None:
            return
        self._both.say(self._not_a_class(row), warn=True)
        known = [*(pair_lines(row) or [_NO_VERDICT]), *self._gate()]
        if self._swap is None:
            self._verdicts.value = _lines(known) + note(_NO_SWAP)
            return
        self._verdicts.value = _lines([*known, "Swapping the branches' inputs ..."])
        try:
            known += pair_lines(None, swaps=self._swap(*self._pair))
        except ValueError as problem:
            known.append(html.escape(f"Not swapped: {problem}."))
        self._verdicts.value = _lines(known)

    def show_motion(self, *, attributed: bool, part: str) -> None:
        """Draw the flows of the pair and their difference, and the attribution where it is wanted."""
        if not self._pair:
            return
        explained = note(_NO_MAP) if self._attribute is None else ""
        try:
            clips = require(self._clips, otherwise="No clips were given, so there is no flow to draw.")
            positions(clips.table, list(self._pair), owner="these clips")
        except ValueError as problem:
            self._explained.value = note(str(problem), warn=True) + explained
            self._draw("motion", None)
            self._draw("attribution", None)
            return
        self._draw("motion", motion_figure(clips, self._pair))
        drawn = None
        if attributed and self._attribute is not None:
            self._explained.value = note(f"Computing where {' and '.join(self._pair)} differ for the model ...")
            try:
                found = self._attribute(*self._pair)
                drawn = attribution_figure(found, clips, self._pair, part=part)
                explained = small_print([attribution_line(found, part=part), *sanity_lines(found)])
            except ValueError as problem:
                explained = note(f"Not attributed: {problem}.", warn=True)
        self._draw("attribution", drawn)
        self._explained.value = explained

    def _draw(self, name: str, drawn: go.Figure | None) -> None:
        """Show a figure in its place; nothing where None."""
        if drawn is not None and name in self._figures:
            self._figures[name].drawn = drawn
        elif drawn is not None:
            self._figures[name] = LiveFigure(drawn)
            self._drawn[name].children = [self._figures[name]]
        self._drawn[name].layout.display = "none" if drawn is None else ""

    def _gate(self) -> list[str]:
        """The mean gate of both clips in words, or why there is none."""
        features = self._features
        if features is None:
            return []
        if features.gate is None:
            return ["No gate: the fusion of this model has none."]
        missing = [clip_id for clip_id in self._pair if clip_id not in set(features.table["clip_id"])]
        if missing:
            return [html.escape(f"{missing[0]} is not among the features, so its gate is not known.")]
        a, b = features.gate[positions(features.table, list(self._pair), owner="these features")].mean(axis=1)
        return [f"mean gate {a:.2f} in a, {b:.2f} in b (1: motion branch, 0: emotion branch)"]

    def _not_a_class(self, row: pd.Series) -> str:
        """That the predictions lack the emotion of a clip as a class; empty where they have both."""
        classes = () if self._predictions is None else self._predictions.classes
        unknown = [str(row[name]) for name in ("label_a", "label_b") if str(row[name]) not in classes]
        if not classes or not unknown:
            return ""
        return f"These predictions have no class {unknown[0]!r}; their classes are {', '.join(classes)}."


def _lines(texts: list[str]) -> str:
    return "".join(f"<div class='medn-line'>{text}</div>" for text in texts)
