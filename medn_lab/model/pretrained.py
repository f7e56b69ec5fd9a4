"""Trained weights by name or folder: safetensors, a configuration and a card, all from the disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import nn

import medn_lab
from medn_lab.model.config import MEDNConfig
from medn_lab.model.medn import HISTORY, MEDN, NO_PICKLE, WEIGHTS, check_weights
from medn_lab.records import History

CONFIG, CARD = "config.json", "figures.json"


def pretrained_folder() -> Path:
    """The ``pretrained/`` folder of this checkout; it exists only there, as weights are not part of the wheel."""
    return Path(medn_lab.__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> list[str]:
    """The names that :func:`load_pretrained` knows here.

    Returns
    -------
    list of str
        Sorted; empty outside a checkout.

    Examples
    --------
    >>> "medn_tiny.synthme_v2" in pretrained_names()
    True
    """
    folder = pretrained_folder()
    return sorted(path.parent.name for path in folder.glob(f"*/{WEIGHTS}")) if folder.is_dir() else []


def load_pretrained(name: str | os.PathLike[str] = "medn_tiny.synthme_v2") -> MEDN:
    """A trained MEDN in evaluation mode, from the checkout's ``pretrained/`` or from a folder of yours.

    Parameters
    ----------
    name : str or path-like
        One of :func:`pretrained_names`, or a folder that ``model.save_pretrained`` wrote.

    Returns
    -------
    MEDN
        Its ``name`` is the folder's. Nothing is downloaded.

    Raises
    ------
    FileNotFoundError
        If there is no such name or folder; the sentence lists those there are.
    ValueError
        If the folder holds no safetensors weights, they are not those that its card names by sha256, or they do not fit
        its configuration. Pickled weights are refused: reading them can run code.

    See Also
    --------
    medn_lab.model.pretrained_names

    Examples
    --------
    >>> model = load_pretrained("medn_tiny.synthme_v2")
    >>> model.name, model.config.decoupling
    ('medn_tiny.synthme_v2', 'bottleneck')
    """
    places = [Path(name)] + ([pretrained_folder() / str(name)] if Path(name).name == str(name) else [])
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        if places[0].is_file():
            raise ValueError(f"{name} is a file; give the folder with {WEIGHTS} and config.json in it. {NO_PICKLE}")
        known = ", ".join(pretrained_names()) or "none in this installation; give the path of a folder"
        raise FileNotFoundError(f"no pretrained model {str(name)!r}; there are: {known}")
    for needed in (WEIGHTS, CONFIG):
        if not (folder / needed).is_file():
            raise ValueError(f"{folder} has no {needed}. {NO_PICKLE}")
    try:
        config = MEDNConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
        card = json.loads((folder / CARD).read_text(encoding="utf-8")) if (folder / CARD).is_file() else {}
        check_weights(folder / WEIGHTS, stated=card.get("sha256"))
        with safe_open(folder / WEIGHTS, framework="pt") as stored:
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
        with torch.device("meta"):  # shapes alone, so that a false configuration cannot fill the memory
            wanted = {name: tuple(tensor.shape) for name, tensor in MEDN(config).state_dict().items()}
        differing = sorted(n for n in shapes.keys() | wanted.keys() if shapes.get(n) != wanted.get(n))
        if differing:
            raise ValueError(
                f"{len(differing)} of {len(wanted)} weights are not those of its {CONFIG}, such as {differing[0]}"
                f" ({shapes.get(differing[0], 'missing')}, expected {wanted.get(differing[0], 'none')})"
            )
    except (TypeError, AttributeError, ValueError, OverflowError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{folder} holds no MEDN that can be loaded: {error}") from error
    model = MEDN(config)
    load_model(model, folder / WEIGHTS, strict=True)
    model.name = folder.resolve().name
    model.history = History.load(folder / HISTORY) if (folder / HISTORY).is_dir() else None
    return model.eval()


def weights_sha256(model: nn.Module) -> str:
    """The sha256 of a model's weights and buffers, by name and value, the same on every machine.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> from medn_lab.model import MEDN, MEDNConfig
    >>> weights_sha256(MEDN(MEDNConfig(), seed=0)) == weights_sha256(MEDN(MEDNConfig(), seed=1))
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
