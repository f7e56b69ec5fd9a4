"""Networks with the outside of a MEDN whose inside can be computed by hand (tests only)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from medn_lab.model import MEDNConfig, MEDNOutput, SEVitOutput

SIZE, N_FRAMES, PATCH = 32, 8, 8
FLOW_CELL, MOMENT = (1, 2), 5  # what a PatchReader reads of the flow, and when it reads the frames
CLASSES = ("happiness", "others")

CONFIG = MEDNConfig(size=SIZE, n_frames=N_FRAMES, patch=PATCH, dim=32, classes=CLASSES, aus=("AU1", "AU12"))


class LinearReader(nn.Module):
    """Emotion logits that are fixed sums over frames and flow, an AU logit that is one over the flow."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.config, self.name = CONFIG, "linear"
        self.motion_branch = nn.Identity()
        self.of_frames = nn.Parameter(torch.randn(N_FRAMES, 3, SIZE, SIZE, generator=generator))
        self.of_flow = nn.Parameter(torch.randn(2, SIZE, SIZE, generator=generator))

    def forward(self, frames: Tensor | None, flow: Tensor | None) -> MEDNOutput:
        score = 0.0 if frames is None else (frames * self.of_frames).flatten(1).sum(dim=1)
        au = None if flow is None else (flow * self.of_flow).flatten(1).sum(dim=1)
        score = score if au is None else score + au
        au_logits = None if au is None else torch.stack([0 * au, au], dim=1)
        return MEDNOutput(torch.stack([score, 0 * score], dim=1), au_logits, None, None, None, None)


class PatchMotion(nn.Module):
    """Reads the mean flow of one cell of a grid, through a layer that is called as the real stem is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.AvgPool2d(PATCH)
        self.weight = nn.Parameter(torch.tensor([2.0, -3.0]))

    def forward(self, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grid = self.stem(flow)  # (b, 2, 4, 4)
        feature = grid[:, :, *FLOW_CELL] * self.weight
        return feature, rearrange(grid, "b d h w -> b (h w) d"), feature


class PatchEmotion(nn.Module):
    """Reads the mean change of one patch at one moment, among tokens that were gathered out of order."""

    def __init__(self, cell: tuple[int, int], kept: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.norm, self.kept = nn.Identity(), kept
        self.place = cell[0] * (SIZE // PATCH) + cell[1]
        self.weight = nn.Parameter(torch.tensor([4.0, 1.0, -2.0]))

    def forward(self, frames: Tensor) -> SEVitOutput:
        b, change = len(frames), frames - frames[:, :1]
        means = nn.functional.avg_pool2d(rearrange(change, "b t c h w -> (b t) c h w"), PATCH)
        tokens = rearrange(means, "(b t) c h w -> b (h w) (t c)", b=b)  # a place with its course
        feature = 0 * frames.flatten(1)[:, :3]  # what is not read still is part of the graph
        for places in self.kept:  # one call a keep rate, as SEVit does
            read = self.norm(tokens[:, list(places)])
            if self.place in places:
                course = read[:, places.index(self.place)].unflatten(1, (-1, 3))
                feature = feature + course[:, MOMENT] * self.weight
        kept = tuple(torch.tensor(places).expand(b, -1) for places in self.kept)
        mix = torch.full((b, len(kept)), 1 / len(kept))
        return SEVitOutput(feature, feature.unsqueeze(1), mix, torch.zeros(b, (SIZE // PATCH) ** 2), kept)


class PatchReader(nn.Module):
    """A network that reads one 8 px patch of the frames at one moment, and one cell of the flow, and nothing else.

    `kept` holds the positions kept at each keep rate, in the order in which they are gathered.
    """

    def __init__(self, *, frames_cell: tuple[int, int], kept: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.config, self.name = CONFIG, "reads one patch"
        self.motion_branch, self.emotion_branch = PatchMotion(), PatchEmotion(frames_cell, kept)

    def forward(self, frames: Tensor | None, flow: Tensor | None) -> MEDNOutput:
        motion, _, au_logits = (None, None, None) if flow is None else self.motion_branch(flow)
        emotion = None if frames is None else self.emotion_branch(frames)
        score = 0.0 if motion is None else torch.tanh(motion.sum(dim=1))
        score = score if emotion is None else score + torch.tanh(20 * emotion.feature.sum(dim=1))
        of_emotion = None if emotion is None else emotion.feature
        logits = torch.stack([score, -score], dim=1)
        return MEDNOutput(logits, au_logits, motion, of_emotion, None, None, sevit_output=emotion)


def cell_mask(cell: tuple[int, int]) -> Tensor:
    """A cell of the 4 x 4 grid as a mask (SIZE, SIZE)."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[cell[0] * PATCH : (cell[0] + 1) * PATCH, cell[1] * PATCH : (cell[1] + 1) * PATCH] = True
    return mask
