"""Checkpoints of a training: safetensors and JSON in one folder, replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from medn_lab.model.medn import check_weights, stated_sum, write_sum
from medn_lab.records import History, atomic_write

STATE = "state.safetensors"


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether there is a checkpoint at `path`; False where nothing is, or an empty folder.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool

    Raises
    ------
    FileExistsError
        If something else is there, which a checkpoint would replace.
    """
    folder = Path(path)
    if (folder / STATE).is_file():
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists and is no checkpoint (a folder with {STATE}; pickled ones, .pt or .ckpt, are not read);"
            " choose another folder, nothing was written"
        )
    return False


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

    Raises
    ------
    FileExistsError
        If something else is at `path`.
    """
    target = Path(path)
    is_checkpoint(target)
    with atomic_write(target) as folder:
        tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        save_file(tensors, folder / STATE)
        write_sum(folder / STATE)
        history.save(folder / "history")
    return target


def load_checkpoint(
    path: str | os.PathLike[str], *, model: nn.Module, optimiser: torch.optim.Optimizer, config: Mapping
) -> History:
    """Bring model and optimiser to where :func:`save_checkpoint` left them.

    Parameters
    ----------
    path : path-like
    model : nn.Module
    optimiser : torch.optim.Optimizer
    config : mapping
        What this training is; must be what the checkpoint was made with.

    Returns
    -------
    History
        The epochs already done.

    Raises
    ------
    ValueError
        If the checkpoint belongs to another configuration, or to other clips, or its files are not those written.
    """
    folder = Path(path)
    history = History.load(folder / "history")
    stored, wanted = (json.loads(json.dumps(dict(one))) for one in (history.config, config))
    differing = sorted(k for k in stored.keys() | wanted.keys() if stored.get(k) != wanted.get(k))
    if differing:
        raise ValueError(
            f"the checkpoint {folder} was made with another {', '.join(differing)};"
            " give the same configuration and clips, or another checkpoint folder"
        )
    try:
        check_weights(folder / STATE, stated=stated_sum(folder / STATE))
        tensors = load_file(folder / STATE)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{folder / STATE} cannot be read: {error}; take a whole copy, or remove the folder to train from the start"
        ) from error
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    states: dict[int, dict[str, torch.Tensor]] = {}
    for _, index, key in (name.split(".", 2) for name in tensors if name.startswith("optimiser.")):
        states.setdefault(int(index), {})[key] = tensors[f"optimiser.{index}.{key}"]
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return history
