"""TrainingMonitor: each epoch is drawn, and its buttons stop and resume the training."""

import asyncio
import signal
import threading
from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
from page_contents import control, figure_of, parts, text_of
from sample_records import sample_history
from tiny_clips import tiny_clips

from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import TrainingMonitor


class FakeRun:
    """What ``fit`` gives to a callback, without a training behind it."""

    def __init__(self):
        self.stopping = self.resumed = False
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


@pytest.fixture
def monitor(run):
    """A monitor whose training has begun."""
    monitor = TrainingMonitor(epochs=5)
    monitor.on_fit_start(run)
    return monitor


def stop(monitor):
    return control(monitor, "Stop after this epoch")


def resume(monitor):
    return control(monitor, "Resume")


def bar(monitor):
    return parts(monitor, ipywidgets.IntProgress)[0]


def lengths(monitor):
    return {len(trace.x) for trace in figure_of(monitor).data}


def test_every_epoch_lengthens_every_curve(monitor, run):
    for epoch in (1, 2, 3):
        monitor.on_epoch_end(run.after(epoch))
        assert lengths(monitor) == {epoch}
    curves = {trace.meta: trace for trace in figure_of(monitor).data}
    assert np.allclose(curves["au"].y, run.history.table["au"])
    assert "validation_accuracy" in curves
    assert (bar(monitor).value, bar(monitor).max) == (3, 5)
    assert "Epoch 3 of 5" in text_of(monitor)


def test_measures_of_decoupling_get_their_panels_and_every_epoch_lengthens_them(monitor, run):
    low = figure_of(monitor).layout.height
    for epoch in (1, 2):
        table = run.after(epoch).history.table.assign(dependence_linear_cka=0.1, leak_aus_from_emotion=0.6)
        run.history = replace(run.history, table=table)
        monitor.on_epoch_end(run)
        curves = {trace.meta: trace for trace in figure_of(monitor).data}
        assert len(curves["leak_aus_from_emotion"].y) == epoch
        assert curves["dependence_linear_cka"].yaxis == "y3"
    assert figure_of(monitor).layout.height > low
    assert "Leakage" in str(figure_of(monitor).layout.annotations)


def test_the_button_asks_the_training_to_stop_once(monitor, run):
    assert stop(TrainingMonitor()).disabled
    stop(monitor).click()
    assert run.stopping
    assert stop(monitor).disabled
    monitor.on_epoch_end(run.after(1))
    assert "Stopping" in text_of(monitor)


@pytest.mark.parametrize(
    ("status", "style"), [("finished", "success"), ("stopped", "warning"), ("interrupted", "warning")]
)
def test_the_end_shows_how_it_ended_and_only_what_was_stopped_can_be_resumed(monitor, run, status, style):
    assert resume(monitor).disabled
    monitor.on_fit_end(run.after(2, status))
    assert bar(monitor).bar_style == style
    assert status in text_of(monitor)
    assert stop(monitor).disabled
    assert resume(monitor).disabled == (status == "finished")
    if status != "finished":
        assert "after epoch 2" in text_of(monitor)
        resume(monitor).click()
        assert run.resumed


def test_a_second_training_starts_afresh(monitor, run):
    monitor.on_fit_end(run.after(4, "stopped"))
    second = FakeRun()
    monitor.on_fit_start(second)
    assert not stop(monitor).disabled
    monitor.on_epoch_end(second.after(1))
    assert lengths(monitor) == {1}


def test_without_a_training_nothing_is_stopped_or_resumed():
    monitor = TrainingMonitor()
    monitor.stop()
    assert monitor.history is None
    with pytest.raises(ValueError, match="no training"):
        monitor.resume()


def test_what_keeps_a_training_from_resuming_is_shown(monitor, run):
    def refuse():
        raise ValueError("3 of 9 weights have changed")

    run.resume = refuse
    monitor.on_fit_end(run.after(1, "stopped"))
    resume(monitor).click()
    assert "3 of 9 weights have changed" in text_of(monitor)


def test_a_click_in_a_side_thread_resumes_in_the_main_one_where_an_interrupt_arrives(run):
    threads, handlers = [], []

    def resume_here():
        threads.append(threading.current_thread())
        handlers.append(signal.getsignal(signal.SIGINT))

    async def page():
        monitor = TrainingMonitor()
        monitor.on_fit_start(run)
        monitor.on_fit_end(run.after(1, "stopped"))
        run.resume = resume_here
        side = threading.Thread(target=resume(monitor).click)
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
                stop(monitor).click()

    fit(model, clips, training=config, callbacks=[Press(), monitor], progress=False)
    assert len(monitor.history) == 1
    assert bar(monitor).max == 3
    resume(monitor).click()
    assert (len(monitor.history), monitor.history.status) == (3, "finished")
    assert weights_sha256(model) == weights_sha256(straight)
    assert lengths(monitor) == {3}
