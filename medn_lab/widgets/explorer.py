"""Motion, emotion and fused maps of the same clips, linked: hover, click and lasso one, see it in the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import BranchFeatures, Clips, Embedding, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.colouring import colour_choices, colouring
from medn_lab.view.maps import CAUTION, joined_table, map_names, params_line
from medn_lab.view.rows import hover_texts, label_column
from medn_lab.widgets.branch_maps import BranchMaps, categories
from medn_lab.widgets.page import state_of, write_page
from medn_lab.widgets.panel import Panel, control, note, trait_errors
from medn_lab.widgets.player import ClipPair
from medn_lab.widgets.selection import FILTERS, Filters, Measure, Partners, SelectionMeasures, describe, partner_places
from medn_lab.widgets.timing import Dwell

_DWELL = 0.16  # seconds that the pointer rests on a point before its clip plays
_MOST_MAPS = 3
_MOST_NAMES = 2000
_SEVERAL = "several"


class BranchExplorer(Panel):
    """Explore what each branch holds: the same clips on the motion, emotion and fused map.

    Hover a point: it is ringed in every map and its clip plays below with its AUs and scores. Draw a lasso in one map:
    the same clips are selected in the others, a line says which emotions and AU sets they are, and dependence and
    leakage of these clips are computed next to those of all. *Confusable partner* finds the clip with the same AU set
    and another emotion that moves most alike, and plays both in step. The filters leave only some clips on the maps;
    a clip that they hide is neither selected nor shown nor a partner.

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

    Attributes
    ----------
    selection : DataFrame
        The selected rows; a read-only trait, so ``explorer.observe(f, "selection")`` follows it. Empty where nothing is
        selected.
    measures : DataFrame
        Dependence and leakage of the selected clips (of all where nothing is selected), as far as they are known; a
        read-only trait.
    shown : DataFrame
        The rows that the filters and the legend leave; a read-only trait.
    clip_id, partner_id : str
        The clip that plays and the one that plays next to it; empty where there is none. Traits: set them to show
        others.
    colour_by : str
        What the points are coloured by; a trait.
    filters : dict
        The values of each filter that is on, as :meth:`filter` takes them; a trait.
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
    filters: Any = traitlets.Dict()

    def __init__(
        self,
        embedding: Embedding,
        *,
        clips: Clips | None = None,
        predictions: Predictions | None = None,
        features: BranchFeatures | None = None,
        measure: Measure | None = None,
        maps: Sequence[str] | None = None,
        colour_by: str = "label",
        magnify: float = 6.0,
    ) -> None:
        self._embedding, self._predictions = embedding, predictions
        names = _names_of_maps(embedding, maps)
        table = self._table = joined_table(embedding, predictions, features=features)
        self._ids = table["clip_id"].to_numpy(dtype=object)
        self._choices = colour_choices(table)
        if colour_by == "label" and "label" not in self._choices:
            colour_by = next(iter(self._choices), "clip_id")
        self._filters, self._kept = Filters(table), np.ones(len(table), dtype=bool)
        places, self._places_name = partner_places(embedding, features, names)
        self._partners = Partners(table, places)
        self.branch_maps = BranchMaps({name: embedding.maps[name] for name in names}, texts=hover_texts(table))
        self._pair = ClipPair(table, clips=clips, predictions=predictions, magnify=magnify)
        self._measured, self._selected = SelectionMeasures(measure, self._ids), widgets.HTML()
        self._show_soon = Dwell(self.show, seconds=_DWELL)
        controls = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        foot = widgets.HTML(note(_doubts(table), warn=True) + note(f"{params_line(embedding)}. {CAUTION}"))
        super().__init__(
            [controls, self.branch_maps, self._selected, self._pair.widget, self._measured, foot],
            name="branch-explorer", width="100%", colour_by=colour_by,
            results={"selection": table.iloc[:0], "measures": self._measured.table, "shown": table},
        )  # fmt: skip
        controls.children = self._make_controls()
        self.observe(lambda _: self._recolour(), "colour_by")
        self.observe(lambda _: self._keep(), "filters")
        self.observe(self._show_clips, ["clip_id", "partner_id"])
        self.branch_maps.observe(lambda _: self._keep(), "hidden")
        self.branch_maps.observe(lambda _: self._on_lit(), "lit")
        self.branch_maps.observe(lambda change: self._on_hover(change.new), "hovered")
        self.branch_maps.observe(lambda change: self._on_click(change.new[0]), "clicked")
        self._measured.observe(lambda change: self.set_trait("measures", change.new), "table")
        self._recolour()

    def select(self, clip_ids: list[str] | tuple[str, ...] | np.ndarray | pd.Series) -> pd.DataFrame:
        """Select these clips on every map and return their rows.

        Raises
        ------
        ValueError
            If none is named (use :meth:`clear` to select nothing), or one is not on the maps or hidden.
        """
        rows = np.unique(self._visible(clip_ids))
        self.branch_maps.light(rows)
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

        The others go from the maps, from the selection, and from what plays. Without a filter the categories that the
        legend has switched off come back, too.

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
        self.filters = self._filters.tidy({"au_sets": au_sets, "aus": aus, "subjects": subjects, "datasets": datasets})
        if not self.filters:
            self.branch_maps.hidden = []
        return self.shown

    def show(self, clip_id: str) -> None:
        """Ring this clip in every map and play it; its partner, if one was shown, is put away.

        Raises
        ------
        ValueError
            If it is not on the maps, or hidden by the filter.
        """
        self._show_soon.cancel()
        self._visible(clip_id)
        self.clip_id, self.partner_id = str(clip_id), ""

    def clear(self) -> None:
        """Select nothing: every clip is at full strength again."""
        self.branch_maps.light(np.array([], dtype=int))

    def select_same_aus(self) -> pd.DataFrame:
        """Select every shown clip that has the AU set of the chosen clip, and return their rows.

        Raises
        ------
        ValueError
            If no clip is chosen or its AUs are not known.
        """
        alike = self._partners.same_aus(self._chosen_row())
        return self.select(self._ids[alike[self._kept[alike]]])

    def show_partner(self) -> str:
        """Play the confusable partner of the chosen clip next to it, and return its id; one that the filter leaves.

        Raises
        ------
        ValueError
            If no clip is chosen, it has no partner, or the filter hides all of them; the sentence says why.
        """
        row, distance = self._partners.nearest(self._chosen_row(), among=self._kept)
        self.partner_id = self._ids[row]
        self._pair.say(
            f"{self.partner_id} has the same AU set as {self.clip_id} and another emotion; of all such clips it is "
            f"the nearest on the {self._places_name} ({distance:.2f} standard deviations)."
        )
        return self.partner_id

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Branch explorer",
        faces: bool = True,
        most_megabytes: float = 20.0,
    ) -> Path:
        """Write the explorer as one file that opens from disk in any browser, offline and without a kernel.

        The file holds the maps with hover, click, lasso, colouring, filter and legend, the clips with magnification and
        overlays, scores, AUs and the confusable partner of each clip, and the measures of all clips where the explorer
        has them. Figures of a selection need the notebook.

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
        """
        of_all = self._measured.of_all
        colourings = {}
        for key in dict.fromkeys([*self._choices, self.colour_by]):
            colours = colouring(self._table, key)
            styles, style_of = categories(colours)
            colourings[key] = {"title": colours.title, "styles": styles, "style_of": style_of}
        data = {
            "maps": state_of(self.branch_maps) | {"rings": [], "lit": b"", "hidden": []},
            "rings": [theme.RING, theme.PARTNER_RING], "colour_by": self.colour_by, "colourings": colourings,
            "partners": self._partners.all().tolist(),
        }  # fmt: skip
        return write_page(
            path, data, table=self._table, view=self._pair.view, predictions=self._predictions, title=title,
            about=_about(self._embedding, self._table), caution=CAUTION, faces=faces, most_megabytes=most_megabytes,
            tables={} if of_all.empty else {"Dependence and leakage of all clips": of_all},
        )  # fmt: skip

    def _make_controls(self) -> list[widgets.Widget]:
        colours = control(widgets.Dropdown, "Colour by", tooltip="What the colours of the points show")

        def colour_option(key: str) -> str:
            """A colouring by any column is added to the list, as its first entry, which new options choose."""
            known = [(title, name) for name, title in self._choices.items()]
            if key not in self._choices or not colours.options:
                colours.options = known if key in self._choices else [(key, key), *known]
            return key

        self._bind("colour_by", colours, to_control=colour_option)
        self._groups = control(widgets.Dropdown, "Select", width="180px", tooltip="Select all clips of a category")
        self._groups.observe(lambda change: self._on_group(change.new), "value")
        named = control(
            widgets.Combobox, "Clip", options=tuple(map(str, self._ids[:_MOST_NAMES])), ensure_option=False,
            continuous_update=False, placeholder="type or choose", tooltip="Show a clip by its name", width="200px",
        )  # fmt: skip
        self._bind("clip_id", named)
        self._at_click = control(
            widgets.Checkbox, "partner on click", indent=False,
            tooltip="A click on a point also plays its confusable partner next to it",
        )  # fmt: skip
        filters = [name for name, own in self._filters.masks.items() if len(own.columns) > (name != "aus")]  # a choice
        return [
            colours, self._groups, named,
            self._button("Same AUs", "link", "Select all clips with the AU set of this clip", self.select_same_aus),
            self._button(
                "Confusable partner", "exchange",
                "Play the clip with the same AU set, another emotion and the most similar motion", self.show_partner,
            ),
            self._button("Clear", "times", "Select nothing", self.clear),
            *map(self._filter_list, filters),
            self._button("Show all", "eye", "Remove all filters", self.filter), self._at_click,
        ]  # fmt: skip

    def _filter_list(self, name: str) -> widgets.Dropdown:
        what = FILTERS[name]
        values = [(f"{value} ({count})", value) for value, count in self._filters.masks[name].sum().items()]
        options = [("all", ""), *values, (_SEVERAL, _SEVERAL)]
        hint = f"Show only the clips of this {what}"
        listed = control(widgets.Dropdown, what[0].upper() + what[1:], options=options, tooltip=hint, width="190px")
        self._bind(
            "filters", listed,
            to_control=lambda filters: _SEVERAL if len(filters.get(name, ())) > 1 else "".join(filters.get(name, ())),
            to_trait=lambda value: self.filters if value == _SEVERAL else {**self.filters, name: value},
        )  # fmt: skip
        return listed

    def _on_hover(self, row: int) -> None:
        self._show_soon.cancel()
        if row >= 0 and self._ids[row] != self.clip_id:
            self._show_soon(self._ids[row])

    def _on_click(self, row: int) -> None:
        self._try(lambda: self.show(self._ids[row]))
        if self._at_click.value:
            self._try(self.show_partner)

    def _on_group(self, name: str) -> None:
        if name:
            self.branch_maps.light(self._rows_of(name))

    def _rows_of(self, group: str) -> np.ndarray:
        return np.flatnonzero((self._colours.values == group) & self._kept)

    def _on_lit(self) -> None:
        rows = self.branch_maps.rows
        if not self._kept[rows].all():  # a lasso round clips that are hidden
            self.branch_maps.light(rows[self._kept[rows]])
            return
        if not np.array_equal(rows, self._rows_of(self._groups.value)):
            self._groups.value = ""
        self._describe_selection()
        self._measured.follow(self._ids[rows])
        self.set_trait("selection", self._table.iloc[rows].copy())

    def _describe_selection(self) -> None:
        shown, n, rows = int(self._kept.sum()), len(self._table), self.branch_maps.rows
        several = [" or ".join(own) for own in self.filters.values() if len(own) > 1]
        about = note("; ".join([f"{shown} of {n} clips shown", *several])) if shown < n else ""
        sets = self._filters.set_names.iloc[rows]
        self._selected.value = about + describe(self._table.iloc[rows], sets=sets, of=shown, hidden=n - shown)

    def _show_clips(self, change: traitlets.Bunch) -> None:
        if change.name == "clip_id" and self.partner_id:
            self.partner_id = ""  # this draws
            return
        names = [name for name in (self.clip_id, self.partner_id) if name]
        self.branch_maps.ring([self._row(name) for name in names])
        self._pair.say("")
        self._pair.show(*names)

    def _recolour(self) -> None:
        self._colours = colouring(self._table, self.colour_by)
        self.branch_maps.paint(self._colours)
        self._keep()

    def _keep(self) -> None:
        """Show the clips that pass the filters and whose category the legend has not switched off."""
        passed = self._filters.passing(self.filters)
        kept = self._kept = passed & ~np.isin(self._colours.values, self.branch_maps.hidden)
        self._show_soon.cancel()
        self.branch_maps.keep(passed)
        rows = self.branch_maps.rows
        self.branch_maps.light(rows[kept[rows]])
        self._describe_selection()
        counts = pd.Series(self._colours.values[kept]).value_counts()
        groups = [(f"{name} ({counts[name]})", name) for name in self._colours.styles if name in counts]
        self._groups.options = [("–", ""), *groups]
        gone = self._ids[~kept]
        for trait in ("clip_id", "partner_id"):
            if getattr(self, trait) in gone:
                setattr(self, trait, "")
        self.set_trait("shown", self._table[kept].copy())

    def _warn(self, text: str) -> None:
        self._pair.say(text, warn=True)

    @traitlets.validate("clip_id", "partner_id", "colour_by", "filters")
    def _possible(self, proposal: traitlets.Bunch) -> Any:
        value, name = proposal.value, proposal.trait.name
        with trait_errors():
            if name == "filters":
                return self._filters.tidy(value)
            if name == "colour_by":
                colouring(self._table, value)
            elif value:
                self._visible(value)
                if name == "partner_id" and self._ids[self._chosen_row()] == value:
                    raise ValueError(f"{value!r} is the clip that is shown; its partner must be another clip")
        return value

    def _visible(self, clip_ids: str | Sequence[str] | np.ndarray | pd.Series) -> np.ndarray:
        """The rows of these clips; ValueError where one is not on the maps or hidden."""
        rows = positions(self._table, clip_ids, owner="this explorer")
        if not (shown := self._kept[rows]).all():
            name = self._ids[rows[~shown][0]]
            raise ValueError(
                f"{(~shown).sum()} of {len(rows)} clips are hidden by the filter, such as {name!r}; "
                "call filter() to show all"
            )
        return rows

    def _row(self, clip_id: str) -> int:
        return int(self._visible(clip_id)[0])

    def _chosen_row(self) -> int:
        if not self.clip_id:
            raise ValueError("no clip is chosen: hover or click a point first, or call show(clip_id)")
        return self._row(self.clip_id)


def _names_of_maps(embedding: Embedding, wanted: Sequence[str] | None) -> list[str]:
    """The maps that are shown: those in `wanted`, else the branches', else the first layers'."""
    there = list(embedding.maps)
    names = (map_names(embedding) or there[:_MOST_MAPS]) if wanted is None else list(wanted)
    if not 0 < len(names) <= _MOST_MAPS or len(set(names)) < len(names) or not set(names) <= set(there):
        raise ValueError(f"maps are {names}; name one to {_MOST_MAPS} different maps, out of {', '.join(there)}")
    return names


def _doubts(table: pd.DataFrame) -> str:
    """What cannot be shown of these records, as a sentence."""
    if not len(table):
        return "There are no clips on these maps."
    column, classes = label_column(table), table.attrs.get("classes")
    unknown = sorted(set(table[column].dropna().astype(str)) - {*map(str, classes)}) if classes and column else []
    why = (
        f"The predictions have no class {', '.join(unknown)}: clips with these labels count as neither right nor wrong."
    )
    return why if unknown else ""


def _about(embedding: Embedding, table: pd.DataFrame) -> str:
    """Data set, model, weights, recipe and versions, as far as the records hold them."""
    source, run = embedding.source, embedding.source.get("run") or {}
    recipe = ", ".join(f"{name} {value}" for name, value in (source.get("recipe") or {}).items())
    known = {"model": source.get("name"), "weights": source.get("sha256"), "recipe:": recipe, **run.get("versions", {})}
    datasets = ", ".join(table["dataset"].astype(str).unique()) if "dataset" in table else ""
    parts = [datasets, f"{len(table)} clips", params_line(embedding)]
    return "; ".join(filter(None, [*parts, *(f"{name} {value}" for name, value in known.items() if value)]))
