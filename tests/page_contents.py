"""What a widget shows, for tests that use it as a reader does: its controls, texts and figures."""

from typing import Any

import ipywidgets
import plotly.graph_objects as go

from medn_lab.widgets.panel import LiveFigure


def parts(widget: ipywidgets.Widget, kind: type = ipywidgets.Widget, *, hidden: bool = True) -> list[Any]:
    """The parts of this kind, in the order of the page; those that are not displayed only where `hidden` is true."""
    if not hidden and getattr(widget.layout, "display", None) == "none":
        return []
    own = [widget] if isinstance(widget, kind) else []
    return own + [part for child in getattr(widget, "children", ()) for part in parts(child, kind, hidden=hidden)]


def control(widget: ipywidgets.Widget, description: str, kind: type = ipywidgets.Widget, *, hidden: bool = True) -> Any:
    """The control with this label."""
    found = [one for one in parts(widget, kind, hidden=hidden) if getattr(one, "description", None) == description]
    assert found, f"no control {description!r}"
    return found[0]


def text_of(widget: ipywidgets.Widget, *, hidden: bool = True) -> str:
    """All texts on the page, as HTML, without the style sheet."""
    texts = [one.value for one in parts(widget, ipywidgets.HTML, hidden=hidden)]
    return " ".join(text for text in texts if not text.startswith("<style>"))


def figures_of(widget: ipywidgets.Widget, *, hidden: bool = True) -> list[go.Figure]:
    """The figures, each of which the page has received as it is."""
    shown = parts(widget, LiveFigure, hidden=hidden)
    assert all(one.figure == one.drawn.to_json(validate=False) for one in shown)
    return [one.drawn for one in shown]


def figure_of(widget: ipywidgets.Widget) -> go.Figure:
    """The first figure."""
    return figures_of(widget)[0]


def click(widget: ipywidgets.Widget, trace: int, point: int | list[int]) -> None:
    """Click a point of the first figure, as a page does; in a matrix a point is its row and its column."""
    figure = parts(widget, LiveFigure)[0]
    figure.set_state({"clicked": [trace, point, figure.clicked[-1] + 1 if figure.clicked else 1]})
