"""Motion, emotion and fused maps of the same clips, linked: hover, click and lasso one, see it in the others."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from medn_lab.records import BranchFeatures, Clips, Embedding, Predictions, positions
from medn_lab.view.colouring import Colouring, colour_choices, colouring
from medn_lab.view.magnify import MOST
from medn_lab.view.map_words import CAUTION, params_line
from medn_lab.view.maps import joined_table
from medn_lab.view.rows import hover_texts
from medn_lab.widgets.branch_maps import SETTLED, BranchMaps
from medn_lab.widgets.cards import clip_heading, legend, score_rows, selection_text
from medn_lab.widgets.faces import FaceLoop
from medn_lab.widgets.pacing import Dwell
from medn_lab.widgets.partners import confusable_partner, same_au_set
from medn_lab.widgets.player import OVERLAYS
from medn_lab.widgets.style import note, sheet

_FACE = 196


class BranchExplorer(widgets.VBox):
    """Explore what each branch holds: the same clips on the motion, emotion and fused map.

    Hover a point: it is ringed in every map and its clip plays below with its AUs and scores. Draw a lasso in one map:
    the same clips light up in the others, and a line says which emotions and AU sets they are. *Confusable partner*
    finds the clip with the same AU set and another emotion that moves most alike, and plays both in step.

    Parameters
    ----------
    embedding : Embedding
        With one to three maps.
    clips : Clips or None
        What plays; clips that are not among them are named.
    predictions : Predictions or None
        Adds scores, and colouring by prediction and correctness; joined by clip_id.
    features : BranchFeatures or None
        Partners are nearest in the motion features; without them, on the motion map (or the first map there is).
    colour_by : str
        What the points are coloured by at first; a key of the *Colour by* list.
    magnify : float
        How many times as large the motion is drawn at first, 1 to 20.
    width, map_height : int
        Of the maps, in pixels.

    Attributes
    ----------
    selection : DataFrame
        The selected rows; a trait, so ``explorer.observe(f, "selection")`` follows it. Empty where nothing is selected.
    clip_id, partner_id : str
        The clip in hand and its partner; empty where there is none.
    colour_by : str

    Raises
    ------
    ValueError
        If `predictions` or `features` share no clip with the embedding.
    """

    selection = traitlets.Instance(pd.DataFrame)
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
        colour_by: str = "label",
        magnify: float = 6.0,
        width: int = 1000,
        map_height: int = 322,
    ) -> None:
        self._embedding, self._predictions = embedding, predictions
        table, predicted = joined_table(embedding, predictions)
        self._table = table
        self._ids = table["clip_id"].to_numpy(dtype=object)
        self._places, self._places_name = _partner_places(embedding, features)
        self._faces = FaceLoop(clips, size=_FACE)
        self._choices = colour_choices(table)
        if colour_by == "label" and "label" not in self._choices:
            colour_by = next(iter(self._choices), "clip_id")
        self._colours: Colouring = colouring(table, colour_by)
        self._lit = np.array([], dtype=int)
        self._maps = BranchMaps(
            embedding, texts=hover_texts(table, predicted=predicted), width=width, height=map_height
        )
        self._show_soon = Dwell(self._show_clip, seconds=SETTLED)
        self._build(colour_by, magnify)
        super().__init__(
            children=[
                sheet(),
                self._controls,
                self._legend,
                self._maps.figure,
                self._selected,
                self._below,
                self._foot,
            ],
            layout=widgets.Layout(width=f"{width + 8}px", overflow="hidden"),
            selection=table.iloc[:0],
            colour_by=colour_by,
        )
        self.add_class("medn")
        self.add_class("medn-branch-explorer")
        self._wire()
        self._recolour(colour_by)
        self._selected.value = selection_text(self.selection, of=len(table))
        self._draw_clip()

    # What may be called -----------------------------------------------------------------------------------------------

    def select(self, clip_ids: list[str] | tuple[str, ...] | np.ndarray | pd.Series) -> pd.DataFrame:
        """Light these clips in every map and return their rows.

        Raises
        ------
        ValueError
            If none is named (use :meth:`clear` to select nothing), or one is not on the maps.
        """
        rows = positions(self._table, clip_ids, owner="this explorer")
        self._maps.forget_lasso()
        self._light(np.unique(rows))
        return self.selection

    def show(self, clip_id: str) -> None:
        """Ring this clip in every map and play it; its partner, if one was shown, is put away.

        Raises
        ------
        ValueError
            If it is not on the maps.
        """
        row = self._row(clip_id)
        self._show_soon.cancel()
        self._show_clip(row)

    def clear(self) -> None:
        """Select nothing: every clip is at full strength again."""
        self._maps.forget_lasso()
        self._groups.value = ""
        self._light(np.array([], dtype=int))

    def select_same_aus(self) -> pd.DataFrame:
        """Light every clip with the AU set of the clip in hand, and return their rows.

        Raises
        ------
        ValueError
            If no clip is in hand, or its AUs are not known.
        """
        return self.select(same_au_set(self._table, self._in_hand()))

    def show_partner(self) -> str:
        """Play the confusable partner of the clip in hand beside it, and return its id.

        Raises
        ------
        ValueError
            If no clip is in hand, or it has no partner; the sentence says why.
        """
        partner, distance = confusable_partner(self._table, self._in_hand(), places=self._places)
        self.partner_id = partner
        self._maps.ring(self._row(self.clip_id), self._row(partner))
        self._draw_clip()
        self._say(
            f"{partner} has the same AU set as {self.clip_id} and another emotion; of those it is the nearest on the "
            f"{self._places_name} ({distance:.2f} standard deviations)."
        )
        return partner

    # How it is made ---------------------------------------------------------------------------------------------------

    def _build(self, colour_by: str, magnify: float) -> None:
        options = [(title, key) for key, title in self._choices.items()]
        if colour_by not in self._choices:
            options.append((colour_by, colour_by))

        def listed(description: str, width: int, tooltip: str, **more: object) -> widgets.Dropdown:
            style = {"description_width": "initial"}
            layout = widgets.Layout(width=f"{width}px", margin="2px 10px 2px 0")
            return widgets.Dropdown(description=description, style=style, layout=layout, tooltip=tooltip, **more)

        def button(text: str, width: int, tooltip: str, icon: str) -> widgets.Button:
            layout = widgets.Layout(width=f"{width}px", margin="2px 6px 2px 0")
            return widgets.Button(description=text, tooltip=tooltip, icon=icon, layout=layout)

        self._colour_list = listed(
            "Colour by", 216, "What the colours of the points say", options=options, value=colour_by
        )
        self._groups = listed("Light up", 206, "Select all clips of a group", options=[("–", "")], value="")
        self._clip_list = widgets.Combobox(
            placeholder="type or choose", options=tuple(map(str, self._ids[:2000])), description="Clip",
            ensure_option=False, continuous_update=False, tooltip="Show a clip by its name",
            style={"description_width": "initial"}, layout=widgets.Layout(width="178px", margin="2px 10px 2px 0"),
        )  # fmt: skip
        self._same = button("Same AUs", 104, "Select every clip with the AU set of the clip in hand", "link")
        self._partner = button(
            "Confusable partner", 164, "Same AU set, another emotion: the clip that moves most alike", "exchange"
        )
        self._clear = button("Clear", 80, "Select nothing", "times")
        controls = [self._colour_list, self._groups, self._clip_list, self._same, self._partner, self._clear]
        self._controls = widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap"))
        self._legend, self._selected, self._foot, self._message = (widgets.HTML() for _ in range(4))
        self._foot.value = note(f"{params_line(self._embedding)}. {CAUTION}")
        self._cards = [widgets.HTML(layout=widgets.Layout(flex="1 1 0", min_width="0")) for _ in range(2)]
        self._picture = widgets.Image(
            format="webp", layout=widgets.Layout(height=f"{_FACE}px", object_fit="contain", margin="0 auto")
        )
        self._magnifies = widgets.FloatSlider(
            magnify, min=1, max=MOST, step=0.5, description="motion ×", readout_format=".1f", continuous_update=False,
            tooltip="How many times as large the motion is drawn", style={"description_width": "64px"},
            layout=widgets.Layout(width="264px"),
        )  # fmt: skip
        self._overlays = widgets.Dropdown(
            options=[(title, key) for key, title in OVERLAYS.items()], tooltip="What is drawn over the faces",
            layout=widgets.Layout(width="136px"),
        )  # fmt: skip
        tools = widgets.HBox([self._magnifies, self._overlays], layout=widgets.Layout(justify_content="center"))
        middle = widgets.VBox(
            [self._picture, tools, self._message],
            layout=widgets.Layout(width="412px", flex="0 0 412px", margin="0 8px"),
        )
        self._below = widgets.HBox(
            [self._cards[0], middle, self._cards[1]], layout=widgets.Layout(min_height="238px", margin="6px 0 0 0")
        )

    def _wire(self) -> None:
        self._maps.listen(
            hovered=self._on_hover, left=lambda row: self._show_soon.cancel(), clicked=self._on_click,
            lassoed=self._on_lasso, cleared=self.clear,
        )  # fmt: skip
        self._colour_list.observe(lambda change: setattr(self, "colour_by", change.new), "value")
        self.observe(lambda change: self._recolour(change.new), "colour_by")
        self._groups.observe(self._on_group, "value")
        self._clip_list.observe(self._on_clip_named, "value")
        for control in (self._magnifies, self._overlays):
            control.observe(lambda change: self._draw_clip(), "value")
        self._same.on_click(lambda _: self._try(self.select_same_aus))
        self._partner.on_click(lambda _: self._try(self.show_partner))
        self._clear.on_click(lambda _: self.clear())

    # What the gestures do ---------------------------------------------------------------------------------------------

    def _on_hover(self, row: int) -> None:
        self._show_soon.cancel()
        if self._ids[row] != self.clip_id:
            self._show_soon(row)

    def _on_click(self, row: int) -> None:
        self._show_soon.cancel()
        self._show_clip(row)

    def _on_lasso(self, rows: list[int]) -> None:
        if not rows:
            self.clear()
            return
        self._groups.value = ""
        self._light(np.unique(rows))

    def _on_group(self, change: traitlets.Bunch) -> None:
        if change.new:
            self._maps.forget_lasso()
            self._light(np.flatnonzero(self._colours.values == change.new))

    def _on_clip_named(self, change: traitlets.Bunch) -> None:
        if change.new and change.new != self.clip_id:
            self._try(lambda: self.show(change.new))

    def _try(self, act: Callable[[], object]) -> None:
        """Do what a control asks for; what is wrong is said on the page, for nobody sees an exception there."""
        try:
            act()
        except ValueError as problem:
            self._say(str(problem), warn=True)

    def _show_clip(self, row: int) -> None:
        with self.hold_trait_notifications():
            self.clip_id, self.partner_id = str(self._ids[row]), ""
        self._clip_list.value = self.clip_id
        self._maps.ring(row, None)
        self._say("")
        self._draw_clip()

    def _light(self, rows: np.ndarray) -> None:
        self._lit = rows
        chosen = self._table.iloc[rows].copy()
        # The line first, for it is there at once; then the maps; then whoever follows the selection, however slowly.
        self._selected.value = selection_text(chosen, of=len(self._table))
        self._maps.light(self._colours, rows)
        self.selection = chosen

    def _recolour(self, key: str) -> None:
        self._colours = colouring(self._table, key)
        if self._colour_list.value != key and key in dict(self._choices):
            self._colour_list.value = key
        names = [name for name, count in self._colours.counts.items() if count]
        self._groups.options = [("–", "")] + [(f"{name} ({self._colours.counts[name]})", name) for name in names]
        self._groups.value = ""
        self._maps.paint(self._colours, self._lit)
        self._legend.value = legend(dict(self._colours.styles), self._colours.counts, title=self._colours.title)

    # What is written --------------------------------------------------------------------------------------------------

    def _say(self, text: str, *, warn: bool = False) -> None:
        self._message.value = note(text, warn=warn)

    def _draw_clip(self) -> None:
        shown = tuple(name for name in (self.clip_id, self.partner_id) if name)
        for card, name in zip(self._cards, (self.clip_id, self.partner_id), strict=True):
            card.value = self._card(name) if name else self._hint(first=card is self._cards[0])
        problems = [self._faces.why_not(name) for name in shown]
        if not shown or any(problems):
            self._picture.layout.display = "none"
            if any(problems):
                self._say(next(filter(None, problems)), warn=True)
            return
        self._picture.layout.display = ""
        self._picture.value, _ = self._faces.animation(
            shown, magnify=self._magnifies.value, overlay=self._overlays.value
        )

    def _card(self, clip_id: str) -> str:
        row = self._table.iloc[self._row(clip_id)]
        return f"<div class='medn-card'>{clip_heading(row)}{score_rows(self._predictions, clip_id)}</div>"

    def _hint(self, *, first: bool) -> str:
        if first:
            return note("Hover or click a point, or name a clip above: it plays here.")
        return note("“Confusable partner” puts the clip beside it that has the same AU set and another emotion.")

    def _row(self, clip_id: str) -> int:
        return int(positions(self._table, clip_id, owner="this explorer")[0])

    def _in_hand(self) -> str:
        if not self.clip_id:
            raise ValueError("no clip is in hand yet: hover or click a point first, or call show(clip_id)")
        return self.clip_id


def _partner_places(embedding: Embedding, features: BranchFeatures | None) -> tuple[np.ndarray, str]:
    """Where each clip lies for the search of partners, and what that place is called."""
    if features is not None and features.motion is not None:
        rows = positions(features.table, embedding.table["clip_id"], owner="these BranchFeatures")
        return np.asarray(features.motion[rows], dtype=float), "motion features"
    name = next(n for n in ("motion", "fused", "emotion") if getattr(embedding, f"{n}_xy") is not None)
    return np.asarray(getattr(embedding, f"{name}_xy"), dtype=float), f"{name} map"
