"""Confusable pairs, one after another: two clips that move alike and mean different things, and who notices."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import Attribution, BranchFeatures, Clips, Predictions
from medn_lab.widgets.page import write_clips
from medn_lab.widgets.pair_bar import PairBar
from medn_lab.widgets.pair_bookmarks import Bookmarks
from medn_lab.widgets.pair_filters import DEFAULTS, PairFilters
from medn_lab.widgets.pair_list import PairList, said_of
from medn_lab.widgets.pair_sheet import PairSheet
from medn_lab.widgets.panel import Panel, note

_NO_PAIR = ("", "")
_NONE = "none here, because no two clips share an AU set and differ in emotion"


def pair_line(row: pd.Series) -> str:
    """A pair as one line of text: AU set, emotions, verdict, clips."""
    parts = [f"AU {row['action_units']}", f"{row['label_a']} / {row['label_b']}"]
    parts += [str(row["verdict"])] if row.get("verdict") else []
    return "  ·  ".join([*parts, f"{row['clip_a']} / {row['clip_b']}"])


class PairBrowser(Panel):
    """Look at confusable pairs one by one: both faces in step, their flows and the difference, who tells them apart.

    *Next* and *previous* walk through the pairs that the filters leave, in the order chosen. The faces play side by
    side; drag *frame* to stop them at the same share of both clips, drag *motion* to magnify. Below stand both flows
    and their difference on one scale, then the verdict of each branch. *Attribute the difference* shows where the model
    sees it. A bookmark keeps a pair, with a note, for a table that the browser saves.

    Parameters
    ----------
    pairs : DataFrame
        ``medn.diagnose.rank_pairs(...)``, or any rows of it; the plain table of ``confusable_pairs`` will do, and
        then there is no verdict.
    clips : Clips or None
        What plays; joined by clip_id.
    predictions : Predictions or None
        Adds the scores; joined by clip_id.
    features : BranchFeatures or None
        Adds the gate; joined by clip_id.
    attribute : callable or None
        Takes two clip ids and gives the Attribution of their difference: ``medn.diagnose.pair_attributor(model,
        clips)``. Called only when the attribution is asked for; its answers are remembered.
    swap : callable or None
        Takes two clip ids and gives what the model says with one branch's input swapped:
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
        about = clips.table if clips is not None else None if predictions is None else predictions.table
        self._list = PairList(getattr(pairs, "table", pairs), about)
        if order not in self._list.orders:
            raise ValueError(f"there is no order {order!r} here; there are {', '.join(self._list.orders)}")
        self._marks = Bookmarks(self._list.table.columns)
        self._rows, self._at, self._shown = np.array([], dtype=int), 0, _NO_PAIR
        self._sheet = PairSheet(
            clips, predictions=predictions, features=features, attribute=attribute, swap=swap, magnify=magnify
        )
        self.stage = self._sheet.stage
        self._filters, self._bar, self._message = PairFilters(self._list), PairBar(), widgets.HTML()
        super().__init__(
            [self._filters, self._bar, self._message, self._sheet],
            name="pair-browser",
            width="1008px",
            results={"selection": self._list.table.iloc[:0], "bookmarks": self._marks.table()},
        )
        self._filters.set({}, order=order)
        self._filters.listen(lambda: self._try(self._apply))
        self._bar.listen(
            previous=lambda: self._try(self.previous), next=lambda: self._try(self.next), go=self._go_if_there,
            mark=lambda note: self._try(lambda: self.bookmark(note=note)),
            unmark=lambda: self._try(self.unbookmark),
        )  # fmt: skip
        self.observe(self._on_pair, "pair")
        for part in (self._filters, self._bar):
            part.layout.display = "" if len(self._list) else "none"
        self._apply()

    # What may be called -----------------------------------------------------------------------------------------------

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
        place = self._list.find(clip_a, clip_b)
        if place is None:
            raise ValueError(f"{clip_a!r} and {clip_b!r} are not among the {len(self._list)} pairs of this browser")
        at = np.flatnonzero(self._rows == place)
        if not len(at):
            self._filters.set(DEFAULTS, order=None)
            self._choose()
            at = np.flatnonzero(self._rows == place)
        self._go(int(at[0]))

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
            "aus": aus, "emotion": emotion, "against": against, "opposite": opposite, "subjects": subjects,
            "verdict": verdict, "dataset": dataset, "bookmarked": bookmarked,
        }  # fmt: skip
        # Tried before anything is changed on the page.
        self._list.rows(chosen, order=self._filters.order if order is None else order)
        self._filters.set(chosen, order=order)
        self._apply()
        return len(self._rows)

    @property
    def pairs(self) -> pd.DataFrame:
        """The pairs that pass the filters, in the order in which they are shown."""
        return self._list.table.iloc[self._rows]

    def bookmark(self, *, note: str = "") -> None:
        """Mark the pair in view, or change its note.

        Raises
        ------
        ValueError
            If no pair is in view.
        """
        self._marks.put(self._in_view(), self._row(), note=note)
        self._marks_changed()

    def unbookmark(self) -> None:
        """Take the mark off the pair in view.

        Raises
        ------
        ValueError
            If no pair is in view.
        """
        self._marks.drop(self._in_view())
        self._marks_changed()

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the bookmarked pairs and their notes as a csv file, and return its path.

        Raises
        ------
        ValueError
            If nothing is bookmarked, the folder does not exist, or the name does not end in ``.csv``.
        """
        return self._marks.write(path)

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
        if not len(self._rows):
            raise ValueError(self._why_none())
        about = self._sheet.about
        if about is None:
            raise ValueError("nothing is known of the clips of these pairs; give clips= or predictions=")
        pairs = self.pairs
        known = set(about["clip_id"])
        items = [
            (pair_line(row), [str(row[side]) for side in ("clip_a", "clip_b")])
            for _, row in pairs.iterrows()
            if row["clip_a"] in known and row["clip_b"] in known
        ]
        shown = about[about["clip_id"].isin({one for _, ids in items for one in ids})].reset_index(drop=True)
        return write_clips(
            path, items, table=shown, view=self.stage, predictions=self._sheet.predictions, title=title,
            about=f"{len(items)} pairs of the same AU set and different emotions; {len(shown)} clips",
            faces=faces, most_megabytes=most_megabytes,
        )  # fmt: skip

    def attribute(self, *, part: Literal["frames", "flow"] | None = None) -> Attribution:
        """Attribute the difference of the pair in view, show it, and return it.

        Parameters
        ----------
        part : {"frames", "flow"} or None
            Which input's map is drawn; as it is where None.

        Returns
        -------
        Attribution

        Raises
        ------
        ValueError
            If no pair is in view, no callable was handed over, or the pair cannot be attributed.
        """
        self._in_view()
        return self._sheet.attribute(part)

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _warn(self, text: str) -> None:
        self._message.value = note(text, warn=True)

    def _go_if_there(self, at: int) -> None:
        if at < len(self._rows):
            self._go(at)

    def _on_pair(self, change: traitlets.Bunch) -> None:
        if change.new != self._shown:
            self.show(change.new[0], clip_b=change.new[1])

    @traitlets.validate("pair")
    def _among_pairs(self, proposal: traitlets.Bunch) -> tuple[str, str]:
        wanted = tuple(proposal.value)
        if wanted == self._shown:
            return wanted
        place = self._list.find(*wanted)
        if place is None:
            raise traitlets.TraitError(f"{wanted[0]!r} and {wanted[1]!r} are not among the pairs of this browser")
        return self._names(place)

    def _apply(self) -> None:
        """Choose anew and show the first pair that passes."""
        self._choose()
        self._go(0)

    def _choose(self) -> None:
        chosen = self._filters.chosen
        only = np.asarray(self._marks.places, dtype=int) if chosen["bookmarked"] else None
        self._rows = self._list.rows(chosen, order=self._filters.order, only=only)

    def _step(self, by: int) -> tuple[str, str]:
        if not len(self._rows):
            raise ValueError(self._why_none())
        self._go((self._at + by) % len(self._rows))
        return self.pair

    def _go(self, at: int) -> None:
        self._at = at
        self._message.value = ""
        row = self._row() if len(self._rows) else None
        self._shown = _NO_PAIR if row is None else self._names(int(self._rows[at]))
        said = said_of(len(self._rows), len(self._list), unlabelled=self._list.unlabelled)
        self._bar.show_place(at, len(self._rows), said)
        self._show_mark()
        self._sheet.show(self._shown, row)
        if row is None:
            self._message.value = note(self._why_none(), warn=True)
        self.pair = self._shown
        self.set_trait("selection", self._list.table.iloc[self._rows[at : at + 1]])

    # What is written --------------------------------------------------------------------------------------------------

    def _show_mark(self) -> None:
        place = int(self._rows[self._at]) if len(self._rows) else -1
        self._bar.show_mark(place in self._marks, note=self._marks.note(place), link=self._marks.link())

    def _marks_changed(self) -> None:
        self.set_trait("bookmarks", self._marks.table())
        if self._filters.chosen["bookmarked"] and len(self._marks) != len(self._rows):
            self._choose()
            self._go(max(0, min(self._at, len(self._rows) - 1)))
        else:
            self._show_mark()

    def _names(self, place: int) -> tuple[str, str]:
        row = self._list.table.iloc[place]
        return str(row["clip_a"]), str(row["clip_b"])

    def _row(self) -> pd.Series:
        return self._list.table.iloc[self._rows[self._at]]

    def _in_view(self) -> int:
        if not len(self._rows):
            raise ValueError(self._why_none())
        return int(self._rows[self._at])

    def _why_none(self) -> str:
        if len(self._list):
            return f"no pair passes these filters; without them there are {len(self._list)}"
        none = str(self._list.table.attrs.get("none") or _NONE)
        left_out = f" ({self._list.unlabelled} pairs lack a label)" if self._list.unlabelled else ""
        return f"No confusable pairs: {none}{left_out}."
