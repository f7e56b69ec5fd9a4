"""Figures inside widgets: what a page gets is the present figure, however late it comes."""

import gzip
import json

import ipywidgets
import plotly.graph_objects as go
from page_contents import click, figure_of
from plotly.offline import get_plotlyjs

from medn_lab.widgets.panel import LiveFigure


def bars(*values):
    return go.Figure(go.Bar(x=[1, 2], y=list(values)), layout={"height": 200})


def test_a_page_gets_the_present_figure_its_clicks_arrive_and_all_figures_share_the_code_of_plotly():
    figure, other, heard = LiveFigure(bars(3, 4)), LiveFigure(bars(1, 2)), []
    figure.on_click(lambda trace, point: heard.append((trace.type, point)))
    for point in (1, 1, 0):
        click(figure, 0, point)
    assert heard == [("bar", 1), ("bar", 1), ("bar", 0)]
    figure.drawn = bars(5, 6)
    assert json.loads(figure.get_state()["figure"])["data"][0]["y"] == [5, 6]
    figure.drawn.data[0].y = [7, 8]  # a change in place
    figure.send_figure()
    assert list(figure_of(figure).data[0].y) == [7, 8]
    library = ipywidgets.widget_serialization["from_json"](f"IPY_MODEL_{figure.library}", None)
    assert (figure.library, gzip.decompress(library.value).decode()) == (other.library, get_plotlyjs())
    assert len(str(figure.get_state())) < 20_000
    library.close()
    assert LiveFigure(bars(1, 2)).library != other.library  # it is made again
