"""TrainingMonitor: the curves of a training while it runs, with buttons that stop and resume it."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import suppress
from typing import Any

import ipywidgets as widgets
import pandas as pd
import traitlets

from medn_lab.records import History
from medn_lab.view.evaluation import plot_history, summary
from medn_lab.widgets.panel import LiveFigure, Panel

_RESUMABLE = ("stopped", "interrupted")


class TrainingMonitor(Panel):
    """Watch a training live: loss terms, accuracy, dependence and leakage, with buttons that stop and resume it.

    Give it to ``fit`` as a callback, together with ``medn_lab.diagnose.decoupling_watch(held_out)`` for the curves of
    dependence and leakage. *Stop* ends the training after the epoch, *Resume* goes on with the same training to its
    planned end: the weights are those of a training that never stopped. Interrupting the kernel ends it at once and
    leaves the model as it was after the last whole epoch. In JupyterLab 4.4 or later *Stop* reaches the running cell;
    elsewhere a click is only handled once the cell ends, so interrupt the kernel there.

    Parameters
    ----------
    epochs : int or None
        How many are planned; taken from the history's configuration where None.

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
    History: 1 epoch in 0 s, finished; at the end loss 1.600, accuracy 0.300
    """

    history = traitlets.Instance(History, allow_none=True, read_only=True)

    def __init__(self, *, epochs: int | None = None) -> None:
        self._epochs = epochs
        self._run: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        waiting = History(pd.DataFrame({"epoch": [], "loss": [], "accuracy": []}), status="waiting")
        self._figure = LiveFigure(plot_history(waiting).update_layout(width=None, title_text="<b>Training</b>"))
        hint = "End the training after this epoch; the model is kept"
        self._stop = self._button("Stop after this epoch", "stop", hint, self.stop, disabled=True)
        hint = "Continue the same training to its planned last epoch"
        self._resume = self._button("Resume", "play", hint, self._resume_in_main_thread, disabled=True)
        self._message = widgets.HTML()
        super().__init__([widgets.HBox([self._stop, self._resume, self._message]), self._figure])
        self._say("Waiting for a training: give this to fit as a callback.")

    def stop(self) -> None:
        """Stop the training after the epoch that runs; without one, nothing happens."""
        if not self._stop.disabled:
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
            raise ValueError("there is no training to resume: give this monitor to fit as a callback first")
        return self._run.resume()

    def on_fit_start(self, run: Any) -> None:
        """Begin to watch, or go on; called by ``fit``."""
        self._run = run
        with suppress(RuntimeError):  # outside of a notebook
            self._loop = asyncio.get_running_loop()
        self._stop.disabled, self._resume.disabled = False, True
        # A click must reach the cell that trains. ipykernel sends what a widget says to the thread that wrote to the
        # widget last, which has no time; without that mark it goes to the side thread that Lab opens for widgets.
        channel: Any = getattr(self._stop, "comm", None) or self
        vars(channel).pop("_reply_subshell_id", None)
        self._show(run.history)

    def on_epoch_end(self, run: Any) -> None:
        """Draw the epoch that has just ended; called by ``fit``."""
        self._show(run.history)
        if self._stop.disabled:
            self._say("Stopping after this epoch.")

    def on_fit_end(self, run: Any) -> None:
        """Show how it ended; called by ``fit``."""
        self._show(run.history)
        status, done = run.history.status, len(run.history)
        self._stop.disabled, self._resume.disabled = True, status not in _RESUMABLE
        if status in _RESUMABLE:
            when = f"of epoch {done}" if done else "from before the first epoch"
            then = f"the model has the weights {when}. Resume continues from there. {summary(run.history)}"
            self._say(f"{status.capitalize()}: {then}")

    def _resume_in_main_thread(self) -> None:
        """Resume in the main thread, where an interrupt arrives; a click may be handled in another."""
        if self._resume.disabled:
            return

        def resume() -> None:
            # Outside of a cell ipykernel ignores an interrupt.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                self._try(self.resume)
            finally:
                signal.signal(signal.SIGINT, before)

        self._resume.disabled = True
        self._say("The training continues.")
        if threading.current_thread() is threading.main_thread() or self._loop is None:
            resume()
        else:
            self._loop.call_soon_threadsafe(resume)

    def _show(self, history: History) -> None:
        """Draw the curves and state the epoch."""
        self.set_trait("history", history)
        self._figure.drawn = plot_history(history).update_layout(width=None, title_text="<b>Training</b>")
        planned = self._epochs or history.config.get("training", {}).get("epochs", 0)
        self._say(f"Epoch {len(history)}{f' of {planned}' if planned else ''}: {summary(history)}")
