"""What may watch a training: any object with some of these methods."""

from __future__ import annotations

from collections.abc import Callable

from medn_lab.model import MEDN
from medn_lab.records import History
from medn_lab.train.config import TrainConfig


class Run:
    """The training as a callback sees it.

    Parameters
    ----------
    go_on : callable, optional
        What trains on from where the run stands; `fit` gives it.

    Attributes
    ----------
    model : MEDN
        The model in training.
    config : TrainConfig
    history : History
        The epochs so far.
    epoch : int
        Epochs finished.
    stopping : bool
        Whether :meth:`stop` was called.
    running : bool
        Whether the training is under way.

    Examples
    --------
    >>> import torch
    >>> import pandas as pd
    >>> from medn_lab.train import TrainConfig
    >>> nothing_yet = History(pd.DataFrame(columns=["epoch", "seconds", "loss"]))
    >>> run = Run(torch.nn.Linear(2, 2), config=TrainConfig(epochs=3), history=nothing_yet)
    >>> run.stop()
    >>> run.stopping
    True
    """

    def __init__(
        self,
        model: MEDN,
        *,
        config: TrainConfig,
        history: History,
        go_on: Callable[[Run], History] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.history = history
        self.stopping = False
        self.running = False
        self._go_on = go_on

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.history)

    def stop(self) -> None:
        """Ask the training to end after this epoch."""
        self.stopping = True

    def resume(self) -> History:
        """Go on with the same training after a stop or an interrupt, with the same clips, callbacks and checkpoint.

        The result is that of a training that never stopped.

        Returns
        -------
        History
            Of all epochs, those before the stop included.

        Raises
        ------
        ValueError
            If the training is under way or finished, or the model's weights have changed since it stopped.
        """
        if self.running:
            raise ValueError("the training is under way: stop it before resuming it")
        if self.epoch >= self.config.epochs:
            raise ValueError(f"the training is finished: all {self.config.epochs} epochs are done")
        if self._go_on is None:
            raise ValueError("this run has no training behind it that could go on")
        return self._go_on(self)


class Callback:
    """A watcher that does nothing; override what you need. Inheriting is not required.

    Examples
    --------
    >>> class Losses(Callback):
    ...     def on_epoch_end(self, run):
    ...         print(f"{run.history.table['loss'].iloc[-1]:.1f}")
    >>> Losses.on_fit_start is Callback.on_fit_start
    True
    """

    def on_fit_start(self, run: Run) -> None:
        """Before the first epoch, and again where a stopped training is resumed."""

    def measure(self, run: Run) -> dict[str, float]:
        """Figures that go into the epoch's row of the history; asked after each epoch, before ``on_epoch_end``."""
        return {}

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


def measured(callbacks: list[object], run: Run) -> dict[str, float]:
    """What every callback that has a ``measure`` says of the epoch that has just ended.

    Raises
    ------
    ValueError
        If two name a figure alike, or one takes the name of a column that the history has by itself.
    """
    found: dict[str, float] = {}
    taken = set(run.history.table.iloc[-1:].dropna(axis=1).columns)
    for callback in callbacks:
        figures = callback.measure(run) if hasattr(callback, "measure") else {}
        twice = sorted(figures.keys() & (taken | found.keys()))
        if twice:
            raise ValueError(f"a callback measures {twice[0]!r}, which the history of this epoch has already")
        found |= {name: float(value) for name, value in figures.items()}
    return found
