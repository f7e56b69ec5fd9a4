"""A model at rest: in evaluation mode and smooth while it is looked into, and as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from medn_lab.model import MEDN, MotionOutput
from medn_lab.model.decoupling import GaussianCode


@contextmanager
def at_rest(model: MEDN) -> Iterator[None]:
    """The model in evaluation mode and smooth, each of its modules afterwards in the mode it was in.

    Under the bottleneck two things stand in a gradient's way. The motion branch's features are cut from it on their way
    into the fusion, so that they learn from the AU task alone: here nothing is learned, and the cut is bridged, or no
    emotion would seem to owe anything to the flow. And the emotion code is rounded to the resolution of its noise, so
    that scores move in steps which no slope shows: what is attributed is the score with the code as it is before it is
    rounded.
    """
    modes = {module: module.training for module in model.modules()}
    handles = []
    model.eval()
    try:
        motion, fusion, code = (getattr(model, name, None) for name in ("motion_branch", "fusion", "code"))
        if motion is not None and fusion is not None:
            held: dict[str, Any] = {}
            handles.append(motion.register_forward_hook(lambda _, __, out: held.update(motion=out)))
            handles.append(fusion.register_forward_pre_hook(lambda _, args: _bridged(args, held["motion"])))
        if code is not None:
            handles += _unrounded(code)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _unrounded(code: GaussianCode) -> list[RemovableHandle]:
    """Let the bottleneck's code pass its mean as it is; the handles of the hooks that do so."""
    held: dict[str, Tensor] = {}

    def whole(_: object, __: object, out: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        mean = held["encoded"][:, : out[0].shape[1]]
        return mean, code.expand(mean), out[2]

    return [
        code.encode.register_forward_hook(lambda _, __, out: held.update(encoded=out)),
        code.register_forward_hook(whole),
    ]


def _bridged(args: tuple[Any, ...], motion: MotionOutput) -> tuple[Any, ...]:
    """The fusion's arguments, with what was cut off the motion branch's output replaced by that output."""
    whole = {part.data_ptr(): part for part in (motion.feature, motion.tokens)}
    return tuple(
        whole.get(part.data_ptr(), part) if isinstance(part, Tensor) and not part.requires_grad else part
        for part in args
    )
