"""Confusable pairs, one after another: two clips with the same AU set and different emotions."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, BranchFeatures, Clips, Predictions, require
from medn_lab.widgets.page import write_clips
from medn_lab.widgets.pair_sheet import REMEMBERED, PairSheet
from medn_lab.widgets.pair_table import FILTERS, NO_FILTERS, PairTable, csv_link, pair_line
from medn_lab.widgets.panel import Panel, control, note, trait_errors

_NO_PAIR = ("", "")
_NO_ATTRIBUTE = "nothing computes attributions here; give attribute=medn.diagnose.pair_attributor(model, clips)"


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
        Which input's attribution is drawn.
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
    medn_lab.view.plot_pair : the same as a still picture.
    medn_lab.view.plot_confusable_pairs, medn_lab.diagnose.rank_pairs

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
        self._predictions = predictions
        self._about = clips.table if clips is not None else None if predictions is None else predictions.table
        self._attribute = attribute and lru_cache(REMEMBERED)(attribute)
        self._list = PairTable(getattr(pairs, "table", pairs), self._about)
        self._list.passing({}, order=order)
        self._rows, self._notes = np.array([], dtype=int), dict[int, str]()
        self._sheet = PairSheet(
            self._list.clips(self._about), clips=clips, predictions=predictions, features=features,
            attribute=self._attribute, swap=swap, magnify=magnify,
        )  # fmt: skip
        self.stage, self._message = self._sheet.view, widgets.HTML()
        self._make_controls()
        super().__init__(
            [self._choice, self._bar, self._message, self._sheet], name="pair-browser", width="100%",
            results={"selection": self._list.table.iloc[:0], "bookmarks": self._marked()},
            filters=NO_FILTERS, order=order,
        )  # fmt: skip
        for name, one in self._controls.items():
            self._bind("filters", one, to_control=itemgetter(name), to_trait=partial(self._with, name))
        for name, one in (("order", self._orders), ("attributed", self._sheet.wanted), ("part", self._sheet.part)):
            self._bind(name, one)
        self.observe(lambda change: self._choose(), ["filters", "order"])
        self.observe(lambda change: self._show_pair(), "pair")
        self.observe(lambda change: self._show_motion(), ["attributed", "part"])
        self._show_pair()
        self._choose()

    def _make_controls(self) -> None:
        """The controls: filters and order, the walk through the pairs with the bookmark, the attribution."""
        self._controls: dict[str, Any] = {}
        for name, (none, title, hint) in FILTERS.items():
            if none is False:
                self._controls[name] = control(widgets.Checkbox, title, tooltip=hint, indent=False, margin="2px 10px")
            else:
                options = [("all", ""), *self._list.options(name)]
                self._controls[name] = control(widgets.Dropdown, title, options=options, tooltip=hint)
            self._controls[name].layout.display = "" if self._list.has(name) else "none"
        titles = [(title, key) for key, title in self._list.orders.items()]
        self._orders = control(widgets.Dropdown, "order", options=titles, tooltip="Which pair comes first")
        reset = control(widgets.Button, "All pairs", icon="times", tooltip="Take every filter away")
        previous = control(widgets.Button, "previous", icon="arrow-left", tooltip="The pair before this one")
        following = control(widgets.Button, "next", icon="arrow-right", tooltip="The pair after this one")
        self._number = control(
            widgets.BoundedIntText, "pair", value=1, min=1, max=1, width="112px", tooltip="Type a number to go there"
        )
        self._count, self._link = (widgets.HTML(layout=widgets.Layout(margin="6px 10px 2px 4px")) for _ in range(2))
        self._mark = control(widgets.ToggleButton, "bookmark", icon="bookmark", tooltip="Keep this pair")
        self._note = control(widgets.Text, placeholder="note on this pair", continuous_update=False)
        self._needs_pair = [previous, following, self._number, self._mark, self._note]
        row = widgets.Layout(flex_flow="row wrap")
        self._choice = widgets.HBox([*self._controls.values(), self._orders, reset], layout=row)
        self._bar = widgets.HBox([*self._needs_pair[:3], self._count, *self._needs_pair[3:], self._link], layout=row)
        reset.on_click(lambda _: self.filter())
        previous.on_click(lambda _: self._try(self.previous))
        following.on_click(lambda _: self._try(self.next))
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
        return self._step(1)

    def previous(self) -> tuple[str, str]:
        """Show the pair before, before the first the last, and return its two clip ids.

        Raises
        ------
        ValueError
            If no pair passes the filters.
        """
        return self._step(-1)

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
        """Mark the pair that is shown, or change its note.

        Parameters
        ----------
        note : str

        Raises
        ------
        ValueError
            If no pair is shown.
        """
        self._check_pair()
        self._notes[self._place] = note
        self._mark_changed()

    def unbookmark(self) -> None:
        """Take the mark off the pair that is shown.

        Raises
        ------
        ValueError
            If no pair is shown.
        """
        self._check_pair()
        self._notes.pop(self._place, None)
        self._mark_changed()

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the bookmarked pairs and their notes as a csv file, and return its path.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        ValueError
            If nothing is bookmarked, the folder does not exist, or the name does not end in ``.csv``.
        """
        target = Path(path)
        if not self._notes:
            raise ValueError("no pair is bookmarked, so there is nothing to export")
        if target.suffix.lower() != ".csv":
            raise ValueError(f"bookmarks are exported as .csv; {target.name!r} ends otherwise")
        if not target.parent.is_dir():
            raise ValueError(f"there is no folder {str(target.parent)!r} to export the bookmarks to")
        self.bookmarks.to_csv(target, index=False)
        return target

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
        about = self._about
        if about is None:
            raise ValueError("nothing is known of the clips of these pairs; give clips= or predictions=")
        pairs = self.pairs
        pairs = pairs[pairs["clip_a"].isin(about["clip_id"]) & pairs["clip_b"].isin(about["clip_id"])]
        items = [(pair_line(row), [str(row["clip_a"]), str(row["clip_b"])]) for row in pairs.to_dict("records")]
        clip_ids = {clip_id for _, both in items for clip_id in both}
        table = about[about["clip_id"].isin(clip_ids)].reset_index(drop=True)
        return write_clips(
            path, items, table=table, view=self.stage, predictions=self._predictions, title=title,
            about=f"{len(items)} pairs of the same AU set and different emotions; {len(table)} clips",
            faces=faces, most_megabytes=most_megabytes,
        )  # fmt: skip

    def attribute(self, *, part: Literal["frames", "flow"] | None = None) -> Attribution:
        """Attribute the difference of the pair that is shown, draw it, and return it.

        Parameters
        ----------
        part : {"frames", "flow"} or None
            Which input's attribution is drawn; as it is where None.

        Returns
        -------
        Attribution

        Raises
        ------
        ValueError
            If no pair is shown, no callable was given, or the pair cannot be attributed.
        """
        self._check_pair()
        found = require(self._attribute, otherwise=_NO_ATTRIBUTE)(*self.pair)
        self.part, self.attributed = part or self.part, True
        return found

    @traitlets.validate("filters")
    def _check_filters(self, proposal: traitlets.Bunch) -> dict[str, Any]:
        with trait_errors():
            self._list.passing(proposal.value)
        chosen = NO_FILTERS | proposal.value
        for name, one in self._controls.items():  # an AU set beyond those that are listed
            if isinstance(one, widgets.Dropdown) and chosen[name] not in dict(one.options).values():
                one.options = (*one.options, (chosen[name], chosen[name]))
        return chosen

    @traitlets.validate("order")
    def _check_order(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            self._list.passing({}, order=proposal.value)
        return proposal.value

    @traitlets.validate("attributed")
    def _check_attributed(self, proposal: traitlets.Bunch) -> bool:
        if proposal.value and self._attribute is None:
            raise traitlets.TraitError(_NO_ATTRIBUTE)
        return proposal.value

    @traitlets.validate("pair")
    def _check_shown(self, proposal: traitlets.Bunch) -> tuple[str, str]:
        if proposal.value == _NO_PAIR and not len(self._rows):
            return _NO_PAIR
        with trait_errors():
            place = self._list.find(*proposal.value)
        if place not in self._rows:
            self.filters = NO_FILTERS
        return self._names(place)

    def _with(self, name: str, value: object) -> dict[str, Any]:
        return self.filters | {name: value}

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
        """Position of the pair that is shown among those that pass."""
        return int(np.flatnonzero(self._rows == self._place)[0])

    def _go(self, at: int) -> None:
        """Show the pair at this position among those that pass; the first follows the last."""
        if len(self._rows):
            self.pair = self._names(self._rows[at % len(self._rows)])

    def _step(self, by: int) -> tuple[str, str]:
        self._check_pair()
        self._go(self._at() + by)
        return self.pair

    def _names(self, place: int) -> tuple[str, str]:
        row = self._list.table.iloc[place]
        return str(row["clip_a"]), str(row["clip_b"])

    def _marked(self) -> pd.DataFrame:
        return self._list.table.iloc[list(self._notes)].assign(note=list(self._notes.values()))

    def _mark_changed(self) -> None:
        self.set_trait("bookmarks", self._marked())
        if self.filters["bookmarked"]:
            self._choose(self._at())
        self._show_position()

    def _on_mark(self, marked: bool) -> None:
        if any(self.pair) and marked != (self._place in self._notes):
            self._try(lambda: self.bookmark(note=self._note.value) if marked else self.unbookmark())

    def _on_note(self, text: str) -> None:
        if any(self.pair) and text != self._notes.get(self._place, ""):
            self._try(lambda: self.bookmark(note=text))

    def _show_position(self) -> None:
        """Show which of how many pairs it is, its bookmark and note, and why there is no pair."""
        n, place = len(self._rows), self._place
        for one in self._needs_pair:
            one.disabled = not n
        for part in (self._choice, self._bar):
            part.layout.display = "" if len(self._list) else "none"
        self._message.value = "" if n else note(self._list.why_none(), warn=True)
        with self._number.hold_trait_notifications():
            self._number.max, self._number.value = max(1, n), self._at() + 1 if n else 1
        self._count.value = f"<div class='medn-line'>of {self._list.count_text(n)}</div>"
        self._mark.value, self._note.value = place in self._notes, self._notes.get(place, "")
        self._link.value = csv_link(self.bookmarks)

    def _show_pair(self) -> None:
        """Show what is known of the pair, and publish its row."""
        rows = self._list.table.iloc[[self._place] if any(self.pair) else []]
        self._sheet.layout.display = "" if len(rows) else "none"
        self._sheet.show(rows.iloc[0] if len(rows) else None)
        self._show_motion()
        if len(rows):
            self._show_position()
        self.set_trait("selection", rows)

    def _show_motion(self) -> None:
        self._sheet.show_motion(attributed=self.attributed, part=self.part)

    def _warn(self, text: str) -> None:
        self._message.value = note(text, warn=True)
