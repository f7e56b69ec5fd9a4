"""Motion, emotion and fused maps of the same clips, linked: hover, click and lasso one, see it in the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import BranchFeatures, Clips, Embedding, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.maps import CAUTION, joined_table, map_names, params_line
from medn_lab.view.rows import colour_choices, colouring, hover_texts, label_column
from medn_lab.widgets import selection
from medn_lab.widgets.branch_maps import BranchMaps, painted
from medn_lab.widgets.clip_view import ClipPair
from medn_lab.widgets.panel import Later, WrittenPanel, clip_chooser, note, state_of, validates

_BREATH = 0.4  # seconds before the first measure: a page that draws thousands of points needs the processor more
_BETWEEN = 0.02  # seconds between two measures, in which messages of the page are taken up
_MOST_MAPS = 3
_NO_MEASURE = "Give measure=medn.diagnose.selection_measures(features) to see dependence and leakage here."


class BranchExplorer(WrittenPanel):
    """Explore what each branch holds: the same clips on the motion, emotion and fused map.

    Hover a point: it is ringed in every map and its clip plays below with its AUs and scores. Draw a lasso in one map:
    the same clips are selected in the others, a line says which emotions and AU sets they are, and dependence and
    leakage of these clips are computed next to those of all. *Confusable partner* finds the clip with the same AU set
    and another emotion that moves most alike, and plays both in step. The filters leave only some clips on the maps;
    a clip that they hide is neither selected nor shown nor a partner.

    Parameters
    ----------
    embedding : Embedding
        With at least one map. Without maps of branches the first three layers' are shown.
    clips : Clips or None
        What plays; clips that are not among them are named.
    predictions : Predictions or None
        Adds scores, and colouring by prediction, correctness and fold; joined by clip_id.
    features : BranchFeatures or None
        Partners are nearest in the motion features; without them, on the motion map (or the first map there is). Adds
        colouring by the gate.
    measure : callable or None
        Dependence and leakage of selected clips, a step at a time: ``medn_lab.diagnose.selection_measures(features)``.
        The newest selection wins.
    colour_by : str or None
        What the points are coloured by at first, any column of the table; the emotion where None and it is known.
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
        What the points are coloured by: a key of the *Colour by* list, or what was given; a trait.
    filters : dict
        The value of each filter that is on; a trait. ``au_set``: exactly these AUs, such as ``"AU4+AU7"`` or ``"no
        AU"``; ``au``: at least this AU; ``subject``: ``dataset/subject`` where the maps hold several data sets;
        ``dataset``. A value that no clip has, or filters that no clip passes, are a ValueError.
    branch_maps : BranchMaps
        The maps in the page; its traits ``selected``, ``hovered``, ``clicked`` and ``hidden`` hold what the pointer
        did there.

    Raises
    ------
    ValueError
        If `predictions` or `features` share no clip with the embedding.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> explorer = BranchExplorer(Embedding(*np.random.default_rng(0).normal(size=(3, 4, 2)), table))
    >>> explorer.select(["b", "c"])["label"].tolist()
    ['y', 'x']
    """

    selection = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    measures = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    shown = traitlets.Instance(pd.DataFrame, args=(), read_only=True)
    clip_id = traitlets.Unicode("")
    partner_id = traitlets.Unicode("")
    colour_by = traitlets.Unicode()
    filters: Any = traitlets.Dict()
    _title = "Branch explorer"

    def __init__(
        self, embedding: Embedding, *, clips: Clips | None = None, predictions: Predictions | None = None,
        features: BranchFeatures | None = None, measure: Any = None, colour_by: str | None = None,
        magnify: float = 6.0,
    ) -> None:  # fmt: skip
        names = map_names(embedding) or list(embedding.maps)[:_MOST_MAPS]
        if measure is not None and not hasattr(measure, "steps"):
            raise ValueError("measure must be what medn.diagnose.selection_measures(features) returns")
        self._embedding, self._predictions, self._measure = embedding, predictions, measure
        table = self._table = joined_table(embedding, predictions, features=features)
        self._ids, self._kept = table["clip_id"].to_numpy(dtype=object), np.ones(len(table), dtype=bool)
        self._choices, self._masks = colour_choices(table), selection.filter_masks(table)
        self._groups = selection.partner_groups(table)
        self._places, self._places_name = selection.partner_places(embedding, features, names)
        colour_by = (label_column(table) if colour_by == "label" else colour_by) or next(iter(self._choices), "clip_id")
        self._choices.setdefault(colour_by, colour_by)
        self.colour_by = colour_by
        self.branch_maps = BranchMaps({name: embedding.maps[name] for name in names}, texts=hover_texts(table))
        self._pair = ClipPair(table, clips=clips, predictions=predictions, magnify=magnify)
        self._message, self._selected = self._pair.message, widgets.HTML()
        self._measured = widgets.HTML(note(_NO_MEASURE))
        self._found = {"every": pd.DataFrame(), "own": pd.DataFrame()}
        self._all_left: Iterator[bool] = iter(())
        self._begin, self._go_on = (Later(self._step, seconds=seconds) for seconds in (_BREATH, _BETWEEN))
        column, classes = label_column(table), table.attrs.get("classes")
        strange = table[column][~table[column].isin(classes)].dropna().unique() if classes and column else []
        why = f"The predictions have no class {', '.join(map(str, strange))}: these clips are neither right nor wrong."
        why = why if len(strange) else "" if len(table) else "There are no clips on these maps."
        foot = widgets.HTML(note(why, warn=True) + note(f"{params_line(embedding)}. {CAUTION}"))
        controls = widgets.HBox(self._controls())
        super().__init__([controls, self.branch_maps, self._selected, self._pair.widget, self._measured, foot])
        self.set_trait("selection", table.iloc[:0])
        self.observe(lambda _: self._recolour(), "colour_by")
        self.observe(lambda _: self._keep(), "filters")
        self.observe(self._show_clips, ["clip_id", "partner_id"])
        self.branch_maps.observe(lambda _: self._keep(), "hidden")
        self.branch_maps.observe(lambda _: self._on_selected(), "selected")
        self.branch_maps.observe(lambda change: self._on_hover(change.new), "hovered")
        self.branch_maps.observe(lambda change: self._on_click(change.new[0]), "clicked")
        self._recolour()
        if measure is not None and len(table):
            self._all_left = self._measuring("every", self._ids)
            self._follow(self._ids[:0])

    def select(self, clip_ids: list[str] | tuple[str, ...] | np.ndarray | pd.Series) -> pd.DataFrame:
        """Select these clips on every map and return their rows.

        Raises
        ------
        ValueError
            If none is named (use :meth:`clear` to select nothing), or one is not on the maps or hidden.
        """
        self.branch_maps.select(np.unique(self._visible(clip_ids)))
        return self.selection

    def show_all(self) -> None:
        """Remove all filters, and show the categories that the legend has switched off."""
        self.filters, self.branch_maps.hidden = {}, []

    def show(self, clip_id: str) -> None:
        """Ring this clip in every map and play it; its partner, if one was shown, is put away.

        Raises
        ------
        ValueError
            If it is not on the maps, or hidden by the filter.
        """
        self._visible(clip_id)
        self.clip_id, self.partner_id = str(clip_id), ""

    def clear(self) -> None:
        """Select nothing: every clip is at full strength again."""
        self.branch_maps.select(np.array([], dtype=int))

    def select_same_aus(self) -> pd.DataFrame:
        """Select every shown clip that has the AU set of the chosen clip, and return their rows.

        Raises
        ------
        ValueError
            If no clip is chosen or its AUs are not known.
        """
        alike = selection.same_aus(self._groups, self._chosen_row())
        return self.select(self._ids[alike[self._kept[alike]]])

    def show_partner(self) -> str:
        """Play the confusable partner of the chosen clip next to it, and return its id; one that the filter leaves.

        Raises
        ------
        ValueError
            If no clip is chosen, it has no partner, or the filter hides all of them; the sentence says why.
        """
        row, distance = selection.partner(self._groups, self._chosen_row(), places=self._places, among=self._kept)
        self.partner_id = self._ids[row]
        self._say(
            f"{self.partner_id} has the same AU set as {self.clip_id} and another emotion; of all such clips it is "
            f"the nearest on the {self._places_name} ({distance:.2f} standard deviations)."
        )
        return self.partner_id

    def _page(self) -> dict[str, Any]:
        data = {
            "maps": state_of(self.branch_maps) | {"rings": [], "selected": b"", "hidden": []},
            "rings": [theme.RING, theme.PARTNER_RING], "colour_by": self.colour_by, "space": self._places_name,
            "colourings": {key: painted(colouring(self._table, key)) for key in self._choices},
            "partners": selection.all_partners(self._groups, self._places).tolist(),
        }  # fmt: skip
        source, versions = self._embedding.source, (self._embedding.source.get("run") or {}).get("versions", {})
        recipe = pd.json_normalize(dict(source.get("recipe") or {}), sep=" ")
        facts = {
            "data set": ", ".join(self._table.get("dataset", pd.Series(dtype=str)).astype(str).unique()),
            "maps:": params_line(self._embedding), "model": source.get("name"), "weights' sha256": source.get("sha256"),
            "recipe:": ", ".join(f"{name.replace('_', ' ')} {value}" for name, (value,) in recipe.items()), **versions,
        }  # fmt: skip
        every = self._found["every"]
        return {
            "view": self._pair.view, "table": self._table, "predictions": self._predictions, "data": data,
            "about": "; ".join(f"{name} {fact}" for name, fact in facts.items() if fact), "caution": CAUTION,
            "tables": {"Dependence and leakage of all clips": selection.titled(every)} if "kind" in every else {},
        }  # fmt: skip

    def _controls(self) -> list[widgets.Widget]:
        options = [(title, name) for name, title in self._choices.items()]
        colours = widgets.Dropdown(description="Colour by", options=options, tooltip="What the colours show")
        hint = "A click on a point also plays its confusable partner next to it"
        self._at_click = widgets.Checkbox(description="partner on click", indent=False, tooltip=hint)

        return [
            self._bind("colour_by", colours), self._bind("clip_id", clip_chooser("Clip", self._table, none="–")),
            self._button("Same AUs", "link", "Select all clips with the AU set of this clip", self.select_same_aus),
            self._button("Confusable partner", "exchange", "The same AU set, another emotion", self.show_partner),
            *selection.filter_controls(self, self._masks),
            self._button("Show all", "eye", "Remove all filters", self.show_all), self._at_click,
        ]  # fmt: skip

    def _on_hover(self, row: int) -> None:
        if row >= 0 and self._ids[row] != self.clip_id:
            self._try(lambda: self.show(self._ids[row]))

    def _on_click(self, row: int) -> None:
        self._try(lambda: self.show(self._ids[row]))
        if self._at_click.value:
            self._try(self.show_partner)

    def _on_selected(self) -> None:
        rows = self.branch_maps.rows
        if not self._kept[rows].all():  # a lasso round clips that are hidden
            self.branch_maps.select(rows[self._kept[rows]])
            return
        self._describe()
        self._follow(self._ids[rows])
        self.set_trait("selection", self._table.iloc[rows].copy())

    def _describe(self) -> None:
        shown, n = int(self._kept.sum()), len(self._table)
        about = note(f"{shown} of {n} clips shown") if shown < n else ""
        rows = self._table.iloc[self.branch_maps.rows]
        self._selected.value = about + selection.describe_selection(rows, of=shown)

    def _follow(self, clip_ids: np.ndarray) -> None:
        """Measure these clips, and all clips as far as that is not done; an earlier selection is given up."""
        if self._measure is None:
            return
        self._chosen, self._found["own"] = clip_ids, pd.DataFrame()
        self._left = chain(self._measuring("own", clip_ids), self._all_left)
        self._show_measures()
        self._go_on.close()
        self._begin()

    def _measuring(self, name: str, clip_ids: np.ndarray) -> Iterator[bool]:
        """Measure these clips, step by step."""
        try:
            for found in self._measure.steps(clip_ids) if len(clip_ids) else ():
                self._found[name] = found
                yield True
        except ValueError as problem:  # shown on the page, for nobody sees an exception there
            self._found[name] = pd.DataFrame([{"reason": str(problem)}])
            yield True

    def _step(self) -> None:
        if next(self._left, False):
            self._show_measures()
            self._go_on()

    def _show_measures(self) -> None:
        every, own = self._found["every"], self._found["own"]
        self._measured.value = selection.measures_html(every, own, selected=len(self._chosen))
        rows = own if len(self._chosen) else every
        if "kind" in rows:
            self.set_trait("measures", rows)

    def _show_clips(self, change: traitlets.Bunch) -> None:
        if change.name == "clip_id" and self.partner_id:
            self.partner_id = ""  # this draws
            return
        names = [name for name in (self.clip_id, self.partner_id) if name]
        self.branch_maps.ring([int(row) for name in names for row in self._visible(name)])
        self._say("")
        self._pair.show(*names)

    def _recolour(self) -> None:
        self._colours = colouring(self._table, self.colour_by)
        self.branch_maps.paint(self._colours)
        self._keep()

    def _keep(self) -> None:
        """Show the clips that pass the filters and whose category the legend has not switched off."""
        passed = selection.passing(self._masks, self.filters)
        kept = self._kept = passed & ~np.isin(self._colours.values, self.branch_maps.hidden)
        self.branch_maps.kept = passed.astype(np.uint8).tobytes()
        rows = self.branch_maps.rows
        self.branch_maps.select(rows[kept[rows]])
        self._describe()
        for trait in ("clip_id", "partner_id"):
            if getattr(self, trait) in self._ids[~kept]:
                setattr(self, trait, "")
        self.set_trait("shown", self._table[kept].copy())

    @validates("clip_id", "partner_id", "colour_by", "filters")
    def _possible(self, name: str, value: Any) -> Any:
        if name == "filters":
            selection.passing(self._masks, value)
        elif name == "colour_by":
            if value not in self._choices:
                raise ValueError(f"the points cannot be coloured by {value!r}; there are {', '.join(self._choices)}")
        elif value:
            self._visible(value)
            if name == "partner_id" and self._ids[self._chosen_row()] == value:
                raise ValueError(f"{value!r} is the clip that is shown; its partner must be another clip")
        return value

    def _visible(self, clip_ids: str | Sequence[str] | np.ndarray | pd.Series) -> np.ndarray:
        """The rows of these clips; ValueError where one is not on the maps or hidden."""
        rows = positions(self._table, clip_ids, owner="this explorer")
        if not (shown := self._kept[rows]).all():
            some, n = self._ids[rows[~shown]], len(rows)
            raise ValueError(f"{len(some)} of {n} clips are hidden by the filter, such as {some[0]!r}; call show_all()")
        return rows

    def _chosen_row(self) -> int:
        if not self.clip_id:
            raise ValueError("no clip is chosen: hover or click a point first, or call show(clip_id)")
        return int(self._visible(self.clip_id)[0])
