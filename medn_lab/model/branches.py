"""The two branches: MotionBranch reads the optical flow, SEVit the frames.

**Motion branch.** *Stated in the abstract:* an AU-detection task restricts the branch to the explicit motion domain.
*Our reading:* a small convolutional network on the onset-to-apex flow, and a multi-label AU head on its feature.

**SEVit**, the emotion branch, is a video transformer that keeps only the spatial tokens with local temporal variation.
*Stated in the abstract:* spatial tokens are sparsified to highlight local temporal variations, at multi-scale
sparsity rates. *Our reading:* a token is a small place of the face with its whole course in time: how its skin moves
and how its colour changes from the onset to each later frame. A place's score is the temporal variation of its course
plus a learned correction. At each keep rate the best places are gathered (not masked, so that the others cost nothing)
and read by attention over places. The summaries of the keep rates are mixed by learned weights.

Nothing here is fitted to a kind of cue: the scale of each part of a course follows from the training data
(:class:`Whiten`). The constants that remain are named below; the network notebook shows what they do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from medn_lab.model.config import MEDNConfig

# The motion branch keeps a grid of GRID x GRID tokens: registered faces have their parts at fixed places.
GRID = 4
# Flow is rescaled to pixels of a crop this wide, so that a feature means the same at every size.
REFERENCE_SIZE = 128
# Rec. 601 luminance, in which motion is estimated.
LUMINANCE = (0.299, 0.587, 0.114)
# Added to the mean squared slope of luminance (range 0 to 1) in the motion estimate: 2.5 levels of 255 a pixel. Skin
# without texture then counts as still. A tenth of it lets camera noise decide which places are kept.
STILL_SLOPE = 1e-4
# Whitened values are cut here, so that a blink or a hard edge does not outweigh the rest of the face.
LARGEST = 6.0
# Added to the variance of a whitened course before its logarithm: a course that does not vary has a finite score.
LEAST_VARIATION = 1e-3
# Deviation of the noise on the scores in training, so that places just below the cut are tried.
RANKING_NOISE = 0.3
# Numbers of a place in a frame: motion to the right and downwards, and change of red, green and blue.
COURSE_CHANNELS = 5


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
    >>> branch = MotionBranch(MEDNConfig(size=32, dim=32))
    >>> feature, tokens, au_logits = branch(torch.zeros(5, 2, 32, 32))
    >>> feature.shape, tokens.shape, au_logits.shape
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

    def forward(self, flow: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read (b, c, h, w) flow in pixels at the crop's size.

        Returns the feature (b, d), tokens (b, GRID * GRID, d) row by row from the upper left, and AU logits (b, n_aus),
        None where the configuration names no AUs.
        """
        # torch 2.13 corrupts memory in the backward pass of a convolution whose two-channel input is channels last.
        flow = (flow * self.gain).contiguous(memory_format=torch.contiguous_format)
        grid = self.pool(self.stem(flow))  # (b, d, GRID, GRID)
        feature = self.summary(grid)  # (b, d)
        tokens = rearrange(grid, "b d h w -> b (h w) d")
        return feature, tokens, None if self.au_head is None else self.au_head(feature)


class SEVitOutput(NamedTuple):
    """What the emotion branch returns.

    Attributes
    ----------
    feature : (b, d) tensor
    tokens : (b, n_scales, d) tensor
        One summary a keep rate.
    mix : (b, n_scales) tensor
        The weight of each scale; rows sum to 1.
    scores : (b, n_positions) tensor
        Higher is kept first.
    kept : tuple of (b, k) tensors
        Kept positions for each keep rate, best first, counted row by row from the upper left.

    Examples
    --------
    >>> out = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(0.5, 0.25)))(torch.rand(3, 8, 3, 32, 32))
    >>> out.scores.shape, out.mix.sum(dim=1).round(decimals=4).tolist()
    (torch.Size([3, 64]), [1.0, 1.0, 1.0])
    """

    feature: Tensor
    tokens: Tensor
    mix: Tensor
    scores: Tensor
    kept: tuple[Tensor, ...]


class Block(nn.Module):
    """Self-attention over the kept places of a clip, then a small MLP, each with a residual and layer norm before."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict(
            {"norm": nn.LayerNorm(dim), "qkv": nn.Linear(dim, 3 * dim, bias=False), "out": nn.Linear(dim, dim)}
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, k, d) to the same."""
        qkv = self.attention["qkv"](self.attention["norm"](x))
        q, k, v = rearrange(qkv, "b k (three h c) -> three b h k c", three=3, h=self.heads)
        attended = rearrange(F.scaled_dot_product_attention(q, k, v), "b h k c -> b k (h c)")
        x = x + self.attention["out"](attended)
        return x + self.mlp(x)


def normal_parameter(*shape: int, std: float) -> nn.Parameter:
    """Normal values; none on the meta device, where ``normal_`` imports sympy and so takes a second."""
    values = torch.empty(*shape)
    return nn.Parameter(values if values.is_meta else values.normal_() * std)


class Whiten(nn.Module):
    """Whiten channels by their running covariance over clips, places and frames (ZCA).

    Training data set the scale of motion and of each direction of colour: a direction with little variation, such as
    chroma next to luminance, counts as much as one with much. A direction below :data:`SMALLEST` of the largest is left
    small: in grey clips chroma holds rounding errors only.

    Parameters
    ----------
    n_channels : int
    """

    SMALLEST = 1e-5
    MOMENTUM = 0.05
    START = 0.03  # deviation before any training, about that of a clip's courses; the first batch replaces it

    mean: Tensor
    covariance: Tensor
    n_batches: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("covariance", torch.zeros(n_channels, n_channels).fill_diagonal_(self.START**2))
        self.register_buffer("n_batches", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_channels) to the same; while training the running covariance takes the batch in first."""
        if self.training:
            rows = x.detach().flatten(0, -2).float()
            mean = rows.mean(dim=0)
            centred = rows - mean
            share = torch.where(self.n_batches == 0, 1.0, self.MOMENTUM)
            self.mean.lerp_(mean, share)
            self.covariance.lerp_(centred.T @ centred / len(rows), share)
            self.n_batches += 1
        variance, axes = torch.linalg.eigh(self.covariance)
        scale = torch.maximum(variance, self.SMALLEST * variance[-1]).clamp_min(1e-12).rsqrt()  # 1e-12: a still clip
        return (x - self.mean) @ ((axes * scale) @ axes.T)


class SEVit(nn.Module):
    """Read a registered face clip through the places that change.

    Parameters
    ----------
    config : MEDNConfig
        Uses `size`, `n_frames`, `patch`, `dim`, `depth`, `heads`, `keep_rates` and `dropout`.

    Examples
    --------
    >>> branch = SEVit(MEDNConfig(size=32, dim=32, keep_rates=(0.5, 0.25)))
    >>> out = branch(torch.rand(3, 8, 3, 32, 32))
    >>> out.feature.shape, out.tokens.shape, [kept.shape[1] for kept in out.kept]
    (torch.Size([3, 32]), torch.Size([3, 2, 32]), [32, 16])
    """

    def __init__(self, config: MEDNConfig) -> None:
        super().__init__()
        dim, length = config.dim, config.n_frames - 1
        self.patch = config.patch
        self.kept_positions = config.kept_positions
        self.whiten_motion = Whiten(2)
        self.whiten_colour = Whiten(3)
        self.correction = nn.Linear(COURSE_CHANNELS, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.position_score = nn.Parameter(torch.zeros(config.n_positions))
        self.embed = nn.Sequential(nn.Linear(length * COURSE_CHANNELS, dim), nn.GELU(), nn.Linear(dim, dim))
        self.place = normal_parameter(config.n_positions, dim, std=0.1)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(dim, config.heads, config.dropout) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        self.pool = nn.Linear(dim, 1)
        self.mixer = nn.Linear(dim, 1)
        self.summary = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(dim, dim))

    def forward(self, frames: Tensor) -> SEVitOutput:
        """Read (b, t, 3, h, w) frames in [0, 1]."""
        motion, colour = place_courses(frames, patch=self.patch)
        course = torch.cat([self.whiten_motion(motion), self.whiten_colour(colour)], dim=-1).clamp(-LARGEST, LARGEST)
        scores = self.score(course)  # (b, n)
        noise = RANKING_NOISE * torch.randn_like(scores) if self.training else 0.0
        # (b, most), best first: every scale is a beginning of it
        ranked = (scores.detach() + noise).topk(max(self.kept_positions), dim=1).indices
        weight = scores.gather(1, ranked).sigmoid().unsqueeze(-1)  # the scores' path to the gradient
        course = course.flatten(2)
        tokens = self.embed(course.gather(1, ranked.unsqueeze(-1).expand(-1, -1, course.shape[2])))
        tokens = (tokens + self.place[ranked]) * weight  # (b, most, d)
        of_scales = []
        for count in self.kept_positions:
            kept = self.dropout(tokens[:, :count])
            for block in self.blocks:
                kept = block(kept)
            kept = self.norm(kept)
            of_scales.append((self.pool(kept).softmax(dim=1) * kept).sum(dim=1))
        summaries = torch.stack(of_scales, dim=1)  # (b, s, d)
        mix = self.mixer(summaries).squeeze(-1).softmax(dim=-1)  # (b, s)
        feature = self.summary((mix.unsqueeze(-1) * summaries).sum(dim=1))
        return SEVitOutput(feature, summaries, mix, scores, tuple(ranked[:, :k] for k in self.kept_positions))

    def score(self, course: Tensor) -> Tensor:
        """Temporal variation of whitened courses (b, n, t - 1, 5) with the learned correction, (b, n)."""
        one = course.shape[2] == 1  # a clip of two frames has one change, which cannot vary
        variation = course.square().mean(dim=2) if one else course.var(dim=2, unbiased=False)
        variation = variation.add(LEAST_VARIATION).log()
        strongest = variation.logsumexp(dim=-1)  # a smooth maximum over motion and colour
        return strongest + self.correction(variation).squeeze(-1) + self.position_score


def place_courses(frames: Tensor, *, patch: int) -> tuple[Tensor, Tensor]:
    """How each place moves and changes colour from the onset to every later frame.

    Motion is the least-squares displacement of the luminance around a place (Lucas and Kanade, "An iterative image
    registration technique", 1981), after the change that the surrounding `2 * patch + 1` pixels share was taken out:
    light that drifts is no motion. Colour is the change of the place's mean colour, less the mean change of the face.

    Parameters
    ----------
    frames : (b, t, 3, h, w) tensor in [0, 1]
        The onset first, registered to it.
    patch : int
        Side of a place in pixels; its motion is estimated with a margin of a quarter of that side around it.

    Returns
    -------
    (b, n, t - 1, 2) tensor in pixels (right, down), and (b, n, t - 1, 3) tensor (red, green, blue)
        Places row by row from the upper left.

    Examples
    --------
    >>> ramp = torch.linspace(0, 1, 32).expand(1, 1, 3, 32, 32)
    >>> motion, colour = place_courses(torch.cat([ramp, ramp + 0.1], dim=1), patch=4)
    >>> motion.shape, colour.abs().max().item() < 1e-6  # light alone
    (torch.Size([1, 64, 1, 2]), True)
    """
    b, t = frames.shape[:2]
    red, green, blue = LUMINANCE
    grey = red * frames[:, :, 0] + green * frames[:, :, 1] + blue * frames[:, :, 2]
    change = grey[:, 1:] - grey[:, :1]
    side = 2 * patch + 1  # the mean around a pixel: at the border, of the pixels that there are
    around = F.avg_pool2d(change, (side, 1), 1, (patch, 0), count_include_pad=False)
    change = change - F.avg_pool2d(around, (1, side), 1, (0, patch), count_include_pad=False)
    middle = F.pad((grey[:, 1:] + grey[:, :1]) / 2, (1, 1, 1, 1), mode="replicate")
    right = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    down = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    products = torch.stack([right * right, right * down, down * down, right * change, down * change], dim=2)
    margin = patch // 4
    sums = F.avg_pool2d(products.flatten(0, 1), patch + 2 * margin, patch, margin, count_include_pad=False)
    xx, xy, yy, xt, yt = rearrange(sums, "(b t) c h w -> c b (h w) t", b=b)
    xx, yy = xx + STILL_SLOPE, yy + STILL_SLOPE
    area = xx * yy - xy * xy
    motion = torch.stack([(xy * yt - yy * xt) / area, (xy * xt - xx * yt) / area], dim=-1)
    colour = rearrange(F.avg_pool2d(frames.flatten(0, 1), patch), "(b t) c h w -> b (h w) t c", t=t)
    colour = colour[:, :, 1:] - colour[:, :, :1]
    return motion, colour - colour.mean(dim=1, keepdim=True)
