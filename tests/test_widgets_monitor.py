"""TrainingMonitor: what a training tells it is drawn, and its button asks for a stop."""

import numpy as np
import pytest
from sample_records import sample_history

from medn_lab.widgets import TrainingMonitor


class FakeRun:
    """What ``fit`` hands to a callback, without a training behind it."""

    def __init__(self):
        self.stopping = False
        self.history = sample_history(epochs=0, status="running")

    def after(self, epochs, status="running"):
        self.history = sample_history(epochs=epochs, status=status)
        return self

    def stop(self):
        self.stopping = True


@pytest.fixture
def run():
    return FakeRun()


def test_every_epoch_lengthens_every_curve(run):
    monitor = TrainingMonitor(epochs=5)
    monitor.on_fit_start(run)
    for epoch in (1, 2, 3):
        monitor.on_epoch_end(run.after(epoch))
        assert {len(trace.x) for trace in monitor._figure.data} == {epoch}
    curves = {trace.meta: trace for trace in monitor._figure.data}
    assert np.allclose(curves["au"].y, run.history.table["au"])
    assert "validation_accuracy" in curves
    assert (monitor._bar.value, monitor._bar.max) == (3, 5)
    assert "Epoch 3 of 5" in monitor._status.value


def test_the_button_asks_the_training_to_stop_once(run):
    monitor = TrainingMonitor()
    assert monitor._stop.disabled
    monitor.on_fit_start(run)
    monitor._stop.click()
    assert run.stopping
    assert monitor._stop.disabled
    monitor.on_epoch_end(run.after(1))
    assert "Stopping" in monitor._status.value


def test_a_press_without_a_training_does_nothing():
    monitor = TrainingMonitor()
    monitor.stop()
    assert monitor.history is None


@pytest.mark.parametrize(
    ("status", "style"), [("finished", "success"), ("stopped", "warning"), ("interrupted", "warning")]
)
def test_the_end_shows_how_it_ended(run, status, style):
    monitor = TrainingMonitor()
    monitor.on_fit_start(run)
    monitor.on_epoch_end(run.after(1))
    monitor.on_fit_end(run.after(1, status))
    assert monitor._bar.bar_style == style
    assert status in monitor._status.value
    assert monitor._stop.disabled


def test_a_second_training_starts_afresh(run):
    monitor = TrainingMonitor()
    monitor.on_fit_start(run)
    monitor.on_epoch_end(run.after(4))
    monitor.on_fit_end(run.after(4, "stopped"))
    second = FakeRun()
    monitor.on_fit_start(second)
    assert not monitor._stop.disabled
    monitor.on_epoch_end(second.after(1))
    assert {len(trace.x) for trace in monitor._figure.data} == {1}


def test_the_monitor_can_be_found_on_the_page():
    assert "medn-training-monitor" in TrainingMonitor()._dom_classes
