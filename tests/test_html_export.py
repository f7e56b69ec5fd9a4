"""Figures of an executed notebook are on the page that ``jupyter nbconvert --to html`` writes, with plotly.js once."""

import base64
import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace

import IPython
import nbformat
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from executed_books import executed
from nbconvert import HTMLExporter

from medn_lab.view.html_export import NAME, HtmlTwin, keep_figures_in_html

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "06_feature_space.ipynb"
FIGURE = re.compile(r'data-medn-figure="([\w+/=]+)"')
LIBRARY = re.compile("<script[^>]*data-medn-plotly")
PLOTLY = "application/vnd.plotly.v1+json"


def unpacked(packed: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def outputs_of(book):
    return [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]


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
    found = unpacked(FIGURE.findall(pages[2])[0])
    assert go.Figure(data=found["data"], layout=found["layout"]) == figure
    assert "width:320px;height:200px" in pages[2]


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [("plotly_mimetype", f"plotly_mimetype+{NAME}"), ("png", "png"), ("plotly_mimetype+png", "plotly_mimetype+png")],
)
def test_a_renderer_that_the_user_chose_is_left_alone(chosen, kept):
    before = pio.renderers.default
    try:
        pio.renderers.default = chosen
        keep_figures_in_html.__wrapped__()
        assert pio.renderers.default == kept
    finally:
        pio.renderers.default = before


@pytest.mark.slow
def test_the_page_of_an_executed_notebook_holds_every_figure_and_plotly_js_once(tmp_path):
    book = executed(tmp_path)
    outputs = outputs_of(book)
    assert sum(PLOTLY in data and "text/html" in data for data in outputs) == 4
    page, _ = HTMLExporter().from_notebook_node(book)
    assert len(LIBRARY.findall(page)) == 1
    figures = [unpacked(packed) for packed in FIGURE.findall(page)]
    assert [figure["data"] for figure in figures] == [data[PLOTLY]["data"] for data in outputs if PLOTLY in data]


def test_the_page_of_a_stored_notebook_holds_a_picture_of_every_figure():
    book = nbformat.read(NOTEBOOK, as_version=4)
    pictures = [data["image/png"].replace("\n", "") for data in outputs_of(book) if PLOTLY in data]
    page = HTMLExporter().from_notebook_node(book)[0].replace("\n", "")
    assert pictures
    assert all(picture in page for picture in pictures)
    assert not LIBRARY.search(page)
