"""Confusable pairs, one after another: two clips with the same AU set and different emotions."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import Attribution, Clips, Predictions, require
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.marks import counted, need
from medn_lab.view.pair import attribution_figure, attribution_line, motion_figure, pair_lines
from medn_lab.view.rows import label_column
from medn_lab.widgets.clip_view import ClipPair
from medn_lab.widgets.panel import LiveFigure, WrittenPanel, note, validates
from medn_lab.widgets.selection import filter_controls, pair_masks, passing

_NEEDED = ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
_NO_MAP = "To see where the difference comes from, give attribute=medn.diagnose.pair_attributor(model, clips)."
_NO_SWAP = "To see which branch the difference comes from, give swap=medn.diagnose.pair_swapper(model, clips)."


class PairBrowser(WrittenPanel):
    """Look at confusable pairs one by one: both faces in step, their flows and the difference, the branches' verdicts.

    *Next* and *previous* walk through the pairs that the filters leave, in the order of the table. The faces play side
    by side; drag *frame* to stop them at the same share of both clips, drag *motion* to magnify. Below stand the
    verdict of each branch, both flows and their difference on one scale. *Attribute the difference* shows where in the
    clips the model's difference comes from. A bookmark keeps a pair, with a note, for a table that the browser saves.

    Parameters
    ----------
    pairs : DataFrame
        ``medn.diagnose.rank_pairs(...)``, which orders them, or any rows of it. The table of ``confusable_pairs`` has
        no verdicts. Pairs without a label on both sides are left out and counted; a pair that is there twice is listed
        once.
    clips : Clips or None
        What plays; joined by clip_id.
    predictions : Predictions or None
        Adds the scores; joined by clip_id.
    attribute : callable or None
        Takes two clip ids and returns the Attribution of their difference: ``medn.diagnose.pair_attributor(model,
        clips)``. Called only when the attribution is wanted; the last 32 are kept.
    swap : callable or None
        Takes two clip ids and returns the predictions with one branch's input swapped:
        ``medn.diagnose.pair_swapper(model, clips)``.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.

    Attributes
    ----------
    pair : (str, str)
        The two clip ids. Set it to show a pair, observe it to follow.
    filters : dict
        The value of each filter that is on; a trait. ``au_set``: an AU set as the pairs write it, such as ``"6+12"``;
        ``emotion``: of one clip, or of both as ``"disgust / happiness"``; ``subjects``: ``"same"`` or ``"different"``;
        ``verdict``: ``"both right"``, ``"one right"``, ``"swapped"`` or ``"both wrong"``; ``opposite``: True for a
        positive against a negative emotion. A value that no pair has, or filters that no pair passes, are a ValueError.
    attributed : bool
        Whether the attribution of the difference is computed and drawn, for every pair: of the frames, or of the flow
        where the frames have none.
    selection : DataFrame
        The pair's row of the table, one row: a read-only trait for the next cell.
    bookmarks : DataFrame
        The marked pairs with their ``note``, in the order in which they were marked; a read-only trait.
    stage : ClipView
        What plays: ``stage.frame``, ``stage.playing``, ``stage.magnify`` and ``stage.overlay`` are traits.

    Raises
    ------
    ValueError
        If there are no pairs, or a column is missing.

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

    pair = traitlets.Tuple(traitlets.Unicode(), traitlets.Unicode(), default_value=("", ""))
    filters: Any = traitlets.Dict()
    attributed = traitlets.Bool(False)
    selection = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    bookmarks = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    _title = "Confusable pairs"

    def __init__(
        self, pairs: pd.DataFrame, *, clips: Clips | None = None, predictions: Predictions | None = None,
        attribute: Callable[[str, str], Attribution] | None = None,
        swap: Callable[[str, str], pd.DataFrame] | None = None, magnify: float = 8.0,
    ) -> None:  # fmt: skip
        if len(pairs) or not set(_NEEDED) <= set(pairs.columns):
            need(pairs, _NEEDED, maker="diagnose.rank_pairs")
        labelled = pairs[["label_a", "label_b"]].notna().all(axis=1)
        left_out = int((~labelled).sum())
        self._left_out = f"; {left_out} without a label on both sides left out" if left_out else ""
        if not labelled.any():
            none = "none here, because no two clips share an AU set and differ in emotion"
            raise ValueError(f"No confusable pairs: {pairs.attrs.get('none') or none}{self._left_out}.")
        table = self._table = pairs[labelled & ~pairs.duplicated(["clip_a", "clip_b"])]
        self._names = list(table[["clip_a", "clip_b"]].astype(str).itertuples(index=False, name=None))
        self._place_of = {frozenset(two): place for place, two in reversed([*enumerate(self._names)])}
        self._clips, self._predictions = clips, predictions
        self._masks, self._notes, self._rows = pair_masks(table), dict[int, str](), np.array([], dtype=int)
        self._attribute, self._swap = attribute and lru_cache(32)(attribute), swap and lru_cache(32)(swap)
        about = clips.table if clips is not None else None if predictions is None else predictions.table
        own = ["clip_id", (None if about is None else label_column(about)) or "label", "action_units"]
        sides = [table[[f"clip_{one}", f"label_{one}", "action_units"]].set_axis(own, axis=1) for one in "ab"]
        self._about = pd.concat([about, *sides]).drop_duplicates("clip_id")
        names = ("clip a", "clip b")
        self._both = ClipPair(self._about, clips=clips, predictions=predictions, magnify=magnify, names=names)
        self.stage = self._both.view
        self._message, self._verdicts, self._explained = (widgets.HTML() for _ in range(3))
        self._figures = {name: LiveFigure(go.Figure()) for name in ("motion", "attribution")}
        what = {"tooltip": "What the difference between the two clips comes from", "disabled": attribute is None}
        wanted = widgets.ToggleButton(description="attribute the difference", icon="fire", **what)
        super().__init__([
            *self._controls(), self._message, self._both.widget, self._verdicts,
            widgets.HBox(list(self._figures.values())), self._explained, self._bind("attributed", wanted),
        ])  # fmt: skip
        self.set_trait("bookmarks", self._table.iloc[:0].assign(note=""))
        self.observe(lambda _: self._choose(), "filters")
        self.observe(lambda _: self._show_pair(), "pair")
        self.observe(lambda _: self._show_motion(), "attributed")
        self._choose()

    def _controls(self) -> list[widgets.HBox]:
        """Filters, and the walk through the pairs with the bookmark."""
        self._mark = widgets.ToggleButton(description="bookmark", icon="bookmark", tooltip="Bookmark this pair")
        self._note = widgets.Text(placeholder="note on this pair", continuous_update=False)
        self._count, self._link = widgets.HTML(), widgets.HTML()
        self._mark.observe(self._on_bookmark, "value")
        self._note.observe(self._on_bookmark, "value")
        reset = self._button("All pairs", "times", "Remove all filters", lambda: self.set_trait("filters", {}))
        walk = [
            self._button("previous", "arrow-left", "The pair before this one", partial(self.next, steps=-1)),
            self._button("next", "arrow-right", "The pair after this one", self.next),
            self._count, self._mark, self._note, self._link,
        ]  # fmt: skip
        return [widgets.HBox([*filter_controls(self, self._masks), reset]), widgets.HBox(walk)]

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
        self.pair = (clip_a, clip_b)

    def next(self, *, steps: int = 1) -> tuple[str, str]:
        """Show the pair so many places further among those that pass, and return its two clip ids.

        Parameters
        ----------
        steps : int
            -1 for the pair before; the first pair follows the last.

        Returns
        -------
        tuple of str
        """
        self.pair = self._names[self._rows[(self._at() + steps) % len(self._rows)]]
        return self.pair

    @property
    def pairs(self) -> pd.DataFrame:
        """The pairs that pass the filters."""
        return self._table.iloc[self._rows]

    def bookmark(self, *, note: str | None = "") -> None:
        """Mark the pair that is shown with this note, or change its note; None takes the mark away."""
        place = self._place()
        self._notes = {row: own for row, own in {**self._notes, place: note}.items() if own is not None}
        self.set_trait("bookmarks", self._table.iloc[list(self._notes)].assign(note=list(self._notes.values())))
        self._show_position()

    def _page(self) -> dict[str, Any]:
        items = []
        for row in self.pairs.to_dict("records"):
            emotions, both = (f"{row[f'{what}_a']} / {row[f'{what}_b']}" for what in ("label", "clip"))
            text = filter(None, [f"AU {row['action_units']}", emotions, row.get("verdict"), both])
            items.append(("  ·  ".join(text), row["clip_a"], row["clip_b"]))
        shown = self._about["clip_id"].isin(self.pairs[["clip_a", "clip_b"]].to_numpy().ravel())
        table = self._about[shown].reset_index(drop=True)
        n = counted(len(items), "pair"), counted(len(table), "clip")
        return {
            "view": self.stage, "table": table, "predictions": self._predictions, "data": {"items": items},
            "about": "{} of the same AU set and different emotions; {}".format(*n),
        }  # fmt: skip

    @validates("filters", "attributed", "pair")
    def _check(self, name: str, value: Any) -> Any:
        if name == "attributed":
            require(self._attribute if value else True, otherwise=f"no attributor was given. {_NO_MAP}")
        elif name == "filters":
            passing(self._masks, value)
        else:
            place = self._place_of.get(frozenset(value))
            if place is None:
                a, b = value
                raise ValueError(f"{a!r} and {b!r} are not among the {len(self._table)} pairs of this browser")
            if place not in self._rows:
                self.filters = {}
            value = self._names[place]
        return value

    def _place(self) -> int:
        """The row of the pair that is shown."""
        return self._place_of[frozenset(self.pair)]

    def _choose(self) -> None:
        """Find the pairs that pass, and show the first of them."""
        self._rows = np.flatnonzero(passing(self._masks, self.filters))
        self.pair = self._names[self._rows[0]]
        self._show_position()

    def _at(self) -> int:
        return int(np.flatnonzero(self._rows == self._place())[0])

    def _on_bookmark(self, change: traitlets.Bunch) -> None:
        """The button or the note of the bookmark was changed on the page."""
        own = self._notes.get(self._place())
        if change.new != (own is not None if change.owner is self._mark else own or ""):
            self.bookmark(note=None if change.new is False else self._note.value)

    def _show_position(self) -> None:
        """Show which of how many pairs it is, its bookmark and note."""
        n, of, own = len(self._rows), len(self._table), self._notes.get(self._place())
        self._say("")
        count = f"{self._at() + 1} of {'' if n == of else f'{n} of '}{counted(of, 'pair')}{self._left_out}"
        self._count.value = f"<div class='medn-line'>{count}</div>"
        self._mark.value, self._note.value = own is not None, own or ""
        link = note("No pair is bookmarked yet.")
        if self._notes:  # nothing is written on the kernel's machine
            payload = base64.b64encode(self.bookmarks.to_csv(index=False).encode()).decode()
            link = (
                "<a class='medn-line medn-download' download='confusable_pairs.csv'"
                f" href='data:text/csv;base64,{payload}' title='Save the bookmarked pairs and their notes'>"
                f"↓ save {counted(len(self._notes), 'bookmark')} as csv</a>"
            )
        self._link.value = link

    def _show_pair(self) -> None:
        """Show the clips of the pair, its verdicts and its flows, and publish its row."""
        self._both.show(*self.pair)
        selection = self._table.iloc[[self._place()]]
        self.set_trait("selection", selection)
        none = ["No verdicts: give the table of medn.diagnose.rank_pairs, which has them."]
        lines = pair_lines(selection.iloc[0]) or none
        if self._swap is not None:
            try:
                lines += pair_lines(None, swaps=self._swap(*self.pair))
            except ValueError as problem:
                lines.append(html.escape(f"Not swapped: {problem}."))
        shown = "".join(f"<div class='medn-line'>{text}</div>" for text in lines)
        self._verdicts.value = shown + note("" if self._swap else _NO_SWAP)
        self._show_motion()
        self._show_position()

    def _show_motion(self) -> None:
        """Draw the flows of the pair and their difference, and the attribution where it is wanted."""
        drawn: dict[str, go.Figure] = {}
        why = "" if self._attribute else note(_NO_MAP)
        try:
            clips = require(self._clips, otherwise="No clips were given, so there is no flow to draw.")
            drawn["motion"] = motion_figure(clips, self.pair)
            if self.attributed and self._attribute is not None:
                self._explained.value = note(f"Computing the attribution of {' and '.join(self.pair)} ...")
                found = self._attribute(*self.pair)
                drawn["attribution"] = attribution_figure(found, clips, self.pair, part="frames")
                lines = [attribution_line(found, part="frames"), *sanity_lines(found)]
                why = "".join(note(line, escape=False) for line in lines)
        except ValueError as problem:
            why = note(f"{'Not attributed: ' if drawn else ''}{problem}", warn=True) + why
        self._explained.value = why
        for name, figure in self._figures.items():
            figure.layout.display = "" if name in drawn else "none"
            figure.drawn = drawn.get(name, figure.drawn)
