"""A training that can be watched, and stopped after any epoch."""

from __future__ import annotations

from typing import Protocol

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import History
from medn_lab.view.training import plot_history, summary
from medn_lab.widgets.style import note, sheet


class Run(Protocol):
    """What a training hands to its callbacks."""

    history: History

    def stop(self) -> None:
        """Ask for a stop after the epoch that runs."""


class TrainingMonitor(widgets.VBox):
    """Watch a training live: loss terms, accuracy, and a button that stops it after the epoch.

    Hand it to ``fit`` as a callback. In JupyterLab 4.4 or later the button reaches the running cell; elsewhere a press
    is only seen once the cell ends, so interrupt the kernel there: ``fit`` returns the model as it stands either way.

    Parameters
    ----------
    epochs : int or None
        How many are planned, for the progress bar; taken from the history's configuration where None.
    width, height : int
        Of the curves, in pixels.

    Attributes
    ----------
    history : History or None
        What has been shown last.

    Examples
    --------
    ``monitor = TrainingMonitor(); display(monitor); fit(clips, callbacks=[monitor])``
    """

    def __init__(self, *, epochs: int | None = None, width: int = 980, height: int = 340) -> None:
        self.history: History | None = None
        self._epochs = epochs
        self._size = {"width": width, "height": height}
        self._run: Run | None = None
        self._asked = False
        empty = History(_no_epochs(), status="waiting")
        self._figure = go.FigureWidget(plot_history(empty, **self._size))
        self._figure._config = {"displaylogo": False, "displayModeBar": False}
        self._stop = widgets.Button(
            description="Stop after this epoch", icon="stop", disabled=True, tooltip="The model stays as it is then",
            layout=widgets.Layout(width="190px"),
        )  # fmt: skip
        self._stop.on_click(lambda _: self.stop())
        self._bar = widgets.IntProgress(0, 0, max(1, epochs or 1), layout=widgets.Layout(width="220px"))
        self._status = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", margin="0 0 0 10px"))
        top = widgets.HBox([self._stop, self._bar, self._status])
        super().__init__(
            children=[sheet(), top, self._figure], layout=widgets.Layout(width=f"{width + 8}px", overflow="hidden")
        )
        self.add_class("medn")
        self.add_class("medn-training-monitor")
        self._say("Waiting for a training: hand this to fit as a callback.")

    def stop(self) -> None:
        """Ask the running training to stop after the epoch that runs; without one, nothing happens."""
        if self._run is not None:
            self._asked = True
            self._stop.disabled = True
            self._run.stop()
            self._say("Stopping after this epoch.")

    def on_fit_start(self, run: Run) -> None:
        """Begin to watch; called by ``fit``."""
        self._run, self._asked = run, False
        self._stop.disabled = False
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
        self._run = None
        self._stop.disabled = True
        self._bar.bar_style = "success" if run.history.status == "finished" else "warning"

    def _hear_while_busy(self) -> None:
        """Let a press of the button reach the running cell.

        ipykernel sends what a widget says to the thread that wrote to the widget last: here the one that trains and has
        no time. Where that mark is forgotten, the press goes to the side thread that JupyterLab opens for widgets.
        """
        vars(getattr(self._stop, "comm", None) or self).pop("_reply_subshell_id", None)

    def _show(self, history: History) -> None:
        self.history = history
        drawn = plot_history(history, **self._size)
        shown = {trace.meta: trace for trace in self._figure.data}
        with self._figure.batch_update():
            if list(shown) == [trace.meta for trace in drawn.data]:
                for trace in drawn.data:
                    shown[trace.meta].x, shown[trace.meta].y = trace.x, trace.y
            else:  # the first epoch says which curves there are
                self._figure.data = []
                self._figure.add_traces(drawn.data)
            self._figure.layout.annotations = drawn.layout.annotations
            self._figure.layout.title.text = drawn.layout.title.text
            self._figure.layout.xaxis.dtick = self._figure.layout.xaxis2.dtick = drawn.layout.xaxis.dtick
        planned = self._epochs or _planned(history)
        self._bar.max = max(planned or 0, len(history), 1)
        self._bar.value = len(history)
        of = f" of {planned}" if planned else ""
        self._say(f"Epoch {len(history)}{of}: {summary(history)}")

    def _say(self, text: str) -> None:
        self._status.value = note(text)


def _planned(history: History) -> int | None:
    """How many epochs the configuration names, wherever it names them."""
    config = history.config
    for part in (config, config.get("training", {}), config.get("train", {})):
        if isinstance(part, dict) and isinstance(part.get("epochs"), int):
            return part["epochs"]
    return None


def _no_epochs() -> pd.DataFrame:
    return pd.DataFrame({"epoch": [], "seconds": [], "loss": [], "accuracy": []})
