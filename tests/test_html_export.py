"""Figures of a notebook are on the page that ``jupyter nbconvert --to html`` writes, with plotly.js once."""

import base64
import gzip
import json
import re
from types import SimpleNamespace

import IPython
import nbformat
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from nbconvert import HTMLExporter

from medn_lab.view.theme import HTML_RENDERER, HtmlTwin, keep_figures_in_html

FIGURE = re.compile(r'data-medn-figure="([\w+/=]+)"')
LIBRARY = re.compile("<script[^>]*data-medn-plotly")


@pytest.mark.parametrize("cell", [None, "one cell"])
def test_the_html_holds_the_figure_and_the_first_cell_alone_holds_plotly_js(cell, monkeypatch):
    twin, figure, message = HtmlTwin(), go.Figure(go.Bar(y=[3, 1, 2]), layout={"width": 320, "height": 200}), {}

    def page(run: str, code: str, own: str | None = cell) -> str:
        metadata = {"cellId": own} if own else {}
        message.update(header={"msg_id": run}, content={"code": code}, metadata=metadata)
        return twin.to_mimebundle(figure.to_dict())["text/html"]

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: message))
    pages = [page("1", "a"), page("1", "a"), page("2", "b", "another cell"), page("3", "edited" if cell else "a")]
    assert [len(LIBRARY.findall(one)) for one in pages] == [1, 0, 0, 1]  # again where the first cell is run again
    assert len(pages[0]) < 2_500_000
    found = json.loads(gzip.decompress(base64.b64decode(FIGURE.findall(pages[2])[0])))
    assert go.Figure(data=found["data"], layout=found["layout"]) == figure
    assert "width:320px;height:200px" in pages[2]


@pytest.mark.parametrize(
    ("chosen", "kept"), [("plotly_mimetype", f"plotly_mimetype+{HTML_RENDERER}"), ("plotly_mimetype+png", "plotly_mimetype+png")]
)
def test_a_renderer_that_the_user_chose_is_left_alone(chosen, kept):
    before = pio.renderers.default
    try:
        pio.renderers.default = chosen
        keep_figures_in_html.__wrapped__()
        assert pio.renderers.default == kept
    finally:
        pio.renderers.default = before


def test_the_page_of_a_stored_notebook_holds_a_picture_of_every_figure(repository):
    book = nbformat.read(repository / "notebooks" / "06_feature_space.ipynb", as_version=4)
    outputs = [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    pictures = [data["image/png"].replace("\n", "") for data in outputs if "application/vnd.plotly.v1+json" in data]
    page = HTMLExporter().from_notebook_node(book)[0].replace("\n", "")
    assert pictures
    assert all(picture in page for picture in pictures)
    assert not LIBRARY.search(page)
