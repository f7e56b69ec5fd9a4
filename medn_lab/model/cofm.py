"""CoFM: the branches' features fused adaptively.

*Stated in the abstract:* CoFM fuses the disentangled features adaptively. *Our reading:* each branch's feature asks
the other branch's tokens (cross-attention), and a gate decides feature by feature how much each side contributes; the
gate is returned so that it can be looked at.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class CrossAttention(nn.Module):
    """One query a clip over another branch's tokens and a learned one that stands for nothing found."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim)
        self.nothing = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, feature: Tensor, tokens: Tensor) -> Tensor:
        """Answer (b, d) with what it finds among (b, n, d) tokens, (b, d)."""
        tokens = torch.cat([self.nothing.expand(len(tokens), -1, -1), tokens], dim=1)
        q = rearrange(self.query(self.query_norm(feature)), "b (h c) -> b h 1 c", h=self.heads)
        k, v = rearrange(self.key_value(self.token_norm(tokens)), "b n (two h c) -> two b h n c", two=2, h=self.heads)
        return self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h 1 c -> b (h c)"))


class CoFM(nn.Module):
    """Fuse motion and emotion by cross-attention and a gate for every feature.

    Parameters
    ----------
    dim : int
        Width of both features and of the fused one.
    heads : int
        Attention heads.

    Examples
    --------
    >>> fusion = CoFM(32, heads=4)
    >>> motion, emotion = torch.rand(3, 32), torch.rand(3, 32)
    >>> fused, gate = fusion(motion, torch.rand(3, 16, 32), emotion, torch.rand(3, 2, 32))
    >>> fused.shape, bool(((gate > 0) & (gate < 1)).all())
    (torch.Size([3, 32]), True)
    """

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.motion_asks = CrossAttention(dim, heads)
        self.emotion_asks = CrossAttention(dim, heads)
        self.gate = nn.Linear(2 * dim, dim)

    def forward(
        self, motion: Tensor, motion_tokens: Tensor, emotion: Tensor, emotion_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuse (b, d) and (b, d); returns the fused feature and the gate, both (b, d), gate 1 = all motion."""
        motion = motion + self.motion_asks(motion, emotion_tokens)
        emotion = emotion + self.emotion_asks(emotion, motion_tokens)
        gate = self.gate(torch.cat([motion, emotion], dim=-1)).sigmoid()
        return gate * motion + (1 - gate) * emotion, gate


class Concat(nn.Module):
    """The ablation: both features side by side through one linear layer; tokens are not used and there is no gate."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * dim, dim)

    def forward(
        self, motion: Tensor, motion_tokens: Tensor, emotion: Tensor, emotion_tokens: Tensor
    ) -> tuple[Tensor, None]:
        """Fuse (b, d) and (b, d) to (b, d)."""
        return self.mix(torch.cat([motion, emotion], dim=-1)), None


class Sum(nn.Module):
    """The plainest ablation: the features added."""

    def forward(
        self, motion: Tensor, motion_tokens: Tensor, emotion: Tensor, emotion_tokens: Tensor
    ) -> tuple[Tensor, None]:
        """Fuse (b, d) and (b, d) to (b, d)."""
        return motion + emotion, None
