"""What a widget shows, for tests that use it as a reader does: its controls, texts and figures."""

from __future__ import annotations

from typing import Any

import ipywidgets
import plotly.graph_objects as go


def parts(widget: ipywidgets.Widget, kind: type = ipywidgets.Widget, *, hidden: bool = True) -> list[Any]:
    """The parts of this kind, in the order of the page; those that are not displayed only where `hidden` is true."""
    if not hidden and getattr(widget.layout, "display", None) == "none":
        return []
    own = [widget] if isinstance(widget, kind) else []
    return own + [part for child in getattr(widget, "children", ()) for part in parts(child, kind, hidden=hidden)]


def control(widget: ipywidgets.Widget, description: str, kind: type = ipywidgets.Widget, *, hidden: bool = True) -> Any:
    """The control with this label."""
    for one in parts(widget, kind, hidden=hidden):
        if getattr(one, "description", None) == description:
            return one
    raise AssertionError(f"no control {description!r}")


def text_of(widget: ipywidgets.Widget, *, hidden: bool = True) -> str:
    """All texts on the page, as HTML, without the style sheet."""
    texts = [one.value for one in parts(widget, ipywidgets.HTML, hidden=hidden)]
    return " ".join(text for text in texts if not text.startswith("<style>"))


def figure_of(widget: ipywidgets.Widget) -> go.FigureWidget:
    """The figure on the page."""
    return parts(widget, go.FigureWidget)[0]


def click(figure: go.FigureWidget, trace: int, point: int | list[int]) -> None:
    """Click a point of a trace, by the message that a page sends; in a matrix a point is its row and its column."""
    points = {"trace_indexes": [trace], "point_indexes": [point], "xs": [None], "ys": [None]}
    figure._js2py_pointsCallback = {"event_type": "plotly_click", "points": points, "device_state": None}
