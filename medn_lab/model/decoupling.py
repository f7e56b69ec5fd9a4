"""What keeps the branches apart: one function or module a method, all behind ``MEDNConfig.decoupling``.

``orthogonal`` is what the paper's abstract states. The others are ours, to be compared with it: a squared cosine near 0
does not mean that one feature cannot be predicted from the other. ``cross_covariance`` and ``hsic`` penalise linear and
any dependence over a batch; ``bottleneck`` gives the emotion feature a price, so that it keeps only what motion cannot
say.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medn_lab.model.config import MEDNConfig


def orthogonal_loss(motion: Tensor, emotion: Tensor) -> Tensor:
    """Mean squared cosine between the two branch features of a clip.

    0 when every pair is orthogonal, 1 when every pair is parallel or opposed. It says nothing about dependence *across*
    clips: two features may be orthogonal in each clip and still determine each other.

    Parameters
    ----------
    motion, emotion : (b, d) tensor
        Features of the same clips, of the same width.

    Returns
    -------
    Tensor
        A scalar in [0, 1].

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    The abstract of arXiv 2604.17899 names an orthogonal loss; the squared cosine is our reading of it.

    Examples
    --------
    >>> orthogonal_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])).item()
    0.36...
    """
    if motion.shape != emotion.shape:
        raise ValueError(
            f"motion is {tuple(motion.shape)} but emotion {tuple(emotion.shape)}; a cosine needs one width"
        )
    return F.cosine_similarity(motion, emotion, dim=-1).square().mean()


def cross_covariance_loss(motion: Tensor, emotion: Tensor) -> Tensor:
    """Mean squared correlation between every motion and every emotion feature over the batch.

    Parameters
    ----------
    motion, emotion : (b, d) tensor
        Features of the same clips, at least 2; the widths need not agree.

    Returns
    -------
    Tensor
        A scalar in [0, 1]; 0 without linear dependence. Small batches bias it upwards by about 1 / b.

    Raises
    ------
    ValueError
        If the numbers of clips differ or there are fewer than 2.

    Examples
    --------
    >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> round(cross_covariance_loss(x, 5 * x).item(), 4)
    1.0
    """
    _check_batch(motion, emotion)
    return (_standardise(motion).T @ _standardise(emotion) / len(motion)).square().mean()


def hsic_loss(motion: Tensor, emotion: Tensor) -> Tensor:
    """Normalised HSIC (centred kernel alignment) of the batch with Gaussian kernels of median bandwidth.

    Parameters
    ----------
    motion, emotion : (b, d) tensor
        Features of the same clips, at least 2; the widths need not agree.

    Returns
    -------
    Tensor
        A scalar in [0, 1]; 0 without dependence, 1 for a copy. Small batches bias it upwards.

    Raises
    ------
    ValueError
        If the numbers of clips differ or there are fewer than 2.

    References
    ----------
    Gretton, Bousquet, Smola, Schoelkopf: "Measuring statistical dependence with Hilbert-Schmidt norms", 2005.
    """
    _check_batch(motion, emotion)
    first, second = _centred_kernel(motion), _centred_kernel(emotion)
    return (first * second).sum() / (first.norm() * second.norm()).clamp_min(1e-12)


DECOUPLING_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "orthogonal": orthogonal_loss,
    "cross_covariance": cross_covariance_loss,
    "hsic": hsic_loss,
}
"""The methods that are a penalty on the two features; ``bottleneck`` acts through the code's KL instead."""


class GaussianCode(nn.Module):
    """The bottleneck: an emotion feature as a small Gaussian code whose information has a price.

    Ours. The head sees the motion feature for free beside the code, and pays for each nat that the code carries about
    its input (Alemi et al., "Deep variational information bottleneck", 2017): it is cheapest to carry only what motion
    does not say already.

    Parameters
    ----------
    config : MEDNConfig
        Uses `dim` and `code_dim`.
    """

    def __init__(self, config: MEDNConfig) -> None:
        super().__init__()
        self.encode = nn.Linear(config.dim, 2 * config.code_dim)
        self.expand = nn.Linear(config.code_dim, config.dim)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (b, d) to the code (b, code_dim), the code at full width (b, d), and its information in nats (b,).

        While training the code is sampled; in evaluation it is the mean.
        """
        mean, log_variance = self.encode(feature).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-8.0, 4.0)
        nats = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=-1)
        code = mean
        if self.training:
            code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return code, self.expand(code), nats


def _check_batch(motion: Tensor, emotion: Tensor) -> None:
    if len(motion) != len(emotion) or len(motion) < 2:
        raise ValueError(
            f"motion has {len(motion)} rows and emotion {len(emotion)}; dependence over a batch needs"
            " the same two or more"
        )


def _standardise(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    return centred / centred.square().mean(dim=0).add(1e-6).sqrt()


def _centred_kernel(x: Tensor) -> Tensor:
    distances = torch.cdist(x, x).square()
    off_diagonal = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    bandwidth = distances.detach()[off_diagonal].median().clamp_min(1e-6)
    kernel = torch.exp(-distances / bandwidth)
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
