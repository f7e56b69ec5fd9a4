"""What may watch a training: any object with some of these methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from medn_lab.records import History

if TYPE_CHECKING:
    from medn_lab.train.loop import TrainConfig


class Run:
    """The training as a callback sees it.

    Attributes
    ----------
    model : nn.Module
        The model in training.
    config : TrainConfig
    history : History
        The epochs so far.
    epoch : int
        Epochs finished.
    stopping : bool
        Whether :meth:`stop` was called.
    """

    def __init__(self, model: nn.Module, *, config: TrainConfig, history: History) -> None:
        self.model = model
        self.config = config
        self.history = history
        self.stopping = False

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.history)

    def stop(self) -> None:
        """Ask the training to end after this epoch."""
        self.stopping = True


class Callback:
    """A watcher that does nothing; override what you need. Inheriting is not required."""

    def on_fit_start(self, run: Run) -> None:
        """Before the first epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch; ``run.history`` holds it already."""

    def on_fit_end(self, run: Run) -> None:
        """After the last epoch, also after a stop or an interrupt."""


def tell(callbacks: list[object], event: str, run: Run) -> None:
    """Call `event` on every callback that has it."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(run)
