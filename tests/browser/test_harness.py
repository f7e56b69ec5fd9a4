"""The harness itself, on a notebook of its own: gestures on a plot reach Python, errors and stray requests are seen."""

import sys

import nbformat
import pytest

FIGURE = """
import ipywidgets as widgets
import plotly.graph_objects as go
from plotly.subplots import make_subplots

figure = make_subplots(1, 2)
ids = [["a"], ["b"], ["c"]]
for column in (1, 2):
    figure.add_scatter(x=[1, 2, 3], y=[1, 3, 2], mode="markers", marker_size=14, customdata=ids, row=1, col=column)
figure.update_layout(width=700, height=300, margin=dict(l=40, r=20, t=60, b=30), hovermode="closest")
figure = go.FigureWidget(figure)  # anywidget 0.9.13 sends no trace that is added before the page has loaded the widget
card = widgets.Label("nothing yet").add_class("harness-card")
under_mouse = widgets.Label().add_class("harness-hover")
figure.data[1].on_click(lambda trace, points, state: points.point_inds and setattr(
    card, "value", "clicked " + trace.customdata[points.point_inds[0]][0]))
figure.data[0].on_hover(lambda trace, points, state: points.point_inds and setattr(
    under_mouse, "value", "over " + trace.customdata[points.point_inds[0]][0]))
widgets.VBox([figure, card, under_mouse]).add_class("harness-box")
"""


@pytest.fixture
def notebook(lab_server):
    """Write cells as a notebook under the server's root and return its path there."""

    def write(name: str, *cells: str) -> str:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, lab_server.root / name)
        return name

    return write


def test_hover_and_click_reach_python(lab, notebook):
    lab.open_notebook(notebook("figure.ipynb", FIGURE))
    lab.run_all(seconds=120)
    assert lab.errors() == []
    assert lab.not_executed() == []
    lab.scroll_to_class("harness-box")
    plot = lab.plot(".harness-box")
    plot.hover(2, 3)
    lab.page.locator(".harness-hover", has_text="over b").wait_for()
    plot.click(3, 2, axes=("x2", "y2"))
    lab.page.locator(".harness-card", has_text="clicked c").wait_for()
    assert lab.screenshot("harness-figure").stat().st_size > 10_000
    assert plot.points(1)[2] == {"x": 3, "y": 2, "customdata": ["c"], "axes": ["x2", "y2"]}


def test_an_error_in_a_cell_is_seen_and_so_are_the_cells_after_it(lab, notebook):
    cells = "import sys\nprint(sys.prefix)", "raise ValueError('planted')", "print('cell 7\\n' * 99)"
    lab.open_notebook(notebook("error.ipynb", *cells))
    lab.run_all(seconds=120)
    shown = lab.page.locator(".jp-OutputArea-output").first.inner_text().strip()
    assert shown == sys.prefix  # the kernel is this environment
    assert lab.errors() == ["ValueError: planted (in: raise ValueError('planted'))"]
    assert lab.not_executed() == [cells[2]]


def test_a_request_that_leaves_the_machine_is_stopped_and_seen(guarded_lab, notebook):
    image = "from IPython.display import HTML\nHTML('<img src=\"https://outside.invalid/pixel.png\">')"
    guarded_lab.open_notebook(notebook("request.ipynb", image))
    guarded_lab.run_all(seconds=120)
    while not guarded_lab.outside:
        guarded_lab.page.wait_for_timeout(100)
    assert set(guarded_lab.outside) == {"https://outside.invalid/pixel.png"}
