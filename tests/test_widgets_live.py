"""Figures inside widgets: what a page gets is the present figure, however late it comes."""

import gzip
import json

import ipywidgets
import plotly.graph_objects as go
from page_contents import click, figure_of
from plotly.offline import get_plotlyjs

from medn_lab.widgets.panel import LiveFigure


def bars(*values, title=""):
    return go.Figure(go.Bar(x=[1, 2], y=list(values)), layout={"height": 200, "title": title})


def test_a_page_gets_the_present_figure_and_each_click_is_heard_with_its_trace_and_point():
    figure, heard = LiveFigure(bars(3, 4)), []
    figure.on_click(lambda trace, point: heard.append((trace.type, point)))
    for point in (1, 1):
        click(figure, 0, point)
    figure.drawn = bars(5, 6, title="new")
    assert json.loads(figure.get_state()["figure"])["layout"]["title"]["text"] == "new"
    figure.drawn.data[0].y = [7, 8]  # a change in place
    figure.send_figure()
    assert list(figure_of(figure).data[0].y) == [7, 8]
    click(figure, 0, 0)
    assert heard == [("bar", 1), ("bar", 1), ("bar", 0)]


def test_all_figures_share_one_copy_of_the_code_of_plotly_which_is_made_again_where_it_was_closed():
    figure, other = LiveFigure(bars(3, 4)), LiveFigure(bars(1, 2))
    assert figure.library == other.library
    library = ipywidgets.widget_serialization["from_json"](f"IPY_MODEL_{figure.library}", None)
    assert gzip.decompress(library.value).decode() == get_plotlyjs()
    assert len(str(figure.get_state())) < 20_000
    library.close()
    assert LiveFigure(bars(1, 2)).library != other.library
