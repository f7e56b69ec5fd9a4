"""What can be attributed: a small grammar of targets, each a number that the model has for every clip.

===============================  ========================================================================
``happiness``                    the logit of an emotion
``happiness - repression``       the difference of two emotions' logits: why the model tells them apart
``happiness from motion``        what the motion branch adds to that logit (also of a difference, also ``from emotion``)
``AU12``                         the logit of an AU, which the motion branch alone decides
``gate``                         the mean of CoFM's gate: 1 takes the motion side, 0 the emotion side
``norm of motion``               the length of a branch's feature (also ``emotion``, ``fused``)
===============================  ========================================================================

A branch's contribution is the logit as it is minus the logit when that branch alone is shown the clip in which nothing
happens (its flow, or its change since the onset, faded away), while the other branch sees its clip in both. It is
attributed to that branch's own input, and adds up to the whole contribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medn_lab.model import MEDN, MEDNConfig

Through = Literal["both", "motion", "emotion"]

BRANCHES: dict[str, Through] = {"motion": "motion", "emotion": "emotion"}

INPUT_OF = {"motion": "flow", "emotion": "frames"}
"""What each branch reads."""


@dataclass(frozen=True)
class Target:
    """One thing to attribute, as the grammar of this module names it.

    Attributes
    ----------
    kind : {"emotion", "au", "gate", "norm"}
    name : str
        The emotion, the AU, or the feature whose norm is meant; empty for the gate.
    against : str
        The emotion whose logit is taken off; empty where there is none.
    through : {"both", "motion", "emotion"}
        The branches that it is attributed through.
    contribution : bool
        Whether only what the branch `through` adds is meant.
    """

    kind: Literal["emotion", "au", "gate", "norm"]
    name: str = ""
    against: str = ""
    through: Through = "both"
    contribution: bool = False

    def __str__(self) -> str:
        if self.kind in ("gate", "norm"):
            return "gate" if self.kind == "gate" else f"norm of {self.name}"
        told = f"{self.name} - {self.against}" if self.against else self.name
        return f"{told} from {self.through}" if self.contribution else told

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that it is attributed to: ``frames``, ``flow`` or both."""
        return tuple(INPUT_OF[branch] for branch in ("emotion", "motion") if self.through in ("both", branch))


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
    config = model.config
    both = config.branches == "both"
    found = [*config.classes, *(config.aus if config.branches != "emotion" else ())]
    if both:
        found += [f"{name} from {branch}" for name in config.classes for branch in ("motion", "emotion")]
        found += ["gate"] * (config.fusion == "cofm")
    branches = ("motion", "emotion") if both else (config.branches,)
    return found + [f"norm of {name}" for name in (*branches, "fused")]


def parse_target(model: MEDN, text: str) -> Target:
    """The target that `text` names.

    Parameters
    ----------
    model : MEDN
    text : str
        In the grammar of this module; a class of the model that happens to be written like a rule is the class.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If the model has no such target; the sentence lists those it has.
    """
    config = model.config
    said = " ".join(str(text).split())
    if said in config.classes:
        return Target("emotion", said, through=config.branches)
    if said in config.aus and config.branches != "emotion":
        return Target("au", said, through="motion")
    if said == "gate" and config.branches == "both" and config.fusion == "cofm":
        return Target("gate")
    if said.startswith("norm of "):
        name = said.removeprefix("norm of ")
        if f"norm of {name}" in attribution_targets(model):
            return Target("norm", name, through=BRANCHES.get(name, config.branches))
    base, _, branch = said.rpartition(" from ")
    if base and config.branches == "both" and branch in INPUT_OF:
        emotions = _emotions(config, base)
        if emotions:
            return Target("emotion", *emotions, through=BRANCHES[branch], contribution=True)
    emotions = _emotions(config, said)
    if emotions:
        return Target("emotion", *emotions, through=config.branches)
    known = ", ".join(attribution_targets(model))
    raise ValueError(
        f"{str(text)!r} is no target of this model; there are {known}, and the difference of two emotions"
        f" such as '{config.classes[0]} - {config.classes[1]}'"
    )


def _emotions(config: MEDNConfig, text: str) -> tuple[str, str] | None:
    """One emotion and nothing, or two different ones around a minus; None where the text is neither."""
    if text in config.classes:
        return text, ""
    for first in config.classes:
        if text.startswith(first):
            rest = text[len(first) :].strip()
            second = rest.removeprefix("-").strip()
            if rest.startswith("-") and second in config.classes and second != first:
                return first, second
    return None
