"""Targets of attribution, the registry of methods, and the run of a method over clips.

===============================  ========================================================================
``happiness``                    the logit of an emotion
``happiness - repression``       the difference of two emotions' logits: why the model tells them apart
``happiness from motion``        what the motion branch adds to that logit (also of a difference, also ``from emotion``)
``AU12``                         the logit of an AU, which the motion branch alone decides
``gate``                         the mean of CoFM's gate: 1 takes the motion side, 0 the emotion side
``norm of motion``               the length of a branch's feature (also ``emotion``, ``fused``)
===============================  ========================================================================

A branch's contribution is the logit minus the logit when that branch alone reads the clip in which nothing happens
(its flow, or its change since the onset, faded away), while the other branch reads its clip in both. It is attributed
to that branch's input, and adds up to the whole contribution.

The methods are in :mod:`medn_lab.diagnose.attribution_methods`.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from itertools import permutations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from medn_lab.evaluate.prediction import source_of
from medn_lab.model import MEDN, MEDNConfig, MotionOutput, as_inputs, check_clips
from medn_lab.records import Attribution, Clips, require

Tensors = tuple[Tensor, ...]

Through = Literal["both", "motion", "emotion"]

INPUT_OF: dict[Literal["emotion", "motion"], str] = {"emotion": "frames", "motion": "flow"}
"""What each branch reads."""

CHANNELS = {"frames": 2, "flow": 1}
"""The axis of colours or components in the network's inputs; in a record it is the last."""

FAR_SEED = 918_273_645_000
"""Far from the seeds that people give networks: with the same seed the random weights would be a model's own first
weights, near which training has left it."""

FADED_SHARE = 0.003
"""The share of the frames' change that is left where a clip has almost faded away."""


@dataclass(frozen=True)
class Target:
    """A number that the model has for every clip; :func:`find_target` makes it from its name."""

    kind: Literal["emotion", "au", "gate", "norm"]
    name: str = ""
    against: str = ""
    through: Through = "both"
    contribution: bool = False

    def __str__(self) -> str:
        if self.kind in ("gate", "norm"):
            return "gate" if self.kind == "gate" else f"norm of {self.name}"
        value = f"{self.name} - {self.against}" if self.against else self.name
        return f"{value} from {self.through}" if self.contribution else value

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that it is attributed to: ``frames``, ``flow`` or both."""
        return tuple(name for branch, name in INPUT_OF.items() if self.through in ("both", branch))


def _all_targets(config: MEDNConfig) -> list[Target]:
    """Every target of a model, where two have one name the first counts."""
    emotions = [(name, "") for name in config.classes] + list(permutations(config.classes, 2))
    branches: tuple[Through, ...] = ("motion", "emotion") if config.branches == "both" else (config.branches,)
    found = [Target("emotion", *pair, through=config.branches) for pair in emotions]
    found += [Target("au", name, through="motion") for name in config.aus if "motion" in branches]
    if len(branches) == 2:
        found += [Target("emotion", *pair, through=one, contribution=True) for pair in emotions for one in branches]
        found += [Target("gate")] if config.fusion == "cofm" else []
    found += [Target("norm", branch, through=branch) for branch in branches]
    return [*found, Target("norm", "fused", through=config.branches)]


def attribution_targets(model: MEDN) -> list[str]:
    """Everything that can be attributed in a model, as the methods' `target` takes it.

    Parameters
    ----------
    model : MEDN

    Returns
    -------
    list of str
        Emotions, AUs, the branches' contributions, the gate and the features' norms, as far as the model has them.
        The difference of any two emotions (``happiness - repression``) is a target too and not listed.

    See Also
    --------
    integrated_gradients, attribute_pair

    Examples
    --------
    >>> from medn_lab.model import MEDN, MEDNConfig
    >>> model = MEDN(MEDNConfig(size=32, dim=32, classes=("a", "b"), aus=("AU4",)))
    >>> attribution_targets(model)[:5]
    ['a', 'b', 'AU4', 'a from motion', 'a from emotion']
    >>> attribution_targets(model)[7:]
    ['gate', 'norm of motion', 'norm of emotion', 'norm of fused']
    """
    return [str(target) for target in _all_targets(model.config) if not target.against]


def find_target(model: MEDN, text: str) -> Target:
    """The target that `text` names, spaces aside; ValueError with those that there are."""
    named: dict[str, Target] = {}
    for target in _all_targets(model.config):
        named.setdefault(str(target), target)
    found = named.get(" ".join(str(text).split()))
    if found is None:
        found = {"".join(name.split()): target for name, target in named.items()}.get("".join(str(text).split()))
    if found is None:
        first, second = model.config.classes[:2]
        raise ValueError(
            f"{str(text)!r} is no target of this model; there are {', '.join(attribution_targets(model))}, and the"
            f" difference of two emotions such as '{first} - {second}'"
        )
    return found


class TargetFunction:
    """A target's value as a function of the inputs `reads`, to which it is attributed, and of the inputs `fixed`."""

    def __init__(self, model: MEDN, target: Target, clips: Clips) -> None:
        self.model, self.target = model, target
        given = [name for name in INPUT_OF.values() if getattr(clips, name) is not None]
        self.reads = tuple(name for name in target.inputs if name in given)
        needed = ("frames", "flow") if target.kind == "gate" or target.contribution else target.inputs[:1]
        lacking = [name for name in needed if name not in given]
        if not self.reads or (len(needed) == 2 and lacking):
            raise ValueError(
                f"{str(target)!r} needs the clips' {' and '.join(lacking or needed)}, and these clips hold"
                f" {' and '.join(given)} alone"
            )
        self.fixed = tuple(name for name in given if target.contribution and name not in self.reads)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The target's value (b,) for the inputs of `reads` and then `fixed`, as the model takes them."""
        named = dict(zip((*self.reads, *self.fixed), inputs, strict=True))
        value = self._value(named)
        if not self.target.contribution:
            return value
        with torch.no_grad():  # the value without the branch does not depend on the inputs that are attributed to
            without = self._faded(named)
        return value - without

    def baseline_score(self, inputs: Tensors) -> Tensor:
        """The target's value (b,) for the same clips in which nothing happens; 0 for a branch's contribution."""
        if self.target.contribution:
            return torch.zeros(len(inputs[0]), device=inputs[0].device)
        return self._faded(dict(zip(self.reads, inputs, strict=True)))

    def _faded(self, named: Mapping[str, Tensor]) -> Tensor:
        """The limit of the value as what happens in the inputs `reads` fades away.

        In perfect stillness all positions of the face tie, and what the emotion branch keeps depends on their order; a
        clip that fades away keeps its own positions to the end.
        """
        still = {name: stillness(name, named[name]) for name in self.reads}
        if "frames" not in still:
            return self._value({**named, **still})
        change = named["frames"] - still["frames"]
        near, nearer = (
            self._value({**named, **still, "frames": still["frames"] + share * change})
            for share in (2 * FADED_SHARE, FADED_SHARE)
        )
        return 2 * nearer - near  # linear extrapolation through both

    def _value(self, named: Mapping[str, Tensor]) -> Tensor:
        output: Any = self.model(named.get("frames"), named.get("flow"))
        target, config = self.target, self.model.config
        if target.kind == "gate":
            return output.gate.mean(dim=1)
        if target.kind == "norm":
            return getattr(output, target.name).norm(dim=1)
        if target.kind == "au":
            return output.au_logits[:, config.aus.index(target.name)]
        value = output.logits[:, config.classes.index(target.name)]
        return value - output.logits[:, config.classes.index(target.against)] if target.against else value

    def tensors(self, clips: Clips, rows: np.ndarray) -> tuple[Tensors, Tensors]:
        """The inputs `reads` and the inputs `fixed` of some clips."""
        device = next(self.model.parameters()).device
        inputs = as_inputs(self.model.config, clips, rows=rows, device=device)
        # A convolution's backward pass needs a contiguous input.
        named = {name: getattr(inputs, name).contiguous() for name in (*self.reads, *self.fixed)}
        return tuple(named[name] for name in self.reads), tuple(named[name] for name in self.fixed)

    def baselines(self, inputs: Tensors) -> Tensors:
        """The same faces in which nothing happens."""
        return tuple(stillness(name, value) for name, value in zip(self.reads, inputs, strict=True))


def stillness(name: str, value: Tensor) -> Tensor:
    """The baseline of an input: frames (b, t, 3, h, w) that all are the onset, or flow (b, c, h, w) of zeros."""
    return value[:, :1].expand_as(value).contiguous() if name == "frames" else torch.zeros_like(value)


@contextmanager
def eval_mode(model: MEDN) -> Iterator[None]:
    """The model in evaluation mode, with gradients to the flow and without code rounding; restored afterwards.

    The bottleneck cuts the motion branch's features from the gradient on their way into the fusion, so that they learn
    from the AU task alone; here the cut is bridged, or no emotion would depend on the flow. And it rounds the emotion
    code to the resolution of its noise, so that scores move in steps without a slope; here it is not rounded.
    """
    modes = {module: module.training for module in model.modules()}
    handles = []
    model.eval()
    try:
        motion, fusion, code = (getattr(model, name, None) for name in ("motion_branch", "fusion", "code"))
        held: dict[str, Any] = {}
        if motion is not None and fusion is not None:
            handles.append(motion.register_forward_hook(lambda _, __, out: held.update(motion=out)))
            handles.append(fusion.register_forward_pre_hook(lambda _, args: _bridged(args, held["motion"])))
        if code is not None:

            def unrounded(_: object, __: object, out: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
                mean = held["encoded"][:, : out[0].shape[1]]
                return mean, code.expand(mean), out[2]

            handles.append(code.encode.register_forward_hook(lambda _, __, out: held.update(encoded=out)))
            handles.append(code.register_forward_hook(unrounded))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _bridged(args: tuple[Any, ...], motion: MotionOutput) -> tuple[Any, ...]:
    """The fusion's arguments, where detached parts of the motion branch's output are replaced by the parts."""
    whole = {part.data_ptr(): part for part in (motion.feature, motion.tokens)}
    return tuple(
        whole.get(part.data_ptr(), part) if isinstance(part, Tensor) and not part.requires_grad else part
        for part in args
    )


@dataclass(frozen=True)
class Method:
    """A registered method: its function of tensors, the defaults of its arguments, and what its values are."""

    compute: Callable[..., Tensors]
    defaults: Mapping[str, Any]
    reads: tuple[str, ...]
    slopes: bool
    places: bool
    complete: bool


_METHODS: dict[str, Method] = {}


def attribution_method(
    *, reads: tuple[str, ...] = ("frames", "flow"), slopes: bool = False, places: bool = True, complete: bool = False
) -> Callable[[Callable[..., Tensors]], Callable[..., Attribution]]:
    """Register a function of tensors as an attribution method, and make it a function of a model and clips.

    The function takes ``score`` (calls give the target's value (b,) for ``*inputs, *fixed``; ``score.reads`` names the
    inputs, ``score.baselines(inputs)`` are the same clips in which nothing happens), ``inputs``, ``fixed``, and its own
    arguments by keyword with defaults. It returns one tensor of the shape of each input. The method is then known by
    its name to `compare_attributions`, `randomisation_check`, `check_attribution` and `attributor`.

    Parameters
    ----------
    reads : tuple of str
        The inputs that the method can attribute to.
    slopes : bool
        Whether the values are slopes, which are multiplied with a change of the input to give its effect. The values of
        other methods are the effect of the input's departure from its baseline.
    places : bool
        Whether the values differ between places of the face; otherwise between frames alone.
    complete : bool
        Whether the values add up to the score minus the baseline score; maps then hold their completeness error.

    Returns
    -------
    callable
        Makes of the function ``name(model, clips, *, target, ..., batch_size=16, progress=False)``, which returns an
        Attribution.

    Raises
    ------
    ValueError
        If another module has registered a method of this name, or an own argument has no default.

    See Also
    --------
    compare_attributions, attributor

    Examples
    --------
    >>> import torch, medn_lab as medn
    >>> @attribution_method(slopes=True)
    ... def squared_slope(score, inputs, fixed, *, power: int = 2):
    ...     "The slope of the target, to a power."
    ...     inputs = tuple(value.detach().requires_grad_() for value in inputs)
    ...     slopes = torch.autograd.grad(score(*inputs, *fixed).sum(), inputs)
    ...     return tuple(slope**power for slope in slopes)
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> squared_slope(model, clips, target="happiness").method
    'squared_slope'
    >>> registered = registered_methods().pop("squared_slope")
    """

    def register(compute: Callable[..., Tensors]) -> Callable[..., Attribution]:
        name = compute.__name__
        own = [one for one in inspect.signature(compute).parameters.values() if one.kind is one.KEYWORD_ONLY]
        known = _METHODS.get(name)
        if known is not None and known.compute.__module__ != compute.__module__:
            raise ValueError(f"{known.compute.__module__} has an attribution method {name!r}; take another name")
        if required := [one.name for one in own if one.default is one.empty]:
            raise ValueError(f"the arguments {', '.join(required)} of the method {name!r} need defaults")
        _METHODS[name] = Method(compute, {one.name: one.default for one in own}, reads, slopes, places, complete)

        def run(
            model: MEDN, clips: Clips, *, target: str, batch_size: int = 16, progress: bool = False, **params: Any
        ) -> Attribution:
            how: dict[str, Any] = {"target": target, "batch_size": batch_size, "progress": progress}
            return attribute(model, clips, method=name, params=params, **how)

        *shared, batch, bar, _ = inspect.signature(run).parameters.values()
        signature = inspect.Signature([*shared, *own, batch, bar], return_annotation="Attribution")
        public: Any = wraps(compute)(run)
        public.__signature__ = signature
        public.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        public.__annotations__["return"] = "Attribution"
        return public

    return register


def registered_methods() -> dict[str, Method]:
    """The registered methods by name, those of this library first."""
    import_module("medn_lab.diagnose.attribution_methods")
    return _METHODS


def find_method(name: str, params: Mapping[str, Any] | None = None) -> tuple[Method, dict[str, Any]]:
    """A method and its own arguments, those of `params` and its defaults; ValueError for a name that is not known."""
    methods = registered_methods()
    if name not in methods:
        raise ValueError(f"there is no attribution method {name!r}; there are {', '.join(methods)}")
    own = methods[name].defaults
    if unknown := sorted(set(params or ()) - set(own)):
        raise ValueError(f"{name} has no {', '.join(unknown)}; it takes {', '.join(own) or 'no arguments'}")
    return methods[name], {**own, **(params or {})}


def attribute(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> Attribution:
    """The maps of a method, given by its name, over clips."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    check_clips(model.config, clips)
    registered, own = find_method(method, params)
    score = TargetFunction(model, find_target(model, target), clips)
    name_of_target, through = str(score.target), score.target.through
    attributed = [name for name in score.reads if name in registered.reads]
    if not attributed:
        raise ValueError(
            f"{method} attributes to {' and '.join(registered.reads)} alone; {name_of_target!r} reads"
            f" {' and '.join(score.reads)} of these clips"
        )
    maps: dict[str, list[np.ndarray]] = {name: [] for name in attributed}
    scores, baseline_scores = [], []
    with eval_mode(model):
        starts = range(0, len(clips), batch_size)
        for start in tqdm(starts, desc="attributing", unit="batch", disable=not progress):
            inputs, fixed = score.tensors(clips, np.arange(start, min(start + batch_size, len(clips))))
            with torch.no_grad():
                scores.append(score(*inputs, *fixed))
                baseline_scores.append(score.baseline_score(inputs))
            with torch.enable_grad():
                values = registered.compute(score, inputs, fixed, **own)
            for name, value in zip(score.reads, values, strict=True):
                if name in maps:
                    maps[name].append(value.detach().movedim(CHANNELS[name], -1).float().cpu().numpy())
    arrays = {name: np.concatenate(parts) for name, parts in maps.items()}
    for name, array in arrays.items():
        if not array.any():
            sentence = f"the {method} map of the {name} is 0 everywhere in all {len(clips)} clips"
            because = f"{name_of_target!r} does not depend on the {name} here, so the map points nowhere"
            warnings.warn(f"{sentence}: {because}", UserWarning, stacklevel=3)
    of_clips = torch.cat(scores).float().cpu().numpy()
    finite = np.isfinite(of_clips)
    for array in arrays.values():
        finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not finite.all():
        first = clips.table["clip_id"].iloc[int(finite.argmin())]
        raise ValueError(
            f"{method}: {(~finite).sum()} of {len(clips)} maps are not finite, such as of {first!r}; look at those"
            " clips for extreme flow"
        )
    branch_of = {name: branch for branch, name in INPUT_OF.items()}
    found = Attribution(
        frames=arrays.get("frames"),
        flow=arrays.get("flow"),
        table=clips.table,
        target=name_of_target,
        branch=through if len(score.reads) == len(score.target.inputs) else branch_of[score.reads[0]],
        method=method,
        scores=of_clips,
        baseline_scores=torch.cat(baseline_scores).float().cpu().numpy(),
        params=own,
        source=source_of(model, clips, call="attribute", batch_size=batch_size),
    )
    return found.with_sanity(completeness(found)) if registered.complete else found


def completeness(attribution: Attribution) -> dict[str, float]:
    """How nearly the values of each clip add up to its score minus its baseline score.

    ``completeness_error``: the part of the differences that the maps do not explain, summed over clips, as a share of
    the differences; 0 is a complete map, 1 a map of zeros. ``completeness_gap_95``: the 95th percentile over clips of
    the part not explained, in the target's unit.
    """
    parts = (attribution.scores, attribution.baseline_scores)
    scores, baseline = (require(part, otherwise="this attribution holds no scores of its clips") for part in parts)
    difference = scores.astype(np.float64) - baseline
    gap = np.abs(attribution.totals - difference)
    whole = np.abs(difference).sum()
    return {
        "completeness_error": float(gap.sum() / whole) if whole > 0 else float(gap.sum() > 0),
        "completeness_gap_95": float(np.quantile(gap, 0.95)),
    }


def random_model(model: MEDN, *, seed: int) -> MEDN:
    """A copy of a network with all weights drawn at random; its buffers and torch's own generator stay as they were.

    Layers draw their weights by their own initialisation, other parameters from a normal distribution with their
    trained mean and spread.
    """
    model = copy.deepcopy(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(FAR_SEED + seed)
        for module in model.modules():
            if reset := getattr(module, "reset_parameters", None):
                reset()
                continue
            for value in module.parameters(recurse=False):
                spread = float(value.std()) if value.numel() > 1 else 1.0
                value.normal_(float(value.mean()), spread)
    return model
