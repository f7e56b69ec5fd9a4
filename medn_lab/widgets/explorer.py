"""Motion, emotion and fused maps of the same clips, linked: hover, click and lasso one, see it in the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import BranchFeatures, Clips, Embedding, Predictions, positions
from medn_lab.view.colouring import CAUTION, Colouring, colour_choices, colouring, params_line
from medn_lab.view.maps import joined_table
from medn_lab.view.rows import hover_texts
from medn_lab.widgets.branch_maps import BranchMaps
from medn_lab.widgets.cards import selection_text
from medn_lab.widgets.explorer_controls import ExplorerControls
from medn_lab.widgets.explorer_records import doubts_about, names_of_maps, partner_places
from medn_lab.widgets.filters import FILTERS, filter_counts, filter_values, shown_rows
from medn_lab.widgets.measures import MeasuresPanel
from medn_lab.widgets.page import write_explorer
from medn_lab.widgets.panel import Panel, note, trait_errors
from medn_lab.widgets.partners import confusable_partner, same_au_set
from medn_lab.widgets.player import ClipPair
from medn_lab.widgets.timing import Dwell

_DWELL = 0.16  # seconds that the pointer rests on a point before its clip plays


class BranchExplorer(Panel):
    """Explore what each branch holds: the same clips on the motion, emotion and fused map.

    Hover a point: it is ringed in every map and its clip plays below with its AUs and scores. Draw a lasso in one map:
    the same clips light up in the others, a line says which emotions and AU sets they are, and dependence and leakage
    of these clips are worked out beside those of all. *Confusable partner* finds the clip with the same AU set and
    another emotion that moves most alike, and plays both in step. The filters leave only some clips on the maps; a
    clip that they hide is neither selected nor shown nor anyone's partner.

    Parameters
    ----------
    embedding : Embedding
        With at least one map.
    clips : Clips or None
        What plays; clips that are not among them are named.
    predictions : Predictions or None
        Adds scores, and colouring by prediction, correctness and fold; joined by clip_id.
    features : BranchFeatures or None
        Partners are nearest in the motion features; without them, on the motion map (or the first map there is). Adds
        colouring by the gate.
    measure : callable or None
        Of clip ids, returning a table of their dependence and leakage:
        ``medn_lab.diagnose.selection_measures(features)``. It is called as one selects, a step at a time where it has a
        method ``steps``, and the newest selection wins.
    maps : sequence of str, optional
        Which maps, at most three. By default the branches', or the first three layers' where there is none.
    colour_by : str
        What the points are coloured by at first; a key of the *Colour by* list.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.
    map_height : int
        The largest height of a map in pixels; the width follows the page.

    Attributes
    ----------
    selection : DataFrame
        The selected rows; a read-only trait, so ``explorer.observe(f, "selection")`` follows it. Empty where nothing is
        selected.
    measures : DataFrame
        Dependence and leakage of the selected clips (of all where nothing is selected), as far as they are known; a
        read-only trait.
    shown : DataFrame
        The rows that the filters leave; a read-only trait.
    clip_id, partner_id : str
        The clip that plays and the one that plays next to it; empty where there is none. Traits: set them to show
        others.
    colour_by : str
        What the points are coloured by; a trait.
    branch_maps : BranchMaps
        The maps in the page; its traits ``lit``, ``hovered``, ``clicked`` and ``hidden`` hold what the pointer
        did there.

    Raises
    ------
    ValueError
        If `predictions` or `features` share no clip with the embedding, or a map is not there.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> explorer = BranchExplorer(Embedding(*np.random.default_rng(0).normal(size=(3, 4, 2)), table))
    >>> explorer.select(["b", "c"])["label"].tolist()
    ['y', 'x']
    """

    selection = traitlets.Instance(pd.DataFrame, read_only=True)
    measures = traitlets.Instance(pd.DataFrame, read_only=True)
    shown = traitlets.Instance(pd.DataFrame, read_only=True)
    clip_id = traitlets.Unicode("")
    partner_id = traitlets.Unicode("")
    colour_by = traitlets.Unicode("label")

    def __init__(
        self,
        embedding: Embedding,
        *,
        clips: Clips | None = None,
        predictions: Predictions | None = None,
        features: BranchFeatures | None = None,
        measure: Callable[[Iterable[str]], pd.DataFrame] | None = None,
        maps: Sequence[str] | None = None,
        colour_by: str = "label",
        magnify: float = 6.0,
        map_height: int = 322,
    ) -> None:
        self._embedding, self._predictions = embedding, predictions
        names = names_of_maps(embedding, maps)
        table, predicted = joined_table(embedding, predictions, features=features)
        self._table = table
        self._ids = table["clip_id"].to_numpy(dtype=object)
        self._places, self._places_name = partner_places(embedding, features, names)
        self._choices = colour_choices(table)
        if colour_by == "label" and "label" not in self._choices:
            colour_by = next(iter(self._choices), "clip_id")
        self._colours: Colouring = colouring(table, colour_by)
        self._lit = np.array([], dtype=int)
        self._drawn: tuple[str, str] | None = ("", "")  # the clip and the partner that are ringed and play
        self._filter_values = filter_values(table)
        self._passing = self._kept = np.ones(len(table), dtype=bool)
        self._wanted: dict[str, list[str]] = {name: [] for name in FILTERS}
        self._writing = False
        self.branch_maps = BranchMaps(
            {name: embedding.maps[name] for name in names},
            texts=hover_texts(table, predicted=predicted), height=map_height,
        )  # fmt: skip
        self._show_soon = Dwell(self._show_clip, seconds=_DWELL)
        counts = {name: filter_counts(self._filter_values, name) for name in FILTERS}
        self._controls = ExplorerControls(
            choices=self._choices, colour_by=colour_by, clip_ids=self._ids,
            filters={name: own for name, own in counts.items() if len(own) > 1 or (name == "aus" and own)},
        )  # fmt: skip
        self._filter_counts = counts
        self._selected, self._foot = widgets.HTML(), widgets.HTML()
        self._foot.value = note(doubts_about(table), warn=True) + note(f"{params_line(embedding)}. {CAUTION}")
        self._pair = ClipPair(table, clips=clips, predictions=predictions, magnify=magnify)
        self._measured = MeasuresPanel(measure, clip_ids=self._ids, known=self._on_measured)
        super().__init__(
            [
                self._controls.bar,
                self.branch_maps,
                self._selected,
                self._measured.widget,
                self._pair.widget,
                self._foot,
            ],
            name="branch-explorer",
            width="100%",
            results={"selection": table.iloc[:0], "measures": pd.DataFrame(), "shown": table},
            colour_by=colour_by,
        )
        self._wire()
        self._recolour(colour_by)
        self._say_selected()
        self._measured.start()

    # What may be called -----------------------------------------------------------------------------------------------

    def select(self, clip_ids: list[str] | tuple[str, ...] | np.ndarray | pd.Series) -> pd.DataFrame:
        """Light these clips in every map and return their rows.

        Raises
        ------
        ValueError
            If none is named (use :meth:`clear` to select nothing), or one is not on the maps or hidden by the filter.
        """
        rows = np.unique(positions(self._table, clip_ids, owner="this explorer"))
        hidden = rows[~self._kept[rows]]
        if len(hidden):
            raise ValueError(
                f"{len(hidden)} of {len(rows)} clips are hidden by the filter, such as {self._ids[hidden[0]]!r};"
                " call filter() to show all"
            )
        self._controls.groups.value = ""
        self._light(rows)
        return self.selection

    def filter(
        self,
        *,
        au_sets: Sequence[str] = (),
        aus: Sequence[str] = (),
        subjects: Sequence[str] = (),
        datasets: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Show only the clips that pass every filter given (all where none is), and return their rows.

        The others go from the maps, from the selection, and from what plays.

        Parameters
        ----------
        au_sets : sequence of str
            Exactly these AUs, such as ``"AU4+AU7"`` or ``"no AU"``; any one of several suffices.
        aus : sequence of str
            At least this AU, such as ``"AU4"``.
        subjects : sequence of str
            ``dataset/subject`` where the maps hold several data sets.
        datasets : sequence of str

        Raises
        ------
        ValueError
            If no clip has what is asked for, or none passes all filters together.
        """
        given = {"au_sets": au_sets, "aus": aus, "subjects": subjects, "datasets": datasets}
        wanted = {name: [own] if isinstance(own, str) else [str(one) for one in own] for name, own in given.items()}
        try:
            kept = shown_rows(self._filter_values, len(self._table), wanted)
            if len(kept) and not kept.any():
                asked = ", ".join(f"{FILTERS[name]} {' or '.join(own)}" for name, own in wanted.items() if own)
                raise ValueError(f"no clip has {asked} all together; take one of the filters away")
            self._wanted = wanted
        finally:  # the lists say what is filtered by, also where what they were set to cannot be
            self._writing = True
            for name, own in self._wanted.items():
                self._controls.choose_filter(name, own, self._filter_counts[name])
            self._writing = False
        self._keep(kept)
        return self.shown

    def show(self, clip_id: str) -> None:
        """Ring this clip in every map and play it; its partner, if one was shown, is put away.

        Raises
        ------
        ValueError
            If it is not on the maps, or hidden by the filter.
        """
        row = self._visible(clip_id)
        self._show_soon.cancel()
        self._show_clip(row)

    def clear(self) -> None:
        """Select nothing: every clip is at full strength again."""
        self._controls.groups.value = ""
        self._light(np.array([], dtype=int))

    def select_same_aus(self) -> pd.DataFrame:
        """Light every clip shown that has the AU set of the clip in hand, and return their rows.

        Raises
        ------
        ValueError
            If no clip is in hand, its AUs are not known, or the filter hides all clips that have them.
        """
        alike = positions(self._table, same_au_set(self._table, self._in_hand()), owner="this explorer")
        if not self._kept[alike].any():
            raise ValueError("the filter hides every clip with this AU set; show all first")
        return self.select(self._ids[alike[self._kept[alike]]])

    def show_partner(self) -> str:
        """Play the confusable partner of the clip in hand beside it, and return its id; one that the filter leaves.

        Raises
        ------
        ValueError
            If no clip is in hand, it has no partner, or the filter hides all of them; the sentence says why.
        """
        partner, distance = confusable_partner(self._table, self._in_hand(), places=self._places, among=self._kept)
        self.partner_id = partner
        self._pair.say(
            f"{partner} has the same AU set as {self.clip_id} and another emotion; of those it is the nearest on the "
            f"{self._places_name} ({distance:.2f} standard deviations)."
        )
        return partner

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Branch explorer",
        faces: bool = True,
        tables: Mapping[str, pd.DataFrame] | None = None,
        most_megabytes: float = 20.0,
    ) -> Path:
        """Write the explorer as one file that opens from disk in any browser, offline and without a kernel.

        The file holds the maps with hover, click, lasso, colouring, filter and legend, the clips with magnification and
        overlays, scores, AUs and the confusable partner of each clip. Figures of a selection need the notebook.

        Parameters
        ----------
        path : path-like
            The file to write; its folder must exist.
        title : str
        faces : bool
            Whether the pictures of the faces are in the file. Faces are biometric data.
        tables : mapping of str to DataFrame, optional
            Tables to write below, by their headings, such as the table of a decoupling report. By default the measures
            of all clips, where the explorer has them.
        most_megabytes : float
            Above this size fewer clips have pictures, and the file says how many.

        Returns
        -------
        Path
        """
        measures = self.measures
        if tables is None:
            tables = {} if measures.empty else {"Dependence and leakage": measures}
        return write_explorer(
            self, path, table=self._table, view=self._pair.view, places=self._places, predictions=self._predictions,
            choices=self._choices, caution=CAUTION, title=title, about=self._about(), tables=tables, faces=faces,
            most_megabytes=most_megabytes,
        )  # fmt: skip

    def _about(self) -> str:
        """Data set, model, weights, recipe and versions, as far as the records hold them."""
        sets = self._table["dataset"].unique() if "dataset" in self._table else []
        made = [", ".join(map(str, sets)), f"{len(self._table)} clips", params_line(self._embedding)]
        source = self._embedding.source
        named = {"name": "model", "sha256": "weights"}
        made += [f"{title} {source[name]}" for name, title in named.items() if source.get(name)]
        recipe = source.get("recipe") or {}
        made += ["recipe: " + ", ".join(f"{name} {value}" for name, value in recipe.items())] if recipe else []
        versions = (source.get("run") or {}).get("versions", {})
        made += [f"{name} {value}" for name, value in versions.items()]
        return "; ".join(filter(None, made))

    # How it is made ---------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        self.branch_maps.observe(lambda change: self._on_hover(change.new), "hovered")
        self.branch_maps.observe(lambda change: self._on_lasso(self.branch_maps.rows), "lit")
        self.branch_maps.observe(lambda change: self._keep(self._passing), "hidden")
        self.branch_maps.observe(lambda change: self._on_click(change.new[0]), "clicked")
        by_hand = self._controls
        by_hand.colour_list.observe(self._on_colour, "value")
        self.observe(lambda change: self._recolour(change.new), "colour_by")
        self.observe(self._on_in_hand, ["clip_id", "partner_id"])
        by_hand.groups.observe(self._on_group, "value")
        by_hand.clip_list.observe(self._on_clip_named, "value")
        for one in by_hand.filters.values():
            one.observe(lambda change: self._on_filter(), "value")
        by_hand.same.on_click(lambda _: self._try(self.select_same_aus))
        by_hand.partner.on_click(lambda _: self._try(self.show_partner))
        by_hand.clear.on_click(lambda _: self.clear())
        by_hand.everything.on_click(lambda _: self.filter())

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_hover(self, row: int) -> None:
        self._show_soon.cancel()
        if row >= 0 and self._ids[row] != self.clip_id:
            self._show_soon(row)

    def _on_click(self, row: int) -> None:
        self._show_soon.cancel()
        self._show_clip(row)
        if self._controls.partner_at_click.value:
            self._try(self.show_partner)

    def _on_lasso(self, rows: np.ndarray) -> None:
        rows = rows[self._kept[rows]]
        if not np.array_equal(rows, self._lit):
            self._controls.groups.value = ""
            self._light(rows)

    def _on_group(self, change: traitlets.Bunch) -> None:
        if change.new:
            self._light(np.flatnonzero((self._colours.values == change.new) & self._kept))

    def _on_filter(self) -> None:
        if not self._writing:
            chosen = {
                name: [one for one in own.value.split("\n") if one] for name, own in self._controls.filters.items()
            }
            self._try(lambda: self.filter(**chosen))

    def _on_colour(self, change: traitlets.Bunch) -> None:
        if not self._writing:
            self.colour_by = change.new

    def _on_measured(self, table: pd.DataFrame) -> None:
        self.set_trait("measures", table)

    def _on_clip_named(self, change: traitlets.Bunch) -> None:
        if change.new and change.new != self.clip_id:
            self._try(lambda: self.show(change.new))
            self._controls.clip_list.value = self.clip_id

    @traitlets.validate("clip_id", "partner_id")
    def _on_the_maps(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            if proposal.value:
                self._visible(proposal.value)
                if proposal.trait.name == "partner_id" and proposal.value == self._in_hand():
                    raise ValueError(f"{proposal.value!r} is the clip that plays; its partner is another clip")
        return proposal.value

    @traitlets.validate("colour_by")
    def _a_colouring(self, proposal: traitlets.Bunch) -> str:
        with trait_errors():
            colouring(self._table, proposal.value)
        return proposal.value

    def _on_in_hand(self, change: traitlets.Bunch) -> None:
        if change.name == "clip_id" and self._drawn is not None and self.partner_id == self._drawn[1]:
            self.partner_id = ""
        self._draw_in_hand()

    def _warn(self, text: str) -> None:
        self._pair.say(text, warn=True)

    def _show_clip(self, row: int | None) -> None:
        self._drawn = None
        with self.hold_trait_notifications():
            self.clip_id, self.partner_id = "" if row is None else str(self._ids[row]), ""
        self._draw_in_hand()

    def _draw_in_hand(self) -> None:
        """Ring and play what the traits say."""
        if self._drawn == (self.clip_id, self.partner_id):
            return
        self._drawn = self.clip_id, self.partner_id
        self._controls.clip_list.value = self.clip_id
        clip, partner = (self._row(name) if name else None for name in self._drawn)
        self.branch_maps.ring((clip, partner))
        self._pair.say("")
        self._pair.show(*filter(None, self._drawn))

    def _light(self, rows: np.ndarray) -> None:
        self._lit = rows
        # The line first, for it is there at once; then the maps; then whoever follows the selection, however slowly.
        self._say_selected()
        self.branch_maps.light(rows)
        self._measured.follow(self._ids[rows])
        self.set_trait("selection", self._table.iloc[rows].copy())

    def _say_selected(self) -> None:
        chosen, shown = self._table.iloc[self._lit], int(self._kept.sum())
        self._selected.value = selection_text(chosen, of=shown, hidden=len(self._table) - shown)

    def _keep(self, passing: np.ndarray) -> None:
        """Show the clips that pass the filters and whose category the legend has not switched off."""
        self._passing = passing
        kept = self._kept = passing & ~np.isin(self._colours.values, self.branch_maps.hidden)
        self._show_soon.cancel()
        self.branch_maps.keep(passing)
        self._controls.shown.value = note("" if kept.all() else f"{kept.sum()} of {len(kept)} clips shown")
        if len(self._lit) and not kept[self._lit].all():
            self._light(self._lit[kept[self._lit]])
        self._say_selected()
        self._name_groups()
        if self.clip_id and not kept[self._row(self.clip_id)]:
            self._show_clip(None)
        elif self.partner_id and not kept[self._row(self.partner_id)]:
            self.partner_id = ""
        self.set_trait("shown", self._table.iloc[np.flatnonzero(kept)].copy())

    def _recolour(self, key: str) -> None:
        self._colours = colouring(self._table, key)
        by_hand = self._controls.colour_list
        if key not in [value for _, value in by_hand.options]:
            self._writing = True  # new options choose the first: that is nobody's choice
            by_hand.options = (*by_hand.options, (key, key))
            self._writing = False
        by_hand.value = key
        self.branch_maps.paint(self._colours)
        self._name_groups()

    def _name_groups(self) -> None:
        """The *Light up* list, with the numbers of clips that are shown."""
        values = pd.Series(self._colours.values[self._kept]).value_counts()
        counts = {name: int(values.get(name, 0)) for name in self._colours.styles}
        self._controls.groups.options = [
            ("–", ""), *((f"{name} ({count})", name) for name, count in counts.items() if count)
        ]  # fmt: skip
        self._controls.groups.value = ""

    # What is known ----------------------------------------------------------------------------------------------------

    def _row(self, clip_id: str) -> int:
        return int(positions(self._table, clip_id, owner="this explorer")[0])

    def _visible(self, clip_id: str) -> int:
        row = self._row(clip_id)
        if not self._kept[row]:
            raise ValueError(f"{clip_id!r} is hidden by the filter; call filter() to show all clips")
        return row

    def _in_hand(self) -> str:
        if not self.clip_id:
            raise ValueError("no clip is in hand: hover or click a point first, or call show(clip_id)")
        return self.clip_id
