"""The motion branch: onset-to-apex optical flow in, a motion feature and AU logits out.

*Stated in the abstract:* an AU-detection task restricts the branch to the explicit motion domain. *Our reading:* a
small convolutional network on the flow, and a multi-label AU head on its feature.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from medn_lab.model.config import MEDNConfig

# The branch keeps a grid of GRID x GRID tokens: registered faces have their parts at fixed places.
GRID = 4
# Flow is rescaled to pixels of a crop this wide, so that a feature means the same at every size.
REFERENCE_SIZE = 128


class MotionOutput(NamedTuple):
    """What the motion branch returns.

    Attributes
    ----------
    feature : (b, d) tensor
    tokens : (b, GRID * GRID, d) tensor
        Row by row from the upper left.
    au_logits : (b, n_aus) tensor or None
        None where the configuration names no AUs.

    Examples
    --------
    >>> out = MotionBranch(MEDNConfig(size=32, dim=32))(torch.zeros(5, 2, 32, 32))
    >>> out.feature.shape, out.au_logits.shape
    (torch.Size([5, 32]), torch.Size([5, 16]))
    """

    feature: Tensor
    tokens: Tensor
    au_logits: Tensor | None


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the first may halve the resolution."""

    def __init__(self, width_in: int, width_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.GELU(),
            nn.Conv2d(width_out, width_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
        )
        self.shortcut = nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width_in, h, w) to (b, width_out, h / stride, w / stride)."""
        return self.activation(self.body(x) + self.shortcut(x))


class MotionBranch(nn.Module):
    """Map optical flow to a motion feature and AU logits.

    Parameters
    ----------
    config : MEDNConfig
        Uses `size`, `flow_channels`, `dim`, `aus` and `dropout`.

    Examples
    --------
    >>> import torch
    >>> branch = MotionBranch(MEDNConfig(size=32, dim=32))
    >>> out = branch(torch.zeros(5, 2, 32, 32))
    >>> out.feature.shape, out.tokens.shape, out.au_logits.shape
    (torch.Size([5, 32]), torch.Size([5, 16, 32]), torch.Size([5, 16]))
    """

    def __init__(self, config: MEDNConfig) -> None:
        super().__init__()
        dim = config.dim
        self.gain = REFERENCE_SIZE / config.size
        self.stem = nn.Sequential(
            ResidualBlock(config.flow_channels, dim // 4, stride=2),
            ResidualBlock(dim // 4, dim // 2, stride=2),
            ResidualBlock(dim // 2, dim, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.summary = nn.Sequential(
            nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(GRID**2 * dim, dim), nn.GELU(), nn.Linear(dim, dim)
        )
        # A layer without outputs would warn at every start.
        self.au_head = nn.Linear(dim, len(config.aus)) if config.aus else None

    def forward(self, flow: Tensor) -> MotionOutput:
        """Read (b, c, h, w) flow in pixels at the crop's size."""
        # torch 2.13 corrupts memory in the backward pass of a convolution whose two-channel input lies channels last.
        flow = (flow * self.gain).contiguous(memory_format=torch.contiguous_format)
        grid = self.pool(self.stem(flow))  # (b, d, GRID, GRID)
        feature = self.summary(grid)  # (b, d)
        tokens = rearrange(grid, "b d h w -> b (h w) d")
        return MotionOutput(feature, tokens, None if self.au_head is None else self.au_head(feature))
