"""TrainingMonitor in a real browser: its buttons reach a cell that trains, and an interrupt leaves a usable model."""

import re

import pytest
from lab_page import LabPage
from playwright.sync_api import expect

SETUP = """
from tiny_clips import tiny_clips
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import TrainingMonitor

clips = tiny_clips()
model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1))
monitor = TrainingMonitor()
"""
TRAIN = """
display(monitor)
history = fit(model, clips, training=TrainConfig(epochs=10**6, batch_size=8), callbacks=[monitor], progress=False)
"""
USE = "print('used', len(predict(model, clips)), history.status, len(monitor.history), model.training)"
INTERRUPT = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()"
RUN_THE_LAST = """async () => { const content = window.jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = 2; await window.jupyterapp.commands.execute('notebook:run-cell'); }"""
PRINTED = """() => (window.jupyterapp.shell.currentWidget.content.model.toJSON().cells[2].outputs ?? [])
  .map(output => [output.text ?? ''].flat().join('')).join('')"""
ENDED = "the model has the weights of epoch"


@pytest.fixture
def training(lab) -> LabPage:
    """A notebook whose second cell trains for longer than anybody waits."""
    lab.open_cells("monitor.ipynb", SETUP, TRAIN, USE)
    lab.start_all()
    wait_for_epochs(lab, 2)
    return lab


def status(lab: LabPage, words: str) -> int:
    """Wait until the monitor says so, and return the epoch that it names."""
    line = lab.page.locator(".medn-training-monitor .medn-note").first.filter(has_text=words)
    line.wait_for()
    return int(re.findall(r"epoch (\d+)", line.inner_text())[0])


def wait_for_epochs(lab: LabPage, more_than: int) -> None:
    lab.page.wait_for_function(
        """least => { const node = document.querySelector('.medn-training-monitor .medn-note');
          const found = /Epoch (\\d+)/.exec(node?.innerText ?? ''); return found && Number(found[1]) > least; }""",
        arg=more_than,
    )


def test_stop_works_while_the_cell_trains_and_resume_goes_on_and_can_be_stopped_again(training):
    lab = training
    stop, resume = (lab.page.get_by_role("button", name=name) for name in ("Stop after this epoch", "Resume"))
    expect(resume).to_be_disabled()
    stop.click()
    done = status(lab, f"Stopped: {ENDED}")
    lab.page.wait_for_function(f"words => ({PRINTED})().includes(words)", arg=f"used 24 stopped {done} False")
    expect(stop).to_be_disabled()
    resume.click()
    wait_for_epochs(lab, done + 2)
    expect(resume).to_be_disabled()
    stop.click()
    assert status(lab, f"Stopped: {ENDED}") > done + 2
    assert lab.errors() == []


def test_an_interrupt_is_shown_and_the_next_cell_uses_the_model(training):
    lab = training
    lab.page.evaluate(INTERRUPT)
    done = status(lab, f"Interrupted: {ENDED}")
    assert lab.errors() == []
    # Lab drops the cells that wait behind an interrupted one, unless that one ended well: run the last by hand.
    if not lab.page.evaluate(PRINTED):
        lab.page.evaluate(RUN_THE_LAST)
    lab.page.wait_for_function(f"words => ({PRINTED})().includes(words)", arg=f"used 24 interrupted {done} False")
    lab.page.get_by_role("button", name="Resume").click()
    wait_for_epochs(lab, done + 1)
    lab.page.evaluate(INTERRUPT)
    assert status(lab, f"Interrupted: {ENDED}") > done
