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
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import permutations
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from medn_lab.evaluate.prediction import source_of
from medn_lab.model import MEDN, MEDNConfig, as_inputs, check_clips
from medn_lab.model.inputs import eval_mode
from medn_lab.records import Attribution, Clips, require

Tensors = tuple[Tensor, ...]

# What each branch reads.
INPUT_OF = {"emotion": "frames", "motion": "flow"}

# The axis of colours or components in the network's inputs; in a record it is the last.
CHANNELS = {"frames": 2, "flow": 1}

# Far from the seeds that people give networks: with the same seed the random weights would be a model's own first
# weights, near which training has left it.
FAR_SEED = 918_273_645_000

# The share of the frames' change that is left where a clip has almost faded away.
FADED_SHARE = 0.003

# A bin of the emotion code so narrow that the code is not rounded.
FINE_BIN = 1e-6


class Target(NamedTuple):
    """A number that the model has for every clip."""

    text: str
    kind: Literal["emotion", "au", "gate", "norm"]
    name: str = ""
    against: str = ""
    through: str = "both"
    contribution: bool = False


def _all_targets(config: MEDNConfig) -> list[Target]:
    """Every target of a model; where two have one text the first counts."""
    all_of, classes = config.branches, config.classes
    branches = ("motion", "emotion") if all_of == "both" else (all_of,)
    emotions = [(a, a, "") for a in classes] + [(f"{a} - {b}", a, b) for a, b in permutations(classes, 2)]
    found = [Target(text, "emotion", a, b, all_of) for text, a, b in emotions]
    found += [Target(name, "au", name, "", "motion") for name in config.aus if "motion" in branches]
    if all_of == "both":
        parts = [(*emotion, branch) for emotion in emotions for branch in branches]
        found += [Target(f"{text} from {branch}", "emotion", a, b, branch, True) for text, a, b, branch in parts]
        found += [Target("gate", "gate")] if config.fusion == "cofm" else []
    found += [Target(f"norm of {branch}", "norm", branch, "", branch) for branch in branches]
    return [*found, Target("norm of fused", "norm", "fused", "", all_of)]


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
    return [target.text for target in _all_targets(model.config) if not target.against]


class TargetFunction:
    """A target's value as a function of the inputs `reads`, to which it is attributed, and of the inputs `fixed`."""

    def __init__(self, model: MEDN, text: str, clips: Clips) -> None:
        named = {target.text.replace(" ", ""): target for target in _all_targets(model.config)[::-1]}
        target = named.get("".join(text.split()))
        if target is None:
            listed = ", ".join(attribution_targets(model))
            raise ValueError(f"{text!r} is no target of this model; there are {listed} and differences of two emotions")
        self.model, self.target = model, target
        given = [name for name in INPUT_OF.values() if getattr(clips, name) is not None]
        own = [name for branch, name in INPUT_OF.items() if target.through in ("both", branch)]
        of_both = target.kind == "gate" or target.contribution
        lacking = [name for name in (INPUT_OF.values() if of_both else own) if name not in given]
        if lacking and (of_both or len(lacking) == len(own)):
            fault = f"{target.text!r} needs the clips' {' and '.join(lacking)}"
            raise ValueError(f"{fault}, and these clips hold {' and '.join(given)} alone")
        self.reads = tuple(name for name in own if name in given)
        self.fixed = tuple(name for name in given if target.contribution and name not in own)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The target's value (b,) for the inputs of `reads` and then `fixed`, as the model takes them."""
        with torch.no_grad():  # the value without the branch does not depend on the inputs that are attributed to
            without = self.faded(*inputs) if self.target.contribution else 0.0
        return self._value(*inputs) - without

    def faded(self, *inputs: Tensor) -> Tensor:
        """The limit of the model's value as what happens in the inputs `reads` fades away.

        In perfect stillness all positions of the face tie, and what the emotion branch keeps depends on their order; a
        clip that fades away keeps its own positions to the end.
        """
        still, fixed = self.baselines(inputs[: len(self.reads)]), inputs[len(self.reads) :]
        if "frames" not in self.reads:
            return self._value(*still, *fixed)
        (onset, *others), change = still, FADED_SHARE * (inputs[0] - still[0])  # frames come first
        near, nearer = (self._value(onset + k * change, *others, *fixed) for k in (2, 1))
        return 2 * nearer - near  # linear extrapolation through both

    def _value(self, *inputs: Tensor) -> Tensor:
        named = dict(zip((*self.reads, *self.fixed), inputs, strict=True))
        output: Any = self.model(named.get("frames"), named.get("flow"))
        target, config = self.target, self.model.config
        if target.kind == "gate":
            return output.gate.mean(dim=1)
        if target.kind == "norm":
            return getattr(output, target.name).norm(dim=1)
        names, logits = (config.aus, output.au_logits) if target.kind == "au" else (config.classes, output.logits)
        value = logits[:, names.index(target.name)]
        return value - logits[:, names.index(target.against)] if target.against else value

    def tensors(self, clips: Clips, rows: np.ndarray) -> tuple[Tensors, Tensors]:
        """The inputs `reads` and the inputs `fixed` of some clips."""
        inputs = as_inputs(self.model.config, clips, rows=rows, device=next(self.model.parameters()).device)
        # A convolution's backward pass needs a contiguous input.
        parts = [[getattr(inputs, name).contiguous() for name in names] for names in (self.reads, self.fixed)]
        return tuple(parts[0]), tuple(parts[1])

    def baselines(self, inputs: Tensors) -> Tensors:
        """The same clips in which nothing happens: all frames (b, t, 3, h, w) are the onset, the flow is zero."""
        still = {"frames": lambda frames: frames[:, :1].expand_as(frames).contiguous(), "flow": torch.zeros_like}
        return tuple(still[name](value) for name, value in zip(self.reads, inputs, strict=True))


@contextmanager
def differentiable(model: MEDN) -> Iterator[None]:
    """The model in evaluation mode, with gradients to the flow and without code rounding; restored afterwards.

    The bottleneck cuts the motion branch's features from the gradient on their way into the fusion, so that they learn
    from the AU task alone; here the cut is bridged, or no emotion would depend on the flow. And it rounds the emotion
    code to the resolution of its noise, so that scores move in steps without a slope; here it is not rounded.
    """
    with ExitStack() as undo:
        undo.enter_context(eval_mode(model))
        motion, fusion, code = (getattr(model, name, None) for name in ("motion_branch", "fusion", "code"))
        parts: dict[int, Tensor] = {}

        def keep(_: object, __: object, out: Any) -> None:
            parts.clear()
            parts.update({part.data_ptr(): part for part in out[:2]})

        def bridge(_: object, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(one if one.requires_grad else parts.get(one.data_ptr(), one) for one in given)

        if motion is not None and fusion is not None:
            undo.enter_context(motion.register_forward_hook(keep))
            undo.enter_context(fusion.register_forward_pre_hook(bridge))
        if code is not None and hasattr(code, "bin_width"):
            undo.callback(setattr, code, "bin_width", code.bin_width)
            code.bin_width = torch.full_like(code.bin_width, FINE_BIN)
        yield


class Method(NamedTuple):
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
    its name to `compare_attributions`, `randomisation_check`, `check_attribution` and `Attributor`.

    Parameters
    ----------
    reads : tuple of str
        The inputs that the method can attribute to.
    slopes : bool
        True: a value times the change of the input is its effect on the target. False: the value itself is the effect
        of the input's departure from its baseline. Absolute values predict no effect: it has a sign.
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
        If another module has registered a method of this name.

    See Also
    --------
    compare_attributions, Attributor

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
        name, shared = compute.__name__, inspect.signature(attribute).parameters
        own = [one for one in inspect.signature(compute).parameters.values() if one.kind is one.KEYWORD_ONLY]
        known = _METHODS.get(name)
        if known is not None and known.compute.__module__ != compute.__module__:
            raise ValueError(f"{known.compute.__module__} has an attribution method {name!r}; take another name")
        _METHODS[name] = Method(compute, {one.name: one.default for one in own}, reads, slopes, places, complete)

        def run(model: MEDN, clips: Clips, **given: Any) -> Attribution:
            params = {option: given.pop(option) for option in [*given] if option not in shared}
            return attribute(model, clips, method=name, params=params, **given)

        model, clips, target, _, _, *others = shared.values()
        shown = [model, clips, target, *own, *others]
        public: Any = wraps(compute)(run)
        public.__signature__ = inspect.Signature(shown, return_annotation="Attribution")
        public.__annotations__ = {one.name: one.annotation for one in shown} | {"return": "Attribution"}
        return public

    return register


def registered_methods() -> dict[str, Method]:
    """The registered methods by name, those of this library first."""
    from medn_lab.diagnose import attribution_methods  # noqa: F401  # registers them

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
    check_clips(model.config, clips)
    registered, own = find_method(method, params)
    score = TargetFunction(model, target, clips)
    named = score.target.text
    attributed = [name for name in score.reads if name in registered.reads]
    if not attributed:
        raise ValueError(f"{method} attributes to {registered.reads[0]} alone, which {named!r} does not read here")
    parts: list[dict[str, np.ndarray]] = []
    with differentiable(model):
        for start in tqdm(range(0, len(clips), batch_size), desc="attributing", unit="batch", disable=not progress):
            inputs, fixed = score.tensors(clips, np.arange(start, min(start + batch_size, len(clips))))
            with torch.no_grad():
                made = {"scores": score(*inputs, *fixed)}
                made["baseline_scores"] = 0 * made["scores"] if score.target.contribution else score.faded(*inputs)
            with torch.enable_grad():
                maps = dict(zip(score.reads, registered.compute(score, inputs, fixed, **own), strict=True))
            made |= {name: maps[name].detach().movedim(CHANNELS[name], -1) for name in attributed}
            parts.append({name: value.float().cpu().numpy() for name, value in made.items()})
    arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in [one for one in attributed if not arrays[one].any()]:
        sentence = f"the {method} map of the {name} is 0 everywhere in all {len(clips)} clips: {named!r} does not"
        warnings.warn(f"{sentence} depend on the {name} here", UserWarning, stacklevel=3)
    branch = "both" if len(score.reads) == 2 else {"frames": "emotion", "flow": "motion"}[score.reads[0]]
    source = source_of(model, clips, call="attribute", batch_size=batch_size)
    made_by: dict[str, Any] = {"method": method, "params": own, "source": source}
    arrays = {"frames": None, "flow": None, **arrays}
    found = Attribution(**arrays, **made_by, table=clips.table, target=named, branch=branch)
    finite = np.isfinite(found.totals + arrays["scores"] + arrays["baseline_scores"])
    if not finite.all():
        first = clips.table["clip_id"].iloc[int(finite.argmin())]
        fault = f"{method}: {(~finite).sum()} of {len(clips)} maps are not finite, such as of {first!r}"
        raise ValueError(f"{fault}; look at those clips for extreme flow")
    return found.with_sanity(completeness(found)) if registered.complete else found


def completeness(attribution: Attribution) -> dict[str, float]:
    """How nearly the values of each clip add up to its score minus its baseline score.

    ``completeness_error``: the part of the differences that the maps do not explain, summed over clips, as a share of
    the differences; 0 is a complete map, 1 a map of zeros. ``completeness_gap_95``: the 95th percentile over clips of
    the part not explained, in the target's unit.
    """
    missing = "this attribution holds no scores of its clips"
    both = [require(one, otherwise=missing) for one in (attribution.scores, attribution.baseline_scores)]
    difference = np.subtract(*both, dtype=np.float64)
    gap, whole = np.abs(attribution.totals - difference), np.abs(difference).sum()
    error = gap.sum() / whole if whole > 0 else gap.sum() > 0
    return {"completeness_error": float(error), "completeness_gap_95": float(np.quantile(gap, 0.95))}


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
