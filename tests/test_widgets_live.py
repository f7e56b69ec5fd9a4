"""Figures inside widgets: a page that comes later sees the present state, and without anywidget they stand still."""

import sys
from types import ModuleType

import plotly.graph_objects as go
import pytest
from plotly import missing_anywidget
from sample_records import sample_history

from medn_lab.widgets import TrainingMonitor, live
from medn_lab.widgets.live import StillFigure, live_figure


def drawn():
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="<points>"), layout={"width": 300, "height": 200})


@pytest.fixture
def without_anywidget(monkeypatch):
    """What plotly does where the package is missing."""
    live._live_kind.cache_clear()
    monkeypatch.setattr(go, "FigureWidget", missing_anywidget.FigureWidget)
    yield
    live._live_kind.cache_clear()


def test_a_page_that_comes_later_is_told_what_has_changed():
    figure, widget = live_figure(drawn())
    assert widget is figure
    with figure.batch_update():
        figure.data[0].marker.color = "#123456"
        figure.layout.title.text = "changed"
    state = figure.get_state()
    assert state["_widget_data"][0]["marker"]["color"] == "#123456"
    assert state["_widget_layout"]["title"]["text"] == "changed"
    assert set(figure.get_state("_view_count")) == {"_view_count"}


def test_plotly_s_own_widget_tells_what_it_was_made_with():
    """The reason for the difference; if this fails, plotly has mended it."""
    plain = go.FigureWidget(drawn())
    plain.data[0].marker.color = "#123456"
    assert "marker" not in plain.get_state()["_widget_data"][0]


def test_colab_is_told_how_to_let_figures_live(monkeypatch):
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
    def test_the_figure_stands_still_and_says_why(self):
        figure, widget = live_figure(drawn())
        assert isinstance(figure, StillFigure)
        frame, words = widget.children
        assert "iframe" in frame.value
        assert "width='300' height='200'" in frame.value
        assert "pip install anywidget" in words.value
        assert "<points>" not in frame.value

    def test_a_change_is_drawn(self):
        figure, widget = live_figure(drawn())
        before = widget.children[0].value
        with figure.batch_update():
            figure.data[0].name = "renamed"
        assert "renamed" not in before
        assert "renamed" in widget.children[0].value
        figure.add_traces([go.Scatter(x=[1], y=[1], name="another")])
        assert "another" in widget.children[0].value

    def test_the_monitor_draws_each_epoch(self):
        class Run:
            history = sample_history(epochs=2, status="running")

        monitor = TrainingMonitor()
        monitor.on_epoch_end(Run())
        assert {len(trace.x) for trace in monitor._figure.data} == {2}
        assert any("medn-still" in child._dom_classes for child in monitor.children)
