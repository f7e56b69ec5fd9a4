"""The processes that train one model together: one alone, several of a machine, or several machines."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from medn_lab.train.config import TrainConfig


def processes(config: TrainConfig) -> Fabric:
    """The processes of a training, launched: this one alone, or all that :class:`TrainConfig` names."""
    strategy = config.strategy
    if strategy == "auto" and config.devices * config.num_nodes > 1:
        strategy = "ddp_find_unused_parameters_true"  # the AU head has no say where no clip of a share knows its AUs
    precision: Any = config.precision
    fabric = Fabric(
        accelerator=config.device, devices=config.devices, num_nodes=config.num_nodes, strategy=strategy,
        precision=precision,
    )  # fmt: skip
    fabric.launch()
    return fabric


@torch.no_grad()
def share_buffers(fabric: Fabric, model: nn.Module) -> None:
    """Give all processes one model again: gradients are shared at each step, the running batch statistics here.

    Each process has seen its own part of each batch, so the mean of their statistics is taken.
    """
    if fabric.world_size == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            mean: Any = fabric.all_reduce(buffer.clone(), reduce_op="mean")
            buffer.copy_(mean)
