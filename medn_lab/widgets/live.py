"""plotly figures inside widgets."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

CONFIG = {"displaylogo": False, "displayModeBar": False}


class LiveFigure(anywidget.AnyWidget):
    """A plotly figure on the page that is drawn again when ``drawn`` is set.

    A figure without a width follows the width of the page. plotly's own FigureWidget is not used: each one sends 5 MB
    of code to the page, and a page that opens it later shows the data that it was made with.

    Parameters
    ----------
    drawn : Figure

    Attributes
    ----------
    drawn : Figure
        What the page shows; set it to show another figure. After a change in place call ``send_figure()``.
    clicked : list
        The last click: number of the trace, number of the point (row and column in a matrix), number of the click.
    """

    _esm = Path(__file__).parent / "live.js"
    drawn = traitlets.Instance(go.Figure)
    clicked: traitlets.List[Any] = traitlets.List().tag(sync=True)
    figure = traitlets.Unicode().tag(sync=True)
    config = traitlets.Dict(CONFIG).tag(sync=True)
    library = traitlets.Unicode().tag(sync=True)

    def __init__(self, drawn: go.Figure) -> None:
        super().__init__(drawn=drawn, library=_library().model_id)

    @traitlets.observe("drawn")
    def _drawn_changed(self, _: object) -> None:
        self.send_figure()

    def send_figure(self) -> None:
        """Show what was changed in place in ``drawn``."""
        self.figure = str(self.drawn.to_json(validate=False))

    def on_click(self, listener: Callable[[Any, Any], object]) -> None:
        """Call a function with the trace and the number of the point at each click."""

        def hear(change: traitlets.Bunch) -> None:
            trace, point, _ = change.new
            listener(self.drawn.data[trace], point)

        self.observe(hear, "clicked")


class _Library(anywidget.AnyWidget):
    """plotly's code, which all figures of a page share."""

    _esm = "export default {};"
    code = traitlets.Bytes().tag(sync=True)


@cache
def _compressed() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), compresslevel=6)


_libraries: list[_Library] = []


def _library() -> _Library:
    """The library of this kernel; a new one where it was closed."""
    if not _libraries or _libraries[0].comm is None:
        _libraries[:] = [_Library(code=_compressed())]
    return _libraries[0]
