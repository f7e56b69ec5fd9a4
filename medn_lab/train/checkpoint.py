"""A training put aside and taken up again: safetensors and JSON in one folder, replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from medn_lab.records import History, whole_folder


def save_checkpoint(
    path: str | os.PathLike[str], *, model: nn.Module, optimiser: torch.optim.Optimizer, history: History
) -> Path:
    """Write model, optimiser and history; an older checkpoint at `path` is replaced only when the new one is whole.

    Parameters
    ----------
    path : path-like
        The folder.
    model : nn.Module
    optimiser : torch.optim.Optimizer
    history : History

    Returns
    -------
    Path
    """
    target = Path(path)
    with whole_folder(target) as beside:
        tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        save_file(tensors, beside / "state.safetensors")
        history.save(beside / "history")
    return target


def load_checkpoint(
    path: str | os.PathLike[str], *, model: nn.Module, optimiser: torch.optim.Optimizer, config: dict
) -> History:
    """Bring model and optimiser to where :func:`save_checkpoint` left them.

    Parameters
    ----------
    path : path-like
    model : nn.Module
    optimiser : torch.optim.Optimizer
    config : dict
        What this training is; must be what the checkpoint was made with.

    Returns
    -------
    History
        The epochs already done.

    Raises
    ------
    ValueError
        If the checkpoint belongs to another configuration, or to other clips.
    """
    folder = Path(path)
    history = History.load(folder / "history")
    stored, wanted = json.loads(json.dumps(dict(history.config))), json.loads(json.dumps(config))
    if stored != wanted:
        differing = sorted(k for k in stored.keys() | wanted.keys() if stored.get(k) != wanted.get(k))
        raise ValueError(
            f"the checkpoint {folder} was made with another {', '.join(differing)};"
            " give the same configuration and clips, or another checkpoint folder"
        )
    tensors = load_file(folder / "state.safetensors")
    prefix = "model."
    model.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            states.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return history
