"""SEVit, the emotion branch: a video transformer that keeps only the spatial tokens with local temporal variation.

*Stated in the abstract:* spatial tokens are sparsified to highlight local temporal variations, at multi-scale
sparsity rates. *Our reading:* a patch position's score is its measured temporal variation plus a learned correction; at
each keep rate the best positions are gathered (not masked, so that the others cost nothing) with their whole course in
time, read by temporal and then spatial attention, and summed up; the scales' summaries are mixed by learned weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from medn_lab.model.config import MEDNConfig

DETAIL_GAIN = 16.0
"""Luminance of single pixels changes by some 1/50 of its range when skin moves; this brings it to the order of one."""

MEAN_GAIN = 128.0
"""A patch's mean colour changes by some 1/150 when blood flows, far above the noise that averaging leaves."""

# Rec. 601 luminance and the two colour differences: blood flow shows in the latter, movement mostly in the first.
OPPONENT = ((0.299, 0.587, 0.114), (0.5, -0.4187, -0.0813), (-0.1687, -0.3313, 0.5))


class SEVitOutput(NamedTuple):
    """What the emotion branch returns.

    Examples
    --------
    >>> out = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(0.5, 0.25)))(torch.rand(3, 8, 3, 32, 32))
    >>> out.scores.shape, out.mix.sum(dim=1).round(decimals=4).tolist()
    (torch.Size([3, 16]), [1.0, 1.0, 1.0])
    """

    feature: Tensor
    """(b, d)"""
    tokens: Tensor
    """(b, n_scales, d), one summary a keep rate."""
    mix: Tensor
    """(b, n_scales), the weight of each scale; rows sum to 1."""
    scores: Tensor
    """(b, n_positions), higher is kept first."""
    kept: tuple[Tensor, ...]
    """A tensor (b, k) of kept positions for each keep rate, best first, counted row by row from the upper left."""


class Attention(nn.Module):
    """Multi-head self-attention over the last but one axis, with a residual and layer norm before."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, length, d) to the same."""
        q, k, v = rearrange(self.qkv(self.norm(x)), "n l (three h c) -> three n h l c", three=3, h=self.heads)
        attended = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(rearrange(attended, "n h l c -> n l (h c)"))


class Block(nn.Module):
    """Attention over time at each kept position, then over the kept positions in each frame, then a small MLP."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.temporal = Attention(dim, heads)
        self.spatial = Attention(dim, heads)
        self.mlp = _mlp(dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, t, k, d) to the same."""
        return self.over_space(self.over_time(x))

    def over_time(self, x: Tensor) -> Tensor:
        """Attend over time alone: positions do not see each other yet, so that several scales may share the result."""
        b = len(x)
        return rearrange(self.temporal(rearrange(x, "b t k d -> (b k) t d")), "(b k) t d -> b t k d", b=b)

    def over_space(self, x: Tensor) -> Tensor:
        """Attend over the positions of each frame, then the MLP."""
        b = len(x)
        x = rearrange(self.spatial(rearrange(x, "b t k d -> (b t) k d")), "(b t) k d -> b t k d", b=b)
        return x + self.mlp(x)


class JointBlock(nn.Module):
    """Attention over all kept tokens of a clip at once, then a small MLP."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.joint = Attention(dim, heads)
        self.mlp = _mlp(dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, t, k, d) to the same."""
        x = rearrange(self.joint(rearrange(x, "b t k d -> b (t k) d")), "b (t k) d -> b t k d", t=x.shape[1])
        return x + self.mlp(x)

    def over_time(self, x: Tensor) -> Tensor:
        """Nothing: here time is attended to together with space."""
        return x

    def over_space(self, x: Tensor) -> Tensor:
        """The whole block."""
        return self(x)


def _mlp(dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
    )


BLOCKS = {"divided": Block, "joint": JointBlock}


class VariationScore(nn.Module):
    """How much each spatial position changes in time, with a learned correction.

    Four log energies of the change since the onset are standardised over the face: luminance detail, mean luminance,
    and two mean colour differences. The measured part is high where detail or either colour stands out. Mean luminance
    is left to the learned part, since a head that turns changes the shading everywhere; the learned part sees all four
    and the position, and re-ranks.
    """

    def __init__(self, n_positions: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(n_positions))
        self.correction = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 1))
        for weight in self.correction[-1].parameters():
            nn.init.zeros_(weight)

    def forward(self, detail: Tensor, mean: Tensor) -> Tensor:
        """Score (b, t, n, p) luminance detail and (b, t, n, 3) patch means as (b, n)."""
        energies = torch.cat(
            [reduce(detail.square(), "b t n p -> b n 1", "mean"), reduce(mean.square(), "b t n c -> b n c", "mean")],
            dim=-1,
        )  # (b, n, 4)
        energies = torch.log(energies + 1e-6)
        energies = energies - energies.mean(dim=1, keepdim=True)
        energies = energies / (energies.std(dim=1, keepdim=True) + 1e-3)
        measured = energies[..., [0, 2, 3]].logsumexp(dim=-1)  # a smooth maximum: detail, or one of the two colours
        return measured + self.correction(energies).squeeze(-1) + self.position


class SEVit(nn.Module):
    """Read a registered face clip through the tokens that change.

    Parameters
    ----------
    config : MEDNConfig
        Uses `size`, `n_frames`, `patch`, `dim`, `depth`, `attention`, `heads`, `keep_rates` and `dropout`.

    Examples
    --------
    >>> branch = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(0.5, 0.25)))
    >>> out = branch(torch.rand(3, 8, 3, 32, 32))
    >>> out.feature.shape, out.tokens.shape, [kept.shape[1] for kept in out.kept]
    (torch.Size([3, 32]), torch.Size([3, 2, 32]), [8, 4])
    """

    opponent: Tensor

    def __init__(self, config: MEDNConfig) -> None:
        super().__init__()
        dim = config.dim
        self.patch = config.patch
        self.kept_positions = config.kept_positions
        self.register_buffer("opponent", torch.tensor(OPPONENT), persistent=False)
        self.score = VariationScore(config.n_positions)
        self.embed = nn.Linear(config.patch**2 + 3, dim)
        self.place = nn.Parameter(torch.randn(config.n_positions, dim) * 0.02)
        self.time = nn.Parameter(torch.randn(config.n_frames, 1, dim) * 0.02)
        block = BLOCKS[config.attention]
        self.blocks = nn.ModuleList(block(dim, config.heads, config.dropout) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        self.pool = nn.Linear(dim, 1)
        self.mixer = nn.Linear(dim, 1)
        self.summary = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(dim, dim))

    def forward(self, frames: Tensor) -> SEVitOutput:
        """Read (b, t, 3, h, w) frames in [0, 1]."""
        detail, mean = self._variation(frames)  # (b, t, n, p) and (b, t, n, 3)
        scores = self.score(detail, mean)  # (b, n)
        ranked = self._rank(scores)  # (b, most), best first: every scale is a beginning of it
        weight = scores.gather(1, ranked).sigmoid()[:, None, :, None]  # the scores' path to the gradient
        tokens = self.embed(torch.cat([_pick(detail, ranked), _pick(mean, ranked)], dim=-1))  # (b, t, most, d)
        tokens = (tokens + self.place[ranked].unsqueeze(1) + self.time) * weight
        first: Any = self.blocks[0]
        tokens = first.over_time(tokens)
        summaries = torch.stack([self._summarise(tokens[:, :, :k]) for k in self.kept_positions], dim=1)  # (b, s, d)
        mix = self.mixer(summaries).squeeze(-1).softmax(dim=-1)  # (b, s)
        feature = self.summary((mix.unsqueeze(-1) * summaries).sum(dim=1))
        return SEVitOutput(feature, summaries, mix, scores, tuple(ranked[:, :k] for k in self.kept_positions))

    def _variation(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        # Against the onset and not the clip's mean: a slow change keeps its sign when it is averaged over time.
        p, t = self.patch, frames.shape[1]
        colour = F.avg_pool2d(rearrange(frames, "b t c h w -> (b t) c h w"), p)
        colour = rearrange(colour, "(b t) c h w -> b t (h w) c", t=t)
        mean = (colour - colour[:, :1]) @ self.opponent.T  # luminance and two colour differences of each patch
        red, green, blue = self.opponent[0]
        luminance = red * frames[:, :, 0] + green * frames[:, :, 1] + blue * frames[:, :, 2]
        detail = rearrange(luminance - luminance[:, :1], "b t (h p) (w q) -> b t (h w) (p q)", p=p, q=p)
        detail = detail - mean[..., :1]
        mean = mean - mean.mean(dim=2, keepdim=True)  # local change alone: a lamp that drifts moves all patches
        return DETAIL_GAIN * detail, MEAN_GAIN * mean

    def _rank(self, scores: Tensor) -> Tensor:
        # A little noise while training lets positions just below the cut be tried, or they would never be learned.
        noise = 0.3 * torch.randn_like(scores) if self.training else 0.0
        return (scores.detach() + noise).topk(max(self.kept_positions), dim=1).indices

    def _summarise(self, kept: Tensor) -> Tensor:
        # The first attention over time is done already, once for all scales.
        first: Any = self.blocks[0]
        kept = first.over_space(kept)
        for block in self.blocks[1:]:
            kept = block(kept)
        kept = rearrange(self.norm(kept), "b t k d -> b (t k) d")
        return (self.pool(kept).softmax(dim=1) * kept).sum(dim=1)  # (b, d)


def _pick(x: Tensor, places: Tensor) -> Tensor:
    """Of (b, t, n, c) the positions (b, k), as (b, t, k, c)."""
    return x.gather(2, repeat(places, "b k -> b t k c", t=x.shape[1], c=x.shape[3]))
