"""TrainingMonitor in a real browser: its buttons reach a cell that trains, and an interrupt leaves a usable model."""

import re
from pathlib import Path

import nbformat
import pytest
from lab_page import PATIENCE_MS, LabPage
from playwright.sync_api import expect

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from tiny_clips import tiny_clips
from medn_lab.diagnose import decoupling_watch
from medn_lab.evaluate import predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import TrainingMonitor

clips, held_out = tiny_clips(), tiny_clips(seed=1)
model = MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1))
monitor = TrainingMonitor()
watch = decoupling_watch(held_out)
"""
TRAIN = """
display(monitor)
training = TrainConfig(epochs=10**6, batch_size=8)
history = fit(model, clips, training=training, callbacks=[watch, monitor], progress=False)
"""
USE = "said = predict(model, clips); print('used', len(said), history.status, len(monitor.history), model.training)"


@pytest.fixture
def training(lab, lab_server) -> LabPage:
    """A notebook whose second cell trains for longer than anybody waits."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in (SETUP, TRAIN, USE)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab_server.root / "monitor.ipynb")
    lab.open_notebook("monitor.ipynb")
    lab.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    monitor = lab.page.locator(".medn-training-monitor")
    monitor.wait_for()
    wait_for_epochs(lab, 2)
    return lab


def status(lab: LabPage) -> str:
    return lab.page.locator(".medn-training-monitor .medn-note").first.inner_text()


def epochs(lab: LabPage) -> int:
    return int(re.findall(r"after epoch (\d+)", status(lab))[0])


def wait_for_epochs(lab: LabPage, more_than: int) -> None:
    lab.page.wait_for_function(
        """least => { const node = document.querySelector('.medn-training-monitor .medn-note');
          const found = /Epoch (\\d+)/.exec(node?.innerText ?? ''); return found && Number(found[1]) > least; }""",
        arg=more_than, timeout=PATIENCE_MS,
    )  # fmt: skip


def expect_status(lab: LabPage, words: str) -> None:
    lab.page.locator(".medn-training-monitor .medn-note").first.filter(has_text=words).wait_for()


def printed(lab: LabPage) -> str:
    """What the last cell has printed; empty while it has not run."""
    return lab.page.evaluate(
        """() => (window.jupyterapp.shell.currentWidget.content.model.toJSON().cells[2].outputs ?? [])
          .map(output => [output.text ?? ''].flat().join('')).join('')"""
    )


def expect_printed(lab: LabPage, words: str) -> None:
    for _ in range(PATIENCE_MS // 250):
        if words in printed(lab):
            return
        lab.page.wait_for_timeout(250)
    raise AssertionError(f"the last cell printed {printed(lab)!r}, not {words!r}")


def test_stop_is_heard_while_the_cell_trains_and_resume_goes_on_and_can_be_stopped_again(training):
    lab = training
    stop, resume = (lab.page.get_by_role("button", name=name) for name in ("Stop after this epoch", "Resume"))
    expect(resume).to_be_disabled()
    stop.click()
    expect_status(lab, "Stopped: the model is as it was after epoch")
    done = epochs(lab)
    expect_printed(lab, f"used 24 stopped {done} False")
    expect(stop).to_be_disabled()
    graph = lab.plot(".medn-training-monitor").graph.element_handle()
    lab.page.wait_for_function("gd => gd._fullData.length > 0", arg=graph)  # a busy page draws later
    lab.screenshot("monitor-stopped")
    resume.click()
    wait_for_epochs(lab, done + 2)
    expect(resume).to_be_disabled()
    stop.click()
    expect_status(lab, "Stopped: the model is as it was after epoch")
    assert epochs(lab) > done + 2
    assert lab.errors() == []


def test_an_interrupt_is_said_and_the_next_cell_uses_the_model(training):
    lab = training
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    expect_status(lab, "Interrupted: the model is as it was after epoch")
    done = epochs(lab)
    lab.screenshot("monitor-interrupted")
    assert lab.errors() == []
    # Lab drops the cells that wait behind an interrupted one, unless that one ended well: run the last by hand.
    if not printed(lab):
        lab.page.evaluate(
            """async () => { const content = window.jupyterapp.shell.currentWidget.content;
              content.activeCellIndex = 2; await window.jupyterapp.commands.execute('notebook:run-cell'); }"""
        )
    expect_printed(lab, f"used 24 interrupted {done} False")
    lab.page.get_by_role("button", name="Resume").click()
    wait_for_epochs(lab, done + 1)
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    expect_status(lab, "Interrupted: the model is as it was after epoch")
    assert epochs(lab) > done
