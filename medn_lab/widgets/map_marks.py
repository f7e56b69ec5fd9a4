"""The points, the lit ones and the rings of the explorer's maps as traces of its figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.colouring import Colouring

_FULL = {"marker": {"opacity": 1.0}}
ALIKE = {"selected": _FULL, "unselected": _FULL}
"""For every trace that plotly may take for selected: here it is we who say what is."""


def trace_of(figure: go.Figure, name: str, part: str) -> go.Scatter:
    """A part of a map, by the map's name: ``points``, ``lit`` or ``rings``."""
    return next(trace for trace in figure.data if trace.name == f"{name} {part}")


class TraceMarks:
    """Three traces a map: all points, the lit ones again over them, and rings.

    The points themselves are only dimmed, which is one number and not an array. The rings are around the clip in hand
    and its partner. Setting another trace's selected points from a selection handler is not stable in plotly, so
    nothing relies on it.

    Parameters
    ----------
    figure : Figure
        Holds a trace ``<name> points`` for each map.
    xy : mapping of str to (n, 2)
        The places of the clips on each map.
    dimmed : float
        Opacity of all points where some are lit.
    """

    def __init__(self, figure: go.Figure, *, xy: dict[str, np.ndarray], dimmed: float) -> None:
        self._figure, self._xy, self._dimmed = figure, xy, dimmed

    @staticmethod
    def traces(name: str, xy: np.ndarray, *, look: dict[str, object], kind: type[go.Scatter]) -> list[go.Scatter]:
        """What is put over the points of a map."""
        lit = kind(
            x=np.full(len(xy), np.nan, dtype=np.float32), y=xy[:, 1], mode="markers", hoverinfo="skip",
            marker=look | {"opacity": 1.0}, name=f"{name} lit", **ALIKE,
        )  # fmt: skip
        ring = go.Scatter(
            x=[], y=[], mode="markers", hoverinfo="skip", name=f"{name} rings",
            marker={"symbol": "circle-open", "size": 19, "color": theme.RING, "line": {"width": 3}}, **ALIKE,
        )  # fmt: skip
        return [lit, ring]

    def paint(self, colours: Colouring) -> None:
        """Colour all points; what is lit stays lit."""
        with self._figure.batch_update():
            for name in self._xy:
                for part in ("points", "lit"):
                    marker = trace_of(self._figure, name, part).marker
                    marker.color, marker.symbol = colours.colours, colours.symbols

    def keep(self, shown: np.ndarray) -> None:
        """The figure's points are hidden by whoever holds them."""

    def light(self, lit: np.ndarray) -> None:
        """Light these rows in every map; none lights all."""
        share = self._dimmed if lit.size else 1.0
        with self._figure.batch_update():
            for name, xy in self._xy.items():
                trace_of(self._figure, name, "points").opacity = share
                # Only x is sent, as numbers: checking thousands of colours takes longer than a gesture may.
                chosen = np.full(len(xy), np.nan, dtype=np.float32)
                chosen[lit] = xy[lit, 0]
                trace_of(self._figure, name, "lit").x = chosen

    def ring(self, rows: Sequence[int], colours: Sequence[str]) -> None:
        """Put a ring around each of these rows in every map."""
        with self._figure.batch_update():
            for name, xy in self._xy.items():
                trace = trace_of(self._figure, name, "rings")
                trace.x, trace.y = xy[list(rows), 0], xy[list(rows), 1]
                trace.marker.color = list(colours) or theme.RING
