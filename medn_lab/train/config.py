"""How a model is trained, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
        Weight of the decoupling term; None takes the method's own (:data:`medn_lab.model.DECOUPLING_WEIGHTS`).
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
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"epochs must be at least 1 and batch_size 2; got {self.epochs} and {self.batch_size}")
        if min(self.devices, self.num_nodes) < 1:
            raise ValueError(f"devices and num_nodes must be at least 1; got {self.devices} and {self.num_nodes}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")
        if min(self.weight_decay, self.au_weight, self.decoupling_weight or 0.0, self.max_shift) < 0:
            raise ValueError("weight_decay, au_weight, decoupling_weight and max_shift must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1); got {self.label_smoothing}")
        object.__setattr__(self, "decoupling_ramp", tuple(self.decoupling_ramp))
        if len(self.decoupling_ramp) != 2 or not 0 <= self.decoupling_ramp[0] <= self.decoupling_ramp[1] <= 1:
            raise ValueError(f"decoupling_ramp must be two shares in order, in [0, 1]; got {self.decoupling_ramp}")
