"""A target as a function of the inputs that it is attributed to, and the way between a model's tensors and a record."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from medn_lab.diagnose.attribution_target import Target
from medn_lab.model import MEDN, MEDNOutput, as_inputs
from medn_lab.records import Clips, require

Tensors = tuple[Tensor, ...]

NEXT_TO_NOTHING = 0.003
"""The share of the frames' change that is left where a clip has all but faded away."""


class Explained:
    """A target as a function of the inputs that it is attributed to.

    Parameters
    ----------
    model : MEDN
    target : Target
    clips : Clips
        Decide which inputs there are.

    Attributes
    ----------
    reads : tuple of str
        The inputs it is attributed to, ``frames`` before ``flow``.
    beside : tuple of str
        Inputs that it needs and that keep their values.

    Raises
    ------
    ValueError
        If the clips lack what the target needs.
    """

    def __init__(self, model: MEDN, target: Target, clips: Clips) -> None:
        self.model, self.target = model, target
        there = [name for name in ("frames", "flow") if getattr(clips, name) is not None]
        self.reads = tuple(name for name in target.inputs if name in there)
        needed = ("frames", "flow") if target.kind == "gate" or target.contribution else target.inputs[:1]
        lacking = [name for name in needed if name not in there]
        if not self.reads or (len(needed) == 2 and lacking):
            raise ValueError(
                f"{str(target)!r} needs the clips' {' and '.join(lacking or needed)}, and these clips hold"
                f" {' and '.join(there)} alone"
            )
        self.beside = tuple(name for name in there if target.contribution and name not in self.reads)
        classes, aus = model.config.classes, model.config.aus
        self._column = aus.index(target.name) if target.kind == "au" else None
        if target.kind == "emotion":
            self._column = classes.index(target.name)
            self._against = classes.index(target.against) if target.against else None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The target's value (b,) for the inputs of `reads` and then `beside`, as the model takes them."""
        given = dict(zip((*self.reads, *self.beside), inputs, strict=True))
        value = self._value(given)
        if not self.target.contribution:
            return value
        with torch.no_grad():  # what it is compared with does not depend on what it is attributed to
            without = self._faded_away(given, self.reads)
        return value - without

    def of_nothing(self, inputs: Tensors) -> Tensor:
        """The target's value (b,) for the same clips in which nothing happens; what a branch then adds is nothing."""
        if self.target.contribution:
            return torch.zeros(len(inputs[0]), device=inputs[0].device)
        return self._faded_away(dict(zip(self.reads, inputs, strict=True)), self.reads)

    def _faded_away(self, given: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor:
        """What the value tends to as what happens in some inputs fades away.

        In perfect stillness all positions of the face tie, and what the emotion branch keeps hangs on their order; a
        clip that fades away keeps its own positions to the end.
        """
        still = {name: stillness(name, given[name]) for name in names}
        if "frames" not in names:
            return self._value({**given, **still})
        change = given["frames"] - still["frames"]
        near, nearer = (
            self._value({**given, **still, "frames": still["frames"] + share * change})
            for share in (2 * NEXT_TO_NOTHING, NEXT_TO_NOTHING)
        )
        return 2 * nearer - near  # on along the line through both

    def _value(self, given: Mapping[str, Tensor]) -> Tensor:
        return self._read(self.model(given.get("frames"), given.get("flow")))

    def _read(self, output: MEDNOutput) -> Tensor:
        if self.target.kind == "gate":
            return require(output.gate, otherwise="this model has no gate, for it has one branch").mean(dim=1)
        if self.target.kind == "norm":
            return getattr(output, self.target.name).norm(dim=1)
        if self.target.kind == "au":
            au_logits = require(output.au_logits, otherwise="this model tells no AUs: it has no motion branch")
            return au_logits[:, self._column]
        value = output.logits[:, self._column]
        return value if self._against is None else value - output.logits[:, self._against]

    def tensors(self, clips: Clips, rows: np.ndarray) -> tuple[Tensors, Tensors]:
        """The inputs of some clips: those attributed to, and those beside."""
        device = next(self.model.parameters()).device
        inputs = as_inputs(self.model.config, clips, rows=rows, device=device)
        # A convolution's backward pass wants its input in one piece.
        named = {name: getattr(inputs, name).contiguous() for name in (*self.reads, *self.beside)}
        return tuple(named[name] for name in self.reads), tuple(named[name] for name in self.beside)

    def baselines(self, inputs: Tensors) -> Tensors:
        """The same faces in which nothing happens."""
        return tuple(stillness(name, value) for name, value in zip(self.reads, inputs, strict=True))


def stillness(name: str, value: Tensor) -> Tensor:
    """The baseline of an input: frames (b, t, 3, h, w) that all are the onset, or flow (b, c, h, w) of zeros."""
    return value[:, :1].expand_as(value).contiguous() if name == "frames" else torch.zeros_like(value)


def as_record(name: str, value: Tensor) -> np.ndarray:
    """Values in the model's layout as an array in the record's: colour or component last."""
    order = (0, 1, 3, 4, 2) if name == "frames" else (0, 2, 3, 1)
    return value.detach().permute(order).float().cpu().numpy()


def as_tensor(name: str, value: np.ndarray) -> Tensor:
    """The way back from :func:`as_record`."""
    order = (0, 1, 4, 2, 3) if name == "frames" else (0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(value)).permute(order).contiguous()
