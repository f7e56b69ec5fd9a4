"""What a widget shows, for tests that use it as a reader does: its controls, texts and figures."""

from __future__ import annotations

from typing import Any

import ipywidgets
import plotly.graph_objects as go


def parts(widget: ipywidgets.Widget, kind: type) -> list[Any]:
    """The parts of this kind, in the order in which they stand on the page."""
    own = [widget] if isinstance(widget, kind) else []
    return own + [part for child in getattr(widget, "children", ()) for part in parts(child, kind)]


def control(widget: ipywidgets.Widget, description: str) -> Any:
    """The control with this label."""
    return next(one for one in parts(widget, ipywidgets.Widget) if getattr(one, "description", None) == description)


def text_of(widget: ipywidgets.Widget) -> str:
    """All texts on the page, as HTML."""
    return " ".join(one.value for one in parts(widget, ipywidgets.HTML))


def figure_of(widget: ipywidgets.Widget) -> go.FigureWidget:
    """The figure on the page."""
    return parts(widget, go.FigureWidget)[0]


def click(figure: go.FigureWidget, trace: int, point: int | list[int]) -> None:
    """Click a point of a trace, by the message that a page sends; in a matrix a point is its row and its column."""
    points = {"trace_indexes": [trace], "point_indexes": [point], "xs": [None], "ys": [None]}
    figure._js2py_pointsCallback = {"event_type": "plotly_click", "points": points, "device_state": None}
