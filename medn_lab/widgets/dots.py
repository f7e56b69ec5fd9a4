"""The points of the explorer's maps on a canvas of their own, for maps with more clips than plotly redraws at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from medn_lab.view import theme
from medn_lab.view.colouring import Colouring

MOST_STYLES = 255


class CanvasMarks:
    """What is drawn on the maps, by the page itself; plotly keeps the axes, the pointer and the outlines.

    Only what changes is sent: row numbers for a selection, one row for a ring.

    Parameters
    ----------
    xy : (m, n, 2) of float
        The places of n clips on m maps.
    axes : sequence of (str, str)
        The layout's names of each map's axes: ``("xaxis2", "yaxis2")``.
    size, opacity : float
        Of a point.
    dimmed : float
        Opacity of all points where some are lit.

    Attributes
    ----------
    widget : DOMWidget
        Goes into the element of class ``medn-maps`` that holds the figure; takes no room.
    """

    def __init__(
        self, xy: np.ndarray, *, axes: Sequence[tuple[str, str]], size: float, opacity: float, dimmed: float
    ) -> None:
        n = xy.shape[1]
        self.widget = _dots_kind()(
            xy=np.ascontiguousarray(xy, dtype=np.float32).tobytes(), axes=[list(pair) for pair in axes],
            style_of=bytes(n), kept=b"\1" * n, size=float(size), opacity=float(opacity), dimmed=dimmed / opacity,
        )  # fmt: skip

    def paint(self, colours: Colouring) -> None:
        """Colour all points; what is lit stays lit."""
        names = list(colours.styles)[:MOST_STYLES]
        place = {name: number for number, name in enumerate(names)}
        style_of = np.asarray([place.get(name, 0) for name in colours.values], dtype=np.uint8)
        with self.widget.hold_sync():
            self.widget.styles = [list(colours.styles[name]) for name in names] or [[theme.GREY, "circle"]]
            self.widget.style_of = style_of.tobytes()

    def keep(self, shown: np.ndarray) -> None:
        """Draw these points alone: (n,) of bool."""
        self.widget.kept = shown.astype(np.uint8).tobytes()

    def light(self, lit: np.ndarray) -> None:
        """Light these rows in every map; none lights all."""
        self.widget.lit = lit.astype(np.int32).tobytes()

    def ring(self, rows: Sequence[int], colours: Sequence[str]) -> None:
        """Put a ring around each of these rows in every map."""
        self.widget.rings = [[int(row), colour] for row, colour in zip(rows, colours, strict=True)]


@cache
def _dots_kind() -> type[widgets.DOMWidget]:
    """Made at first use: where anywidget is missing, figures stand still and nothing is drawn by this."""
    import anywidget

    class Dots(anywidget.AnyWidget):
        _esm = (Path(__file__).parent / "dots.js").read_text(encoding="utf-8")
        xy = traitlets.Bytes().tag(sync=True)
        axes: traitlets.List[Any] = traitlets.List().tag(sync=True)
        style_of = traitlets.Bytes().tag(sync=True)
        styles = traitlets.List([[theme.GREY, "circle"]]).tag(sync=True)
        kept = traitlets.Bytes().tag(sync=True)
        lit = traitlets.Bytes().tag(sync=True)
        rings: traitlets.List[Any] = traitlets.List().tag(sync=True)
        size = traitlets.Float(6.0).tag(sync=True)
        opacity = traitlets.Float(1.0).tag(sync=True)
        dimmed = traitlets.Float(1.0).tag(sync=True)

    return Dots
