"""The configuration of a MEDN: one frozen dataclass, stored as JSON with every set of weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np

from medn_lab.model.decoupling import DECOUPLING_METHODS
from medn_lab.records import Clips, check_label
from medn_lab.records.table import one_of

Branches = Literal["both", "motion", "emotion"]
Fusion = Literal["cofm", "concat", "sum"]
Decoupling = Literal["orthogonal", "bottleneck", "cross_covariance", "hsic", "adversarial", "none"]

Network = Literal["medn_tiny", "medn_small", "medn_base"]

NETWORKS: dict[str, dict[str, Any]] = {
    "medn_tiny": {"dim": 64, "depth": 1, "heads": 4},
    "medn_small": {"dim": 128, "depth": 2, "heads": 4},
    "medn_base": {"size": 224, "n_frames": 16, "patch": 16, "dim": 384, "depth": 12, "heads": 6},
}
"""The named sizes: 0.25 and 1.1 million parameters for a CPU, and 21 million, about a ViT-S, for a GPU."""


@dataclass(frozen=True)
class MEDNConfig:
    """The configuration of a :class:`~medn_lab.model.MEDN`.

    Parameters
    ----------
    classes : tuple of str
        Emotion classes in the order of the logits; by default the five of CASME II.
    aus : tuple of str
        AU columns in the order of the AU logits; empty where a data set has none.
    size : int
        Height and width of a crop in pixels, a multiple of `patch`.
    n_frames : int
        Frames a clip, the first the onset and the last the offset.
    patch : int
        Side of a spatial token in pixels; a cue that is smaller than a token is hard to learn.
    dim : int
        Width of both branches and of the fused feature, a multiple of `heads`.
    depth : int
        Blocks of attention over places in SEVit.
    heads : int
        Attention heads.
    keep_rates : tuple of float
        Share of spatial tokens kept at each scale of SEVit, in (0, 1]; the sparsity rate is one minus it.
        ``(1.0,)`` is the dense network.
    branches : {"both", "motion", "emotion"}
    fusion : {"cofm", "concat", "sum"}
    decoupling : {"orthogonal", "bottleneck", "cross_covariance", "hsic", "adversarial", "none"}
        How the branches are kept apart; ``orthogonal`` is the paper's, the others are ours (see
        :mod:`medn_lab.model.decoupling`).
    code_dim : int
        Width of the emotion code under ``bottleneck``; unused otherwise.
    flow_channels : int
        2 for (x, y) displacement, 3 where a flow pack adds optical strain.
    dropout : float
        In [0, 1).

    Raises
    ------
    ValueError
        If a field is out of its range or set, or two do not fit each other.

    Examples
    --------
    >>> config = MEDNConfig(size=32, keep_rates=(0.5, 0.25))
    >>> config.n_positions, config.kept_positions
    (64, (32, 16))
    >>> MEDNConfig.from_json(config.to_json()) == config
    True
    """

    classes: tuple[str, ...] = ("happiness", "disgust", "repression", "surprise", "others")
    aus: tuple[str, ...] = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25))
    size: int = 64
    n_frames: int = 8
    patch: int = 4
    dim: int = 64
    depth: int = 1
    heads: int = 4
    keep_rates: tuple[float, ...] = (0.25, 0.125)
    branches: Branches = "both"
    fusion: Fusion = "cofm"
    decoupling: Decoupling = "orthogonal"
    code_dim: int = 8
    flow_channels: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("size", "n_frames", "patch", "dim", "depth", "heads", "code_dim"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}")
        for name in ("classes", "aus"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(one, str) for one in names) or len({*names}) < len(names):
                raise ValueError(f"{name} must be different names in a list; got {names!r}")
        for name in ("classes", "aus", "keep_rates"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        choices = {"branches": get_args(Branches), "fusion": get_args(Fusion), "decoupling": (*DECOUPLING_METHODS,)}
        for name, allowed in choices.items():
            one_of(getattr(self, name), allowed, name)
        size, patch, dim, heads, rates = self.size, self.patch, self.dim, self.heads, self.keep_rates
        torn = self.branches != "motion" and size % patch
        for right, rule in (
            (len(self.classes) > 1, f"classes must be at least two; got {self.classes}"),
            (self.n_frames > 1, f"n_frames must be at least 2; got {self.n_frames}"),
            (size >= 16 and not torn, f"size {size} must be at least 16 and a multiple of patch {patch}"),
            (not dim % heads and not dim % 8, f"dim {dim} must be a multiple of 8 and of heads {heads}"),
            (rates and all(0 < one <= 1 for one in rates), f"keep_rates must be in (0, 1], at least one; got {rates}"),
            (self.flow_channels in (2, 3), f"flow_channels must be 2 (x, y) or 3 (and strain): {self.flow_channels}"),
            (0 <= self.dropout < 1, f"dropout must be in [0, 1); got {self.dropout}"),
        ):
            if not right:
                raise ValueError(rule)

    @property
    def n_positions(self) -> int:
        """Spatial tokens a clip."""
        return (self.size // self.patch) ** 2

    @property
    def kept_positions(self) -> tuple[int, ...]:
        """Spatial tokens kept at each keep rate, at least one."""
        return tuple(max(1, round(rate * self.n_positions)) for rate in self.keep_rates)

    @classmethod
    def for_clips(cls, clips: Clips, *, label: str = "label", network: Network = "medn_tiny", **changes: Any) -> Self:
        """The configuration that fits `clips`: their size, frames, classes in alphabetical order, and AU columns.

        Parameters
        ----------
        clips : Clips
        label : str
            The column of class names.
        network : {"medn_tiny", "medn_small", "medn_base"}
            Width and depth; size and frames are the clips'.
        **changes
            Any other field.

        Returns
        -------
        MEDNConfig

        Raises
        ------
        ValueError
            If the clips have no such column, a clip has no class, they are not square, or a change does not fit.
        """
        names = check_label(clips.table, label=label)
        height, width = clips.size
        if height != width:
            raise ValueError(f"MEDN reads square crops; these clips are {width}x{height} px")
        fitted: dict[str, Any] = {"classes": tuple(sorted(names.unique())), "aus": clips.aus, "size": height}
        fitted |= {"branches": "motion"} if clips.frames is None else {"n_frames": clips.frames.shape[1]}
        fitted |= {"branches": "emotion"} if clips.flow is None else {"flow_channels": clips.flow.shape[-1]}
        return cls(**(NETWORKS[network] | fitted | changes))

    def to_json(self) -> str:
        """The configuration as JSON text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A configuration from :meth:`to_json`; ValueError names fields that this version does not know."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"this is no MEDNConfig: {text[:80]}")
        values.pop("attention", None)  # a switch of 0.1.0's emotion branch; a motion branch alone is as it was
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise ValueError(f"unknown fields: {', '.join(unknown)}; upgrade medn_lab?")
        return cls(**values)
