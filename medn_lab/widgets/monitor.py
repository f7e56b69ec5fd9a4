"""A training that can be watched, stopped after any epoch, and taken up again."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go
import traitlets

from medn_lab.records import History
from medn_lab.view.training import plot_history, summary, watched_columns
from medn_lab.widgets.live import live_figure
from medn_lab.widgets.panel import Panel, note

_RESUMABLE = ("stopped", "interrupted")


class Run(Protocol):
    """What a training hands to its callbacks."""

    history: History

    def stop(self) -> None:
        """Ask for a stop after the epoch that runs."""

    def resume(self) -> History:
        """Go on with a training that was stopped."""


class TrainingMonitor(Panel):
    """Watch a training live: loss terms, accuracy, dependence and leakage, with buttons that stop and resume it.

    Hand it to ``fit`` as a callback, and beside it ``medn_lab.diagnose.decoupling_watch(held_out)`` for the curves of
    dependence and leakage. *Stop* ends the training after the epoch, *Resume* goes on with the same training to its
    planned end: the weights are those of a training that never stopped. Interrupting the kernel ends it at once and
    leaves the model as it was after the last whole epoch. In JupyterLab 4.4 or later *Stop* reaches the running cell;
    elsewhere a press is only seen once the cell ends, so interrupt the kernel there.

    Parameters
    ----------
    epochs : int or None
        How many are planned, for the progress bar; taken from the history's configuration where None.
    width : int
        Of the curves, in pixels.
    height : int or None
        Of the curves, in pixels; by default 320 for losses and accuracy, 600 with dependence and leakage below them.

    Attributes
    ----------
    history : History or None
        What has been shown last: all epochs, also those after a resume. A read-only trait, so that it can be followed.

    Examples
    --------
    ``monitor = TrainingMonitor(); display(monitor); fit(model, clips, callbacks=[monitor])``

    >>> from types import SimpleNamespace
    >>> epochs = pd.DataFrame({"epoch": [1], "seconds": [0.5], "loss": [1.6], "accuracy": [0.3]})
    >>> monitor = TrainingMonitor(epochs=2)  # display(monitor); fit(model, clips, callbacks=[monitor])
    >>> monitor.on_fit_start(SimpleNamespace(history=History(epochs[:0]), stop=lambda: None))
    >>> monitor.on_epoch_end(SimpleNamespace(history=History(epochs), stop=lambda: None))
    >>> monitor.history
    History: 1 epochs in 0 s, finished; at the end loss 1.600, accuracy 0.300
    """

    history = traitlets.Instance(History, allow_none=True, read_only=True)

    def __init__(self, *, epochs: int | None = None, width: int = 980, height: int | None = None) -> None:
        self._epochs, self._width, self._height = epochs, width, height
        self._run: Run | None = None
        self._running, self._asked = False, False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._figure, shown = live_figure(self._drawn(History(_no_epochs(), status="waiting")))
        self._figure._config = {"displaylogo": False, "displayModeBar": False}
        self._stop = _button("Stop after this epoch", "stop", "End the training after this epoch; the model stays")
        self._resume = _button("Resume", "play", "Go on with the same training to its planned end", width=110)
        self._stop.on_click(lambda _: self.stop())
        self._resume.on_click(lambda _: self._try_to_resume())
        self._bar = widgets.IntProgress(
            0, 0, max(1, epochs or 1), layout=widgets.Layout(width="150px", flex="0 0 auto")
        )
        self._status = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", margin="0 0 0 10px"))
        top = widgets.HBox([self._stop, self._resume, self._bar, self._status])
        super().__init__([top, shown], name="training-monitor", width=f"{width + 8}px", results={})
        self._say("Waiting for a training: hand this to fit as a callback.")

    # What may be called -----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the running training to stop after the epoch that runs; without one, nothing happens."""
        if self._run is not None and self._running:
            self._asked = True
            self._stop.disabled = True
            self._run.stop()
            self._say("Stopping after this epoch.")

    def resume(self) -> History:
        """Go on with the training that was stopped or interrupted, to its planned end.

        Returns
        -------
        History
            Of all epochs.

        Raises
        ------
        ValueError
            If there is nothing to go on with, or the model's weights have changed since the stop.
        """
        if self._run is None:
            raise ValueError("there is no training to resume: hand this monitor to fit as a callback first")
        return self._run.resume()

    # What a training calls --------------------------------------------------------------------------------------------

    def on_fit_start(self, run: Run) -> None:
        """Begin to watch, or go on; called by ``fit``."""
        self._run, self._running, self._asked = run, True, False
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._stop.disabled, self._resume.disabled = False, True
        self._bar.bar_style = ""
        self._hear_while_busy()
        self._show(run.history)

    def on_epoch_end(self, run: Run) -> None:
        """Draw the epoch that has just ended; called by ``fit``."""
        self._show(run.history)
        if self._asked:
            self._say("Stopping after this epoch.")

    def on_fit_end(self, run: Run) -> None:
        """Show how it ended; called by ``fit``."""
        self._show(run.history)
        self._running = False
        status, done = run.history.status, len(run.history)
        self._stop.disabled, self._resume.disabled = True, status not in _RESUMABLE
        self._bar.bar_style = "success" if status == "finished" else "warning"
        if status in _RESUMABLE:
            whose = f"after epoch {done}" if done else "before the first epoch"
            ended = "Stopped" if status == "stopped" else "Interrupted"
            self._say(f"{ended}: the model is as it was {whose}. Resume goes on from there. {summary(run.history)}")

    # How it is done ---------------------------------------------------------------------------------------------------

    def _try_to_resume(self) -> None:
        """Train on where a press of the button is heard, but always in the main thread, where an interrupt arrives."""
        if self._running or self._run is None:
            return
        self._resume.disabled = True
        self._say("Going on with the training.")
        if threading.current_thread() is threading.main_thread() or self._loop is None:
            self._resume_now()
        else:
            self._loop.call_soon_threadsafe(self._resume_now)

    def _resume_now(self) -> None:
        try:
            _interruptible(self.resume)
        except ValueError as problem:  # what is wrong is said on the page, for nobody sees an exception there
            self._say(str(problem), warn=True)

    def _hear_while_busy(self) -> None:
        """Let a press of the button reach the running cell.

        ipykernel sends what a widget says to the thread that wrote to the widget last: here the one that trains and has
        no time. Where that mark is forgotten, the press goes to the side thread that JupyterLab opens for widgets.
        """
        channel: Any = getattr(self._stop, "comm", None) or self
        vars(channel).pop("_reply_subshell_id", None)

    def _drawn(self, history: History) -> go.Figure:
        watched = any(watched_columns(history.table))
        return plot_history(history, width=self._width, height=self._height or (600 if watched else 320))

    def _show(self, history: History) -> None:
        self.set_trait("history", history)
        drawn = self._drawn(history)
        shown = {trace.meta: trace for trace in self._figure.data}
        with self._figure.batch_update():
            if list(shown) == [trace.meta for trace in drawn.data]:
                for trace in drawn.data:
                    shown[trace.meta].x, shown[trace.meta].y = trace.x, trace.y
                self._figure.layout.annotations = drawn.layout.annotations
                self._figure.layout.title.text = drawn.layout.title.text
                for axis in drawn.select_xaxes():
                    self._figure.layout[axis.plotly_name].dtick = axis.dtick
        if list(shown) != [trace.meta for trace in drawn.data]:  # the first epoch says which curves there are
            self._figure.data = []
            self._figure.layout = drawn.layout
            self._figure.add_traces(drawn.data)
        planned = self._epochs or _planned(history)
        self._bar.max = max(planned or 0, len(history), 1)
        self._bar.value = len(history)
        of = f" of {planned}" if planned else ""
        self._say(f"Epoch {len(history)}{of}: {summary(history)}")

    def _say(self, text: str, *, warn: bool = False) -> None:
        self._status.value = note(text, warn=warn)


def _button(text: str, icon: str, tooltip: str, *, width: int = 190) -> widgets.Button:
    layout = widgets.Layout(width=f"{width}px", flex="0 0 auto")
    return widgets.Button(description=text, icon=icon, disabled=True, tooltip=tooltip, layout=layout)


def _interruptible(act: Callable[[], object]) -> None:
    """Do it so that an interrupt of the kernel arrives: outside of a cell ipykernel pays no heed to one."""
    if threading.current_thread() is not threading.main_thread():
        act()
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        act()
    finally:
        signal.signal(signal.SIGINT, before)


def _planned(history: History) -> int | None:
    """How many epochs the configuration names, wherever it names them."""
    config = history.config
    for part in (config, config.get("training", {}), config.get("train", {})):
        if isinstance(part, dict) and isinstance(part.get("epochs"), int):
            return part["epochs"]
    return None


def _no_epochs() -> pd.DataFrame:
    return pd.DataFrame({"epoch": [], "seconds": [], "loss": [], "accuracy": []})
