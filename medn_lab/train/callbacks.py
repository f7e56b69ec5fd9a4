"""How a model is trained, and what may watch the training: any object with some of the methods of Callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from medn_lab.model import MEDN
from medn_lab.records import History


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Clips a step, at least 2.
    learning_rate : float
        Peak of AdamW's rate, reached after a tenth of the steps and let down to 0 along a half cosine.
    weight_decay : float
    au_weight : float
        Weight of the AU task.
    decoupling_weight : float or None
        Weight of the decoupling term; None takes the method's own (:data:`medn_lab.model.DECOUPLING_METHODS`).
    decoupling_ramp : tuple of two floats
        Shares of the training between which the weight rises from 0 to its full value. A price on the emotion code
        from the first step keeps the emotion branch from ever finding its cue.
    label_smoothing : float
    max_shift : int
        Augmentation: a batch is moved by up to this many pixels.
    mirror : bool
        Augmentation: half of the clips are mirrored.
    seed : int
        Of shuffling, augmentation, dropout and sampling (the model has its own for its weights).
    device : {"auto", "cpu", "cuda", "mps"}
    precision : str
        One of Fabric's; ``32-true`` by default, ``bf16-mixed`` for GPUs.
    threads : int or None
        CPU threads; one is fastest for small models. None leaves the setting alone.
    devices, num_nodes : int
        Devices (on a CPU: processes) of each machine, and machines. Above one, each step's clips are shared out to the
        processes and their gradients averaged; start them all with ``torchrun``, or let a script start its own.
    strategy : str
        Fabric's way of doing that; ``auto`` is ``ddp`` where there is more than one process.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> config = TrainConfig(epochs=10, seed=3)
    >>> config.epochs, config.learning_rate, config.device
    (10, 0.002, 'auto')
    """

    epochs: int = 25
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    au_weight: float = 1.0
    decoupling_weight: float | None = None
    decoupling_ramp: tuple[float, float] = (0.4, 0.8)
    label_smoothing: float = 0.05
    max_shift: int = 1
    mirror: bool = True
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: str = "32-true"
    threads: int | None = 1
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoupling_ramp", tuple(self.decoupling_ramp))
        least = dict.fromkeys(("weight_decay", "au_weight", "decoupling_weight", "max_shift"), 0)
        least |= {"epochs": 1, "batch_size": 2, "devices": 1, "num_nodes": 1}
        for name, lowest in least.items():
            if (value := getattr(self, name)) is not None and value < lowest:
                raise ValueError(f"{name} must be at least {lowest}; got {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1); got {self.label_smoothing}")
        if len(self.decoupling_ramp) != 2 or not 0 <= self.decoupling_ramp[0] <= self.decoupling_ramp[1] <= 1:
            raise ValueError(f"decoupling_ramp must be two shares in order, in [0, 1]; got {self.decoupling_ramp}")


GoOn = Callable[["Run"], History]


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
    training : TrainConfig
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
    >>> run = Run(torch.nn.Linear(2, 2), training=TrainConfig(epochs=3), history=nothing_yet)
    >>> run.stop()
    >>> run.stopping
    True
    """

    def __init__(self, model: MEDN, *, training: TrainConfig, history: History, go_on: GoOn | None = None) -> None:
        self.model, self.training, self.history = model, training, history
        self.stopping = self.running = False
        self._go_on = go_on

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.history)

    def stop(self) -> None:
        """Request the training to end after this epoch."""
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
        if self.epoch >= self.training.epochs or self._go_on is None:
            raise ValueError(f"nothing is left to train: {self.epoch} of {self.training.epochs} epochs are done")
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
        """Figures that go into the epoch's row of the history; called after each epoch, before ``on_epoch_end``."""
        return {}

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch; ``run.history`` holds it already."""

    def on_fit_end(self, run: Run) -> None:
        """After the last epoch, also after a stop or an interrupt."""


def notify(callbacks: list[object], event: str, run: Run) -> None:
    """Call `event` on every callback that has it."""
    for callback in callbacks:
        if hasattr(callback, event):
            getattr(callback, event)(run)


def measured(callbacks: list[object], run: Run) -> dict[str, float]:
    """The figures of every callback that has a ``measure``; ValueError if two figures have one name."""
    found: dict[str, float] = {}
    taken = set(run.history.table.iloc[-1:].dropna(axis=1).columns)
    for callback in callbacks:
        figures = callback.measure(run) if hasattr(callback, "measure") else {}
        if twice := sorted(figures.keys() & (taken | found.keys())):
            raise ValueError(f"a callback measures {twice[0]!r}, which the history of this epoch has already")
        found |= {name: float(value) for name, value in figures.items()}
    return found
