"""Losses that decouple the branches, one function each, entered in :data:`DECOUPLING_METHODS` with a default weight.

``orthogonal`` is what the paper's abstract states. The others are ours, to be compared with it: a squared cosine near 0
does not mean that one feature cannot be predicted from the other. ``cross_covariance`` and ``hsic`` penalise linear and
any dependence over a batch; ``adversarial`` trains a network to guess the motion feature from the emotion feature, and
the emotion branch to spoil its guess; ``bottleneck`` penalises the information in the emotion feature, so that it keeps
only what motion does not hold. ``TrainConfig.decoupling_weight`` weights the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def orthogonal_loss(motion: Tensor, emotion: Tensor) -> Tensor:
    """Mean squared cosine between the two branch features of a clip.

    0 when every pair is orthogonal, 1 when every pair is parallel or opposed. It is no measure of dependence *across*
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
        raise ValueError(f"motion is {tuple(motion.shape)}, emotion {tuple(emotion.shape)}; a cosine needs one width")
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

    References
    ----------
    Gretton, Bousquet, Smola, Schoelkopf: "Measuring statistical dependence with Hilbert-Schmidt norms", 2005.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 8)[:, None]
    >>> round(hsic_loss(x, x).item(), 4), hsic_loss(x, x.abs()).item() > 0.05
    (1.0, True)
    """
    _check_batch(motion, emotion)
    first, second = _centred_kernel(motion), _centred_kernel(emotion)
    return (first * second).sum() / (first.norm() * second.norm()).clamp_min(1e-12)


# Log variance of the code's noise at the start of a training; the prior's is 0.
QUIET_LOG_VARIANCE = -4.0


def adversarial_loss(motion: Tensor, guess: Tensor) -> Tensor:
    """Mean squared error of an adversary's guess of the motion feature, standardised over the batch.

    Ours. The adversary is a network that guesses the motion feature from the emotion feature. The gradient is reversed
    between the two (Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", 2015): the adversary
    learns to guess, and the emotion branch learns to hold nothing to guess from. It needs no AU labels.

    Parameters
    ----------
    motion : (b, d) tensor
        The motion feature; no gradient reaches it.
    guess : (b, d) tensor
        Of the adversary (``MEDNOutput.guess``), through which the gradient reaches the emotion feature reversed.

    Returns
    -------
    Tensor
        A scalar, at least 0: 0 where everything was guessed, about 1 where nothing could be.

    Examples
    --------
    >>> adversarial_loss(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1)).item()
    0.99...
    """
    _check_batch(motion, guess)
    return F.mse_loss(guess, _standardise(motion.detach()))


class GaussianCode(nn.Module):
    """The bottleneck: an emotion feature as a small Gaussian code whose information is penalised.

    Ours. The head sees the motion feature for free next to the code, and pays for each nat that the code carries about
    its input (Alemi et al., "Deep variational information bottleneck", 2017): it is cheapest to carry only what motion
    does not hold already.

    While training the code is sampled. In evaluation it is the mean in bins *as wide as the noise of training*: one
    width a dimension, the running mean of the noise's deviation, the same for every clip. Detail below that width was
    never received in training, so it is no part of the code; a probe with standardised inputs would read it all the
    same. (Bins as wide as each clip's own noise would let a probe read that noise, which depends on the AUs.) The
    gradient passes the bins as if they were not there.

    Parameters
    ----------
    dim, code_dim : int
        Width of the feature and of the code.
    """

    bin_width: Tensor

    def __init__(self, dim: int, *, code_dim: int) -> None:
        super().__init__()
        # Clips differ little against what they share; standardised, their difference is found in half the epochs.
        self.norm = nn.BatchNorm1d(dim)
        self.encode = nn.Linear(dim, 2 * code_dim)
        self.expand = nn.Linear(code_dim, dim)
        # Quiet at first: noise of the prior's size would drown the cue until long after the price has begun to rise.
        nn.init.constant_(self.encode.bias[code_dim:], QUIET_LOG_VARIANCE)
        self.register_buffer("bin_width", torch.full((code_dim,), math.exp(QUIET_LOG_VARIANCE / 2)))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (b, d) to the code (b, code_dim), the code at full width (b, d), and its information in nats (b,)."""
        mean, log_variance = self.encode(self.norm(feature)).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-8.0, 4.0)
        nats = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=-1)
        deviation = (0.5 * log_variance).exp()
        if self.training:
            self.bin_width.lerp_(deviation.detach().float().mean(dim=0), 0.1)
            code = mean + torch.randn_like(mean) * deviation
        else:
            code = mean + (torch.round(mean / self.bin_width) * self.bin_width - mean).detach()
        return code, self.expand(code), nats


def _check_batch(motion: Tensor, emotion: Tensor) -> None:
    if len(motion) != len(emotion) or len(motion) < 2:
        raise ValueError(f"there are {len(motion)} and {len(emotion)} rows; dependence needs the same 2 or more clips")


def _standardise(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    return centred / centred.square().mean(dim=0).add(1e-6).sqrt()


def _centred_kernel(x: Tensor) -> Tensor:
    distances = torch.cdist(x, x).square()
    off_diagonal = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    bandwidth = distances.detach()[off_diagonal].median().clamp_min(1e-6)
    kernel = torch.exp(-distances / bandwidth)
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()


BOTH = ("motion", "emotion")

DECOUPLING_METHODS: dict[str, tuple[Callable[..., Tensor] | None, float, tuple[str, ...]]] = {
    "orthogonal": (orthogonal_loss, 1.0, BOTH),
    "cross_covariance": (cross_covariance_loss, 1.0, BOTH),
    "hsic": (hsic_loss, 1.0, BOTH),
    "adversarial": (adversarial_loss, 0.3, ("motion", "guess")),
    "bottleneck": (torch.mean, 0.2, ("nats",)),
    "none": (None, 0.0, ()),
}
"""Every value of ``MEDNConfig.decoupling``: its loss, the weight for which ``TrainConfig.decoupling_weight = None``
stands (the losses differ in scale, nats above all), and the parts of :class:`~medn_lab.model.MEDNOutput` that the loss
takes, in this order. A loss that is entered here can be trained with.
"""
