"""TrainingMonitor: what a training tells it is drawn, and its button asks for a stop."""

import asyncio
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from sample_records import sample_history
from tiny_clips import tiny_clips

from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit
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

    def resume(self):
        self.resumed = True
        return self.history


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


def test_what_is_watched_gets_panels_of_its_own_and_every_epoch_lengthens_them(run):
    monitor = TrainingMonitor(epochs=5)
    monitor.on_fit_start(run)
    for epoch in (1, 2):
        run.after(epoch)
        run.history = replace(
            run.history, table=run.history.table.assign(dependence_linear_cka=0.1, leak_aus_from_emotion=0.6)
        )
        monitor.on_epoch_end(run)
        curves = {trace.meta: trace for trace in monitor._figure.data}
        assert len(curves["leak_aus_from_emotion"].y) == epoch
        assert curves["dependence_linear_cka"].yaxis == "y3"
    assert monitor._figure.layout.height == 600
    assert "Leakage" in str(monitor._figure.layout.annotations)


@pytest.mark.parametrize("status", ["stopped", "interrupted", "finished"])
def test_only_a_training_that_was_stopped_can_be_resumed(run, status):
    monitor = TrainingMonitor()
    assert monitor._resume.disabled
    monitor.on_fit_start(run)
    assert monitor._resume.disabled
    monitor.on_fit_end(run.after(2, status))
    assert monitor._resume.disabled == (status == "finished")
    if status != "finished":
        assert f"{status.title()}: the model is as it was after epoch 2. Resume goes on" in monitor._status.value
        monitor._resume.click()
        assert run.resumed


def test_resuming_without_a_training_is_refused_and_what_is_wrong_is_said(run):
    monitor = TrainingMonitor()
    with pytest.raises(ValueError, match="there is no training to resume"):
        monitor.resume()
    monitor.on_fit_start(run)
    monitor.on_fit_end(run.after(1, "stopped"))

    def refuse():
        raise ValueError("3 of 9 weights have changed")

    run.resume = refuse
    monitor._resume.click()
    assert "3 of 9 weights have changed" in monitor._status.value


def test_a_press_in_a_side_thread_resumes_in_the_main_one_where_an_interrupt_arrives(run):
    threads, handlers = [], []

    def resume():
        threads.append(threading.current_thread())
        handlers.append(signal.getsignal(signal.SIGINT))

    async def page():
        monitor = TrainingMonitor()
        monitor.on_fit_start(run)
        monitor.on_fit_end(run.after(1, "stopped"))
        run.resume = resume
        side = threading.Thread(target=monitor._resume.click)
        side.start()
        while side.is_alive() or not threads:
            await asyncio.sleep(0.01)

    before = signal.getsignal(signal.SIGINT)
    asyncio.run(page())
    assert threads == [threading.main_thread()]
    assert handlers == [signal.default_int_handler]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_real_training_is_stopped_and_resumed_by_the_buttons():
    clips = tiny_clips()
    config = TrainConfig(epochs=3, batch_size=8)
    straight, model = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    fit(straight, clips, training=config, progress=False)
    monitor = TrainingMonitor()

    class Press:
        def on_epoch_end(self, run):
            if run.epoch == 1:
                monitor._stop.click()

    fit(model, clips, training=config, callbacks=[Press(), monitor], progress=False)
    assert len(monitor.history) == 1
    assert monitor._bar.max == 3
    monitor._resume.click()
    assert (len(monitor.history), monitor.history.status) == (3, "finished")
    assert weights_sha256(model) == weights_sha256(straight)
    assert {len(trace.x) for trace in monitor._figure.data} == {3}


def test_the_monitor_can_be_found_on_the_page():
    assert "medn-training-monitor" in TrainingMonitor()._dom_classes
