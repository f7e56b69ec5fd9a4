"""One contract for every method: signed values in the input's shape, a model left as it was, a map that can be remade.

A method is a function of tensors (:class:`Explained` and a batch of inputs in, values of the same shapes out) that
:data:`METHODS` knows by name. :func:`attribute` runs it over clips and makes the record; the sanity checks run it again
on other inputs and other weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from tqdm.auto import tqdm

from medn_lab.diagnose.attribution_target import INPUT_OF, Target, parse_target
from medn_lab.evaluate.prediction import source_of
from medn_lab.model import MEDN, MEDNOutput, MotionOutput, as_inputs, check_clips
from medn_lab.model.decoupling import GaussianCode
from medn_lab.records import Attribution, Clips, present

Tensors = tuple[Tensor, ...]

NEXT_TO_NOTHING = 0.003
"""The share of the frames' change that is left where a clip has all but faded away."""


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
            return present(output.gate, otherwise="this model has no gate, for it has one branch").mean(dim=1)
        if self.target.kind == "norm":
            return getattr(output, self.target.name).norm(dim=1)
        if self.target.kind == "au":
            au_logits = present(output.au_logits, otherwise="this model tells no AUs: it has no motion branch")
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


class Maker(Protocol):
    """A method at work on one batch."""

    def __call__(self, explained: Explained, inputs: Tensors, beside: Tensors) -> Tensors:
        """Values of the shapes of `inputs`."""


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
    if method not in METHODS:
        raise ValueError(f"there is no attribution method {method!r}; there are {', '.join(METHODS)}")
    module = import_module(f"medn_lab.diagnose.{METHODS[method].module}")
    return module.MAKERS[method](**params)


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


def as_record(name: str, value: Tensor) -> np.ndarray:
    """Values in the model's layout as an array in the record's: colour or component last."""
    order = (0, 1, 3, 4, 2) if name == "frames" else (0, 2, 3, 1)
    return value.detach().permute(order).float().cpu().numpy()


def as_tensor(name: str, value: np.ndarray) -> Tensor:
    """The way back from :func:`as_record`."""
    order = (0, 1, 4, 2, 3) if name == "frames" else (0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(value)).permute(order).contiguous()


def completeness(attribution: Attribution) -> dict[str, float]:
    """How nearly the values of each clip add up to its score minus its baseline score.

    Parameters
    ----------
    attribution : Attribution
        Of a method that claims completeness.

    Returns
    -------
    dict
        ``completeness_error``: the differences that the maps leave unexplained, summed over clips, as a share of the
        differences themselves; 0 is a complete map, and 1 what a map of zeros would leave. ``completeness_gap_95``: the
        95th percentile of what is left of a clip, in the target's own unit.
    """
    told = "this attribution does not hold what the clips score, so nothing can add up to it"
    scores, without = (present(part, otherwise=told) for part in (attribution.scores, attribution.baseline_scores))
    difference = scores.astype(np.float64) - without
    gap = np.abs(attribution.totals - difference)
    whole = np.abs(difference).sum()
    return {
        "completeness_error": float(gap.sum() / whole) if whole > 0 else float(gap.sum() > 0),
        "completeness_gap_95": float(np.quantile(gap, 0.95)),
    }
