"""A figure's output holds its data as HTML, and the output of the first figure alone plotly.js."""

import base64
import gzip
import json
import re
from types import SimpleNamespace

import IPython
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from medn_lab.view.theme import RENDERER, HtmlTwin, keep_figures_in_html

FIGURE = re.compile(r'data-medn-figure="([\w+/=]+)"')
LIBRARY = re.compile("<script[^>]*data-medn-plotly")


@pytest.mark.parametrize("cell", [{}, {"cellId": "one cell"}])
def test_the_html_holds_the_figure_and_the_first_cell_alone_holds_plotly_js(cell, monkeypatch):
    twin, figure, message = HtmlTwin(), go.Figure(go.Bar(y=[3, 1, 2]), layout={"width": 320, "height": 200}), {}
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: message))
    pages, again = [], "edited" if cell else "a"
    for run, code, metadata in (("1", "a", cell), ("1", "a", cell), ("2", "b", {"cellId": "two"}), ("3", again, cell)):
        message.update(header={"msg_id": run}, content={"code": code}, metadata=metadata)
        pages.append(twin.to_mimebundle(figure.to_dict())["text/html"])
    assert [len(LIBRARY.findall(one)) for one in pages] == [1, 0, 0, 1]  # again where the first cell is run again
    assert len(pages[0]) < 2_500_000
    found = json.loads(gzip.decompress(base64.b64decode(FIGURE.findall(pages[2])[0])))
    assert go.Figure(data=found["data"], layout=found["layout"]) == figure
    assert "width:320px;height:200px" in pages[2]


def test_a_renderer_that_the_user_chose_is_left_alone(monkeypatch):
    for chosen, added in (("plotly_mimetype", f"+{RENDERER}"), ("plotly_mimetype+png", "")):
        monkeypatch.setattr(pio.renderers, "default", chosen)
        keep_figures_in_html.__wrapped__()
        assert pio.renderers.default == chosen + added
