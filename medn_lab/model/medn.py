"""MEDN: motion and emotion read in two branches, kept apart, and fused (arXiv 2604.17899, as we read its abstract)."""

# No postponed annotations here: huggingface_hub's mixin looks at the type of `config`.

from typing import NamedTuple

import torch
from torch import Tensor, nn

from medn_lab.model.cofm import CoFM, Concat, Sum
from medn_lab.model.config import MEDNConfig
from medn_lab.model.decoupling import Adversary, GaussianCode
from medn_lab.model.motion import MotionBranch, MotionOutput
from medn_lab.model.sevit import SEVit, SEVitOutput
from medn_lab.model.weights import SafeWeights
from medn_lab.records import History


class MEDNFeatures(NamedTuple):
    """What a MEDN knows of clips before it names an emotion; a part that the model or the input lacks is None.

    The parts are those of :class:`MEDNOutput` but for the emotion scores, in the same order.

    Examples
    --------
    >>> model = MEDN(MEDNConfig(size=32, dim=32, branches="motion")).eval()
    >>> features = model.forward_features(None, torch.rand(2, 2, 32, 32))
    >>> features.fused.shape, features.emotion is None
    (torch.Size([2, 32]), True)
    """

    au_logits: Tensor | None
    motion: Tensor | None
    emotion: Tensor | None
    fused: Tensor
    gate: Tensor | None
    nats: Tensor | None = None
    guess: Tensor | None = None
    motion_output: MotionOutput | None = None
    sevit_output: SEVitOutput | None = None


class MEDNOutput(NamedTuple):
    """What a MEDN returns; a part that the model or the input lacks is None.

    Examples
    --------
    >>> out = MEDN(MEDNConfig(size=32, dim=32, branches="motion")).eval()(None, torch.rand(2, 2, 32, 32))
    >>> out.logits.shape, out.emotion is None
    (torch.Size([2, 5]), True)
    """

    logits: Tensor
    """(b, n_classes) emotion scores before softmax."""
    au_logits: Tensor | None
    """(b, n_aus) AU scores before the sigmoid, from the motion branch alone."""
    motion: Tensor | None
    """(b, d) motion feature."""
    emotion: Tensor | None
    """(b, d) emotion feature, or (b, code_dim) under the bottleneck."""
    fused: Tensor
    """(b, d)"""
    gate: Tensor | None
    """(b, d) in (0, 1); 1 takes the motion side, 0 the emotion side."""
    nats: Tensor | None = None
    """(b,) information in the emotion code, bottleneck only."""
    guess: Tensor | None = None
    """(b, d) the adversary's guess of the standardised motion feature, adversarial only."""
    motion_output: MotionOutput | None = None
    sevit_output: SEVitOutput | None = None


class MEDN(
    nn.Module,
    SafeWeights,
    library_name="medn_lab",
    license="mit",
    tags=["micro-expression", "facial-action-units"],
):
    """Motion-Emotion Feature Decoupling Network.

    Parameters
    ----------
    config : MEDNConfig
        By default the five CASME II classes at 64 px.
    seed : int
        Of the initial weights; the global generator is left as it was.

    Attributes
    ----------
    name : str
        By which results call it; the folder's, where it was loaded.
    history : History or None
        Of the training that made its weights, as far as it is known; ``save_pretrained`` keeps it.

    See Also
    --------
    medn_lab.train.fit : trains it.
    medn_lab.model.load_pretrained : one that is trained.

    References
    ----------
    Hu, Xie, Miao, Liu, Wang, Yang: "MEDN: Motion-Emotion Feature Decoupling Network for Micro-Expression Recognition",
    arXiv 2604.17899. Only the abstract is known to us; the README says what is our reading.

    Examples
    --------
    >>> model = MEDN(MEDNConfig(size=32, dim=32)).eval()
    >>> out = model(torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32))
    >>> out.logits.shape, out.au_logits.shape, out.gate.shape
    (torch.Size([2, 5]), torch.Size([2, 16]), torch.Size([2, 32]))
    """

    def __init__(self, config: MEDNConfig = MEDNConfig(), *, seed: int = 0) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.config = config
        self.seed = seed
        self.history: History | None = None  # of the training that made its weights
        self.name = f"MEDN, untrained (seed {seed})"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            both = config.branches == "both"
            self.motion_branch = MotionBranch(config) if config.branches != "emotion" else None
            self.emotion_branch = SEVit(config) if config.branches != "motion" else None
            self.code = GaussianCode(config) if both and config.decoupling == "bottleneck" else None
            self.adversary = Adversary(config) if both and config.decoupling == "adversarial" else None
            self.fusion = _fusion(config) if both else None
            self.head = nn.Sequential(
                nn.LayerNorm(config.dim),
                nn.Linear(config.dim, config.dim),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.dim, len(config.classes)),
            )

    def forward(self, frames: Tensor | None = None, flow: Tensor | None = None) -> MEDNOutput:
        """Read clips.

        Parameters
        ----------
        frames : (b, t, 3, h, w) float tensor in [0, 1], or None
            RGB, registered to the onset.
        flow : (b, c, h, w) float tensor, or None
            Onset to apex displacement in pixels at the crop's size.

        Returns
        -------
        MEDNOutput

        Raises
        ------
        ValueError
            If a shape is not that of the configuration, or no input that the model can use is given.
        """
        features = self.forward_features(frames, flow)
        return MEDNOutput(self.forward_head(features.fused), *features)

    def forward_features(self, frames: Tensor | None = None, flow: Tensor | None = None) -> MEDNFeatures:
        """Everything but the emotion logits.

        Parameters
        ----------
        frames, flow : tensors or None
            As :meth:`forward` takes them.

        Returns
        -------
        MEDNFeatures

        Raises
        ------
        ValueError
            As :meth:`forward` does.
        """
        self._check(frames, flow)
        motion = self.motion_branch(flow) if self.motion_branch is not None and flow is not None else None
        emotion = self.emotion_branch(frames) if self.emotion_branch is not None and frames is not None else None
        motion_feature = None if motion is None else motion.feature
        if emotion is None:
            emotion_feature = wide = tokens = nats = None
        elif self.code is None:
            emotion_feature = wide = emotion.feature
            tokens, nats = emotion.tokens, None
        else:
            emotion_feature, wide, nats = self.code(emotion.feature)
            tokens = wide.unsqueeze(1)  # fusion may look at nothing that has not paid for passing the code
        gate = None
        if self.fusion is not None and motion is not None and wide is not None:
            # Under the bottleneck the motion branch learns from the AU task alone.
            seen, seen_tokens = (motion.feature, motion.tokens)
            if self.code is not None:
                seen, seen_tokens = seen.detach(), seen_tokens.detach()
            fused, gate = self.fusion(seen, seen_tokens, wide, tokens)
        elif wide is not None:
            fused = wide
        elif motion_feature is not None:
            fused = motion_feature
        else:
            given = (
                "neither frames nor flow" if frames is None and flow is None else "only what its branch does not read"
            )
            raise ValueError(f"a MEDN with branches {self.config.branches!r} was given {given}")
        return MEDNFeatures(
            au_logits=None if motion is None else motion.au_logits,
            motion=motion_feature,
            emotion=emotion_feature,
            fused=fused,
            gate=gate,
            nats=nats,
            guess=self.adversary(wide) if self.adversary is not None and wide is not None else None,
            motion_output=motion,
            sevit_output=emotion,
        )

    def forward_head(self, fused: Tensor) -> Tensor:
        """Emotion logits (b, n_classes) of fused features (b, d)."""
        return self.head(fused)

    def _check(self, frames: Tensor | None, flow: Tensor | None) -> None:
        c = self.config
        if frames is not None and (frames.ndim != 5 or tuple(frames.shape[1:]) != (c.n_frames, 3, c.size, c.size)):
            raise ValueError(
                f"frames are {tuple(frames.shape)}, this model reads (b, {c.n_frames}, 3, {c.size}, {c.size})"
            )
        if flow is not None and (flow.ndim != 4 or tuple(flow.shape[1:]) != (c.flow_channels, c.size, c.size)):
            raise ValueError(
                f"flow is {tuple(flow.shape)}, this model reads (b, {c.flow_channels}, {c.size}, {c.size})"
            )
        if frames is not None and flow is not None and len(frames) != len(flow):
            raise ValueError(f"frames hold {len(frames)} clips but flow {len(flow)}")


def _fusion(config: MEDNConfig) -> nn.Module:
    if config.fusion == "cofm":
        return CoFM(config.dim, heads=config.heads)
    return Concat(config.dim) if config.fusion == "concat" else Sum()
