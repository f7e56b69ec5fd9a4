"""Figures inside widgets: a page that comes later sees the present state, and without anywidget they are still."""

import sys
from types import ModuleType

import plotly.graph_objects as go
import pytest
from page_contents import click
from plotly import missing_anywidget
from sample_records import sample_history

from medn_lab.widgets import TrainingMonitor, live
from medn_lab.widgets.live import StillFigure, live_figure, redraw


def drawn(*, kind=go.Scatter, values=(3, 4), title="", **trace):
    return go.Figure(kind(x=[1, 2], y=list(values), **trace), layout={"width": 300, "height": 200, "title": title})


@pytest.fixture
def without_anywidget(monkeypatch):
    """What plotly does where the package is missing."""
    kind = live._live_kind
    kind.cache_clear()
    monkeypatch.setattr(go, "FigureWidget", missing_anywidget.FigureWidget)
    yield
    kind.cache_clear()


def test_a_page_that_comes_later_gets_the_present_state():
    figure, widget = live_figure(drawn())
    assert widget is figure
    with figure.batch_update():
        figure.data[0].marker.color = "#123456"
        figure.layout.title.text = "changed"
    state = figure.get_state()
    assert state["_widget_data"][0]["marker"]["color"] == "#123456"
    assert state["_widget_layout"]["title"]["text"] == "changed"
    assert set(figure.get_state("_view_count")) == {"_view_count"}


def test_plotly_s_widget_sends_what_it_was_made_with():
    """The reason for the difference; if this fails, plotly has mended it."""
    plain = go.FigureWidget(drawn())
    plain.data[0].marker.color = "#123456"
    assert "marker" not in plain.get_state()["_widget_data"][0]


class TestRedraw:
    def test_another_figure_takes_the_place_and_leaves_nothing_of_the_first(self):
        figure, _ = live_figure(drawn().add_annotation(text="old").update_layout(xaxis2={"visible": False}))
        redraw(figure, drawn(kind=go.Bar, title="new").update_layout(width=None))
        assert [trace.type for trace in figure.data] == ["bar"]
        assert figure.layout.title.text == "new"
        assert not figure.layout.annotations
        assert figure.layout.width is None
        assert figure.layout.xaxis2.visible is None

    def test_the_same_traces_are_kept_and_their_values_changed(self):
        figure, _ = live_figure(drawn(ids=["0", "1"]))
        (kept,) = figure.data
        redraw(figure, drawn(values=(5, 6), ids=["7", "8"]))
        assert figure.data[0] is kept
        assert (list(kept.y), list(kept.ids)) == ([5, 6], ["7", "8"])

    def test_a_click_on_a_trace_with_ids_is_heard_once_after_every_redraw(self):
        figure, _ = live_figure(drawn())
        seen = []
        for values in ((3, 4), (5, 6), (7, 8)):
            redraw(figure, drawn(values=values, ids=["a", "b"]), on_click=lambda *event: seen.append(event[1]))
        click(figure, 0, 1)
        assert [points.point_inds for points in seen] == [[1]]


def test_colab_says_how_to_let_figures_live(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    _, widget = live_figure(drawn())
    assert "enable_custom_widget_manager" in widget.children[1].value
    manager = ModuleType("google.colab.output._widgets")
    manager._installed_url = None
    monkeypatch.setitem(sys.modules, manager.__name__, manager)
    assert isinstance(live_figure(drawn())[0], StillFigure)
    manager._installed_url = "https://somewhere/manager.js"
    assert not isinstance(live_figure(drawn())[0], StillFigure)


@pytest.mark.usefixtures("without_anywidget")
class TestWithoutAnywidget:
    def test_the_figure_is_still_and_says_why(self):
        figure, widget = live_figure(drawn(name="<points>"))
        assert isinstance(figure, StillFigure)
        frame, words = widget.children
        assert "width='300' height='200'" in frame.value
        assert "pip install anywidget" in words.value
        assert "<points>" not in frame.value

    def test_a_change_is_drawn(self):
        figure, widget = live_figure(drawn())
        frame = widget.children[0]
        redraw(figure, drawn(name="renamed").update_layout(width=None))
        assert "renamed" in frame.value
        assert "width='100%'" in frame.value
        figure.add_traces([go.Scatter(x=[1], y=[1], name="another")])
        assert "another" in frame.value

    def test_the_monitor_draws_each_epoch(self):
        class Run:
            history = sample_history(epochs=2, status="running")

        monitor = TrainingMonitor()
        monitor.on_epoch_end(Run())
        still = next(child for child in monitor.children if "medn-still" in child._dom_classes)
        assert "2 epochs" in still.children[0].value
