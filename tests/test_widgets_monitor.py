"""TrainingMonitor: each epoch is drawn, and its buttons stop and resume the training."""

import asyncio
import signal
import threading
from types import SimpleNamespace

import pytest
from cases import assert_refuses
from page_contents import control, figure_of, text_of
from sample_records import sample_history
from tiny_clips import tiny_clips

from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import TrainingMonitor


def run_of(epochs, status="running", **acts):
    """What ``fit`` gives to a callback, without a training behind it."""
    return SimpleNamespace(history=sample_history(epochs=epochs, status=status), **acts)


@pytest.fixture(scope="module")
def monitor():
    return TrainingMonitor(epochs=5)


def button(monitor, name):
    return control(monitor, {"stop": "Stop after this epoch", "resume": "Resume"}[name])


def state(monitor):
    """Whether the buttons can be pressed."""
    return not button(monitor, "stop").disabled, not button(monitor, "resume").disabled


def test_only_what_was_stopped_can_be_resumed_and_what_keeps_it_from_that_is_shown(monitor):
    assert_refuses(TrainingMonitor().resume, match="no training")
    for status in ("finished", "stopped", "interrupted"):
        pressed, goes_on = [], status != "finished"
        run = run_of(0, stop=lambda own=pressed: own.append("stop"), resume=lambda own=pressed: own.append("resume"))
        monitor.on_fit_start(run)
        assert state(monitor) == (True, False)
        button(monitor, "stop").click()
        assert not state(monitor)[0]
        monitor.on_fit_end(run_of(2, status))
        assert state(monitor) == (False, goes_on)
        assert (status in text_of(monitor), "of epoch 2. Resume" in text_of(monitor)) == (True, goes_on)
        button(monitor, "resume").click()
        assert pressed == ["stop"] + ["resume"] * goes_on

    def refuse():
        raise ValueError("3 of 9 weights have changed")

    monitor.on_fit_start(run_of(0, resume=refuse))
    monitor.on_fit_end(run_of(1, "stopped"))
    button(monitor, "resume").click()
    assert "3 of 9 weights have changed" in text_of(monitor)


def test_a_click_in_a_side_thread_resumes_in_the_main_one_where_an_interrupt_arrives(monitor):
    seen, before = [], signal.getsignal(signal.SIGINT)

    def resume():
        seen.append((threading.current_thread(), signal.getsignal(signal.SIGINT)))

    async def page():
        monitor.on_fit_start(run_of(0, resume=resume))
        monitor.on_fit_end(run_of(1, "stopped"))
        side = threading.Thread(target=button(monitor, "resume").click)
        side.start()
        while side.is_alive() or not seen:
            await asyncio.sleep(0.01)

    asyncio.run(page())
    assert seen == [(threading.main_thread(), signal.default_int_handler)]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_real_training_is_drawn_stopped_and_resumed_by_the_buttons():
    clips, config, seen = tiny_clips(), TrainConfig(epochs=2, batch_size=8), []
    straight, model = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    fit(straight, clips, training=config, progress=False)
    monitor = TrainingMonitor()

    def look_and_press(run):
        seen.append({len(trace.x) for trace in figure_of(monitor).data})
        assert f"Epoch {run.epoch} of 2" in text_of(monitor)
        if run.epoch == 1:
            button(monitor, "stop").click()

    press = SimpleNamespace(on_epoch_end=look_and_press)
    fit(model, clips, training=config, callbacks=[monitor, press], progress=False)
    assert len(monitor.history) == 1
    button(monitor, "resume").click()
    assert (len(monitor.history), monitor.history.status) == (2, "finished")
    assert (seen, weights_sha256(model)) == ([{1}, {2}], weights_sha256(straight))
