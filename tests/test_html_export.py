"""Figures of an executed notebook are on the page that ``jupyter nbconvert --to html`` writes, with plotly.js once."""

import base64
import gzip
import json
import re
from pathlib import Path

import IPython
import nbformat
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from executed_books import executed
from nbconvert import HTMLExporter

from medn_lab.view.html_export import NAME, HtmlTwin, keep_figures_in_html

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FIGURE = re.compile(r'data-medn-figure="([\w+/=]+)"')
LIBRARY = re.compile("<script[^>]*data-medn-plotly")
PLOTLY = "application/vnd.plotly.v1+json"


def unpacked(packed: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(packed)))


class Shell:
    """A Jupyter kernel that runs cells: what the renderer asks of it."""

    def __init__(self):
        self.message = {}

    def run(self, code: str, *, message: str, cell: str | None = None) -> None:
        self.message = {
            "header": {"msg_id": message},
            "content": {"code": code},
            "metadata": {"cellId": cell} if cell else {},
        }

    def get_parent(self) -> dict:
        return self.message


@pytest.fixture
def shell(monkeypatch):
    made = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: made)
    return made


def test_the_html_holds_the_figure_and_only_the_first_holds_plotly_js(shell):
    twin, figure = HtmlTwin(), go.Figure(go.Bar(y=[3, 1, 2]), layout={"width": 320, "height": 200})
    shell.run("a", message="1")
    first, second = (twin.to_mimebundle(figure.to_dict())["text/html"] for _ in range(2))
    shell.run("b", message="2")
    third = twin.to_mimebundle(figure.to_dict())["text/html"]
    assert [len(LIBRARY.findall(page)) for page in (first, second, third)] == [1, 0, 0]
    assert len(first) < 2_500_000
    assert len(second) < 10_000
    found = unpacked(FIGURE.findall(third)[0])
    assert go.Figure(data=found["data"], layout=found["layout"]) == figure
    assert "width:320px;height:200px" in third


@pytest.mark.parametrize("cell", [None, "one cell"])
def test_a_first_figure_that_is_run_again_holds_plotly_js_again(shell, cell):
    twin, figure = HtmlTwin(), go.Figure(go.Bar(y=[1])).to_dict()
    shell.run("first", message="1", cell=cell)
    assert LIBRARY.search(twin.to_mimebundle(figure)["text/html"])
    shell.run("second", message="2", cell="another cell")
    assert not LIBRARY.search(twin.to_mimebundle(figure)["text/html"])
    shell.run("first" if cell is None else "first, edited", message="3", cell=cell)
    assert LIBRARY.search(twin.to_mimebundle(figure)["text/html"])


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
    outputs = [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum(PLOTLY in data and "text/html" in data for data in outputs) == 4
    page, _ = HTMLExporter().from_notebook_node(book)
    assert len(LIBRARY.findall(page)) == 1
    figures = [unpacked(packed) for packed in FIGURE.findall(page)]
    assert [figure["data"] for figure in figures] == [data[PLOTLY]["data"] for data in outputs if PLOTLY in data]
    assert len(page) < 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_page_of_a_stored_notebook_holds_a_picture_of_every_figure(path):
    book = nbformat.read(path, as_version=4)
    outputs = [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    pictures = [data["image/png"].replace("\n", "") for data in outputs if PLOTLY in data]
    page = HTMLExporter().from_notebook_node(book)[0].replace("\n", "")
    assert pictures
    assert all(picture in page for picture in pictures)
    assert not LIBRARY.search(page)
