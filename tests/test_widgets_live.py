"""Figures inside widgets: what a page gets is the present figure, however late it comes."""

import gzip
import json

import ipywidgets
import plotly.graph_objects as go
import pytest
from page_contents import click, figure_of
from plotly.offline import get_plotlyjs

from medn_lab.widgets.panel import LiveFigure


def bars(*values, title=""):
    return go.Figure(go.Bar(x=[1, 2], y=list(values)), layout={"height": 200, "title": title})


@pytest.fixture
def figure():
    return LiveFigure(bars(3, 4))


def test_a_page_that_comes_later_gets_the_present_figure(figure):
    figure.drawn = bars(5, 6, title="new")
    sent = json.loads(figure.get_state()["figure"])
    assert sent["layout"]["title"]["text"] == "new"
    assert list(figure_of(figure).data[0].y) == [5, 6]


def test_a_change_in_place_is_sent(figure):
    figure.drawn.data[0].y = [7, 8]
    figure.send_figure()
    assert list(figure_of(figure).data[0].y) == [7, 8]


def test_all_figures_share_one_copy_of_the_code_of_plotly(figure):
    other = LiveFigure(bars(1, 2))
    assert figure.library == other.library
    library = ipywidgets.Widget._instances[figure.library] if hasattr(ipywidgets.Widget, "_instances") else None
    library = library or ipywidgets.widget_serialization["from_json"](f"IPY_MODEL_{figure.library}", None)
    assert gzip.decompress(library.code).decode() == get_plotlyjs()
    assert len(json.dumps({key: str(value) for key, value in figure.get_state().items()})) < 20_000


def test_the_code_is_made_again_where_all_widgets_were_closed(figure):
    before = figure.library
    ipywidgets.Widget.close_all()
    assert LiveFigure(bars(1, 2)).library != before


def test_a_click_is_heard_with_its_trace_and_point_also_twice(figure):
    heard = []
    figure.on_click(lambda trace, point: heard.append((trace.type, point)))
    click(figure, 0, 1)
    click(figure, 0, 1)
    figure.drawn = bars(5, 6)
    click(figure, 0, 0)
    assert heard == [("bar", 1), ("bar", 1), ("bar", 0)]
