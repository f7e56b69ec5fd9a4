"""Confusable pairs, one after another: two clips with the same AU set and different emotions."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import Attribution, BranchFeatures, Clips, Predictions, positions, require
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.pair import attribution_figure, attribution_line, motion_figure, pair_lines
from medn_lab.widgets.live import LiveFigure
from medn_lab.widgets.page import write_clips
from medn_lab.widgets.pair_table import FILTERS, NO_FILTERS, PairTable, csv_link, pair_line
from medn_lab.widgets.panel import Panel, control, note, small_print, trait_errors
from medn_lab.widgets.player import ClipPair

_NO_PAIR = ("", "")
_NO_ATTRIBUTE = "no attributor was given; give attribute=medn.diagnose.pair_attributor(model, clips)"
_NO_SWAP = "To see which branch the difference comes from, give swap=medn.diagnose.pair_swapper(model, clips)."
_NO_MAP = "To see where the difference comes from, give attribute=medn.diagnose.pair_attributor(model, clips)."


class PairBrowser(Panel):
    """Look at confusable pairs one by one: both faces in step, their flows and the difference, the branches' verdicts.

    *Next* and *previous* walk through the pairs that the filters leave, in the order chosen. The faces play side by
    side; drag *frame* to stop them at the same share of both clips, drag *motion* to magnify. Below stand the verdict
    of each branch, both flows and their difference on one scale. *Attribute the difference* shows where in the clips
    the model's difference comes from. A bookmark keeps a pair, with a note, for a table that the browser saves.

    Parameters
    ----------
    pairs : DataFrame
        ``medn.diagnose.rank_pairs(...)``, or any rows of it. The table of ``confusable_pairs`` has no verdicts. Pairs
        without a label on both sides are left out and counted; a pair that is there twice is listed once.
    clips : Clips or None
        What plays; joined by clip_id.
    predictions : Predictions or None
        Adds the scores; joined by clip_id.
    features : BranchFeatures or None
        Adds the gate; joined by clip_id.
    attribute : callable or None
        Takes two clip ids and returns the Attribution of their difference: ``medn.diagnose.pair_attributor(model,
        clips)``. Called only when the attribution is wanted; the last 32 are kept.
    swap : callable or None
        Takes two clip ids and returns the predictions with one branch's input swapped:
        ``medn.diagnose.pair_swapper(model, clips)``.
    order : {"ranked", "alike", "apart", "missed", "leaks"}
        As the table has them; most alike in motion first; most apart in emotion first; alike in motion and least apart
        in emotion first; most apart in motion, beyond their controls, first.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.

    Attributes
    ----------
    pair : (str, str)
        The two clip ids, empty where no pair passes. Set it to show a pair, observe it to follow.
    filters : dict
        The arguments of :meth:`filter` that choose among the pairs, by name.
    order : str
    attributed : bool
        Whether the attribution of the difference is computed and drawn, for every pair.
    part : {"frames", "flow"}
        Show the attribution of this input.
    selection : DataFrame
        The pair's row of the table, one row (none without a pair): a read-only trait for the next cell.
    bookmarks : DataFrame
        The marked pairs with their ``note``, in the order in which they were marked; a read-only trait.
    stage : ClipView
        What plays: ``stage.frame``, ``stage.playing``, ``stage.magnify`` and ``stage.overlay`` are traits.

    Raises
    ------
    ValueError
        If a column of the pairs is missing, or there is no such order.

    See Also
    --------
    medn_lab.view.plot_pair, medn_lab.view.plot_confusable_pairs, medn_lab.diagnose.rank_pairs

    Examples
    --------
    >>> table = pd.DataFrame({"clip_a": ["a"], "clip_b": ["b"], "action_units": ["12"], "label_a": ["happiness"],
    ...                       "label_b": ["repression"]})
    >>> browser = PairBrowser(table)
    >>> browser.pair
    ('a', 'b')
    >>> browser.bookmark(note="one-sided")
    >>> browser.bookmarks[["clip_a", "clip_b", "note"]].to_numpy().tolist()
    [['a', 'b', 'one-sided']]
    """

    pair = traitlets.Tuple(traitlets.Unicode(), traitlets.Unicode(), default_value=_NO_PAIR)
    filters: Any = traitlets.Dict()
    order = traitlets.Unicode("ranked")
    attributed = traitlets.Bool(False)
    part = traitlets.Enum(["frames", "flow"], "frames")
    selection = traitlets.Instance(pd.DataFrame, read_only=True)
    bookmarks = traitlets.Instance(pd.DataFrame, read_only=True)

    def __init__(
        self,
        pairs: pd.DataFrame,
        *,
        clips: Clips | None = None,
        predictions: Predictions | None = None,
        features: BranchFeatures | None = None,
        attribute: Callable[[str, str], Attribution] | None = None,
        swap: Callable[[str, str], pd.DataFrame] | None = None,
        order: Literal["ranked", "alike", "apart", "missed", "leaks"] = "ranked",
        magnify: float = 8.0,
    ) -> None:
        self._clips, self._predictions, self._features = clips, predictions, features
        self._about = clips.table if clips is not None else None if predictions is None else predictions.table
        self._attribute = attribute and lru_cache(32)(attribute)
        self._swap = swap and lru_cache(32)(swap)
        self._list = PairTable(pairs, self._about)
        self._list.passing({}, order=order)
        self._rows, self._notes = np.array([], dtype=int), dict[int, str]()
        self._both = ClipPair(
            self._list.clips(self._about), clips=clips, predictions=predictions, magnify=magnify,
            names=("clip a", "clip b"), hints=("", ""),
        )  # fmt: skip
        self.stage = self._both.view
        self._message, self._verdicts, self._explained = (widgets.HTML() for _ in range(3))
        self._figures = {name: LiveFigure(go.Figure()) for name in ("motion", "attribution")}
        figures = widgets.HBox([*self._figures.values()], layout=widgets.Layout(flex_flow="row wrap"))
        wanted = control(
            widgets.ToggleButton, "attribute the difference", icon="fire", disabled=attribute is None,
            tooltip="Compute the attribution of the difference between the two clips; about a second per pair",
        )  # fmt: skip
        part = control(
            widgets.Dropdown, options=[("of the frames", "frames"), ("of the flow", "flow")],
            tooltip="Show the attribution of this input", disabled=attribute is None,
        )  # fmt: skip
        shown = [self._both.widget, self._verdicts, figures, self._explained, widgets.HBox([wanted, part])]
        self._sheet = widgets.VBox(shown)
        self._make_controls()
        super().__init__(
            [self._choice, self._bar, self._message, self._sheet], name="pair-browser", width="100%",
            results={"bookmarks": self._marked()}, filters=NO_FILTERS, order=order,
        )  # fmt: skip
        for name, one in self._controls.items():
            self._bind(
                "filters", one, to_control=itemgetter(name),
                to_trait=lambda value, name=name: self.filters | {name: value},  # type: ignore[misc]
            )  # fmt: skip
        for name, one in {"order": self._orders, "attributed": wanted, "part": part}.items():
            self._bind(name, one)
        self.observe(lambda _: self._choose(), ["filters", "order"])
        self.observe(lambda _: self._show_pair(), "pair")
        self.observe(lambda _: self._show_motion(), ["attributed", "part"])
        self._show_pair()
        self._choose()

    def _make_controls(self) -> None:
        """The controls: filters and order, the walk through the pairs with the bookmark."""
        self._controls: dict[str, Any] = {}
        for name, (none, title, hint) in FILTERS.items():
            if none is False:
                one = control(widgets.Checkbox, title, tooltip=hint, indent=False, margin="2px 10px")
            else:
                one = control(widgets.Dropdown, title, options=[("all", ""), *self._list.options(name)], tooltip=hint)
            one.layout.display = "" if self._list.has(name) else "none"
            self._controls[name] = one
        titles = [(title, key) for key, title in self._list.orders.items()]
        self._orders = control(widgets.Dropdown, "order", options=titles, tooltip="Order of the pairs")
        self._number = control(
            widgets.BoundedIntText, "pair", value=1, min=1, max=1, width="112px", tooltip="Type the number of a pair"
        )
        self._mark = control(widgets.ToggleButton, "bookmark", icon="bookmark", tooltip="Bookmark this pair")
        self._note = control(widgets.Text, placeholder="note on this pair", continuous_update=False)
        reset = self._button("All pairs", "times", "Remove all filters", self.filter)
        previous = self._button("previous", "arrow-left", "The pair before this one", self.previous)
        following = self._button("next", "arrow-right", "The pair after this one", self.next)
        self._count, self._link = (widgets.HTML(layout=widgets.Layout(margin="6px 10px 2px 4px")) for _ in range(2))
        choice = [*self._controls.values(), self._orders, reset]
        walk = [previous, following, self._number, self._count, self._mark, self._note, self._link]
        rows = (widgets.HBox(own, layout=widgets.Layout(flex_flow="row wrap")) for own in (choice, walk))
        self._choice, self._bar = rows
        self._number.observe(lambda change: self._go(change.new - 1), "value")
        self._mark.observe(lambda change: self._on_mark(change.new), "value")
        self._note.observe(lambda change: self._on_note(change.new), "value")

    def show(self, clip_a: str, *, clip_b: str) -> None:
        """Show the pair of these two clips, named in either order; filters that hide it are taken away.

        Parameters
        ----------
        clip_a, clip_b : str

        Raises
        ------
        ValueError
            If they are no pair of this table.
        """
        self._list.find(clip_a, clip_b)
        self.pair = (clip_a, clip_b)

    def next(self) -> tuple[str, str]:
        """Show the next pair, after the last the first, and return its two clip ids.

        Raises
        ------
        ValueError
            If no pair passes the filters.
        """
        self._check_pair()
        return self._go(self._at() + 1)

    def previous(self) -> tuple[str, str]:
        """Show the pair before, before the first the last, and return its two clip ids; else as :meth:`next`."""
        self._check_pair()
        return self._go(self._at() - 1)

    def filter(
        self,
        *,
        aus: str = "",
        emotion: str = "",
        against: str = "",
        opposite: bool = False,
        subjects: Literal["", "same", "different"] = "",
        verdict: Literal["", "both right", "one right", "swapped", "both wrong"] = "",
        dataset: str = "",
        bookmarked: bool = False,
        order: Literal["ranked", "alike", "apart", "missed", "leaks"] | None = None,
    ) -> int:
        """Choose among the pairs, and show the first that passes; what is not named is not filtered by.

        Parameters
        ----------
        aus : str
            An AU set as the pairs write it, such as ``6+12``.
        emotion, against : str
            One clip has the first of them, the other the second.
        opposite : bool
            Only a positive against a negative emotion.
        subjects : {"", "same", "different"}
            Pairs of one person, of two, or all.
        verdict : {"", "both right", "one right", "swapped", "both wrong"}
            What the model said.
        dataset : str
            Both clips are of this data set.
        bookmarked : bool
            Only marked pairs.
        order : str or None
            As the browser's own; the order stays where None.

        Returns
        -------
        int
            How many pairs pass.

        Raises
        ------
        ValueError
            If a choice names something that is not there.
        """
        chosen = {
            "aus": aus, "emotion": emotion, "against": against, "subjects": subjects, "verdict": verdict,
            "dataset": dataset, "opposite": opposite, "bookmarked": bookmarked,
        }  # fmt: skip
        wanted = order or self.order
        self._list.passing(chosen, order=wanted)
        self.filters, self.order = chosen, wanted
        self._go(0)
        return len(self._rows)

    @property
    def pairs(self) -> pd.DataFrame:
        """The pairs that pass the filters, in the order in which they are shown."""
        return self._list.table.iloc[self._rows]

    def bookmark(self, *, note: str = "") -> None:
        """Mark the pair that is shown with this note, or change its note.

        Raises
        ------
        ValueError
            If no pair is shown.
        """
        self._check_pair()
        self._write_note(note)

    def unbookmark(self) -> None:
        """Take the mark off the pair that is shown.

        Raises
        ------
        ValueError
            If no pair is shown.
        """
        self._check_pair()
        self._write_note(None)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Confusable pairs",
        faces: bool = True,
        most_megabytes: float = 20.0,
    ) -> Path:
        """Write the pairs that pass the filters as one file that plays them, offline and without a kernel.

        Parameters
        ----------
        path : path-like
            The file to write; its folder must exist.
        title : str
        faces : bool
            Whether the pictures of the faces are in the file. Faces are biometric data.
        most_megabytes : float
            Above this size fewer clips have pictures, and the file says how many.

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If no pair passes the filters, or neither clips nor predictions were given.
        """
        self._check_pair()
        about = require(self._about, otherwise="there is no information on these clips; give clips= or predictions=")
        pairs = self.pairs[["clip_a", "clip_b"]].isin(about["clip_id"].to_list()).all(axis=1)
        rows = self.pairs[pairs].to_dict("records")
        items = [(pair_line(row), [str(row["clip_a"]), str(row["clip_b"])]) for row in rows]
        table = about[about["clip_id"].isin({clip_id for _, both in items for clip_id in both})].reset_index(drop=True)
        return write_clips(
            path, items, table=table, view=self.stage, predictions=self._predictions, title=title,
            about=f"{len(items)} pairs of the same AU set and different emotions; {len(table)} clips",
            faces=faces, most_megabytes=most_megabytes,
        )  # fmt: skip

    @traitlets.validate("filters", "order", "attributed", "pair")
    def _possible(self, proposal: traitlets.Bunch) -> Any:
        value, name = proposal.value, proposal.trait.name
        with trait_errors():
            if name == "attributed":
                require(self._attribute if value else True, otherwise=_NO_ATTRIBUTE)
            elif name == "order":
                self._list.passing({}, order=value)
            elif name == "filters":
                self._list.passing(value)
                value = NO_FILTERS | value
                one = self._controls["aus"]
                if value["aus"] not in dict(one.options).values():  # an AU set beyond those that are listed
                    one.options = (*one.options, (value["aus"], value["aus"]))
            elif value != _NO_PAIR or len(self._rows):
                place = self._list.find(*value)
                if place not in self._rows:
                    self.filters = NO_FILTERS
                value = self._names(place)
        return value

    def _check_pair(self) -> None:
        if not len(self._rows):
            raise ValueError(self._list.why_none())

    def _choose(self, at: int = 0) -> None:
        """Find the pairs that pass, and show the one at this position among them."""
        self._rows = self._list.passing(self.filters, order=self.order, bookmarked=self._notes)
        self.pair = self._names(self._rows[min(at, len(self._rows) - 1)]) if len(self._rows) else _NO_PAIR
        self._show_position()

    @property
    def _place(self) -> int:
        """Position in the table of the pair that is shown; -1 without a pair."""
        return self._list.find(*self.pair) if any(self.pair) else -1

    def _at(self) -> int:
        return int(np.flatnonzero(self._rows == self._place)[0])

    def _go(self, at: int) -> tuple[str, str]:
        """Show the pair at this position among those that pass; the first follows the last."""
        if len(self._rows):
            self.pair = self._names(self._rows[at % len(self._rows)])
        return self.pair

    def _names(self, place: int) -> tuple[str, str]:
        row = self._list.table.iloc[place]
        return str(row["clip_a"]), str(row["clip_b"])

    def _marked(self) -> pd.DataFrame:
        return self._list.table.iloc[list(self._notes)].assign(note=list(self._notes.values()))

    def _write_note(self, text: str | None) -> None:
        """Bookmark the pair that is shown with this note; take its bookmark away where None."""
        place = self._place
        self._notes = {row: own for row, own in {**self._notes, place: text}.items() if own is not None}
        self.set_trait("bookmarks", self._marked())
        if self.filters["bookmarked"]:
            self._choose(self._at())
        self._show_position()

    def _on_mark(self, marked: bool) -> None:
        if any(self.pair) and marked != (self._place in self._notes):
            self._write_note(self._note.value if marked else None)

    def _on_note(self, text: str) -> None:
        if any(self.pair) and text != self._notes.get(self._place, ""):
            self._write_note(text)

    def _show_position(self) -> None:
        """Show which of how many pairs it is, its bookmark and note, and why there is no pair."""
        n, place = len(self._rows), self._place
        self._choice.layout.display = "" if len(self._list) else "none"
        self._bar.layout.display = "" if n else "none"
        self._message.value = "" if n else note(self._list.why_none(), warn=True)
        with self._number.hold_trait_notifications():
            self._number.max, self._number.value = max(1, n), self._at() + 1 if n else 1
        self._count.value = f"<div class='medn-line'>of {self._list.count_text(n)}</div>"
        self._mark.value, self._note.value = place in self._notes, self._notes.get(place, "")
        self._link.value = csv_link(self.bookmarks)

    def _show_pair(self) -> None:
        """Show the clips of the pair, its verdicts and its flows, and publish its row."""
        rows = self._list.table.iloc[[self._place] if any(self.pair) else []]
        self._sheet.layout.display = "" if len(rows) else "none"
        self._both.show(*filter(None, self.pair))
        if len(rows):
            self._show_verdicts(rows.iloc[0])
            self._show_motion()
            self._show_position()
        self.set_trait("selection", rows)

    def _show_verdicts(self, row: pd.Series) -> None:
        """Write the verdict of each branch, the gate of both clips, and what swapping the inputs changes."""
        lines = pair_lines(row) or ["No verdicts: give the table of medn.diagnose.rank_pairs, which has them."]
        features = self._features
        if features is not None and features.gate is not None and set(self.pair) <= set(features.table["clip_id"]):
            rows = positions(features.table, list(self.pair), owner="these features")
            a, b = features.gate[rows].mean(axis=1)
            lines.append(f"mean gate {a:.2f} in a, {b:.2f} in b (1: motion branch, 0: emotion branch)")
        if self._swap is not None:
            try:
                lines += pair_lines(None, swaps=self._swap(*self.pair))
            except ValueError as problem:
                lines.append(html.escape(f"Not swapped: {problem}."))
        shown = "".join(f"<div class='medn-line'>{text}</div>" for text in lines)
        self._verdicts.value = shown + note("" if self._swap else _NO_SWAP)

    def _show_motion(self) -> None:
        """Draw the flows of the pair and their difference, and the attribution where it is wanted."""
        if not any(self.pair):
            return
        drawn: dict[str, go.Figure] = {}
        part, why = self.part, "" if self._attribute else note(_NO_MAP)
        try:
            clips = require(self._clips, otherwise="No clips were given, so there is no flow to draw.")
            positions(clips.table, list(self.pair), owner="these clips")
            drawn["motion"] = motion_figure(clips, self.pair)
            if self.attributed and self._attribute is not None:
                self._draw(drawn)
                self._explained.value = note(f"Computing the attribution of {' and '.join(self.pair)} ...")
                found = self._attribute(*self.pair)
                drawn["attribution"] = attribution_figure(found, clips, self.pair, part=part)
                why = small_print([attribution_line(found, part=part), *sanity_lines(found)])
        except ValueError as problem:
            why = note(f"{'Not attributed: ' if drawn else ''}{problem}", warn=True) + why
        self._explained.value = why
        self._draw(drawn)

    def _draw(self, drawn: dict[str, go.Figure]) -> None:
        for name, figure in self._figures.items():
            figure.layout.display = "" if name in drawn else "none"
            figure.drawn = drawn.get(name, figure.drawn)

    def _warn(self, text: str) -> None:
        self._message.value = note(text, warn=True)
