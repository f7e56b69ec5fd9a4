"""A figure inside a widget: alive where it can be, still and said to be still where it cannot."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any
from uuid import uuid4

import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets
from plotly.basedatatypes import BasePlotlyType
from plotly.utils import PlotlyJSONEncoder

from medn_lab.widgets.panel import note
from medn_lab.widgets.timing import Dwell

STILL = (
    "This figure is still: it can be looked at, but pointing at it does nothing. The controls next to it work. Why: "
)
NO_ANYWIDGET = "the package anywidget is missing here. Run pip install anywidget and restart the kernel."
COLAB = (
    "Colab lets such figures live only after “from google.colab import output; output.enable_custom_widget_manager()”."
    " Run that, then make this widget again."
)
CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True}
_REDRAW = 0.4  # seconds without a change before the still figure is drawn again: each drawing sends 5 MB


def live_figure(figure: go.Figure) -> tuple[go.Figure, widgets.DOMWidget]:
    """A figure that can be changed in place, and the widget that shows it.

    Where plotly's FigureWidget cannot be made (anywidget is missing) or is known not to be shown (Colab without its
    custom widget manager), a still figure takes its place and says why.

    Parameters
    ----------
    figure : Figure
        One without a width follows the width of the page.

    Returns
    -------
    figure : FigureWidget or StillFigure
        Take data and layout from it, and change them, as with any plotly figure.
    widget : DOMWidget
        What is put on the page.
    """
    why = _not_shown()
    if not why:
        live = _live_kind()(figure)
        live._config = CONFIG
        if figure.layout.width:
            return live, live
        live._page = _page_width()(height=figure.layout.height)
        return live, widgets.VBox([live, live._page])
    still = StillFigure(figure, why=why)
    return still, still.widget


def redraw(figure: go.Figure, drawn: go.Figure, *, on_click: Callable[..., object] | None = None) -> None:
    """Show `drawn` in the place of what `figure` shows.

    A new FigureWidget would send 5 MB of code to the page. Where both have the same traces, only what
    differs is sent.

    Parameters
    ----------
    figure : FigureWidget or StillFigure
        As :func:`live_figure` returns; changed in place.
    drawn : Figure
    on_click : callable, optional
        Called with trace, points and state at a click on a trace that has ``ids``.
    """
    same = _kinds(figure) == _kinds(drawn)
    if not same:
        figure.data = []
    with figure.batch_update():
        _change(figure.layout, drawn.layout)
        for old, new in zip(figure.data, drawn.data, strict=same):
            _change(old, new)
    if not same:
        figure.add_traces(drawn.data)
        for trace in figure.data:
            if on_click is not None and trace.ids is not None:
                trace.on_click(on_click)
    if hasattr(figure, "_page"):
        figure._page.height = drawn.layout.height


def _change(part: BasePlotlyType, wanted: BasePlotlyType) -> None:
    """Give a layout or a trace the properties of another; only what differs is sent, for a page that is busy."""
    before, after = part.to_plotly_json(), wanted.to_plotly_json()
    text = PlotlyJSONEncoder().encode
    keys = [key for key in before | after if text(before.get(key)) != text(after.get(key))]
    part.update({key: after.get(key) for key in keys}, overwrite=True)


def _kinds(figure: go.Figure) -> list[tuple[Any, ...]]:
    """What a trace shows and where, of each trace."""
    return [(one.type, one.meta, one.name, one.ids is None, one.xaxis, one.yaxis) for one in figure.data]


def _not_shown() -> str:
    """Why a FigureWidget cannot be made or shown here, as far as the kernel can know; empty where nothing is known."""
    if not issubclass(go.FigureWidget, widgets.DOMWidget):  # plotly's stand-in where anywidget is missing
        return NO_ANYWIDGET
    if "google.colab" not in sys.modules:
        return ""
    manager = sys.modules.get("google.colab.output._widgets")
    return COLAB if getattr(manager, "_installed_url", None) is None else ""


@cache
def _page_width() -> type[widgets.DOMWidget]:
    """A widget that draws the figure before it anew where the width of the page changes.

    plotly's widget draws first while the page has given it no width, and then listens to the window alone. A figure
    without a width takes its height from its element, too.
    """
    import anywidget

    class PageWidth(anywidget.AnyWidget):
        _esm = """
        export default { render({ model, el }) {
          let width = 0;
          const fit = () => {
            const plot = el.parentElement?.querySelector(".js-plotly-plot");
            if (!plot?._fullLayout) return void setTimeout(fit, 100);
            delete plot.layout.width;  // plotly fixes it where it is given a new height
            plot.style.height = `${model.get("height")}px`;
            window.dispatchEvent(new Event("resize"));
          };
          const watch = new ResizeObserver(([{ contentRect }]) => {
            if (!contentRect.width || contentRect.width === width) return;
            width = contentRect.width;
            fit();
          });
          watch.observe(el);
          model.on("change:height", fit);
          return () => watch.disconnect();
        } };
        """
        height = traitlets.Float().tag(sync=True)

    return PageWidth


@cache
def _live_kind() -> type[go.FigureWidget]:
    """FigureWidget whose whole state is the present one.

    plotly sends the data that it was made with to every page that comes later (Lab reloaded, Voila), and changes only
    to those that are open.
    """

    class LiveFigure(go.FigureWidget):
        def __init__(self, figure: go.Figure) -> None:
            # plotly opens an empty widget and sends the data afterwards: an open page may draw it before they arrive.
            self.__dict__["_made_of"] = figure.for_each_trace(lambda one: one.update(uid=one.uid or str(uuid4())))
            super().__init__(figure)

        def get_state(self, key: object = None, drop_defaults: bool = False) -> dict[str, object]:
            if key is None:
                now = self if "_layout_obj" in vars(self) else self.__dict__["_made_of"]
                self._trait_values["_widget_data"] = deepcopy(now._data)
                self._trait_values["_widget_layout"] = deepcopy(now._layout_obj._props)
            return super().get_state(key, drop_defaults)

    return LiveFigure


class StillFigure(go.Figure):
    """A plain figure in a page within the page, drawn again once changes have paused.

    Attributes
    ----------
    widget : VBox
        What is put on the page: the figure, and why it is still.
    """

    def __init__(self, figure: go.Figure, *, why: str) -> None:
        super().__init__(figure)
        self._frame = widgets.HTML()
        self._soon = Dwell(self._draw, seconds=_REDRAW)
        self._widget = widgets.VBox([self._frame, widgets.HTML(note(STILL + why, warn=True))])
        self._widget.add_class("medn-still")
        self._draw()

    @property
    def widget(self) -> widgets.VBox:
        """The figure on the page."""
        return self._widget

    def _draw(self) -> None:
        width, height = self.layout.width or "100%", self.layout.height or 450
        page = self.to_html(include_plotlyjs=True, config=CONFIG)
        self._frame.value = (
            f"<iframe srcdoc='{html.escape(page)}' width='{width or '100%'}' height='{height:.0f}'"
            " style='border:0' scrolling='no' title='figure'></iframe>"
        )

    # What plotly calls after a change, for its own widget to pass it on.

    def _changed(self, *_: object, **__: object) -> None:
        if "_soon" in vars(self):
            self._soon()

    _send_addTraces_msg = _send_deleteTraces_msg = _send_moveTraces_msg = _changed
    _send_restyle_msg = _send_relayout_msg = _send_update_msg = _changed
