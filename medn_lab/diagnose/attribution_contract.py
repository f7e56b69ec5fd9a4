"""One contract for every method: signed values in the input's shape, a model left as it was, a map that can be remade.

A method is a function of tensors (:class:`Explained` and a batch of inputs in, values of the same shapes out) that
:data:`METHODS` knows by name. :func:`attribute` runs it over clips and makes the record; the sanity checks run it again
on other inputs and other weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution_explained import Explained, Tensors, as_record
from medn_lab.diagnose.attribution_rest import at_rest
from medn_lab.diagnose.attribution_target import INPUT_OF, parse_target
from medn_lab.evaluate.prediction import source_of
from medn_lab.model import MEDN, check_clips
from medn_lab.records import Attribution, Clips


@dataclass(frozen=True)
class Method:
    """What is known of a method before it is run.

    Attributes
    ----------
    module : str
        The module of this room that holds it.
    slopes : bool
        Whether its values are slopes, to be multiplied with a change of the input to say what it does. Those of the
        others already are what the input's departure from its baseline does.
    inputs : tuple of str
        What it can say something about.
    places : bool
        Whether it tells places apart; otherwise it tells moments apart.
    """

    module: str
    slopes: bool = False
    inputs: tuple[str, ...] = ("frames", "flow")
    places: bool = True


METHODS = {
    "saliency": Method("gradients", slopes=True),
    "integrated_gradients": Method("gradients"),
    "gradient_shap": Method("gradient_sampling"),
    "grad_cam": Method("grad_cam_maps"),
    "occlusion": Method("occlusion_patches"),
    "frame_ablation": Method("occlusion_frames", inputs=("frames",), places=False),
    "bare_change": Method("gradients"),
}


class Maker(Protocol):
    """A method at work on one batch."""

    def __call__(self, explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        """Values of the shapes of `inputs`."""


def check_method(name: str) -> None:
    """ValueError unless `name` is one of :data:`METHODS`."""
    if name not in METHODS:
        raise ValueError(f"there is no attribution method {name!r}; there are {', '.join(METHODS)}")


def maker_of(method: str, params: Mapping[str, Any]) -> Maker:
    """A method by name with its own arguments, ready to be run.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`.
    params : mapping
        As :attr:`Attribution.params` keeps them.

    Returns
    -------
    Maker

    Raises
    ------
    ValueError
        If there is no such method.
    """
    check_method(method)
    module = import_module(f"medn_lab.diagnose.{METHODS[method].module}")
    return module.MAKERS[method](**params)


def attribute(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    method: str,
    params: Mapping[str, Any],
    batch_size: int,
    progress: bool,
) -> Attribution:
    """Run a method over clips.

    Parameters
    ----------
    model : MEDN
    clips : Clips
    target : str
        See :mod:`medn_lab.diagnose.attribution_target`.
    method : str
    params : mapping
    batch_size : int
    progress : bool

    Returns
    -------
    Attribution
        With scores and baseline scores, and no sanity figures yet.

    Raises
    ------
    ValueError
        If the target or the clips do not fit the model.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    check_clips(model.config, clips)
    make = maker_of(method, params)
    parsed = parse_target(model, target)
    explained = Explained(model, parsed, clips)
    told = [name for name in explained.reads if name in METHODS[method].inputs]
    if not told:
        raise ValueError(
            f"{method} says something about {' and '.join(METHODS[method].inputs)} alone, and {str(parsed)!r} of this"
            f" model and these clips reads {' and '.join(explained.reads)}"
        )
    values: dict[str, list[np.ndarray]] = {name: [] for name in told}
    scores, baseline_scores = [], []
    with at_rest(model):
        starts = range(0, len(clips), batch_size)
        for start in tqdm(starts, desc="attributing", unit="batch", disable=not progress):
            rows = np.arange(start, min(start + batch_size, len(clips)))
            inputs, beside = explained.tensors(clips, rows)
            with torch.no_grad():
                scores.append(explained(*inputs, *beside))
                baseline_scores.append(explained.of_nothing(inputs))
            with torch.enable_grad():
                found = make(explained, inputs, beside)
            for name, value in zip(explained.reads, found, strict=True):
                if name in values:
                    values[name].append(as_record(name, value))
    stacked = {name: np.concatenate(parts) for name, parts in values.items()}
    for name, array in stacked.items():
        if not array.any():
            warnings.warn(
                f"the {method} map of the {name} is 0 everywhere in all {len(clips)} clips: {str(parsed)!r} does not"
                f" depend on the {name} here, so nothing can be read from where the map points",
                UserWarning,
                stacklevel=3,
            )
    told_of = torch.cat(scores).float().cpu().numpy()
    _check_numbers(clips, method, told_of, *stacked.values())
    return Attribution(
        frames=stacked.get("frames"),
        flow=stacked.get("flow"),
        table=clips.table,
        target=str(parsed),
        branch=parsed.through if len(explained.reads) == len(parsed.inputs) else _branch_of(explained.reads[0]),
        method=method,
        scores=told_of,
        baseline_scores=torch.cat(baseline_scores).float().cpu().numpy(),
        params=dict(params),
        source=source_of(model, clips, call="attribute", batch_size=batch_size),
    )


def _check_numbers(clips: Clips, method: str, *arrays: np.ndarray) -> None:
    broken = ~np.logical_and.reduce([np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in arrays])
    if broken.any():
        raise ValueError(
            f"the {method} map of {broken.sum()} of {len(clips)} clips is not of numbers, such as of"
            f" {clips.table['clip_id'].iloc[int(broken.argmax())]!r}; look at those clips for extreme flow"
        )


def _branch_of(name: str) -> str:
    return next(branch for branch, own in INPUT_OF.items() if own == name)
