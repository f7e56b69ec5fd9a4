"""Where a training stands after its last whole epoch, kept in memory so that an interrupt cannot spoil it."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from medn_lab.records import History


class Standing:
    """Model, optimiser and history of one moment, taken after each epoch and given back after an interrupt.

    An interrupt may fall into the middle of a step, when half of the weights have moved. It costs the memory of three
    more copies of the weights.

    Parameters
    ----------
    model : nn.Module
    optimiser : torch.optim.Optimizer
    history : History
    """

    def __init__(self, model: nn.Module, *, optimiser: torch.optim.Optimizer, history: History) -> None:
        self._model, self._optimiser = model, optimiser
        self.take(history)

    @torch.no_grad()
    def take(self, history: History) -> None:
        """Remember this moment; an interrupt while it does leaves the moment before."""
        weights = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        self._kept = weights, deepcopy(self._optimiser.state_dict()), history

    def give_back(self) -> History:
        """Bring model and optimiser back to that moment, and return its history."""
        weights, steps, history = self._kept
        self._model.load_state_dict(weights)
        self._optimiser.load_state_dict(deepcopy(steps))
        return history

    def check(self) -> None:
        """Raise ValueError where somebody else has changed the weights since."""
        weights, now = self._kept[0], self._model.state_dict()
        changed = [name for name, value in weights.items() if not torch.equal(value, now[name].to(value.device))]
        if changed:
            raise ValueError(
                f"{len(changed)} of {len(weights)} weights have changed since this training stopped, such as"
                f" {changed[0]}; it would not be the same training: start a new one with fit"
            )
