"""Trained weights by name or folder: safetensors, a configuration and a card, all from the disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from safetensors.torch import load_model
from torch import nn

import medn_lab
from medn_lab.model.config import MEDNConfig
from medn_lab.model.medn import MEDN

WEIGHTS = "model.safetensors"


def pretrained_folder() -> Path:
    """The ``pretrained/`` folder of this checkout; it exists only there, as weights are not part of the wheel."""
    return Path(medn_lab.__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> list[str]:
    """The names that :func:`load_pretrained` knows here.

    Returns
    -------
    list of str
        Sorted; empty outside a checkout.
    """
    folder = pretrained_folder()
    return sorted(path.parent.name for path in folder.glob(f"*/{WEIGHTS}")) if folder.is_dir() else []


def load_pretrained(name: str | os.PathLike[str] = "medn_tiny.synthme_v1") -> MEDN:
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
        If the folder holds no safetensors weights, or they are not those that its card names by sha256.

    See Also
    --------
    medn_lab.model.pretrained_names
    """
    places = [Path(name), pretrained_folder() / str(name)]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        known = ", ".join(pretrained_names()) or "none in this installation; give the path of a folder"
        raise FileNotFoundError(f"no pretrained model {str(name)!r}; there are: {known}")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder} has no {WEIGHTS}; pickled weights (.pt, .bin) are not read, convert them first")
    card = folder / "figures.json"
    if card.is_file():
        stated = json.loads(card.read_text()).get("sha256")
        found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        if stated is not None and stated != found:
            raise ValueError(f"the weights in {folder} have sha256 {found[:12]}..., its card says {stated[:12]}...")
    model = MEDN(MEDNConfig.from_json((folder / "config.json").read_text()))
    load_model(model, folder / WEIGHTS, strict=True)
    model.name = folder.resolve().name
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
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
