"""The linked maps of the explorer: one figure, and in each map the points, the lit ones and the rings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from medn_lab.records import Embedding
from medn_lab.view import theme
from medn_lab.view.colouring import Colouring
from medn_lab.view.maps import map_figure, marker_look
from medn_lab.widgets.dots import CanvasMarks
from medn_lab.widgets.live import live_figure, stands_still
from medn_lab.widgets.map_marks import ALIKE, TraceMarks, trace_of
from medn_lab.widgets.outlines import Outline, newest, read_outlines, selector_corners
from medn_lab.widgets.pacing import Dwell, Turn

_DIMMED = 0.16
_OUTLINE = {"color": theme.RING, "width": 1.5, "dash": "dot"}

SETTLED = 0.16
"""Seconds after which a lasso that was let go is settled: plotly takes up its last corner 0.1 s late, and any change of
the figure before that makes it forget the outline."""

LATER = 1.0
"""Seconds after which a hover says that an outline went by a double click, and not because the next one is begun."""

MOST_SVG_POINTS = 400
"""More points than this are drawn on a canvas of our own; by WebGL where the figure stands still."""


class BranchMaps:
    """Three linked maps in one FigureWidget.

    Points, lit points and rings are traces of the figure, or with many clips drawn on a canvas over it: plotly then
    keeps the axes, the pointer and the outlines, and points that nobody sees.

    Parameters
    ----------
    embedding : Embedding
    names : list of str
        Which of its maps, one to three.
    texts : (n,) of str
        What the pointer shows, escaped.
    width, height : int
        In pixels.
    """

    def __init__(self, embedding: Embedding, *, names: list[str], texts: np.ndarray, width: int, height: int) -> None:
        self.names = names
        self._xy = {name: np.asarray(embedding.maps[name], dtype=np.float32) for name in names}
        self._kept = np.ones(len(embedding), dtype=bool)
        self._texts = self._named = texts
        look = marker_look(len(embedding))
        self._ringed: tuple[int | None, int | None] = (None, None)
        self._drawn: list[Outline] = []
        self._encircled: list[int] | None = None  # the rows of the lasso that was acted on last
        self._outlined = False  # whether what is lit now was encircled
        self._turn = Turn()
        self._clicked: int | None = None  # the turn in which a click came, if that was the last that the pointer did
        self._removed_at = 0.0  # when the outline went
        figure = map_figure(embedding, names=names, width=width, height=height, margin=(4, 4, 30, 6))
        figure.update_layout(dragmode="lasso", hovermode="closest", hoverdistance=12, showlegend=False)
        figure.update_layout(newselection={"line": _OUTLINE})
        figure.update_layout(uirevision="kept")
        ids = embedding.table["clip_id"].to_numpy(dtype=object)
        many = len(embedding) > MOST_SVG_POINTS
        on_canvas = many and not stands_still()
        kind = go.Scattergl if many else go.Scatter
        for place, name in enumerate(self.names, start=1):
            xy = self._xy[name]
            shared = {"x": xy[:, 0], "y": xy[:, 1], "customdata": ids, "hovertext": texts, "hoverinfo": "text"}
            if on_canvas:
                traces = [go.Scatter(mode="none", hoveron="points", name=f"{name} points", **shared)]
            else:
                points = kind(mode="markers", marker=dict(look), name=f"{name} points", **shared, **ALIKE)
                traces = [points, *TraceMarks.traces(name, xy, look=look, kind=kind)]
            for trace in traces:
                figure.add_trace(trace, row=1, col=place)
        self.figure, self.widget = live_figure(figure)
        self._marks: CanvasMarks | TraceMarks
        if on_canvas:
            self._marks = CanvasMarks(
                np.stack(list(self._xy.values())), axes=[self._axes(name) for name in self.names],
                size=look["size"], opacity=look["opacity"], dimmed=_DIMMED,
            )  # fmt: skip
            self.widget = widgets.VBox([self.figure, self._marks.widget]).add_class("medn-maps")
        else:
            self._marks = TraceMarks(self.figure, xy=self._xy, dimmed=_DIMMED)
        self.figure._config = {
            "displaylogo": False, "scrollZoom": False, "responsive": False, "doubleClick": "reset+autosize",
            "modeBarButtons": [["zoom2d", "pan2d", "select2d", "lasso2d", "resetScale2d"]],
        }  # fmt: skip

    def trace(self, branch: str, part: str) -> go.Scatter:
        """The trace of a map: ``points``, and where traces are what is drawn, ``lit`` and ``rings``."""
        return trace_of(self.figure, branch, part)

    def listen(
        self, *, hovered: Callable[[int], None], left: Callable[[int], None], clicked: Callable[[int], None],
        lassoed: Callable[[list[int]], None], cleared: Callable[[], None],
    ) -> None:  # fmt: skip
        """Call these with row positions when the pointer comes upon, leaves, clicks or encircles points.

        `lassoed` is called once for each lasso or box; `cleared` when a double click takes it away. Answer a hover only
        once the pointer rests (`SETTLED`): a figure that is changed earlier drops a lasso that has just been let go.
        """

        def one(act: Callable[[int], None], *, click: bool = False) -> Callable[..., None]:
            def pointed(trace: go.Scatter, points: Any, state: object) -> None:
                # plotly calls every trace that listens, with no points where it was not the one hit.
                if points.point_inds:
                    self._clicked = self._turn.now() if click else None
                    if not self._drawn and (click or time.monotonic() - self._removed_at > LATER):
                        settle_soon()
                    act(int(points.point_inds[0]))

            return pointed

        # The outline goes where a new one is begun, and by a double click, whose own event may be lost to the hover or
        # click beside it. It was a double click if a click came along with it, or if the pointer touches points a while
        # later: whoever draws an outline touches none meanwhile, and a hover from before it comes in soon or never.
        def settle() -> None:
            if self._outlined and not self._drawn:
                cleared()

        settle_soon = self._settle_soon = Dwell(settle, seconds=2 * SETTLED)

        def outlined(*_: object) -> None:
            drawn = read_outlines(self._selections())
            if all(one in self._drawn for one in drawn):  # none is new: one was taken away, or this is an echo
                self._drawn, self._removed_at = drawn, time.monotonic()
                if self._clicked == self._turn.now() and not drawn:
                    settle_soon()
                return
            self._drawn = newest(drawn, known=self._drawn)
            if len(self._drawn) < len(drawn):
                entries = [one.as_selection() | {"line": _OUTLINE} for one in self._drawn]
                self.figure.plotly_relayout({"selections": entries})
            take(self._drawn)
            self._outlined = bool(self._drawn)

        def selected(trace: go.Scatter, points: Any, selector: object) -> None:
            # A second witness, for a lasso whose outline plotly has dropped: the page then keeps none.
            corners = selector_corners(selector)
            if points.point_inds and corners:
                axes = trace.xaxis or "x", trace.yaxis or "y"
                self._outlined = bool(self._drawn)
                take([Outline(axes, (corners,))])

        def take(outlines: list[Outline]) -> None:
            rows = self.enclosed(outlines)
            if rows != self._encircled:
                self._encircled = rows
                lassoed(rows)

        for name in self.names:
            points = self.trace(name, "points")
            points.on_hover(one(hovered))
            points.on_unhover(one(left))
            points.on_click(one(clicked, click=True))
            points.on_selection(selected)
        self.trace(self.names[0], "points").on_deselect(lambda trace, points: cleared())
        self.figure.layout.on_change(outlined, "selections", append=True)

    def enclosed(self, outlines: list[Outline]) -> list[int]:
        """The rows that lie within any of the outlines, each tested on the map in which it was drawn."""
        inside = np.zeros(len(self._xy[self.names[0]]), dtype=bool)
        for outline in outlines:
            name = next(n for n in self.names if (self.trace(n, "points").xaxis or "x") == outline.axes[0])
            inside |= outline.contains(self._xy[name])
        return np.flatnonzero(inside & self._kept).tolist()

    def keep(self, shown: np.ndarray) -> None:
        """Show these clips alone: (n,) of bool. The others cannot be pointed at or encircled."""
        self._kept = shown
        self._marks.keep(shown)
        with self.figure.batch_update():
            for name in self.names:  # NaN where a point is not shown: the rows keep their numbers
                self.trace(name, "points").x = np.where(shown, self._xy[name][:, 0], np.float32(np.nan))

    def paint(self, colours: Colouring) -> None:
        """Colour all points; what is lit stays lit."""
        self._marks.paint(colours)
        named = colours.named(self._texts)
        if named is not self._named:
            self._named = named
            with self.figure.batch_update():
                for name in self.names:
                    self.trace(name, "points").hovertext = named

    def light(self, lit: np.ndarray) -> None:
        """Light the rows in `lit` in every map; an empty `lit` lights all."""
        self._marks.light(lit)

    def ring(self, row: int | None, partner: int | None) -> None:
        """Put rings around a clip and its partner in every map."""
        if (row, partner) == self._ringed:
            return  # a redraw under a resting pointer counts as a new hover: answering it would never end
        self._ringed = row, partner
        ringed = [(place, c) for place, c in ((row, theme.RING), (partner, theme.PARTNER_RING)) if place is not None]
        self._marks.ring([place for place, _ in ringed], [colour for _, colour in ringed])

    def forget_lasso(self) -> None:
        """Take the drawn outlines away."""
        self._drawn, self._encircled, self._outlined = [], None, False
        # Not ``layout.selections = ()``: plotly's object knows nothing of outlines that were drawn on the page, takes
        # itself for empty already and sends nothing.
        if self._selections():
            self.figure.plotly_relayout({"selections": []})

    def _axes(self, name: str) -> tuple[str, str]:
        """The layout's names of a map's axes."""
        trace = self.trace(name, "points")
        return f"xaxis{(trace.xaxis or 'x')[1:]}", f"yaxis{(trace.yaxis or 'y')[1:]}"

    def _selections(self) -> list[dict[str, object]]:
        return self.figure.layout.to_plotly_json().get("selections") or []
