"""The model of a result once more: from ``pretrained/``, a folder, or the user's hand, known by its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from medn_lab.model import MEDN, load_pretrained, pretrained_names, weights_sha256
from medn_lab.model.threads import torch_threads

GivenModel = MEDN | str | os.PathLike[str]


def model_again(source: Mapping[str, Any], given: GivenModel | Mapping[str, GivenModel] | None) -> MEDN:
    """The model that a source names; one of ``pretrained/`` on the kind of device that it ran on, where there is one.

    Parameters
    ----------
    source : mapping
        ``name``, ``sha256`` of the weights, ``run``.
    given : MEDN, folder, mapping of such, or None
        Where it is not in ``pretrained/``.

    Returns
    -------
    MEDN

    Raises
    ------
    ValueError
        If there is none with these weights.
    """
    name, wanted = str(source.get("name")), str(source["sha256"])
    others = []
    for model in candidates(name, given):
        found = weights_sha256(model)
        if found == wanted:
            return model if given is not None else _where_it_ran(model, source["run"])
        others.append(found[:12])
    if others:
        raise ValueError(f"{name} has other weights by now: {' and '.join(others)} and not {wanted[:12]}")
    raise ValueError(
        f"the model {name!r} is not in pretrained/; give it, or the folder that it was saved in:"
        " rerun(record, model=...)"
    )


def candidates(name: str, given: GivenModel | Mapping[str, GivenModel] | None) -> Iterator[MEDN]:
    """The models that may be meant: those given, or else the pretrained one of that name."""
    if given is None:
        if name in pretrained_names():
            yield load_pretrained(name)
        return
    for model in given.values() if isinstance(given, Mapping) else (given,):
        yield model if isinstance(model, MEDN) else load_pretrained(model)


def _where_it_ran(model: MEDN, run: Mapping[str, Any]) -> MEDN:
    kind = str(run.get("device", "cpu")).split(" ")[0]
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return model.to(kind) if there.get(kind) else model


def as_many_threads(run: Mapping[str, Any]) -> AbstractContextManager[None]:
    """As many threads of torch as the run had."""
    return torch_threads(run.get("threads"))
