"""Which clips a step sees, their targets, and the augmentations that keep an Action Unit's meaning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medn_lab.model import Inputs, MEDNConfig
from medn_lab.records import Clips, check_label, is_constant, require


@dataclass(frozen=True)
class Targets:
    """What the clips' table says, row by row.

    Attributes
    ----------
    labels : (n,) int64 tensor
        Places in ``config.classes``.
    aus : (n, n_aus) float32 tensor
        1 present, 0 absent, NaN unknown.
    class_weight : (n_classes,) float32 tensor
        Inverse class frequency, mean 1 over the clips.
    au_weight : (n_aus,) float32 tensor
        Weight of a positive: negatives over positives, at most 10; 1 for an AU without positives.

    Examples
    --------
    >>> import pandas as pd
    >>> from medn_lab.model import MEDNConfig
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "label": ["x", "y"], "AU12": [1.0, None]})
    >>> targets = read_targets(MEDNConfig(classes=("x", "y"), aus=("AU12",)), table, label="label", training=False)
    >>> targets.labels.tolist(), targets.aus.tolist()
    ([0, 1], [[1.0], [nan]])
    """

    labels: Tensor
    aus: Tensor
    class_weight: Tensor
    au_weight: Tensor

    def take(self, rows: Tensor) -> Targets:
        """The targets of some rows; the weights stay those of all."""
        return Targets(self.labels[rows], self.aus[rows], self.class_weight, self.au_weight)

    def to(self, device: torch.device) -> Targets:
        """The same on another device."""
        return Targets(*(getattr(self, field.name).to(device) for field in fields(self)))


def read_targets(config: MEDNConfig, table: pd.DataFrame, *, label: str, training: bool) -> Targets:
    """Read labels and AUs from a table.

    Parameters
    ----------
    config : MEDNConfig
    table : DataFrame
    label : str
        Column of class names.
    training : bool
        Whether every class must occur.

    Returns
    -------
    Targets

    Raises
    ------
    ValueError
        If the column is missing, a clip has no class, a name is not one of the model's classes, or a class has no
        training clip.

    Examples
    --------
    >>> import pandas as pd
    >>> from medn_lab.model import MEDNConfig
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "label": ["x", "y"], "AU12": [1.0, 0.0]})
    >>> read_targets(MEDNConfig(classes=("x", "y"), aus=("AU12",)), table, label="label", training=True).aus.tolist()
    [[1.0], [0.0]]
    """
    names = check_label(table, label=label)
    places = pd.Index(config.classes).get_indexer(names)
    if (places < 0).any():
        strange = sorted(set(names[places < 0]))
        raise ValueError(
            f"{(places < 0).sum()} of {len(table)} clips are labelled {', '.join(strange)},"
            f" which the model does not know; its classes are {', '.join(config.classes)}"
        )
    counts = np.bincount(places, minlength=len(config.classes))
    if training and (counts == 0).any():
        absent = [name for name, count in zip(config.classes, counts, strict=True) if count == 0]
        raise ValueError(
            f"no training clip of {', '.join(absent)} among {len(table)}; build the model with"
            " MEDNConfig.for_clips(clips) or choose another split"
        )
    class_weight = len(table) / (len(config.classes) * np.maximum(counts, 1))
    aus = table.reindex(columns=list(config.aus)).to_numpy(dtype=np.float32, na_value=np.nan).copy()
    positives, negatives = (aus == 1).sum(axis=0), (aus == 0).sum(axis=0)
    au_weight = np.where(positives > 0, np.clip(negatives / np.maximum(positives, 1), 1, 10), 1)
    return Targets(
        torch.from_numpy(places.astype(np.int64)),
        torch.from_numpy(aus),
        torch.from_numpy(class_weight.astype(np.float32)),
        torch.from_numpy(au_weight.astype(np.float32)),
    )


def warn_if_constant(config: MEDNConfig, clips: Clips, targets: Targets, *, stacklevel: int) -> None:
    """Warn of each input or target that is the same in all training clips: its branch learns nothing and dies.

    Reads clips until two differ, so that of clips that vary only the first few are read.

    Parameters
    ----------
    config : MEDNConfig
        Says which inputs are read.
    clips : Clips
    targets : Targets
        Of the same clips.
    stacklevel : int
        Of the caller's caller, for the warning.
    """
    found = []
    if clips.frames is not None and config.branches != "motion":
        if all((own[1:] == own[:1]).all() for own in clips.frames):
            found.append("the frames do not move in any clip, so the emotion branch has nothing to learn from")
        elif _all_alike(clips.frames):
            found.append("all clips have the same frames, so the emotion branch will be constant")
    if clips.flow is not None and config.branches != "emotion":
        if not any(own.any() for own in clips.flow):
            found.append("the flow is 0 in all clips, so the motion branch will be constant")
        elif _all_alike(clips.flow):
            found.append("all clips have the same flow, so the motion branch will be constant")
    aus = targets.aus.numpy()
    known = aus[~np.isnan(aus)]
    if known.size and is_constant(known[:, None]):
        found.append(f"no AU varies: every AU known is {known[0]:g} in all clips, so the AUs teach nothing")
    for fault in found:
        warnings.warn(f"{fault}; look at how the clips were prepared", UserWarning, stacklevel=stacklevel + 1)


def _all_alike(clips: np.ndarray) -> bool:
    first = np.asarray(clips[0])
    return all(is_constant(np.stack([first.ravel(), np.ravel(own)])) for own in clips[1:])


def shuffled_rows(n: int, batch_size: int, *, least: int = 2, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of rows in random order; a last one below `least` is joined to the one before (batch norm needs two)."""
    order = torch.randperm(n, generator=generator)
    edges = list(range(0, n, batch_size)) + [n]
    if len(edges) > 2 and edges[-1] - edges[-2] < least:
        del edges[-2]
    for start, stop in pairwise(edges):
        yield order[start:stop]


def mirror(inputs: Inputs, chosen: Tensor, *, colours: bool = False) -> Inputs:
    """Mirror the chosen clips left to right.

    The face's right and left change places, so an AU set without sides keeps its meaning; the horizontal component of
    the flow changes its sign.

    Parameters
    ----------
    inputs : Inputs
    chosen : (b,) bool tensor
    colours : bool
        Whether the flow is coded as colours, of which the hue then says the mirrored direction.

    Returns
    -------
    Inputs
    """
    return _mirror(Inputs(*(None if x is None else x.clone() for x in inputs)), chosen, colours)


def _mirror(inputs: Inputs, chosen: Tensor, colours: bool) -> Inputs:
    frames, flow = inputs
    for row in chosen.nonzero()[:, 0].tolist():  # a clip at a time: it stays in the cache, and nothing large is copied
        if frames is not None:
            frames[row] = frames[row].flip(-1)
        if flow is not None:
            flow[row] = flow[row].flip(-1)
            if colours:  # a hue of h degrees becomes 180 - h: the complement, with green and blue exchanged
                flow[row] = (flow[row].amax(0) + flow[row].amin(0) - flow[row])[[0, 2, 1]]
            else:
                flow[row, 0] *= -1
    return inputs


def shift(inputs: Inputs, dx: int, dy: int) -> Inputs:
    """Move a batch by whole pixels (`dx` right, `dy` down), repeating the edge: the crop's place is never exact.

    Parameters
    ----------
    inputs : Inputs
    dx, dy : int
        In pixels.

    Returns
    -------
    Inputs
    """
    return Inputs(*(None if x is None else _shift(x, dx, dy) for x in inputs))


def _shift(x: Tensor, dx: int, dy: int) -> Tensor:
    if not dx and not dy:
        return x
    h, w = x.shape[-2:]
    rows, columns = slice(max(dy, 0), h + min(dy, 0)), slice(max(dx, 0), w + min(dx, 0))  # where the old ones land
    moved = torch.empty_like(x)
    moved[..., rows, columns] = x[..., max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)]
    moved[..., : rows.start, columns] = moved[..., rows.start, None, columns]
    moved[..., rows.stop :, columns] = moved[..., rows.stop - 1, None, columns]
    moved[..., : columns.start] = moved[..., columns.start, None]
    moved[..., columns.stop :] = moved[..., columns.stop - 1, None]
    return moved


def augment(
    inputs: Inputs, *, max_shift: int, mirrored: bool, generator: torch.Generator, colours: bool = False
) -> Inputs:
    """Mirror half of the clips if `mirrored`, in place, and shift the batch by up to `max_shift` pixels."""
    either = inputs.flow if inputs.frames is None else inputs.frames
    reference = require(either, otherwise="there is nothing to augment: neither frames nor flow were given")
    chosen = torch.rand(len(reference), generator=generator) < (0.5 if mirrored else 0.0)
    dx, dy = torch.randint(-max_shift, max_shift + 1, (2,), generator=generator).tolist()
    return shift(_mirror(inputs, chosen, colours), dx, dy)
